//! What a `local` storage needs done in a pod.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use kubestash_engine::CancellationToken;
use serde_json::json;

mod support;
use support::{STORAGE, Stage, files_below, snapshot_name};

async fn run(stage: &Stage, words: &[&str]) -> Vec<String> {
    let args: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let (client, settings) = (stage.executor().await, stage.settings());
    let failures =
        kubestash_executor::run(client, &settings, &args, &CancellationToken::new()).await;
    failures
        .into_iter()
        .map(|failure| failure.message)
        .collect()
}

#[tokio::test]
async fn a_volume_is_made_ready_used_and_emptied_step_by_step() {
    let stage = Stage::new(&["one", "two"]).await;
    let storage = ["--storage-namespace=demo", "--storage-name=volume"];
    let init = ["storage-init", storage[0], storage[1]];
    let none: [String; 0] = [];
    assert_eq!(run(&stage, &init).await, none);
    let metadata = stage.volume.path().join("metadata.yaml");
    let written = std::fs::read_to_string(&metadata).unwrap();
    assert_eq!(run(&stage, &init).await, none);
    assert_eq!(std::fs::read_to_string(&metadata).unwrap(), written);

    stage.back_up("s-1").await;
    stage.back_up("s-2").await;
    let name = format!("--name={}", snapshot_name("one", "s-1"));
    let snapshot = ["snapshot-cleanup", "--namespace=demo", &name];
    assert_eq!(run(&stage, &snapshot).await, none);
    assert_eq!(
        run(&stage, &snapshot).await,
        none,
        "a second time it is fine as well"
    );
    assert_eq!(stage.restic_snapshots("one").len(), 1);
    assert!(
        !stage.snapshot_file("one", "s-1").exists() && stage.snapshot_file("one", "s-2").exists()
    );
    stage.restic("one", &["check", "--read-data"]);

    let repository = ["repository-cleanup", "--namespace=demo", "--name=one"];
    assert_eq!(run(&stage, &repository).await, none);
    assert!(files_below(&stage.volume.path().join("one")).is_empty());
    assert_eq!(stage.restic_snapshots("two").len(), 2);

    assert_eq!(
        run(&stage, &["storage-cleanup", storage[0], storage[1]]).await,
        none
    );
    assert!(files_below(stage.volume.path()).is_empty());
}

#[tokio::test]
async fn what_cannot_be_done_is_told() {
    let stage = Stage::new(&["one"]).await;
    let words = [
        "storage-init",
        "--storage-namespace=demo",
        "--storage-name=nowhere",
    ];
    assert!(run(&stage, &words).await[0].contains("BackupStorage demo/nowhere: it does not exist"));
    let broken = json!({"spec": {"encryptionSecret": {"name": "nowhere"}}});
    stage.back_up("s-1").await;
    stage.merge(STORAGE, "Repository", "one", broken).await;
    let name = format!("--name={}", snapshot_name("one", "s-1"));
    let said = run(&stage, &["snapshot-cleanup", "--namespace=demo", &name]).await;
    assert!(said[0].contains("Secret demo/nowhere"), "{said:?}");
    assert_eq!(stage.restic_snapshots("one").len(), 1);
}
