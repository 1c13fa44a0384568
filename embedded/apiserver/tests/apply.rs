//! Server-side apply (ownership, conflicts, removal of fields no longer applied) and the other
//! patches.
#![cfg(test)]

mod support;

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use support::{api, create, define_widgets, server, status, widget, widgets};

fn config(spec: Value) -> Patch<Value> {
    Patch::Apply(json!({
        "apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec,
    }))
}

#[tokio::test]
async fn apply_creates_changes_and_removes_what_it_owns() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let params = PatchParams::apply("one");
    let created = widgets
        .patch("w", &params, &config(json!({"size": 1, "limit": 9})))
        .await
        .unwrap();
    assert_eq!(created.data["spec"]["color"], "blue");
    let entry = &created.metadata.managed_fields.as_ref().unwrap()[0];
    assert_eq!(
        (entry.manager.as_deref(), entry.operation.as_deref()),
        (Some("one"), Some("Apply"))
    );
    let same = widgets
        .patch("w", &params, &config(json!({"size": 1, "limit": 9})))
        .await
        .unwrap();
    assert_eq!(same, created, "an apply repeated changes nothing");
    let changed = widgets
        .patch("w", &params, &config(json!({"size": 2})))
        .await
        .unwrap();
    assert_eq!(changed.data["spec"]["size"], 2);
    assert!(
        changed.data["spec"].get("limit").is_none(),
        "a field no longer applied goes"
    );
    assert_eq!(changed.metadata.generation, Some(2));
}

#[tokio::test]
async fn two_managers_share_a_list_by_key_and_collide_on_a_field() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let (one, two) = (PatchParams::apply("one"), PatchParams::apply("two"));
    widgets
        .patch(
            "w",
            &one,
            &config(json!({"size": 1, "parts": [{"name": "a", "count": 1}]})),
        )
        .await
        .unwrap();
    let shared = widgets
        .patch("w", &two, &config(json!({"parts": [{"name": "b"}]})))
        .await
        .unwrap();
    assert_eq!(shared.data["spec"]["parts"].as_array().unwrap().len(), 2);
    let conflict = status(
        widgets
            .patch(
                "w",
                &two,
                &config(json!({"size": 3, "parts": [{"name": "b"}]})),
            )
            .await,
    );
    assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        conflict.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.size"
    );
    let cause = &conflict.details.unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.field.as_str()),
        ("FieldManagerConflict", ".spec.size")
    );
    let forced = widgets
        .patch(
            "w",
            &two.clone().force(),
            &config(json!({"size": 3, "parts": [{"name": "b"}]})),
        )
        .await
        .unwrap();
    assert_eq!(forced.data["spec"]["size"], 3);
    let left = widgets
        .patch("w", &two, &config(json!({"size": 3})))
        .await
        .unwrap();
    let names: Vec<&str> = left.data["spec"]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a"], "what the other applied stays");
}

#[tokio::test]
async fn an_update_takes_ownership_so_that_apply_conflicts_with_it() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let params = PostParams {
        field_manager: Some("creator".to_owned()),
        dry_run: false,
    };
    widgets
        .create(&params, &widget("w", json!({"size": 1})))
        .await
        .unwrap();
    let conflict = status(
        widgets
            .patch("w", &PatchParams::apply("one"), &config(json!({"size": 2})))
            .await,
    );
    assert!(
        conflict
            .message
            .contains("conflict with \"creator\" using test.example.com/v1: .spec.size"),
        "{}",
        conflict.message
    );
    let agreed = widgets
        .patch("w", &PatchParams::apply("one"), &config(json!({"size": 1})))
        .await;
    assert!(agreed.is_ok(), "agreeing on a value is no conflict");
}

#[tokio::test]
async fn status_is_applied_by_its_own_managers() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let missing = Patch::Apply(
        json!({"apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "status": {"phase": "A"}}),
    );
    assert_eq!(
        status(
            widgets
                .patch_status("w", &PatchParams::apply("op"), &missing)
                .await
        )
        .code,
        404
    );
    widgets
        .patch(
            "w",
            &PatchParams::apply("user"),
            &config(json!({"size": 1})),
        )
        .await
        .unwrap();
    let applied = widgets
        .patch_status("w", &PatchParams::apply("op"), &missing)
        .await
        .unwrap();
    assert_eq!(applied.data["status"]["phase"], "A");
    let again = widgets
        .patch_status("w", &PatchParams::apply("op"), &missing)
        .await
        .unwrap();
    assert_eq!(again, applied);
    let entry = applied
        .metadata
        .managed_fields
        .unwrap()
        .into_iter()
        .find(|one| one.manager.as_deref() == Some("op"))
        .unwrap();
    assert_eq!(entry.subresource.as_deref(), Some("status"));
    let kept = widgets
        .patch(
            "w",
            &PatchParams::apply("user"),
            &config(json!({"size": 2})),
        )
        .await
        .unwrap();
    assert_eq!(kept.data["status"]["phase"], "A");
}

#[tokio::test]
async fn apply_needs_a_manager_and_known_fields() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let request = http::Request::builder()
        .method("PATCH")
        .uri("/apis/test.example.com/v1/namespaces/demo/widgets/w")
        .header("content-type", "application/apply-patch+yaml")
        .body(b"apiVersion: test.example.com/v1\nkind: Widget\nspec: {size: 1}\n".to_vec())
        .unwrap();
    let refused = status(client.request::<Value>(request).await);
    assert_eq!(refused.code, 422);
    assert!(
        refused.message.contains("fieldManager: Required value"),
        "{}",
        refused.message
    );
    let refused = status(
        widgets
            .patch(
                "w",
                &PatchParams::apply("one"),
                &config(json!({"size": 1, "sise": 2})),
            )
            .await,
    );
    assert!(
        refused
            .message
            .contains(".spec.sise: field not declared in schema"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn built_in_kinds_are_applied_by_their_merge_keys() {
    let (_server, client) = server().await;
    let accounts = api(&client, "v1", "ServiceAccount", Some("demo"));
    let account = |secret: &str| {
        Patch::Apply(json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}, "secrets": [{"name": secret}],
        }))
    };
    accounts
        .patch("sa", &PatchParams::apply("one"), &account("a"))
        .await
        .unwrap();
    let both = accounts
        .patch("sa", &PatchParams::apply("two"), &account("b"))
        .await
        .unwrap();
    assert_eq!(both.data["secrets"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn json_merge_and_strategic_patches_work_and_the_last_not_on_custom_resources() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    create(
        &client,
        "v1",
        "ServiceAccount",
        Some("demo"),
        json!({"metadata": {"name": "sa"}, "secrets": [{"name": "a"}]}),
    )
    .await;
    let accounts = api(&client, "v1", "ServiceAccount", Some("demo"));
    let strategic = Patch::Strategic(json!({"secrets": [{"name": "b"}]}));
    let patched = accounts
        .patch("sa", &PatchParams::default(), &strategic)
        .await
        .unwrap();
    assert_eq!(
        patched.data["secrets"].as_array().unwrap().len(),
        2,
        "merged by name: {:?}",
        patched.data["secrets"]
    );
    let operations = serde_json::from_value(
        json!([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]),
    )
    .unwrap();
    let patched = accounts
        .patch(
            "sa",
            &PatchParams::default(),
            &Patch::<()>::Json(operations),
        )
        .await
        .unwrap();
    assert_eq!(patched.metadata.labels.unwrap()["a"], "b");
    let failing =
        serde_json::from_value(json!([{"op": "test", "path": "/metadata/name", "value": "x"}]))
            .unwrap();
    let refused = status(
        accounts
            .patch("sa", &PatchParams::default(), &Patch::<()>::Json(failing))
            .await,
    );
    assert_eq!(refused.code, 422);

    let widgets = widgets(&client);
    widgets
        .create(&PostParams::default(), &widget("w", json!({"size": 1})))
        .await
        .unwrap();
    let refused = status(
        widgets
            .patch("w", &PatchParams::default(), &strategic)
            .await,
    );
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (415, "UnsupportedMediaType")
    );
}

#[tokio::test]
async fn concurrent_patches_of_one_object_are_all_kept() {
    let (_server, client) = server().await;
    create(
        &client,
        "v1",
        "ConfigMap",
        Some("demo"),
        json!({"metadata": {"name": "c"}}),
    )
    .await;
    let maps = api(&client, "v1", "ConfigMap", Some("demo"));
    let patches = (0..20).map(|n| {
        let maps = maps.clone();
        async move {
            let patch = Patch::Merge(json!({"data": {format!("k{n}"): "v"}}));
            maps.patch("c", &PatchParams::default(), &patch)
                .await
                .unwrap();
        }
    });
    futures::future::join_all(patches).await;
    let map = maps.get("c").await.unwrap();
    assert_eq!(map.data["data"].as_object().unwrap().len(), 20);
}
