//! Jobs on a real API server, run by a real node.
#![cfg(test)]

mod support;

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use support::{Cluster, await_absence, await_processes, job, marker, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_its_pod_to_completion_and_its_log_can_be_read() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let (job, log) = cluster
        .run_script("hello", "echo hello from $HOSTNAME; echo again", json!({}))
        .await;
    assert_eq!(outcome(&job).unwrap(), "Complete");
    let status = job.status.clone().unwrap();
    assert_eq!(
        (status.succeeded, status.failed, status.active),
        (Some(1), None, None)
    );
    assert!(status.start_time.is_some() && status.completion_time.is_some());
    let types: Vec<_> = status
        .conditions
        .unwrap()
        .into_iter()
        .map(|condition| condition.type_)
        .collect();
    assert_eq!(types, ["SuccessCriteriaMet", "Complete"]);

    let pod = cluster.pods_of("hello").await.remove(0);
    assert_eq!(log, format!("hello from {}\nagain\n", pod.name_any()));
    assert!(pod.name_any().starts_with("hello-"));
    assert_eq!(
        pod.labels()["batch.kubernetes.io/controller-uid"],
        job.uid().unwrap()
    );
    assert_eq!(pod.owner_references()[0].uid, job.uid().unwrap());
    let status = pod.status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Succeeded"));
    let terminated = status.container_statuses.unwrap()[0]
        .state
        .clone()
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(
        (terminated.exit_code, terminated.reason.as_deref()),
        (0, Some("Completed"))
    );
    assert!(terminated.started_at.unwrap() <= terminated.finished_at.unwrap());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_story_of_a_job_and_of_its_pod() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    cluster.run_script("story", "true", json!({})).await;
    // Events are written behind the work; stopping the node waits for them.
    node.stop().await;
    let events = cluster
        .api::<Event>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    let reasons = |kind: &str| -> Vec<String> {
        let of_kind = events
            .iter()
            .filter(|event| event.involved_object.kind.as_deref() == Some(kind));
        of_kind.map(|event| event.reason.clone().unwrap()).collect()
    };
    let mut of_pod = reasons("Pod");
    of_pod.sort();
    assert_eq!(of_pod, ["Created", "Pulled", "Scheduled", "Started"]);
    let mut of_job = reasons("Job");
    of_job.sort();
    assert_eq!(of_job, ["Completed", "SuccessfulCreate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_pod_fails_its_job_with_the_exit_code_and_last_words() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let main = json!({"main": {"terminationMessagePolicy": "FallbackToLogsOnError"}});
    let (job, log) = cluster
        .run_script("bad", "echo the disk is full >&2; exit 3", main)
        .await;
    assert_eq!(outcome(&job).unwrap(), "BackoffLimitExceeded");
    assert_eq!(log, "the disk is full\n");
    let pod = cluster.pods_of("bad").await.remove(0);
    let status = pod.status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    let terminated = status.container_statuses.unwrap()[0]
        .state
        .clone()
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(
        (terminated.exit_code, terminated.reason.as_deref()),
        (3, Some("Error"))
    );
    assert_eq!(terminated.message.as_deref(), Some("the disk is full"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_error_by_exit_code_is_not_tried_again() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let rule = json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [64]}});
    let extra = json!({"job.backoffLimit": 3, "job.podFailurePolicy": {"rules": [rule]}});
    let (job, _) = cluster.run_script("permanent", "exit 64", extra).await;
    assert_eq!(outcome(&job).unwrap(), "PodFailurePolicy");
    assert_eq!(cluster.pods_of("permanent").await.len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_error_is_tried_again_after_ten_seconds() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let dir = tempfile::tempdir().unwrap();
    let volumes = json!({
        "job.backoffLimit": 1,
        "volumes": [{"name": "v", "hostPath": {"path": dir.path()}}],
        "main": {"volumeMounts": [{"name": "v", "mountPath": "/state"}]},
    });
    let begin = Instant::now();
    let script = "test -e /state/tried && exit 0; touch /state/tried; exit 1";
    let (job, _) = cluster.run_script("again", script, volumes).await;
    assert_eq!(outcome(&job).unwrap(), "Complete");
    let took = begin.elapsed();
    assert!(
        took > Duration::from_secs(9) && took < Duration::from_secs(30),
        "{took:?}"
    );
    assert_eq!(job.status.unwrap().failed, Some(1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_a_job_ends_its_processes() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let mark = marker();
    let extra = json!({"job.activeDeadlineSeconds": 2, "terminationGracePeriodSeconds": 1});
    cluster
        .create::<Job>(job(
            "late",
            &format!("trap '' TERM; sleep {mark} & wait; sleep {mark}"),
            extra,
        ))
        .await;
    await_processes(&mark, 1).await;
    let done = cluster.finished("late").await;
    assert_eq!(outcome(&done).unwrap(), "DeadlineExceeded");
    assert_eq!(done.status.unwrap().failed, Some(1));
    await_processes(&mark, 0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_and_its_pod_and_log_go_when_their_time_is_over() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    cluster
        .create::<Job>(job(
            "short",
            "true",
            json!({"job.ttlSecondsAfterFinished": 1}),
        ))
        .await;
    cluster.finished("short").await;
    let pod = cluster.pods_of("short").await.remove(0);
    let dir = cluster.server.pods_dir().join(pod.uid().unwrap());
    assert!(dir.exists());
    cluster
        .until::<Job>("short", "its removal", |job: Option<&Job>| job.is_none())
        .await;
    cluster
        .until::<Pod>(&pod.name_any(), "its removal", |pod: Option<&Pod>| {
            pod.is_none()
        })
        .await;
    await_absence(&dir).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_job_ends_its_processes() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let mark = marker();
    let extra = json!({"terminationGracePeriodSeconds": 30});
    cluster
        .create::<Job>(job("gone", &format!("exec sleep {mark}"), extra))
        .await;
    await_processes(&mark, 1).await;
    cluster
        .api::<Job>()
        .delete("gone", &DeleteParams::background())
        .await
        .unwrap();
    await_processes(&mark, 0).await;
    let none = |cluster: &Cluster| cluster.api::<Pod>();
    let pods = none(&cluster);
    while !pods
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .is_empty()
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_job_starts_when_it_is_resumed() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    cluster
        .create::<Job>(job("later", "true", json!({"job.suspend": true})))
        .await;
    let suspended = |job: Option<&Job>| {
        let conditions = job.and_then(|job| job.status.as_ref()?.conditions.as_ref());
        conditions.is_some_and(|all| {
            all.iter()
                .any(|one| one.type_ == "Suspended" && one.status == "True")
        })
    };
    cluster.until::<Job>("later", "suspension", suspended).await;
    assert_eq!(cluster.pods_of("later").await.len(), 0);
    let resume = Patch::Merge(json!({"spec": {"suspend": false}}));
    cluster
        .api::<Job>()
        .patch("later", &PatchParams::default(), &resume)
        .await
        .unwrap();
    assert_eq!(
        outcome(&cluster.finished("later").await).unwrap(),
        "Complete"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_starts_fast_and_nothing_is_written_when_nothing_happens() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    cluster.run_script("warm-up", "true", json!({})).await;
    let dir = tempfile::tempdir().unwrap();
    let started = dir.path().join("started");
    let extra = json!({
        "volumes": [{"name": "v", "hostPath": {"path": dir.path()}}],
        "main": {"volumeMounts": [{"name": "v", "mountPath": "/state"}]},
    });
    let begin = Instant::now();
    cluster
        .create::<Job>(job("fast", "touch /state/started", extra))
        .await;
    while !started.exists() {
        assert!(begin.elapsed() < support::PATIENCE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let until_running = begin.elapsed();
    cluster.finished("fast").await;
    println!(
        "job created to process running: {until_running:?}, to completion: {:?}",
        begin.elapsed()
    );
    assert!(until_running < Duration::from_secs(5), "{until_running:?}");

    for resource in ["pods", "jobs"] {
        assert_eq!(changes_of(&cluster, resource).await, Vec::<String>::new());
    }
    node.stop().await;
}

/// What changes among the objects of a kind within a second and a half.
async fn changes_of(cluster: &Cluster, resource: &str) -> Vec<String> {
    use futures::TryStreamExt;
    let (group, version, kind) = if resource == "jobs" {
        ("batch", "v1", "Job")
    } else {
        ("", "v1", "Pod")
    };
    let resource =
        kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, version, kind));
    let api: Api<kube::core::DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
    let version = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let events = api
        .watch(&WatchParams::default().timeout(2), &version)
        .await
        .unwrap();
    let mut changed = Vec::new();
    let collecting = events.try_for_each(|event| {
        if let WatchEvent::Added(object)
        | WatchEvent::Modified(object)
        | WatchEvent::Deleted(object) = event
        {
            changed.push(object.name_any());
        }
        async { Ok(()) }
    });
    let _ = tokio::time::timeout(Duration::from_millis(1500), collecting).await;
    changed
}
