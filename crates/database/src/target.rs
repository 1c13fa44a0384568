//! A server that a dump is to be loaded into, looked at before the first byte is written.
//!
//! ```text
//!   Family::examine   answers? takes writes? which database?  ─► Target    (reads only)
//!   Target::accepts   the beginning and end of the dump       ─► fits, or why not (pure)
//!   Family::create_database   the one change, when all else is known to be well
//! ```

use std::fmt;

/// Bytes at the beginning of a dump, and at its end, that are looked at.
pub const OUTLINE: usize = 256 * 1024;

/// How a dump begins and ends.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// Its first bytes, at most [`OUTLINE`].
    pub head: Vec<u8>,
    /// Its last bytes, at most [`OUTLINE`]; empty unless [`Outline::wants_tail`].
    pub tail: Vec<u8>,
}

impl Outline {
    /// Whether its family says at its end what is in it.
    pub fn wants_tail(&self) -> bool {
        crate::postgres::has_index(&self.head)
    }
}

impl fmt::Debug for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outline({} + {} B)", self.head.len(), self.tail.len())
    }
}

/// A server that answers and takes writes.
pub trait Target: fmt::Debug + Send + Sync {
    /// The database that a dump of a single one goes into; none for a dump that names its databases.
    fn database(&self) -> Option<&str>;

    /// What the server says it is.
    fn server_version(&self) -> &str;

    /// Whether a dump can be loaded here.
    ///
    /// # Errors
    /// If the server is too old for it, does not know what it is written in, or does not let the user load it.
    fn accepts(&self, outline: &Outline) -> Result<Accepted, TargetError>;
}

/// A dump that fits a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// What is doubtful.
    pub notes: Vec<String>,
    /// Databases to make before it is loaded.
    pub missing: Vec<String>,
}

/// Why a dump cannot be loaded into a server. Lasts until somebody changes the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It takes no writes.
    #[error(
        "failed to restore into the database at {address} (from {origin}): it is read-only ({why}); restore into the primary, or {remedy}"
    )]
    ReadOnly {
        /// `host:port`.
        address: String,
        /// The AppBinding.
        origin: String,
        /// What says so.
        why: &'static str,
        /// How to switch it off.
        remedy: &'static str,
    },
    /// It is older than the server that was dumped.
    #[error(
        "failed to restore into the database at {address}: the dump was made on {dumped} and the server is {server}; restore into a server of the same or a newer major version"
    )]
    Older {
        /// `host:port`.
        address: String,
        /// Version of the server that was dumped.
        dumped: String,
        /// Version of this server.
        server: String,
    },
    /// It does not know what the dump is written in.
    #[error(
        "failed to restore into the database at {address}: the dump was made on MySQL {dumped} and the server, {server}, does not know the collation utf8mb4_0900_ai_ci; restore into MySQL, or into MariaDB from 11.4.5"
    )]
    Collation {
        /// `host:port`.
        address: String,
        /// Version of the server that was dumped.
        dumped: String,
        /// Version of this server.
        server: String,
    },
    /// The user lacks a right.
    #[error(
        "failed to restore into the database at {address}: the user {user:?} lacks the right {right} on {object}; grant it, or put another user into {secret}"
    )]
    Right {
        /// `host:port`.
        address: String,
        /// Who connects.
        user: String,
        /// The right.
        right: &'static str,
        /// What it is lacking on.
        object: String,
        /// Where the user comes from.
        secret: String,
    },
    /// Nothing says which database the dump is of.
    #[error(
        "failed to restore into the database at {address}: nothing says which database the dump belongs into; name one in the task parameter args, as --dbname=<name>"
    )]
    NoDatabase {
        /// `host:port`.
        address: String,
    },
    /// The dump is not one that can be loaded.
    #[error("failed to restore: {0}; restore another Snapshot")]
    Format(&'static str),
}

impl TargetError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ReadOnly { .. } => "DatabaseReadOnly",
            Self::Older { .. } | Self::Collation { .. } => "DatabaseIncompatible",
            Self::Right { .. } => "DatabaseRightMissing",
            Self::NoDatabase { .. } => "DatabaseUnknown",
            Self::Format(_) => "DumpUnreadable",
        }
    }
}
