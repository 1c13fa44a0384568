//! `local` storages: what the operator has Jobs do, with the test as the node.
#![cfg(test)]

mod support;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kubestash_api::storage::{BackupStorage, BackupStoragePhase, Repository, Snapshot};
use kubestash_backend::{LEFT_KEY, REPORT_KEY, REPORT_LIMIT, StoredRepository, pack};
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

/// A pod of a Job that has ended with these last words.
async fn ended_pod(world: &World, job: &Job, words: &str) {
    let name = format!("{}-x", job.name_any());
    let labels = job.spec.clone().unwrap().template.metadata.unwrap().labels;
    world
        .create::<Pod>(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels, "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": job.uid(), "controller": true}]},
            "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"},
        }))
        .await;
    let ended = json!({"name": "c", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
        "state": {"terminated": {"exitCode": 1, "reason": "Error", "message": format!("a line of the log\n{words}\n")}}});
    let status = json!({"status": {"phase": "Failed", "containerStatuses": [ended]}});
    let pods = world.api::<Pod>(NAMESPACE);
    pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

/// Does what the Job that prepares the volume does: it tells what is in there, and ends.
async fn initialise(world: &World, found: Vec<StoredRepository>) {
    let report = ByteString(pack(found, REPORT_LIMIT).unwrap());
    let patch = json!({"binaryData": {REPORT_KEY: report}});
    world.merge::<ConfigMap>("init-volume", patch).await;
    finish(world, "init-volume", json!({"type": "Complete"})).await;
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
async fn a_volume_is_set_up_by_a_job_that_may_only_read_its_storage_and_answer() {
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
    assert_eq!(rules.len(), 2);
    assert_eq!(
        rules[0].resource_names,
        Some(vec!["init-volume".to_owned()])
    );
    assert_eq!(rules[0].resources, Some(vec!["configmaps".to_owned()]));
    assert_eq!(rules[0].verbs, ["get", "patch"]);
    assert_eq!(rules[1].resource_names, Some(vec!["volume".to_owned()]));
    assert_eq!(rules[1].verbs, ["get"]);
    world
        .until("volume", "waiting", |storage: &BackupStorage| {
            reason(storage) == Some("Initializing")
        })
        .await;

    initialise(&world, Vec::new()).await;
    world.until("volume", "ready", is_ready).await;
    world.until_gone::<Job>("init-volume").await;
    world.until_gone::<RoleBinding>("init-volume").await;
    world.until_gone::<Role>("init-volume").await;
    world.until_gone::<ServiceAccount>("init-volume").await;
    world.until_gone::<ConfigMap>("init-volume").await;

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
    initialise(&world, Vec::new()).await;
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
    initialise(&world, Vec::new()).await;
    world.until("volume", "ready", is_ready).await;
    world.delete::<BackupStorage>("volume").await;
    let job = world
        .until::<Job>("cleanup-volume", "there", |_| true)
        .await;
    assert_eq!(job.metadata.owner_references, None);
    // Why it cannot be removed is said on what is to go, and not only in the Job's log.
    let why = "failed to remove /data/repo: it holds files of somebody else";
    ended_pod(&world, &job, why).await;
    finish(
        &world,
        "cleanup-volume",
        json!({"type": "Failed", "reason": "BackoffLimitExceeded", "message": "m"}),
    )
    .await;
    let told = |storage: &BackupStorage| reason(storage) == Some("JobFailed");
    let storage = world.until("volume", "told", told).await;
    let ready = storage.status.unwrap().conditions;
    let ready = ready.into_iter().find(|found| found.type_ == "Ready");
    let message = ready.unwrap().message;
    assert_eq!(message.matches(why).count(), 1, "{message}");
    assert!(world.event("volume", "JobFailed").await.contains(why));
    let is_another = |found: &Job| found.metadata.uid != job.metadata.uid;
    world.until("cleanup-volume", "made anew", is_another).await;
    // What it left is told.
    let left = json!({"count": 4, "first": ["photos/cat.jpg", "a", "b"]}).to_string();
    let patch = json!({"binaryData": {LEFT_KEY: ByteString(left.into_bytes())}});
    world.merge::<ConfigMap>("cleanup-volume", patch).await;
    finish(&world, "cleanup-volume", json!({"type": "Complete"})).await;
    world.until_gone::<BackupStorage>("volume").await;
    let note = world.event("volume", "ForeignFilesKept").await;
    assert!(note.contains("photos/cat.jpg, a, b and 1 more"), "{note}");
    world.until_gone::<ConfigMap>("cleanup-volume").await;
    world.until_gone::<Job>("cleanup-volume").await;
    world.until_gone::<ServiceAccount>("cleanup-volume").await;
    world.stop().await;
}

fn stored(name: &str, snapshots: &[&str], errors: &[&str]) -> StoredRepository {
    let mut repository = support::repository(name, "Delete");
    repository["spec"]["storageRef"] = json!({"name": "lost", "namespace": "lost"});
    let snapshot = |snapshot: &&str| {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": snapshot, "namespace": NAMESPACE},
            "spec": {"repository": name, "session": "frequent-backup", "snapshotID": "01J84XBGGY0JKG7JKTRCGV3HYM"},
            "status": {"totalComponents": 1, "components": {"dump": {"phase": "Succeeded"}}},
        }))
        .unwrap()
    };
    StoredRepository {
        directory: name.to_owned(),
        repository: Some(serde_json::from_value(repository).unwrap()),
        snapshots: snapshots.iter().map(snapshot).collect(),
        errors: errors.iter().map(|error| (*error).to_owned()).collect(),
        named: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_volume_holds_comes_back_once_and_what_is_broken_is_told() {
    let world = World::start().await;
    world.create::<BackupStorage>(local_storage("Delete")).await;
    let first = world.until::<Job>("init-volume", "there", |_| true).await;
    // A Job that ends without an answer is no proof that the volume is empty.
    finish(&world, "init-volume", json!({"type": "Complete"})).await;
    let is_another = |job: &Job| job.metadata.uid != first.metadata.uid;
    world.until("init-volume", "made anew", is_another).await;

    let broken = StoredRepository {
        repository: None,
        ..stored("nowhere", &[], &["nowhere/repository.yaml is broken"])
    };
    // The API server refuses the name of one of these Snapshots.
    let half = stored(
        "half",
        &["good", "Not_A_Name"],
        &["half/snapshots/x.yaml is broken"],
    );
    initialise(
        &world,
        vec![stored("whole", &["w-1", "w-2"], &[]), half, broken],
    )
    .await;
    let storage = world.until("volume", "ready", is_ready).await;
    let entries = storage.status.unwrap().repositories;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.synced, entry.error.is_some()))
        .collect();
    let expected = [
        ("nowhere", Some(false), true),
        ("half", Some(true), true),
        ("whole", Some(true), false),
    ];
    assert_eq!(told, expected, "{entries:#?}");
    let error = entries[1].error.as_deref().unwrap();
    assert!(
        error.contains("x.yaml") && error.contains("Not_A_Name"),
        "{error}"
    );
    let note = world.event("volume", "ReadBackIncomplete").await;
    assert!(note.contains("half") && note.contains("nowhere"), "{note}");
    for name in ["w-1", "w-2", "good"] {
        let succeeded = |snapshot: &Snapshot| {
            let phase = snapshot.status.as_ref().and_then(|status| status.phase);
            phase.is_some_and(|phase| phase.as_str() == "Succeeded")
        };
        world.until::<Snapshot>(name, "back", succeeded).await;
    }
    let repository = world
        .api::<Repository>(NAMESPACE)
        .get("whole")
        .await
        .unwrap();
    assert_eq!(repository.spec.storage_ref.unwrap().name, "volume");
    world.until_gone::<Job>("init-volume").await;

    // What is deleted now stays away, also when the volume is prepared anew.
    world.delete::<Repository>("whole").await;
    world.until_gone::<Repository>("whole").await;
    let image = json!({"spec": {"runtimeSettings": {"pod": {"priority": 1}}}});
    let edited = world.merge::<BackupStorage>("volume", image).await;
    world.until::<Job>("init-volume", "there", |_| true).await;
    initialise(&world, vec![stored("whole", &["w-1"], &[])]).await;
    let is_current = |storage: &BackupStorage| {
        let conditions = storage.status.iter().flat_map(|status| &status.conditions);
        conditions.clone().any(|found| {
            found.type_ == "BackendInitialized"
                && found.observed_generation == edited.metadata.generation
        })
    };
    world.until("volume", "set up anew", is_current).await;
    world.until_gone::<Job>("init-volume").await;
    let left = world
        .api::<Repository>(NAMESPACE)
        .list(&Default::default())
        .await
        .unwrap();
    let left: Vec<_> = left.iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, ["half"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_pod_does_not_start_says_why_on_the_storage() {
    let world = World::start().await;
    world.create::<BackupStorage>(local_storage("Delete")).await;
    let job = world.until::<Job>("init-volume", "there", |_| true).await;
    let labels = job.spec.clone().unwrap().template.metadata.unwrap().labels;
    world
        .create::<Pod>(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "init-volume-x", "namespace": NAMESPACE, "labels": labels, "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "name": "init-volume", "uid": job.uid(), "controller": true}]},
            "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"},
        }))
        .await;
    let waiting = json!({"name": "c", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
        "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"x\" not found"}}});
    let status = json!({"status": {"phase": "Pending", "containerStatuses": [waiting]}});
    let pods = world.api::<Pod>(NAMESPACE);
    pods.patch_status(
        "init-volume-x",
        &PatchParams::default(),
        &Patch::Merge(&status),
    )
    .await
    .unwrap();
    world
        .until("volume", "told", |storage: &BackupStorage| {
            reason(storage) == Some("PodNotStarted")
        })
        .await;
    let note = world.event("volume", "PodNotStarted").await;
    assert!(
        note.contains("Job demo/init-volume waits: pod init-volume-x")
            && note.contains("CreateContainerConfigError: secret \"x\" not found"),
        "{note}"
    );
    initialise(&world, Vec::new()).await;
    world.until("volume", "ready", is_ready).await;
    world.stop().await;
}
