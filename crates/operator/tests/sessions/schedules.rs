//! The scheduler, and what it costs when nothing is due.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt;
use kubestash_api::core::{BackupConfiguration, BackupSession};
use kubestash_api::storage::{BackupStorage, Repository, Snapshot};
use serde_json::json;

use crate::support::node::{Deed, Node};
use crate::support::{CONFIGURATION, Cluster};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_come_on_their_second_and_only_the_newest_ones_stay() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    let mut spec = serde_json::to_value(
        cluster
            .api::<BackupConfiguration>()
            .get(CONFIGURATION)
            .await
            .unwrap()
            .spec,
    )
    .unwrap();
    spec["sessions"][0]["scheduler"]["schedule"] = json!("@every 2s");
    spec["sessions"][0]["sessionHistoryLimit"] = json!(2);
    let by_hand = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": "every", "namespace": "demo"}, "spec": spec});
    cluster.create::<BackupConfiguration>(by_hand).await;

    let mut seen: BTreeMap<String, BackupSession> = BTreeMap::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(40);
    while seen
        .keys()
        .filter(|name| name.starts_with("every-"))
        .count()
        < 5
    {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", seen.keys());
        for found in cluster.list::<BackupSession>().await {
            seen.insert(found.name_any(), found);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seconds: Vec<i64> = seen
        .keys()
        .filter_map(|name| name.strip_prefix("every-frequent-backup-")?.parse().ok())
        .collect();
    // The first one is the initial backup, at any second; the others are scheduled.
    assert!(
        seconds[1..].iter().all(|second| second % 2 == 0),
        "{seconds:?}"
    );
    for (name, found) in seen
        .iter()
        .filter(|(name, _)| name.starts_with("every-"))
        .skip(1)
    {
        let due: i64 = name.rsplit('-').next().unwrap().parse().unwrap();
        let made = found
            .metadata
            .creation_timestamp
            .as_ref()
            .unwrap()
            .0
            .as_second();
        assert!((0..=2).contains(&(made - due)), "{name} was made at {made}");
    }
    cluster
        .eventually("a short history", || async {
            let left = cluster.list::<BackupSession>().await;
            let ours = left
                .iter()
                .filter(|found| found.name_any().starts_with("every-"))
                .count();
            (ours <= 3).then_some(())
        })
        .await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_configuration_makes_no_sessions_and_goes_on_when_it_is_resumed() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    let configuration = cluster
        .api::<BackupConfiguration>()
        .get(CONFIGURATION)
        .await
        .unwrap();
    let mut spec = serde_json::to_value(configuration.spec).unwrap();
    spec["sessions"][0]["scheduler"]["schedule"] = json!("@every 1s");
    spec["sessions"][0]["sessionHistoryLimit"] = json!(1000);
    spec["sessions"][0]["repositories"][0]["name"] = json!("every");
    spec["sessions"][0]["repositories"][0]["directory"] = json!("every");
    let object = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": "every", "namespace": "demo"}, "spec": spec});
    cluster.create::<BackupConfiguration>(object).await;
    let made = || async {
        let sessions = cluster.list::<BackupSession>().await;
        let ours = sessions
            .iter()
            .filter(|found| found.name_any().starts_with("every-"));
        ours.count()
    };
    cluster
        .eventually("scheduled sessions", || async {
            (made().await >= 3).then_some(())
        })
        .await;
    cluster
        .merge::<BackupConfiguration>("every", json!({"spec": {"paused": true}}))
        .await;
    let is_paused = |found: Option<&BackupConfiguration>| {
        let status = found.and_then(|found| found.status.as_ref());
        status.is_some_and(|status| status.sessions[0].next_schedule.is_none())
    };
    cluster.until("every", "a pause", is_paused).await;
    let before = made().await;
    // Several runs would have been due in this time.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let while_paused = made().await - before;
    // One may have been on its way when the pause was seen.
    assert!(while_paused <= 1, "{while_paused} sessions in a pause");
    cluster
        .merge::<BackupConfiguration>("every", json!({"spec": {"paused": false}}))
        .await;
    cluster
        .eventually("sessions after the pause", || async {
            (made().await > before + 1).then_some(())
        })
        .await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_nothing_is_due_nothing_is_written() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator_with_webhook().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    let spec = cluster
        .api::<BackupConfiguration>()
        .get(CONFIGURATION)
        .await
        .unwrap()
        .spec;
    let mut spec = serde_json::to_value(spec).unwrap();
    spec["sessions"][0]["scheduler"]["schedule"] = json!("0 3 1 1 *");
    for index in 0..20 {
        spec["sessions"][0]["repositories"][0]["name"] = json!(format!("repo-{index}"));
        spec["sessions"][0]["repositories"][0]["directory"] = json!(format!("directory-{index}"));
        let object = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": format!("config-{index}"), "namespace": "demo"}, "spec": spec});
        cluster.create::<BackupConfiguration>(object).await;
    }
    // The tutorial's own schedule must not come due meanwhile.
    cluster
        .merge::<BackupConfiguration>(CONFIGURATION, json!({"spec": {"paused": true}}))
        .await;
    cluster.sessions_ended(21).await;
    let mut before = versions(&cluster).await;
    // The last statuses may still be on their way; then a whole second without any write.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let mut quiet_since = tokio::time::Instant::now();
    while quiet_since.elapsed() < Duration::from_secs(3) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "something is written all the time"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = versions(&cluster).await;
        if now != before {
            quiet_since = tokio::time::Instant::now();
            before = now;
        }
    }
    operator.stop().await;

    // Nor does a restart write anything.
    let operator = cluster.operator_with_webhook().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(versions(&cluster).await, before);
    operator.stop().await;
}

async fn versions(cluster: &Cluster) -> BTreeMap<String, Option<String>> {
    let mut versions = BTreeMap::new();
    for found in cluster.list::<BackupConfiguration>().await {
        versions.insert(
            format!("configuration {}", found.name_any()),
            found.resource_version(),
        );
    }
    for found in cluster.list::<BackupSession>().await {
        versions.insert(
            format!("session {}", found.name_any()),
            found.resource_version(),
        );
    }
    for found in cluster.list::<Repository>().await {
        versions.insert(
            format!("repository {}", found.name_any()),
            found.resource_version(),
        );
    }
    for found in cluster.list::<Snapshot>().await {
        versions.insert(
            format!("snapshot {}", found.name_any()),
            found.resource_version(),
        );
    }
    for found in cluster.list::<BackupStorage>().await {
        versions.insert(
            format!("storage {}", found.name_any()),
            found.resource_version(),
        );
    }
    versions
}
