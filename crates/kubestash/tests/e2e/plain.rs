//! Plain databases that ask for backups by annotation, each kind with its addon.

use serde_json::{Value, json};

use crate::bad_input::local_backend;
use crate::manifest::statement;
use crate::support::System;
use crate::tutorial::{example, first_session, trigger};

fn blueprint(kind: &str) -> Value {
    json!({
        "apiVersion": "core.kubestash.com/v1alpha1",
        "kind": "BackupBlueprint",
        "metadata": {"name": kind, "namespace": "demo"},
        "spec": {
            "usagePolicy": {"allowedNamespaces": {"from": "All"}},
            "backupConfigurationTemplate": {
                "deletionPolicy": "OnDelete",
                "backends": [{
                    "name": "volume",
                    "storageRef": {"name": "gcs-storage", "namespace": "demo"},
                    "retentionPolicy": {"name": "demo-retention", "namespace": "demo"},
                }],
                "sessions": [{
                    "name": "frequent-backup",
                    "scheduler": {"schedule": "0 0 1 1 *", "jobTemplate": {"backoffLimit": 1}},
                    "repositories": [{
                        "name": "${name}", "backend": "volume", "directory": "/${name}",
                        "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"},
                    }],
                    "addon": {
                        "name": format!("{kind}-addon"),
                        "tasks": [{"name": "manifest-backup"}, {"name": "logical-backup"}],
                    },
                }],
            },
        },
    })
}

#[test]
fn annotated_plain_databases_are_backed_up_with_their_objects_by_blueprints() {
    let volume = tempfile::tempdir().unwrap();
    let system = System::start();
    local_backend(&system, volume.path());
    let kinds = [
        ("postgres", "postgreses"),
        ("mariadb", "mariadbs"),
        ("mysql", "mysqls"),
    ];
    for (kind, _) in kinds {
        system.apply(&blueprint(kind).to_string());
        system.apply(&example(&format!("sample-{kind}.yaml")));
    }
    for (kind, plural) in kinds {
        let name = format!("sample-{kind}");
        system.wait_phase("demo", &format!("{plural}.kubedb.com/{name}"), &["Ready"]);
        system.kubectl(&format!(
            "annotate -n demo {plural}.kubedb.com/sample-{kind} blueprint.kubestash.com/name={kind} \
             blueprint.kubestash.com/namespace=demo variables.kubestash.com/name=of-{kind}"
        ));
    }
    for (kind, _) in kinds {
        let session = first_session(&system, &format!("appbinding-sample-{kind}"));
        assert_eq!(session["status"]["phase"], "Succeeded", "{session:#}");
        let snapshots = system.objects("demo", "snapshots.storage.kubestash.com");
        let snapshot = snapshots
            .iter()
            .find(|snapshot| snapshot["spec"]["repository"] == format!("of-{kind}"))
            .unwrap();
        for component in ["dump", "manifest"] {
            assert_eq!(
                snapshot["status"]["components"][component]["phase"], "Succeeded",
                "{snapshot:#}"
            );
        }
    }
}

#[test]
fn a_server_that_is_still_empty_is_backed_up_and_one_that_has_lost_its_databases_is_not() {
    let volume = tempfile::tempdir().unwrap();
    let system = System::start();
    local_backend(&system, volume.path());
    system.apply(&blueprint("mariadb").to_string());
    system.apply(&example("sample-mariadb.yaml"));
    system.wait_phase("demo", "mariadbs.kubedb.com/sample-mariadb", &["Ready"]);
    system.kubectl(
        "annotate -n demo mariadbs.kubedb.com/sample-mariadb blueprint.kubestash.com/name=mariadb \
         blueprint.kubestash.com/namespace=demo variables.kubestash.com/name=repo",
    );
    let configuration = "appbinding-sample-mariadb";
    let first = first_session(&system, configuration);
    assert_eq!(first["status"]["phase"], "Succeeded", "{first:#}");

    // A restore of nothing changes nothing.
    statement(
        &system,
        "demo",
        "sample-mariadb",
        "CREATE DATABASE playground",
    );
    system.apply(
        &json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
            "metadata": {"name": "of-nothing", "namespace": "demo"},
            "spec": {
                "target": {"apiGroup": "kubedb.com", "kind": "MariaDB", "name": "sample-mariadb", "namespace": "demo"},
                "dataSource": {"repository": "repo", "snapshot": "latest"},
                "addon": {"name": "mariadb-addon", "tasks": [{"name": "logical-backup-restore"}]},
            },
        })
        .to_string(),
    );
    let ended = ["Succeeded", "Failed", "Invalid"];
    let restored = system.wait_phase("demo", "restoresession/of-nothing", &ended);
    assert_eq!(restored["status"]["phase"], "Succeeded", "{restored:#}");

    let full = system.wait_phase(
        "demo",
        &format!("backupsession/{}", trigger(&system, configuration)),
        &ended,
    );
    assert_eq!(full["status"]["phase"], "Succeeded", "{full:#}");

    statement(
        &system,
        "demo",
        "sample-mariadb",
        "DROP DATABASE playground",
    );
    let empty = system.wait_phase(
        "demo",
        &format!("backupsession/{}", trigger(&system, configuration)),
        &ended,
    );
    assert_eq!(empty["status"]["phase"], "Failed", "{empty:#}");
    let snapshots = system.objects("demo", "snapshots.storage.kubestash.com");
    let failed: Vec<&Value> = snapshots
        .iter()
        .filter(|snapshot| snapshot["status"]["phase"] == "Failed")
        .collect();
    assert_eq!(failed.len(), 1, "{snapshots:#?}");
    assert!(
        failed[0]
            .to_string()
            .contains("the server holds no database any more"),
        "{:#}",
        failed[0]
    );
}
