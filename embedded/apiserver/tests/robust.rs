//! Nonsense is answered with a Status: no request may end its connection, or the server.
#![cfg(test)]

mod support;

use futures::StreamExt;
use kube::Client;
use serde_json::{Value, json};
use support::{create, define_widgets, server};

/// Kinds that can be created in `demo` or the cluster: path and minimal object.
const KINDS: &[(&str, &str, &str)] = &[
    ("/api/v1/namespaces", "v1", "Namespace"),
    ("/api/v1/namespaces/demo/secrets", "v1", "Secret"),
    ("/api/v1/namespaces/demo/configmaps", "v1", "ConfigMap"),
    ("/api/v1/namespaces/demo/events", "v1", "Event"),
    (
        "/apis/events.k8s.io/v1/namespaces/demo/events",
        "events.k8s.io/v1",
        "Event",
    ),
    (
        "/api/v1/namespaces/demo/serviceaccounts",
        "v1",
        "ServiceAccount",
    ),
    ("/api/v1/namespaces/demo/pods", "v1", "Pod"),
    ("/api/v1/namespaces/demo/services", "v1", "Service"),
    (
        "/api/v1/namespaces/demo/persistentvolumeclaims",
        "v1",
        "PersistentVolumeClaim",
    ),
    ("/apis/batch/v1/namespaces/demo/jobs", "batch/v1", "Job"),
    (
        "/apis/coordination.k8s.io/v1/namespaces/demo/leases",
        "coordination.k8s.io/v1",
        "Lease",
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/namespaces/demo/roles",
        "rbac.authorization.k8s.io/v1",
        "Role",
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
    ),
    (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
    ),
    (
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
    ),
    (
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview",
    ),
    (
        "/apis/authentication.k8s.io/v1/tokenreviews",
        "authentication.k8s.io/v1",
        "TokenReview",
    ),
    (
        "/api/v1/namespaces/demo/serviceaccounts/default/token",
        "authentication.k8s.io/v1",
        "TokenRequest",
    ),
    (
        "/apis/test.example.com/v1/namespaces/demo/widgets",
        "test.example.com/v1",
        "Widget",
    ),
];

const FIELDS: &[&str] = &[
    "/apiVersion",
    "/kind",
    "/metadata",
    "/metadata/name",
    "/metadata/generateName",
    "/metadata/namespace",
    "/metadata/labels",
    "/metadata/annotations",
    "/metadata/finalizers",
    "/metadata/ownerReferences",
    "/metadata/managedFields",
    "/metadata/creationTimestamp",
    "/metadata/deletionTimestamp",
    "/metadata/generation",
    "/metadata/resourceVersion",
    "/metadata/uid",
    "/spec",
    "/status",
    "/data",
    "/stringData",
    "/type",
    "/rules",
    "/subjects",
    "/roleRef",
    "/webhooks",
    "/involvedObject",
    "/series",
    "/note",
    "/secrets",
    "/spec/template",
    "/spec/containers",
    "/spec/names",
    "/spec/versions",
    "/spec/finalizers",
    "/spec/parts",
    "/status/conditions",
    "/spec/boundObjectRef",
    "/spec/selector",
    "/spec/ports",
];

fn nonsense() -> Vec<Value> {
    vec![
        json!(null),
        json!(1),
        json!("x"),
        json!(true),
        json!([]),
        json!([1]),
        json!([{}]),
        json!([null]),
        json!({}),
        json!({"a": 1}),
        json!(1e300),
    ]
}

/// The object with one field replaced, parents made as needed.
fn with(mut object: Value, path: &str, value: &Value) -> Value {
    let mut place = &mut object;
    for part in path.trim_start_matches('/').split('/') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value.clone();
    object
}

/// Sends a request; only a broken connection fails.
async fn send(client: &Client, method: &str, path: &str, media_type: &str, body: &Value) -> u16 {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media_type)
        .body(body.to_string().into_bytes())
        .unwrap();
    match client.request::<Value>(request).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{method} {path} {body}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_shape_of_object_breaks_a_write() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    create(
        &client,
        "v1",
        "ConfigMap",
        Some("demo"),
        json!({"metadata": {"name": "target"}}),
    )
    .await;
    create(
        &client,
        "test.example.com/v1",
        "Widget",
        Some("demo"),
        json!({"metadata": {"name": "target"}, "spec": {"size": 1}}),
    )
    .await;
    let kinds = KINDS.iter().map(|(path, api_version, kind)| {
        let client = &client;
        let base = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "fuzz"}});
        async move {
            let mut worst = 0;
            for field in FIELDS {
                for value in nonsense() {
                    let body = with(base.clone(), field, &value);
                    let code = send(client, "POST", path, "application/json", &body).await;
                    worst = worst.max(code);
                    assert!(code < 500, "POST {path} {field}={value}: {code}");
                }
            }
            worst
        }
    });
    let worst = futures::future::join_all(kinds).await;
    assert_eq!(worst.into_iter().max(), Some(422));
    let changes = TARGETS
        .iter()
        .flat_map(|path| FIELDS.iter().map(move |field| (*path, *field)));
    futures::stream::iter(changes)
        .for_each_concurrent(16, |(path, field)| change(&client, path, field))
        .await;
    for path in TARGETS {
        for body in [
            json!([1]),
            json!(null),
            json!("x"),
            json!([{"op": "replace", "path": "", "value": []}]),
            json!([{"op": "remove", "path": ""}]),
        ] {
            for media_type in [
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ] {
                let code = send(&client, "PATCH", path, media_type, &body).await;
                assert!((400..=500).contains(&code), "{media_type} {body}: {code}");
            }
        }
    }
}

/// Objects to be changed.
const TARGETS: [&str; 2] = [
    "/api/v1/namespaces/demo/configmaps/target",
    "/apis/test.example.com/v1/namespaces/demo/widgets/target",
];

/// Sends every nonsense for one field in each way of changing an object.
async fn change(client: &Client, path: &str, field: &str) {
    let apply = format!("{path}?fieldManager=fuzz&force=true");
    for value in nonsense() {
        let changed = with(json!({}), field, &value);
        let operations = json!([{"op": "add", "path": field, "value": value}]);
        for (method, path, media_type, body) in [
            ("PUT", path, "application/json", &changed),
            ("PATCH", path, "application/merge-patch+json", &changed),
            (
                "PATCH",
                path,
                "application/strategic-merge-patch+json",
                &changed,
            ),
            ("PATCH", path, "application/json-patch+json", &operations),
            ("PATCH", &apply, "application/apply-patch+yaml", &changed),
        ] {
            let code = send(client, method, path, media_type, body).await;
            // Kubernetes answers 500 when a configuration to be applied has fields it does not
            // know.
            let apply = media_type.contains("apply");
            assert!(
                code < 500 || (apply && code == 500),
                "{method} {path} {media_type} {body}: {code}"
            );
        }
    }
}
