//! Plain databases that ask for backups by annotation, each kind with its addon.

use serde_json::{Value, json};

use crate::bad_input::local_backend;
use crate::manifest::statement;
use crate::support::System;
use crate::tutorial::{example, first_session, trigger};

/// Applies the blueprints of the examples, with a schedule that stays away.
fn blueprints(system: &System) {
    let given = example("databases-backupblueprint.yaml");
    let quiet = given.replace("*/30 * * * *", "0 0 1 1 *");
    assert_ne!(given, quiet);
    system.apply(&quiet);
}

/// Asks for backups of a database of the examples.
fn annotate(system: &System, kind: &str, plural: &str) {
    system.kubectl(&format!(
        "annotate -n demo {plural}.kubedb.com/sample-{kind} blueprint.kubestash.com/name={kind}-backup-blueprint \
         blueprint.kubestash.com/namespace=demo variables.kubestash.com/repoName=sample-{kind}"
    ));
}

#[test]
fn annotated_plain_databases_are_backed_up_with_their_objects_by_blueprints_and_come_back() {
    let volume = tempfile::tempdir().unwrap();
    let system = System::start();
    local_backend(&system, volume.path());
    blueprints(&system);
    let kinds = [
        ("postgres", "postgreses"),
        ("mariadb", "mariadbs"),
        ("mysql", "mysqls"),
    ];
    for (kind, _) in kinds {
        system.apply(&example(&format!("sample-{kind}.yaml")));
    }
    let sql = |kind: &str, text: &str| statement(&system, "demo", &format!("sample-{kind}"), text);
    for (kind, plural) in kinds {
        let name = format!("sample-{kind}");
        system.wait_phase("demo", &format!("{plural}.kubedb.com/{name}"), &["Ready"]);
        sql(kind, "CREATE DATABASE playground");
        sql(
            kind,
            "CREATE TABLE orders (id int PRIMARY KEY, what varchar(100))",
        );
        sql(
            kind,
            "INSERT INTO orders VALUES (1, 'a bicycle'), (2, 'a lamp')",
        );
        annotate(&system, kind, plural);
    }
    for (kind, _) in kinds {
        let configuration = format!("appbinding-sample-{kind}");
        let session = first_session(&system, &configuration);
        assert_eq!(session["status"]["phase"], "Succeeded", "{session:#}");
        let snapshots = system.objects("demo", "snapshots.storage.kubestash.com");
        let snapshot = snapshots
            .iter()
            .find(|snapshot| snapshot["spec"]["repository"] == format!("sample-{kind}"))
            .unwrap();
        for component in ["dump", "manifest"] {
            assert_eq!(
                snapshot["status"]["components"][component]["phase"], "Succeeded",
                "{snapshot:#}"
            );
        }

        // Another one by hand, as the docs have it.
        sql(kind, "INSERT INTO orders VALUES (3, 'a late one')");
        let session = json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
            "metadata": {"generateName": "by-hand-", "namespace": "demo"},
            "spec": {
                "invoker": {
                    "apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": configuration,
                },
                "session": "frequent-backup",
            },
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), session.to_string()).unwrap();
        let made = system.kubectl(&format!("create -o name -f {}", file.path().display()));
        let ended = ["Succeeded", "Failed", "Skipped"];
        let session = system.wait_phase("demo", made.trim(), &ended);
        assert_eq!(session["status"]["phase"], "Succeeded", "{session:#}");

        sql(kind, "DELETE FROM orders");
        system.apply(&example(&format!("restores/{kind}-restoresession.yaml")));
        let ended = ["Succeeded", "Failed", "Invalid"];
        let restore = format!("restoresession/restore-sample-{kind}");
        let restored = system.wait_phase("demo", &restore, &ended);
        assert_eq!(restored["status"]["phase"], "Succeeded", "{restored:#}");
        let rows = sql(kind, "SELECT what FROM orders ORDER BY id");
        assert_eq!(
            rows.split_terminator('\n').collect::<Vec<_>>(),
            ["a bicycle", "a lamp", "a late one"]
        );
    }

    // What is of another family is not even begun.
    for (kind, other) in [("mysql", "postgres"), ("postgres", "mariadb")] {
        let mixed = example(&format!("restores/{kind}-restoresession.yaml"))
            .replace("name: restore-sample-", "name: mixed-up-")
            .replace(
                &format!("repository: sample-{kind}"),
                &format!("repository: sample-{other}"),
            );
        system.apply(&mixed);
        let restore = format!("restoresession/mixed-up-{kind}");
        let refused = system.wait_phase("demo", &restore, &["Succeeded", "Failed", "Invalid"]);
        assert_eq!(refused["status"]["phase"], "Failed", "{refused:#}");
        let text = refused["status"].to_string();
        for words in [
            "the dump is one of",
            "name a Repository with backups of such a server",
            "nothing was changed in the database",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let rows = sql(kind, "SELECT count(*) FROM orders");
        assert_eq!(rows.trim(), "3");
    }
}

#[test]
fn a_server_that_is_still_empty_is_backed_up_and_one_that_has_lost_its_databases_is_not() {
    let volume = tempfile::tempdir().unwrap();
    let system = System::start();
    local_backend(&system, volume.path());
    blueprints(&system);
    system.apply(&example("sample-mariadb.yaml"));
    system.wait_phase("demo", "mariadbs.kubedb.com/sample-mariadb", &["Ready"]);
    annotate(&system, "mariadb", "mariadbs");
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
    system.apply(&example("restores/mariadb-restoresession.yaml"));
    let ended = ["Succeeded", "Failed", "Invalid"];
    let restored = system.wait_phase("demo", "restoresession/restore-sample-mariadb", &ended);
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
