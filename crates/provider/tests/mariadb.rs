//! `MariaDB` objects, beside `MySQL` objects, with real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::{MariaDB, MySQL};
use serde_json::json;
use support::{Cluster, condition};

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_is_reached_with_its_secret_comes_back_when_killed_and_goes_as_its_policy_says() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    // As the guides write it.
    let kind = GroupVersionKind::gvk("kubedb.com", "v1", "MariaDB");
    let api: Api<DynamicObject> = Api::namespaced_with(
        cluster.client.clone(),
        "demo",
        &ApiResource::from_gvk_with_plural(&kind, "mariadbs"),
    );
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "kubedb.com/v1", "kind": "MariaDB",
        "metadata": {"name": "md", "annotations": {"blueprint.kubestash.com/name": "b"}},
        "spec": {"version": "11.1.3", "deletionPolicy": "WipeOut"}}))
    .unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
    let object: MariaDB = cluster.in_phase("md", "Ready").await;
    let (_, _, what) = condition(object.status.as_ref(), "EmbeddedServer").unwrap();
    assert!(what.starts_with("MariaDB "), "{what}");
    let binding = cluster.api::<AppBinding>().get("md").await.unwrap();
    assert_eq!(binding.annotations()["blueprint.kubestash.com/name"], "b");
    assert_eq!(binding.spec.type_.as_deref(), Some("kubedb.com/mariadb"));
    assert_eq!(
        binding.spec.app_ref.unwrap().kind.as_deref(),
        Some("MariaDB")
    );

    // A MySQL of the same name would share address and Secret with it.
    cluster
        .create::<MySQL>("md", json!({"version": "8.0.35"}))
        .await;
    let refused = |object: Option<&MySQL>| {
        condition(object.and_then(|it| it.status.as_ref()), "Ready")
            .is_some_and(|(holds, reason, _)| !holds && reason == "NameTaken")
    };
    cluster.until("md", "a refusal", refused).await;

    let (port, username, password) = cluster.access("md").await;
    for (user, given) in [
        ("root", Some("wrong")),
        ("root", None),
        ("", None),
        ("mysql", Some(password.as_str())),
    ] {
        let refused = support::mysql(port, user, given).await;
        assert!(refused.is_err(), "{user:?} got in with {given:?}");
    }
    assert_eq!(username, "root");
    cluster.query("md", "CREATE DATABASE hello").await;
    support::kill(cluster.servers()[0]);
    cluster.in_phase::<MariaDB>("md", "NotReady").await;
    cluster.in_phase::<MariaDB>("md", "Ready").await;
    assert_eq!(
        cluster.query("md", "SHOW DATABASES LIKE 'hello'").await,
        ["hello"]
    );

    // The one that was refused goes without taking anything of the other along.
    cluster
        .api::<MySQL>()
        .delete("md", &DeleteParams::default())
        .await
        .unwrap();
    cluster.is_gone::<MySQL>("md").await;
    assert_eq!(cluster.query("md", "SELECT 'alive'").await, ["alive"]);
    cluster
        .api::<MariaDB>()
        .delete("md", &DeleteParams::default())
        .await
        .unwrap();
    cluster.is_gone::<MariaDB>("md").await;
    cluster.is_gone::<AppBinding>("md").await;
    let secrets = cluster.names::<Secret>().await;
    assert!(!secrets.contains(&"md-auth".to_owned()), "{secrets:?}");
    assert!(cluster.servers().is_empty());
    provider.stop().await;
}
