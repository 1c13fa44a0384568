//! What can go wrong in the middle: nothing is claimed that is not there, and what was there stays.
#![cfg(test)]

mod support;

use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kubestash_engine::{
    CancellationToken, CheckDepth, Destination, LockOwner, OpenOptions, Repository,
    ResticRepository, backup_streams,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::*;

#[tokio::test]
async fn a_failing_stream_leaves_no_snapshot_and_no_rubbish() {
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    let repository = repository(&store).await;
    let before = back_up(&repository, &dump_text(1, 1_000_000))
        .await
        .unwrap();
    let files = store.list("").await.unwrap();
    for length in [0, 10, 900_000, 45_000_000] {
        let error = back_up_from(&repository, dying(noise(2, length)))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "StreamFailed");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "mariadb-dump exited with code 2");
        assert_eq!(store.list("").await.unwrap(), files, "{length}");
    }
    assert_sound(&on_disk(root.path()));
    let snapshots = repository.snapshots().await.unwrap();
    assert_eq!(snapshots.len(), 1);
    assert_eq!(snapshots[0].id, before.snapshot_id);
}

#[tokio::test]
async fn a_cancelled_backup_leaves_nothing_even_if_its_stream_hangs() {
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    let repository = repository(&store).await;
    let files = store.list("").await.unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    let cancel = CancellationToken::new();
    let backup = tokio::spawn({
        let (repository, cancel) = (repository.clone(), cancel.clone());
        async move {
            repository
                .backup_stream(request(), Box::new(reader), cancel)
                .await
        }
    });
    let writing = tokio::task::spawn_blocking(move || {
        writer.write_all(&noise(3, 30_000_000)).unwrap();
        writer
    });
    // The pipe stays open: the stream gives nothing more, but it does not end either.
    let writer = writing.await.unwrap();
    cancel.cancel();
    assert_eq!(backup.await.unwrap().unwrap_err().kind(), "Cancelled");
    assert_eq!(store.list("").await.unwrap(), files);
    drop(writer);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_neither_snapshot_nor_lock_nor_rubbish() {
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    let repository = repository(&store).await;
    let files = store.list("").await.unwrap();
    for length in [0, 1_000_000, 40_000_000] {
        let (reader, mut writer) = io::pipe().unwrap();
        let backup = back_up_from(&repository, Box::new(reader));
        let writing = tokio::task::spawn_blocking(move || {
            writer.write_all(&noise(15, length)).unwrap();
            writer
        });
        tokio::select! {
            _ = backup => panic!("the stream has not ended"),
            writer = writing => drop(writer),
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while store.list("").await.unwrap() != files {
            assert!(std::time::Instant::now() < deadline, "{length}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(repository.snapshots().await.unwrap(), []);
}

#[tokio::test]
async fn a_storage_that_vanishes_in_the_middle_is_told_and_not_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let mount = root.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    let repository = repository(&local(&mount)).await;
    let (reader, mut writer) = io::pipe().unwrap();
    let backup = tokio::spawn({
        let repository = repository.clone();
        async move { back_up_from(&repository, Box::new(reader)).await }
    });
    let gone = mount.clone();
    let writing = tokio::task::spawn_blocking(move || {
        writer.write_all(&noise(4, 5_000_000)).unwrap();
        std::fs::remove_dir_all(&gone).unwrap();
        // The backup fails while this is written, and nobody reads it any more.
        let _ = writer.write_all(&noise(5, 60_000_000));
    });
    let error = backup.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), "BucketMissing", "{error}");
    writing.await.unwrap();
    assert!(!mount.exists());
}

#[tokio::test]
async fn one_stream_goes_into_several_repositories_and_each_has_its_own_outcome() {
    let roots: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let emulator = GcsEmulator::start().await;
    let mut repositories = vec![repository(&emulator.store()).await];
    for root in &roots {
        repositories.push(repository(&local(root.path())).await);
    }
    // The last one's disk goes away while nobody looks.
    std::fs::remove_dir_all(roots[2].path()).unwrap();
    let destinations = repositories
        .iter()
        .map(|repository| Destination {
            repository: Arc::new(repository.clone()),
            request: request(),
        })
        .collect();
    let content = [dump_text(6, 3_000_000), noise(7, 40_000_000)].concat();
    let source = Box::new(io::Cursor::new(content.clone()));
    let results = backup_streams(destinations, source, CancellationToken::new()).await;
    assert_eq!(results[3].as_ref().unwrap_err().kind(), "BucketMissing");
    for (repository, result) in repositories.iter().zip(&results).take(3) {
        let id = &result.as_ref().unwrap().snapshot_id;
        assert!(restored(repository, id).await.unwrap() == content);
    }
    for root in &roots[..2] {
        assert_sound(&on_disk(root.path()));
    }
}

#[tokio::test]
async fn a_stream_that_dies_leaves_no_snapshot_in_any_of_several_repositories() {
    let roots: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut repositories = Vec::new();
    for root in &roots {
        repositories.push(repository(&local(root.path())).await);
    }
    let destinations = repositories
        .iter()
        .map(|repository| Destination {
            repository: Arc::new(repository.clone()),
            request: request(),
        })
        .collect();
    let results = backup_streams(
        destinations,
        dying(noise(8, 25_000_000)),
        CancellationToken::new(),
    )
    .await;
    for ((repository, result), root) in repositories.iter().zip(results).zip(&roots) {
        assert_eq!(result.unwrap_err().kind(), "StreamFailed");
        assert_eq!(repository.snapshots().await.unwrap(), []);
        assert_sound(&on_disk(root.path()));
    }
}

/// Name of the variable that turns the tests `child_…` from nothing into a child process.
const CHILD: &str = "KUBESTASH_TEST_CHILD";

/// This test program again, running one of its tests as a process of its own.
fn child(test: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, root)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Backs up and forgets without end, until it is killed. Does nothing as a test.
#[tokio::test]
async fn child_works_until_it_is_killed() {
    let Some(root) = std::env::var_os(CHILD) else {
        return;
    };
    let options = OpenOptions {
        lock_wait: Duration::from_secs(60),
        owner: knowing("the-killed"),
        ..options("")
    };
    let store = local(Path::new(&root));
    let repository = ResticRepository::open(&store, DIRECTORY, &password(), options)
        .await
        .unwrap();
    println!("at work");
    let mut ids = std::collections::VecDeque::new();
    for round in 0.. {
        let content = [
            noise(round, 600_000),
            noise(round / 3 + 1_000_000, 2_000_000),
        ]
        .concat();
        ids.push_back(back_up(&repository, &content).await.unwrap().snapshot_id);
        if ids.len() > 2 {
            repository
                .forget(ids.drain(..1).collect(), CancellationToken::new())
                .await
                .unwrap();
        }
    }
}

/// An owner that knows that only the killed ones are gone.
fn knowing(name: &str) -> LockOwner {
    LockOwner::new(name).with_gone_check(Arc::new(|name| {
        Box::pin(async move { name == "the-killed" })
    }))
}

#[tokio::test]
async fn kill_9_at_any_moment_leaves_a_repository_that_goes_on_working() {
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    let keep = dump_text(9, 1_200_000);
    let kept = back_up(&repository(&store).await, &keep)
        .await
        .unwrap()
        .snapshot_id;
    let options = OpenOptions {
        owner: knowing("the-survivor"),
        ..options("")
    };
    let survivor = ResticRepository::open(&store, DIRECTORY, &password(), options)
        .await
        .unwrap();
    let mut random = StdRng::seed_from_u64(10);
    for round in 0..20_u64 {
        let mut process = child("child_works_until_it_is_killed", root.path())
            .spawn()
            .unwrap();
        let mut at_work = [0; 1];
        while at_work[0] != b'w' {
            process
                .stdout
                .as_mut()
                .unwrap()
                .read_exact(&mut at_work)
                .unwrap();
        }
        std::thread::sleep(Duration::from_millis(random.random_range(0..600)));
        process.kill().unwrap();
        process.wait().unwrap();

        let report = survivor.check(CheckDepth::ReadData).await.unwrap();
        assert_eq!(report.errors, Vec::<String>::new(), "round {round}");
        for snapshot in survivor.snapshots().await.unwrap() {
            let found = survivor
                .verify_snapshot(&snapshot.id, FILE, CheckDepth::Structure)
                .await
                .unwrap();
            assert_eq!(found.errors, Vec::<String>::new(), "round {round}");
        }
        let added = back_up(&survivor, &noise(round, 800_000)).await.unwrap();
        survivor
            .forget(vec![added.snapshot_id], CancellationToken::new())
            .await
            .unwrap();
    }
    let disk = on_disk(root.path());
    assert_sound(&disk);
    assert!(restic_restore(&disk, &kept) == keep);
    assert_eq!(std::fs::read_dir(disk.join("locks")).unwrap().count(), 0);
    // What was begun and never renamed is gone as well, wherever it was.
    let left = files_below(&disk);
    let left: Vec<_> = left.iter().filter(|path| path.contains("-tmp-")).collect();
    assert_eq!(left, Vec::<&String>::new());
}

/// The names of all files.
fn files_below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Fills a disk that is too small. Does nothing as a test.
#[tokio::test]
async fn child_fills_the_disk() {
    let Some(root) = std::env::var_os(CHILD) else {
        return;
    };
    let store = local(Path::new(&root));
    let repository = repository(&store).await;
    let first = back_up(&repository, &dump_text(11, 1_000_000))
        .await
        .unwrap();
    let error = back_up(&repository, &noise(12, 64_000_000))
        .await
        .unwrap_err();
    println!("error: {} {error}", error.kind());
    assert_eq!(repository.snapshots().await.unwrap().len(), 1);
    assert_sound(&on_disk(Path::new(&root)));
    // What was uploaded in vain made room again.
    back_up(&repository, &noise(13, 5_000_000)).await.unwrap();
    assert!(restored(&repository, &first.snapshot_id).await.unwrap() == dump_text(11, 1_000_000));
    println!("went on");
}

#[test]
fn a_full_disk_is_called_by_its_name_and_leaves_no_snapshot() {
    let root = tempfile::tempdir().unwrap();
    let test = child("child_fills_the_disk", root.path());
    // A small file system of our own, in a mount namespace that ends with the child.
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=24m tmpfs \"$1\" && shift && exec \"$@\"")
        .arg("sh")
        .arg(root.path())
        .arg(test.get_program())
        .args(test.get_args())
        .env(CHILD, root.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("error: StorageFull failed to write"),
        "{text}"
    );
    assert!(text.contains("went on"), "{text}");
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t0"))
}

#[tokio::test]
async fn a_backup_of_an_endless_stream_ends_when_it_is_cancelled() {
    struct Endless(StdRng);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.fill(buffer);
            Ok(buffer.len())
        }
    }
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    let repository = repository(&store).await;
    let files = store.list("").await.unwrap();
    let cancel = CancellationToken::new();
    let endless = Box::new(Endless(StdRng::seed_from_u64(14)));
    let backup = repository.backup_stream(request(), endless, cancel.clone());
    let stop = async {
        // The first pack has arrived.
        let data = format!("{DIRECTORY}/data");
        while store.list(&data).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(backup, stop);
    assert_eq!(result.unwrap_err().kind(), "Cancelled");
    assert_eq!(store.list("").await.unwrap(), files);
}
