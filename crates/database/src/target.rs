//! A server that a dump is to be loaded into, looked at before the first byte is written.
//!
//! ```text
//!   Family::examine   answers? takes writes? which database?  ─► Target    (reads only)
//!   Target::accepts   what was seen of the dump                ─► fits, or why not (pure)
//!   Family::create_database   the one change, when all else is known to be well
//! ```

use std::fmt;

use kubestash_domain::format;

use crate::outline::Outline;
use crate::selection::quoted;

/// A server that answers and takes writes.
pub trait Target: fmt::Debug + Send + Sync {
    /// The database that a dump of a single one goes into; none for a dump that names its
    /// databases.
    fn database(&self) -> Option<&str>;

    /// What the server says it is.
    fn server_version(&self) -> &str;

    /// Whether a dump can be loaded here.
    ///
    /// # Errors
    /// If the server is too old for it, does not know what it is written in, or does not let the
    /// user load it.
    fn accepts(&self, outline: &Outline) -> Result<Accepted, TargetError>;
}

/// A dump that fits a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// What is doubtful.
    pub notes: Vec<String>,
    /// Databases to create before it is loaded.
    pub missing: Vec<Missing>,
    /// The databases that it goes into, as far as it is known.
    pub databases: Vec<String>,
}

/// A database that a dump goes into and that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// The character set that it had, if that is known and the server has it; else the server's
    /// default.
    pub character_set: Option<String>,
    /// Its collation, likewise.
    pub collation: Option<String>,
}

impl Missing {
    /// One with the server's defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
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
        "failed to restore into the database at {address}: the dump was created on {dumped} and the server is {server}; restore into a server of the same or a newer major version"
    )]
    Older {
        /// `host:port`.
        address: String,
        /// Version of the server that was dumped.
        dumped: String,
        /// Version of this server.
        server: String,
    },
    /// The dump is one of another family.
    #[error(
        "failed to restore into the database at {address}: the dump is one of {dumped} and the server is {server}; name a Repository with backups of such a server in spec.dataSource, or another target"
    )]
    Family {
        /// `host:port`.
        address: String,
        /// What was dumped.
        dumped: &'static str,
        /// What this server is.
        server: &'static str,
    },
    /// It does not know what the dump is written in.
    #[error(
        "failed to restore into the database at {address}: the dump was created on MySQL {dumped} and the server, {server}, does not know the collation utf8mb4_0900_ai_ci; restore into MySQL, or into MariaDB from 11.4.5"
    )]
    Collation {
        /// `host:port`.
        address: String,
        /// Version of the server that was dumped.
        dumped: String,
        /// Version of this server.
        server: String,
    },
    /// Something in it keeps the dump from coming back.
    #[error("failed to restore into the database at {address}: {what}; {remedy}")]
    Beforehand {
        /// `host:port`.
        address: String,
        /// What stands in the way.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// It does not take so long a statement.
    #[error(
        "failed to restore into the database at {address}: the dump holds a row that takes a statement of {}, and the server takes at most {} (max_allowed_packet); {}",
        format::bytes(*.statement), format::bytes(*.limit), raise(*.statement)
    )]
    Packet {
        /// `host:port`.
        address: String,
        /// Bytes of the longest statement.
        statement: u64,
        /// Bytes that the server takes.
        limit: u64,
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
        "failed to restore into the database at {address}: nothing names the database that the dump belongs to; name it in the task parameter args"
    )]
    NoDatabase {
        /// `host:port`.
        address: String,
    },
    /// A database is named, and the dump goes into others.
    #[error(
        "failed to restore into the database at {address}: the task parameter args names the database {named:?}, and the dump goes into {}, which it names itself; remove the name from args to restore all of it, or restore a Snapshot of that database alone",
        quoted(.dumped)
    )]
    Named {
        /// `host:port`.
        address: String,
        /// The database in the args.
        named: String,
        /// Those of the dump.
        dumped: Vec<String>,
    },
    /// The dump only fits an empty database.
    #[error(
        "failed to restore into the database at {address}: the dump does not drop the tables that it creates (as with --skip-opt, --compact and --skip-add-drop-table), and the database {database:?} is not empty; drop its tables first, or restore into another database or server"
    )]
    NotEmpty {
        /// `host:port`.
        address: String,
        /// The database.
        database: String,
    },
    /// Texts of the dump would be spoilt.
    #[error(
        "failed to restore into the database at {address}: the texts of the dump are in the encoding {dumped}, and the database {database:?} is in {server}, which cannot hold them; create it with CREATE DATABASE … ENCODING '{dumped}' LOCALE 'C' TEMPLATE template0, and restore again"
    )]
    Encoding {
        /// `host:port`.
        address: String,
        /// The database.
        database: String,
        /// The encoding of the dump.
        dumped: String,
        /// That of the database.
        server: String,
    },
    /// The dump is not one that can be loaded.
    #[error("failed to restore: {0}; restore another Snapshot")]
    Format(&'static str),
    /// The dump ends within something.
    #[error(
        "failed to restore: the dump is cut off, for it ends within {0}; restore another Snapshot"
    )]
    Within(&'static str),
    /// The dump lacks its last line.
    #[error(
        "failed to restore: the dump is cut off: it lacks the last line, which marks its end; restore another Snapshot, or set the task parameter allowIncomplete to \"true\" to load what is there"
    )]
    Incomplete,
    /// The dump holds something that is never loaded.
    #[error(
        "failed to restore into the database at {address}: the dump holds what is never loaded: {what}; restore another Snapshot"
    )]
    Refused {
        /// `host:port`.
        address: String,
        /// What, and in which lines.
        what: String,
    },
    /// The dump changes more than its databases.
    #[error(
        "failed to restore into the database at {address}: the dump changes the server itself or reaches outside of its databases: {what}; look at these lines, and if they are wanted set the task parameter allowServerChanges to \"true\""
    )]
    Changes {
        /// `host:port`.
        address: String,
        /// What, and in which lines.
        what: String,
    },
    /// The server lacks something that the dump refers to.
    #[error(
        "failed to restore into the database at {address}: the server lacks what the dump refers to: {}; create it there first{}",
        lacking(.roles, .tablespaces, .extensions), without(.roles, .tablespaces)
    )]
    Lacking {
        /// `host:port`.
        address: String,
        /// Roles.
        roles: Vec<String>,
        /// Tablespaces.
        tablespaces: Vec<String>,
        /// Extensions.
        extensions: Vec<String>,
    },
    /// The server takes no more connections.
    #[error(
        "failed to restore into the database at {address}: it takes {limit} connections of users and {used} are in use, which leaves none for the restore; close some, or raise max_connections"
    )]
    Connections {
        /// `host:port`.
        address: String,
        /// How many it takes.
        limit: u64,
        /// How many there are.
        used: u64,
    },
}

fn lacking(roles: &[String], tablespaces: &[String], extensions: &[String]) -> String {
    let kinds = [
        ("the roles", roles),
        ("the tablespaces", tablespaces),
        ("the extensions", extensions),
    ];
    let kinds = kinds.iter().filter(|(_, names)| !names.is_empty());
    let told = kinds.map(|(kind, names)| format!("{kind} {}", quoted(names)));
    told.collect::<Vec<_>>().join(", and ")
}

fn without(roles: &[String], tablespaces: &[String]) -> &'static str {
    match (roles.is_empty(), tablespaces.is_empty()) {
        (true, true) => "",
        (false, true) => {
            ", or restore a backup created with --no-owner --no-privileges in the task parameter args"
        }
        (true, false) => {
            ", or restore a backup created with --no-tablespaces in the task parameter args"
        }
        (false, false) => {
            ", or restore a backup created with --no-owner --no-privileges --no-tablespaces in the task parameter args"
        }
    }
}

/// The most that any server takes.
const MOST: u64 = 1 << 30;

fn raise(statement: u64) -> String {
    match (statement + 2).checked_next_power_of_two() {
        Some(enough) if enough <= MOST => {
            format!("raise it with SET GLOBAL max_allowed_packet = {enough}, and restore again")
        }
        _ => "no server takes more than 1 GiB: restore another Snapshot".to_owned(),
    }
}

impl TargetError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ReadOnly { .. } => "DatabaseReadOnly",
            Self::Family { .. }
            | Self::Older { .. }
            | Self::Collation { .. }
            | Self::Packet { .. }
            | Self::Beforehand { .. } => "DatabaseIncompatible",
            Self::Right { .. } => "DatabaseRightMissing",
            Self::NoDatabase { .. } | Self::Named { .. } => "DatabaseUnknown",
            Self::NotEmpty { .. } => "DatabaseNotEmpty",
            Self::Encoding { .. } => "DatabaseEncoding",
            Self::Format(_) => "DumpUnreadable",
            Self::Within(_) | Self::Incomplete => "DumpIncomplete",
            Self::Refused { .. } => "DumpRefused",
            Self::Changes { .. } => "DumpChangesServer",
            Self::Lacking { .. } => "DatabaseLacksObjects",
            Self::Connections { .. } => "DatabaseFull",
        }
    }
}
