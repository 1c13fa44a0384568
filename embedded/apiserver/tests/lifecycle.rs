//! Starting, stopping, and who may listen where.
#![cfg(test)]

mod support;

use std::time::{Duration, Instant};

use futures::AsyncReadExt;
use kube::api::{Api, ListParams, PostParams};
use kubestash_apiserver::{Config, StartError};
use serde_json::json;
use support::{api, define_widgets, object, server};

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_with_the_pid_of_the_first() {
    let (server, _client) = server().await;
    let config = Config {
        data_dir: server.directory().join("data"),
        bind: ([127, 0, 0, 1], 0).into(),
    };
    let error = kubestash_apiserver::start(config).await.err().unwrap();
    assert_eq!(error.kind(), "DataDirInUse");
    let expected = format!(
        "is in use by another kubestash (pid {})",
        std::process::id()
    );
    assert!(error.to_string().contains(&expected), "{error}");
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: directory.path().to_owned(),
        bind: ([0, 0, 0, 0], 0).into(),
    };
    let error = kubestash_apiserver::start(config).await.err().unwrap();
    assert!(matches!(error, StartError::NotLoopback(_)));
    assert!(
        !directory.path().join("lock").exists(),
        "nothing was touched"
    );
}

#[tokio::test]
async fn a_server_with_open_watches_stops_at_once_and_keeps_its_token_and_ca() {
    let (server, client) = server().await;
    define_widgets(&client).await;
    let request = http::Request::builder()
        .uri("/api/v1/configmaps?watch=true")
        .body(Vec::new())
        .unwrap();
    let mut stream = client.request_stream(request).await.unwrap();
    let (token, ca) = (server.admin_token(), server.ca_pem().to_owned());
    let started = Instant::now();
    let server = server.restart().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(
        (server.admin_token(), server.ca_pem()),
        (token, ca.as_str())
    );
    let client = support::client(server.kubeconfig()).await;
    let widgets: Api<_> = support::widgets(&client);
    widgets
        .create(
            &PostParams::default(),
            &support::widget("w", json!({"size": 1})),
        )
        .await
        .unwrap();
}

/// The revision of the store: the version of a list of nothing.
async fn version(client: &kube::Client) -> u64 {
    let nodes = api(client, "v1", "Node", None)
        .list(&ListParams::default())
        .await
        .unwrap();
    nodes.metadata.resource_version.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_restart_writes_nothing() {
    let (server, client) = server().await;
    define_widgets(&client).await;
    // The controllers furnish new namespaces; they are done when nothing changes any more.
    support::eventually("the namespaces to be furnished", || async {
        let accounts = api(&client, "v1", "ServiceAccount", None)
            .list(&ListParams::default())
            .await
            .unwrap();
        let maps = api(&client, "v1", "ConfigMap", None)
            .list(&ListParams::default())
            .await
            .unwrap();
        (accounts.items.len() == 5 && maps.items.len() == 5).then_some(())
    })
    .await;
    let before = version(&client).await;
    let server = server.restart().await.unwrap();
    let client = support::client(server.kubeconfig()).await;
    api(&client, "v1", "ConfigMap", Some("demo"))
        .create(
            &PostParams::default(),
            &object(json!({"metadata": {"name": "one"}})),
        )
        .await
        .unwrap();
    let after = version(&client).await;
    assert_eq!(after, before + 1);
}

#[tokio::test]
async fn files_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (server, _client) = server().await;
    let data = server.directory().join("data");
    let mut pending = vec![data];
    let mut files = 0;
    while let Some(path) = pending.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            pending.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 6);
}
