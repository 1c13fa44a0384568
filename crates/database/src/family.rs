//! The seam between the executor and the databases: what every family can do.
//!
//! A family is added here and gets a folder of its own; nothing else of the executor changes.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kubestash_core::args::ArgsError;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::mysql;
use crate::stream::{DumpStream, StreamError};

/// Kinds of database servers that share their clients and their protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// MySQL, MariaDB, Percona Server.
    MySql,
    /// PostgreSQL. Recognised, so that a wrong task can be told; nothing dumps it yet.
    Postgres,
}

impl Family {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::MySql => "MySQL or MariaDB",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// The port its servers listen on unless somebody chose another.
    pub fn default_port(self) -> u16 {
        match self {
            Self::MySql => 3306,
            Self::Postgres => 5432,
        }
    }

    /// Waits until the server answers and starts a dump of it.
    ///
    /// # Errors
    /// [`Error`], also for a task that fits the server but not what is in it.
    pub async fn dump(self, request: DumpRequest<'_>) -> Result<Dump, Error> {
        match self {
            Self::MySql => mysql::dump(request).await,
            Self::Postgres => Err(Error::Unsupported(self)),
        }
    }

    /// Waits until the server answers and looks whether a dump can be loaded into it; changes nothing. `source` is the
    /// database that was dumped, if its name is not in the dump.
    ///
    /// # Errors
    /// [`Error`], also for a server that takes no writes.
    pub async fn examine(
        self,
        connection: &Connection,
        role: &Role,
        source: Option<&str>,
        wait_timeout: Duration,
    ) -> Result<mysql::Target, Error> {
        match self {
            Self::MySql => mysql::examine(connection, role, source, wait_timeout).await,
            Self::Postgres => Err(Error::Unsupported(self)),
        }
    }

    /// Makes a database, unless it is there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn create_database(
        self,
        connection: &Connection,
        name: &str,
        wait_timeout: Duration,
    ) -> Result<(), Error> {
        match self {
            Self::MySql => mysql::create_database(connection, name, wait_timeout).await,
            Self::Postgres => Err(Error::Unsupported(self)),
        }
    }

    /// Waits until the server answers and starts a client that loads a dump into it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn load(self, request: LoadRequest<'_>) -> Result<Load, Error> {
        match self {
            Self::MySql => mysql::load(request).await,
            Self::Postgres => Err(Error::Unsupported(self)),
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
    /// What the server says it is.
    pub server_version: String,
    /// The databases in it.
    pub databases: Vec<String>,
    /// True when there is one and its name is not in the dump.
    pub single: bool,
    /// The client's command line, which holds no credentials.
    pub words: Vec<String>,
    /// What was left out of the task's args or changed in them.
    pub notes: Vec<String>,
}

/// A dump to be loaded.
#[derive(Debug)]
pub struct LoadRequest<'a> {
    /// The server.
    pub connection: &'a Connection,
    /// The database that a dump of a single one goes into; it must exist.
    pub database: Option<&'a str>,
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
    pub sink: mysql::LoadSink,
    /// The client at work.
    pub running: mysql::RunningLoad,
    /// The client's name.
    pub program: String,
    /// What the server says it is.
    pub server_version: String,
    /// The client's command line, which holds no credentials.
    pub words: Vec<String>,
    /// What was left out of the task's args.
    pub notes: Vec<String>,
}

/// Why a dump or a load could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing of ours handles the family yet.
    #[error("failed to use a {} server: this version of kubestash backs up MySQL and MariaDB only", .0.name())]
    Unsupported(Family),
    /// The task's args are not acceptable.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// There is no client program.
    #[error(transparent)]
    Client(#[from] mysql::ClientError),
    /// The server cannot be used.
    #[error(transparent)]
    Server(#[from] mysql::ServerError),
    /// The databases asked for cannot be dumped.
    #[error(transparent)]
    Selection(#[from] mysql::SelectionError),
    /// No command line.
    #[error(transparent)]
    Plan(#[from] mysql::PlanError),
    /// The dump does not fit the server.
    #[error(transparent)]
    Target(#[from] mysql::TargetError),
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
            Self::Unsupported(_) => "DatabaseUnsupported",
            Self::Args(error) => error.kind(),
            Self::Client(error) => error.kind(),
            Self::Server(error) => error.kind(),
            Self::Selection(error) => error.kind(),
            Self::Plan(error) => error.kind(),
            Self::Target(error) => error.kind(),
            Self::Scratch { .. } => "ScratchUnusable",
            Self::Start { .. } => "ClientUnusable",
            Self::Stream(error) => error.kind(),
        }
    }

    /// Whether the same attempt must fail again until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Unsupported(_)
            | Self::Args(_)
            | Self::Selection(_)
            | Self::Plan(_)
            | Self::Target(_) => true,
            Self::Client(error) => matches!(error, mysql::ClientError::Missing(_)),
            Self::Server(error) => error.is_permanent(),
            Self::Stream(error) => error.is_permanent(),
            Self::Scratch { .. } | Self::Start { .. } => false,
        }
    }
}
