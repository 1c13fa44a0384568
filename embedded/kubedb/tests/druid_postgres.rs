//! Druids that keep their metadata in PostgreSQL, with real servers.
#![cfg(test)]

mod support;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::DeleteParams;
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::{Druid, MySQL, Postgres};
use serde_json::{Value, json};
use support::{Cluster, RunningProvider, condition};

fn spec(storage: Value) -> Value {
    json!({"version": "30.0.0", "deletionPolicy": "WipeOut", "metadataStorage": storage})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_druid_with_postgresql_gets_its_tables_there_and_takes_everything_along() {
    let cluster = Cluster::start().await;
    let provider = cluster.postgres_provider();
    let example = include_str!("../../../examples/sample-druid-postgres.yaml");
    cluster.create_example(example).await;
    let named = json!({"type": "PostgreSQL", "name": "my-pg", "linkedDB": "Meta \"x\""});
    cluster.create::<Druid>("other", spec(named)).await;
    let druid = cluster
        .druid_in_phase("sample-druid-postgres", "Ready")
        .await;
    assert!(
        condition(druid.status.as_ref(), "MetadataStoreOnly")
            .unwrap()
            .0
    );
    let store = cluster
        .api::<Postgres>()
        .get("sample-druid-postgres-pg-metadata")
        .await
        .unwrap();
    assert_eq!(store.owner_references()[0].uid, druid.uid().unwrap());

    let bindings = cluster.api::<AppBinding>();
    let binding = bindings.get("sample-druid-postgres").await.unwrap();
    assert_eq!(binding.spec.type_.as_deref(), Some("kubedb.com/druid"));
    let binding = bindings
        .get("sample-druid-postgres-pg-metadata")
        .await
        .unwrap();
    assert!(binding.annotations().is_empty());
    assert_eq!(binding.spec.type_.as_deref(), Some("kubedb.com/postgres"));

    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' \
                  AND tableowner = 'postgres' ORDER BY 1";
    let expected = [
        "druid_audit",
        "druid_config",
        "druid_datasource",
        "druid_pendingsegments",
        "druid_rules",
        "druid_segments",
        "druid_supervisors",
        "druid_tasklocks",
        "druid_tasklogs",
        "druid_tasks",
        "druid_upgradesegments",
    ];
    assert_eq!(
        cluster
            .pg_query("sample-druid-postgres-pg-metadata", "druid", tables)
            .await,
        expected
    );
    let columns = "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute \
                   WHERE attrelid = 'druid_segments'::regclass AND attnum > 0 ORDER BY attnum";
    assert_eq!(
        cluster
            .pg_query("sample-druid-postgres-pg-metadata", "druid", columns)
            .await,
        [
            "id character varying(255)",
            "datasource character varying(255)",
            "created_date character varying(255)",
            "start character varying(255)",
            "end character varying(255)",
            "partitioned boolean",
            "version character varying(255)",
            "used boolean",
            "payload bytea",
            "used_status_last_updated character varying(255)",
        ]
    );
    cluster.druid_in_phase("other", "Ready").await;
    assert_eq!(
        cluster.pg_query("my-pg", "Meta \"x\"", tables).await,
        expected
    );

    // The store dies and comes back; the Druid says so too.
    cluster.await_servers(2).await;
    for pid in cluster.servers() {
        support::kill(pid);
    }
    cluster
        .in_phase::<Postgres>("sample-druid-postgres-pg-metadata", "NotReady")
        .await;
    cluster
        .druid_in_phase("sample-druid-postgres", "Ready")
        .await;
    cluster
        .in_phase::<Postgres>("sample-druid-postgres-pg-metadata", "Ready")
        .await;

    for name in ["sample-druid-postgres", "other"] {
        cluster
            .api::<Druid>()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }
    for (druid, store) in [
        ("sample-druid-postgres", "sample-druid-postgres-pg-metadata"),
        ("other", "my-pg"),
    ] {
        cluster.is_gone::<Druid>(druid).await;
        cluster.is_gone::<Postgres>(store).await;
        cluster.is_gone::<AppBinding>(druid).await;
        cluster.is_gone::<AppBinding>(store).await;
    }
    let secrets = cluster.names::<Secret>().await;
    assert!(!secrets.iter().any(|name| name.ends_with("-auth")));
    assert!(cluster.servers().is_empty());
    assert!(cluster.names::<MySQL>().await.is_empty());
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_provided_is_told_on_the_druid() {
    let cluster = Cluster::start().await;
    let empty = tempfile::tempdir().unwrap();
    let mut config = cluster.config();
    config.search_path = empty.path().display().to_string();
    config.postgresql_dir = empty.path().to_owned();
    let provider = RunningProvider::start(config);
    // Somebody's own database has the name that the Druid's would have.
    cluster
        .create::<Postgres>("taken-pg-metadata", json!({"version": "18.3"}))
        .await;
    for name in ["no-program", "taken"] {
        cluster
            .create::<Druid>(name, spec(json!({"type": "PostgreSQL"})))
            .await;
    }
    for (name, text) in [
        ("no-program", "install the package postgresql"),
        (
            "taken",
            "Postgres demo/taken-pg-metadata: it exists and belongs to something else",
        ),
    ] {
        let told = move |druid: Option<&Druid>| {
            condition(druid.and_then(|druid| druid.status.as_ref()), "Ready")
                .is_some_and(|(holds, _, message)| !holds && message.contains(text))
        };
        let druid = cluster.until(name, text, told).await.unwrap();
        assert_eq!(druid.status.unwrap().phase.as_deref(), Some("Provisioning"));
    }
    assert!(cluster.names::<AppBinding>().await.is_empty());
    provider.stop().await;
}
