//! Who may do what: RBAC of ServiceAccounts, tokens, reviews.
#![cfg(test)]

mod support;

use kube::Client;
use kube::api::{DeleteParams, ListParams, PostParams};
use kubestash_apiserver::testing::TestServer;
use serde_json::{Value, json};
use support::{Kubectl, api, create, eventually, object, server, status};
use tower::Service;

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// A ServiceAccount `worker` in `demo` with a Role of `rules`, and its client.
async fn worker(server: &TestServer, admin: &Client, rules: Value) -> Client {
    create(
        admin,
        "v1",
        "ServiceAccount",
        Some("demo"),
        json!({"metadata": {"name": "worker"}}),
    )
    .await;
    create(
        admin,
        RBAC,
        "Role",
        Some("demo"),
        json!({"metadata": {"name": "worker"}, "rules": rules}),
    )
    .await;
    let binding = json!({
        "metadata": {"name": "worker"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "worker"},
        "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": "demo"}],
    });
    create(admin, RBAC, "RoleBinding", Some("demo"), binding).await;
    let token = server.service_account_token("demo", "worker").unwrap();
    support::client(server.kubeconfig_for(&token)).await
}

async fn post(client: &Client, path: &str, body: Value) -> Result<Value, kube::Error> {
    let request = http::Request::builder()
        .method("POST")
        .uri(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    client.request(request).await
}

#[tokio::test]
async fn a_service_account_may_do_what_its_roles_name_and_nothing_else() {
    let (server, admin) = server().await;
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"], "resourceNames": ["mine"]}]);
    let worker = worker(&server, &admin, rules).await;
    create(
        &admin,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "mine"}}),
    )
    .await;
    create(
        &admin,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "theirs"}}),
    )
    .await;
    let secrets = api(&worker, "v1", "Secret", Some("demo"));
    secrets.get("mine").await.unwrap();
    let named = ListParams::default().fields("metadata.name=mine");
    assert_eq!(secrets.list(&named).await.unwrap().items.len(), 1);
    for (refused, message) in [
        (
            status(secrets.get("theirs").await),
            "secrets \"theirs\" is forbidden: User \"system:serviceaccount:demo:worker\" cannot get resource \"secrets\" in API group \"\" in the namespace \"demo\"",
        ),
        (
            status(secrets.list(&ListParams::default()).await),
            "secrets is forbidden: User \"system:serviceaccount:demo:worker\" cannot list resource \"secrets\" in API group \"\" in the namespace \"demo\"",
        ),
        (
            status(
                api(&worker, "v1", "Namespace", None)
                    .list(&ListParams::default())
                    .await,
            ),
            "namespaces is forbidden: User \"system:serviceaccount:demo:worker\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope",
        ),
        (
            status(
                api(&worker, "v1", "Secret", Some("default"))
                    .get("mine")
                    .await,
            ),
            "secrets \"mine\" is forbidden: User \"system:serviceaccount:demo:worker\" cannot get resource \"secrets\" in API group \"\" in the namespace \"default\"",
        ),
    ] {
        assert_eq!(
            (
                refused.code,
                refused.reason.as_str(),
                refused.message.as_str()
            ),
            (403, "Forbidden", message)
        );
    }
    assert!(worker.apiserver_version().await.is_ok());
    assert!(
        worker.list_api_groups().await.is_ok(),
        "everybody may discover"
    );
    api(&admin, RBAC, "RoleBinding", Some("demo"))
        .delete("worker", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(
        status(secrets.get("mine").await).code,
        403,
        "a right ends with its binding"
    );
}

#[tokio::test]
async fn a_token_ends_with_its_service_account_and_with_its_pod() {
    let (server, admin) = server().await;
    let worker = worker(
        &server,
        &admin,
        json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]),
    )
    .await;
    let pods = api(&worker, "v1", "Pod", Some("demo"));
    pods.list(&ListParams::default()).await.unwrap();
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pod = create(&admin, "v1", "Pod", Some("demo"), pod).await;
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod.metadata.uid}},
    });
    let path = "/api/v1/namespaces/demo/serviceaccounts/worker/token";
    let answer = post(&admin, path, request.clone()).await.unwrap();
    let token = answer["status"]["token"].as_str().unwrap().to_owned();
    assert!(answer["status"]["expirationTimestamp"].is_string());
    let bound = support::client(server.kubeconfig_for(&token)).await;
    api(&bound, "v1", "Pod", Some("demo"))
        .list(&ListParams::default())
        .await
        .unwrap();
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let reviewed = post(
        &admin,
        "/apis/authentication.k8s.io/v1/tokenreviews",
        review,
    )
    .await
    .unwrap();
    assert_eq!(reviewed["status"]["authenticated"], true);
    assert_eq!(
        reviewed["status"]["user"]["username"],
        "system:serviceaccount:demo:worker"
    );
    assert_eq!(
        reviewed["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"][0],
        "p"
    );
    assert_eq!(
        reviewed["spec"]["token"], token,
        "the answer repeats the question"
    );
    api(&admin, "v1", "Pod", Some("demo"))
        .delete("p", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(
        status(
            api(&bound, "v1", "Pod", Some("demo"))
                .list(&ListParams::default())
                .await
        )
        .code,
        401
    );
    pods.list(&ListParams::default()).await.unwrap();
    api(&admin, "v1", "ServiceAccount", Some("demo"))
        .delete("worker", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(status(pods.list(&ListParams::default()).await).code, 401);
    let mut short = request;
    short["spec"] = json!({"expirationSeconds": 5});
    create(
        &admin,
        "v1",
        "ServiceAccount",
        Some("demo"),
        json!({"metadata": {"name": "worker"}}),
    )
    .await;
    assert_eq!(status(post(&admin, path, short).await).code, 422);
    assert_eq!(
        status(pods.list(&ListParams::default()).await).code,
        401,
        "another account of that name is another"
    );
}

#[tokio::test]
async fn reviews_answer_what_the_rules_say() {
    let (server, admin) = server().await;
    let worker = worker(
        &server,
        &admin,
        json!([{"apiGroups": ["batch"], "resources": ["jobs/status"], "verbs": ["patch"]}]),
    )
    .await;
    let question = |verb: &str| {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "group": "batch", "resource": "jobs", "subresource": "status", "namespace": "demo"}},
        })
    };
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(
        post(&worker, path, question("patch")).await.unwrap()["status"]["allowed"],
        true
    );
    assert_eq!(
        post(&worker, path, question("get")).await.unwrap()["status"]["allowed"],
        false
    );
    assert_eq!(
        post(&admin, path, question("get")).await.unwrap()["status"]["allowed"],
        true
    );
    let mut about = question("patch");
    about["kind"] = "SubjectAccessReview".into();
    about["spec"]["user"] = "system:serviceaccount:demo:worker".into();
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(
        post(&admin, path, about.clone()).await.unwrap()["status"]["allowed"],
        true
    );
    assert_eq!(status(post(&worker, path, about).await).code, 403);
    let rules = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "demo"}});
    let answer = post(
        &worker,
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        rules,
    )
    .await
    .unwrap();
    assert!(
        answer["status"]["resourceRules"]
            .to_string()
            .contains("jobs/status")
    );
}

#[tokio::test]
async fn cluster_roles_bind_in_one_namespace_or_everywhere_and_groups_count() {
    let (server, admin) = server().await;
    let worker = worker(&server, &admin, json!([])).await;
    let role = json!({"metadata": {"name": "reader"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]});
    create(&admin, RBAC, "ClusterRole", None, role).await;
    let binding = |subject: Value| {
        json!({
            "metadata": {"name": "readers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
            "subjects": [subject],
        })
    };
    let group = json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:serviceaccounts:demo"});
    create(
        &admin,
        RBAC,
        "RoleBinding",
        Some("demo"),
        binding(group.clone()),
    )
    .await;
    api(&worker, "v1", "Secret", Some("demo"))
        .list(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(
        status(
            api(&worker, "v1", "Secret", Some("default"))
                .list(&ListParams::default())
                .await
        )
        .code,
        403
    );
    create(&admin, RBAC, "ClusterRoleBinding", None, binding(group)).await;
    api(&worker, "v1", "Secret", Some("default"))
        .list(&ListParams::default())
        .await
        .unwrap();
    let refused = status(
        api(&worker, "v1", "Secret", Some("demo"))
            .create(
                &PostParams::default(),
                &object(json!({"metadata": {"name": "x"}})),
            )
            .await,
    );
    assert_eq!(refused.code, 403);
}

#[tokio::test]
async fn nobody_gives_away_more_than_they_have() {
    let (server, admin) = server().await;
    let rules = json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create", "patch"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["mine"]},
    ]);
    let worker = worker(&server, &admin, rules).await;
    let role =
        |name: &str, rules: Value| object(json!({"metadata": {"name": name}, "rules": rules}));
    let roles = api(&worker, RBAC, "Role", Some("demo"));
    let held = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["mine"]}]);
    roles
        .create(&PostParams::default(), &role("held", held))
        .await
        .unwrap();
    let more = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    let refused = status(
        roles
            .create(&PostParams::default(), &role("more", more))
            .await,
    );
    assert_eq!(refused.code, 403);
    assert!(refused.message.contains("is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"), "{}", refused.message);
    let binding = |kind: &str, role: &str| {
        object(json!({
            "metadata": {"name": format!("binds-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": "demo"}],
        }))
    };
    let bindings = api(&worker, RBAC, "RoleBinding", Some("demo"));
    bindings
        .create(&PostParams::default(), &binding("Role", "held"))
        .await
        .unwrap();
    assert_eq!(
        status(
            bindings
                .create(
                    &PostParams::default(),
                    &binding("ClusterRole", "cluster-admin")
                )
                .await
        )
        .code,
        403
    );
}

#[tokio::test]
async fn acting_as_another_needs_the_right_to_and_then_means_their_rights() {
    let (server, admin) = server().await;
    let kubectl = Kubectl::new(&server);
    let account = "--as=system:serviceaccount:demo:worker";
    let worker = worker(
        &server,
        &admin,
        json!([
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"], "resourceNames": ["other"]},
        ]),
    )
    .await;
    kubectl.ok(&["get", "secrets", "-n", "demo", account]).await;
    let refused = kubectl
        .fails(&["get", "configmaps", "-n", "demo", account])
        .await;
    assert!(
        refused.contains(
            "User \"system:serviceaccount:demo:worker\" cannot list resource \"configmaps\""
        ),
        "{refused}"
    );
    let can = |verb: &'static str| ["auth", "can-i", verb, "secrets", "-n", "demo", account];
    assert_eq!(kubectl.ok(&can("list")).await, "yes\n");
    assert_eq!(
        String::from_utf8_lossy(&kubectl.run(&can("delete")).await.stdout),
        "no\n"
    );
    let who = kubectl
        .ok(&[
            "auth",
            "whoami",
            "--as=jane",
            "--as-group=ops",
            "--as-uid=7",
        ])
        .await;
    for part in ["jane", "[ops system:authenticated]", "7"] {
        assert!(who.contains(part), "{who}");
    }
    let masters = ["get", "ns", "--as=jane", "--as-group=system:masters"];
    kubectl.ok(&masters).await;

    // A worker may be what its rules name, and nothing else.
    let ask = |headers: &'static [(&'static str, &'static str)]| {
        let mut request = http::Request::builder().uri("/api/v1/namespaces/demo/secrets");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let worker = worker.clone();
        async move {
            worker
                .request::<Value>(request.body(Vec::new()).unwrap())
                .await
        }
    };
    ask(&[]).await.unwrap();
    for (headers, code, message) in [
        (
            &[("impersonate-user", "system:serviceaccount:demo:other")][..],
            403,
            "secrets is forbidden: User \"system:serviceaccount:demo:other\" cannot list resource \"secrets\" in API group \"\" in the namespace \"demo\"",
        ),
        (
            &[("impersonate-user", "system:serviceaccount:demo:admin")],
            403,
            "serviceaccounts \"admin\" is forbidden: User \"system:serviceaccount:demo:worker\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"demo\"",
        ),
        (
            &[
                ("impersonate-user", "system:serviceaccount:demo:other"),
                ("impersonate-group", "system:masters"),
            ],
            403,
            "groups \"system:masters\" is forbidden: User \"system:serviceaccount:demo:worker\" cannot impersonate resource \"groups\" in API group \"\" at the cluster scope",
        ),
        (
            &[("impersonate-group", "system:masters")],
            400,
            "groups, UIDs and extra fields cannot be impersonated without a user: set the header Impersonate-User (kubectl --as)",
        ),
    ] {
        let refused = status(ask(headers).await);
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (code, message),
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn a_client_without_a_connection_has_its_own_rights_and_a_write_it_no_longer_waits_for_is_done()
 {
    let (server, client) = server().await;
    let request = |token: &str, name: &str| {
        let body = json!({"metadata": {"name": name}}).to_string();
        http::Request::post("/api/v1/namespaces/demo/configmaps")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(kube::client::Body::from(body.into_bytes()))
            .unwrap()
    };
    let mut service = server.local_service();
    let mut code = async |token: &str, name: &str| {
        let answer = service.call(request(token, name)).await.unwrap();
        answer.status().as_u16()
    };
    let admin = server.admin_token();
    worker(&server, &client, json!([])).await;
    let account = server.service_account_token("demo", "worker").unwrap();
    assert_eq!(code("wrong", "a").await, 401);
    assert_eq!(code(&account, "a").await, 403);
    assert_eq!(code(&admin, "a").await, 201);
    assert_eq!(code(&admin, "a").await, 409);

    drop(service.call(request(&admin, "dropped")));
    let maps = api(&client, "v1", "ConfigMap", Some("demo"));
    eventually("the write to be done", async || {
        maps.get_opt("dropped").await.unwrap()
    })
    .await;
}
