//! BackupStorages that cannot work, and how they recover.

use std::time::Duration;

use serde_json::{Value, json};

use super::{configuration, local_backend};
use crate::support::{Gcs, System, eventually, free_port};
use crate::tutorial::{example, first_session, trigger};

fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == type_)
}

/// Waits until a condition of the tutorial's storage is False with a message that holds `text`.
fn not_ready(system: &System, type_: &str, text: &str) -> String {
    let storage = system.wait(
        "demo",
        "backupstorage/gcs-storage",
        &format!("to say {text:?} in {type_}"),
        |storage| {
            condition(storage, type_).is_some_and(|condition| {
                condition["status"] == "False"
                    && condition["message"]
                        .as_str()
                        .unwrap_or_default()
                        .contains(text)
            })
        },
    );
    assert_eq!(storage["status"]["phase"], "NotReady");
    condition(&storage, type_).unwrap()["message"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_volume_that_is_not_there_any_more_fails_the_backup_and_is_not_begun_anew() {
    let parent = tempfile::tempdir().unwrap();
    let (volume, away) = (parent.path().join("volume"), parent.path().join("away"));
    let system = System::start();
    local_backend(&system, &volume);
    system.apply(&example("sample-mariadb.yaml"));
    system.wait_phase("demo", "mariadb/sample-mariadb", &["Ready"]);
    let mut object: Value = serde_json::from_str(&configuration(&json!({}))).unwrap();
    object["spec"]["target"]["kind"] = json!("MariaDB");
    object["spec"]["target"]["name"] = json!("sample-mariadb");
    object["spec"]["sessions"][0]["addon"] =
        json!({"name": "mariadb-addon", "tasks": [{"name": "logical-backup"}]});
    system.apply(&object.to_string());
    let ended = ["Succeeded", "Failed"];
    let first = first_session(&system, "manual");
    assert_eq!(first["status"]["phase"], "Succeeded", "{first:#}");

    // As if the disk was not mounted: only the folder that it belongs on is there.
    std::fs::rename(&volume, &away).unwrap();
    std::fs::create_dir(&volume).unwrap();
    let session = format!("backupsession/{}", trigger(&system, "manual"));
    let failed = system.wait_phase("demo", &session, &ended);
    assert_eq!(failed["status"]["phase"], "Failed", "{failed:#}");
    let told = condition(&failed, "Ready").unwrap()["message"]
        .as_str()
        .unwrap();
    assert!(
        told.contains(
            "it is not there, and Repository demo/repo has Snapshots whose data is in it (1)"
        ),
        "{told}"
    );
    assert!(!volume.join("repo/repository").exists());

    std::fs::remove_dir_all(&volume).unwrap();
    std::fs::rename(&away, &volume).unwrap();
    let session = format!("backupsession/{}", trigger(&system, "manual"));
    let again = system.wait_phase("demo", &session, &ended);
    assert_eq!(again["status"]["phase"], "Succeeded", "{again:#}");
}

#[test]
fn a_disk_that_is_not_mounted_is_told_within_seconds_on_storage_and_session_and_both_go_on_when_it_is()
 {
    let parent = tempfile::tempdir().unwrap();
    let (disk, away) = (parent.path().join("disk"), parent.path().join("away"));
    let system = System::start();
    system.kubectl("create ns demo");
    system.kubectl(
        "create secret generic -n demo encrypt-secret --from-literal=RESTIC_PASSWORD=changeit",
    );
    system.apply(&example("retentionpolicy.yaml"));
    let storage = super::local_storage(&disk);
    std::fs::remove_dir(&disk).unwrap();
    system.apply(&storage);
    let told = not_ready(&system, "BackendInitialized", "FailedMount");
    assert!(
        told.contains("Job demo/init-gcs-storage waits") && told.contains("mount its disk"),
        "{told}"
    );
    std::fs::create_dir(&disk).unwrap();
    system.wait_phase("demo", "backupstorage/gcs-storage", &["Ready"]);

    system.apply(&example("sample-mariadb.yaml"));
    system.wait_phase("demo", "mariadb/sample-mariadb", &["Ready"]);
    let mut object: Value = serde_json::from_str(&configuration(&json!({}))).unwrap();
    object["spec"]["target"]["kind"] = json!("MariaDB");
    object["spec"]["target"]["name"] = json!("sample-mariadb");
    object["spec"]["sessions"][0]["addon"] =
        json!({"name": "mariadb-addon", "tasks": [{"name": "logical-backup"}]});
    system.apply(&object.to_string());
    let first = first_session(&system, "manual");
    assert_eq!(first["status"]["phase"], "Succeeded", "{first:#}");

    std::fs::rename(&disk, &away).unwrap();
    let session = format!("backupsession/{}", trigger(&system, "manual"));
    let waiting = system.wait(
        "demo",
        &session,
        "to say that the disk is missing",
        |found| {
            condition(found, "Ready").is_some_and(|ready| {
                let message = ready["message"].as_str().unwrap_or_default();
                ready["reason"] == "PodNotStarted" && message.contains("FailedMount")
            })
        },
    );
    assert_eq!(waiting["status"]["phase"], "Pending", "{waiting:#}");
    std::fs::rename(&away, &disk).unwrap();
    let ended = system.wait_phase("demo", &session, &["Succeeded", "Failed"]);
    assert_eq!(ended["status"]["phase"], "Succeeded", "{ended:#}");
}

#[test]
fn a_missing_secret_and_a_missing_key_are_named_and_the_storage_recovers_by_itself() {
    let gcs = Gcs::start();
    let system = System::with_gcs(&gcs);
    system.kubectl("create ns demo");
    system.apply(&example("backupstorage.yaml"));
    not_ready(&system, "BackendSecretFound", "gcs-secret");
    system.kubectl("create secret generic -n demo gcs-secret --from-literal=WRONG=x");
    let missing = eventually(
        "the missing key to be named",
        Duration::from_secs(30),
        || {
            let storage = system.object("demo", "backupstorage/gcs-storage")?;
            let text = storage["status"].to_string();
            if text.contains("GOOGLE_SERVICE_ACCOUNT_JSON_KEY") {
                Ok(text)
            } else {
                Err(text)
            }
        },
    );
    assert!(missing.contains("gcs-secret"), "{missing}");
    system.kubectl("delete secret -n demo gcs-secret");
    system.kubectl("create secret generic -n demo gcs-secret --from-literal=GOOGLE_SERVICE_ACCOUNT_JSON_KEY={}");
    system.wait_phase("demo", "backupstorage/gcs-storage", &["Ready"]);
    system.wait_event(
        "demo",
        "BackupStorage",
        "gcs-storage",
        "STORAGE_EMULATOR_HOST",
    );
}

#[test]
fn a_missing_bucket_is_named_and_the_storage_recovers_when_it_is_made() {
    let gcs = Gcs::start();
    let system = System::with_gcs(&gcs);
    system.kubectl("create ns demo");
    system.kubectl("create secret generic -n demo gcs-secret --from-literal=GOOGLE_SERVICE_ACCOUNT_JSON_KEY={}");
    system.apply(&example("backupstorage.yaml").replace("kubestash-qa", "forgotten"));
    not_ready(&system, "BackendInitialized", "forgotten");
    gcs.create_bucket("forgotten");
    system.wait_phase("demo", "backupstorage/gcs-storage", &["Ready"]);
}

#[test]
fn a_dead_endpoint_is_told_within_seconds() {
    let dead = format!("http://127.0.0.1:{}", free_port());
    let system = System::with_environment(vec![("STORAGE_EMULATOR_HOST".to_owned(), dead.clone())]);
    system.kubectl("create ns demo");
    system.kubectl("create secret generic -n demo gcs-secret --from-literal=GOOGLE_SERVICE_ACCOUNT_JSON_KEY={}");
    system.apply(&example("backupstorage.yaml"));
    let message = not_ready(&system, "BackendInitialized", "127.0.0.1");
    assert!(!message.contains("panick"), "{message}");
}

#[test]
fn two_storages_of_one_directory_and_a_second_default_are_refused() {
    let gcs = Gcs::start();
    let system = System::with_gcs(&gcs);
    system.kubectl("create ns demo");
    system.apply(&example("backupstorage.yaml"));
    let twin = example("backupstorage.yaml").replace("name: gcs-storage", "name: twin");
    let error = system.try_apply(&twin).unwrap_err();
    assert!(error.contains("default"), "{error}");
    let error = system
        .try_apply(&twin.replace("default: true", "default: false"))
        .unwrap_err();
    assert!(
        error.contains("demo/gcs-storage") && error.contains("prefix"),
        "{error}"
    );
}

#[test]
fn an_invalid_period_is_refused_with_its_grammar() {
    let system = System::start();
    system.kubectl("create ns demo");
    for period in ["2 months", "10", "1.5d", "2MO"] {
        let error = system
            .try_apply(&example("retentionpolicy.yaml").replace("2mo", &format!("\"{period}\"")))
            .unwrap_err();
        assert!(
            error.contains("maxRetentionPeriod") || error.contains("retention period"),
            "{error}"
        );
    }
    system.apply(&example("retentionpolicy.yaml"));
}
