//! The node stops, or is taken away, while pods run.
#![cfg(test)]

mod support;

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;
use support::{Cluster, await_absence, await_processes, job, marker, outcome, processes_with};

fn running(pod: Option<&Pod>) -> bool {
    pod.is_some_and(|pod| {
        pod.status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            == Some("Running")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_node_ends_all_pods_in_time_and_says_so() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let (polite, stubborn) = (marker(), marker());
    cluster
        .create::<Job>(job(
            "polite",
            &format!("exec sleep {polite}"),
            json!({"job.backoffLimit": 3}),
        ))
        .await;
    cluster
        .create::<Job>(job(
            "stubborn",
            &format!("trap '' TERM; sleep {stubborn}"),
            json!({}),
        ))
        .await;
    await_processes(&polite, 1).await;
    await_processes(&stubborn, 1).await;
    let begin = Instant::now();
    node.stop().await;
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
    assert!(processes_with(&polite).is_empty() && processes_with(&stubborn).is_empty());
    for name in ["polite", "stubborn"] {
        let pods = cluster.pods_of(name).await;
        assert_eq!(pods.len(), 1, "no replacement is made on the way down");
        let status = pods[0].status.clone().unwrap();
        assert_eq!(
            (status.phase.as_deref(), status.reason.as_deref()),
            (Some("Failed"), Some("Terminated"))
        );
    }
    // The next start draws the conclusion.
    let node = cluster.node();
    assert_eq!(
        outcome(&cluster.finished("stubborn").await).unwrap(),
        "BackoffLimitExceeded"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_ran_when_the_node_was_killed_have_failed_and_no_process_is_left() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let mark = marker();
    let script = format!("setsid -f sleep {mark}; exec sleep {mark}");
    cluster.create::<Job>(job("lost", &script, json!({}))).await;
    await_processes(&mark, 2).await;
    let pod = cluster.pods_of("lost").await.remove(0);
    cluster
        .until::<Pod>(&pod.name_any(), "Running", running)
        .await;
    node.kill();
    await_processes(&mark, 0).await;

    let node = cluster.node();
    assert_eq!(
        outcome(&cluster.finished("lost").await).unwrap(),
        "BackoffLimitExceeded"
    );
    let pods = cluster.pods_of("lost").await;
    assert_eq!(pods.len(), 1);
    let status = pods[0].status.clone().unwrap();
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Failed"), Some("NodeLost"))
    );
    let terminated = status.container_statuses.unwrap()[0]
        .state
        .clone()
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(terminated.exit_code, 137);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_created_and_deleted_while_the_node_was_away_is_seen_to() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    cluster.run_script("old", "true", json!({})).await;
    let old = cluster.pods_of("old").await.remove(0);
    let dir = cluster.server.pods_dir().join(old.uid().unwrap());
    assert!(dir.exists());
    node.stop().await;
    cluster
        .api::<Job>()
        .delete("old", &DeleteParams::background())
        .await
        .unwrap();
    cluster
        .until::<Pod>(&old.name_any(), "its removal", |pod: Option<&Pod>| {
            pod.is_none()
        })
        .await;
    cluster.create::<Job>(job("new", "true", json!({}))).await;
    let node = cluster.node();
    assert_eq!(outcome(&cluster.finished("new").await).unwrap(), "Complete");
    await_absence(&dir).await;
    node.stop().await;
}
