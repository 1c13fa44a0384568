use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::restic::open;
use crate::storage::{Local, Provider};
use crate::{ObjectStore, OpenOptions, Secret, StorageConfig};

fn options() -> OpenOptions {
    OpenOptions {
        lock_wait: Duration::from_millis(100),
        lock_poll: Duration::from_millis(10),
        lock_refresh: Duration::from_secs(60),
        ..OpenOptions::new(LockOwner::new("job-1"))
    }
}

fn store(root: &std::path::Path) -> ObjectStore {
    ObjectStore::open(&StorageConfig {
        provider: Provider::Local(Local {
            root: root.to_owned(),
        }),
        prefix: String::new(),
        max_connections: None,
    })
    .unwrap()
}

async fn opened(root: &std::path::Path, options: OpenOptions) -> Arc<Opened> {
    let password = Secret::new("secret");
    let store = store(root);
    let result = open::open(&store, "r", &password, options.clone()).await;
    Arc::new(match result {
        Ok(opened) => opened,
        Err(_) => open::init(&store, "r", &password, options).await.unwrap(),
    })
}

async fn acquire(opened: &Arc<Opened>, mode: Mode) -> Result<Lock, EngineError> {
    Lock::acquire(opened, mode, &CancellationToken::new()).await
}

async fn locks(opened: &Opened) -> Vec<Id> {
    opened.list_ids(files::LOCKS).await.unwrap()
}

/// A lock as another process left it.
async fn leave(opened: &Opened, hostname: &str, age_minutes: i64, exclusive: bool) {
    let file = LockFile {
        time: Timestamp::now() - jiff::SignedDuration::from_mins(age_minutes),
        exclusive,
        hostname: hostname.to_owned(),
        username: String::new(),
        pid: 1,
    };
    opened.save(files::LOCKS, &file).await.unwrap();
}

#[tokio::test]
async fn shared_locks_go_together_and_an_exclusive_one_goes_alone() {
    let root = tempfile::tempdir().unwrap();
    let opened = opened(root.path(), options()).await;
    let first = acquire(&opened, Mode::Shared).await.unwrap();
    let second = acquire(&opened, Mode::Shared).await.unwrap();
    let refused = acquire(&opened, Mode::Exclusive).await.unwrap_err();
    assert_eq!(refused.kind(), "RepositoryLocked");
    assert!(refused.to_string().contains("job-1"), "{refused}");
    assert_eq!(locks(&opened).await.len(), 2);
    first.release().await;
    second.release().await;
    let alone = acquire(&opened, Mode::Exclusive).await.unwrap();
    for mode in [Mode::Shared, Mode::Exclusive] {
        assert_eq!(
            acquire(&opened, mode).await.unwrap_err().kind(),
            "RepositoryLocked"
        );
    }
    alone.release().await;
    assert_eq!(locks(&opened).await, []);
}

#[tokio::test]
async fn a_waiting_one_gets_the_lock_when_it_becomes_free() {
    let root = tempfile::tempdir().unwrap();
    let patient = OpenOptions {
        lock_wait: Duration::from_secs(60),
        ..options()
    };
    let opened = opened(root.path(), patient).await;
    let held = acquire(&opened, Mode::Exclusive).await.unwrap();
    let waiting = acquire(&opened, Mode::Shared);
    let (lock, ()) = tokio::join!(waiting, held.release());
    lock.unwrap().release().await;
}

#[tokio::test]
async fn two_exclusive_ones_at_once_never_hold_it_both() {
    let root = tempfile::tempdir().unwrap();
    let patient = OpenOptions {
        lock_wait: Duration::from_secs(60),
        ..options()
    };
    let opened = opened(root.path(), patient).await;
    let inside = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (opened, inside) = (Arc::clone(&opened), Arc::clone(&inside));
            tokio::spawn(async move {
                let lock = acquire(&opened, Mode::Exclusive).await.unwrap();
                assert!(!inside.swap(true, Ordering::SeqCst));
                tokio::task::yield_now().await;
                assert!(inside.swap(false, Ordering::SeqCst));
                lock.release().await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(locks(&opened).await, []);
}

#[tokio::test]
async fn old_locks_are_removed_and_young_ones_respected() {
    let root = tempfile::tempdir().unwrap();
    let opened = opened(root.path(), options()).await;
    leave(&opened, "crashed", 31, true).await;
    acquire(&opened, Mode::Exclusive)
        .await
        .unwrap()
        .release()
        .await;
    assert_eq!(locks(&opened).await, []);
    leave(&opened, "alive", 29, true).await;
    for mode in [Mode::Shared, Mode::Exclusive] {
        let error = acquire(&opened, mode).await.unwrap_err();
        assert!(error.to_string().contains("alive"), "{error}");
    }
    assert_eq!(remove_stale(&opened).await.unwrap(), 0);
    assert_eq!(locks(&opened).await.len(), 1);
}

#[tokio::test]
async fn locks_of_holders_that_are_gone_are_removed_but_never_our_own() {
    let root = tempfile::tempdir().unwrap();
    let gone: OwnerGone = Arc::new(|name| Box::pin(async move { name != "job-2" }));
    let opened = opened(
        root.path(),
        OpenOptions {
            owner: LockOwner::new("job-1").with_gone_check(gone),
            ..options()
        },
    )
    .await;
    leave(&opened, "job-0", 1, true).await;
    leave(&opened, "job-1", 1, false).await;
    let ours = acquire(&opened, Mode::Shared).await.unwrap();
    assert_eq!(locks(&opened).await.len(), 1);
    assert!(acquire(&opened, Mode::Exclusive).await.is_err());
    ours.release().await;
    leave(&opened, "job-2", 1, false).await;
    assert!(acquire(&opened, Mode::Exclusive).await.is_err());
}

#[tokio::test]
async fn an_unreadable_lock_counts_as_held() {
    let root = tempfile::tempdir().unwrap();
    let opened = opened(root.path(), options()).await;
    let path = opened.path_of(files::LOCKS, &Id::of(b"x"));
    opened
        .store
        .write(&path, bytes::Bytes::from_static(b"half"), None)
        .await
        .unwrap();
    assert!(acquire(&opened, Mode::Exclusive).await.is_err());
    acquire(&opened, Mode::Shared)
        .await
        .unwrap()
        .release()
        .await;
}

#[tokio::test]
async fn a_lock_is_renewed_and_given_back_under_its_new_name() {
    let root = tempfile::tempdir().unwrap();
    let opened = opened(
        root.path(),
        OpenOptions {
            lock_refresh: Duration::from_millis(20),
            ..options()
        },
    )
    .await;
    let lock = acquire(&opened, Mode::Shared).await.unwrap();
    let first = locks(&opened).await;
    while locks(&opened).await.iter().any(|id| first.contains(id)) {
        tokio::task::yield_now().await;
    }
    lock.release().await;
    assert_eq!(locks(&opened).await, []);
}

#[tokio::test]
async fn a_lock_that_cannot_be_renewed_is_reported_as_lost() {
    let root = tempfile::tempdir().unwrap();
    let mount = root.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    let opened = opened(
        &mount,
        OpenOptions {
            lock_refresh: Duration::from_millis(10),
            ..options()
        },
    )
    .await;
    let lock = acquire(&opened, Mode::Shared).await.unwrap();
    std::fs::remove_dir_all(&mount).unwrap();
    lock.lost().cancelled().await;
}

#[tokio::test]
async fn waiting_ends_when_cancelled() {
    let root = tempfile::tempdir().unwrap();
    let patient = OpenOptions {
        lock_wait: Duration::from_secs(3600),
        lock_poll: Duration::from_secs(3600),
        ..options()
    };
    let opened = opened(root.path(), patient).await;
    leave(&opened, "alive", 1, true).await;
    let cancel = CancellationToken::new();
    let waiting = Lock::acquire(&opened, Mode::Shared, &cancel);
    let (result, ()) = tokio::join!(waiting, async { cancel.cancel() });
    assert_eq!(result.unwrap_err().kind(), "Cancelled");
}

#[tokio::test]
async fn a_lock_dated_in_the_future_is_stale_once_nobody_renews_it() {
    let root = tempfile::tempdir().unwrap();
    let opened = opened(root.path(), options()).await;
    let file = |opened: &Opened, id: &Id| root.path().join(opened.path_of(files::LOCKS, id));
    leave(&opened, "crashed", -60 * 24, true).await;
    let id = locks(&opened).await[0];
    assert!(acquire(&opened, Mode::Shared).await.is_err());
    let long_ago = std::time::SystemTime::now() - STALE * 2;
    let lock = std::fs::File::options()
        .write(true)
        .open(file(&opened, &id))
        .unwrap();
    lock.set_modified(long_ago).unwrap();
    acquire(&opened, Mode::Shared)
        .await
        .unwrap()
        .release()
        .await;
    assert_eq!(locks(&opened).await, []);
}
