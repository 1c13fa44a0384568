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
    /// A row of the database is not an object.
    #[error(
        "failed to read {key} from the store: {source}; the data directory is damaged, restore it from a copy"
    )]
    Damaged {
        /// The row.
        key: String,
        /// The cause.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// An object could not be serialised.
    #[error("failed to serialise an object: {0}")]
    Serialise(#[source] Arc<serde_json::Error>),
    /// The transaction could not be made durable; nothing of it is visible.
    #[error("failed to write to the store: {0}; is the disk full?")]
    Commit(#[source] Arc<dyn std::error::Error + Send + Sync>),
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
            Self::Damaged { .. } => "Damaged",
            Self::Serialise(_) => "Serialise",
            Self::Commit(_) => "Commit",
            Self::Closed => "Closed",
        }
    }
}
