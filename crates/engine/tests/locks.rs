//! The lock protocol between us and the real `restic` client.
#![cfg(test)]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubestash_engine::{
    CancellationToken, LockWait, OnLockWait, OpenOptions, Repository, ResticRepository,
};
use support::*;

/// Waits until as many lock files are there.
async fn locks_are(disk: &Path, count: usize) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    // restic writes a file of another name first; that is no lock yet.
    let is_lock = |entry: &std::io::Result<std::fs::DirEntry>| {
        entry
            .as_ref()
            .is_ok_and(|entry| entry.file_name().len() == 64)
    };
    let held = || {
        let locks = std::fs::read_dir(disk.join("locks"));
        locks.map_or(0, |locks| locks.filter(is_lock).count())
    };
    while held() != count {
        assert!(std::time::Instant::now() < deadline, "never {count} locks");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn restic_sees_our_lock_and_does_not_prune_beside_us() {
    let root = tempfile::tempdir().unwrap();
    let disk = on_disk(root.path());
    let repository = repository(&local(root.path())).await;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let backup = tokio::spawn({
        let repository = repository.clone();
        async move { back_up_from(&repository, Box::new(reader)).await }
    });
    locks_are(&disk, 1).await;

    let listed = restic_ok(&disk, &["list", "locks", "--no-lock"]);
    assert_eq!(listed.split_whitespace().count(), 1);
    let lock = restic_ok(&disk, &["cat", "lock", listed.trim(), "--no-lock"]);
    assert!(lock.contains("\"hostname\": \"test-job\""), "{lock}");
    assert!(lock.contains("\"exclusive\": false"), "{lock}");
    let refused = restic(&disk, &["prune"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(
        text.contains("already locked") && text.contains("test-job"),
        "{text}"
    );
    // Nor does it take our lock for stale.
    restic_ok(&disk, &["unlock"]);
    locks_are(&disk, 1).await;

    writer.write_all(b"data").unwrap();
    drop(writer);
    backup.await.unwrap().unwrap();
    locks_are(&disk, 0).await;
    restic_ok(&disk, &["prune"]);
}

#[tokio::test]
async fn we_do_not_prune_beside_restic_and_remove_its_lock_once_it_was_killed() {
    let root = tempfile::tempdir().unwrap();
    let disk = on_disk(root.path());
    let store = local(root.path());
    let repository = repository(&store).await;
    let first = back_up(&repository, b"first").await.unwrap();
    let mut theirs = restic_command(&disk, PASSWORD)
        .args(["backup", "--stdin", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    locks_are(&disk, 1).await;

    let ids = vec![first.snapshot_id];
    let error = repository
        .forget(ids.clone(), CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "RepositoryLocked");
    // Writing beside another writer is fine.
    back_up(&repository, b"second").await.unwrap();
    assert_eq!(repository.snapshots().await.unwrap().len(), 2);

    theirs.kill().unwrap();
    theirs.wait().unwrap();
    locks_are(&disk, 1).await;
    // Killed on this machine: stale at once, as for restic itself.
    repository
        .forget(ids, CancellationToken::new())
        .await
        .unwrap();
    locks_are(&disk, 0).await;
    assert_sound(&disk);
}

#[tokio::test]
async fn several_backups_and_forgets_at_once_leave_a_sound_repository() {
    let root = tempfile::tempdir().unwrap();
    let disk = on_disk(root.path());
    let store = local(root.path());
    repository(&store).await;
    let mut tasks = Vec::new();
    for worker in 0..4_u64 {
        let patient = OpenOptions {
            lock_wait: Duration::from_secs(120),
            ..options(&format!("job-{worker}"))
        };
        let repository = ResticRepository::open(&store, DIRECTORY, &password(), patient)
            .await
            .unwrap();
        tasks.push(tokio::spawn(async move {
            let mut kept = None;
            for round in 0..3 {
                let content = dump_text(worker * 100 + round, 700_000);
                let made = back_up(&repository, &content).await.unwrap();
                if let Some((id, _)) = kept.replace((made.snapshot_id, content)) {
                    repository
                        .forget(vec![id], CancellationToken::new())
                        .await
                        .unwrap();
                }
            }
            kept.unwrap()
        }));
    }
    let mut kept = Vec::new();
    for task in tasks {
        kept.push(task.await.unwrap());
    }
    locks_are(&disk, 0).await;
    assert_sound(&disk);
    for (id, content) in kept {
        assert!(restic_restore(&disk, &id) == content);
    }
}

#[tokio::test]
async fn who_waits_for_a_lock_is_told_whose_it_is_and_when_the_wait_is_over() {
    let root = tempfile::tempdir().unwrap();
    let disk = on_disk(root.path());
    let store = local(root.path());
    let first = back_up(&repository(&store).await, b"first").await.unwrap();
    let mut theirs = restic_command(&disk, PASSWORD)
        .args(["backup", "--stdin", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    locks_are(&disk, 1).await;
    let told = Arc::new(Mutex::new(Vec::<Option<LockWait>>::new()));
    let telling = Arc::clone(&told);
    let patient = OpenOptions {
        lock_wait: Duration::from_secs(120),
        on_lock_wait: OnLockWait::call(move |wait| telling.lock().unwrap().push(wait.cloned())),
        ..options("operator")
    };
    let waiting = ResticRepository::open(&store, DIRECTORY, &password(), patient)
        .await
        .unwrap();
    let forgetting = tokio::spawn(async move {
        let ids = vec![first.snapshot_id];
        waiting.forget(ids, CancellationToken::new()).await
    });
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while told.lock().unwrap().is_empty() {
        assert!(std::time::Instant::now() < deadline, "never told");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let wait = told.lock().unwrap()[0].clone().unwrap();
    assert!(wait.holder.contains(&theirs.id().to_string()), "{wait:?}");
    assert!(
        !wait.exclusive && wait.location.contains("dump"),
        "{wait:?}"
    );
    theirs.kill().unwrap();
    theirs.wait().unwrap();
    forgetting.await.unwrap().unwrap();
    assert_eq!(told.lock().unwrap().last(), Some(&None));
}

#[tokio::test]
async fn after_restic_tag_a_snapshot_is_found_and_forgotten_by_its_first_id() {
    let root = tempfile::tempdir().unwrap();
    let disk = on_disk(root.path());
    let repository = repository(&local(root.path())).await;
    let (first, other) = (b"first".as_slice(), b"other".as_slice());
    let made = back_up(&repository, first).await.unwrap().snapshot_id;
    let kept = back_up(&repository, other).await.unwrap().snapshot_id;
    for tags in [
        ["--add", "mine"],
        ["--set", "only-mine"],
        ["--set", "again"],
    ] {
        let now = repository.snapshot(&made).await.unwrap().id;
        restic_ok(&disk, &["tag", tags[0], tags[1], &now]);
    }
    let ids: Vec<String> = repository
        .snapshots()
        .await
        .unwrap()
        .into_iter()
        .map(|s| s.id)
        .collect();
    assert!(!ids.contains(&made) && ids.len() == 2, "{ids:?}");

    let found = repository.snapshot(&made).await.unwrap();
    assert_eq!(found.tags, ["again"]);
    for wanted in [made.as_str(), &made[..8]] {
        let verified = repository
            .verify_snapshot(wanted, FILE, kubestash_engine::CheckDepth::ReadData)
            .await
            .unwrap();
        assert_eq!((verified.size, verified.errors.len()), (5, 0));
    }
    let report = repository
        .forget(vec![made.clone()], CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((report.removed, report.missing.len()), (vec![found.id], 0));
    let left = repository.snapshots().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, kept);
    assert_eq!(
        repository.snapshot(&made).await.unwrap_err().kind(),
        "SnapshotMissing"
    );
    assert_sound(&disk);
}
