//! What keeps a backup from starting is told within seconds, where the user looks, and is still
//! there when the cause is gone.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kubestash_api::core::{BackupConfiguration, BackupSession};
use serde_json::{Value, json};

use crate::support::node::{Deed, Node};
use crate::support::{CONFIGURATION, Cluster, NAMESPACE};

async fn run(cluster: &Cluster, name: &str) -> Job {
    cluster
        .create::<BackupSession>(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"session": "frequent-backup", "invoker": {"apiGroup": "core.kubestash.com",
                "kind": "BackupConfiguration", "name": CONFIGURATION}},
        }))
        .await;
    let there = |found: Option<&Job>| found.is_some();
    cluster.until(name, "its Job", there).await.unwrap()
}

/// The pod of a Job as its controller creates it, waiting as a kubelet says.
async fn pod(cluster: &Cluster, job: &Job, reason: &str, message: &str) -> Pod {
    let name = format!("{}-abcde", job.name_any());
    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": job.uid(),
        "controller": true, "blockOwnerDeletion": true}]);
    let template = job.spec.clone().unwrap().template;
    let labels = template.metadata.unwrap().labels;
    let pod: Pod = cluster
        .create(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": owner, "labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"},
        }))
        .await;
    let waiting = json!({"name": "c", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
        "state": {"waiting": {"reason": reason, "message": message}}});
    let status = json!({"status": {"phase": "Pending", "containerStatuses": [waiting]}});
    cluster
        .api::<Pod>()
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    pod
}

/// An Event as a kubelet or the Job controller writes it.
async fn event(cluster: &Cluster, about: Value, reason: &str, message: &str) {
    let now = jiff::Timestamp::now().to_string();
    cluster
        .create::<Event>(json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{reason}.1").to_lowercase(), "namespace": NAMESPACE},
            "involvedObject": about, "type": "Warning", "reason": reason, "message": message,
            "firstTimestamp": now, "lastTimestamp": now, "count": 1, "source": {"component": "kubelet"},
        }))
        .await;
}

fn ready_says(words: &'static str) -> impl Fn(Option<&BackupSession>) -> bool {
    move |found| {
        let status = found.and_then(|found| found.status.as_ref());
        let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
        conditions.any(|found| found.type_ == "Ready" && found.message.contains(words))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_pod_from_starting_is_told_at_once_and_survives_its_job() {
    let cluster = Cluster::start().await;
    let node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    node.now_does(Deed::Hang);

    // A kubelet tells a volume that it cannot mount by an Event alone.
    let job = run(&cluster, "unmounted-1").await;
    let pod = pod(&cluster, &job, "ContainerCreating", "").await;
    let about =
        json!({"kind": "Pod", "name": pod.name_any(), "namespace": NAMESPACE, "uid": pod.uid()});
    event(
        &cluster,
        about,
        "FailedMount",
        "hostPath type check failed: /mnt/disk is not a directory",
    )
    .await;
    let why = "FailedMount: hostPath type check failed: /mnt/disk is not a directory";
    cluster
        .until("unmounted-1", "its reason", ready_says(why))
        .await;
    for (kind, name) in [
        ("BackupSession", "unmounted-1"),
        ("BackupConfiguration", CONFIGURATION),
    ] {
        let note = cluster.told(kind, name, "PodNotStarted").await;
        assert!(
            note.contains("BackupSession unmounted-1 waits: pod") && note.contains(why),
            "{note}"
        );
    }
    // The Job goes, and its pod with it; the reason stays.
    cluster.delete::<Job>("unmounted-1").await;
    let ended = cluster.ended("unmounted-1").await;
    assert_eq!(
        ended.status.clone().unwrap().phase.unwrap().as_str(),
        "Failed"
    );
    let said = serde_json::to_string(&ended.status).unwrap();
    assert!(
        said.contains("the backup Job no longer exists") && said.contains(why),
        "{said}"
    );
    assert!(!said.contains("no pod was created"), "{said}");

    // The Job controller tells a pod that it cannot create by an Event of the Job.
    let job = run(&cluster, "refused-2").await;
    let about =
        json!({"kind": "Job", "name": "refused-2", "namespace": NAMESPACE, "uid": job.uid()});
    let quota = "Error creating: pods is forbidden: exceeded quota: small";
    event(&cluster, about, "FailedCreate", quota).await;
    cluster
        .until(
            "refused-2",
            "its reason",
            ready_says("FailedCreate: Error creating: pods is forbidden: exceeded quota: small"),
        )
        .await;
    cluster.delete::<Job>("refused-2").await;
    let said = serde_json::to_string(&cluster.ended("refused-2").await.status).unwrap();
    assert!(said.contains("exceeded quota: small"), "{said}");
    operator.stop().await;
}

fn is_ready(reason: &'static str) -> impl Fn(Option<&BackupConfiguration>) -> bool {
    move |found| {
        let status = found.and_then(|found| found.status.as_ref());
        let ready = status.and_then(|status| {
            let phase = status.phase?.as_str();
            let found = status
                .conditions
                .iter()
                .find(|found| found.type_ == "Ready")?;
            Some((phase == "Ready") == (reason == "Ready") && found.reason == reason)
        });
        ready == Some(true)
    }
}

async fn password(cluster: &Cluster, key: &str, value: &str) {
    cluster
        .create::<Secret>(
            json!({"metadata": {"name": "encrypt-secret", "namespace": NAMESPACE},
            "stringData": {key: value}}),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_backup_waits_for_a_password_and_a_configuration_that_loses_it_is_not_ready() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.backends().await;
    cluster.delete::<Secret>("encrypt-secret").await;
    cluster
        .create::<kubestash_api::core::BackupBlueprint>(crate::support::default_blueprint())
        .await;
    cluster.druid(crate::support::SAMPLE_DRUID).await;
    cluster
        .until(
            CONFIGURATION,
            "no Secret",
            is_ready("EncryptionSecretMissing"),
        )
        .await;
    // Also where the owner of the database looks.
    let note = cluster
        .told("Druid", "sample-druid", "BackupConfigurationNotReady")
        .await;
    assert!(
        note.contains("Secret demo/encrypt-secret, does not exist"),
        "{note}"
    );
    for (key, value) in [("PASSWORD", "x"), ("RESTIC_PASSWORD", "")] {
        password(&cluster, key, value).await;
        cluster
            .until(
                CONFIGURATION,
                "no password",
                is_ready("EncryptionSecretInvalid"),
            )
            .await;
        assert!(
            cluster.list::<BackupSession>().await.is_empty(),
            "nothing is backed up without one"
        );
        cluster.delete::<Secret>("encrypt-secret").await;
        cluster
            .until(
                CONFIGURATION,
                "no Secret",
                is_ready("EncryptionSecretMissing"),
            )
            .await;
    }
    password(&cluster, "RESTIC_PASSWORD", "changeit").await;
    cluster
        .until(CONFIGURATION, "Ready", is_ready("Ready"))
        .await;
    cluster.sessions_ended(1).await;
    cluster.delete::<Secret>("encrypt-secret").await;
    cluster
        .until(
            CONFIGURATION,
            "no Secret",
            is_ready("EncryptionSecretMissing"),
        )
        .await;
    operator.stop().await;
}
