//! What one client asks for never costs the others their server.
#![cfg(test)]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::StreamExt;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use kube::Client;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kubestash_apiserver::testing::TestServer;
use serde_json::{Value, json};
use support::{Kubectl, api, create, object, server, status};
use tower::ServiceExt;

/// A request of the administrator, with its answer's code and body.
async fn ask(
    server: &TestServer,
    method: &str,
    path: &str,
    media: &str,
    body: Value,
) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(AUTHORIZATION, format!("Bearer {}", *server.admin_token()))
        .header(CONTENT_TYPE, media)
        .body(Body::from(if body.is_null() {
            String::new()
        } else {
            body.to_string()
        }))
        .unwrap();
    let answer = server.local_service().oneshot(request).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX)
        .await
        .unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn get(server: &TestServer, path: &str) -> (u16, Value) {
    ask(server, "GET", path, "", Value::Null).await
}

#[tokio::test]
async fn a_json_patch_that_copies_without_end_is_refused_and_changes_nothing() {
    let (server, client) = server().await;
    let map = json!({"metadata": {"name": "a"}, "data": {"x": "x".repeat(100)}});
    let before = create(&client, "v1", "ConfigMap", Some("demo"), map).await;
    let copies: Vec<Value> = (0..30)
        .map(|n| json!({"op": "copy", "from": "/data", "path": format!("/data/c{n}")}))
        .collect();
    let path = "/api/v1/namespaces/demo/configmaps/a";
    let media = "application/json-patch+json";
    let (code, answer) = ask(&server, "PATCH", path, media, Value::Array(copies)).await;
    assert_eq!(
        (code, answer["reason"].as_str()),
        (422, Some("Invalid")),
        "{answer}"
    );
    let many = vec![json!({"op": "test", "path": "/data/x", "value": "y"}); 10_001];
    let (code, answer) = ask(&server, "PATCH", path, media, Value::Array(many)).await;
    assert_eq!(
        (code, answer["reason"].as_str()),
        (413, Some("RequestEntityTooLarge")),
        "{answer}"
    );
    let after = api(&client, "v1", "ConfigMap", Some("demo"))
        .get("a")
        .await
        .unwrap();
    assert_eq!(after.data, before.data);
    assert_eq!(
        after.metadata.resource_version,
        before.metadata.resource_version
    );
}

fn definition(rule: &str, bounded: bool) -> Value {
    let mut list = json!({
        "type": "array", "items": {"type": "string"}, "x-kubernetes-validations": [{"rule": rule}],
    });
    if bounded {
        list["maxItems"] = 8.into();
        list["items"]["maxLength"] = 8.into();
    }
    json!({
        "metadata": {"name": "things.test.example.com"},
        "spec": {
            "group": "test.example.com", "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": {"list": list}}}
            }}}],
        },
    })
}

const NESTED: &str = "self.all(a, self.all(b, self.all(c, self.all(d, a + b + c + d != 'x'))))";

#[tokio::test]
async fn a_definition_with_a_rule_that_can_cost_too_much_is_refused() {
    let (_server, client) = server().await;
    let definitions = api(
        &client,
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        None,
    );
    let refused = definitions
        .create(&PostParams::default(), &object(definition(NESTED, false)))
        .await;
    let refused = status(refused);
    assert_eq!(refused.code, 422);
    assert!(
        refused
            .message
            .contains("estimated rule cost exceeds budget"),
        "{}",
        refused.message
    );
    definitions
        .create(&PostParams::default(), &object(definition(NESTED, true)))
        .await
        .unwrap();
    let things = api(&client, "test.example.com/v1", "Thing", Some("demo"));
    let thing = json!({"apiVersion": "test.example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"list": vec!["text"; 8]}});
    things
        .create(&PostParams::default(), &object(thing))
        .await
        .unwrap();
}

/// Everything that is sent of an unread watch, up to so many pieces.
async fn pieces(body: &mut Body, count: usize) -> Vec<Bytes> {
    let mut stream = std::mem::take(body).into_data_stream();
    let mut pieces = Vec::new();
    while pieces.len() < count {
        pieces.push(stream.next().await.unwrap().unwrap());
    }
    pieces
}

#[tokio::test]
async fn watchers_that_do_not_read_share_what_waits_for_them() {
    let (server, client) = server().await;
    let mut bodies = Vec::new();
    for _ in 0..100 {
        let request = Request::builder()
            .uri("/api/v1/namespaces/demo/configmaps?watch=true&resourceVersion=1")
            .header(AUTHORIZATION, format!("Bearer {}", *server.admin_token()))
            .body(Body::empty())
            .unwrap();
        bodies.push(
            server
                .local_service()
                .oneshot(request)
                .await
                .unwrap()
                .into_body(),
        );
    }
    const SIZE: usize = 300_000;
    for name in ["a", "b", "c"] {
        let map = json!({"metadata": {"name": name}, "data": {"x": "x".repeat(SIZE)}});
        create(&client, "v1", "ConfigMap", Some("demo"), map).await;
    }
    // The root certificate of each namespace may come first; whatever it is, large pieces are the
    // same memory for all.
    let (mut own, mut shared) = (0, BTreeSet::new());
    let mut kept = Vec::new();
    for body in &mut bodies {
        for piece in pieces(body, 9).await {
            if piece.len() > SIZE {
                shared.insert(piece.as_ptr());
            } else {
                own += piece.len();
            }
            kept.push(piece);
        }
    }
    assert!(!shared.is_empty() && shared.len() <= 3, "{}", shared.len());
    assert!(own < bodies.len() * 64 * 1024, "{own}");
}

#[tokio::test]
async fn a_list_in_parts_is_of_one_moment_and_its_end_is_told() {
    let (server, client) = server().await;
    let named = |name: String| json!({"metadata": {"name": name}});
    for n in 0..7 {
        create(
            &client,
            "v1",
            "Secret",
            Some("demo"),
            named(format!("s{n}")),
        )
        .await;
    }
    let path = "/api/v1/namespaces/demo/secrets";
    let names = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap().iter();
        items
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (code, first) = get(&server, &format!("{path}?limit=3")).await;
    assert_eq!(
        (code, names(&first)),
        (200, vec!["s0".to_owned(), "s1".to_owned(), "s2".to_owned()])
    );
    assert_eq!(first["metadata"]["remainingItemCount"], 4);
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();

    // What happens meanwhile is not in the rest.
    create(&client, "v1", "Secret", Some("demo"), named("s35".into())).await;
    let secrets = api(&client, "v1", "Secret", Some("demo"));
    secrets.delete("s4", &Default::default()).await.unwrap();
    let label = Patch::Merge(json!({"metadata": {"labels": {"new": "1"}}}));
    secrets
        .patch("s5", &PatchParams::default(), &label)
        .await
        .unwrap();
    let (_, second) = get(&server, &format!("{path}?limit=3&continue={token}")).await;
    assert_eq!(names(&second), ["s3", "s4", "s5"]);
    assert!(second["items"][2]["metadata"]["labels"].is_null());
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    let token = second["metadata"]["continue"].as_str().unwrap();
    let (_, last) = get(&server, &format!("{path}?limit=3&continue={token}")).await;
    assert_eq!(names(&last), ["s6"]);
    assert!(last["metadata"]["continue"].is_null());

    // Of a selection the number of the others is not told.
    let (_, chosen) = get(&server, &format!("{path}?limit=1&labelSelector=!new")).await;
    assert_eq!(names(&chosen), ["s0"]);
    assert!(chosen["metadata"]["remainingItemCount"].is_null());
    assert_eq!(
        get(&server, &format!("{path}?continue=nonsense")).await.0,
        400
    );

    // A past version can be listed whole as well.
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let (_, past) = get(
        &server,
        &format!("{path}?resourceVersion={version}&resourceVersionMatch=Exact"),
    )
    .await;
    let parts: Vec<Value> = [&first, &second, &last]
        .into_iter()
        .flat_map(|part| part["items"].as_array().unwrap().clone())
        .collect();
    assert_eq!(past["items"], Value::Array(parts));
}

#[tokio::test]
async fn a_token_whose_moment_is_gone_is_answered_with_one_that_goes_on_with_the_present() {
    let (server, client) = server().await;
    for n in 0..4 {
        create(
            &client,
            "v1",
            "Secret",
            Some("demo"),
            json!({"metadata": {"name": format!("c{n}")}}),
        )
        .await;
    }
    let path = "/api/v1/namespaces/demo/secrets";
    let (_, first) = get(&server, &format!("{path}?limit=2")).await;
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    // After a restart nothing of the past is known.
    create(
        &client,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "c9"}}),
    )
    .await;
    let server = server.restart().await.unwrap();
    let (code, expired) = get(&server, &format!("{path}?limit=2&continue={token}")).await;
    assert_eq!(
        (code, expired["reason"].as_str()),
        (410, Some("Expired")),
        "{expired}"
    );
    let token = expired["metadata"]["continue"].as_str().unwrap();
    let (code, rest) = get(&server, &format!("{path}?limit=9&continue={token}")).await;
    assert_eq!(
        (code, rest["items"].as_array().unwrap().len()),
        (200, 3),
        "{rest}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_reads_a_list_in_chunks() {
    let (server, client) = server().await;
    for n in 0..5 {
        create(
            &client,
            "v1",
            "Secret",
            Some("demo"),
            json!({"metadata": {"name": format!("s{n}")}}),
        )
        .await;
    }
    let kubectl = Kubectl::new(&server);
    for output in ["name", "wide"] {
        let listed = kubectl
            .ok(&[
                "get",
                "secrets",
                "-n",
                "demo",
                "--chunk-size=2",
                "-o",
                output,
            ])
            .await;
        assert_eq!(
            listed.matches("s0").count() + listed.matches("s4").count(),
            2,
            "{listed}"
        );
        assert_eq!(
            (0..5).filter(|n| listed.contains(&format!("s{n}"))).count(),
            5,
            "{listed}"
        );
    }
    let secrets = api(&client, "v1", "Secret", Some("demo"));
    let part = secrets.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(
        (part.items.len(), part.metadata.remaining_item_count),
        (2, Some(3))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_send_their_headers_byte_by_byte_are_cut_off() {
    let (server, client) = server().await;
    let mut config = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(support::AnyCertificate::default()))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (config, address) = (config.clone(), server.addr());
        slow.spawn_blocking(move || {
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let connection = rustls::ClientConnection::new(config, name).unwrap();
            let stream = std::net::TcpStream::connect(address).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            // Its end is the server's doing.
            while stream.write_all(b"X").and_then(|()| stream.flush()).is_ok() {
                std::thread::sleep(Duration::from_millis(200));
            }
        });
    }
    // Meanwhile everybody else is served, and in the end none of them is left.
    client.apiserver_version().await.unwrap();
    let all = async { while slow.join_next().await.is_some() {} };
    let patience = Duration::from_secs(120);
    tokio::time::timeout(patience, all)
        .await
        .expect("a slow connection is still open");
}

#[tokio::test]
async fn a_client_sees_the_rest_of_its_question_in_the_answer() {
    let (server, _client): (TestServer, Client) = server().await;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "abc"}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let (code, answer) = ask(&server, "POST", path, "application/json", review).await;
    assert_eq!(
        (code, answer["spec"]["token"].as_str()),
        (201, Some("abc")),
        "{answer}"
    );
    assert_ne!(answer["status"]["authenticated"], true);
}

/// A request whose body is text of a media type.
async fn send(server: &TestServer, path: &str, media: &str, body: String) -> (u16, Value) {
    let request = Request::post(path)
        .header(AUTHORIZATION, format!("Bearer {}", *server.admin_token()))
        .header(CONTENT_TYPE, media)
        .body(Body::from(body))
        .unwrap();
    let answer = server.local_service().oneshot(request).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX)
        .await
        .unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test]
async fn documents_that_nest_or_multiply_without_end_are_refused() {
    let (server, _client) = server().await;
    let path = "/api/v1/namespaces/demo/configmaps";
    let deep = |levels: usize| {
        format!(
            "{{\"metadata\":{}1{}}}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    let aliases = (1..20).fold("data:\n  a0: &a0 [x, x]\n".to_owned(), |text, n| {
        format!(
            "{text}  a{n}: &a{n} [*a{m}, *a{m}, *a{m}, *a{m}]\n",
            m = n - 1
        )
    });
    let block: String = (0..5000)
        .map(|level| format!("{}a:\n", " ".repeat(level % 200)))
        .collect();
    for (media, body) in [
        ("application/json", deep(200)),
        ("application/json", deep(100_000)),
        ("application/yaml", deep(100_000)),
        ("application/yaml", aliases),
        ("application/yaml", block),
    ] {
        let (code, answer) = send(&server, path, media, body).await;
        assert_eq!(code, 400, "{media}: {answer}");
    }
}

/// Creates all definitions of the product, and returns how many there are.
async fn define_all(server: &TestServer) -> usize {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
    let mut taken = 0;
    for dir in [dir.clone(), dir.join("foreign")] {
        for entry in std::fs::read_dir(dir).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
            let (code, answer) = send(server, path, "application/yaml", text).await;
            assert_eq!(code, 201, "{file:?}: {}", answer["message"]);
            taken += 1;
        }
    }
    taken
}

#[tokio::test]
async fn our_own_definitions_are_within_the_budgets_and_refuse_by_field_what_means_nothing() {
    let (server, _client) = server().await;
    assert!(define_all(&server).await >= 19);
    let configuration = || {
        json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration", "metadata": {"name": "a"},
            "spec": {
                "target": {"apiGroup": "kubedb.com", "kind": "MySQL", "name": "db", "namespace": "demo"},
                "backends": [{"name": "b", "storageRef": {"name": "s", "namespace": "demo"}, "retentionPolicy": {"name": "r", "namespace": "demo"}}],
                "sessions": [{
                    "name": "frequent",
                    "scheduler": {"schedule": "*/5 * * * *", "jobTemplate": {"backoffLimit": 1, "template": {}}},
                    "repositories": [{"name": "repo", "backend": "b", "directory": "/x", "encryptionSecret": {"name": "e", "namespace": "demo"}}],
                    "addon": {"name": "mysql-addon", "tasks": [{"name": "logical-backup"}]},
                }],
            },
        })
    };
    let path = "/apis/core.kubestash.com/v1alpha1/namespaces/demo/backupconfigurations?dryRun=All";
    let (code, answer) = send(
        &server,
        path,
        "application/json",
        configuration().to_string(),
    )
    .await;
    assert_eq!(code, 201, "{}", answer["message"]);
    for (field, bad, good) in [
        (
            "scheduler/concurrencyPolicy",
            json!("Bad"),
            json!("Replace"),
        ),
        ("scheduler/startingDeadlineSeconds", json!(-1), json!(0)),
        ("scheduler/failedJobsHistoryLimit", json!(-1), json!(0)),
        ("scheduler/successfulJobsHistoryLimit", json!(-1), json!(3)),
        ("sessionHistoryLimit", json!(-1), json!(0)),
        ("scheduler/jobTemplate/backoffLimit", json!(-1), json!(0)),
        (
            "scheduler/jobTemplate/activeDeadlineSeconds",
            json!(-1),
            json!(60),
        ),
        (
            "scheduler/jobTemplate/ttlSecondsAfterFinished",
            json!(-1),
            json!(0),
        ),
        ("scheduler/jobTemplate/parallelism", json!(-1), json!(1)),
        ("scheduler/jobTemplate/completions", json!(-1), json!(1)),
        (
            "scheduler/jobTemplate/completionMode",
            json!("Bad"),
            json!("NonIndexed"),
        ),
        (
            "scheduler/jobTemplate/template/spec/terminationGracePeriodSeconds",
            json!(-1),
            json!(30),
        ),
        (
            "scheduler/jobTemplate/template/spec/dnsPolicy",
            json!("Bad"),
            json!("ClusterFirst"),
        ),
        ("retryConfig/maxRetry", json!(0), json!(1)),
        (
            "addon/containerRuntimeSettings/nice/adjustment",
            json!(20),
            json!(19),
        ),
        (
            "addon/containerRuntimeSettings/ionice/class",
            json!(4),
            json!(3),
        ),
    ] {
        for (value, expected) in [(good, 201), (bad, 422)] {
            let mut object = configuration();
            let mut at = &mut object["spec"]["sessions"][0];
            for part in field.split('/') {
                at = &mut at[part];
            }
            *at = value;
            let (code, answer) = send(&server, path, "application/json", object.to_string()).await;
            let message = answer["message"].as_str().unwrap_or_default();
            // What the schema does not know is dropped, and would be accepted for the wrong reason.
            let kept = field
                .split('/')
                .fold(&answer["spec"]["sessions"][0], |at, part| &at[part]);
            assert_eq!(code, expected, "{field}: {message}");
            assert!(
                code != 201 || !kept.is_null(),
                "{field} is not in the schema"
            );
            let named = format!("spec.sessions[0].{}", field.replace('/', "."));
            assert!(
                code == 201 || message.contains(&named),
                "{field}: {message}"
            );
        }
    }
}
