//! Repositories in restic's format, version 2: what is written here is read by the `restic` client
//! and the other way round.
//!
//! ```text
//!   config keys/ snapshots/ index/ data/xx/ locks/     the files of a repository
//!
//!   stream ─► chunker ─► encoder ─► packer ─► data/    contents, cut where the contents say
//!                                      │
//!                                      ├──► index/     which pack holds which blob
//!                                      └──► snapshots/ last: it commits the backup
//! ```
//! Around the stream: `prepare` looks at what a backup relies on and has it repaired, `written` at
//! what it wrote, `survey` at what all snapshots need.
//!
//! Reading and writing streams, index, snapshots and locks is ours; initialising, checking and
//! pruning is done by `rustic_core` on a backend of ours (`backend`).

mod backend;
mod chunker;
mod crypto;
mod dump;
mod encode;
mod files;
mod forget;
mod id;
mod index;
mod inspect;
mod lock;
mod open;
mod pack;
mod prepare;
mod repair;
mod rotation;
mod snapshot;
mod stream;
mod survey;
mod upload;
mod written;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
pub use lock::{LockOwner, LockWait, OnLockWait, OwnerGone};

use crate::{
    BackupRequest, BackupSummary, ByteSource, CancellationToken, CheckDepth, CheckReport,
    EngineError, Examined, ForgetReport, ObjectStore, ReadBack, Repository, RepositoryStats,
    Secret, SnapshotInfo, SnapshotVerification,
};

/// How to take part in a repository.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Who we are in lock files, and how to find out whether another holder is gone.
    pub owner: LockOwner,
    /// How long to wait for another one's conflicting lock before giving up. Default: one hour.
    pub lock_wait: Duration,
    /// How often to look whether it is free. Default: 5 s.
    pub lock_poll: Duration,
    /// How often to renew our own lock. Default: 5 min, as restic does.
    pub lock_refresh: Duration,
    /// Told while another one's lock is waited for. Default: nobody.
    pub on_lock_wait: OnLockWait,
}

impl OpenOptions {
    /// The defaults, for this owner.
    pub fn new(owner: LockOwner) -> Self {
        Self {
            owner,
            lock_wait: Duration::from_secs(3600),
            lock_poll: Duration::from_secs(5),
            lock_refresh: Duration::from_secs(300),
            on_lock_wait: OnLockWait::default(),
        }
    }
}

/// A restic repository, opened: the password was right and the key is kept in memory, so that the
/// expensive key derivation happens once. Cheap to clone.
#[derive(Clone)]
pub struct ResticRepository {
    inner: Arc<open::Opened>,
}

impl fmt::Debug for ResticRepository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ResticRepository")
            .field("location", &self.inner.location)
            .finish_non_exhaustive()
    }
}

impl ResticRepository {
    /// Opens the repository in `directory` of `store`. `RepositoryMissing` if there is none,
    /// `WrongPassword` if no key opens.
    pub async fn open(
        store: &ObjectStore,
        directory: &str,
        password: &Secret,
        options: OpenOptions,
    ) -> Result<Self, EngineError> {
        let inner = open::open(store, directory, password, options).await?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The same, and makes the repository if there is none. Fails if there is something that looks
    /// like a repository that lost its `config`: initialising over it would bury its data.
    pub async fn open_or_init(
        store: &ObjectStore,
        directory: &str,
        password: &Secret,
        options: OpenOptions,
    ) -> Result<Self, EngineError> {
        let inner = match open::open(store, directory, password, options.clone()).await {
            Err(EngineError::RepositoryMissing { .. }) => {
                open::init(store, directory, password, options).await?
            }
            other => other?,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Whether there is a repository in `directory`, without opening it.
    pub async fn exists(store: &ObjectStore, directory: &str) -> Result<bool, EngineError> {
        Ok(store.exists(&files::path(directory, files::CONFIG)).await?)
    }

    /// Removes locks whose holders are provably gone (older than 30 minutes, or their owner is
    /// gone), and what a writer that was killed left of one; returns how many locks. An operation
    /// that waits for a lock does this by itself.
    pub async fn remove_stale_locks(&self) -> Result<u64, EngineError> {
        lock::remove_stale(&self.inner).await
    }
}

impl Repository for ResticRepository {
    fn location(&self) -> String {
        self.inner.location.clone()
    }

    fn prepare(
        &self,
        wish: ReadBack,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async move { prepare::prepare(&self.inner, wish, &cancel).await })
    }

    fn examine(&self) -> BoxFuture<'_, Result<Examined, EngineError>> {
        Box::pin(inspect::examine(&self.inner))
    }

    fn backup_stream<'a>(
        &'a self,
        request: BackupRequest,
        source: ByteSource,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<BackupSummary, EngineError>> {
        Box::pin(stream::backup(&self.inner, request, source, cancel))
    }

    fn check(&self, depth: CheckDepth) -> BoxFuture<'_, Result<CheckReport, EngineError>> {
        Box::pin(inspect::check(&self.inner, depth))
    }

    fn stats(&self) -> BoxFuture<'_, Result<RepositoryStats, EngineError>> {
        Box::pin(inspect::stats(&self.inner))
    }

    fn snapshots(&self) -> BoxFuture<'_, Result<Vec<SnapshotInfo>, EngineError>> {
        Box::pin(inspect::snapshots(&self.inner))
    }

    fn snapshot<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<SnapshotInfo, EngineError>> {
        Box::pin(inspect::snapshot(&self.inner, id))
    }

    fn forget<'a>(
        &'a self,
        ids: Vec<String>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<ForgetReport, EngineError>> {
        Box::pin(forget::forget(&self.inner, ids, cancel))
    }

    fn dump<'a>(
        &'a self,
        id: &'a str,
        file: &'a str,
        sink: Box<dyn std::io::Write + Send>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<u64, EngineError>> {
        Box::pin(dump::dump(&self.inner, id, file, sink, cancel))
    }

    fn verify_snapshot<'a>(
        &'a self,
        id: &'a str,
        file: &'a str,
        depth: CheckDepth,
    ) -> BoxFuture<'a, Result<SnapshotVerification, EngineError>> {
        Box::pin(dump::verify(&self.inner, id, file, depth))
    }
}
