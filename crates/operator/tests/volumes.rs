//! `local` storages: what the operator has Jobs do, with the test as the node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use kube::api::{Patch, PatchParams};
use kubestash_api::storage::{BackupStorage, BackupStoragePhase};
use serde_json::{Value, json};

use support::{NAMESPACE, World};

fn local_storage(policy: &str) -> Value {
    json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "volume", "namespace": NAMESPACE},
        "spec": {
            "storage": {"provider": "local", "local": {"mountPath": "/data", "hostPath": {"path": "/tmp/nowhere"}}},
            "deletionPolicy": policy,
        },
    })
}

/// Ends a Job as the Job controller would.
async fn finish(world: &World, name: &str, condition: Value) {
    let now = jiff::Timestamp::now().to_string();
    let mut condition = condition;
    condition["status"] = json!("True");
    condition["lastTransitionTime"] = json!(now);
    let status = json!({"status": {"startTime": now, "conditions": [condition]}});
    let api = world.api::<Job>(NAMESPACE);
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

fn reason(storage: &BackupStorage) -> Option<&str> {
    let conditions = &storage.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|found| found.type_ == "Ready")?;
    Some(ready.reason.as_str())
}

fn is_ready(storage: &BackupStorage) -> bool {
    storage.status.as_ref().and_then(|status| status.phase) == Some(BackupStoragePhase::Ready)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_set_up_by_a_job_that_may_only_read_its_storage() {
    let world = World::start().await;
    world.create::<BackupStorage>(local_storage("Delete")).await;
    let job = world.until::<Job>("init-volume", "there", |_| true).await;
    let pod = job.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.service_account_name.as_deref(), Some("init-volume"));
    let role = world
        .api::<Role>(NAMESPACE)
        .get("init-volume")
        .await
        .unwrap();
    let rules = role.rules.unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].resource_names, Some(vec!["volume".to_owned()]));
    assert_eq!(rules[0].verbs, ["get"]);
    world
        .until("volume", "waiting", |storage: &BackupStorage| {
            reason(storage) == Some("Initializing")
        })
        .await;

    finish(&world, "init-volume", json!({"type": "Complete"})).await;
    world.until("volume", "ready", is_ready).await;
    world.until_gone::<Job>("init-volume").await;
    world.until_gone::<RoleBinding>("init-volume").await;
    world.until_gone::<Role>("init-volume").await;
    world.until_gone::<ServiceAccount>("init-volume").await;

    // The policy Delete needs no Job.
    world.delete::<BackupStorage>("volume").await;
    world.until_gone::<BackupStorage>("volume").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_is_told_and_run_again() {
    let world = World::start().await;
    world.create::<BackupStorage>(local_storage("Delete")).await;
    let first = world.until::<Job>("init-volume", "there", |_| true).await;
    let failed = json!({"type": "Failed", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"});
    finish(&world, "init-volume", failed).await;
    world
        .until("volume", "told", |storage: &BackupStorage| {
            reason(storage) == Some("JobFailed")
        })
        .await;
    assert!(
        world
            .event("volume", "JobFailed")
            .await
            .contains("demo/init-volume")
    );
    let is_another = |job: &Job| job.metadata.uid != first.metadata.uid;
    world.until("init-volume", "made anew", is_another).await;
    finish(&world, "init-volume", json!({"type": "Complete"})).await;
    world.until("volume", "ready", is_ready).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_wiped_by_a_job_before_the_storage_goes() {
    let world = World::start().await;
    world
        .create::<BackupStorage>(local_storage("WipeOut"))
        .await;
    world.until::<Job>("init-volume", "there", |_| true).await;
    finish(&world, "init-volume", json!({"type": "Complete"})).await;
    world.until("volume", "ready", is_ready).await;
    world.delete::<BackupStorage>("volume").await;
    let job = world
        .until::<Job>("cleanup-volume", "there", |_| true)
        .await;
    assert_eq!(job.metadata.owner_references, None);
    finish(
        &world,
        "cleanup-volume",
        json!({"type": "Failed", "reason": "BackoffLimitExceeded", "message": "m"}),
    )
    .await;
    let told = |storage: &BackupStorage| reason(storage) == Some("JobFailed");
    world.until("volume", "told", told).await;
    let is_another = |found: &Job| found.metadata.uid != job.metadata.uid;
    world.until("cleanup-volume", "made anew", is_another).await;
    finish(&world, "cleanup-volume", json!({"type": "Complete"})).await;
    world.until_gone::<BackupStorage>("volume").await;
    world.until_gone::<Job>("cleanup-volume").await;
    world.until_gone::<ServiceAccount>("cleanup-volume").await;
    world.stop().await;
}
