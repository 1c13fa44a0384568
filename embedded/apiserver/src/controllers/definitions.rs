//! Deleting CustomResourceDefinitions: their objects go first. And when one has gone, another that
//! could not have its names because of it gets them.

use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;

use super::queue::Queue;
use super::{Changes, delete_object, edit, remove_finalizer};
use crate::app::App;
use crate::registry::catalogue::crds;
use crate::registry::crd::{CLEANUP_FINALIZER, set_status};
use crate::registry::delete::DeleteOptions;
use crate::registry::{Caller, Refused};
use crate::store::{Change, ChangeKind, GroupResource, Key};

const AT_ONCE: usize = 32;

/// Runs until the server stops.
pub(super) async fn run(app: Arc<App>, mut changes: Changes) {
    let mut queue = Queue::new();
    for definition in app.store.list(&crds(), None).objects {
        queue.add(definition.key.name().to_owned());
    }
    loop {
        while let Some(name) = queue.take() {
            match sync(&app, &name).await {
                Ok(()) => queue.done(&name),
                Err(status) => {
                    tracing::warn!(
                        definition = name,
                        error = status.message,
                        "failed to clean up a definition"
                    );
                    queue.retry(name);
                }
            }
        }
        tokio::select! {
            batch = changes.recv() => match batch {
                Some(batch) => batch.iter().for_each(|change| note(&app, change, &mut queue)),
                None => return,
            },
            () = queue.due() => {}
            () = app.stop.cancelled() => return,
        }
    }
}

fn note(app: &App, change: &Change, queue: &mut Queue<String>) {
    let key = &change.object.key;
    if key.resource == crds() {
        if change.kind == ChangeKind::Deleted {
            for other in app.store.list(&crds(), None).objects {
                queue.add(other.key.name().to_owned());
            }
        } else if change.object.terminating {
            queue.add(key.name().to_owned());
        }
    } else if change.kind == ChangeKind::Deleted {
        // An object of a definition that waits for it; the name of a definition is that of its
        // resource.
        let name = key.resource.to_string();
        let definition = app.store.get(&Key::new(&crds(), "", &name));
        if definition.is_some_and(|definition| definition.terminating) {
            queue.add(name);
        }
    }
}

async fn sync(app: &App, name: &str) -> Result<(), Refused> {
    let Some(definition) = app.store.get(&Key::new(&crds(), "", name)) else {
        return Ok(());
    };
    let caller = Caller::controller("customresourcedefinition-controller");
    let value = definition.value();
    if !definition.terminating {
        if names_refused(&value) {
            let settle = |crd: &mut Value| {
                let before = crd["status"].clone();
                set_status(app, crd, caller.now);
                crd["status"] != before
            };
            return edit(
                app,
                &caller,
                &definition.key,
                &definition.uid,
                "status",
                settle,
            )
            .await;
        }
        return Ok(());
    }
    if !definition.has_finalizer(CLEANUP_FINALIZER) {
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = GroupResource::new(
        &text(&value["spec"]["group"]),
        &text(&value["spec"]["names"]["plural"]),
    );
    let mut refused = None;
    {
        let fresh = app.store.list(&resource, None).objects;
        let mut deletions = futures::stream::iter(
            fresh.into_iter().filter(|object| !object.terminating),
        )
        .map(|object| {
            let (app, caller) = (&app, &caller);
            async move { delete_object(app, caller, &object, &DeleteOptions::default()).await }
        })
        .buffer_unordered(AT_ONCE);
        while let Some(outcome) = deletions.next().await {
            refused = refused.or(outcome.err());
        }
    }
    if let Some(status) = refused {
        return Err(status);
    }
    if app.store.list(&resource, None).objects.is_empty() {
        return remove_finalizer(
            app,
            &caller,
            &definition.key,
            &definition.uid,
            CLEANUP_FINALIZER,
        )
        .await;
    }
    Ok(())
}

fn names_refused(definition: &Value) -> bool {
    definition["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "NamesAccepted" && condition["status"] == "False")
}
