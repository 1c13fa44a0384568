//! The durable store: every object in memory for reading, every acknowledged write on disk first.
//!
//! ```text
//!   get, list ───────────────► State (objects, logs) ◄─────── Watcher
//!                                 ▲ apply, then observers, then replies
//!   commit ──► queue ──► writer thread ──► Disk (objects.redb, secrets.redb), fsync
//! ```
//!
//! The revision is one counter for all resources; it is the `resourceVersion` of Kubernetes.

mod disk;
mod error;
mod key;
mod object;
mod presence;
mod state;
mod watcher;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use disk::Disk;
pub use error::StoreError;
pub(crate) use key::{GroupResource, Key, ObjectName};
pub(crate) use object::{Object, Owner};
use state::State;
pub(crate) use state::{Change, ChangeKind};
use tokio::sync::{mpsc, oneshot};
pub(crate) use watcher::{Expired, Watcher};
use writer::Job;
pub(crate) use writer::Write;

/// Called by the writer with each batch of changes, in order, before the writes are acknowledged.
/// Must not block.
pub(crate) type Observer = Box<dyn Fn(&[Change]) + Send + Sync>;

/// A list and the revision it is of.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The revision of the store when the list was made.
    pub revision: u64,
    /// The objects, by namespace and name.
    pub objects: Vec<Arc<Object>>,
}

/// The store. Cheap to share behind an `Arc`.
pub(crate) struct Store {
    state: Arc<RwLock<State>>,
    observers: Arc<RwLock<Vec<Observer>>>,
    queue: RwLock<Option<mpsc::UnboundedSender<Job>>>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in `dir`, which exists, and reads all objects.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let disk = Disk::open(dir)?;
        let (revision, objects) = disk.load()?;
        // Clients treat version 0 as "any"; the first one given out is above 1.
        let state = Arc::new(RwLock::new(State::new(revision.max(1), objects)));
        let observers = Arc::new(RwLock::new(Vec::new()));
        let (queue, jobs) = mpsc::unbounded_channel();
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let (state, observers) = (state.clone(), observers.clone());
                move || writer::run(disk, &state, &observers, jobs)
            })
            .map_err(|source| StoreError::Open {
                path: dir.to_owned(),
                source: Arc::new(source),
            })?;
        Ok(Self {
            state,
            observers,
            queue: RwLock::new(Some(queue)),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// From now on the files in `dir` are what the cluster consists of, and must be there.
    pub(crate) fn settle(dir: &Path) -> Result<(), StoreError> {
        presence::settle(dir)
    }

    /// Registers an observer of all further changes.
    pub(crate) fn observe(&self, observer: Observer) {
        write(&self.observers).push(observer);
    }

    /// The revision of the newest change.
    pub(crate) fn revision(&self) -> u64 {
        read(&self.state).revision
    }

    /// The revision of the newest change of a resource, not below that of the start.
    pub(crate) fn last_change(&self, resource: &GroupResource) -> u64 {
        let state = read(&self.state);
        match state.resources.get(resource) {
            Some(resource) => resource.last_change(),
            None => state.started_at,
        }
    }

    /// One object.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        read(&self.state).get(key).cloned()
    }

    /// The objects of a resource in one namespace, or in all.
    pub(crate) fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> Listing {
        let state = read(&self.state);
        Listing {
            revision: state.revision,
            objects: state
                .resources
                .get(resource)
                .map(|resource| resource.in_namespace(namespace))
                .unwrap_or_default(),
        }
    }

    /// The objects of a resource as they were at `revision`, which is not above the present one.
    pub(crate) fn list_at(
        &self,
        resource: &GroupResource,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Listing, Expired> {
        let state = read(&self.state);
        let objects = match state.resources.get(resource) {
            Some(resource) => resource.at(revision, namespace)?,
            None => Vec::new(),
        };
        Ok(Listing { revision, objects })
    }

    /// Every object of every resource.
    pub(crate) fn all(&self) -> Vec<Arc<Object>> {
        read(&self.state)
            .resources
            .values()
            .flat_map(|resource| resource.objects.values().cloned())
            .collect()
    }

    /// The resources that have objects in `namespace`, with their number.
    pub(crate) fn contents(&self, namespace: &str) -> Vec<(GroupResource, Vec<Arc<Object>>)> {
        let state = read(&self.state);
        let mut contents: Vec<_> = state
            .resources
            .iter()
            .map(|(name, resource)| (name.clone(), resource.in_namespace(Some(namespace))))
            .filter(|(_, objects)| !objects.is_empty())
            .collect();
        contents.sort_by(|a, b| a.0.cmp(&b.0));
        contents
    }

    /// Follows a resource from `revision` on.
    pub(crate) fn watch(
        &self,
        resource: &GroupResource,
        revision: u64,
    ) -> Result<Watcher, Expired> {
        let mut state = write(&self.state);
        let entry = state.resource_mut(resource);
        if revision < entry.horizon {
            return Err(Expired {
                position: revision,
                oldest: entry.horizon,
            });
        }
        let wake = entry.subscribe();
        Ok(Watcher::new(
            self.state.clone(),
            resource.clone(),
            revision,
            wake,
        ))
    }

    /// Lists a resource and follows it from there, without a gap.
    pub(crate) fn list_and_watch(
        &self,
        resource: &GroupResource,
        namespace: Option<&str>,
    ) -> (Listing, Watcher) {
        let mut state = write(&self.state);
        let revision = state.revision;
        let entry = state.resource_mut(resource);
        let listing = Listing {
            revision,
            objects: entry.in_namespace(namespace),
        };
        let wake = entry.subscribe();
        let watcher = Watcher::new(self.state.clone(), resource.clone(), revision, wake);
        (listing, watcher)
    }

    /// Forgets the changes that are too old; returns when the oldest of the others will be.
    pub(crate) fn trim(&self) -> Option<Instant> {
        write(&self.state).trim(Instant::now())
    }

    /// Makes a write durable and visible, and returns the new version (of a deletion: the last
    /// state).
    pub(crate) async fn commit(&self, write: Write) -> Result<Arc<Object>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queued = read(&self.queue)
            .as_ref()
            .is_some_and(|queue| queue.send(Job { write, reply }).is_ok());
        if !queued {
            return Err(StoreError::Closed);
        }
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Finishes the queued writes and closes the files; later writes fail with
    /// [`StoreError::Closed`].
    pub(crate) fn close(&self) {
        write(&self.queue).take();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the store's writer ended abnormally");
        }
    }
}

/// A poisoned lock only says that a reader or writer panicked; what it guards is replaced whole,
/// never left half done.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
