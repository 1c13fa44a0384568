//! The worst moment for a backup to be killed at: its data is durable, and nothing says so yet.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::bad_input::{configuration, druid, local_backend};
use crate::crash::{Victim, create, kill, load_metadata};
use crate::support::{Gate, System, find_binary, output};

/// The executor says that its Snapshot has succeeded.
fn says_succeeded(request: &Value) -> bool {
    let by = request["userInfo"]["username"].as_str().unwrap_or_default();
    by.starts_with("system:serviceaccount:demo:")
        && request["object"]["status"]["phase"] == "Succeeded"
}

/// Ids of the restic snapshots, as the real restic lists them; the repository has no lock and checks clean.
fn sound(volume: &Path) -> BTreeSet<String> {
    let repository = volume.join("repo/repository/v1/frequent-backup/dump");
    let restic = |args: &[&str]| {
        output(
            Command::new(find_binary("restic"))
                .args(["--no-cache", "-r"])
                .arg(&repository)
                .args(args)
                .env("RESTIC_PASSWORD", "changeit"),
        )
        .unwrap_or_else(|error| panic!("restic {args:?}: {error}"))
    };
    assert_eq!(restic(&["list", "locks", "--no-lock"]), "", "a lock stayed");
    let checked = restic(&["check", "--read-data"]);
    assert!(checked.contains("no errors were found"), "{checked}");
    let listed: Vec<Value> = serde_json::from_str(&restic(&["snapshots", "--json"])).unwrap();
    listed
        .iter()
        .map(|snapshot| snapshot["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Ids that Snapshots claim to be there.
fn claimed(snapshots: &[Value]) -> BTreeSet<String> {
    snapshots
        .iter()
        .filter(|snapshot| snapshot["status"]["phase"] == "Succeeded")
        .map(|snapshot| {
            let id = &snapshot["status"]["components"]["dump"]["resticStats"][0]["id"];
            id.as_str().unwrap().to_owned()
        })
        .collect()
}

/// The Snapshots that the files beside the data describe.
fn files(volume: &Path) -> Vec<Value> {
    std::fs::read_dir(volume.join("repo/snapshots"))
        .unwrap()
        .map(|file| {
            serde_saphyr::from_str(&std::fs::read_to_string(file.unwrap().path()).unwrap()).unwrap()
        })
        .collect()
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
        let before = sound(&volume).len();
        let name = format!("held-{round}");
        gate.shut();
        create(&system, &name);
        let held = gate.reached();
        // All of it is there, and the object does not say so.
        assert_eq!(sound(&volume).len(), before + 1);
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
        let present = sound(&volume);
        let objects = system.objects("demo", "snapshots.storage.kubestash.com");
        assert_eq!(claimed(&objects).len(), 2 + round, "{objects:#?}");
        for id in claimed(&objects).union(&claimed(&files(&volume))) {
            assert!(present.contains(id), "{id} is claimed and not there");
        }
    }
}
