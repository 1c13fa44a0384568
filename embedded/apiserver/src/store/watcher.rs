//! Following the changes of one resource from a revision on.
//!
//! A watcher holds only a position in the log, so a slow client costs no memory: when the log has
//! moved past its position it is told to start over.

use std::sync::{Arc, RwLock};

use tokio::sync::watch;

use super::key::GroupResource;
use super::read;
use super::state::{Change, State};

/// The position is older than what the log still holds (410 Gone, reason Expired).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to watch from resource version {position}: the oldest one kept is {oldest}; list again"
)]
pub(crate) struct Expired {
    /// Where the watcher was.
    pub position: u64,
    /// The oldest position that can be resumed.
    pub oldest: u64,
}

/// How many bytes of objects are taken off the log at a time.
const TAKEN_BYTES: usize = 64 * 1024;

/// A position in the change log of one resource.
pub(crate) struct Watcher {
    state: Arc<RwLock<State>>,
    resource: GroupResource,
    position: u64,
    wake: watch::Receiver<u64>,
}

impl Watcher {
    pub(super) fn new(
        state: Arc<RwLock<State>>,
        resource: GroupResource,
        position: u64,
        wake: watch::Receiver<u64>,
    ) -> Self {
        Self {
            state,
            resource,
            position,
            wake,
        }
    }

    /// Moves the position up to the present if no change of the resource lies between, and returns
    /// it: for bookmarks.
    pub(crate) fn catch_up(&mut self) -> u64 {
        let state = read(&self.state);
        let pending = state.resources.get(&self.resource).is_some_and(|resource| {
            resource.horizon > self.position
                || resource.changes_after(self.position).next().is_some()
        });
        if !pending {
            self.position = self.position.max(state.revision);
        }
        self.position
    }

    /// Waits for changes and returns the next ones in order: at least one, and not many more than
    /// [`TAKEN_BYTES`], so that a client that is far behind is not given everything at once. Cancel
    /// safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Change>, Expired> {
        loop {
            self.wake.borrow_and_update();
            {
                let state = read(&self.state);
                if let Some(resource) = state.resources.get(&self.resource) {
                    if resource.horizon > self.position {
                        return Err(Expired {
                            position: self.position,
                            oldest: resource.horizon,
                        });
                    }
                    let mut changes: Vec<Change> = Vec::new();
                    let mut bytes = 0;
                    let mut pending = resource.changes_after(self.position).peekable();
                    while let Some(change) = pending.next_if(|_| bytes < TAKEN_BYTES) {
                        bytes += change.object.json.len();
                        changes.push(change.clone());
                    }
                    if let Some(last) = changes.last() {
                        // The changes of one transaction have revisions of their own, so this is a
                        // place between two.
                        let reached = match pending.peek() {
                            Some(_) => last.object.revision,
                            None => state.revision,
                        };
                        self.position = self.position.max(reached);
                        return Ok(changes);
                    }
                }
            }
            if self.wake.changed().await.is_err() {
                // The store is gone with the server; the watch ends with its connection.
                std::future::pending::<()>().await;
            }
        }
    }
}
