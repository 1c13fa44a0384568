//! The garbage collector: what becomes of objects when their owners go.
//!
//! - *background*: an object whose owners are all gone is deleted;
//! - *foreground*: an owner with the finalizer `foregroundDeletion` waits for its dependents that
//!   block it;
//! - *orphan*: an owner with the finalizer `orphan` releases its dependents.
//!
//! An owner is identified by its UID and must be in the dependent's namespace or cluster-scoped.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::queue::Queue;
use super::{Changes, delete_object, edit, remove_finalizer};
use crate::app::App;
use crate::registry::delete::{DeleteOptions, FOREGROUND, ORPHAN, Propagation};
use crate::registry::{Caller, Refused};
use crate::store::{Change, ChangeKind, Key, Object, Owner};

/// How many objects are looked at at a time.
const AT_ONCE: usize = 16;

/// Who is there, and who depends on whom.
#[derive(Default)]
struct Graph {
    present: HashMap<Arc<str>, Key>,
    dependents: HashMap<Arc<str>, HashSet<Key>>,
}

/// What an owner is to its dependent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bond {
    /// It is there.
    Solid,
    /// It is there, but waits for its dependents to go.
    Waiting,
    /// It is gone.
    Dangling,
}

/// Runs until the server stops.
pub(super) async fn run(app: Arc<App>, mut changes: Changes) {
    let mut graph = Graph::default();
    let mut queue = Queue::new();
    let objects = app.store.all();
    for object in &objects {
        graph.insert(object);
    }
    for object in &objects {
        if !object.owners.is_empty() || is_held(object) {
            queue.add(object.key.clone());
        }
    }
    drop(objects);
    loop {
        loop {
            let keys: Vec<Key> = std::iter::from_fn(|| queue.take()).take(AT_ONCE).collect();
            if keys.is_empty() {
                break;
            }
            collect_all(&app, &graph, keys, &mut queue).await;
            // The graph must not fall behind what is being collected.
            while let Ok(batch) = changes.try_recv() {
                batch
                    .iter()
                    .for_each(|change| graph.follow(change, &mut queue));
            }
        }
        tokio::select! {
            batch = changes.recv() => match batch {
                Some(batch) => batch.iter().for_each(|change| graph.follow(change, &mut queue)),
                None => return,
            },
            () = queue.due() => {}
            () = app.stop.cancelled() => return,
        }
    }
}

/// Looks at several objects at a time, so that their writes share transactions.
async fn collect_all(app: &App, graph: &Graph, keys: Vec<Key>, queue: &mut Queue<Key>) {
    let caller = &Caller::controller("generic-garbage-collector");
    let looked_at = keys.into_iter().map(|key| async move {
        let outcome = collect(app, caller, graph, &key).await;
        (key, outcome)
    });
    for (key, outcome) in futures::future::join_all(looked_at).await {
        match outcome {
            Ok(next) => {
                queue.done(&key);
                next.into_iter().for_each(|key| queue.add(key));
            }
            Err(status) => {
                tracing::warn!(%key.resource, name = key.name(), error = status.message, "failed to collect garbage");
                queue.retry(key);
            }
        }
    }
}

/// Whether an object waits for the garbage collector.
fn is_held(object: &Object) -> bool {
    object.terminating && (object.has_finalizer(FOREGROUND) || object.has_finalizer(ORPHAN))
}

impl Graph {
    fn insert(&mut self, object: &Object) {
        self.present.insert(object.uid.clone(), object.key.clone());
        for owner in &object.owners {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert(object.key.clone());
        }
    }

    fn release(&mut self, object: &Object) {
        for owner in &object.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(&object.key);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }

    /// Takes in a change and notes whom to look at.
    fn follow(&mut self, change: &Change, queue: &mut Queue<Key>) {
        let object = &change.object;
        if let Some(previous) = &change.previous {
            self.release(previous);
        }
        if change.kind == ChangeKind::Deleted {
            self.present.remove(&object.uid);
            for dependent in self.dependents.get(&object.uid).into_iter().flatten() {
                queue.add(dependent.clone());
            }
        } else {
            self.insert(object);
            if is_held(object) || (!object.owners.is_empty() && owners_changed(change)) {
                queue.add(object.key.clone());
            }
        }
        // Owners that wait for this one to go, or not to block them any more.
        let before = change.previous.iter().flat_map(|previous| &previous.owners);
        for owner in before {
            if let Some(key) = self.present.get(&owner.uid)
                && (change.kind == ChangeKind::Deleted || owners_changed(change))
            {
                queue.add(key.clone());
            }
        }
    }

    fn dependents<'a>(
        &'a self,
        app: &'a App,
        owner: &'a Object,
    ) -> impl Iterator<Item = Arc<Object>> + 'a {
        self.dependents
            .get(&owner.uid)
            .into_iter()
            .flatten()
            .filter_map(|key| app.store.get(key))
            .filter(|object| object.owners.iter().any(|one| one.uid == owner.uid))
    }

    fn bond(&self, app: &App, dependent: &Object, owner: &Owner) -> Bond {
        let Some(key) = self.present.get(&owner.uid) else {
            // Objects of a kind that is not served cannot be known to be gone.
            let known = app
                .catalogue()
                .find_kind(&owner.api_version, &owner.kind)
                .is_some();
            return if known { Bond::Dangling } else { Bond::Solid };
        };
        let reachable = key.namespace().is_empty() || key.namespace() == dependent.key.namespace();
        match app.store.get(key) {
            Some(found) if reachable && found.uid == owner.uid => {
                if found.terminating && found.has_finalizer(FOREGROUND) {
                    Bond::Waiting
                } else {
                    Bond::Solid
                }
            }
            _ => Bond::Dangling,
        }
    }
}

fn owners_changed(change: &Change) -> bool {
    change
        .previous
        .as_ref()
        .is_none_or(|previous| previous.owners != change.object.owners)
}

/// Does what is due for an object, and returns whom to look at next.
async fn collect(
    app: &App,
    caller: &Caller,
    graph: &Graph,
    key: &Key,
) -> Result<Vec<Key>, Refused> {
    let nothing = Vec::new();
    let Some(object) = app.store.get(key) else {
        return Ok(nothing);
    };
    if object.terminating {
        if object.has_finalizer(ORPHAN) {
            return orphan(app, caller, graph, &object).await.map(|()| nothing);
        }
        if object.has_finalizer(FOREGROUND) {
            return foreground(app, caller, graph, &object).await;
        }
        return Ok(nothing);
    }
    let bonds: Vec<(Bond, &Owner)> = object
        .owners
        .iter()
        .map(|owner| (graph.bond(app, &object, owner), owner))
        .collect();
    let gone: HashSet<&str> = bonds
        .iter()
        .filter(|(bond, _)| *bond != Bond::Solid)
        .map(|(_, owner)| &*owner.uid)
        .collect();
    if gone.is_empty() {
        return Ok(nothing);
    }
    if bonds.iter().any(|(bond, _)| *bond == Bond::Solid) {
        return release(app, caller, &object, |uid| gone.contains(uid))
            .await
            .map(|()| nothing);
    }
    let waited_for = bonds.iter().any(|(bond, _)| *bond == Bond::Waiting);
    let propagation = if object.has_finalizer(ORPHAN) {
        Propagation::Orphan
    } else if object.has_finalizer(FOREGROUND)
        || (waited_for && graph.dependents(app, &object).next().is_some())
    {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    let options = DeleteOptions {
        propagation: Some(propagation),
        uid: Some(object.uid.to_string()),
        // Its owners may change while it is being deleted; then it is looked at again.
        resource_version: Some(object.revision.to_string()),
        ..DeleteOptions::default()
    };
    match delete_object(app, caller, &object, &options).await {
        Err(status) if status.reason == "Conflict" => Ok(vec![key.clone()]),
        outcome => outcome.map(|()| nothing),
    }
}

/// Releases all dependents, then lets the owner go.
async fn orphan(app: &App, caller: &Caller, graph: &Graph, owner: &Object) -> Result<(), Refused> {
    for dependent in graph.dependents(app, owner).collect::<Vec<_>>() {
        release(app, caller, &dependent, |uid| uid == &*owner.uid).await?;
    }
    remove_finalizer(app, caller, &owner.key, &owner.uid, ORPHAN).await
}

/// Lets the owner go if no dependent blocks it, or else names those to see to.
async fn foreground(
    app: &App,
    caller: &Caller,
    graph: &Graph,
    owner: &Object,
) -> Result<Vec<Key>, Refused> {
    let blocks = |dependent: &Object| {
        dependent
            .owners
            .iter()
            .any(|one| one.uid == owner.uid && one.blocks_deletion)
    };
    let blocking: Vec<_> = graph
        .dependents(app, owner)
        .filter(|dependent| blocks(dependent))
        .collect();
    if blocking.is_empty() {
        remove_finalizer(app, caller, &owner.key, &owner.uid, FOREGROUND).await?;
    }
    Ok(blocking
        .iter()
        .filter(|dependent| !dependent.terminating)
        .map(|dependent| dependent.key.clone())
        .collect())
}

/// Removes owner references.
async fn release(
    app: &App,
    caller: &Caller,
    object: &Object,
    gone: impl Fn(&str) -> bool,
) -> Result<(), Refused> {
    edit(app, caller, &object.key, &object.uid, "", |value| {
        let Some(owners) = value["metadata"]["ownerReferences"].as_array_mut() else {
            return false;
        };
        let before = owners.len();
        owners.retain(|one| !gone(one["uid"].as_str().unwrap_or_default()));
        let changed = before != owners.len();
        if owners.is_empty()
            && let Some(metadata) = value["metadata"].as_object_mut()
        {
            metadata.shift_remove("ownerReferences");
        }
        changed
    })
    .await
}
