//! Deleting namespaces: everything in one that is being deleted goes, then its finalizer
//! `kubernetes`, and with that the namespace itself. Where something stays (it has finalizers of
//! its own), the status says what.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use serde_json::{Value, json};

use super::queue::Queue;
use super::{Changes, delete_object, edit};
use crate::app::App;
use crate::registry::delete::DeleteOptions;
use crate::registry::{Caller, Refused, rfc3339};
use crate::store::{Change, GroupResource, Key, Object};

const FINALIZER: &str = "kubernetes";
/// How many objects are deleted at a time.
const AT_ONCE: usize = 32;

/// Runs until the server stops.
pub(super) async fn run(app: Arc<App>, mut changes: Changes) {
    let mut queue = Queue::new();
    for namespace in app.store.list(&namespaces(), None).objects {
        if namespace.terminating {
            queue.add(namespace.key.name().to_owned());
        }
    }
    loop {
        while let Some(name) = queue.take() {
            match sync(&app, &name).await {
                Ok(()) => queue.done(&name),
                Err(status) => {
                    tracing::warn!(
                        namespace = name,
                        error = status.message,
                        "failed to empty a namespace"
                    );
                    queue.retry(name);
                }
            }
        }
        tokio::select! {
            batch = changes.recv() => match batch {
                Some(batch) => batch.iter().filter_map(|change| concerned(&app, change)).for_each(|name| queue.add(name)),
                None => return,
            },
            () = queue.due() => {}
            () = app.stop.cancelled() => return,
        }
    }
}

fn namespaces() -> GroupResource {
    GroupResource::new("", "namespaces")
}

/// The namespace to look at after a change: one that is being deleted, and has changed itself or in
/// its contents.
fn concerned(app: &App, change: &Change) -> Option<String> {
    let key = &change.object.key;
    let name = if key.resource == namespaces() {
        key.name()
    } else {
        key.namespace()
    };
    app.namespace(name)
        .filter(|namespace| namespace.terminating)
        .map(|_| name.to_owned())
}

async fn sync(app: &App, name: &str) -> Result<(), Refused> {
    let Some(namespace) = app
        .namespace(name)
        .filter(|namespace| namespace.terminating)
    else {
        return Ok(());
    };
    let caller = Caller::controller("namespace-controller");
    let mut refused = None;
    {
        let fresh = app
            .store
            .contents(name)
            .into_iter()
            .flat_map(|(_, objects)| objects)
            .filter(|object| !object.terminating);
        let mut deletions = futures::stream::iter(fresh)
            .map(|object| delete_one(app, &caller, object))
            .buffer_unordered(AT_ONCE);
        while let Some(outcome) = deletions.next().await {
            refused = refused.or(outcome.err());
        }
    }
    let remaining = app.store.contents(name);
    if remaining.is_empty() {
        return finalize(app, &caller, &namespace).await;
    }
    report(app, &caller, &namespace, &remaining).await?;
    refused.map_or(Ok(()), Err)
}

async fn delete_one(app: &App, caller: &Caller, object: Arc<Object>) -> Result<(), Refused> {
    let options = DeleteOptions {
        propagation: Some(crate::registry::delete::Propagation::Background),
        ..DeleteOptions::default()
    };
    delete_object(app, caller, &object, &options).await
}

async fn finalize(app: &App, caller: &Caller, namespace: &Object) -> Result<(), Refused> {
    let key: &Key = &namespace.key;
    edit(app, caller, key, &namespace.uid, "finalize", |object| {
        let Some(finalizers) = object["spec"]["finalizers"].as_array_mut() else {
            // Already without: kept only by finalizers in its metadata, whose owners will remove
            // it.
            return false;
        };
        let before = finalizers.len();
        finalizers.retain(|one| one != FINALIZER);
        let changed = finalizers.len() != before;
        if finalizers.is_empty()
            && let Some(spec) = object["spec"].as_object_mut()
        {
            spec.shift_remove("finalizers");
        }
        changed
    })
    .await
}

/// Says in the status what keeps the namespace.
async fn report(
    app: &App,
    caller: &Caller,
    namespace: &Object,
    remaining: &[(GroupResource, Vec<Arc<Object>>)],
) -> Result<(), Refused> {
    let mut finalizers: BTreeMap<&str, usize> = BTreeMap::new();
    for object in remaining.iter().flat_map(|(_, objects)| objects) {
        for finalizer in &object.finalizers {
            *finalizers.entry(finalizer).or_default() += 1;
        }
    }
    let resources: Vec<String> = remaining
        .iter()
        .map(|(resource, objects)| format!("{resource} has {} resource instances", objects.len()))
        .collect();
    let holding: Vec<String> = finalizers
        .iter()
        .map(|(name, count)| format!("{name} in {count} resource instances"))
        .collect();
    let conditions = conditions(&resources, &holding);
    edit(
        app,
        caller,
        &namespace.key,
        &namespace.uid,
        "status",
        |object| set_conditions(&mut object["status"], &conditions, rfc3339(caller.now)),
    )
    .await
}

/// Type, whether it holds, reason and message.
type Condition = (&'static str, bool, &'static str, String);

fn conditions(resources: &[String], holding: &[String]) -> [Condition; 5] {
    let content = format!("Some resources are remaining: {}", resources.join(", "));
    let finalizers = if holding.is_empty() {
        (
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".to_owned(),
        )
    } else {
        (
            "SomeFinalizersRemain",
            format!(
                "Some content in the namespace has finalizers remaining: {}",
                holding.join(", ")
            ),
        )
    };
    [
        (
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".to_owned(),
        ),
        (
            "NamespaceDeletionContentFailure",
            false,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".to_owned(),
        ),
        (
            "NamespaceContentRemaining",
            true,
            "SomeResourcesRemain",
            content,
        ),
        (
            "NamespaceFinalizersRemaining",
            !holding.is_empty(),
            finalizers.0,
            finalizers.1,
        ),
    ]
}

/// Sets the conditions that differ and returns whether any did.
fn set_conditions(status: &mut Value, wanted: &[Condition], now: Value) -> bool {
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let mut changed = false;
    for (kind, holds, reason, message) in wanted {
        let state = if *holds { "True" } else { "False" };
        let existing = conditions.iter_mut().find(|one| one["type"] == *kind);
        let since = match &existing {
            Some(one)
                if one["status"] == state
                    && one["reason"] == *reason
                    && one["message"] == *message =>
            {
                continue;
            }
            Some(one) if one["status"] == state => one["lastTransitionTime"].clone(),
            _ => now.clone(),
        };
        let condition = json!({
            "type": kind, "status": state, "lastTransitionTime": since, "reason": reason, "message": message,
        });
        match existing {
            Some(existing) => *existing = condition,
            None => conditions.push(condition),
        }
        changed = true;
    }
    if changed {
        status["conditions"] = conditions.into();
    }
    changed
}
