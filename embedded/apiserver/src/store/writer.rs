//! The one writer: takes concurrent writes off a queue, checks each against what it would see, and
//! makes the accepted ones durable in one transaction (group commit).
//!
//! Invariant: a write is answered with success only after its transaction is on disk and its change
//! is visible to readers; a refused write changes nothing.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::disk::{Committed, Disk, Row, is_secret};
use super::error::StoreError;
use super::key::{GroupResource, Key};
use super::object::Object;
use super::state::{Change, ChangeKind, State};
use super::{Observer, read, write};

/// How many writes one transaction takes at most.
const MAX_BATCH: usize = 256;
/// How large an object may become by writes that are each within their own limit: every field
/// manager leaves a record of its fields, of which there may be many. Twice what a request can
/// carry.
const MAX_OBJECT_BYTES: usize = 6 * 1024 * 1024;

/// One intended write.
#[derive(Debug)]
pub(crate) enum Write {
    /// A new object. Its namespace, if it has one, must exist and not be terminating.
    Create {
        /// Where.
        key: Key,
        /// What, without resourceVersion.
        value: Value,
    },
    /// A new version of an object that must be at version `expected`.
    Update {
        /// Where.
        key: Key,
        /// The version that was read.
        expected: u64,
        /// The new version.
        value: Value,
    },
    /// Removal of an object that must be at version `expected`. A namespace must be empty.
    Delete {
        /// Where.
        key: Key,
        /// The version that was read.
        expected: u64,
        /// The last state that watchers are told, if it differs from the stored one.
        last: Option<Value>,
    },
}

/// Where the outcome of a write goes.
pub(super) type Reply = oneshot::Sender<Result<Arc<Object>, StoreError>>;

/// A queued write and who waits for it.
pub(super) struct Job {
    pub(super) write: Write,
    pub(super) reply: Reply,
}

/// A batch in the making: what the accepted writes leave behind.
struct Batch {
    revision: u64,
    overlay: HashMap<Key, Option<Arc<Object>>>,
    accepted: Vec<(Change, Reply)>,
}

/// Serves the queue until all senders are gone.
pub(super) fn run(
    mut disk: Disk,
    state: &RwLock<State>,
    observers: &RwLock<Vec<Observer>>,
    mut queue: mpsc::UnboundedReceiver<Job>,
) {
    while let Some(first) = queue.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < MAX_BATCH
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        serve(&mut disk, state, observers, jobs);
    }
}

fn serve(
    disk: &mut Disk,
    state: &RwLock<State>,
    observers: &RwLock<Vec<Observer>>,
    jobs: Vec<Job>,
) {
    let mut batch = Batch {
        revision: read(state).revision,
        overlay: HashMap::new(),
        accepted: Vec::new(),
    };
    {
        let state = read(state);
        for Job { write, reply } in jobs {
            match batch.accept(&state, write) {
                Ok(change) => {
                    batch.note(&change);
                    batch.accepted.push((change, reply));
                }
                // The requester may have gone; then nobody needs the answer.
                Err(error) => drop(reply.send(Err(error))),
            }
        }
    }
    if batch.accepted.is_empty() {
        return;
    }
    let rows: Vec<Row> = batch
        .accepted
        .iter()
        .map(|(change, _)| Row {
            key: change.object.key.clone(),
            json: match change.kind {
                ChangeKind::Deleted => None,
                ChangeKind::Created | ChangeKind::Updated => Some(change.object.json.clone()),
            },
        })
        .collect();
    let Committed { objects, secrets } = disk.commit(batch.revision, &rows);
    let mut visible = Vec::with_capacity(batch.accepted.len());
    let mut replies = Vec::with_capacity(batch.accepted.len());
    for (change, reply) in batch.accepted {
        let outcome = if is_secret(&change.object.key) {
            &secrets
        } else {
            &objects
        };
        let answer = outcome.clone().map(|()| change.object.clone());
        if answer.is_ok() {
            visible.push(change);
        }
        replies.push((reply, answer));
    }
    if !visible.is_empty() {
        write(state).apply(batch.revision, &visible);
        for observer in read(observers).iter() {
            observer(&visible);
        }
    }
    for (reply, answer) in replies {
        drop(reply.send(answer));
    }
}

impl Batch {
    fn get(&self, state: &State, key: &Key) -> Option<Arc<Object>> {
        match self.overlay.get(key) {
            Some(object) => object.clone(),
            None => state.get(key).cloned(),
        }
    }

    fn note(&mut self, change: &Change) {
        let after = match change.kind {
            ChangeKind::Deleted => None,
            ChangeKind::Created | ChangeKind::Updated => Some(change.object.clone()),
        };
        self.overlay.insert(change.object.key.clone(), after);
        self.revision = change.object.revision;
    }

    fn accept(&self, state: &State, write: Write) -> Result<Change, StoreError> {
        let revision = self.revision + 1;
        let build = |key, value| {
            Object::new(key, revision, value)
                .map(Arc::new)
                .map_err(|source| StoreError::Serialise(Arc::new(source)))
        };
        // A deletion is never refused for its size.
        let build_bounded = |key: Key, value| {
            let object: Arc<Object> = build(key, value)?;
            match object.json.len() {
                size if size > MAX_OBJECT_BYTES => Err(StoreError::TooLarge {
                    key: object.key.clone(),
                    size,
                    limit: MAX_OBJECT_BYTES,
                }),
                _ => Ok(object),
            }
        };
        match write {
            Write::Create { key, value } => {
                if self.get(state, &key).is_some() {
                    return Err(StoreError::AlreadyExists(key));
                }
                self.check_namespace(state, &key)?;
                Ok(Change::new(
                    ChangeKind::Created,
                    build_bounded(key, value)?,
                    None,
                ))
            }
            Write::Update {
                key,
                expected,
                value,
            } => {
                let current = self.at(state, &key, expected)?;
                Ok(Change::new(
                    ChangeKind::Updated,
                    build_bounded(key, value)?,
                    Some(current),
                ))
            }
            Write::Delete {
                key,
                expected,
                last,
            } => {
                let current = self.at(state, &key, expected)?;
                if key.resource.is("", "namespaces") {
                    self.check_empty(state, key.name())?;
                }
                let last = build(key, last.unwrap_or_else(|| current.value()))?;
                Ok(Change::new(ChangeKind::Deleted, last, Some(current)))
            }
        }
    }

    fn at(&self, state: &State, key: &Key, expected: u64) -> Result<Arc<Object>, StoreError> {
        match self.get(state, key) {
            None => Err(StoreError::NotFound(key.clone())),
            Some(object) if object.revision != expected => Err(StoreError::Conflict {
                key: key.clone(),
                expected,
                current: object.revision,
            }),
            Some(object) => Ok(object),
        }
    }

    fn check_namespace(&self, state: &State, key: &Key) -> Result<(), StoreError> {
        if key.namespace().is_empty() {
            return Ok(());
        }
        let namespaces = GroupResource::new("", "namespaces");
        let namespace = self.get(state, &Key::new(&namespaces, "", key.namespace()));
        match namespace {
            Some(namespace) if !namespace.terminating => Ok(()),
            // The record of what happens while a namespace goes, as on a cluster, is refused too.
            other => Err(StoreError::Namespace {
                key: key.clone(),
                terminating: other.is_some(),
            }),
        }
    }

    /// A namespace may go only when nothing is in it, neither on disk nor in this batch.
    fn check_empty(&self, state: &State, namespace: &str) -> Result<(), StoreError> {
        let created = self
            .overlay
            .iter()
            .any(|(key, object)| object.is_some() && key.namespace() == namespace);
        let stored = state
            .resources
            .values()
            .any(|resource| !resource.in_namespace(Some(namespace)).is_empty());
        if created || stored {
            return Err(StoreError::NamespaceNotEmpty(namespace.into()));
        }
        Ok(())
    }
}
