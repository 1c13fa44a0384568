//! How many sessions work at once, and in which order the others follow.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::rbac::v1::Role;
use kube::ResourceExt;
use kubestash_api::core::{BackupConfiguration, BackupSession, RestoreSession};
use kubestash_api::shared::Condition;
use serde_json::{Value, json};

use crate::support::node::{Deed, Node};
use crate::support::{CONFIGURATION, Cluster, NAMESPACE};

fn ready(conditions: Option<&Vec<Condition>>) -> Option<(&str, &str)> {
    let ready = conditions?.iter().find(|found| found.type_ == "Ready")?;
    Some((ready.reason.as_str(), ready.message.as_str()))
}

fn says(session: Option<&BackupSession>, reason: &str, text: &str) -> bool {
    let status = session.and_then(|session| session.status.as_ref());
    ready(status.map(|status| &status.conditions))
        .is_some_and(|(found, message)| found == reason && message.contains(text))
}

/// A second and a third configuration of the same target, each with a repository of its own.
async fn configurations(cluster: &Cluster, names: &[&str]) {
    let first = cluster
        .api::<BackupConfiguration>()
        .get(CONFIGURATION)
        .await
        .unwrap();
    for name in names {
        let mut spec = serde_json::to_value(&first.spec).unwrap();
        let repository = &mut spec["sessions"][0]["repositories"][0];
        repository["name"] = json!(name);
        repository["directory"] = json!(name);
        let object = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec});
        cluster.create::<BackupConfiguration>(object).await;
    }
}

async fn run(cluster: &Cluster, configuration: &str, name: &str) -> BackupSession {
    let object: Value = json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"session": "frequent-backup", "invoker": {"apiGroup": "core.kubestash.com",
            "kind": "BackupConfiguration", "name": configuration}},
    });
    cluster.create(object).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_works_at_a_time_if_so_told_and_the_others_wait_in_order_also_over_a_restart() {
    let mut cluster = Cluster::start().await;
    cluster.max_sessions = 1;
    let node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    configurations(&cluster, &["second", "third"]).await;
    cluster.sessions_ended(3).await;

    node.now_does(Deed::Hang);
    run(&cluster, CONFIGURATION, "first-run").await;
    cluster
        .until("first-run", "its Job", |found: Option<&Job>| {
            found.is_some()
        })
        .await;
    run(&cluster, "second", "second-run").await;
    cluster
        .until(
            "second-run",
            "its place",
            |found: Option<&BackupSession>| says(found, "Queued", "place 1"),
        )
        .await;
    run(&cluster, "third", "third-run").await;
    cluster
        .until("third-run", "its place", |found: Option<&BackupSession>| {
            says(found, "Queued", "place 2")
        })
        .await;
    for waiting in ["second-run", "third-run"] {
        let found = cluster.api::<BackupSession>().get(waiting).await.unwrap();
        assert_eq!(found.status.unwrap().phase.unwrap().as_str(), "Pending");
        assert!(
            cluster
                .api::<Job>()
                .get_opt(waiting)
                .await
                .unwrap()
                .is_none()
        );
    }

    // A restart finds the queue as it was.
    operator.stop().await;
    let operator = cluster.operator().await;
    node.now_does(Deed::Succeed);
    cluster.delete::<BackupSession>("first-run").await;
    let ended = [
        cluster.ended("second-run").await,
        cluster.ended("third-run").await,
    ];
    let begun = |session: &BackupSession| {
        let conditions = &session.status.as_ref().unwrap().conditions;
        let ensured = conditions.iter().find(|c| c.type_ == "SnapshotsEnsured");
        ensured.unwrap().last_transition_time.0
    };
    for session in &ended {
        let phase = session.status.as_ref().unwrap().phase.unwrap();
        assert_eq!(phase.as_str(), "Succeeded", "{}", session.name_any());
        assert!(says(Some(session), "Succeeded", "succeeded"));
    }
    assert!(begun(&ended[0]) <= begun(&ended[1]));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_with_the_name_of_a_backup_says_whose_name_it_has() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    run(&cluster, CONFIGURATION, "same-name").await;
    cluster.ended("same-name").await;
    // However short the rights of a backup live, something of its name may be left.
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "of-somebody", "namespace": NAMESPACE}, "rules": []});
    cluster.create::<Role>(role).await;
    for name in ["same-name", "of-somebody"] {
        let object: Value = json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": NAMESPACE},
                "dataSource": {"repository": "default-blueprint", "snapshot": "latest"},
                "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-restore"}]},
            },
        });
        cluster.create::<RestoreSession>(object).await;
        let waits = |found: Option<&RestoreSession>| {
            let status = found.and_then(|found| found.status.as_ref());
            ready(status.map(|status| &status.conditions)).is_some_and(|(reason, message)| {
                reason == "NameTaken" && message.contains(name) && message.contains("another name")
            })
        };
        cluster.until(name, "its reason", waits).await;
    }
    // It goes on when the name is free.
    cluster.delete::<Role>("of-somebody").await;
    let begins = |found: Option<&RestoreSession>| {
        let status = found.and_then(|found| found.status.as_ref());
        status.is_some_and(|status| status.total_components.is_some())
    };
    cluster.until("of-somebody", "its beginning", begins).await;
    operator.stop().await;
}
