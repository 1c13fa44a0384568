//! The seam between the executor and the databases: what every family can do.
//!
//! A family is a folder of its own and is named here, in [`Family`] and its `match`es; nothing else
//! changes.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kubestash_domain::args::ArgsError;
use tokio_util::sync::CancellationToken;

use crate::client::ClientError;
use crate::connection::Connection;
use crate::load::{LoadSink, RunningLoad};
use crate::outline::Outline;
use crate::reach::ServerError;
use crate::selection::SelectionError;
use crate::stream::{DumpStream, StreamError};
use crate::target::{Missing, Target, TargetError};
use crate::{mysql, postgres};

/// Kinds of database servers that share their clients and their protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// MySQL, MariaDB, Percona Server.
    MySql,
    /// PostgreSQL.
    Postgres,
}

/// What is known about a family without asking a server.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Its name in messages.
    pub(crate) name: &'static str,
    /// The port its servers listen on unless somebody chose another.
    pub(crate) port: u16,
    /// Schemes of its addresses.
    pub(crate) schemes: &'static [&'static str],
    /// Kinds of its servers, in lower case, as in `spec.type` of an AppBinding.
    pub(crate) kinds: &'static [&'static str],
    /// How the comment begins that its client writes into the first lines of a dump.
    pub(crate) dump_marks: &'static [&'static str],
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::MySql, Self::Postgres];

    pub(crate) fn facts(self) -> &'static Facts {
        match self {
            Self::MySql => &mysql::FACTS,
            Self::Postgres => &postgres::FACTS,
        }
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The port its servers listen on unless somebody chose another.
    pub fn default_port(self) -> u16 {
        self.facts().port
    }

    /// The family of a kind of server, such as `MariaDB`.
    pub fn of_kind(kind: &str) -> Option<Self> {
        let kind = kind.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|family| family.facts().kinds.contains(&kind.as_str()))
    }

    /// Waits until the server answers and starts a dump of it.
    ///
    /// # Errors
    /// [`Error`], also for a task that fits the server but not what is in it.
    pub async fn dump(self, request: DumpRequest<'_>) -> Result<Dump, Error> {
        match self {
            Self::MySql => mysql::dump(request).await,
            Self::Postgres => postgres::dump(request).await,
        }
    }

    /// Waits until the server answers and looks whether a dump can be loaded into it; changes
    /// nothing.
    ///
    /// # Errors
    /// [`Error`], also for a server that takes no writes.
    pub async fn examine(self, request: ExamineRequest<'_>) -> Result<Box<dyn Target>, Error> {
        match self {
            Self::MySql => mysql::examine(request).await,
            Self::Postgres => postgres::examine(request).await,
        }
    }

    /// Creates a database, unless it is there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn create_database(
        self,
        connection: &Connection,
        database: &Missing,
        wait_timeout: Duration,
    ) -> Result<(), Error> {
        match self {
            Self::MySql => mysql::create_database(connection, database, wait_timeout).await,
            Self::Postgres => postgres::create_database(connection, database, wait_timeout).await,
        }
    }

    /// Waits until the server answers and starts a client that loads a dump into it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn load(self, request: LoadRequest<'_>) -> Result<Load, Error> {
        match self {
            Self::MySql => mysql::load(request).await,
            Self::Postgres => postgres::load(request).await,
        }
    }
}

/// What the server is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A database of its own.
    Plain,
    /// It keeps a Druid's metadata.
    DruidMetadata {
        /// The Druid's `spec.metadataStorage.linkedDB`.
        linked_db: String,
    },
}

/// A dump to be made.
#[derive(Debug)]
pub struct DumpRequest<'a> {
    /// The server.
    pub connection: &'a Connection,
    /// What it is for: decides which databases are dumped when none is named.
    pub role: &'a Role,
    /// The task parameter `databases`, split at its commas.
    pub databases: &'a [String],
    /// The task parameter `args`.
    pub args: &'a str,
    /// Whether `args` is the task's default. Then a Druid's `druid_config` is dumped without its
    /// users, and else as the args say.
    pub default_args: bool,
    /// The task parameter `backupCmd`, for a family whose servers can be dumped by more than one
    /// program; empty: its usual one.
    pub program: &'a str,
    /// Folder for the file with the credentials.
    pub scratch_dir: &'a Path,
    /// How long to wait for a server that does not answer.
    pub wait_timeout: Duration,
    /// Ends the dump when it fires.
    pub cancel: CancellationToken,
}

/// A dump in progress.
pub struct Dump {
    /// Its bytes.
    pub stream: DumpStream,
    /// The client's name.
    pub program: String,
    /// What the client says it is.
    pub client_version: String,
    /// Whose server it is: `MySQL`, `MariaDB` or `PostgreSQL`.
    pub server: &'static str,
    /// Its version, as it says it.
    pub server_version: String,
    /// The databases in it.
    pub databases: Vec<String>,
    /// True when there is one and its name is not in the dump.
    pub single: bool,
    /// The client's command line, which holds no credentials.
    pub words: Vec<String>,
    /// What was left out of the task's args or changed in them.
    pub notes: Vec<String>,
    /// What is in the databases and not in the dump.
    pub left_out: Vec<String>,
    /// What may keep the dump from coming back as it is.
    pub warnings: Vec<String>,
}

/// A server to be looked at before a dump is loaded into it.
#[derive(Debug)]
pub struct ExamineRequest<'a> {
    /// The server.
    pub connection: &'a Connection,
    /// What it is for: decides which database a dump of a single one goes into.
    pub role: &'a Role,
    /// The database that was dumped, if it was recorded and its name is not in the dump.
    pub source: Option<&'a str>,
    /// The task parameter `args`, which may name a database.
    pub args: &'a str,
    /// How long to wait for a server that does not answer.
    pub wait_timeout: Duration,
}

/// A dump to be loaded.
#[derive(Debug)]
pub struct LoadRequest<'a> {
    /// The server.
    pub connection: &'a Connection,
    /// The database that a dump of a single one goes into; it must exist.
    pub database: Option<&'a str>,
    /// What the server is for.
    pub role: &'a Role,
    /// How the dump begins and ends.
    pub outline: &'a Outline,
    /// The task parameter `args`.
    pub args: &'a str,
    /// Folder for the file with the credentials.
    pub scratch_dir: &'a Path,
    /// How long to wait for a server that does not answer.
    pub wait_timeout: Duration,
}

/// A load in progress: write the dump to the sink, drop the sink, then wait for the client.
pub struct Load {
    /// Takes the dump's bytes.
    pub sink: LoadSink,
    /// The client at work.
    pub running: RunningLoad,
    /// The client's name.
    pub program: String,
    /// Whose server it is: `MySQL`, `MariaDB` or `PostgreSQL`.
    pub server: &'static str,
    /// Its version, as it says it.
    pub server_version: String,
    /// The client's command line, which holds no credentials.
    pub words: Vec<String>,
    /// What was left out of the task's args.
    pub notes: Vec<String>,
}

/// Why a dump or a load could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that dumps no server of this family.
    #[error("failed to accept the task parameter backupCmd: {given:?} is not {known}")]
    Program {
        /// What was given.
        given: String,
        /// What there is.
        known: &'static str,
    },
    /// The task's args are not acceptable.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// There is no client program.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server cannot be used.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The databases asked for cannot be dumped.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The dump does not fit the server.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The folder for temporary files is not usable.
    #[error(
        "failed to write into the scratch folder {folder}; correct the task parameter scratchDir or mount a volume there"
    )]
    Scratch {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The client did not start.
    #[error("failed to start {program}")]
    Start {
        /// The client's name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The stream did not start.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl Error {
    /// Stable name of the kind of error: condition reason, Event reason, metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Program { .. } => "BackupCommandUnknown",
            Self::Args(error) => error.kind(),
            Self::Client(error) => error.kind(),
            Self::Server(error) => error.kind(),
            Self::Selection(error) => error.kind(),
            Self::Target(error) => error.kind(),
            Self::Scratch { .. } => "ScratchUnusable",
            Self::Start { .. } => "ClientUnusable",
            Self::Stream(error) => error.kind(),
        }
    }

    /// Whether the same attempt must fail again until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Program { .. } | Self::Args(_) | Self::Selection(_) | Self::Target(_) => true,
            Self::Client(error) => error.is_permanent(),
            Self::Server(error) => error.is_permanent(),
            Self::Stream(error) => error.is_permanent(),
            Self::Scratch { .. } | Self::Start { .. } => false,
        }
    }
}
