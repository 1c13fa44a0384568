//! Everything that can go wrong with a storage, in words that name provider, bucket and remedy.

use crate::error::Cause;

/// An access to a storage failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Bucket, container or mount point does not exist.
    #[error(
        "failed to use {place}: it does not exist; create it or correct the name in the storage's configuration"
    )]
    BucketMissing {
        /// The storage in words.
        place: String,
        /// What the server said.
        #[source]
        source: Option<Cause>,
    },
    /// Known to the server, but not allowed; or not known to it.
    #[error(
        "failed to {action} in {place}: access denied; check the credentials and that they may list, read, write and delete there"
    )]
    AccessDenied {
        /// What was tried.
        action: String,
        /// The storage in words.
        place: String,
        /// What the server said.
        #[source]
        source: Option<Cause>,
    },
    /// Known to the server, but no longer.
    #[error(
        "failed to {action} in {place}: the credentials have expired; renew them in the storage's Secret, \
         or where the pod gets its identity from"
    )]
    CredentialsExpired {
        /// What was tried.
        action: String,
        /// The storage in words.
        place: String,
        /// What the server said.
        #[source]
        source: Option<Cause>,
    },
    /// The clock here or there is wrong, so that no signature is valid.
    #[error(
        "failed to {action} in {place}: the clock of this machine differs from the storage's by too much; set it right"
    )]
    ClocksDiffer {
        /// What was tried.
        action: String,
        /// The storage in words.
        place: String,
        /// What the server said.
        #[source]
        source: Option<Cause>,
    },
    /// The bucket is in another region than the configuration says.
    #[error("failed to {action} in {place}: it is in another region; set the region to {}", region.as_deref().unwrap_or("the bucket's own"))]
    WrongRegion {
        /// What was tried.
        action: String,
        /// The storage in words.
        place: String,
        /// The region that it is in, if the server says so.
        region: Option<String>,
        /// What the server said.
        #[source]
        source: Option<Cause>,
    },
    /// Nothing answers, or not in the language of such a server.
    #[error(
        "failed to reach {place}; check the endpoint, its certificate and the network in between{hint}"
    )]
    EndpointUnreachable {
        /// The storage in words.
        place: String,
        /// What in the configuration is likely to be the cause, with a semicolon in front; or
        /// nothing.
        hint: &'static str,
        /// Why not.
        #[source]
        source: Option<Cause>,
    },
    /// The object does not exist.
    #[error("failed to find {path} in {place}")]
    NotFound {
        /// Path below the prefix.
        path: String,
        /// The storage in words.
        place: String,
    },
    /// No space, or a quota is used up.
    #[error("failed to {action} in {place}: the storage is full; free space there or enlarge it")]
    StorageFull {
        /// What was tried.
        action: String,
        /// The storage in words.
        place: String,
        /// What the system said.
        #[source]
        source: Option<Cause>,
    },
    /// The storage is mounted or configured read-only.
    #[error("failed to {action} in {place}: it is read-only; mount it writable")]
    ReadOnly {
        /// What was tried.
        action: String,
        /// The storage in words.
        place: String,
        /// What the system said.
        #[source]
        source: Option<Cause>,
    },
    /// Tried again and again, without success.
    #[error("failed to {action} in {place}: no progress for {seconds} s")]
    NoProgress {
        /// What was tried.
        action: String,
        /// The storage in words.
        place: String,
        /// For how long.
        seconds: u64,
    },
    /// The configuration makes no sense.
    #[error("failed to set up {place}: {reason}")]
    InvalidConfig {
        /// The storage in words.
        place: String,
        /// What is wrong with which field.
        reason: String,
        /// Cause, if any.
        #[source]
        source: Option<Cause>,
    },
    /// Anything else.
    #[error("failed to {action} in {place}")]
    Failed {
        /// What was tried.
        action: String,
        /// The storage in words.
        place: String,
        /// What the server or system said.
        #[source]
        source: Option<Cause>,
    },
}

/// What a server replied: the text of an error without its headers, addresses and backtraces.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Reply(pub(crate) String);

impl StorageError {
    /// Stable name of the kind of error, in PascalCase: metric label, condition reason, Event
    /// reason.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BucketMissing { .. } => "BucketMissing",
            Self::AccessDenied { .. } => "AccessDenied",
            Self::CredentialsExpired { .. } => "CredentialsExpired",
            Self::ClocksDiffer { .. } => "ClocksDiffer",
            Self::WrongRegion { .. } => "WrongRegion",
            Self::EndpointUnreachable { .. } => "EndpointUnreachable",
            Self::NotFound { .. } => "NotFound",
            Self::StorageFull { .. } => "StorageFull",
            Self::ReadOnly { .. } => "StorageReadOnly",
            Self::NoProgress { .. } => "NoProgress",
            Self::InvalidConfig { .. } => "InvalidStorageConfig",
            Self::Failed { .. } => "StorageFailed",
        }
    }

    /// Whether it stays until somebody changes the storage or its configuration.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::InvalidConfig { .. })
    }

    /// Whether an object was asked for that does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}
