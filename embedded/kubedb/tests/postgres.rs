//! `Postgres` objects, with real servers.
#![cfg(test)]

mod support;

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::RestoreSession;
use kubestash_api::kubedb::Postgres;
use serde_json::{Value, json};
use support::{Cluster, RunningProvider, condition};

async fn patch(cluster: &Cluster, name: &str, patch: Value) {
    cluster
        .api::<Postgres>()
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

async fn delete(cluster: &Cluster, name: &str) {
    cluster
        .api::<Postgres>()
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_is_reached_with_its_secret_and_with_nothing_else() {
    let cluster = Cluster::start().await;
    let provider = cluster.postgres_provider();
    let annotations = json!({"blueprint.kubestash.com/name": "b", "kubedb.com/own": "x"});
    let begin = Instant::now();
    let example = include_str!("../../../examples/sample-postgres.yaml");
    cluster.create_example(example).await;
    let more = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": 3}});
    patch(&cluster, "sample-postgres", more).await;
    cluster
        .in_phase::<Postgres>("sample-postgres", "Ready")
        .await;
    println!("created to Ready: {:?}", begin.elapsed());
    // A restore of a few thousand tables is one transaction, which holds a lock on each.
    let locks = cluster
        .pg_query(
            "sample-postgres",
            "postgres",
            "SHOW max_locks_per_transaction",
        )
        .await;
    assert_eq!(locks, ["512"]);
    let unheeded = |object: Option<&Postgres>| {
        condition(object.and_then(|it| it.status.as_ref()), "EmbeddedServer")
            .is_some_and(|(_, _, message)| message.contains("spec.replicas"))
    };
    let object = cluster
        .until("sample-postgres", "what has no effect", unheeded)
        .await
        .unwrap();
    assert_eq!(object.finalizers(), ["kubedb.com"]);
    let (_, _, what) = condition(object.status.as_ref(), "EmbeddedServer").unwrap();
    assert!(
        what.starts_with("PostgreSQL ") && what.contains("spec.version (16.4)"),
        "{what}"
    );
    assert!(
        what.contains("Without effect here: spec.replicas."),
        "{what}"
    );

    let annotated = |binding: Option<&AppBinding>| {
        binding.is_some_and(|it| {
            it.annotations()
                .contains_key("blueprint.kubestash.com/name")
        })
    };
    let binding = cluster
        .until("sample-postgres", "its annotations", annotated)
        .await
        .unwrap();
    assert_eq!(binding.annotations()["blueprint.kubestash.com/name"], "b");
    assert!(!binding.annotations().contains_key("kubedb.com/own"));
    assert_eq!(
        binding.labels()["app.kubernetes.io/name"],
        "postgreses.kubedb.com"
    );
    assert_eq!(binding.owner_references()[0].uid, object.uid().unwrap());
    assert_eq!(binding.spec.type_.as_deref(), Some("kubedb.com/postgres"));
    let app = binding.spec.app_ref.unwrap();
    assert_eq!(
        (app.kind.as_deref(), app.name.as_str()),
        (Some("Postgres"), "sample-postgres")
    );
    let secrets = cluster.api::<Secret>();
    let secret = secrets.get("sample-postgres-auth").await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/basic-auth"));

    let (port, username, password) = cluster.access("sample-postgres").await;
    assert_eq!((username.as_str(), password.len()), ("postgres", 16));
    let is_super = "SELECT usesuper FROM pg_user WHERE usename = current_user";
    assert_eq!(
        cluster
            .pg_query("sample-postgres", "postgres", is_super)
            .await,
        ["t"]
    );
    for (user, given) in [
        ("postgres", Some("wrong")),
        ("postgres", Some("")),
        ("postgres", None),
        ("root", Some(password.as_str())),
        ("pg_monitor", None),
    ] {
        let refused = support::postgres(port, user, given, "postgres").await;
        assert!(refused.is_err(), "{user:?} got in with {given:?}");
    }
    let databases = cluster.server.directory().join("data/databases");
    assert_eq!(
        support::traces_of(password.as_bytes(), &databases),
        Vec::<std::path::PathBuf>::new()
    );

    // A new password in the Secret is the server's, whatever is in it; the old one is none any
    // more.
    let new = "it's \\ \"quoted\"; DROP ROLE x; -- ü\n\nsecond line $$";
    let data = Patch::Merge(json!({"stringData": {"password": new}}));
    secrets
        .patch("sample-postgres-auth", &PatchParams::default(), &data)
        .await
        .unwrap();
    let deadline = Instant::now() + support::PATIENCE;
    while support::postgres(port, "postgres", Some(new), "postgres")
        .await
        .is_err()
    {
        assert!(Instant::now() < deadline, "the new password does not work");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        support::postgres(port, "postgres", Some(&password), "postgres")
            .await
            .is_err()
    );
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_and_address_survive_a_killed_server_a_killed_provider_and_a_clean_stop() {
    let cluster = Cluster::start().await;
    let provider = cluster.postgres_provider();
    cluster
        .create::<Postgres>("pg", json!({"version": "18.3"}))
        .await;
    cluster.in_phase::<Postgres>("pg", "Ready").await;
    let (port, ..) = cluster.access("pg").await;
    let fill = "CREATE TABLE t AS SELECT 'kept' AS word";
    cluster.pg_query("pg", "postgres", fill).await;
    let look = async || {
        let deadline = Instant::now() + support::PATIENCE;
        loop {
            match cluster
                .try_pg_query("pg", "postgres", "SELECT word FROM t")
                .await
            {
                Ok(rows) => break rows,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    cluster.await_servers(1).await;
    support::kill(cluster.servers()[0]);
    cluster.told("Postgres", "pg", "signal 9").await;
    cluster.in_phase::<Postgres>("pg", "Ready").await;
    assert_eq!(look().await, ["kept"]);

    provider.kill();
    cluster.await_servers(0).await;
    let provider = cluster.postgres_provider();
    assert_eq!(look().await, ["kept"]);

    // A client that stays does not keep the server from shutting down cleanly.
    let (_, username, password) = cluster.access("pg").await;
    let client = support::postgres(port, &username, Some(&password), "postgres").await;
    let client = client.unwrap();
    provider.stop().await;
    assert!(client.simple_query("SELECT 1").await.is_err());
    assert!(cluster.servers().is_empty());
    let dir = cluster
        .server
        .directory()
        .join("data/databases/demo/postgres-pg");
    let log = std::fs::read_to_string(dir.join("server.log")).unwrap();
    let last = log.lines().last().unwrap();
    assert!(last.ends_with("database system is shut down"), "{last}");

    let provider = cluster.postgres_provider();
    assert_eq!(look().await, ["kept"]);
    assert_eq!(cluster.access("pg").await.0, port);
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_policies_and_halting_decide_what_stays() {
    let cluster = Cluster::start().await;
    let provider = cluster.postgres_provider();
    let databases = cluster.server.directory().join("data/databases/demo");
    for (name, field, policy) in [
        ("wiped", "deletionPolicy", "WipeOut"),
        ("deleted", "terminationPolicy", "Delete"),
        ("halted", "deletionPolicy", "Halt"),
        ("kept", "deletionPolicy", "DoNotTerminate"),
    ] {
        let spec = json!({"version": "18.3", field: policy});
        cluster.create::<Postgres>(name, spec).await;
    }
    for name in ["wiped", "deleted", "halted", "kept"] {
        cluster.in_phase::<Postgres>(name, "Ready").await;
        let fill = format!("CREATE DATABASE of_{name}");
        cluster.pg_query(name, "postgres", &fill).await;
    }

    // Halting stops the server and takes the AppBinding away; its end brings both back.
    patch(&cluster, "halted", json!({"spec": {"halted": true}})).await;
    cluster.in_phase::<Postgres>("halted", "Halted").await;
    cluster.is_gone::<AppBinding>("halted").await;
    cluster.await_servers(3).await;
    patch(&cluster, "halted", json!({"spec": {"halted": false}})).await;
    cluster.in_phase::<Postgres>("halted", "Ready").await;

    for name in ["wiped", "deleted", "halted"] {
        delete(&cluster, name).await;
    }
    for name in ["wiped", "deleted", "halted"] {
        cluster.is_gone::<Postgres>(name).await;
        cluster.is_gone::<AppBinding>(name).await;
        let there = databases.join(format!("postgres-{name}")).exists();
        assert_eq!(there, name == "halted", "{name}");
    }
    let mut secrets = cluster.names::<Secret>().await;
    secrets.retain(|name| name.ends_with("-auth"));
    assert_eq!(secrets, ["deleted-auth", "halted-auth", "kept-auth"]);
    cluster
        .create::<Postgres>("halted", json!({"version": "18.3"}))
        .await;
    cluster.in_phase::<Postgres>("halted", "Ready").await;
    let known = "SELECT datname FROM pg_database WHERE datname LIKE 'of%'";
    assert_eq!(
        cluster.pg_query("halted", "postgres", known).await,
        ["of_halted"]
    );

    delete(&cluster, "kept").await;
    cluster.told("Postgres", "kept", "DeletionRefused").await;
    assert_eq!(
        cluster.pg_query("kept", "postgres", "SELECT 'alive'").await,
        ["alive"]
    );
    patch(
        &cluster,
        "kept",
        json!({"spec": {"deletionPolicy": "WipeOut"}}),
    )
    .await;
    cluster.is_gone::<Postgres>("kept").await;
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_waits_for_its_initial_restore_is_ready_when_that_has_succeeded() {
    let cluster = Cluster::start().await;
    let provider = cluster.postgres_provider();
    // A Secret that is there already is used, for a superuser of another name too.
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "mine"}, "type": "kubernetes.io/basic-auth",
        "stringData": {"username": "O'Neill \"x\"", "password": "pw"}}))
    .unwrap();
    cluster
        .api::<Secret>()
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let spec = json!({
        "version": "18.3",
        "init": {"waitForInitialRestore": true},
        "authSecret": {"name": "mine", "externallyManaged": true},
    });
    cluster.create::<Postgres>("pg", spec).await;
    let waits = |object: Option<&Postgres>| {
        condition(object.and_then(|it| it.status.as_ref()), "Ready")
            .is_some_and(|(_, reason, _)| reason == "InitialRestoreAwaited")
    };
    let object = cluster.until("pg", "waiting", waits).await.unwrap();
    assert_eq!(
        object.status.unwrap().phase.as_deref(),
        Some("Provisioning")
    );
    let me = cluster
        .pg_query("pg", "postgres", "SELECT current_user")
        .await;
    assert_eq!(me, ["O'Neill \"x\""]);
    let target = json!({"apiGroup": "kubedb.com", "kind": "Postgres", "name": "pg"});
    let spec = json!({"target": target, "dataSource": {"repository": "r", "snapshot": "latest"}});
    cluster.create::<RestoreSession>("restore", spec).await;
    for (restore, phase) in [
        ("Running", "DataRestoring"),
        ("Failed", "NotReady"),
        ("Succeeded", "Ready"),
    ] {
        let status = Patch::Merge(json!({"status": {"phase": restore}}));
        cluster
            .api::<RestoreSession>()
            .patch_status("restore", &PatchParams::default(), &status)
            .await
            .unwrap();
        cluster.in_phase::<Postgres>("pg", phase).await;
    }
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_on_the_database_with_the_remedy() {
    let cluster = Cluster::start().await;
    let empty = tempfile::tempdir().unwrap();
    let mut config = cluster.config();
    config.search_path = empty.path().display().to_string();
    config.postgresql_dir = empty.path().to_owned();
    let provider = RunningProvider::start(config);
    let spec = json!({"version": "18.3"});
    cluster.create::<Postgres>("no-program", spec.clone()).await;
    let secret = json!({"name": "theirs", "externallyManaged": true});
    let external = json!({"version": "18.3", "authSecret": secret});
    cluster.create::<Postgres>("no-secret", external).await;
    cluster
        .create::<AppBinding>("taken", json!({"clientConfig": {"url": "tcp(db:3306)/"}}))
        .await;
    cluster.create::<Postgres>("taken", spec).await;
    for (name, text) in [
        ("no-program", "install the package postgresql"),
        ("no-secret", "Secret demo/theirs: it has to exist"),
        (
            "taken",
            "AppBinding demo/taken: it exists and belongs to something else",
        ),
    ] {
        let told = move |object: Option<&Postgres>| {
            condition(object.and_then(|it| it.status.as_ref()), "Ready")
                .is_some_and(|(holds, _, message)| !holds && message.contains(text))
        };
        let object = cluster.until(name, text, told).await.unwrap();
        assert_eq!(
            object.status.unwrap().phase.as_deref(),
            Some("Provisioning"),
            "{name}"
        );
    }
    assert_eq!(cluster.names::<AppBinding>().await, ["taken"]);
    provider.stop().await;
}
