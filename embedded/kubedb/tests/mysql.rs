//! `MySQL` objects that users make themselves.
#![cfg(test)]

mod support;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::MySQL;
use serde_json::json;
use support::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_up_halts_and_comes_back_with_its_data() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    cluster
        .create::<MySQL>(
            "my",
            json!({"version": "8.0.35", "terminationPolicy": "WipeOut"}),
        )
        .await;
    cluster.mysql_in_phase("my", "Ready").await;
    cluster.query("my", "CREATE DATABASE playground").await;
    let halted = |value: bool| Patch::Merge(json!({"spec": {"halted": value}}));
    cluster
        .api::<MySQL>()
        .patch("my", &PatchParams::default(), &halted(true))
        .await
        .unwrap();
    cluster.mysql_in_phase("my", "Halted").await;
    cluster.is_gone::<AppBinding>("my").await;
    assert!(cluster.servers().is_empty());
    cluster
        .api::<MySQL>()
        .patch("my", &PatchParams::default(), &halted(false))
        .await
        .unwrap();
    cluster.mysql_in_phase("my", "Ready").await;
    assert_eq!(
        cluster.query("my", "SHOW DATABASES LIKE 'play%'").await,
        ["playground"]
    );
    cluster
        .api::<MySQL>()
        .delete("my", &DeleteParams::default())
        .await
        .unwrap();
    cluster.is_gone::<MySQL>("my").await;
    assert!(cluster.servers().is_empty());
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_there_already_is_used_whatever_is_in_it() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    let password = "it's \\ \"quoted\"; DROP USER 'root'@'%'; -- ü\nsecond line";
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "my-auth"}, "type": "kubernetes.io/basic-auth",
        "stringData": {"username": "root", "password": password}}))
    .unwrap();
    cluster
        .api::<Secret>()
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    cluster
        .create::<MySQL>("my", json!({"version": "8.0.35"}))
        .await;
    cluster.mysql_in_phase("my", "Ready").await;
    assert_eq!(cluster.query("my", "SELECT 'in'").await, ["in"]);
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_in_the_secret_is_the_servers_new_password() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    cluster
        .create::<MySQL>("my", json!({"version": "8.0.35"}))
        .await;
    cluster.mysql_in_phase("my", "Ready").await;
    let data = Patch::Merge(json!({"stringData": {"password": "another one"}}));
    cluster
        .api::<Secret>()
        .patch("my-auth", &PatchParams::default(), &data)
        .await
        .unwrap();
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while cluster.try_connect("my").await.is_err() {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    cluster.mysql_in_phase("my", "Ready").await;
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_databases_have_servers_and_ports_of_their_own() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    for name in ["one", "two", "three"] {
        cluster
            .create::<MySQL>(name, json!({"version": "8.0.35"}))
            .await;
    }
    let mut ports = Vec::new();
    for name in ["one", "two", "three"] {
        cluster.mysql_in_phase(name, "Ready").await;
        cluster
            .query(name, &format!("CREATE DATABASE only_{name}"))
            .await;
        let binding = cluster.api::<AppBinding>().get(name).await.unwrap();
        ports.push(support::port_of(
            binding.spec.client_config.url.as_deref().unwrap(),
        ));
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((ports.len(), cluster.servers().len()), (3, 3));
    assert_eq!(
        cluster.query("two", "SHOW DATABASES LIKE 'only%'").await,
        ["only_two"]
    );
    provider.stop().await;
}
