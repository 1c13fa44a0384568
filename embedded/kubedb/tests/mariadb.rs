//! `MariaDB` objects, beside `MySQL` objects, with real servers.
#![cfg(test)]

mod support;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::{Druid, MariaDB, MySQL};
use serde_json::json;
use support::{Cluster, condition};

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_is_reached_with_its_secret_comes_back_when_killed_and_goes_as_its_policy_says() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    let example = include_str!("../../../examples/sample-mariadb.yaml");
    cluster.create_example(example).await;
    let annotations = json!({"metadata": {"annotations": {"blueprint.kubestash.com/name": "b"}}});
    cluster
        .api::<MariaDB>()
        .patch(
            "sample-mariadb",
            &PatchParams::default(),
            &Patch::Merge(annotations),
        )
        .await
        .unwrap();
    let object: MariaDB = cluster.in_phase("sample-mariadb", "Ready").await;
    let (_, _, what) = condition(object.status.as_ref(), "EmbeddedServer").unwrap();
    assert!(what.starts_with("MariaDB "), "{what}");
    let annotated = |binding: Option<&AppBinding>| {
        binding.is_some_and(|it| {
            it.annotations()
                .contains_key("blueprint.kubestash.com/name")
        })
    };
    let binding = cluster
        .until("sample-mariadb", "its annotations", annotated)
        .await
        .unwrap();
    assert_eq!(binding.spec.type_.as_deref(), Some("kubedb.com/mariadb"));
    assert_eq!(
        binding.spec.app_ref.unwrap().kind.as_deref(),
        Some("MariaDB")
    );

    // A MySQL of the same name would share address and Secret with it.
    cluster
        .create::<MySQL>(
            "sample-mariadb",
            json!({"version": "8.0.35", "deletionPolicy": "WipeOut"}),
        )
        .await;
    let refused = |object: Option<&MySQL>| {
        condition(object.and_then(|it| it.status.as_ref()), "Ready")
            .is_some_and(|(holds, reason, _)| !holds && reason == "NameTaken")
    };
    cluster.until("sample-mariadb", "a refusal", refused).await;
    let halted = Patch::Merge(json!({"spec": {"halted": true}}));
    cluster
        .api::<MySQL>()
        .patch("sample-mariadb", &PatchParams::default(), &halted)
        .await
        .unwrap();
    cluster.in_phase::<MySQL>("sample-mariadb", "Halted").await;
    // So would a Druid.
    cluster
        .create::<Druid>("sample-mariadb", json!({"version": "30.0.0"}))
        .await;
    let refused = |object: Option<&Druid>| {
        condition(object.and_then(|it| it.status.as_ref()), "Ready")
            .is_some_and(|(holds, reason, _)| !holds && reason == "NameTaken")
    };
    cluster.until("sample-mariadb", "a refusal", refused).await;

    let (port, username, password) = cluster.access("sample-mariadb").await;
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
    cluster
        .query("sample-mariadb", "CREATE DATABASE hello")
        .await;
    support::kill(cluster.servers()[0]);
    cluster.told("MariaDB", "sample-mariadb", "signal 9").await;
    cluster.in_phase::<MariaDB>("sample-mariadb", "Ready").await;
    assert_eq!(
        cluster
            .query("sample-mariadb", "SHOW DATABASES LIKE 'hello'")
            .await,
        ["hello"]
    );

    // Those that were refused go without taking anything of the other along.
    cluster
        .api::<Druid>()
        .delete("sample-mariadb", &DeleteParams::default())
        .await
        .unwrap();
    cluster
        .api::<MySQL>()
        .delete("sample-mariadb", &DeleteParams::default())
        .await
        .unwrap();
    cluster.is_gone::<Druid>("sample-mariadb").await;
    cluster.is_gone::<MySQL>("sample-mariadb").await;
    assert_eq!(
        cluster.query("sample-mariadb", "SELECT 'alive'").await,
        ["alive"]
    );
    cluster
        .api::<MariaDB>()
        .delete("sample-mariadb", &DeleteParams::default())
        .await
        .unwrap();
    cluster.is_gone::<MariaDB>("sample-mariadb").await;
    cluster.is_gone::<AppBinding>("sample-mariadb").await;
    let secrets = cluster.names::<Secret>().await;
    assert!(
        !secrets.contains(&"sample-mariadb-auth".to_owned()),
        "{secrets:?}"
    );
    assert!(cluster.servers().is_empty());
    provider.stop().await;
}
