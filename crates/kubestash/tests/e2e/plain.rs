//! Plain databases that ask for backups by annotation, each kind with its addon.

use serde_json::{Value, json};

use crate::bad_input::local_backend;
use crate::manifest::statement;
use crate::support::System;
use crate::tutorial::{example, first_session};

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
        // An empty server has nothing to back up, and its session would say so.
        statement(&system, "demo", &name, "CREATE DATABASE playground");
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
