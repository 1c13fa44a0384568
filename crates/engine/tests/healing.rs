//! Damaged repositories: a backup succeeds only with data that can be restored, and puts right what
//! its stream still has.
#![cfg(test)]

mod support;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use kubestash_engine::{
    CancellationToken, CheckDepth, EngineError, ReadBack, ReadDepth, Repository, ResticRepository,
    Secret,
};
use support::*;

/// The files below a directory of the repository, the largest first.
fn files(root: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![on_disk(root).join(kind)];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort_by_key(|path| {
        (
            std::cmp::Reverse(path.metadata().unwrap().len()),
            path.clone(),
        )
    });
    found
}

fn write(path: &Path, content: &[u8]) {
    // Objects are written read-only.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, content).unwrap();
}

fn flip(path: &Path) {
    let mut content = std::fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    write(path, &content);
}

fn cut(path: &Path) {
    let content = std::fs::read(path).unwrap();
    write(path, &content[..content.len() * 2 / 3]);
}

type Harm = (&'static str, fn(&Path));

/// What becomes of files.
const HARMS: [Harm; 6] = [
    ("a flipped bit", flip),
    ("cut off", cut),
    ("empty", |path| write(path, b"")),
    ("a web page", |path| {
        write(path, b"<html><body>It works!</body></html>")
    }),
    ("zeros", |path| {
        write(path, &vec![0; path.metadata().unwrap().len() as usize])
    }),
    ("gone", |path| std::fs::remove_file(path).unwrap()),
];

/// Opens anew, as the next session does.
async fn reopened(root: &Path) -> ResticRepository {
    repository(&local(root)).await
}

#[tokio::test]
async fn whatever_happens_to_the_largest_pack_the_next_backup_heals_it() {
    for (name, harm) in HARMS {
        let root = tempfile::tempdir().unwrap();
        let content = [dump_text(1, 2_000_000), noise(2, 5_000_000)].concat();
        let first = back_up(&reopened(root.path()).await, &content)
            .await
            .unwrap();
        harm(&files(root.path(), "data")[0]);

        let repository = reopened(root.path()).await;
        let second = back_up(&repository, &content).await.unwrap();
        let examined = &second.examined;
        assert_eq!(examined.damaged_snapshots, [], "{name}");
        assert_eq!(examined.damage.len(), 1, "{name}: {:?}", examined.damage);
        assert!(
            examined.damage[0].starts_with("pack "),
            "{:?}",
            examined.damage
        );
        assert!(examined.read_since.is_some());
        for id in [&first.snapshot_id, &second.snapshot_id] {
            assert!(
                restored(&reopened(root.path()).await, id).await.unwrap() == content,
                "{name}"
            );
        }
        assert_sound(&on_disk(root.path()));
        // It is healed for good.
        let third = back_up(&reopened(root.path()).await, &content)
            .await
            .unwrap();
        assert_eq!(third.examined.damage, Vec::<String>::new(), "{name}");
        assert!(third.data_added < 10_000, "{name}: {third:?}");
    }
}

#[tokio::test]
async fn the_healed_pack_does_not_have_to_be_one_of_the_newest_snapshot() {
    let root = tempfile::tempdir().unwrap();
    let contents = [noise(1, 6_000_000), noise(2, 2_000_000)];
    for content in &contents {
        back_up(&reopened(root.path()).await, content)
            .await
            .unwrap();
    }
    flip(&files(root.path(), "data")[0]);
    // The content is that of the first one again: its chunks must not be taken for stored.
    let third = back_up(&reopened(root.path()).await, &contents[0])
        .await
        .unwrap();
    assert!(
        restored(&reopened(root.path()).await, &third.snapshot_id)
            .await
            .unwrap()
            == contents[0]
    );
    assert_sound(&on_disk(root.path()));
}

#[tokio::test]
async fn what_nobody_has_any_more_is_told_and_everything_else_is_kept_and_pruned() {
    for (name, harm) in HARMS {
        let root = tempfile::tempdir().unwrap();
        // The pack holds chunks of both.
        let common = noise(1, 4_000_000);
        let old = [common.clone(), noise(2, 5_000_000)].concat();
        let first = back_up(&reopened(root.path()).await, &old).await.unwrap();
        let other = back_up(&reopened(root.path()).await, &noise(3, 1_000_000))
            .await
            .unwrap();
        harm(&files(root.path(), "data")[0]);

        let content = [common, dump_text(4, 100_000)].concat();
        let repository = reopened(root.path()).await;
        let third = back_up(&repository, &content).await.unwrap();
        let damaged = &third.examined.damaged_snapshots;
        let ids: Vec<&str> = damaged.iter().map(|damaged| damaged.id.as_str()).collect();
        // A flipped bit may hit what the new stream still has; then nothing is lost.
        if name != "a flipped bit" {
            assert_eq!(ids, [&first.snapshot_id], "{name}");
            assert!(damaged[0].reason.contains("chunks are lost"), "{damaged:?}");
            let error = restored(&repository, &first.snapshot_id).await.unwrap_err();
            assert_eq!(error.kind(), "RepositoryDamaged", "{name}");
        }
        for (id, content) in [
            (&other.snapshot_id, &noise(3, 1_000_000)),
            (&third.snapshot_id, &content),
        ] {
            assert!(
                restored(&repository, id).await.unwrap() == *content,
                "{name}"
            );
        }
        // Others can be forgotten although something is lost, and nobody loses more by that.
        let forgotten = repository
            .forget(vec![other.snapshot_id.clone()], CancellationToken::new())
            .await
            .unwrap();
        assert_eq!(
            (forgotten.removed.len(), forgotten.unpruned),
            (1, None),
            "{name}"
        );
        assert!(
            restored(&repository, &third.snapshot_id).await.unwrap() == content,
            "{name}"
        );
        repository
            .forget(vec![first.snapshot_id.clone()], CancellationToken::new())
            .await
            .unwrap();
        assert_sound(&on_disk(root.path()));
        let examined = reopened(root.path()).await.examine().await.unwrap();
        assert_eq!(
            (examined.damaged_snapshots.len(), examined.damage.len()),
            (0, 0),
            "{name}"
        );
    }
}

#[tokio::test]
async fn of_a_damaged_pack_only_the_damaged_chunk_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let content = noise(1, 12_000_000);
    let first = back_up(&reopened(root.path()).await, &content)
        .await
        .unwrap();
    let pack = files(root.path(), "data").remove(0);
    flip(&pack);
    let second = back_up(&reopened(root.path()).await, b"something else")
        .await
        .unwrap();
    let damage = &second.examined.damage[0];
    assert!(damage.contains("and 1 can only be stored anew"), "{damage}");
    assert!(!pack.exists());
    let damaged = &second.examined.damaged_snapshots;
    assert_eq!(damaged.len(), 1);
    assert_eq!(
        (&damaged[0].id, damaged[0].reason.as_str()),
        (&first.snapshot_id, "1 of its chunks are lost")
    );
    // The source has it again: all is well.
    let third = back_up(&reopened(root.path()).await, &content)
        .await
        .unwrap();
    assert_eq!(third.examined.damaged_snapshots, []);
    assert!(third.data_added < 9_000_000, "{third:?}");
    assert!(
        restored(&reopened(root.path()).await, &first.snapshot_id)
            .await
            .unwrap()
            == content
    );
    assert_sound(&on_disk(root.path()));
}

#[tokio::test]
async fn a_pack_that_goes_while_the_stream_runs_fails_the_backup_and_the_next_one_heals() {
    let root = tempfile::tempdir().unwrap();
    let content = noise(1, 3_000_000);
    back_up(&reopened(root.path()).await, &content)
        .await
        .unwrap();
    let pack = files(root.path(), "data").remove(0);
    let (reader, mut writer) = io::pipe().unwrap();
    let stream = content.clone();
    let writing = tokio::task::spawn_blocking(move || {
        // The rest comes when the beginning was read: then everything was looked at.
        writer.write_all(&stream[..2_000_000]).unwrap();
        std::fs::remove_file(pack).unwrap();
        writer.write_all(&stream[2_000_000..]).unwrap();
    });
    let repository = reopened(root.path()).await;
    let error = back_up_from(&repository, Box::new(reader))
        .await
        .unwrap_err();
    writing.await.unwrap();
    assert_eq!(
        (error.kind(), error.is_permanent()),
        ("DataNotStored", false),
        "{error}"
    );
    assert!(error.to_string().contains("is missing"), "{error}");
    assert_eq!(repository.snapshots().await.unwrap().len(), 1);
    let again = back_up(&repository, &content).await.unwrap();
    assert!(restored(&repository, &again.snapshot_id).await.unwrap() == content);
    assert_sound(&on_disk(root.path()));
}

#[tokio::test]
async fn damaged_index_files_are_built_anew_and_nothing_is_lost() {
    for (name, harm) in HARMS {
        let root = tempfile::tempdir().unwrap();
        let contents = [noise(1, 3_000_000), dump_text(2, 1_000_000)];
        let mut ids = Vec::new();
        for content in &contents {
            ids.push(
                back_up(&reopened(root.path()).await, content)
                    .await
                    .unwrap()
                    .snapshot_id,
            );
        }
        for file in files(root.path(), "index") {
            harm(&file);
        }
        // Restores do not even have to wait for a backup.
        for (id, content) in ids.iter().zip(&contents) {
            let bytes = restored(&reopened(root.path()).await, id).await.unwrap();
            assert!(bytes == *content, "{name}");
            let verified = reopened(root.path()).await;
            let verified = verified
                .verify_snapshot(id, FILE, CheckDepth::ReadData)
                .await
                .unwrap();
            assert_eq!(verified.errors, Vec::<String>::new(), "{name}");
        }
        let repository = reopened(root.path()).await;
        let third = back_up(&repository, &contents.concat()).await.unwrap();
        let damage = &third.examined.damage[0];
        assert!(
            damage.contains("index") && damage.contains("headers"),
            "{damage}"
        );
        assert_eq!(third.examined.damaged_snapshots, [], "{name}");
        assert_sound(&on_disk(root.path()));
        for (id, content) in ids.iter().zip(&contents) {
            assert!(
                restored(&repository, id).await.unwrap() == *content,
                "{name}"
            );
        }
        assert!(
            restored(&repository, &third.snapshot_id).await.unwrap() == contents.concat(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn damaged_snapshot_files_stop_no_backup_and_are_named() {
    for (name, harm) in HARMS {
        let root = tempfile::tempdir().unwrap();
        let mut ids = Vec::new();
        for seed in 0..3 {
            let summary = back_up(&reopened(root.path()).await, &noise(seed, 300_000))
                .await
                .unwrap();
            ids.push(summary.snapshot_id);
        }
        harm(&on_disk(root.path()).join("snapshots").join(&ids[1]));
        let repository = reopened(root.path()).await;
        let third = back_up(&repository, &noise(7, 300_000)).await.unwrap();
        let damaged = &third.examined.damaged_snapshots;
        if name == "gone" {
            assert_eq!(damaged.len(), 0);
            continue;
        }
        assert_eq!(damaged.len(), 1, "{name}: {damaged:?}");
        assert_eq!(damaged[0].id, ids[1]);
        assert!(
            damaged[0].reason.contains(&format!("snapshots/{}", ids[1])),
            "{damaged:?}"
        );
        assert_eq!(repository.snapshots().await.unwrap().len(), 3);
        let error = repository.snapshot(&ids[1]).await.unwrap_err();
        assert_eq!(error.kind(), "RepositoryDamaged", "{name}: {error}");
        // What it needs is not known, so nothing is removed before it is.
        let others = repository
            .forget(vec![ids[0].clone()], CancellationToken::new())
            .await
            .unwrap();
        assert!(others.unpruned.unwrap().contains(&ids[1]), "{name}");
        let last = repository
            .forget(vec![ids[1].clone()], CancellationToken::new())
            .await
            .unwrap();
        assert_eq!(last.unpruned, None, "{name}");
        assert_sound(&on_disk(root.path()));
    }
}

#[tokio::test]
async fn a_file_with_the_contents_of_another_one_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let contents = [noise(1, 300_000), noise(2, 300_000)];
    let mut ids = Vec::new();
    for content in &contents {
        ids.push(
            back_up(&reopened(root.path()).await, content)
                .await
                .unwrap()
                .snapshot_id,
        );
    }
    let file = |id: &str| on_disk(root.path()).join("snapshots").join(id);
    let other = std::fs::read(file(&ids[0])).unwrap();
    write(&file(&ids[1]), &other);
    let repository = reopened(root.path()).await;
    let report = repository.check(CheckDepth::Structure).await.unwrap();
    assert!(!report.is_sound());
    assert!(
        report.errors.iter().any(|error| error.contains(&ids[1])),
        "{report:?}"
    );
    assert_eq!(
        repository.snapshot(&ids[1]).await.unwrap_err().kind(),
        "RepositoryDamaged"
    );
    let third = back_up(&repository, &contents[0]).await.unwrap();
    assert_eq!(third.examined.damaged_snapshots[0].id, ids[1]);
    // The same with a pack of the same size, and with an index file.
    let packs = files(root.path(), "data");
    let pack = std::fs::read(&packs[0]).unwrap();
    write(&packs[1], &pack);
    let indexes = files(root.path(), "index");
    let index = std::fs::read(&indexes[0]).unwrap();
    write(&indexes[1], &index);
    let repository = reopened(root.path()).await;
    let last = back_up(&repository, &contents[0]).await.unwrap();
    for id in [&last.snapshot_id, &ids[0]] {
        assert!(restored(&repository, id).await.unwrap() == contents[0]);
    }
}

#[tokio::test]
async fn damage_is_never_called_a_wrong_password() {
    let open = async |root: &Path, password: &str| {
        let password = Secret::new(password);
        ResticRepository::open(&local(root), DIRECTORY, &password, options("us")).await
    };
    for (name, harm) in HARMS {
        for kind in ["keys", "config"] {
            let root = tempfile::tempdir().unwrap();
            back_up(&reopened(root.path()).await, b"x").await.unwrap();
            let victim = match kind {
                "keys" => files(root.path(), "keys").remove(0),
                _ => on_disk(root.path()).join("config"),
            };
            harm(&victim);
            let error = open(root.path(), PASSWORD).await.unwrap_err();
            let expected = match (name, kind) {
                ("gone", "config") => "RepositoryMissing",
                _ => "RepositoryDamaged",
            };
            assert_eq!(error.kind(), expected, "{kind} {name}: {error}");
            if name != "gone" {
                assert!(error.to_string().contains(kind), "{error}");
                assert!(
                    error.to_string().contains("put a copy of it back"),
                    "{error}"
                );
            }
            // Nor is it made anew over what is there.
            let error = ResticRepository::open_or_init(
                &local(root.path()),
                DIRECTORY,
                &password(),
                options("us"),
            )
            .await
            .unwrap_err();
            assert_eq!(error.kind(), "RepositoryDamaged", "{kind} {name}: {error}");
        }
    }
    let root = tempfile::tempdir().unwrap();
    back_up(&reopened(root.path()).await, b"x").await.unwrap();
    let error = open(root.path(), "another").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_permanent()),
        ("WrongPassword", true)
    );
}

#[tokio::test]
async fn as_much_is_read_back_as_is_wished_and_the_time_of_the_last_full_read_is_known() {
    let root = tempfile::tempdir().unwrap();
    let repository = reopened(root.path()).await;
    // More than a sample, in packs of 16 MiB.
    let content = noise(1, 96 << 20);
    let before = jiff::Timestamp::now();
    let first = back_up(&repository, &content).await.unwrap();
    assert!(
        first.examined.bytes_read >= 64 << 20 && first.examined.bytes_read < 96 << 20,
        "{first:?}"
    );
    assert!(
        first.examined.read_since.unwrap() >= before,
        "there was nothing to be read yet"
    );
    let between = jiff::Timestamp::now();
    let sample = back_up(&repository, &content).await.unwrap();
    assert!(
        sample.examined.bytes_read >= 64 << 20 && sample.examined.bytes_read < 96 << 20,
        "{sample:?}"
    );
    assert!(sample.examined.read_since.unwrap() < between);
    let all = ReadBack {
        depth: ReadDepth::All,
        ..ReadBack::default()
    };
    repository
        .prepare(all, CancellationToken::new())
        .await
        .unwrap();
    let full = back_up(&repository, &content).await.unwrap();
    assert!(full.examined.bytes_read > 96 << 20, "{full:?}");
    assert!(full.examined.read_since.unwrap() >= between);
    assert_sound(&on_disk(root.path()));
    // A flipped bit in any pack is found when everything is read.
    for pack in files(root.path(), "data")
        .into_iter()
        .filter(|pack| pack.metadata().unwrap().len() > 1 << 20)
    {
        flip(&pack);
    }
    repository
        .prepare(all, CancellationToken::new())
        .await
        .unwrap();
    let healed = back_up(&repository, &content).await.unwrap();
    assert!(
        healed.examined.damage.len() >= 5,
        "{:?}",
        healed.examined.damage
    );
    assert_sound(&on_disk(root.path()));
}

#[tokio::test]
async fn a_repair_that_has_to_wait_for_somebody_does_not_stop_the_backup() {
    let root = tempfile::tempdir().unwrap();
    let content = noise(1, 3_000_000);
    let first = back_up(&reopened(root.path()).await, &content)
        .await
        .unwrap();
    // Somebody restores for long.
    let holder = reopened(root.path()).await;
    let (reader, writer) = io::pipe().unwrap();
    let restoring = tokio::spawn({
        let id = first.snapshot_id.clone();
        async move {
            holder
                .dump(&id, FILE, Box::new(writer), CancellationToken::new())
                .await
        }
    });
    let locks = on_disk(root.path()).join("locks");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while std::fs::read_dir(&locks).unwrap().count() == 0 {
        assert!(std::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    flip(&files(root.path(), "data")[0]);
    let repository = reopened(root.path()).await;
    let second = back_up(&repository, &content).await.unwrap();
    assert!(!second.examined.damage.is_empty());
    assert!(restored(&repository, &second.snapshot_id).await.unwrap() == content);
    let reading = tokio::task::spawn_blocking(move || {
        io::copy(&mut io::BufReader::new(reader), &mut io::sink())
    });
    // The damage may have come before or after the restore read it; what it says must be true.
    if let Err(error) = restoring.await.unwrap() {
        assert!(
            matches!(error, EngineError::RepositoryDamaged { .. }),
            "{error}"
        );
    }
    reading.await.unwrap().unwrap();
    back_up(&reopened(root.path()).await, &content)
        .await
        .unwrap();
    assert_sound(&on_disk(root.path()));
}
