//! The lock protocol between us and the real `restic` client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{io::Write as _, path::Path, process::Stdio, sync::Arc, time::Duration};

use kubestash_engine::{CancellationToken, LockOwner, OpenOptions, Repository, ResticRepository};
use support::*;

/// Waits until as many lock files are there.
async fn locks_are(disk: &Path, count: usize) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while std::fs::read_dir(disk.join("locks")).map_or(0, Iterator::count) != count {
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
async fn we_do_not_prune_beside_restic_and_remove_its_lock_only_when_it_is_gone() {
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
    // Only who knows that its holder is gone may remove it.
    assert!(
        repository
            .forget(ids.clone(), CancellationToken::new())
            .await
            .is_err()
    );
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let machine = machine.trim().to_owned();
    let owner = LockOwner::new("operator").with_gone_check(Arc::new(move |name| {
        let gone = name == machine;
        Box::pin(async move { gone })
    }));
    let options = OpenOptions {
        owner,
        ..options("")
    };
    let knowing = ResticRepository::open(&store, DIRECTORY, &password(), options)
        .await
        .unwrap();
    knowing.forget(ids, CancellationToken::new()).await.unwrap();
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
