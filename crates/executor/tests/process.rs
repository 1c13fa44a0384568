//! The executor as a process: killed, told to stop, watched from outside.
#![cfg(test)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kubestash_api::core::BackupSession;
use kubestash_api::storage::Repository;
use kubestash_engine::{CancellationToken, Repository as _};
use kubestash_executor::cluster::Cluster;
use kubestash_executor::store::Store;
use serde_json::{Value, json};

mod support;
use support::{
    CORE, Process, RESTIC_PASSWORD, ROOT_PASSWORD, STORAGE, Stage, eventually, files_below, seeded,
    snapshot_name,
};

const REPO: &str = "default-blueprint";
/// Not a test: this is the process that the other tests start, stop and kill.
#[tokio::test(flavor = "multi_thread")]
async fn executor_process() {
    support::executor_process().await;
}

fn start(stage: &Stage, session: &str, path: Option<&Path>) -> Process {
    Process::start(stage, &stage.args(session, &[]), path)
}

/// Ids of processes with a text in their command line.
fn processes_with(text: &str) -> Vec<String> {
    let read = |path: &Path| std::fs::read(path.join("cmdline")).unwrap_or_default();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| String::from_utf8_lossy(&read(&entry.path())).contains(text))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[tokio::test]
async fn a_kill_at_any_moment_is_mended_by_the_next_attempt() {
    let stage = Stage::new(&[REPO]).await;
    // Some weight, so that there are moments to be killed at, and never two equal dumps.
    stage.database.fill_druid("weight", 6_000).await;
    stage
        .database
        .run(&["CREATE TABLE druid.druid_upgradeSegments AS SELECT * FROM weight.druid_segments"])
        .await;
    stage.session("warm-up").await;
    let started = Instant::now();
    let (code, log) = start(&stage, "warm-up", None).end().await;
    assert_eq!(code, Some(0), "{log}");
    let mut whole = u64::try_from(started.elapsed().as_millis()).unwrap();

    let mut random = seeded(20_240_919);
    let (mut round, mut killed) = (0, 0);
    while killed < 20 {
        round += 1;
        assert!(round < 60, "only {killed} were killed at work");
        let session = format!("s-{round}");
        stage.session(&session).await;
        stage
            .database
            .run(&[&format!(
                "INSERT INTO druid.druid_tasks VALUES ('t-{round}', REPEAT('x', 1000))"
            )])
            .await;
        let process = start(&stage, &session, None);
        tokio::time::sleep(Duration::from_millis(random(whole))).await;
        process.signal("-9");
        let (code, _) = process.end().await;
        match code {
            None => killed += 1,
            // It was faster, as the next one may be.
            Some(_) => whole = (whole * 9 / 10).max(50),
        }

        // Whatever a Snapshot says is true at this moment already.
        let status = stage
            .snapshot(REPO, &session)
            .await
            .unwrap()
            .status
            .unwrap();
        if status.phase.unwrap().as_str() == "Succeeded" {
            assert!(
                stage.snapshot_file(REPO, &session).exists(),
                "round {round}"
            );
        }
        stage.assert_true(REPO).await;

        let (code, log) = start(&stage, &session, None).end().await;
        assert_eq!(
            code,
            Some(0),
            "round {round}: {log}\n{}",
            stage.database.log()
        );
        let snapshot = stage.snapshot(REPO, &session).await.unwrap();
        assert_eq!(
            snapshot.status.unwrap().phase.unwrap().as_str(),
            "Succeeded"
        );
        let id = stage.dump(REPO, &session).await["resticStats"][0]["id"].clone();
        let uid = format!("snapshot-uid={}", snapshot.metadata.uid.unwrap());
        let ours: Vec<Value> = stage
            .restic_snapshots(REPO)
            .into_iter()
            .filter(|info| info["tags"].as_array().unwrap().contains(&json!(uid)))
            .map(|info| info["id"].clone())
            .collect();
        assert_eq!(ours, [id], "round {round}");
        let (left, objects) = (stage.restic_snapshots(REPO), stage.snapshots().await);
        assert_eq!(
            left.len(),
            2,
            "round {round}: {left:#?} {objects:#?}\n{log}"
        );
        let status = stage.backup_session(&session).await.status.unwrap();
        let applied = &status.retention_policy[0];
        assert_eq!(
            applied.phase.unwrap().as_str(),
            "Applied",
            "round {round}: {applied:?}\n{log}"
        );
    }

    // Nothing is left behind: no lock, no data without an object, no file without one, no client.
    assert!(
        stage
            .restic(REPO, &["list", "locks", "--no-lock"])
            .stdout
            .is_empty()
    );
    stage.restic(REPO, &["check", "--read-data"]);
    assert_eq!(
        stage.restic_snapshots(REPO).len(),
        2,
        "as many as the policy keeps"
    );
    let files = files_below(&stage.volume.path().join(REPO).join("snapshots"));
    // Half a file that a killed writer left is nobody's until it is removed, an hour later.
    let mut names: Vec<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    assert_eq!(names.len(), 2, "{names:?}");
    let scratch = stage.scratch.path().display().to_string();
    eventually("no client stays", || {
        processes_with(&format!("--defaults-file={scratch}")).is_empty()
    })
    .await;
}

#[tokio::test]
async fn told_to_stop_it_leaves_no_snapshot_and_says_so_and_shows_no_secret_meanwhile() {
    let stage = Stage::new(&[REPO]).await;
    stage.database.fill_druid("weight", 60_000).await;
    stage
        .database
        .run(&["CREATE TABLE druid.druid_upgradeSegments AS SELECT * FROM weight.druid_segments"])
        .await;
    stage.session("s-1").await;
    let process = start(&stage, "s-1", None);
    let client = format!("--defaults-file={}", stage.scratch.path().display());
    eventually("the dump runs", || !processes_with(&client).is_empty()).await;

    let mut searched = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let Ok(content) = std::fs::read(entry.path().join(file)) else {
                continue;
            };
            let content = String::from_utf8_lossy(&content);
            // Other tests give the real restic its password that way.
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            for canary in [ROOT_PASSWORD, RESTIC_PASSWORD] {
                assert!(
                    name.trim() == "restic" || !content.contains(canary),
                    "{}/{file}",
                    entry.path().display()
                );
            }
            searched.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    assert!(searched.contains(&process.child.id().to_string()));

    process.signal("-TERM");
    let (code, log) = process.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("ERROR failed to finish: the Job was stopped; no snapshot was written"),
        "{log}"
    );
    for canary in [ROOT_PASSWORD, RESTIC_PASSWORD] {
        assert!(!log.contains(canary));
    }
    let dump = stage.dump(REPO, "s-1").await;
    assert_eq!(
        (
            &dump["phase"],
            dump["error"].as_str().unwrap().contains("was stopped")
        ),
        (&json!("Running"), true)
    );
    assert_eq!(stage.restic_snapshots(REPO).len(), 0);
    assert!(
        stage
            .restic(REPO, &["list", "locks", "--no-lock"])
            .stdout
            .is_empty()
    );
    assert_eq!(std::fs::read_dir(stage.scratch.path()).unwrap().count(), 0);
    assert!(processes_with(&client).is_empty());
}

#[tokio::test]
async fn a_dump_client_that_dies_half_way_leaves_no_snapshot() {
    let stage = Stage::new(&[REPO]).await;
    stage.database.fill_druid("weight", 60_000).await;
    stage
        .database
        .run(&["CREATE TABLE druid.druid_upgradeSegments AS SELECT * FROM weight.druid_segments"])
        .await;
    stage.session("s-1").await;
    let process = start(&stage, "s-1", None);
    let client = format!("--defaults-file={}", stage.scratch.path().display());
    eventually("the dump runs", || !processes_with(&client).is_empty()).await;
    for pid in processes_with(&client) {
        // It may have ended by itself in between; then the test fails below.
        let _ = Command::new("kill").args(["-9", &pid]).status().unwrap();
    }
    let (code, log) = process.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("ERROR failed to dump: mariadb-dump ended with signal 9"),
        "{log}"
    );
    assert_eq!(stage.restic_snapshots(REPO).len(), 0);
    let error = stage.dump(REPO, "s-1").await["error"].clone();
    assert_eq!(error, "failed to dump: mariadb-dump ended with signal 9");
}

#[tokio::test]
async fn a_missing_client_is_named_before_anything_is_waited_for() {
    let mut stage = Stage::new(&[REPO]).await;
    stage.database.kill();
    stage.session("s-1").await;
    let empty = tempfile::tempdir().unwrap();
    let (code, log) = start(&stage, "s-1", Some(empty.path())).end().await;
    assert_eq!(code, Some(64), "{log}");
    assert!(
        log.contains("failed to find mariadb-dump or mysqldump on PATH; install the package"),
        "{log}"
    );
}

#[tokio::test]
async fn locks_of_ended_jobs_do_not_hold_up_retention() {
    let stage = Stage::new(&[REPO]).await;
    stage.database.fill_druid("weight", 60_000).await;
    stage.back_up("s-1").await;
    // A Job dies in the middle and leaves its lock; the operator ends its Snapshot.
    stage
        .database
        .run(&["CREATE TABLE druid.druid_upgradeSegments AS SELECT * FROM weight.druid_segments"])
        .await;
    stage.session("s-2").await;
    let process = start(&stage, "s-2", None);
    let locks = stage.restic_dir(REPO).join("locks");
    // A lock counts when it has its name; before that it is a file in the making, which holds up
    // nobody.
    let held = || {
        let names = std::fs::read_dir(&locks).unwrap().flatten();
        names.filter(|file| file.file_name().len() == 64).count()
    };
    eventually("a lock is there", || held() > 0).await;
    process.signal("-9");
    assert_eq!(process.end().await.0, None);
    assert_eq!(held(), 1);
    let name = snapshot_name(REPO, "s-2");
    stage
        .status(STORAGE, "Snapshot", &name, json!({"phase": "Failed"}))
        .await;
    for session in ["s-3", "s-4"] {
        stage.session(session).await;
        let (code, log) = start(&stage, session, None).end().await;
        assert_eq!(code, Some(0), "{log}");
    }
    let session = stage.backup_session("s-4").await;
    let applied = session.status.unwrap().retention_policy[0].clone();
    assert_eq!(applied.phase.unwrap().as_str(), "Applied", "{applied:?}");
    assert!(stage.snapshot(REPO, "s-1").await.is_none());
    assert_eq!(held(), 0);
    stage.restic(REPO, &["check", "--read-data"]);
}

#[tokio::test]
async fn while_retention_waits_for_a_lock_the_session_says_so_and_the_backup_is_reported_already() {
    let stage = Stage::new(&[REPO]).await;
    stage.back_up("s-1").await;
    stage.back_up("s-2").await;
    // Somebody works on the repository with restic itself.
    let mut theirs = Command::new("restic")
        .args(["--no-cache", "--repo"])
        .arg(stage.restic_dir(REPO))
        .args(["backup", "--stdin", "--quiet"])
        .env("RESTIC_PASSWORD", RESTIC_PASSWORD)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let locks = stage.restic_dir(REPO).join("locks");
    eventually("restic holds a lock", || {
        std::fs::read_dir(&locks).unwrap().count() == 1
    })
    .await;

    stage.session("s-3").await;
    let process = start(&stage, "s-3", None);
    let waiting = |session: &BackupSession| {
        let conditions = &session.status.as_ref()?.conditions;
        let found = conditions.iter().find(|found| found.type_ == "Waiting")?;
        Some((found.reason.clone(), found.message.clone()))
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let (reason, message) = loop {
        if let Some(said) = waiting(&stage.backup_session("s-3").await) {
            break said;
        }
        assert!(Instant::now() < deadline, "it says nothing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(reason, "RepositoryLocked");
    assert!(message.contains(&theirs.id().to_string()), "{message}");
    let snapshot = stage.snapshot(REPO, "s-3").await.unwrap();
    assert_eq!(
        snapshot.status.unwrap().phase.unwrap().as_str(),
        "Succeeded"
    );
    // What retention lets go says already that it goes.
    let going = stage.snapshot(REPO, "s-1").await.unwrap();
    assert!(going.metadata.deletion_timestamp.is_some());
    assert_eq!(going.status.unwrap().phase.unwrap().as_str(), "Failed");

    // Killed, its lock is stale at once.
    theirs.kill().unwrap();
    theirs.wait().unwrap();
    let (code, log) = process.end().await;
    assert_eq!(code, Some(0), "{log}");
    let session = stage.backup_session("s-3").await;
    assert_eq!(waiting(&session), None);
    let applied = &session.status.unwrap().retention_policy[0];
    assert_eq!(applied.phase.unwrap().as_str(), "Applied", "{log}");
    assert!(stage.snapshot(REPO, "s-1").await.is_none());
}

#[tokio::test]
async fn snapshots_dated_in_the_future_push_out_no_new_one_and_are_told() {
    let stage = Stage::new(&[REPO]).await;
    for session in ["s-1", "s-2", "s-3"] {
        stage.back_up(session).await;
        let name = snapshot_name(REPO, session);
        let ahead = json!({"snapshotTime": "2099-01-01T00:00:00Z"});
        stage.status(STORAGE, "Snapshot", &name, ahead).await;
    }
    for session in ["s-4", "s-5", "s-6"] {
        stage.back_up(session).await;
        let made = stage.snapshot(REPO, session).await.unwrap();
        assert_eq!(made.status.unwrap().phase.unwrap().as_str(), "Succeeded");
        let status = stage.backup_session(session).await.status.unwrap();
        let told = status
            .conditions
            .iter()
            .find(|found| found.type_ == "SnapshotsDatedInFuture");
        let message = &told.unwrap().message;
        assert!(message.contains(&snapshot_name(REPO, "s-1")), "{message}");
    }
    // The policy keeps two of those that are dated as they should be.
    assert!(stage.snapshot(REPO, "s-4").await.is_none());
    assert_eq!(stage.snapshots().await.len(), 5);
}

#[tokio::test]
async fn a_lock_stays_until_its_session_has_ended_also_when_its_snapshot_has_succeeded() {
    let stage = Stage::new(&[REPO]).await;
    stage.database.fill_druid("weight", 60_000).await;
    stage.back_up("s-1").await;
    stage
        .database
        .run(&["CREATE TABLE druid.druid_upgradeSegments AS SELECT * FROM weight.druid_segments"])
        .await;
    stage.session("s-2").await;
    let process = start(&stage, "s-2", None);
    let locks = stage.restic_dir(REPO).join("locks");
    let held = || {
        let names = std::fs::read_dir(&locks).unwrap().flatten();
        names.filter(|file| file.file_name().len() == 64).count()
    };
    eventually("a lock is there", || held() > 0).await;
    // It lives and works on the repository, as a Job does with retention after its Snapshot has
    // succeeded.
    process.signal("-STOP");
    let name = snapshot_name(REPO, "s-2");
    stage
        .status(STORAGE, "Snapshot", &name, json!({"phase": "Succeeded"}))
        .await;

    let cluster = Cluster::new(stage.executor().await);
    let repository: Repository = cluster.get("demo", REPO, "").await.unwrap();
    let store = Store::of(&cluster, &stage.settings(), repository, "s-3")
        .await
        .unwrap();
    let mut options = store.options().clone();
    options.lock_wait = Duration::from_millis(300);
    options.lock_poll = Duration::from_millis(50);
    let ours = store
        .backend
        .open_repository(
            store.directory(),
            "repository/v1/frequent-backup/dump",
            &store.password().unwrap(),
            options,
        )
        .await
        .unwrap();
    let oldest = stage.dump(REPO, "s-1").await["resticStats"][0]["id"].clone();
    let forget = || {
        let ids = vec![oldest.as_str().unwrap().to_owned()];
        ours.forget(ids, CancellationToken::new())
    };
    let error = forget().await.unwrap_err();
    assert_eq!(error.kind(), "RepositoryLocked");
    assert_eq!(held(), 1, "the lock of one that lives is gone");

    stage
        .status(CORE, "BackupSession", "s-2", json!({"phase": "Succeeded"}))
        .await;
    forget().await.unwrap();
    assert_eq!(held(), 0);
    process.signal("-9");
    process.end().await;
}
