//! Sessions that do not go well: each ends, and says why.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kubestash_api::core::{BackupConfiguration, BackupSession};
use kubestash_api::storage::Snapshot;
use serde_json::{Value, json};

use crate::support::node::{Deed, Node};
use crate::support::{CONFIGURATION, Cluster, NAMESPACE, Operator};

/// A cluster whose first backup has succeeded, with schedules too rare to disturb.
async fn settled() -> (Cluster, Node, Operator) {
    let cluster = Cluster::start().await;
    let node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    (cluster, node, operator)
}

async fn run(cluster: &Cluster, name: &str, spec: Value) -> BackupSession {
    let mut object = json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"session": "frequent-backup", "invoker": {"apiGroup": "core.kubestash.com",
            "kind": "BackupConfiguration", "name": CONFIGURATION}},
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    cluster.create(object).await
}

fn phase(session: &BackupSession) -> &'static str {
    session.status.as_ref().unwrap().phase.unwrap().as_str()
}

async fn snapshot_of(cluster: &Cluster, session: &str) -> Snapshot {
    let all = cluster.list::<Snapshot>().await;
    all.into_iter()
        .find(|found| found.spec.backup_session == session)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_made_by_hand_runs_and_every_kind_of_failure_ends_with_its_reason() {
    let (cluster, node, operator) = settled().await;
    run(&cluster, "by-hand-1726742101", json!({})).await;
    let by_hand = cluster.ended("by-hand-1726742101").await;
    assert_eq!(phase(&by_hand), "Succeeded");
    // It belongs to its configuration like any other.
    assert_eq!(
        by_hand.labels()["kubestash.com/invoker-name"],
        CONFIGURATION
    );
    assert_eq!(by_hand.owner_references()[0].name, CONFIGURATION);

    let cases = [
        (
            "fails-1",
            Deed::Fail("failed to connect to the database: refused"),
            "failed to connect to the database",
        ),
        ("dies-2", Deed::Die, "BackoffLimitExceeded"),
        ("silent-3", Deed::Silent, "without reporting"),
    ];
    for (name, deed, reason) in cases {
        node.now_does(deed);
        run(&cluster, name, json!({})).await;
        let ended = cluster.ended(name).await;
        assert_eq!(phase(&ended), "Failed", "{name}");
        assert_eq!(
            ended.status.unwrap().conditions.last().unwrap().type_,
            "MetricsPushed"
        );
        let snapshot = snapshot_of(&cluster, name).await.status.unwrap();
        assert_eq!(snapshot.phase.unwrap().as_str(), "Failed", "{name}");
        let note = cluster.told("BackupSession", name, "BackupFailed").await;
        assert!(note.contains(reason), "{name}: {note}");
    }
    let error = snapshot_of(&cluster, "fails-1")
        .await
        .status
        .unwrap()
        .components["dump"]
        .error
        .clone();
    assert_eq!(
        error.as_deref(),
        Some("failed to connect to the database: refused")
    );
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_takes_too_long_is_stopped_and_one_whose_job_is_deleted_ends() {
    let (cluster, node, operator) = settled().await;
    node.now_does(Deed::Hang);
    run(&cluster, "slow-1", json!({"backupTimeout": "1s"})).await;
    let ended = cluster.ended("slow-1").await;
    assert_eq!(phase(&ended), "Failed");
    assert!(
        cluster
            .api::<Job>()
            .get_opt("slow-1")
            .await
            .unwrap()
            .is_none(),
        "its Job is gone"
    );
    let snapshot = snapshot_of(&cluster, "slow-1").await.status.unwrap();
    let incomplete = snapshot
        .conditions
        .iter()
        .find(|found| found.type_ == "BackupIncomplete");
    let why = &incomplete.unwrap().message;
    assert!(why.contains("deadline exceeded"), "{why}");

    run(&cluster, "robbed-2", json!({})).await;
    let launched = |found: Option<&BackupSession>| {
        found
            .and_then(|found| found.status.as_ref())
            .is_some_and(|status| status.conditions.len() == 2)
    };
    cluster.until("robbed-2", "its Job", launched).await;
    cluster
        .until("robbed-2", "its Job", |found: Option<&Job>| found.is_some())
        .await;
    cluster.delete::<Job>("robbed-2").await;
    assert_eq!(phase(&cluster.ended("robbed-2").await), "Failed");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_session_beside_a_running_one_is_skipped_and_so_is_one_of_a_paused_configuration()
{
    let (cluster, node, operator) = settled().await;
    node.now_does(Deed::Hang);
    run(&cluster, "first-1", json!({})).await;
    cluster
        .until("first-1", "its Job", |found: Option<&Job>| found.is_some())
        .await;
    run(&cluster, "second-2", json!({})).await;
    let skipped = cluster.ended("second-2").await;
    assert_eq!(phase(&skipped), "Skipped");
    let condition = &skipped.status.as_ref().unwrap().conditions[0];
    assert_eq!(
        (condition.type_.as_str(), condition.reason.as_str()),
        ("BackupSkipped", "PreRequisitesNotSatisfied")
    );
    assert!(
        condition.message.contains("first-1"),
        "{}",
        condition.message
    );
    assert!(
        cluster
            .api::<Job>()
            .get_opt("second-2")
            .await
            .unwrap()
            .is_none()
    );

    // Deleting the running one ends its Job and its Snapshot.
    cluster.delete::<BackupSession>("first-1").await;
    cluster.gone::<BackupSession>("first-1").await;
    cluster.gone::<Job>("first-1").await;
    let snapshot = snapshot_of(&cluster, "first-1").await.status.unwrap();
    assert_eq!(snapshot.phase.unwrap().as_str(), "Failed");

    cluster
        .merge::<BackupConfiguration>(CONFIGURATION, json!({"spec": {"paused": true}}))
        .await;
    run(&cluster, "paused-3", json!({})).await;
    let skipped = cluster.ended("paused-3").await;
    assert_eq!(phase(&skipped), "Skipped");
    assert!(
        skipped.status.unwrap().conditions[0]
            .message
            .contains("paused")
    );
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_made_in_the_same_instant_do_not_run_side_by_side() {
    let (cluster, node, operator) = settled().await;
    node.now_does(Deed::Hang);
    let names = ["z-1", "m-1", "a-1"];
    futures::future::join_all(names.map(|name| run(&cluster, name, json!({})))).await;
    let running = cluster
        .eventually("two skipped ones", || async {
            let sessions = cluster.list::<BackupSession>().await;
            let of_ours = sessions
                .into_iter()
                .filter(|found| names.contains(&found.name_any().as_str()));
            let (skipped, others): (Vec<_>, Vec<_>) = of_ours.partition(|found| {
                found
                    .status
                    .as_ref()
                    .and_then(|status| status.phase)
                    .is_some_and(|phase| phase.as_str() == "Skipped")
            });
            (skipped.len() == 2).then_some(others)
        })
        .await;
    assert_eq!(running.len(), 1);
    let jobs: Vec<_> = cluster
        .list::<Job>()
        .await
        .into_iter()
        .filter(|job| names.contains(&job.name_any().as_str()))
        .collect();
    assert!(jobs.len() <= 1, "{jobs:?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_on_where_it_was_when_the_operator_was_away() {
    let (cluster, node, operator) = settled().await;
    node.now_does(Deed::Hang);
    run(&cluster, "interrupted-1", json!({})).await;
    cluster
        .until("interrupted-1", "its Job", |found: Option<&Job>| {
            found.is_some()
        })
        .await;
    operator.stop().await;
    // The executor ends while nobody looks.
    drop(node);
    let _node = Node::start(&cluster, Deed::Succeed);
    let done = |found: Option<&Job>| {
        found.is_some_and(|job| {
            job.status
                .as_ref()
                .is_some_and(|status| status.succeeded == Some(1))
        })
    };
    cluster.until("interrupted-1", "its end", done).await;
    let operator = cluster.operator().await;
    let ended = cluster.ended("interrupted-1").await;
    assert_eq!(phase(&ended), "Succeeded", "{:#?}", ended.status);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_session_is_tried_again_as_often_as_was_said() {
    let (cluster, node, operator) = settled().await;
    node.now_does(Deed::Die);
    let retry = json!({"spec": {"sessions": [{"retryConfig": {"maxRetry": 1, "delay": "1s"}}]}});
    // By JSON merge the list would be replaced, so the whole session is written.
    let mut spec = serde_json::to_value(
        cluster
            .api::<BackupConfiguration>()
            .get(CONFIGURATION)
            .await
            .unwrap()
            .spec,
    )
    .unwrap();
    spec["sessions"][0]["retryConfig"] = retry["spec"]["sessions"][0]["retryConfig"].clone();
    spec["sessions"][0]["sessionHistoryLimit"] = json!(5);
    let by_hand = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": "retrying", "namespace": "demo"}, "spec": spec});
    cluster.create::<BackupConfiguration>(by_hand).await;
    let tries = cluster
        .eventually("a second try", || async {
            let sessions = cluster.list::<BackupSession>().await;
            let of_ours = sessions
                .into_iter()
                .filter(|found| found.name_any().starts_with("retrying-"));
            let ended: Vec<_> = of_ours
                .filter(|found| {
                    found
                        .status
                        .as_ref()
                        .and_then(|status| status.phase)
                        .is_some_and(|phase| phase.as_str() == "Failed")
                })
                .collect();
            (ended.len() == 2).then_some(ended)
        })
        .await;
    let first = tries
        .iter()
        .find(|found| found.spec.retry_left == Some(1))
        .unwrap();
    let second = tries
        .iter()
        .find(|found| found.spec.retry_left == Some(0))
        .unwrap();
    let status = first.status.as_ref().unwrap();
    assert_eq!(status.retried, Some(true));
    let planned = status.next_retry.as_ref().unwrap().0.as_second();
    assert!(second.name_any().ends_with(&planned.to_string()));
    assert_eq!(second.status.as_ref().unwrap().next_retry, None);
    operator.stop().await;
}
