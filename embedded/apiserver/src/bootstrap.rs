//! What every cluster has from the start: the system namespaces and the roles that all users need.
//! Nothing is written that is there already, so a restart writes nothing.

use serde_json::{Value, json};

use crate::app::App;
use crate::registry::admit::Ownership;
use crate::registry::create::create;
use crate::registry::{Caller, Target};
use crate::server::StartError;

const RBAC: &str = "rbac.authorization.k8s.io";

/// Makes what is missing.
pub(crate) async fn run(app: &App) -> Result<(), StartError> {
    let created = objects()
        .into_iter()
        .map(|(group, resource, object)| ensure(app, group, resource, object));
    futures::future::try_join_all(created).await?;
    Ok(())
}

async fn ensure(app: &App, group: &str, resource: &str, object: Value) -> Result<(), StartError> {
    let name = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let what = format!("{resource} {name}");
    let catalogue = app.catalogue();
    let Some(served) = catalogue.find(group, "v1", resource) else {
        return Err(StartError::Bootstrap {
            what,
            why: "its kind is not served".to_owned(),
        });
    };
    if app.store.get(&served.key(None, &name)).is_some() {
        return Ok(());
    }
    let target = Target::object(served, "", &name);
    let caller = Caller::controller("bootstrap");
    match create(app, &target, &caller, object, Ownership::Updated).await {
        Ok(_) => Ok(()),
        Err(status) => Err(StartError::bootstrap(what, &status)),
    }
}

fn objects() -> Vec<(&'static str, &'static str, Value)> {
    let namespaces = ["default", "kube-system", "kube-public", "kube-node-lease"].map(|name| {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        ("", "namespaces", object)
    });
    let everything = json!([
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]);
    let discovery = json!([{
        "nonResourceURLs": [
            "/", "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz",
            "/version", "/version/",
        ],
        "verbs": ["get"],
    }]);
    let basic = json!([
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            "verbs": ["create"],
        },
        {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
    ]);
    let roles = [
        ("cluster-admin", "system:masters", everything),
        ("system:discovery", "system:authenticated", discovery),
        ("system:basic-user", "system:authenticated", basic),
    ]
    .into_iter()
    .flat_map(|(name, group, rules)| {
        let metadata = json!({"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}});
        let role = json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": metadata, "rules": rules,
        });
        let binding = json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group}],
        });
        [(RBAC, "clusterroles", role), (RBAC, "clusterrolebindings", binding)]
    });
    namespaces.into_iter().chain(roles).collect()
}
