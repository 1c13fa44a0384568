//! Why the store refused or failed.

use std::path::PathBuf;
use std::sync::Arc;

use super::key::Key;

/// What can go wrong in the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A create found an object of that name.
    #[error("failed to create {}: it already exists", .0.encode())]
    AlreadyExists(Key),
    /// An update or delete found no object of that name.
    #[error("failed to write {}: not found", .0.encode())]
    NotFound(Key),
    /// The object is not at the expected version any more.
    #[error("failed to write {}: it is at version {current}, not {expected}", .key.encode())]
    Conflict {
        /// The object.
        key: Key,
        /// The version the writer had read.
        expected: u64,
        /// The version it is at.
        current: u64,
    },
    /// The namespace of a new object does not exist or is being deleted.
    #[error("failed to create {}: its namespace is {}", .key.encode(), if *.terminating { "being deleted" } else { "absent" })]
    Namespace {
        /// The object that was to be created.
        key: Key,
        /// Whether the namespace exists, but is being deleted.
        terminating: bool,
    },
    /// The namespace to be removed still holds objects.
    #[error("failed to remove namespace {0}: it is not empty")]
    NamespaceNotEmpty(Arc<str>),
    /// A file could not be opened or read.
    #[error("failed to open the store {}: {source}; check the permissions of the data directory", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A file of the store is gone although the rest of its cluster is there.
    #[error(
        "failed to open the store: {} is {state} although {beside} of the same cluster is there; \
         put back all of {} from one copy, or move it away as a whole to begin a new cluster \
         (backups in object stores come back with their BackupStorage)",
        .path.display(), .path.parent().unwrap_or(.path).display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// What is there.
        beside: String,
        /// `missing` or `empty`.
        state: &'static str,
    },
    /// A file of the store is damaged.
    #[error(
        "failed to read the store {}: {why}; the file is damaged, put back the data directory from a copy",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// An object is larger than what is stored.
    #[error("failed to write {}: {size} bytes are more than the {limit} that an object may have", .key.encode())]
    TooLarge {
        /// The object.
        key: Key,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// An object could not be serialised.
    #[error("failed to serialise an object: {0}")]
    Serialise(#[source] Arc<serde_json::Error>),
    /// The transaction could not be made durable; nothing of it is visible.
    #[error("failed to write to the store {}: {source}; is the disk full?", .path.display())]
    Commit {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store was shut down.
    #[error("failed to write: the server is shutting down")]
    Closed,
}

impl StoreError {
    /// A stable word for the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AlreadyExists(_) => "AlreadyExists",
            Self::NotFound(_) => "NotFound",
            Self::Conflict { .. } => "Conflict",
            Self::Namespace { .. } => "Namespace",
            Self::NamespaceNotEmpty(_) => "NamespaceNotEmpty",
            Self::Open { .. } => "Open",
            Self::Lost { .. } => "StoreLost",
            Self::Damaged { .. } => "Damaged",
            Self::TooLarge { .. } => "TooLarge",
            Self::Serialise(_) => "Serialise",
            Self::Commit { .. } => "Commit",
            Self::Closed => "Closed",
        }
    }
}
