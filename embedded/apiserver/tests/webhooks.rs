//! Admission webhooks by URL.
#![cfg(test)]

mod support;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use support::{api, create, define_widgets, server, status, widget, widgets};

/// A webhook server: answers with a function of the request and keeps what it was asked.
struct Webhook {
    url: String,
    ca_bundle: String,
    asked: Arc<Mutex<Vec<Value>>>,
    _serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

type Answer = fn(&Value) -> Value;

async fn webhook(answer: Answer) -> Webhook {
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private =
        rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let app = Router::new()
        .route("/", post(respond))
        .with_state((answer, asked.clone()));
    let tls = axum_server::tls_rustls::RustlsConfig::from_config(Arc::new(tls));
    let server = axum_server::from_tcp_rustls(listener, tls)
        .unwrap()
        .serve(app.into_make_service());
    Webhook {
        url: format!("https://{address}/"),
        ca_bundle: STANDARD.encode(key.cert.pem()),
        asked,
        _serving: tokio::spawn(server),
    }
}

async fn respond(
    State((answer, asked)): State<(Answer, Arc<Mutex<Vec<Value>>>)>,
    Json(review): Json<Value>,
) -> Json<Value> {
    let request = &review["request"];
    let mut response = answer(request);
    response["uid"] = request["uid"].clone();
    asked.lock().unwrap().push(request.clone());
    Json(
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}),
    )
}

impl Webhook {
    /// The `webhooks[]` entry for widgets.
    fn entry(&self) -> Value {
        json!({
            "name": "vwidget.kb.io",
            "clientConfig": {"url": self.url, "caBundle": self.ca_bundle},
            "rules": [{"apiGroups": ["test.example.com"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE", "DELETE"], "resources": ["widgets"]}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
        })
    }
}

async fn configure(client: &Client, kind: &str, entry: Value) {
    let value = json!({"metadata": {"name": kind.to_lowercase()}, "webhooks": [entry]});
    create(client, "admissionregistration.k8s.io/v1", kind, None, value).await;
}

#[tokio::test]
async fn a_validating_webhook_can_deny_each_operation_and_warn() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let webhook = webhook(|request| {
        let size = request["object"]["spec"]["size"].as_i64();
        let denied = size == Some(13) || request["operation"] == "DELETE";
        json!({"allowed": !denied, "status": {"message": "no luck", "code": 403, "reason": "Forbidden"}, "warnings": ["careful"]})
    })
    .await;
    configure(&client, "ValidatingWebhookConfiguration", webhook.entry()).await;
    let refused = status(
        widgets
            .create(&PostParams::default(), &widget("w", json!({"size": 13})))
            .await,
    );
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message,
        "admission webhook \"vwidget.kb.io\" denied the request: no luck"
    );
    widgets
        .create(&PostParams::default(), &widget("w", json!({"size": 1})))
        .await
        .unwrap();
    let refused = status(
        widgets
            .patch(
                "w",
                &PatchParams {
                    field_manager: Some("somebody".to_owned()),
                    ..PatchParams::default()
                },
                &Patch::Merge(json!({"spec": {"size": 13}})),
            )
            .await,
    );
    assert_eq!(refused.code, 403);
    widgets
        .patch_status(
            "w",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"phase": "x"}})),
        )
        .await
        .unwrap();
    assert_eq!(
        status(widgets.delete("w", &DeleteParams::default()).await).code,
        403
    );
    let asked = webhook.asked.lock().unwrap().clone();
    let operations: Vec<&str> = asked
        .iter()
        .map(|request| request["operation"].as_str().unwrap())
        .collect();
    assert_eq!(
        operations,
        ["CREATE", "CREATE", "UPDATE", "DELETE"],
        "not asked about the status"
    );
    let update = &asked[2];
    assert_eq!(update["oldObject"]["spec"]["size"], 1);
    assert_eq!(
        update["kind"],
        json!({"group": "test.example.com", "version": "v1", "kind": "Widget"})
    );
    assert_eq!(update["resource"]["resource"], "widgets");
    assert_eq!(
        (update["name"].as_str(), update["namespace"].as_str()),
        (Some("w"), Some("demo"))
    );
    assert_eq!(update["userInfo"]["username"], "kubernetes-admin");
    assert_eq!(update["options"]["kind"], "UpdateOptions");
    assert_eq!(update["options"]["fieldManager"], "somebody");
    assert!(
        asked[0]["options"].get("fieldManager").is_none(),
        "nobody gave one"
    );
    assert!(asked[3]["object"].is_null() && asked[3]["oldObject"].is_object());
}

#[tokio::test]
async fn a_mutating_webhook_changes_what_is_stored_and_the_result_is_validated() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let webhook = webhook(|request| {
        let color = if request["name"] == "bad" { "green" } else { "red" };
        let patch = json!([{"op": "replace", "path": "/spec/color", "value": color}, {"op": "add", "path": "/spec/unknown", "value": 1}]);
        json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string())})
    })
    .await;
    configure(&client, "MutatingWebhookConfiguration", webhook.entry()).await;
    let created = widgets(&client)
        .create(&PostParams::default(), &widget("w", json!({"size": 1})))
        .await
        .unwrap();
    assert_eq!(created.data["spec"], json!({"size": 1, "color": "red"}));
    let refused = status(
        widgets(&client)
            .create(&PostParams::default(), &widget("bad", json!({"size": 1})))
            .await,
    );
    assert_eq!(refused.code, 422);
}

#[tokio::test]
async fn a_webhook_that_cannot_be_reached_fails_closed_or_open_as_it_says() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let webhook = webhook(|_| json!({"allowed": true})).await;
    let mut entry = webhook.entry();
    // A port that nobody listens on.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    entry["clientConfig"]["url"] = format!("https://{closed}/").into();
    configure(&client, "ValidatingWebhookConfiguration", entry).await;
    let refused = status(
        widgets(&client)
            .create(&PostParams::default(), &widget("w", json!({"size": 1})))
            .await,
    );
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (500, "InternalError")
    );
    assert!(
        refused
            .message
            .contains("failed calling webhook \"vwidget.kb.io\""),
        "{}",
        refused.message
    );
    let open = Patch::Json::<()>(
        serde_json::from_value(
            json!([{"op": "add", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]),
        )
        .unwrap(),
    );
    api(
        &client,
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        None,
    )
    .patch(
        "validatingwebhookconfiguration",
        &PatchParams::default(),
        &open,
    )
    .await
    .unwrap();
    widgets(&client)
        .create(&PostParams::default(), &widget("w", json!({"size": 1})))
        .await
        .unwrap();
}

#[tokio::test]
async fn selectors_conditions_and_equivalent_versions_decide_whether_a_webhook_is_asked() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let webhook = webhook(|_| json!({"allowed": false})).await;
    let mut entry = webhook.entry();
    entry["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": "demo"}});
    entry["objectSelector"] = json!({"matchLabels": {"guarded": "yes"}});
    entry["matchConditions"] = json!([{"name": "big", "expression": "object.spec.size > 5"}]);
    configure(&client, "ValidatingWebhookConfiguration", entry).await;
    let try_create = |namespace: &'static str,
                      version: &'static str,
                      name: &'static str,
                      guarded: &'static str,
                      size: i64| {
        let api = api(
            &client,
            &format!("test.example.com/{version}"),
            "Widget",
            Some(namespace),
        );
        let mut sent = widget(name, json!({"size": size}));
        sent.types = None;
        sent.metadata.labels = Some([("guarded".to_owned(), guarded.to_owned())].into());
        async move { api.create(&PostParams::default(), &sent).await }
    };
    try_create("default", "v1", "a", "yes", 9).await.unwrap();
    try_create("demo", "v1", "b", "no", 9).await.unwrap();
    try_create("demo", "v1", "c", "yes", 1).await.unwrap();
    assert_eq!(
        status(try_create("demo", "v1", "d", "yes", 9).await).code,
        400
    );
    assert_eq!(
        status(try_create("demo", "v1alpha1", "e", "yes", 9).await).code,
        400
    );
    let asked = webhook.asked.lock().unwrap().clone();
    assert_eq!(asked[1]["kind"]["version"], "v1");
    assert_eq!(asked[1]["object"]["apiVersion"], "test.example.com/v1");
    assert_eq!(asked[1]["requestKind"]["version"], "v1alpha1");
}
