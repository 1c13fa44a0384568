//! restic's lock protocol.
use std::{fmt, sync::Arc};
use futures::future::BoxFuture;
use crate::EngineError;
use super::open::Opened;

/// Asked with the hostname field of another one's lock whether its holder is provably gone.
pub type OwnerGone = Arc<dyn Fn(String) -> BoxFuture<'static, bool> + Send + Sync>;

/// Who holds our locks, and how to find out whether another holder is gone.
#[derive(Clone)]
pub struct LockOwner {
    name: String,
    gone: Option<OwnerGone>,
}

impl LockOwner {
    /// An owner of this name (a Job's, for example): it becomes the hostname of lock files.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), gone: None }
    }

    /// With a way to find out whether the holder of another lock is gone. It is asked with that
    /// lock's hostname, also when that is our own name (an earlier attempt of the same Job), but
    /// never for a lock that this process holds. It must answer `true` only when it is certain.
    #[must_use]
    pub fn with_gone_check(mut self, gone: OwnerGone) -> Self {
        self.gone = Some(gone);
        self
    }
}

impl fmt::Debug for LockOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LockOwner").field("name", &self.name).finish_non_exhaustive()
    }
}

pub(super) async fn remove_stale(_opened: &Opened) -> Result<u64, EngineError> {
    todo!()
}
