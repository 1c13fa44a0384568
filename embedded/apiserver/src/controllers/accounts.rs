//! Each namespace has a ServiceAccount `default` and a ConfigMap `kube-root-ca.crt` with the CA of
//! this server.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Changes;
use super::queue::Queue;
use crate::app::App;
use crate::registry::admit::Ownership;
use crate::registry::create::create;
use crate::registry::{Caller, Refused, Target};
use crate::store::{Change, ChangeKind, GroupResource, Key};

const ACCOUNT: &str = "default";
const CA: &str = "kube-root-ca.crt";

/// Runs until the server stops.
pub(super) async fn run(app: Arc<App>, mut changes: Changes) {
    let mut queue = Queue::new();
    for namespace in app
        .store
        .list(&GroupResource::new("", "namespaces"), None)
        .objects
    {
        queue.add(namespace.key.name().to_owned());
    }
    loop {
        while let Some(name) = queue.take() {
            match sync(&app, &name).await {
                Ok(()) => queue.done(&name),
                Err(status) => {
                    tracing::warn!(
                        namespace = name,
                        error = status.message,
                        "failed to furnish a namespace"
                    );
                    queue.retry(name);
                }
            }
        }
        tokio::select! {
            batch = changes.recv() => match batch {
                Some(batch) => batch.iter().filter_map(concerned).for_each(|name| queue.add(name)),
                None => return,
            },
            () = queue.due() => {}
            () = app.stop.cancelled() => return,
        }
    }
}

/// The namespace to look at after a change: a new one, or one that has lost its account or CA.
fn concerned(change: &Change) -> Option<String> {
    let key = &change.object.key;
    let lost = |resource: &str, name: &str| {
        change.kind == ChangeKind::Deleted && key.resource.is("", resource) && key.name() == name
    };
    if key.resource.is("", "namespaces") && change.kind == ChangeKind::Created {
        Some(key.name().to_owned())
    } else if lost("serviceaccounts", ACCOUNT) || lost("configmaps", CA) {
        Some(key.namespace().to_owned())
    } else {
        None
    }
}

async fn sync(app: &App, namespace: &str) -> Result<(), Refused> {
    if app
        .namespace(namespace)
        .is_none_or(|namespace| namespace.terminating)
    {
        return Ok(());
    }
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}});
    ensure(app, "serviceaccounts", namespace, ACCOUNT, account).await?;
    let ca = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CA},
        "data": {"ca.crt": app.ca_pem},
    });
    ensure(app, "configmaps", namespace, CA, ca).await
}

async fn ensure(
    app: &App,
    resource: &str,
    namespace: &str,
    name: &str,
    object: Value,
) -> Result<(), Refused> {
    let key = Key::new(&GroupResource::new("", resource), namespace, name);
    if app.store.get(&key).is_some() {
        return Ok(());
    }
    let catalogue = app.catalogue();
    let Some(served) = catalogue.find("", "v1", resource) else {
        return Ok(());
    };
    let target = Target::object(served, namespace, name);
    let caller = Caller::controller("service-account-controller");
    match create(app, &target, &caller, object, Ownership::Updated).await {
        Ok(_) => Ok(()),
        // Made by another, or the namespace is going: both are fine.
        Err(status) if matches!(status.reason, "AlreadyExists" | "NotFound" | "Forbidden") => {
            Ok(())
        }
        Err(status) => Err(status),
    }
}
