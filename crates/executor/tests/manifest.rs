//! Manifests through the executor alone: real API server, real restic repository, no operator and
//! no provider.
#![cfg(test)]

mod support;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams};
use kubestash_api::core::RestoreSession;
use kubestash_engine::CancellationToken;
use kubestash_executor::failure::Failure;
use serde_json::{Value, json};
use support::*;

const KUBEDB: &str = "kubedb.com/v1alpha2";
/// The password `canary-zk` as a Secret has it.
const CANARY: &str = "Y2FuYXJ5LXpr";

/// The definition of a kind that nobody here provides.
fn zookeeper() -> Value {
    json!({
        "metadata": {"name": "zookeepers.kubedb.com"},
        "spec": {
            "group": "kubedb.com", "scope": "Namespaced",
            "names": {"plural": "zookeepers", "singular": "zookeeper", "kind": "ZooKeeper", "listKind": "ZooKeeperList"},
            "versions": [{
                "name": "v1alpha2", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// A Druid with a ZooKeeper, and what belongs to them.
async fn stage() -> Stage {
    let stage = Stage::new(&["repo"]).await;
    let mut definition = zookeeper();
    definition["apiVersion"] = json!("apiextensions.k8s.io/v1");
    definition["kind"] = json!("CustomResourceDefinition");
    let definition: CustomResourceDefinition = serde_json::from_value(definition).unwrap();
    let api: Api<CustomResourceDefinition> = Api::all(stage.admin.clone());
    api.create(&Default::default(), &definition).await.unwrap();
    kube::runtime::wait::await_condition(
        api,
        "zookeepers.kubedb.com",
        kube::runtime::conditions::is_crd_established(),
    )
    .await
    .unwrap();
    stage
        .create(KUBEDB, "ZooKeeper", json!({
            "metadata": {"name": "sample-druid-zk", "namespace": "demo", "labels": {"app.kubernetes.io/instance": "sample-druid"}},
            "spec": {"version": "3.7.2", "authSecret": {"name": "sample-druid-zk-auth"}},
        }))
        .await;
    stage
        .create("v1", "Secret", json!({
            "metadata": {"name": "sample-druid-zk-auth", "namespace": "demo"},
            "type": "kubernetes.io/basic-auth", "stringData": {"username": "admin", "password": "canary-zk"},
        }))
        .await;
    for name in ["dev", "prod"] {
        stage
            .create("v1", "Namespace", json!({"metadata": {"name": name}}))
            .await;
    }
    stage
}

async fn run(stage: &Stage, words: &[&str]) -> Vec<Failure> {
    let args: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let cancel = CancellationToken::new();
    kubestash_executor::run(stage.admin.clone(), &stage.settings(), &args, &cancel).await
}

async fn back_up(stage: &Stage, session: &str) -> Vec<Failure> {
    stage.session(session).await;
    let session = format!("--backupsession={session}");
    let words = [
        "kubedbmanifest-backup",
        "backup",
        "--namespace=demo",
        &session,
        "--last-task",
    ];
    run(stage, &words).await
}

/// Restores by a session of this name; returns what it says of its manifests, or why it failed.
async fn restore(stage: &Stage, name: &str, options: Value) -> Result<String, Failure> {
    stage
        .create(CORE, "RestoreSession", json!({
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {"dataSource": {"repository": "repo", "snapshot": "latest"}, "manifestOptions": options},
        }))
        .await;
    let session = format!("--restoresession={name}");
    let snapshot = format!("--snapshot={}", snapshot_name("repo", "s-1"));
    let words = [
        "kubedbmanifest-restore",
        "restore",
        "--namespace=demo",
        &session,
        &snapshot,
        "--last-task",
    ];
    if let Some(failure) = run(stage, &words).await.pop() {
        return Err(failure);
    }
    let api: Api<RestoreSession> = Api::namespaced(stage.admin.clone(), "demo");
    let status = api.get(name).await.unwrap().status.unwrap();
    assert_eq!(
        status.components["manifest"]
            .phase
            .map(|phase| phase.to_string()),
        Some("Succeeded".to_owned())
    );
    Ok(status.conditions[0].message.clone())
}

/// The document in the newest restic snapshot, as the real restic prints it.
fn document(stage: &Stage) -> String {
    let folder = stage
        .volume
        .path()
        .join("repo/repository/v1/frequent-backup/manifest");
    let output = std::process::Command::new("restic")
        .args(["--no-cache", "-r"])
        .arg(folder)
        .args(["dump", "latest", "/kubestash-tmp/manifest"])
        .env("RESTIC_PASSWORD", RESTIC_PASSWORD)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_objects_give_equal_bytes_and_a_kind_that_is_not_installed_is_told_before_anything_is_made()
 {
    let stage = stage().await;
    assert_eq!(back_up(&stage, "s-1").await, []);
    let first = document(&stage);
    assert!(first.contains("\"kind\": \"ZooKeeper\"") && first.contains(CANARY));
    // Only what its API server keeps of it has changed.
    stage
        .merge(
            KUBEDB,
            "Druid",
            "sample-druid",
            json!({"metadata": {"finalizers": ["example.com/x"]}}),
        )
        .await;
    assert_eq!(back_up(&stage, "s-2").await, []);
    assert_eq!(document(&stage), first);
    // The password is nowhere in the volume.
    let canary = |content: &[u8]| {
        let mut windows = content.windows(CANARY.len());
        windows.any(|window| window == CANARY.as_bytes())
    };
    for (path, content) in files_below(stage.volume.path()) {
        assert!(!canary(&content), "{}", path.display());
    }

    let dev = json!({"druid": {"restoreNamespace": "dev", "dbName": "copy"}});
    let made = restore(&stage, "r-1", dev).await.unwrap();
    assert_eq!(
        made,
        "Created: Secret dev/copy-zk-auth, ZooKeeper dev/copy-zk, Druid dev/copy."
    );

    let api: Api<CustomResourceDefinition> = Api::all(stage.admin.clone());
    api.delete("zookeepers.kubedb.com", &DeleteParams::default())
        .await
        .unwrap();
    let prod =
        |keeper: bool| json!({"druid": {"restoreNamespace": "prod"}, "zooKeeper": {"db": keeper}});
    let failure = restore(&stage, "r-2", prod(true)).await.unwrap_err();
    for words in [
        "ZooKeeper prod/sample-druid-zk",
        "not installed",
        "spec.manifestOptions.zooKeeper.db",
        "nothing was created",
    ] {
        assert!(failure.message.contains(words), "{failure}");
    }
    assert!(failure.permanent);
    let made = restore(&stage, "r-3", prod(false)).await.unwrap();
    assert_eq!(
        made,
        "Created: Secret prod/sample-druid-zk-auth, Druid prod/sample-druid."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_names_and_what_does_not_exist_fails_the_backup() {
    let stage = stage().await;
    stage
        .merge(
            KUBEDB,
            "Druid",
            "sample-druid",
            json!({"spec": {"deepStorage": {"configSecret": {"name": "nowhere"}}}}),
        )
        .await;
    let failures = back_up(&stage, "s-1").await;
    for words in [
        "Secret demo/nowhere does not exist",
        "spec.deepStorage.configSecret.name of Druid demo/sample-druid",
    ] {
        assert!(failures[0].message.contains(words), "{failures:?}");
    }
    assert_eq!(Failure::exit_code(&failures), 64);
}
