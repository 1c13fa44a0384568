//! Druids on a real API server, with real database servers.
#![cfg(test)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::RestoreSession;
use kubestash_api::kubedb::{Druid, MySQL};
use serde_json::{Value, json};
use support::{Cluster, RunningProvider, condition};

fn spec(extra: Value) -> Value {
    let mut spec = json!({"version": "30.0.0", "deletionPolicy": "WipeOut"});
    for (key, value) in extra.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

async fn patch(cluster: &Cluster, name: &str, patch: Value) {
    cluster
        .api::<Druid>()
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_druid_gets_all_that_a_backup_of_its_metadata_needs() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    let annotations = json!({"blueprint.kubestash.com/name": "b", "kubedb.com/own": "x"});
    let begin = Instant::now();
    let metadata = json!({"name": "sample-druid", "annotations": annotations});
    cluster
        .create_with::<Druid>(metadata, spec(json!({})))
        .await;
    let druid = cluster.druid_in_phase("sample-druid", "Ready").await;
    println!("created to Ready: {:?}", begin.elapsed());
    assert_eq!(druid.finalizers(), ["kubedb.com/druid"]);
    let (_, reason, message) = condition(druid.status.as_ref(), "MetadataStoreOnly").unwrap();
    assert_eq!(reason, "NoDruidProcesses");
    assert!(
        message.contains("Druid's own processes and ZooKeeper do not run here"),
        "{message}"
    );
    assert!(condition(druid.status.as_ref(), "Provisioned").unwrap().0);

    let mysql = cluster
        .api::<MySQL>()
        .get("sample-druid-mysql-metadata")
        .await
        .unwrap();
    assert_eq!(mysql.owner_references()[0].uid, druid.uid().unwrap());
    assert!(support::in_phase(mysql.status.as_ref(), "Ready"));

    let binding = cluster
        .api::<AppBinding>()
        .get("sample-druid")
        .await
        .unwrap();
    assert_eq!(binding.annotations()["blueprint.kubestash.com/name"], "b");
    assert!(!binding.annotations().contains_key("kubedb.com/own"));
    assert_eq!(
        binding.labels()["app.kubernetes.io/name"],
        "druids.kubedb.com"
    );
    assert_eq!(
        binding.labels()["app.kubernetes.io/instance"],
        "sample-druid"
    );
    assert_eq!(
        binding.labels()["app.kubernetes.io/managed-by"],
        "kubedb.com"
    );
    let owner = &binding.owner_references()[0];
    assert_eq!(
        (owner.uid.clone(), owner.controller),
        (druid.uid().unwrap(), Some(true))
    );
    let app = binding.spec.app_ref.unwrap();
    assert_eq!(
        (
            app.kind.as_deref(),
            app.name.as_str(),
            app.namespace.as_deref()
        ),
        (Some("Druid"), "sample-druid", Some("demo"))
    );
    assert_eq!(binding.spec.type_.as_deref(), Some("kubedb.com/druid"));
    assert_eq!(binding.spec.version.as_deref(), Some("30.0.0"));
    assert_eq!(binding.spec.secret.unwrap().name, "sample-druid-auth");

    let binding = cluster
        .api::<AppBinding>()
        .get("sample-druid-mysql-metadata")
        .await
        .unwrap();
    assert!(binding.annotations().is_empty());
    assert_eq!(binding.spec.type_.as_deref(), Some("kubedb.com/mysql"));
    assert!(binding.spec.client_config.service.is_none());
    assert!(binding.spec.version.is_some());

    for (name, user) in [
        ("sample-druid-auth", "admin"),
        ("sample-druid-mysql-metadata-auth", "root"),
    ] {
        let secret = cluster.api::<Secret>().get(name).await.unwrap();
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/basic-auth"));
        assert_eq!(secret.data.as_ref().unwrap()["username"].0, user.as_bytes());
        assert_eq!(secret.data.unwrap()["password"].0.len(), 16);
    }

    let mut tables = cluster
        .query("sample-druid-mysql-metadata", "SHOW TABLES IN druid")
        .await;
    tables.sort();
    let mut expected: Vec<String> = [
        "audit",
        "config",
        "dataSource",
        "pendingSegments",
        "rules",
        "segments",
        "supervisors",
        "tasklocks",
        "tasklogs",
        "tasks",
        "upgradeSegments",
    ]
    .map(|name| format!("druid_{name}"))
    .into();
    expected.sort();
    assert_eq!(tables, expected);
    let begin = Instant::now();
    provider.stop().await;
    println!("stopped after {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_binding_follows_the_annotations_and_nothing_else_is_written() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    cluster.create::<Druid>("d", spec(json!({}))).await;
    cluster.druid_in_phase("d", "Ready").await;
    let has = |wanted: Option<&'static str>| {
        move |binding: Option<&AppBinding>| {
            binding.is_some_and(|it| {
                it.annotations()
                    .get("variables.kubestash.com/x")
                    .map(String::as_str)
                    == wanted
            })
        }
    };
    for value in [Some("1"), Some("2 \"quoted\"\nline"), None] {
        patch(
            &cluster,
            "d",
            json!({"metadata": {"annotations": {"variables.kubestash.com/x": value}}}),
        )
        .await;
        cluster.until("d", "its annotations", has(value)).await;
    }
    let versions = async || {
        let mut versions = cluster.versions::<Druid>().await;
        versions.extend(cluster.versions::<MySQL>().await);
        versions.extend(cluster.versions::<AppBinding>().await);
        versions
    };
    // Whatever the last change has set off has come to rest when two looks agree; then it must stay
    // so.
    let deadline = Instant::now() + support::PATIENCE;
    loop {
        let before = versions().await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        if versions().await == before {
            break;
        }
        assert!(Instant::now() < deadline, "it never comes to rest");
    }
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_address_and_data_and_the_server_is_shut_down_cleanly() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    cluster.create::<Druid>("d", spec(json!({}))).await;
    cluster.druid_in_phase("d", "Ready").await;
    let url = async || {
        cluster
            .api::<AppBinding>()
            .get("d-mysql-metadata")
            .await
            .unwrap()
            .spec
            .client_config
            .url
    };
    let before = url().await;
    cluster
        .query(
            "d-mysql-metadata",
            "INSERT INTO druid.druid_rules VALUES ('r', 'wikipedia', 'v', 'payload')",
        )
        .await;
    let begin = Instant::now();
    provider.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(8));
    assert!(cluster.servers().is_empty());
    let log = std::fs::read_to_string(
        cluster
            .server
            .directory()
            .join("data/databases/demo/mysql-d-mysql-metadata/server.log"),
    );
    assert!(log.unwrap().contains("Shutdown complete"));

    let provider = cluster.provider();
    cluster.await_servers(1).await;
    cluster.mysql_in_phase("d-mysql-metadata", "Ready").await;
    let rows = loop {
        // The status may still be the one from before; the server is on its way.
        let opened = tokio::spawn(count_rules(
            cluster.client.clone(),
            cluster.server.directory().to_owned(),
        ));
        match opened.await {
            Ok(rows) => break rows,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert_eq!(rows, ["wikipedia"]);
    assert_eq!(url().await, before);
    provider.stop().await;
}

async fn count_rules(client: kube::Client, _: std::path::PathBuf) -> Vec<String> {
    use mysql_async::prelude::Queryable;
    let bindings: Api<AppBinding> = Api::namespaced(client.clone(), "demo");
    let binding = bindings.get("d-mysql-metadata").await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client, "demo");
    let secret = secrets
        .get("d-mysql-metadata-auth")
        .await
        .unwrap()
        .data
        .unwrap();
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(support::port_of(
            binding.spec.client_config.url.as_deref().unwrap(),
        ))
        .user(Some("root"))
        .pass(Some(
            String::from_utf8(secret["password"].0.clone()).unwrap(),
        ))
        .prefer_socket(false);
    let mut connection = mysql_async::Conn::new(options).await.unwrap();
    connection
        .query("SELECT dataSource FROM druid.druid_rules")
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_outlives_a_killed_provider_and_the_next_one_recovers_the_data() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    cluster.create::<Druid>("d", spec(json!({}))).await;
    cluster.druid_in_phase("d", "Ready").await;
    cluster
        .query(
            "d-mysql-metadata",
            "INSERT INTO druid.druid_rules VALUES ('r', 'wikipedia', 'v', 'payload')",
        )
        .await;
    assert_eq!(cluster.servers().len(), 1);
    provider.kill();
    cluster.await_servers(0).await;
    let provider = cluster.provider();
    cluster.await_servers(1).await;
    let deadline = Instant::now() + support::PATIENCE;
    loop {
        let rows = tokio::spawn(count_rules(
            cluster.client.clone(),
            cluster.server.directory().to_owned(),
        ))
        .await;
        if rows.is_ok_and(|rows| rows == ["wikipedia"]) {
            break;
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_is_told_and_started_again() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    cluster.create::<Druid>("d", spec(json!({}))).await;
    cluster.druid_in_phase("d", "Ready").await;
    let generation = condition(
        cluster
            .api::<Druid>()
            .get("d")
            .await
            .unwrap()
            .status
            .as_ref(),
        "Ready",
    );
    assert!(generation.unwrap().0);
    let pid = i32::try_from(cluster.servers()[0]).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    cluster.told("MySQL", "d-mysql-metadata", "signal 9").await;
    cluster.mysql_in_phase("d-mysql-metadata", "Ready").await;
    cluster.druid_in_phase("d", "Ready").await;
    assert_eq!(
        cluster.query("d-mysql-metadata", "SELECT 'alive'").await,
        ["alive"]
    );
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_in_the_secret_only() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    cluster.create::<Druid>("d", spec(json!({}))).await;
    cluster.druid_in_phase("d", "Ready").await;
    let secret = cluster
        .api::<Secret>()
        .get("d-mysql-metadata-auth")
        .await
        .unwrap()
        .data
        .unwrap();
    let password = secret["password"].0.clone();
    let hits = holding(
        &cluster.server.directory().join("data/databases"),
        &password,
    );
    assert_eq!(hits, Vec::<std::path::PathBuf>::new());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let content = std::fs::read(entry.path().join(file)).unwrap_or_default();
            assert!(!contains(&content, &password), "{:?}", entry.path());
        }
    }
    // Nobody gets in without it, under no name that a new server may come with.
    let port = support::port_of(
        cluster
            .api::<AppBinding>()
            .get("d-mysql-metadata")
            .await
            .unwrap()
            .spec
            .client_config
            .url
            .as_deref()
            .unwrap(),
    );
    for user in ["root", "", "mysql"] {
        let options = mysql_async::OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(port)
            .user(Some(user))
            .prefer_socket(false);
        assert!(
            mysql_async::Conn::new(options).await.is_err(),
            "{user:?} got in"
        );
    }
    let accounts = cluster
        .query(
            "d-mysql-metadata",
            "SELECT CONCAT(User, '@', Host) FROM mysql.user ORDER BY 1",
        )
        .await;
    assert_eq!(
        accounts,
        ["mariadb.sys@localhost", "root@%", "root@localhost"]
    );
    provider.stop().await;
}

fn contains(content: &[u8], needle: &[u8]) -> bool {
    content.windows(needle.len()).any(|part| part == needle)
}

fn holding(dir: &Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, needle));
        } else if std::fs::read(&path).is_ok_and(|content| contains(&content, needle)) {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn wiping_out_removes_everything_and_delete_keeps_the_secrets() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    let databases = cluster.server.directory().join("data/databases/demo");
    for (name, policy) in [("wiped", "WipeOut"), ("deleted", "Delete")] {
        cluster
            .create::<Druid>(name, spec(json!({"deletionPolicy": policy})))
            .await;
        cluster.druid_in_phase(name, "Ready").await;
        cluster
            .api::<Druid>()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
        cluster.is_gone::<Druid>(name).await;
        cluster
            .is_gone::<MySQL>(&format!("{name}-mysql-metadata"))
            .await;
        cluster.is_gone::<AppBinding>(name).await;
        cluster
            .is_gone::<AppBinding>(&format!("{name}-mysql-metadata"))
            .await;
        assert!(
            !databases
                .join(format!("mysql-{name}-mysql-metadata"))
                .exists()
        );
    }
    assert!(cluster.servers().is_empty());
    let mut secrets = cluster.names::<Secret>().await;
    secrets.retain(|name| name.ends_with("-auth"));
    assert_eq!(secrets, ["deleted-auth", "deleted-mysql-metadata-auth"]);
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_druid_finds_its_data_when_it_is_made_again() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    cluster
        .create::<Druid>("d", spec(json!({"deletionPolicy": "Halt"})))
        .await;
    cluster.druid_in_phase("d", "Ready").await;
    cluster
        .query(
            "d-mysql-metadata",
            "INSERT INTO druid.druid_rules VALUES ('r', 'wikipedia', 'v', 'payload')",
        )
        .await;
    cluster
        .api::<Druid>()
        .delete("d", &DeleteParams::default())
        .await
        .unwrap();
    cluster.is_gone::<Druid>("d").await;
    cluster.is_gone::<MySQL>("d-mysql-metadata").await;
    cluster.is_gone::<AppBinding>("d-mysql-metadata").await;
    assert!(cluster.servers().is_empty());
    cluster.create::<Druid>("d", spec(json!({}))).await;
    cluster.druid_in_phase("d", "Ready").await;
    assert_eq!(
        cluster
            .query(
                "d-mysql-metadata",
                "SELECT dataSource FROM druid.druid_rules"
            )
            .await,
        ["wikipedia"]
    );
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn do_not_terminate_keeps_the_druid_until_the_policy_is_another() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    cluster
        .create::<Druid>("d", spec(json!({"deletionPolicy": "DoNotTerminate"})))
        .await;
    cluster.druid_in_phase("d", "Ready").await;
    cluster
        .api::<Druid>()
        .delete("d", &DeleteParams::default())
        .await
        .unwrap();
    let events = cluster.api::<Event>();
    let deadline = Instant::now() + support::PATIENCE;
    while !events
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .iter()
        .any(|event| {
            event.reason.as_deref() == Some("DeletionRefused")
                && event.involved_object.name.as_deref() == Some("d")
        })
    {
        assert!(Instant::now() < deadline, "no Event tells the refusal");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        cluster.query("d-mysql-metadata", "SELECT 'alive'").await,
        ["alive"]
    );
    patch(
        &cluster,
        "d",
        json!({"spec": {"deletionPolicy": "WipeOut"}}),
    )
    .await;
    cluster.is_gone::<Druid>("d").await;
    assert!(cluster.servers().is_empty());
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_druid_that_waits_for_its_initial_restore_is_ready_when_that_has_succeeded() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    cluster
        .create::<Druid>("d", spec(json!({"init": {"waitForInitialRestore": true}})))
        .await;
    let waits = |druid: Option<&Druid>| {
        condition(druid.and_then(|druid| druid.status.as_ref()), "Ready")
            .is_some_and(|(_, reason, _)| reason == "InitialRestoreAwaited")
    };
    let druid = cluster.until("d", "waiting", waits).await.unwrap();
    assert_eq!(druid.status.unwrap().phase.as_deref(), Some("Provisioning"));
    // The database can be restored into meanwhile.
    assert_eq!(
        cluster.query("d-mysql-metadata", "SELECT 'there'").await,
        ["there"]
    );
    let target =
        json!({"apiGroup": "kubedb.com", "kind": "Druid", "name": "d", "namespace": "demo"});
    let spec = json!({"target": target, "dataSource": {"repository": "r", "snapshot": "latest"}});
    cluster.create::<RestoreSession>("restore", spec).await;
    let set = async |phase: &str| {
        let status = Patch::Merge(json!({"status": {"phase": phase}}));
        cluster
            .api::<RestoreSession>()
            .patch_status("restore", &PatchParams::default(), &status)
            .await
            .unwrap();
    };
    set("Running").await;
    cluster.druid_in_phase("d", "DataRestoring").await;
    set("Failed").await;
    cluster.druid_in_phase("d", "NotReady").await;
    set("Succeeded").await;
    cluster.druid_in_phase("d", "Ready").await;
    let initialised = |druid: Option<&Druid>| {
        druid
            .and_then(|druid| druid.spec.init.as_ref())
            .is_some_and(|init| init.initialized == Some(true))
    };
    cluster.until("d", "being initialised", initialised).await;
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_somebody_else_keeps_is_used_and_never_touched() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    let storage = json!({"name": "theirs", "externallyManaged": true});
    cluster
        .create::<Druid>("d", spec(json!({"metadataStorage": storage})))
        .await;
    let missing = |druid: Option<&Druid>| {
        condition(druid.and_then(|druid| druid.status.as_ref()), "Ready")
            .is_some_and(|(holds, _, message)| !holds && message.contains("AppBinding demo/theirs"))
    };
    cluster.until("d", "missing its store", missing).await;
    cluster
        .create::<AppBinding>("theirs", json!({"clientConfig": {"url": "tcp(db:3306)/"}}))
        .await;
    // Not ours, so its coming is not followed; the next look at the Druid sees it.
    patch(
        &cluster,
        "d",
        json!({"metadata": {"labels": {"look": "again"}}}),
    )
    .await;
    cluster.druid_in_phase("d", "Ready").await;
    assert!(cluster.names::<MySQL>().await.is_empty());
    cluster
        .api::<Druid>()
        .delete("d", &DeleteParams::default())
        .await
        .unwrap();
    cluster.is_gone::<Druid>("d").await;
    cluster.is_gone::<AppBinding>("d").await;
    assert_eq!(cluster.names::<AppBinding>().await, ["theirs"]);
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_told_on_the_druid() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    // Somebody's own database has the name that the Druid's would have.
    cluster
        .create::<MySQL>("taken-mysql-metadata", json!({"version": "8.0.35"}))
        .await;
    cluster.create::<Druid>("taken", spec(json!({}))).await;
    let told = |druid: Option<&Druid>| {
        condition(druid.and_then(|druid| druid.status.as_ref()), "Ready").is_some_and(
            |(holds, _, message)| !holds && message.contains("belongs to something else"),
        )
    };
    let druid = cluster.until("taken", "a refusal", told).await.unwrap();
    assert_eq!(druid.status.unwrap().phase.as_deref(), Some("Provisioning"));
    cluster
        .api::<Druid>()
        .delete("taken", &DeleteParams::default())
        .await
        .unwrap();
    cluster.is_gone::<Druid>("taken").await;
    assert_eq!(cluster.names::<MySQL>().await, ["taken-mysql-metadata"]);
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_another_namespace_is_made_there_and_wiped_out_with_the_druid() {
    let cluster = Cluster::start().await;
    let provider = cluster.provider();
    let storage = json!({"name": "my-dev", "namespace": "dev", "linkedDB": "meta"});
    cluster
        .create::<Druid>("d", spec(json!({"metadataStorage": storage})))
        .await;
    cluster.druid_in_phase("d", "Ready").await;
    let there: Api<MySQL> = Api::namespaced(cluster.client.clone(), "dev");
    assert!(
        there
            .get("my-dev")
            .await
            .unwrap()
            .owner_references()
            .is_empty()
    );
    cluster
        .api::<Druid>()
        .delete("d", &DeleteParams::default())
        .await
        .unwrap();
    cluster.is_gone::<Druid>("d").await;
    cluster
        .until_in(&there, "my-dev", "its removal", |mysql: Option<&MySQL>| {
            mysql.is_none()
        })
        .await;
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_program_the_druid_says_what_to_install() {
    let cluster = Cluster::start().await;
    let empty = tempfile::tempdir().unwrap();
    let mut config = cluster.config();
    config.search_path = empty.path().display().to_string();
    let provider = RunningProvider::start(config);
    cluster.create::<Druid>("d", spec(json!({}))).await;
    let told = |druid: Option<&Druid>| {
        condition(druid.and_then(|druid| druid.status.as_ref()), "Ready").is_some_and(
            |(holds, _, message)| !holds && message.contains("install the package mariadb-server"),
        )
    };
    let druid = cluster
        .until("d", "a word about the missing program", told)
        .await
        .unwrap();
    assert_eq!(druid.status.unwrap().phase.as_deref(), Some("Provisioning"));
    assert!(cluster.names::<AppBinding>().await.is_empty());
    provider.stop().await;
}
