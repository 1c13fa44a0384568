//! The store as everything else sees it: flat paths under the prefix, one error type.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::config::Provider;
use super::local::LocalStore;
use super::remote::RemoteStore;
use super::{StorageConfig, StorageError};

/// Pauses before each time that a part of an object is read that comes too short.
const SHORT_READS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_secs(1),
];

/// A read that failed sooner than this was answered wrongly, and not tried again and again already.
const QUICK: Duration = Duration::from_secs(5);

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path below the prefix of the storage, without leading slash.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was last written, if the storage says so.
    pub modified: Option<Timestamp>,
}

/// A storage, opened. Cheap to clone.
///
/// Paths are relative to the prefix, `/` separates their parts, there is no leading slash. Objects
/// are written whole and atomically: a reader sees the old one, the new one or none. All calls
/// retry what is worth retrying and give up after five minutes without progress.
#[derive(Clone, Debug)]
pub struct ObjectStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: String,
    provider: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Local(LocalStore),
    Remote(Box<RemoteStore>),
}

impl ObjectStore {
    /// Prepares access; nothing is sent yet. Fails on a configuration that cannot work.
    pub fn open(config: &StorageConfig) -> Result<Self, StorageError> {
        let place = config.place();
        let kind = match &config.provider {
            Provider::Local(local) => Kind::Local(LocalStore::new(
                &local.root,
                &config.normalised_prefix(),
                place.clone(),
            )),
            _ => Kind::Remote(Box::new(RemoteStore::new(config, place.clone())?)),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                place,
                provider: config.provider_name(),
                kind,
            }),
        })
    }

    /// The storage in words, for messages. No credentials.
    pub fn place(&self) -> &str {
        &self.inner.place
    }

    /// `s3`, `gcs`, `azure` or `local`.
    pub fn provider(&self) -> &'static str {
        self.inner.provider
    }

    /// Whether bucket (or mount) exists and the credentials work. Answers within a few seconds,
    /// also when nothing answers there; to be asked when a storage is set up, because later a
    /// missing bucket looks like an empty one.
    pub async fn probe(&self) -> Result<(), StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.probe().await,
            Kind::Remote(remote) => remote.probe().await,
        }
    }

    /// The whole object. `NotFound` if there is none.
    pub async fn read(&self, path: &str) -> Result<Bytes, StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.read(path).await,
            Kind::Remote(remote) => remote.read(path).await,
        }
    }

    /// `length` bytes from `offset`. An object that is shorter is an error, when it is so each of
    /// several times: what a proxy answers in place of an object is mostly shorter.
    pub async fn read_range(
        &self,
        path: &str,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StorageError> {
        let too_short = |got: usize| StorageError::Failed {
            action: format!("read {length} bytes from {offset} of {path} (got {got})"),
            place: self.inner.place.clone(),
            source: None,
        };
        let mut failure = too_short(0);
        for pause in SHORT_READS {
            tokio::time::sleep(pause).await;
            let begun = tokio::time::Instant::now();
            let read = match &self.inner.kind {
                Kind::Local(local) => local.read_range(path, offset, length).await,
                Kind::Remote(remote) => remote.read_range(path, offset, length).await,
            };
            failure = match read {
                Ok(bytes) if bytes.len() as u64 == length => return Ok(bytes),
                Ok(bytes) => too_short(bytes.len()),
                // An answer that is no part of the object. What was tried for long is not tried
                // again.
                Err(error @ StorageError::Failed { .. }) if begun.elapsed() < QUICK => error,
                Err(error) => return Err(error),
            };
        }
        Err(failure)
    }

    /// Writes an object, replacing what was there. When this returns, it is durable.
    pub async fn write(
        &self,
        path: &str,
        content: Bytes,
        content_type: Option<&str>,
    ) -> Result<(), StorageError> {
        self.write_parts(path, vec![content], content_type).await
    }

    /// Writes an object unless there is one already; tells whether it did.
    pub async fn create(&self, path: &str, content: Bytes) -> Result<bool, StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.create(path, content).await,
            Kind::Remote(remote) => remote.create(path, content).await,
        }
    }

    /// [`Self::write`] for contents in several pieces.
    pub(crate) async fn write_parts(
        &self,
        path: &str,
        parts: Vec<Bytes>,
        content_type: Option<&str>,
    ) -> Result<(), StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.write(path, parts).await,
            Kind::Remote(remote) => remote.write(path, parts, content_type).await,
        }
    }

    /// Deletes an object. A missing one is fine.
    pub async fn delete(&self, path: &str) -> Result<(), StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.delete(path).await,
            Kind::Remote(remote) => remote.delete(path).await,
        }
    }

    /// [`Self::delete`] with a path of its own, for use in streams.
    pub(crate) async fn delete_owned(&self, path: String) -> Result<(), StorageError> {
        self.delete(&path).await
    }

    /// Whether the object exists.
    pub async fn exists(&self, path: &str) -> Result<bool, StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.exists(path).await,
            Kind::Remote(remote) => remote.exists(path).await,
        }
    }

    /// Size of an object in bytes; `None` if there is none.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.size(path).await,
            Kind::Remote(remote) => remote.size(path).await,
        }
    }

    /// All objects under a directory, at any depth, in the order of their paths. Empty if there are
    /// none. The empty string lists everything.
    pub async fn list(&self, directory: &str) -> Result<Vec<Entry>, StorageError> {
        let mut entries = match &self.inner.kind {
            Kind::Local(local) => local.list(directory).await?,
            Kind::Remote(remote) => remote.list(directory).await?,
        };
        entries.sort_unstable_by(|left, right| left.path.cmp(&right.path));
        Ok(entries)
    }

    /// Names of the directories and objects directly in a directory; those of directories end in a
    /// slash.
    pub async fn list_names(&self, directory: &str) -> Result<Vec<String>, StorageError> {
        let mut names = match &self.inner.kind {
            Kind::Local(local) => local.list_names(directory).await?,
            Kind::Remote(remote) => remote.list_names(directory).await?,
        };
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Deletes everything under a directory and returns how many objects that were. The empty
    /// string deletes everything under the prefix.
    pub async fn remove_all(&self, directory: &str) -> Result<u64, StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.remove_all(directory).await,
            Kind::Remote(remote) => remote.remove_all(directory).await,
        }
    }

    /// Deletes objects, several at a time, and returns how many that were. Missing ones are fine.
    ///
    /// # Errors
    /// If the storage fails; some may be deleted by then.
    pub async fn delete_all(&self, paths: Vec<String>) -> Result<u64, StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.delete_all(paths).await,
            Kind::Remote(remote) => remote.delete_all(paths).await,
        }
    }

    /// Removes what deleted objects leave in a directory where the storage has real files:
    /// unfinished files, and directories that are empty, as far as `ours` says that they are
    /// ours, and directories that become empty by that. The paths of directories end in a
    /// slash.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn sweep(
        &self,
        directory: &str,
        ours: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<(), StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.sweep(directory, ours).await,
            Kind::Remote(_) => Ok(()),
        }
    }

    /// Removes what crashed writers left unfinished for more than an hour, where that can happen.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn remove_abandoned(&self, directory: &str) -> Result<u64, StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.remove_abandoned(directory).await,
            Kind::Remote(_) => Ok(0),
        }
    }

    /// Makes directories where the storage has real ones.
    pub(crate) async fn make_directories(&self, paths: &[String]) -> Result<(), StorageError> {
        match &self.inner.kind {
            Kind::Local(local) => local.make_directories(paths).await,
            Kind::Remote(_) => Ok(()),
        }
    }
}
