use std::fs::File;
use std::time::SystemTime;

use super::disk::ABANDONED;
use super::*;

fn store(directory: &tempfile::TempDir) -> LocalStore {
    LocalStore::new(directory.path(), "some/prefix", "volume test".to_owned())
}

#[tokio::test]
async fn what_was_written_is_read_listed_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    store.probe().await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
    store
        .write("a/b/c", vec![Bytes::from_static(b"hello")])
        .await
        .unwrap();
    store
        .write("a/d", vec![Bytes::from_static(b"")])
        .await
        .unwrap();
    assert_eq!(store.read("a/b/c").await.unwrap(), "hello");
    assert_eq!(store.read_range("a/b/c", 1, 3).await.unwrap(), "ell");
    assert!(store.exists("a/d").await.unwrap());
    assert!(!store.exists("a/b").await.unwrap());
    let mut paths: Vec<_> = store
        .list("a")
        .await
        .unwrap()
        .into_iter()
        .map(|entry| (entry.path, entry.size))
        .collect();
    paths.sort();
    assert_eq!(paths, [("a/b/c".to_owned(), 5), ("a/d".to_owned(), 0)]);
    let mut names = store.list_names("a").await.unwrap();
    names.sort();
    assert_eq!(names, ["b/", "d"]);
    store.delete("a/d").await.unwrap();
    store.delete("a/d").await.unwrap();
    assert!(store.read("a/d").await.unwrap_err().is_not_found());
    assert_eq!(store.remove_all("").await.unwrap(), 1);
    assert!(directory.path().exists());
    assert!(!directory.path().join("some/prefix").exists());
}

#[tokio::test]
async fn only_one_of_many_creates_an_object() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let attempts = (0..20).map(|number| store.create("r/config", Bytes::from(vec![number])));
    let made: Vec<_> = futures::future::try_join_all(attempts).await.unwrap();
    let winner = made.iter().position(|made| *made).unwrap();
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    assert_eq!(store.read("r/config").await.unwrap(), vec![winner as u8]);
    assert_eq!(
        fs::read_dir(directory.path().join("some/prefix/r"))
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test]
async fn a_missing_mount_is_reported_and_never_made() {
    let directory = tempfile::tempdir().unwrap();
    let mount = directory.path().join("not-mounted");
    let store = LocalStore::new(&mount, "", "volume test".to_owned());
    assert_eq!(store.probe().await.unwrap_err().kind(), "BucketMissing");
    let error = store
        .write("x", vec![Bytes::from_static(b"y")])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "BucketMissing");
    assert!(!mount.exists());
}

#[tokio::test]
async fn no_path_leaves_the_prefix() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    assert!(
        store
            .write("../../escape", vec![Bytes::new()])
            .await
            .is_err()
    );
    assert!(store.read("a/../../x").await.is_err());
    assert!(!directory.path().join("escape").exists());
}

#[tokio::test]
async fn unfinished_files_are_invisible_and_old_ones_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    store
        .write("data/00/pack", vec![Bytes::from_static(b"1")])
        .await
        .unwrap();
    let data = directory.path().join("some/prefix/data/00");
    let old = data.join("other-tmp-1");
    fs::write(&old, "half").unwrap();
    fs::write(data.join("other-tmp-2"), "half").unwrap();
    let long_ago = SystemTime::now() - ABANDONED * 2;
    File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    assert_eq!(store.list("").await.unwrap().len(), 1);
    assert_eq!(store.remove_abandoned("data").await.unwrap(), 1);
    assert!(!old.exists());
    assert!(data.join("other-tmp-2").exists());
}

#[tokio::test]
async fn what_a_killed_writer_left_is_removed_at_once_and_what_a_living_one_writes_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let locks = directory.path().join("some/prefix/locks");
    fs::create_dir_all(&locks).unwrap();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let own = unique();
    let dead = own.replace(
        &format!("-{}-", std::process::id()),
        &format!("-{}-", child.id()),
    );
    assert_ne!(own, dead);
    for unique in [&own, &dead] {
        fs::write(locks.join(format!("id-tmp-{unique}")), "half").unwrap();
        fs::write(
            directory
                .path()
                .join(format!("some/prefix/.probe-tmp-{unique}")),
            "",
        )
        .unwrap();
    }
    assert_eq!(store.remove_abandoned("locks").await.unwrap(), 1);
    assert!(locks.join(format!("id-tmp-{own}")).exists());
    store.probe().await.unwrap();
    let beside = |unique: &str| {
        directory
            .path()
            .join(format!("some/prefix/.probe-tmp-{unique}"))
    };
    assert!(beside(&own).exists() && !beside(&dead).exists());
}
