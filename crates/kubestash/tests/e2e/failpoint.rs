//! The worst moment for a backup to be killed at: its data is durable, and nothing says so yet.

use serde_json::{Value, json};

use crate::bad_input::{configuration, druid, local_backend};
use crate::crash::{Victim, assert_honest, create, kill, load_metadata, restic_snapshots};
use crate::support::{Gate, System};

/// The executor says that its Snapshot has succeeded.
fn says_succeeded(request: &Value) -> bool {
    let by = request["userInfo"]["username"].as_str().unwrap_or_default();
    by.starts_with("system:serviceaccount:demo:")
        && request["object"]["status"]["phase"] == "Succeeded"
}

#[test]
fn a_kill_between_the_restic_snapshot_and_the_status_leaves_no_lie_no_lock_and_a_session_that_ends()
{
    let mut system = System::start();
    let folder = tempfile::tempdir().unwrap();
    let volume = folder.path().join("volume");
    local_backend(&system, &volume);
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    load_metadata(&system, "sample-druid");
    system.apply(&configuration(&json!({"databases": "druid"})));
    let first = crate::tutorial::first_session(&system, "manual");
    assert_eq!(first["status"]["phase"], "Succeeded", "{first:#}");

    let gate = Gate::before(
        &system,
        "storage.kubestash.com",
        "snapshots/status",
        says_succeeded,
    );
    for (round, victim) in [Victim::Executor, Victim::Up].into_iter().enumerate() {
        let stored = || restic_snapshots(&volume, "repo", "changeit").len();
        let before = stored();
        let name = format!("held-{round}");
        gate.shut();
        create(&system, &name);
        let held = gate.reached();
        // All of it is there, and the object does not say so.
        assert_eq!(stored(), before + 1);
        let snapshot = format!("snapshots.storage.kubestash.com/repo-{name}");
        let unsaid = system.object("demo", &snapshot).unwrap();
        assert_ne!(
            unsaid["status"]["phase"], "Succeeded",
            "{:#}",
            unsaid["status"]
        );
        kill(&mut system, victim);
        gate.open();
        drop(held);

        let ended = system.wait_phase(
            "demo",
            &format!("backupsession/{name}"),
            &["Succeeded", "Failed", "Skipped"],
        );
        assert_eq!(ended["status"]["phase"], "Failed", "{:#}", ended["status"]);
        let snapshot = system.wait_phase("demo", &snapshot, &["Succeeded", "Failed"]);
        assert_eq!(
            snapshot["status"]["phase"], "Failed",
            "{:#}",
            snapshot["status"]
        );

        let reason = &snapshot["status"]["components"]["dump"]["error"];
        eprintln!("{victim:?}: {reason}");
        assert!(
            reason.as_str().is_some_and(|reason| reason.len() > 10),
            "no reason in {:#}",
            snapshot["status"]
        );

        system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
        let after = format!("after-{round}");
        create(&system, &after);
        let after = system.wait_phase(
            "demo",
            &format!("backupsession/{after}"),
            &["Succeeded", "Failed", "Skipped"],
        );
        assert_eq!(after["status"]["phase"], "Succeeded", "{after:#}");
        assert_honest(&system, &volume);
    }
}
