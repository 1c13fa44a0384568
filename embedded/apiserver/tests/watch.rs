//! Watches: replay, selectors, bookmarks, tables, expiry.
#![cfg(test)]

mod support;

use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use kube::Client;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use support::{api, create, define_widgets, object, server, status, widget, widgets};

/// The events of a watch as they come.
async fn watch(
    client: &Client,
    path: &str,
    accept: &str,
) -> impl futures::Stream<Item = Value> + Unpin {
    let request = http::Request::builder()
        .uri(path)
        .header("accept", accept)
        .body(Vec::new())
        .unwrap();
    let lines = client.request_stream(request).await.unwrap().lines();
    Box::pin(lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()))
}

async fn next(events: &mut (impl futures::Stream<Item = Value> + Unpin)) -> Value {
    tokio::time::timeout(Duration::from_secs(30), events.next())
        .await
        .unwrap()
        .unwrap()
}

/// Type and name of an event.
fn told(event: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&event["type"]),
        text(&event["object"]["metadata"]["name"]),
    )
}

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_watch_replays_from_the_version_of_a_list_and_goes_on() {
    let (_server, client) = server().await;
    let maps = api(&client, "v1", "ConfigMap", Some("demo"));
    let version = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    create(
        &client,
        "v1",
        "ConfigMap",
        Some("demo"),
        json!({"metadata": {"name": "a"}}),
    )
    .await;
    create(
        &client,
        "v1",
        "ConfigMap",
        Some("default"),
        json!({"metadata": {"name": "elsewhere"}}),
    )
    .await;
    maps.patch(
        "a",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"x": "y"}})),
    )
    .await
    .unwrap();
    let path = format!(
        "/api/v1/namespaces/demo/configmaps?watch=true&resourceVersion={version}&fieldSelector=metadata.name!=kube-root-ca.crt"
    );
    let mut events = watch(&client, &path, "application/json").await;
    assert_eq!(told(&next(&mut events).await), pair("ADDED", "a"));
    assert_eq!(told(&next(&mut events).await), pair("MODIFIED", "a"));
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let deleted = next(&mut events).await;
    assert_eq!(told(&deleted), pair("DELETED", "a"));
    assert_eq!(deleted["object"]["data"]["x"], "y");
}

#[tokio::test]
async fn an_object_that_begins_or_stops_to_match_is_told_as_added_or_deleted() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let path =
        "/apis/test.example.com/v1/widgets?watch=true&labelSelector=on%3Dyes&resourceVersion=0";
    let mut labelled = watch(&client, path, "application/json").await;
    let path = "/apis/test.example.com/v1/widgets?watch=true&fieldSelector=spec.color%3Dred";
    let mut red = watch(&client, path, "application/json").await;
    widgets
        .create(&PostParams::default(), &widget("w", json!({"size": 1})))
        .await
        .unwrap();
    let patch = |patch: Value| {
        let widgets = widgets.clone();
        async move {
            widgets
                .patch("w", &PatchParams::default(), &Patch::Merge(patch))
                .await
                .unwrap()
        }
    };
    patch(json!({"metadata": {"labels": {"on": "yes"}}})).await;
    patch(json!({"spec": {"color": "red"}})).await;
    patch(json!({"metadata": {"labels": {"on": "no"}}})).await;
    let last = patch(json!({"spec": {"color": "blue"}})).await;
    assert_eq!(told(&next(&mut labelled).await), pair("ADDED", "w"));
    assert_eq!(told(&next(&mut labelled).await), pair("MODIFIED", "w"));
    assert_eq!(told(&next(&mut labelled).await), pair("DELETED", "w"));
    assert_eq!(told(&next(&mut red).await), pair("ADDED", "w"));
    assert_eq!(told(&next(&mut red).await), pair("MODIFIED", "w"));
    let left = next(&mut red).await;
    assert_eq!(told(&left), pair("DELETED", "w"));
    assert_eq!(
        left["object"]["spec"]["color"], "red",
        "the last state that matched"
    );
    assert_eq!(
        left["object"]["metadata"]["resourceVersion"].as_str(),
        last.metadata.resource_version.as_deref()
    );
}

#[tokio::test]
async fn a_streamed_list_ends_with_its_bookmark() {
    let (_server, client) = server().await;
    create(
        &client,
        "v1",
        "ConfigMap",
        Some("demo"),
        json!({"metadata": {"name": "a", "labels": {"x": "y"}}}),
    )
    .await;
    let path = "/api/v1/configmaps?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&labelSelector=x";
    let mut events = watch(&client, path, "application/json").await;
    assert_eq!(told(&next(&mut events).await), pair("ADDED", "a"));
    let bookmark = next(&mut events).await;
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    assert_eq!(
        bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    let without = http::Request::builder()
        .uri("/api/v1/configmaps?watch=true&sendInitialEvents=true")
        .body(Vec::new())
        .unwrap();
    let refused = status(client.request::<Value>(without).await);
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
}

#[tokio::test]
async fn both_ways_of_kube_to_list_and_watch_see_every_object() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    for n in 0..5 {
        widgets
            .create(
                &PostParams::default(),
                &widget(&format!("w{n}"), json!({"size": 1})),
            )
            .await
            .unwrap();
    }
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let stream = watcher(widgets.clone(), config).applied_objects().take(5);
        let names: Vec<String> = tokio::time::timeout(
            Duration::from_secs(30),
            stream
                .map_ok(|one| one.metadata.name.unwrap())
                .try_collect(),
        )
        .await
        .unwrap()
        .unwrap();
        assert_eq!(names.len(), 5);
    }
}

#[tokio::test]
async fn a_version_from_before_a_restart_is_expired() {
    let (server, client) = server().await;
    let maps = api(&client, "v1", "ConfigMap", Some("demo"));
    let version = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    create(
        &client,
        "v1",
        "ConfigMap",
        Some("demo"),
        json!({"metadata": {"name": "a"}}),
    )
    .await;
    let server = server.restart().await.unwrap();
    let client = support::client(server.kubeconfig()).await;
    let path = format!("/api/v1/configmaps?watch=true&resourceVersion={version}");
    let request = http::Request::builder().uri(path).body(Vec::new()).unwrap();
    let refused = status(client.request::<Value>(request).await);
    assert_eq!((refused.code, refused.reason.as_str()), (410, "Expired"));
    assert!(
        refused.message.starts_with("too old resource version"),
        "{}",
        refused.message
    );
    assert!(
        api(&client, "v1", "ConfigMap", Some("demo"))
            .get("a")
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_watch_of_tables_sends_the_columns_once() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut events = watch(
        &client,
        "/apis/test.example.com/v1/namespaces/demo/widgets?watch=true",
        accept,
    )
    .await;
    let widgets = widgets(&client);
    widgets
        .create(&PostParams::default(), &widget("w", json!({"size": 7})))
        .await
        .unwrap();
    widgets
        .patch_status(
            "w",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"phase": "Ready"}})),
        )
        .await
        .unwrap();
    let first = next(&mut events).await;
    assert_eq!(first["object"]["kind"], "Table");
    let columns: Vec<&str> = first["object"]["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Name", "Size", "Phase", "Age"]);
    assert_eq!(first["object"]["rows"][0]["cells"][1], 7);
    let second = next(&mut events).await;
    assert_eq!(second["type"], "MODIFIED");
    assert!(
        second["object"]["columnDefinitions"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    assert_eq!(second["object"]["rows"][0]["cells"][2], "Ready");
}

#[tokio::test]
async fn a_watch_ends_at_its_time_and_when_its_kind_is_served_no_more() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let mut short = watch(
        &client,
        "/api/v1/configmaps?watch=true&timeoutSeconds=1&labelSelector=none",
        "application/json",
    )
    .await;
    assert!(
        tokio::time::timeout(Duration::from_secs(10), short.next())
            .await
            .unwrap()
            .is_none()
    );
    widgets(&client)
        .create(&PostParams::default(), &widget("w", json!({"size": 1})))
        .await
        .unwrap();
    let mut events = watch(
        &client,
        "/apis/test.example.com/v1/widgets?watch=true",
        "application/json",
    )
    .await;
    assert_eq!(told(&next(&mut events).await), pair("ADDED", "w"));
    api(
        &client,
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        None,
    )
    .delete("widgets.test.example.com", &DeleteParams::default())
    .await
    .unwrap();
    assert_eq!(told(&next(&mut events).await), pair("DELETED", "w"));
    assert!(
        tokio::time::timeout(Duration::from_secs(10), events.next())
            .await
            .unwrap()
            .is_none()
    );
    support::eventually("the definition to go", || async {
        api(
            &client,
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            None,
        )
        .get_opt("widgets.test.example.com")
        .await
        .unwrap()
        .is_none()
        .then_some(())
    })
    .await;
    let gone = status(widgets(&client).get("w").await);
    assert_eq!(gone.code, 404);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_told_to_start_over_or_cut_off() {
    let (_server, client) = server().await;
    create(
        &client,
        "v1",
        "ConfigMap",
        Some("demo"),
        json!({"metadata": {"name": "big"}}),
    )
    .await;
    let path = "/api/v1/namespaces/demo/configmaps?watch=true&fieldSelector=metadata.name%3Dbig";
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let mut lines = client.request_stream(request).await.unwrap().lines();
    let line = lines.next().await.unwrap().unwrap();
    let first = serde_json::from_str(&line).unwrap();
    assert_eq!(told(&first), pair("ADDED", "big"));
    let maps = api(&client, "v1", "ConfigMap", Some("demo"));
    for n in 0..40 {
        let patch = Patch::Merge(json!({"data": {"x": "x".repeat(900_000), "n": n.to_string()}}));
        maps.patch("big", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    let mut seen = 0;
    let patience = Duration::from_secs(30);
    // Which of the two it is depends on how long the writes took.
    while let Some(Ok(line)) = tokio::time::timeout(patience, lines.next()).await.unwrap() {
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["type"] == "ERROR" {
            assert_eq!(event["object"]["code"], 410, "{event}");
            assert_eq!(event["object"]["reason"], "Expired", "{event}");
        } else {
            seen += 1;
        }
    }
    assert!(seen < 40);
}

#[tokio::test]
async fn only_metadata_is_sent_when_only_metadata_is_wanted() {
    let (_server, client) = server().await;
    create(
        &client,
        "v1",
        "ConfigMap",
        Some("demo"),
        json!({"metadata": {"name": "a"}, "data": {"x": "y"}}),
    )
    .await;
    let maps = api(&client, "v1", "ConfigMap", Some("demo"));
    let list = maps.list_metadata(&ListParams::default()).await.unwrap();
    assert!(
        list.items
            .iter()
            .any(|one| one.metadata.name.as_deref() == Some("a"))
    );
    let one = maps.get_metadata("a").await.unwrap();
    assert_eq!(one.types.unwrap().kind, "PartialObjectMetadata");
    let _ = object(json!({"metadata": {}}));
}
