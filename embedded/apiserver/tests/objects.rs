//! create, get, list, update, patch: versions, conflicts, status, validation, dry run.
#![cfg(test)]

mod support;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::params::ValidationDirective;
use serde_json::json;
use support::{api, define_widgets, object, server, status, widget, widgets};

#[tokio::test]
async fn a_secret_is_created_read_listed_replaced_and_deleted() {
    let (_server, client) = server().await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "demo");
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "s", "labels": {"app": "a"}}, "stringData": {"password": "canary"},
    }))
    .unwrap();
    let created = secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    assert_eq!(created.data.as_ref().unwrap()["password"].0, b"canary");
    assert_eq!(created.type_.as_deref(), Some("Opaque"));
    assert!(created.string_data.is_none());
    assert!(created.metadata.uid.is_some() && created.metadata.creation_timestamp.is_some());
    let listed = secrets
        .list(&ListParams::default().labels("app=a"))
        .await
        .unwrap();
    assert_eq!(listed.items, std::slice::from_ref(&created));
    assert!(
        secrets
            .list(&ListParams::default().labels("app=b"))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(
        secrets
            .list(&ListParams::default().fields("metadata.name=s"))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    let again = status(secrets.create(&PostParams::default(), &secret).await);
    assert_eq!((again.code, again.reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(again.message, "secrets \"s\" already exists");

    let mut changed = created.clone();
    changed.metadata.labels = None;
    let changed = secrets
        .replace("s", &PostParams::default(), &changed)
        .await
        .unwrap();
    assert_ne!(
        changed.metadata.resource_version,
        created.metadata.resource_version
    );
    assert_eq!(changed.metadata.uid, created.metadata.uid);
    let stale = status(secrets.replace("s", &PostParams::default(), &created).await);
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
    assert!(
        stale.message.contains("the object has been modified"),
        "{}",
        stale.message
    );

    secrets.delete("s", &DeleteParams::default()).await.unwrap();
    let gone = status(secrets.get("s").await);
    assert_eq!(
        (gone.code, gone.message.as_str()),
        (404, "secrets \"s\" not found")
    );
}

#[tokio::test]
async fn a_write_that_changes_nothing_keeps_the_version() {
    let (_server, client) = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "demo");
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "c"}, "data": {"a": "1"}})).unwrap();
    let created = maps.create(&PostParams::default(), &map).await.unwrap();
    let same = maps
        .replace("c", &PostParams::default(), &created)
        .await
        .unwrap();
    assert_eq!(same, created);
    let patch = Patch::Merge(json!({"data": {"a": "1"}}));
    assert_eq!(
        maps.patch("c", &PatchParams::default(), &patch)
            .await
            .unwrap(),
        created
    );
}

#[tokio::test]
async fn generated_names_are_different_and_begin_as_asked() {
    let (_server, client) = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "demo");
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"generateName": "job-"}})).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let name = maps
            .create(&PostParams::default(), &map)
            .await
            .unwrap()
            .metadata
            .name
            .unwrap();
        assert!(name.starts_with("job-") && name.len() == 9, "{name}");
        names.insert(name);
    }
    assert_eq!(names.len(), 20);
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_does_not_exist() {
    let (_server, client) = server().await;
    let map = object(json!({"metadata": {"name": "c"}}));
    let refused = status(
        api(&client, "v1", "ConfigMap", Some("nowhere"))
            .create(&PostParams::default(), &map)
            .await,
    );
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (404, "namespaces \"nowhere\" not found")
    );
}

#[tokio::test]
async fn a_custom_resource_is_served_as_soon_as_its_definition_is_acknowledged() {
    let (_server, client) = server().await;
    let missing = status(widgets(&client).list(&ListParams::default()).await);
    assert_eq!((missing.code, missing.reason.as_str()), (404, "NotFound"));
    define_widgets(&client).await;
    let created = widgets(&client)
        .create(&PostParams::default(), &widget("a", json!({"size": 1})))
        .await
        .unwrap();
    assert_eq!(
        created.data["spec"]["color"], "blue",
        "the default is filled in"
    );
    assert_eq!(created.metadata.generation, Some(1));
    let other = api(&client, "test.example.com/v1alpha1", "Widget", Some("demo"))
        .get("a")
        .await
        .unwrap();
    assert_eq!(
        other.types.unwrap().api_version,
        "test.example.com/v1alpha1"
    );
    let listed = widgets(&client)
        .list(&ListParams::default().fields("spec.color=blue"))
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 1);
    assert!(
        widgets(&client)
            .list(&ListParams::default().fields("spec.color=red"))
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_custom_resource_is_validated_by_schema_and_cel() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    for (spec, expected) in [
        (json!({}), "spec.size: Required value"),
        (
            json!({"size": 0}),
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (json!({"size": "1"}), "spec.size: Invalid value: \"string\""),
        (
            json!({"size": 1, "color": "green"}),
            "spec.color: Unsupported value: \"green\"",
        ),
        (json!({"size": 2, "limit": 1}), "size must not exceed limit"),
    ] {
        let refused = status(
            widgets
                .create(&PostParams::default(), &widget("w", spec))
                .await,
        );
        assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
        assert!(refused.message.contains(expected), "{}", refused.message);
    }
}

#[tokio::test]
async fn unknown_fields_are_dropped_or_refused_as_the_client_wishes() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let sent = widget("w", json!({"size": 1, "colour": "red"}));
    let strict = PostParams {
        field_manager: None,
        dry_run: false,
    };
    let kept = widgets.create(&strict, &sent).await.unwrap();
    assert!(kept.data["spec"].get("colour").is_none());
    let params = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"colour": "red"}}));
    let refused = status(widgets.patch("w", &params, &patch).await);
    assert_eq!(refused.code, 400);
    assert!(
        refused
            .message
            .contains("strict decoding error: unknown field \"spec.colour\""),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn status_is_written_through_its_subresource_only_and_spec_raises_the_generation() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let mut sent = widget("w", json!({"size": 1}));
    sent.data["status"] = json!({"phase": "Ready"});
    let created = widgets.create(&PostParams::default(), &sent).await.unwrap();
    assert!(created.data.get("status").is_none());
    let patch = Patch::Merge(json!({"status": {"phase": "Ready"}, "spec": {"size": 5}}));
    let patched = widgets
        .patch_status("w", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(patched.data["status"]["phase"], "Ready");
    assert_eq!(patched.data["spec"]["size"], 1);
    assert_eq!(patched.metadata.generation, Some(1));
    let patched = widgets
        .patch("w", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(patched.data["spec"]["size"], 5);
    assert_eq!(patched.metadata.generation, Some(2));
    assert_eq!(patched.data["status"]["phase"], "Ready");
}

#[tokio::test]
async fn a_dry_run_is_judged_like_the_real_thing_and_leaves_no_trace() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let dry = PostParams {
        dry_run: true,
        field_manager: None,
    };
    let shown = widgets
        .create(&dry, &widget("w", json!({"size": 1})))
        .await
        .unwrap();
    assert_eq!(shown.data["spec"]["color"], "blue");
    assert!(widgets.get_opt("w").await.unwrap().is_none());
    assert_eq!(
        status(widgets.create(&dry, &widget("w", json!({}))).await).code,
        422
    );
    let created = widgets
        .create(&PostParams::default(), &widget("w", json!({"size": 1})))
        .await
        .unwrap();
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"size": 3}}));
    assert_eq!(
        widgets.patch("w", &params, &patch).await.unwrap().data["spec"]["size"],
        3
    );
    widgets
        .delete(
            "w",
            &DeleteParams {
                dry_run: true,
                ..DeleteParams::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(widgets.get("w").await.unwrap(), created);
}

#[tokio::test]
async fn what_is_not_served_and_what_is_not_allowed_is_told_as_a_status() {
    let (server, client) = server().await;
    let request = |method: &str, path: &str, body: Vec<u8>| {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let client = client.clone();
        async move { status(client.request::<serde_json::Value>(request).await) }
    };
    for (method, path, body, code, reason) in [
        (
            "GET",
            "/apis/nothing.example.com/v1/things",
            Vec::new(),
            404,
            "NotFound",
        ),
        ("GET", "/api/v1/nothings", Vec::new(), 404, "NotFound"),
        (
            "GET",
            "/api/v1/namespaces/demo/secrets/s/nothing",
            Vec::new(),
            404,
            "NotFound",
        ),
        (
            "PUT",
            "/api/v1/namespaces/demo/secrets",
            Vec::new(),
            405,
            "MethodNotAllowed",
        ),
        (
            "POST",
            "/api/v1/namespaces/demo/secrets",
            b"{".to_vec(),
            400,
            "BadRequest",
        ),
        (
            "POST",
            "/api/v1/namespaces/demo/secrets",
            b"[]".to_vec(),
            400,
            "BadRequest",
        ),
        ("POST", "/api/v1/secrets", b"{}".to_vec(), 400, "BadRequest"),
        (
            "POST",
            "/api/v1/namespaces/demo/secrets",
            vec![b' '; 4 * 1024 * 1024],
            413,
            "RequestEntityTooLarge",
        ),
        (
            "GET",
            "/api/v1/secrets?resourceVersion=x",
            Vec::new(),
            400,
            "BadRequest",
        ),
        (
            "GET",
            "/api/v1/secrets?labelSelector=a%20b",
            Vec::new(),
            400,
            "BadRequest",
        ),
        (
            "GET",
            "/api/v1/secrets?fieldSelector=spec.x%3Dy",
            Vec::new(),
            400,
            "BadRequest",
        ),
        (
            "GET",
            "/api/v1/secrets?resourceVersion=999999999",
            Vec::new(),
            504,
            "Timeout",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/kube-system",
            Vec::new(),
            403,
            "Forbidden",
        ),
    ] {
        let refused = request(method, path, body).await;
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (code, reason),
            "{method} {path}: {}",
            refused.message
        );
    }
    let anonymous = support::client(server.kubeconfig_for("wrong")).await;
    let refused = status(api(&anonymous, "v1", "Secret", Some("demo")).get("s").await);
    assert_eq!(
        (
            refused.code,
            refused.reason.as_str(),
            refused.message.as_str()
        ),
        (401, "Unauthorized", "Unauthorized")
    );
}
