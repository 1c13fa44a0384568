//! Everything that can go wrong with a repository.

use std::io;

use crate::storage::StorageError;

/// A boxed cause.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An operation on a repository failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No key of the repository opens with the password.
    #[error(
        "failed to open the repository at {location}: wrong password; the password must be the one of the first backup"
    )]
    WrongPassword {
        /// Where the repository is.
        location: String,
    },
    /// There is no repository.
    #[error(
        "failed to open the repository at {location}: there is none; the first backup creates it"
    )]
    RepositoryMissing {
        /// Where it should be.
        location: String,
    },
    /// The repository lacks or holds something that makes it unusable.
    #[error("failed to use the repository at {location}: {reason}")]
    RepositoryDamaged {
        /// Where the repository is.
        location: String,
        /// What is wrong and what to do.
        reason: String,
        /// Cause, if any.
        #[source]
        source: Option<Cause>,
    },
    /// One file of the repository is not what was written.
    #[error("failed to use the repository at {location}: {file} is damaged: {reason}")]
    FileDamaged {
        /// Where the repository is.
        location: String,
        /// The file, below the repository's directory.
        file: String,
        /// What is wrong and what to do.
        reason: String,
        /// Whether the storage gave the same contents each time, so that reading again is of no
        /// use.
        permanent: bool,
        /// Cause, if any.
        #[source]
        source: Option<Cause>,
    },
    /// What a backup wrote, or relied on, is not in the storage as it should be.
    #[error(
        "failed to back up to {location}: {reason}; no snapshot was written, the next attempt stores that data again"
    )]
    NotStored {
        /// Where the repository is.
        location: String,
        /// What is missing or damaged.
        reason: String,
    },
    /// Another writer or a prune holds a lock, for longer than we wait.
    #[error(
        "failed to lock the repository at {location} within {waited_seconds} s: {holder} holds {kind} lock {lock} since {since}; it is removed automatically when its holder no longer runs, or 30 minutes after its last refresh"
    )]
    Locked {
        /// Where the repository is.
        location: String,
        /// How long we waited.
        waited_seconds: u64,
        /// Host name and process of the holder.
        holder: String,
        /// `a shared` or `an exclusive`.
        kind: &'static str,
        /// Id of the lock file.
        lock: String,
        /// Its last sign of life.
        since: String,
    },
    /// Our own lock could not be kept alive, so another process may believe that we are gone.
    #[error("failed to keep the lock of the repository at {location}; nothing was committed")]
    LockLost {
        /// Where the repository is.
        location: String,
        /// Why the last refresh failed.
        #[source]
        source: Option<Cause>,
    },
    /// The stream to be stored ended in an error.
    #[error("failed to read the stream to be backed up; no snapshot was written")]
    StreamFailed {
        /// What its producer said.
        #[source]
        source: io::Error,
    },
    /// The stream could not be written to its consumer.
    #[error("failed to hand on the restored stream")]
    SinkFailed {
        /// What its consumer said.
        #[source]
        source: io::Error,
    },
    /// The repository took no data for too long.
    #[error(
        "failed to back up to {location}: it made no progress for {seconds} s; no snapshot was written there"
    )]
    Stalled {
        /// Where the repository is.
        location: String,
        /// For how long.
        seconds: u64,
    },
    /// The caller cancelled.
    #[error("failed to finish: the operation was cancelled; no snapshot was written")]
    Cancelled,
    /// The snapshot does not exist.
    #[error("failed to find snapshot {id} in the repository at {location}")]
    SnapshotMissing {
        /// The id asked for.
        id: String,
        /// Where the repository is.
        location: String,
    },
    /// The snapshot does not hold the file.
    #[error("failed to find file {file} in snapshot {id} of the repository at {location}")]
    FileMissing {
        /// The file asked for.
        file: String,
        /// Id of the snapshot.
        id: String,
        /// Where the repository is.
        location: String,
    },
    /// The request itself makes no sense.
    #[error("failed to accept the request: {reason}")]
    InvalidRequest {
        /// What is wrong and what to do.
        reason: String,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A defect of ours or of a library.
    #[error("failed to {what}")]
    Internal {
        /// What was being done.
        what: String,
        /// Cause, if any.
        #[source]
        source: Option<Cause>,
    },
}

impl EngineError {
    /// A defect, found while doing `what`.
    pub(crate) fn internal(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Internal {
            what: what.into(),
            source: Some(source.into()),
        }
    }

    /// Stable name of the kind of error, in PascalCase: metric label, condition reason, Event
    /// reason.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::WrongPassword { .. } => "WrongPassword",
            Self::RepositoryMissing { .. } => "RepositoryMissing",
            Self::RepositoryDamaged { .. } | Self::FileDamaged { .. } => "RepositoryDamaged",
            Self::NotStored { .. } => "DataNotStored",
            Self::Locked { .. } => "RepositoryLocked",
            Self::LockLost { .. } => "LockLost",
            Self::StreamFailed { .. } => "StreamFailed",
            Self::SinkFailed { .. } => "SinkFailed",
            Self::Stalled { .. } => "Stalled",
            Self::Cancelled => "Cancelled",
            Self::SnapshotMissing { .. } => "SnapshotMissing",
            Self::FileMissing { .. } => "FileMissing",
            Self::InvalidRequest { .. } => "InvalidRequest",
            Self::Storage(error) => error.kind(),
            Self::Internal { .. } => "Internal",
        }
    }

    /// Whether the same attempt must fail again until somebody changes something: the executor does
    /// not retry those.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::WrongPassword { .. }
            | Self::RepositoryDamaged { .. }
            | Self::SnapshotMissing { .. }
            | Self::FileMissing { .. }
            | Self::InvalidRequest { .. } => true,
            Self::FileDamaged { permanent, .. } => *permanent,
            Self::Storage(error) => error.is_permanent(),
            _ => false,
        }
    }

    /// Whether it says that something in the repository is missing or is not what was written, so
    /// that whoever can do without it may go on.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::RepositoryDamaged { .. } | Self::FileDamaged { .. } => true,
            Self::Storage(error) => error.is_not_found(),
            _ => false,
        }
    }
}
