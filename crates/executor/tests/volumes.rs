//! What a `local` storage needs done in a pod.
#![cfg(test)]

use kubestash_backend::{LEFT_KEY, Left, REPORT_KEY, unpack};
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
async fn what_a_volume_holds_is_told_to_who_asked_by_a_config_map() {
    let stage = Stage::new(&["one"]).await;
    stage.back_up("s-1").await;
    let broken = stage.snapshot_file("one", "s-0");
    std::fs::write(&broken, "kind: Snapshot\nmetadata: {").unwrap();
    let init = [
        "storage-init",
        "--storage-namespace=demo",
        "--storage-name=volume",
    ];
    stage
        .create(
            "v1",
            "ConfigMap",
            json!({"metadata": {"name": "init-volume", "namespace": "demo"}}),
        )
        .await;
    assert_eq!(run(&stage, &init).await, [""; 0]);
    let report = stage
        .api("v1", "ConfigMap")
        .get("init-volume")
        .await
        .unwrap();
    let content: k8s_openapi::ByteString =
        serde_json::from_value(report.data["binaryData"][REPORT_KEY].clone()).unwrap();
    let found = unpack(&content.0).unwrap();
    assert_eq!(found.len(), 1);
    let repository = found[0].repository.as_ref().unwrap();
    assert_eq!(repository.metadata.name.as_deref(), Some("one"));
    assert_eq!(found[0].snapshots.len(), 1);
    assert_eq!(
        found[0].snapshots[0].metadata.name,
        Some(snapshot_name("one", "s-1"))
    );
    assert_eq!(found[0].errors.len(), 1, "{:?}", found[0].errors);
    let metadata = std::fs::read_to_string(stage.volume.path().join("metadata.yaml")).unwrap();
    assert!(metadata.contains("name: one"), "{metadata}");
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

#[tokio::test]
async fn a_volume_of_others_is_not_used_and_what_is_theirs_is_never_removed() {
    let stage = Stage::new(&["one"]).await;
    let root = stage.volume.path();
    let storage = ["--storage-namespace=demo", "--storage-name=volume"];
    let init = ["storage-init", storage[0], storage[1]];
    let write = |path: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "mine").unwrap();
    };
    write("photos/cat.jpg");
    let said = run(&stage, &init).await;
    assert!(
        said[0].contains("photos/") && said[0].contains("subPath"),
        "{said:?}"
    );
    assert!(!root.join("metadata.yaml").exists());
    // An empty disk has this.
    std::fs::rename(root.join("photos"), root.join("lost+found")).unwrap();
    assert_eq!(run(&stage, &init).await, [""; 0]);
    stage.back_up("s-1").await;
    let metadata = root.join("metadata.yaml");
    let named = std::fs::read_to_string(&metadata).unwrap();
    assert!(named.contains("name: one"), "{named}");
    let both = json!({
        "apiVersion": "config.kubestash.com/v1alpha1", "kind": "BackendMeta",
        "repositories": [{"name": "one", "path": "/one"}, {"name": "two", "path": "two"}],
    });
    std::fs::write(&metadata, both.to_string()).unwrap();

    write("one/notes.txt");
    write("one/repository/v1/frequent-backup/dump/notes.txt");
    let report = json!({"metadata": {"name": "cleanup-one", "namespace": "demo"}});
    stage.create("v1", "ConfigMap", report).await;
    let repository = ["repository-cleanup", "--namespace=demo", "--name=one"];
    assert_eq!(run(&stage, &repository).await, [""; 0]);
    let report = stage
        .api("v1", "ConfigMap")
        .get("cleanup-one")
        .await
        .unwrap();
    let content: k8s_openapi::ByteString =
        serde_json::from_value(report.data["binaryData"][LEFT_KEY].clone()).unwrap();
    let left: Left = serde_json::from_slice(&content.0).unwrap();
    let notes = [
        "one/notes.txt",
        "one/repository/v1/frequent-backup/dump/notes.txt",
    ];
    assert_eq!(
        (left.count, left.first),
        (2, notes.map(str::to_owned).to_vec())
    );
    assert_eq!(files_below(&root.join("one")).len(), 2);
    assert!(!root.join("one/snapshots").exists());
    // The one that is gone is not missed.
    let named = std::fs::read_to_string(&metadata).unwrap();
    assert!(
        !named.contains("name: one") && named.contains("name: two"),
        "{named}"
    );

    let cleanup = ["storage-cleanup", storage[0], storage[1]];
    assert_eq!(run(&stage, &cleanup).await, [""; 0]);
    assert_eq!(files_below(root).len(), 3);
    assert!(root.join("lost+found/cat.jpg").exists() && !metadata.exists());
}
