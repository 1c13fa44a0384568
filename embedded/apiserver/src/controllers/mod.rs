//! The controllers that belong to an API server.
//!
//! They are level-triggered: a change only says where to look, what is done follows from what the
//! store holds, and a start looks everywhere. Nothing runs, and nothing is written, while nothing
//! changes.
//!
//! | controller | what it sees to |
//! |---|---|
//! | [`garbage`] | dependents of deleted owners go, are waited for, or are released |
//! | [`namespaces`] | what is in a namespace that is being deleted goes, then the namespace |
//! | [`definitions`] | the objects of a CustomResourceDefinition that is being deleted go, then the definition |
//! | [`accounts`] | each namespace has its `default` ServiceAccount and the CA |
//! | [`event_expiry`] | Events go an hour after their last change |
//! | [`change_log`] | old changes, kept for watches that were interrupted, are forgotten |

mod accounts;
mod change_log;
mod definitions;
mod event_expiry;
mod garbage;
mod namespaces;
mod queue;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::App;
use crate::registry::admit::Ownership;
use crate::registry::delete::{DeleteOptions, delete};
use crate::registry::update::{Changed, change};
use crate::registry::{ATTEMPTS, Caller, Refused, Target, wire};
use crate::store::{Change, Key, Object, Write};

/// The changes of the store, in batches.
type Changes = mpsc::UnboundedReceiver<Arc<[Change]>>;

/// Starts all controllers; they end when `app.stop` fires.
pub(crate) fn start(app: &Arc<App>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    // Each subscribes before it first looks at the store, so that nothing falls between.
    tasks.spawn(namespaces::run(app.clone(), subscribe(app)));
    tasks.spawn(garbage::run(app.clone(), subscribe(app)));
    tasks.spawn(definitions::run(app.clone(), subscribe(app)));
    tasks.spawn(accounts::run(app.clone(), subscribe(app)));
    tasks.spawn(event_expiry::run(app.clone(), subscribe(app)));
    tasks.spawn(change_log::run(app.clone(), subscribe(app)));
    tasks
}

/// Without a time it never ends.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn subscribe(app: &App) -> Changes {
    let (sender, receiver) = mpsc::unbounded_channel();
    app.store.observe(Box::new(move |changes| {
        // A controller that has ended needs no changes.
        drop(sender.send(changes.into()));
    }));
    receiver
}

/// The request target of a stored object, `None` if its kind is not served (any more).
fn target_of(app: &App, object: &Object) -> Option<Target> {
    let catalogue = app.catalogue();
    let served = catalogue.stored(&object.key.resource)?;
    Some(Target::object(
        served,
        object.key.namespace(),
        object.key.name(),
    ))
}

/// Deletes an object as a user would. One whose kind is not served any more is removed at once:
/// nobody can see it, or act on its finalizers.
async fn delete_object(
    app: &App,
    caller: &Caller,
    object: &Object,
    options: &DeleteOptions,
) -> Result<(), Refused> {
    let outcome = match target_of(app, object) {
        Some(target) => delete(app, &target, caller, options).await.map(drop),
        None => {
            let write = Write::Delete {
                key: object.key.clone(),
                expected: object.revision,
                last: None,
            };
            // Lost against another write: the change of that one brings us here again.
            drop(app.store.commit(write).await);
            Ok(())
        }
    };
    match outcome {
        Err(status) if status.reason == "NotFound" => Ok(()),
        outcome => outcome,
    }
}

/// Changes the metadata (or, with a subresource, that part) of an object; `edit` returns whether
/// there is anything to change. An object that is gone, or another one of that name, is left alone.
async fn edit(
    app: &App,
    caller: &Caller,
    key: &Key,
    uid: &str,
    subresource: &str,
    edit: impl Fn(&mut serde_json::Value) -> bool,
) -> Result<(), Refused> {
    for _ in 0..ATTEMPTS {
        let Some(current) = app.store.get(key).filter(|object| &*object.uid == uid) else {
            return Ok(());
        };
        let Some(mut target) = target_of(app, &current) else {
            return Ok(());
        };
        target.subresource = subresource.to_owned();
        let old = wire::read(&target.served, &current);
        let mut new = old.clone();
        if !edit(&mut new) {
            return Ok(());
        }
        match change(
            app,
            &target,
            caller,
            &current,
            &old,
            new,
            Ownership::Updated,
        )
        .await
        {
            Ok(Changed::Written(_)) => return Ok(()),
            Ok(Changed::Lost) => {}
            Err(status) if status.reason == "NotFound" => return Ok(()),
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

/// Removes a finalizer; the object goes if it was the last one.
async fn remove_finalizer(
    app: &App,
    caller: &Caller,
    key: &Key,
    uid: &str,
    finalizer: &str,
) -> Result<(), Refused> {
    edit(app, caller, key, uid, "", |object| {
        let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() else {
            return false;
        };
        let before = finalizers.len();
        finalizers.retain(|one| one != finalizer);
        before != finalizers.len()
    })
    .await
}
