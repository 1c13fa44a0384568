//! It comes back: over the original, into a new Druid, and never from what cannot be restored.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use crate::bad_input::{configuration, druid, local_backend};
use crate::restore_faults::Holder;
use crate::support::{System, eventually, find_binary, output};

/// A program of the database on the metadata database's server of a Druid, as `root`. The file has
/// to outlive it. In another namespace than `demo` the Druid is named as `namespace/name`.
pub fn client(system: &System, druid: &str, program: &str) -> (Command, tempfile::NamedTempFile) {
    let (namespace, druid) = druid.split_once('/').unwrap_or(("demo", druid));
    let secret = system
        .object(namespace, &format!("secret/{druid}-mysql-metadata-auth"))
        .unwrap();
    let binding = system
        .object(namespace, &format!("appbinding/{druid}-mysql-metadata"))
        .unwrap();
    let url = binding["spec"]["clientConfig"]["url"].as_str().unwrap();
    let port = url.trim_end_matches(")/").rsplit(':').next().unwrap();
    let decode = |key: &str| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(secret["data"][key].as_str().unwrap())
            .unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = format!(
        "[client]\nuser={}\npassword={}\nhost=127.0.0.1\nport={port}\n",
        decode("username"),
        decode("password")
    );
    std::fs::write(file.path(), options).unwrap();
    let mut command = Command::new(find_binary(program));
    command.arg(format!("--defaults-extra-file={}", file.path().display()));
    (command, file)
}

/// Runs statements on the metadata database's server of a Druid, as `root`.
pub fn sql(system: &System, druid: &str, statements: &str) -> String {
    let (mut command, _file) = client(system, druid, "mariadb");
    output(command.args(["--batch", "--skip-column-names", "--execute", statements])).unwrap()
}

/// Names of the tables that a backup holds as they are: all but the one with Druid's users.
fn tables(system: &System, druid: &str) -> Vec<String> {
    let query = "SELECT table_name FROM information_schema.tables \
                 WHERE table_schema = 'druid' AND table_name <> 'druid_config' ORDER BY table_name";
    sql(system, druid, query)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Checksums and definitions of those tables, and what is no user in the last one.
pub fn contents(system: &System, druid: &str) -> String {
    let config = "SELECT name, HEX(payload) FROM druid.druid_config WHERE name NOT LIKE 'basic%' ORDER BY name; \
                  SHOW CREATE TABLE druid.druid_config;";
    let statements: Vec<String> = tables(system, druid)
        .iter()
        .map(|table| {
            format!("CHECKSUM TABLE druid.{table} EXTENDED; SHOW CREATE TABLE druid.{table};")
        })
        .collect();
    assert!(
        !statements.is_empty(),
        "the database of {druid} has no tables"
    );
    sql(system, druid, &(statements.join("") + config))
}

/// Drops those tables.
pub fn lose(system: &System, druid: &str) {
    let drops: String = tables(system, druid)
        .iter()
        .map(|table| format!("DROP TABLE druid.{table};"))
        .collect();
    sql(
        system,
        druid,
        &format!("SET foreign_key_checks = 0; {drops}"),
    );
    assert!(tables(system, druid).is_empty());
}

/// A RestoreSession into a Druid; `spec` adds to its spec.
pub fn session(name: &str, target: &str, source: &Value, spec: &Value) -> String {
    let mut object = json!({
        "apiVersion": "core.kubestash.com/v1alpha1",
        "kind": "RestoreSession",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": target, "namespace": "demo"},
            "dataSource": source,
            "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-restore"}]},
        },
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object.to_string()
}

pub fn ended(system: &System, name: &str) -> Value {
    system.wait_phase(
        "demo",
        &format!("restoresession/{name}"),
        &["Succeeded", "Failed", "Invalid", "Unknown"],
    )
}

/// Restores and returns the ended session.
pub fn restore(system: &System, name: &str, target: &str, source: &Value, spec: &Value) -> Value {
    system.apply(&session(name, target, source, spec));
    ended(system, name)
}

/// The message of a condition.
fn condition(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.unwrap().iter();
    let found = conditions.find(|condition| condition["type"] == type_);
    found.unwrap()["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

pub fn latest() -> Value {
    json!({"repository": "repo", "snapshot": "latest"})
}

/// A Druid whose metadata is backed up once, into a local storage.
pub fn backed_up(system: &System, directory: &Path) -> PathBuf {
    let volume = directory.join("volume");
    local_backend(system, &volume);
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    crate::crash::load_metadata(system, "sample-druid");
    system.apply(&configuration(&json!({})));
    let first = crate::tutorial::first_session(system, "manual");
    assert_eq!(first["status"]["phase"], "Succeeded", "{first:#}");
    volume
}

#[test]
fn a_lost_database_is_restored_over_the_original_and_into_a_new_druid() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    backed_up(&system, directory.path());
    let before = contents(&system, "sample-druid");

    lose(&system, "sample-druid");
    let later = "UPDATE druid.druid_config SET payload = 'later'; INSERT INTO druid.druid_config VALUES ('new', 'x')";
    sql(&system, "sample-druid", later);
    let restored = restore(&system, "over", "sample-druid", &latest(), &json!({}));
    let status = &restored["status"];
    assert_eq!(
        status["phase"],
        "Succeeded",
        "{status:#}\n{}",
        system.log_text()
    );
    assert_eq!(contents(&system, "sample-druid"), before);
    let users = "SELECT payload FROM druid.druid_config WHERE name LIKE 'basic%'";
    assert_eq!(sql(&system, "sample-druid", users).trim(), "later");
    // What is not in the backup is said by it and by the restore, which also says what is to be
    // done with a Druid.
    let snapshots: Value = serde_json::from_str(
        &system.kubectl("get snapshots.storage.kubestash.com -n demo -o json"),
    )
    .unwrap();
    let left_out = snapshots["items"][0]["status"]["components"]["dump"]["leftOut"].clone();
    let left_out = left_out[0].as_str().unwrap_or_default().to_owned();
    assert!(left_out.contains("basic_authentication_*"), "{snapshots:#}");
    let ready = condition(&restored, "Ready");
    for words in [
        left_out.as_str(),
        "empty segment cache",
        "resume supervisors",
    ] {
        assert!(ready.contains(words), "{ready}");
    }
    let log = system.kubectl("logs -n demo job/over");
    assert!(log.contains("not in the backup: the rows"), "{log}");
    assert_eq!(status["components"]["dump"]["phase"], "Succeeded");
    assert!(
        status["components"]["dump"]["duration"]
            .as_str()
            .unwrap()
            .ends_with('s'),
        "{status:#}"
    );
    assert_eq!(
        (&status["totalComponents"], &status["targetFound"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(status["pausedBackups"][0]["name"], "manual");
    assert_eq!(status["dependencies"][0]["kind"], "Snapshot");
    let types: Vec<&str> = status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|condition| condition["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "Ready",
            "ValidationPassed",
            "RestoreTargetFound",
            "RestoreExecutorEnsured",
            "MetricsPushed"
        ]
    );
    let backup = system.object("demo", "backupconfiguration/manual").unwrap();
    assert_ne!(backup["spec"]["paused"], true, "the backups were resumed");
    let table = system.kubectl("get restoresession -n demo");
    assert!(
        table.starts_with("NAME") && table.contains("REPOSITORY") && table.contains("DURATION"),
        "{table}"
    );

    // The whole database is gone: it is made again.
    sql(&system, "sample-druid", "DROP DATABASE druid");
    let restored = restore(&system, "whole", "sample-druid", &latest(), &json!({}));
    assert_eq!(
        restored["status"]["phase"], "Succeeded",
        "{:#}",
        restored["status"]
    );
    assert_eq!(contents(&system, "sample-druid"), before);

    let mut fresh: Value = serde_json::from_str(&druid("demo", "restored-druid", &[])).unwrap();
    fresh["spec"]["init"] = json!({"waitForInitialRestore": true});
    // The restore is there first and waits for the database.
    system.apply(&session(
        "into-new",
        "restored-druid",
        &latest(),
        &json!({}),
    ));
    system.apply(&fresh.to_string());
    let restored = ended(&system, "into-new");
    assert_eq!(
        restored["status"]["phase"],
        "Succeeded",
        "{:#}\n{}",
        restored["status"],
        system.log_text()
    );
    system.wait_phase("demo", "druid/restored-druid", &["Ready"]);
    assert_eq!(contents(&system, "restored-druid"), before);

    // One that has ended never runs again, and takes its rights and its Job along.
    system.kubectl("delete -n demo restoresession over");
    for gone in ["job/over", "role/over", "serviceaccount/over"] {
        eventually(
            &format!("{gone} to be gone"),
            Duration::from_secs(30),
            || match system.object("demo", gone) {
                Err(_) => Ok(()),
                Ok(object) => Err(object.to_string()),
            },
        );
    }
}

#[test]
fn what_cannot_be_restored_is_told_and_the_database_stays_as_it_is() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    let volume = backed_up(&system, directory.path());
    sql(
        &system,
        "sample-druid",
        "CREATE TABLE druid.druid_later (id INT PRIMARY KEY); INSERT INTO druid.druid_later VALUES (1)",
    );
    let before = contents(&system, "sample-druid");
    let check =
        |name: &str, target: &str, source: Value, spec: Value, phase: &str, words: &[&str]| {
            let ended = restore(&system, name, target, &source, &spec);
            assert_eq!(
                ended["status"]["phase"], phase,
                "{name}: {:#}",
                ended["status"]
            );
            for word in words {
                assert!(
                    ended["status"].to_string().contains(word),
                    "{name}: no {word:?} in {:#}",
                    ended["status"]
                );
            }
            assert_eq!(
                contents(&system, "sample-druid"),
                before,
                "{name} changed the database"
            );
            assert_ne!(
                system.object("demo", "backupconfiguration/manual").unwrap()["spec"]["paused"],
                true,
                "{name}"
            );
        };
    let (target, nothing) = ("sample-druid", json!({}));
    check(
        "unknown",
        target,
        json!({"snapshot": "nope"}),
        nothing.clone(),
        "Invalid",
        &["nope does not exist"],
    );
    check(
        "unknown-repository",
        target,
        json!({"repository": "nope", "snapshot": "latest"}),
        nothing.clone(),
        "Invalid",
        &["Repository demo/nope does not exist"],
    );
    let parts = json!({"repository": "repo", "snapshot": "latest", "components": ["manifest"]});
    check(
        "unknown-component",
        target,
        parts,
        nothing.clone(),
        "Invalid",
        &["manifest", "it has dump"],
    );
    check(
        "no-target",
        "nobody",
        latest(),
        json!({"restoreTimeout": "2s"}),
        "Failed",
        &["Druid demo/nobody does not exist"],
    );

    system.kubectl("create secret generic -n demo wrong --from-literal=RESTIC_PASSWORD=wrong");
    let mut wrong = latest();
    wrong["encryptionSecret"] = json!({"name": "wrong"});
    check(
        "wrong-password",
        target,
        wrong,
        nothing.clone(),
        "Failed",
        &["wrong password", "demo/wrong", "nothing was changed"],
    );

    sql(&system, target, "SET GLOBAL read_only = ON");
    check(
        "read-only",
        target,
        latest(),
        nothing.clone(),
        "Failed",
        &["read-only", "nothing was changed"],
    );
    sql(&system, target, "SET GLOBAL read_only = OFF");

    flip_a_bit_in_each_pack(&volume.join("repo/repository/v1/frequent-backup/dump/data"));
    check(
        "damaged",
        target,
        latest(),
        nothing,
        "Failed",
        &["damaged", "nothing was changed"],
    );
}

fn flip_a_bit_in_each_pack(data: &Path) {
    let mut flipped = 0;
    for folder in std::fs::read_dir(data).unwrap() {
        for pack in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = pack.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            let mut permissions = std::fs::metadata(&path).unwrap().permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
            std::fs::set_permissions(&path, permissions).unwrap();
            std::fs::write(&path, bytes).unwrap();
            flipped += 1;
        }
    }
    assert!(flipped > 0, "no packs in {}", data.display());
}

#[test]
fn a_failing_statement_is_told_and_two_restores_into_one_target_take_turns() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    backed_up(&system, directory.path());
    let before = contents(&system, "sample-druid");

    // A view in the place of a table is removed as what it is.
    sql(
        &system,
        "sample-druid",
        "DROP TABLE druid.druid_rules; CREATE VIEW druid.druid_rules AS SELECT 1 AS id",
    );
    // A table that somebody reads all the time cannot be.
    let holder = Holder::of(&system, "sample-druid", "druid.druid_tasks");
    let task = json!({"name": "mysql-metadata-storage-restore", "params": {"waitTimeout": "2"}});
    let addon = json!({"addon": {"name": "druid-addon", "tasks": [task]}});
    let failed = restore(&system, "in-the-way", "sample-druid", &latest(), &addon);
    assert_eq!(
        failed["status"]["phase"], "Failed",
        "{:#}",
        failed["status"]
    );
    let error = failed["status"]["components"]["dump"]["error"]
        .as_str()
        .unwrap();
    for words in [
        "failed to load the dump",
        "Lock wait timeout",
        "at line",
        "PROCESSLIST",
        "restore again",
    ] {
        assert!(error.contains(words), "{error}");
    }
    drop(holder);

    for name in ["turn-1", "turn-2", "turn-3"] {
        system.apply(&session(name, "sample-druid", &latest(), &json!({})));
    }
    for name in ["turn-1", "turn-2", "turn-3"] {
        let ended = ended(&system, name);
        assert_eq!(
            ended["status"]["phase"],
            "Succeeded",
            "{name}: {:#}\n{}",
            ended["status"],
            system.log_text()
        );
    }
    assert_eq!(contents(&system, "sample-druid"), before);
    assert_ne!(
        system.object("demo", "backupconfiguration/manual").unwrap()["spec"]["paused"],
        true
    );
}
