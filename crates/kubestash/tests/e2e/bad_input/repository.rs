//! Encryption Secrets, schedules, addons and tasks that cannot be.

use serde_json::json;

use super::{configuration, druid, local_backend};
use crate::support::System;

fn ready(system: &System, volume: &std::path::Path) {
    local_backend(system, volume);
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
}

/// Makes a session of the configuration `manual` and waits for its end.
pub fn session(system: &System, name: &str) -> serde_json::Value {
    system.apply(
        &json!({
            "apiVersion": "core.kubestash.com/v1alpha1",
            "kind": "BackupSession",
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {
                "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": "manual"},
                "session": "frequent-backup",
                "retryLeft": 0,
            },
        })
        .to_string(),
    );
    system.wait_phase(
        "demo",
        &format!("backupsession/{name}"),
        &["Succeeded", "Failed", "Skipped"],
    )
}

/// Waits for the instant session of the configuration `manual`.
pub fn instant(system: &System) -> serde_json::Value {
    crate::tutorial::first_session(system, "manual")
}

/// Everything that an ended session and its Snapshot say.
pub fn told(system: &System, session: &serde_json::Value) -> String {
    let name = session["metadata"]["name"].as_str().unwrap();
    let snapshots: Vec<String> = system
        .objects("demo", "snapshots.storage.kubestash.com")
        .iter()
        .filter(|snapshot| snapshot["spec"]["backupSession"] == name)
        .map(|snapshot| snapshot["status"].to_string())
        .collect();
    format!("{}\n{}", session["status"], snapshots.join("\n"))
}

/// Waits until the configuration `manual` is not Ready for this reason, with a message that holds
/// `words`.
fn not_ready(system: &System, reason: &str, words: &str) {
    let what = format!("to be not Ready: {reason}");
    let configuration = "backupconfiguration/manual";
    system.wait("demo", configuration, &what, |found| {
        let conditions = found["status"]["conditions"].as_array();
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Ready");
        found["status"]["phase"] == "NotReady"
            && ready.is_some_and(|ready| {
                let message = ready["message"].as_str().unwrap_or_default();
                ready["reason"] == reason && message.contains(words)
            })
    });
}

#[test]
fn a_missing_empty_or_changed_encryption_secret_is_told_by_name_and_keeps_the_backups() {
    let system = System::start();
    let volume = tempfile::tempdir().unwrap();
    let volume = volume.path().join("volume");
    ready(&system, &volume);
    system.apply(&configuration(&json!({"databases": "druid"})));
    assert_eq!(instant(&system)["status"]["phase"], "Succeeded");

    system.kubectl("patch -n demo secret encrypt-secret --type=merge -p {\"stringData\":{\"RESTIC_PASSWORD\":\"changed\"}}");
    let changed = session(&system, "changed-1");
    assert_eq!(changed["status"]["phase"], "Failed");
    let text = told(&system, &changed);
    assert!(
        text.contains("password") && text.contains("encrypt-secret"),
        "{text}"
    );

    system.kubectl(
        "patch -n demo secret encrypt-secret --type=merge -p {\"data\":{\"RESTIC_PASSWORD\":\"\"}}",
    );
    not_ready(&system, "EncryptionSecretInvalid", "empty");
    let empty = session(&system, "empty-1");
    assert_eq!(empty["status"]["phase"], "Skipped");
    assert!(
        told(&system, &empty).contains("empty"),
        "{}",
        told(&system, &empty)
    );

    system.kubectl("delete -n demo secret encrypt-secret");
    not_ready(&system, "EncryptionSecretMissing", "demo/encrypt-secret");
    let missing = session(&system, "missing-1");
    assert_eq!(missing["status"]["phase"], "Skipped");
    assert!(
        told(&system, &missing).contains("encrypt-secret"),
        "{}",
        told(&system, &missing)
    );

    system.kubectl(
        "create secret generic -n demo encrypt-secret --from-literal=RESTIC_PASSWORD=changeit",
    );
    system.wait_phase("demo", "backupconfiguration/manual", &["Ready"]);
    assert_eq!(session(&system, "mended-1")["status"]["phase"], "Succeeded");
    crate::crash::check_local(&volume, "repo", "changeit", 2);
}

#[test]
fn an_invalid_schedule_an_unknown_addon_and_an_unknown_task_are_told_where_the_user_looks() {
    let system = System::start();
    let volume = tempfile::tempdir().unwrap();
    local_backend(&system, &volume.path().join("volume"));
    let valid = configuration(&json!({}));
    for (from, to, word) in [
        ("0 0 1 1 *", "61 * * * *", "schedule"),
        ("0 0 1 1 *", "whenever", "schedule"),
        ("druid-addon", "no-such-addon", "no-such-addon"),
        (
            "mysql-metadata-storage-backup",
            "no-such-task",
            "no-such-task",
        ),
    ] {
        // Refused at once, or accepted and told in a condition: either way with the name of what is
        // wrong.
        let said = match system.try_apply(&valid.replace(from, to)) {
            Err(refusal) => refusal,
            Ok(_) => {
                let told = system.wait(
                    "demo",
                    "backupconfiguration/manual",
                    &format!("to tell {word}"),
                    |object| object["status"].to_string().contains(word),
                );
                assert_ne!(told["status"]["phase"], "Ready");
                told["status"].to_string()
            }
        };
        assert!(said.contains(word), "{said}");
        let _ = system.try_kubectl("delete -n demo backupconfiguration manual");
    }
    assert!(system.objects("demo", "backupsessions").is_empty());
}
