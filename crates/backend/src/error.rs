//! What can go wrong between a BackupStorage and its bucket.

use kubestash_engine::{EngineError, StorageError};

/// A storage cannot be reached, read or written as configured.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The storage names a Secret that is not there.
    #[error(
        "failed to get storage Secret {namespace}/{name}: it does not exist; create it in the namespace of the BackupStorage"
    )]
    SecretMissing {
        /// Namespace of the BackupStorage, where its Secret has to be.
        namespace: String,
        /// Name of the Secret.
        name: String,
    },
    /// The Secret lacks a key, or the key is empty.
    #[error(
        "failed to use Secret {namespace}/{name}: storage secret missing {key} key; add it, with a value"
    )]
    SecretKeyMissing {
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
        /// The key that is missing or empty.
        key: &'static str,
    },
    /// The password of the backups is not there.
    #[error("failed to use encryption Secret {namespace}/{name}: {reason}")]
    Encryption {
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// The specification cannot be understood.
    #[error("failed to read BackupStorage {namespace}/{name}: {reason}")]
    InvalidStorage {
        /// Namespace of the BackupStorage.
        namespace: String,
        /// Name of the BackupStorage.
        name: String,
        /// The field and the remedy.
        reason: String,
    },
    /// A file of ours in the bucket cannot be read.
    #[error("failed to read {path} in {place}: {reason}")]
    InvalidFile {
        /// Path of the file below the prefix.
        path: String,
        /// The storage in words.
        place: String,
        /// What is wrong with its contents.
        reason: String,
    },
    /// What would be written over, or written beside, is somebody else's.
    #[error("failed to set up {place}: {found}; {remedy}")]
    Foreign {
        /// The storage in words.
        place: String,
        /// What is there.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An object cannot be written as YAML.
    #[error("failed to write {path} as YAML: {reason}")]
    Serialize {
        /// Path of the file below the prefix.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A restic repository in it failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl BackendError {
    /// Stable name of the kind of error: metric label, condition reason, Event reason.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SecretMissing { .. } => "StorageSecretMissing",
            Self::SecretKeyMissing { .. } => "StorageSecretKeyMissing",
            Self::Encryption { .. } => "EncryptionSecretInvalid",
            Self::InvalidStorage { .. } => "InvalidStorage",
            Self::InvalidFile { .. } => "InvalidFile",
            Self::Foreign { .. } => "ForeignContent",
            Self::Serialize { .. } => "SerializeFailed",
            Self::Storage(error) => error.kind(),
            Self::Engine(error) => error.kind(),
        }
    }

    /// Whether trying again without a change of configuration is pointless.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_permanent(),
            Self::Engine(error) => error.is_permanent(),
            Self::SecretMissing { .. }
            | Self::SecretKeyMissing { .. }
            | Self::Encryption { .. }
            | Self::InvalidStorage { .. }
            | Self::InvalidFile { .. }
            | Self::Foreign { .. }
            | Self::Serialize { .. } => true,
        }
    }
}
