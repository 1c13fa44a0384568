//! Our repositories and the real `restic` client, both ways, on a volume and in a bucket.
#![cfg(test)]

mod support;

use std::io::Write as _;

use kubestash_engine::{
    CancellationToken, CheckDepth, EngineError, ObjectStore, Repository, ResticRepository, Secret,
};
use support::*;

#[tokio::test]
async fn what_we_store_restic_checks_lists_and_restores_byte_for_byte() {
    let root = tempfile::tempdir().unwrap();
    let repository = repository(&local(root.path())).await;
    let mut contents = vec![
        Vec::new(),
        b"x".to_vec(),
        dump_text(1, 3_932_160),
        noise(2, 40_000_000),
    ];
    contents.push([contents[2].clone(), contents[2].clone()].concat());
    let mut ids = Vec::new();
    for content in &contents {
        let summary = back_up(&repository, content).await.unwrap();
        assert_eq!(summary.bytes_processed, content.len() as u64);
        ids.push(summary.snapshot_id);
    }
    let disk = on_disk(root.path());
    assert_sound(&disk);
    for (id, content) in ids.iter().zip(&contents) {
        assert!(
            restic_restore(&disk, id) == *content,
            "{} bytes",
            content.len()
        );
        assert!(restored(&repository, id).await.unwrap() == *content);
    }
    let listing: serde_json::Value =
        serde_json::from_str(&restic_ok(&disk, &["snapshots", "--json"])).unwrap();
    let listing = listing.as_array().unwrap();
    assert_eq!(listing.len(), ids.len());
    for snapshot in listing {
        assert_eq!(snapshot["hostname"], "host-0");
        assert_eq!(snapshot["paths"], serde_json::json!(["/dumpfile.sql"]));
        assert_eq!(snapshot["tags"], serde_json::json!(["frequent-backup"]));
        assert_eq!(snapshot["time"], "2024-09-19T10:30:46Z");
    }
    let files = restic_ok(&disk, &["ls", "--long", &ids[2]]);
    assert!(files.contains("-rw-r--r--"), "{files}");
    assert!(files.contains("3932160 2024-09-19"), "{files}");
    let report = repository.check(CheckDepth::ReadData).await.unwrap();
    assert_eq!(report.errors, Vec::<String>::new());
}

#[tokio::test]
async fn sizes_are_those_that_restic_counts() {
    let root = tempfile::tempdir().unwrap();
    let repository = repository(&local(root.path())).await;
    let text = dump_text(3, 5_000_000);
    let first = back_up(&repository, &text).await.unwrap();
    assert!(
        first.data_added > 5_000_000 && first.data_added < 5_010_000,
        "{first:?}"
    );
    assert!(first.data_added_packed < first.data_added, "{first:?}");
    // The same again adds no more than the description of the file, a changed row a little.
    let again = back_up(&repository, &text).await.unwrap();
    assert!(again.data_added < 10_000, "{again:?}");
    let mut changed = text.clone();
    changed.splice(2_500_000..2_500_000, *b"INSERT;\n");
    let third = back_up(&repository, &changed).await.unwrap();
    assert!(third.data_added < 4_500_000, "{third:?}");
    // What a failed backup left behind does not count, for neither of us.
    let failed = back_up_from(&repository, dying(noise(4, 20_000_000))).await;
    assert_eq!(failed.unwrap_err().kind(), "StreamFailed");

    let stats = repository.stats().await.unwrap();
    let theirs: serde_json::Value = serde_json::from_str(&restic_ok(
        &on_disk(root.path()),
        &["stats", "--json", "--mode", "raw-data"],
    ))
    .unwrap();
    assert_eq!(theirs["total_size"], stats.total_size, "{theirs} {stats:?}");
    assert_eq!(theirs["total_blob_count"], stats.blob_count);
    assert_eq!(stats.snapshot_count, 3);
}

#[tokio::test]
async fn what_restic_stores_we_list_verify_and_restore() {
    let root = tempfile::tempdir().unwrap();
    let disk = on_disk(root.path());
    std::fs::create_dir_all(&disk).unwrap();
    restic_ok(&disk, &["init"]);
    let text = dump_text(5, 6_000_000);
    let mut backup = restic_command(&disk, PASSWORD)
        .args([
            "backup",
            "--stdin",
            "--stdin-filename",
            FILE,
            "--host",
            "host-0",
            "--json",
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    backup.stdin.take().unwrap().write_all(&text).unwrap();
    assert!(backup.wait().unwrap().success());

    let repository =
        ResticRepository::open(&local(root.path()), DIRECTORY, &password(), options("us"))
            .await
            .unwrap();
    let snapshots = repository.snapshots().await.unwrap();
    assert_eq!(snapshots.len(), 1);
    assert_eq!(snapshots[0].host, "host-0");
    assert_eq!(snapshots[0].paths, ["/dumpfile.sql"]);
    assert!(restored(&repository, &snapshots[0].id).await.unwrap() == text);
    let verified = repository
        .verify_snapshot(&snapshots[0].id, FILE, CheckDepth::ReadData)
        .await
        .unwrap();
    assert_eq!(
        (verified.size, verified.errors.len()),
        (text.len() as u64, 0)
    );

    // Chunks are cut where restic cuts them: its data is not stored a second time.
    let ours = back_up(&repository, &text).await.unwrap();
    assert!(ours.data_added < 10_000, "{ours:?}");
    assert_sound(&disk);
    let stats = repository.stats().await.unwrap();
    let theirs: serde_json::Value = serde_json::from_str(&restic_ok(
        &disk,
        &["stats", "--json", "--mode", "raw-data"],
    ))
    .unwrap();
    assert_eq!(theirs["total_size"], stats.total_size);
}

#[tokio::test]
async fn a_wrong_password_is_an_error_of_its_own_and_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    repository(&store).await;
    let before = store.list("").await.unwrap();
    let wrong = Secret::new("hunter2");
    let error = ResticRepository::open_or_init(&store, DIRECTORY, &wrong, options("us"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "WrongPassword");
    assert!(error.is_permanent());
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let empty =
        ResticRepository::open_or_init(&store, "elsewhere", &Secret::new(""), options("us")).await;
    assert_eq!(empty.unwrap_err().kind(), "InvalidRequest");
    assert_eq!(store.list("").await.unwrap(), before);
    // restic agrees on who may come in.
    let refused = restic_command(&on_disk(root.path()), "hunter2")
        .arg("snapshots")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("wrong password"));
}

#[tokio::test]
async fn a_missing_repository_is_told_apart_from_one_that_lost_its_config() {
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    let missing = ResticRepository::open(&store, DIRECTORY, &password(), options("us")).await;
    assert_eq!(missing.unwrap_err().kind(), "RepositoryMissing");
    let repository = repository(&store).await;
    back_up(&repository, b"data").await.unwrap();
    store.delete(&format!("{DIRECTORY}/config")).await.unwrap();
    let lost = ResticRepository::open_or_init(&store, DIRECTORY, &password(), options("us")).await;
    assert_eq!(lost.unwrap_err().kind(), "RepositoryDamaged");
}

#[tokio::test]
async fn an_interrupted_initialisation_is_carried_on() {
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    repository(&store).await;
    store.delete(&format!("{DIRECTORY}/config")).await.unwrap();
    let keys = store.list(&format!("{DIRECTORY}/keys")).await.unwrap();
    let repository = repository(&store).await;
    assert_eq!(
        store.list(&format!("{DIRECTORY}/keys")).await.unwrap(),
        keys
    );
    back_up(&repository, b"data").await.unwrap();
    assert_sound(&on_disk(root.path()));
}

#[tokio::test]
async fn of_several_that_initialise_at_once_all_open_the_same_repository() {
    // On a volume: the GCS emulator ignores the condition that Google's servers obey.
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    let opening = (0..6).map(|_| repository(&store));
    let repositories = futures::future::join_all(opening).await;
    let mut ids = Vec::new();
    for (number, repository) in repositories.iter().enumerate() {
        let content = dump_text(number as u64, 100_000);
        let made = back_up(repository, &content).await.unwrap();
        ids.push((made.snapshot_id, content));
    }
    for (id, content) in ids {
        assert!(restored(&repositories[0], &id).await.unwrap() == content);
    }
    assert_sound(&on_disk(root.path()));
    assert_eq!(
        std::fs::read_dir(on_disk(root.path()).join("keys"))
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test]
async fn forgetting_removes_the_data_that_only_the_forgotten_needed() {
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    let repository = repository(&store).await;
    let keep = dump_text(6, 2_000_000);
    let drop = noise(7, 25_000_000);
    let kept = back_up(&repository, &keep).await.unwrap();
    let dropped = [
        back_up(&repository, &drop).await.unwrap(),
        back_up(&repository, &[&keep[..], &drop[..1_000_000]].concat())
            .await
            .unwrap(),
    ];
    let size_before = store_size(&store).await;
    let nobody = "0".repeat(64);
    let report = repository
        .forget(
            vec![
                dropped[0].snapshot_id.clone(),
                dropped[1].snapshot_id[..8].to_owned(),
                nobody.clone(),
            ],
            CancellationToken::new(),
        )
        .await
        .unwrap();
    let mut expected: Vec<_> = dropped.iter().map(|s| s.snapshot_id.clone()).collect();
    expected.sort();
    assert_eq!(report.removed, expected);
    assert_eq!(report.missing, [nobody]);
    let size_after = store_size(&store).await;
    assert!(
        size_before - size_after > 24_000_000,
        "{size_before} {size_after}"
    );
    assert!(size_after < 3_000_000, "{size_after}");
    let disk = on_disk(root.path());
    assert_sound(&disk);
    assert!(restic_restore(&disk, &kept.snapshot_id) == keep);
    let gone = restored(&repository, &dropped[0].snapshot_id).await;
    assert_eq!(gone.unwrap_err().kind(), "SnapshotMissing");
    // Forgetting what is gone is fine, and the last one may go too.
    repository
        .forget(
            vec![dropped[0].snapshot_id.clone()],
            CancellationToken::new(),
        )
        .await
        .unwrap();
    repository
        .forget(vec![kept.snapshot_id], CancellationToken::new())
        .await
        .unwrap();
    assert_sound(&disk);
    assert_eq!(store.list(&format!("{DIRECTORY}/data")).await.unwrap(), []);
    assert_eq!(repository.stats().await.unwrap().total_size, 0);
}

async fn store_size(store: &ObjectStore) -> u64 {
    store
        .list("")
        .await
        .unwrap()
        .iter()
        .map(|entry| entry.size)
        .sum()
}

#[tokio::test]
async fn restic_prunes_what_we_wrote_and_we_prune_what_restic_wrote() {
    let root = tempfile::tempdir().unwrap();
    let repository = repository(&local(root.path())).await;
    let texts = [
        dump_text(8, 1_500_000),
        dump_text(9, 1_500_000),
        dump_text(10, 1_500_000),
    ];
    let mut ids = Vec::new();
    for text in &texts {
        ids.push(back_up(&repository, text).await.unwrap().snapshot_id);
    }
    let disk = on_disk(root.path());
    restic_ok(&disk, &["forget", "--prune", &ids[0]]);
    assert!(restored(&repository, &ids[1]).await.unwrap() == texts[1]);
    repository
        .forget(vec![ids[1].clone()], CancellationToken::new())
        .await
        .unwrap();
    assert_sound(&disk);
    assert!(restic_restore(&disk, &ids[2]) == texts[2]);
}

#[tokio::test]
async fn damage_is_found_and_named() {
    let root = tempfile::tempdir().unwrap();
    let store = local(root.path());
    let repository = repository(&store).await;
    let summary = back_up(&repository, &noise(11, 30_000_000)).await.unwrap();
    let packs = store.list(&format!("{DIRECTORY}/data")).await.unwrap();
    let pack = packs.iter().max_by_key(|entry| entry.size).unwrap();
    let verify = |depth| repository.verify_snapshot(&summary.snapshot_id, FILE, depth);

    // A flipped bit is found by reading, not by looking.
    let mut bytes = store.read(&pack.path).await.unwrap().to_vec();
    bytes[1000] ^= 1;
    store.write(&pack.path, bytes.into(), None).await.unwrap();
    assert!(
        repository
            .check(CheckDepth::Structure)
            .await
            .unwrap()
            .is_sound()
    );
    assert!(
        !repository
            .check(CheckDepth::ReadData)
            .await
            .unwrap()
            .is_sound()
    );
    assert_eq!(
        verify(CheckDepth::Structure).await.unwrap().errors,
        Vec::<String>::new()
    );
    let found = verify(CheckDepth::ReadData).await.unwrap().errors;
    assert!(
        found.len() == 1 && found[0].contains("damaged"),
        "{found:?}"
    );
    let error = restored(&repository, &summary.snapshot_id)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "RepositoryDamaged");

    // A missing pack is found by looking.
    store.delete(&pack.path).await.unwrap();
    assert!(
        !repository
            .check(CheckDepth::Structure)
            .await
            .unwrap()
            .is_sound()
    );
    let found = verify(CheckDepth::Structure).await.unwrap().errors;
    assert!(
        found.len() == 1 && found[0].contains("missing"),
        "{found:?}"
    );
}

#[tokio::test]
async fn what_is_not_in_the_snapshot_is_named() {
    let root = tempfile::tempdir().unwrap();
    let repository = repository(&local(root.path())).await;
    let id = back_up(&repository, b"data").await.unwrap().snapshot_id;
    for file in ["other.sql", "", "/", "dumpfile.sql/x"] {
        let result = repository
            .verify_snapshot(&id, file, CheckDepth::Structure)
            .await;
        assert!(
            matches!(result, Err(EngineError::FileMissing { .. })),
            "{file}: {result:?}"
        );
    }
    let by_path = repository
        .verify_snapshot(&id[..8], "/dumpfile.sql", CheckDepth::Structure)
        .await;
    assert_eq!(by_path.unwrap().size, 4);
}

#[tokio::test]
async fn a_bucket_holds_the_same_repository_as_a_volume() {
    let emulator = GcsEmulator::start().await;
    let store = emulator.store();
    store.probe().await.unwrap();
    let repository = repository(&store).await;
    let text = dump_text(12, 4_000_000);
    let noise = noise(13, 40_000_000);
    let first = back_up(&repository, &text).await.unwrap();
    let second = back_up(&repository, &noise).await.unwrap();
    assert!(restored(&repository, &first.snapshot_id).await.unwrap() == text);
    assert!(restored(&repository, &second.snapshot_id).await.unwrap() == noise);
    assert!(
        repository
            .check(CheckDepth::ReadData)
            .await
            .unwrap()
            .is_sound()
    );
    let failed = back_up_from(&repository, dying(support::noise(14, 20_000_000))).await;
    assert_eq!(failed.unwrap_err().kind(), "StreamFailed");
    repository
        .forget(vec![second.snapshot_id], CancellationToken::new())
        .await
        .unwrap();

    let copy = tempfile::tempdir().unwrap();
    mirror(&store, copy.path()).await;
    let disk = on_disk(copy.path());
    assert_sound(&disk);
    assert!(restic_restore(&disk, &first.snapshot_id) == text);
    assert_eq!(std::fs::read_dir(disk.join("locks")).unwrap().count(), 0);
    let stats: serde_json::Value = serde_json::from_str(&restic_ok(
        &disk,
        &["stats", "--json", "--mode", "raw-data"],
    ))
    .unwrap();
    assert_eq!(
        stats["total_size"],
        repository.stats().await.unwrap().total_size
    );
}
