//! What goes with a configuration, as its repositories' policies say.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use kubestash_api::core::{BackupConfiguration, BackupSession};
use kubestash_api::storage::{BackupStorage, Repository, Snapshot};
use serde_json::json;

use crate::support::node::{Deed, Node};
use crate::support::{CONFIGURATION, Cluster};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_repository_policy_does_what_it_says_when_the_configuration_goes() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    let spec = cluster
        .api::<BackupConfiguration>()
        .get(CONFIGURATION)
        .await
        .unwrap()
        .spec;
    let spec = serde_json::to_value(spec).unwrap();
    for policy in ["Delete", "Retain", "WipeOut"] {
        let name = policy.to_lowercase();
        let mut spec = spec.clone();
        let repository = &mut spec["sessions"][0]["repositories"][0];
        repository["name"] = json!(name);
        repository["directory"] = json!(name);
        repository["deletionPolicy"] = json!(policy);
        let object = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": name, "namespace": "demo"}, "spec": spec});
        cluster.create::<BackupConfiguration>(object).await;
    }
    cluster.sessions_ended(4).await;
    for name in ["delete", "retain", "wipeout"] {
        cluster.delete::<BackupConfiguration>(name).await;
        cluster.gone::<BackupConfiguration>(name).await;
    }
    cluster.gone::<Repository>("delete").await;
    cluster.gone::<Repository>("wipeout").await;
    assert!(
        cluster
            .api::<Repository>()
            .get_opt("retain")
            .await
            .unwrap()
            .is_some()
    );
    cluster
        .eventually("the sessions' end", || async {
            let left = cluster.list::<BackupSession>().await;
            left.iter()
                .all(|found| found.name_any().starts_with(CONFIGURATION))
                .then_some(())
        })
        .await;
    let kept: Vec<_> = cluster
        .list::<Snapshot>()
        .await
        .into_iter()
        .map(|found| found.spec.repository)
        .collect();
    assert!(
        kept.contains(&"retain".to_owned()) && kept.contains(&"default-blueprint".to_owned()),
        "{kept:?}"
    );
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_of_a_session_reach_other_namespaces_and_go_with_it() {
    let cluster = Cluster::start().await;
    let node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.namespace("stores").await;
    cluster.tutorial().await;
    let run = cluster.sessions_ended(1).await.remove(0);
    node.now_does(Deed::Hang);
    // A storage of another namespace.
    let storage = cluster
        .api::<BackupStorage>()
        .get("gcs-storage")
        .await
        .unwrap();
    cluster
        .create::<BackupStorage>(
            json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "far", "namespace": "stores"}, "spec": storage.spec}),
        )
        .await;
    let mut spec = serde_json::to_value(
        cluster
            .api::<BackupConfiguration>()
            .get(CONFIGURATION)
            .await
            .unwrap()
            .spec,
    )
    .unwrap();
    spec["backends"][0]["storageRef"] = json!({"name": "far", "namespace": "stores"});
    spec["sessions"][0]["repositories"][0] = json!({"name": "far", "backend": "gcs-backend", "directory": "far", "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"}});
    let object = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": "far", "namespace": "demo"}, "spec": spec});
    cluster.create::<BackupConfiguration>(object).await;
    let far = cluster
        .eventually("the Job of the far session", || async {
            let jobs = cluster.list::<Job>().await;
            jobs.into_iter()
                .find(|found| found.name_any().starts_with("far-"))
        })
        .await;
    let stores: Api<Role> = Api::namespaced(cluster.client.clone(), "stores");
    let elsewhere = format!("kubestash:demo:{}", far.name_any());
    let role = stores.get(&elsewhere).await.unwrap();
    let rules = serde_json::to_value(role.rules).unwrap();
    assert_eq!(rules[0]["resourceNames"], json!(["far"]));
    let binding: Api<RoleBinding> = Api::namespaced(cluster.client.clone(), "stores");
    let binding = binding.get(&elsewhere).await.unwrap();
    let subject = binding.subjects.unwrap().remove(0);
    assert_eq!(subject.namespace.as_deref(), Some("demo"));
    assert_eq!(subject.name, far.name_any());

    // They are over with the Job, which stays with its log.
    node.fail(&far).await;
    cluster.ended(&far.name_any()).await;
    for name in [run.name_any(), far.name_any()] {
        assert!(cluster.api::<Job>().get_opt(&name).await.unwrap().is_some());
        let (roles, bindings) = (cluster.api::<Role>(), cluster.api::<RoleBinding>());
        assert!(roles.get_opt(&name).await.unwrap().is_none());
        assert!(bindings.get_opt(&name).await.unwrap().is_none());
        let accounts = cluster.api::<ServiceAccount>();
        assert!(accounts.get_opt(&name).await.unwrap().is_none());
        cluster.delete::<BackupSession>(&name).await;
        cluster.gone::<BackupSession>(&name).await;
        cluster.gone::<Job>(&name).await;
    }
    assert!(
        stores
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    operator.stop().await;
}
