//! Backups into damaged repositories, as a Job makes them.
#![cfg(test)]

use std::path::{Path, PathBuf};

use serde_json::json;

mod support;
use support::{RESTIC_PASSWORD, Stage, files_below};

const REPO: &str = "default-blueprint";
const SESSIONS: [&str; 3] = [
    "appbinding-sample-druid-frequent-backup-1726741846",
    "appbinding-sample-druid-frequent-backup-1726742146",
    "appbinding-sample-druid-frequent-backup-1726742446",
];

/// The largest pack of the restic repository.
fn largest_pack(stage: &Stage) -> PathBuf {
    let packs = files_below(&stage.restic_dir(REPO).join("data"));
    packs
        .into_iter()
        .max_by_key(|(_, content)| content.len())
        .unwrap()
        .0
}

fn flip_a_bit(path: &Path) {
    let mut content = std::fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn a_session_on_top_of_a_damaged_pack_succeeds_with_data_that_can_be_restored_and_says_what_it_found()
 {
    let stage = Stage::new(&[REPO]).await;
    stage.back_up(SESSIONS[0]).await;
    let dump = || {
        stage
            .restic(REPO, &["dump", "latest", "dumpfile.sql"])
            .stdout
    };
    let before = dump();
    flip_a_bit(&largest_pack(&stage));
    stage.back_up(SESSIONS[1]).await;

    let component = stage.dump(REPO, SESSIONS[1]).await;
    assert_eq!(component["integrity"], true);
    let found = component["damage"][0].as_str().unwrap();
    assert!(
        found.starts_with("pack ") && found.contains("is damaged"),
        "{found}"
    );
    assert_eq!(
        component["damagedSnapshots"],
        json!(null),
        "the data was stored again: {component}"
    );
    assert!(component["dataReadSince"].is_string(), "{component}");
    stage.restic(REPO, &["check", "--read-data"]);
    assert_eq!(dump(), before);
}

#[tokio::test]
async fn damaged_snapshot_and_index_files_stop_no_session_and_are_named() {
    let stage = Stage::new(&[REPO]).await;
    stage.back_up(SESSIONS[0]).await;
    let id = stage.dump(REPO, SESSIONS[0]).await["resticStats"][0]["id"].clone();
    let id = id.as_str().unwrap();
    flip_a_bit(&stage.restic_dir(REPO).join("snapshots").join(id));
    for (index, _) in files_below(&stage.restic_dir(REPO).join("index")) {
        flip_a_bit(&index);
    }
    stage.back_up(SESSIONS[1]).await;
    let component = stage.dump(REPO, SESSIONS[1]).await;
    assert_eq!(component["integrity"], true);
    assert_eq!(component["damagedSnapshots"][0]["id"], id);
    let found = component["damage"][0].as_str().unwrap();
    assert!(
        found.starts_with("index/") && found.contains("headers"),
        "{found}"
    );
    std::fs::remove_file(stage.restic_dir(REPO).join("snapshots").join(id)).unwrap();
    stage.restic(REPO, &["check", "--read-data"]);
    // The next session finds all well.
    stage.session(SESSIONS[2]).await;
    assert_eq!(
        stage
            .execute(SESSIONS[2], &["--verify=all", "--verify-period=1d"])
            .await,
        []
    );
    let component = stage.dump(REPO, SESSIONS[2]).await;
    assert_eq!(
        (&component["damage"], &component["damagedSnapshots"]),
        (&json!(null), &json!(null))
    );
}

#[tokio::test]
async fn a_damaged_key_file_or_config_is_named_and_no_password_is_blamed() {
    for kind in ["keys", "config"] {
        let stage = Stage::new(&[REPO]).await;
        stage.back_up(SESSIONS[0]).await;
        let mut files = files_below(&stage.restic_dir(REPO));
        files.retain(|(path, _)| path.components().any(|part| part.as_os_str() == kind));
        flip_a_bit(&files[0].0);
        stage.session(SESSIONS[1]).await;
        let failures = stage.execute(SESSIONS[1], &[]).await;
        assert_eq!(failures.len(), 1);
        let failure = &failures[0];
        assert_eq!(failure.kind, "RepositoryDamaged", "{failure}");
        assert!(
            failure.message.contains(kind) && failure.message.contains("put a copy of it back"),
            "{failure}"
        );
        assert!(
            !failure.message.contains("wrong password")
                && !failure.message.contains(RESTIC_PASSWORD)
        );
        let component = stage.dump(REPO, SESSIONS[1]).await;
        assert_eq!(component["error"], failure.message);
    }
}
