//! Dumping and loading as the executor does it.

use std::io::Write;
use std::time::Duration;

use kubestash_database::{
    Accepted, Connection, Dump, DumpRequest, Error, ExamineRequest, Family, LoadError, LoadRequest,
    Outline, Outliner, Role, StreamError,
};
use tokio_util::sync::CancellationToken;

use crate::drain::drain;

/// A dump to be made by a test.
pub struct Request {
    pub connection: Connection,
    pub role: Role,
    pub args: String,
    pub default_args: bool,
    pub program: String,
    pub wait: Duration,
    pub scratch: tempfile::TempDir,
    pub cancel: CancellationToken,
}

impl Request {
    pub fn plain(connection: Connection) -> Self {
        Self {
            connection,
            role: Role::Plain,
            args: String::new(),
            default_args: false,
            program: String::new(),
            wait: Duration::from_secs(20),
            scratch: tempfile::tempdir().unwrap(),
            cancel: CancellationToken::new(),
        }
    }

    pub fn druid(connection: Connection, linked_db: &str) -> Self {
        Self {
            role: Role::DruidMetadata {
                linked_db: linked_db.into(),
            },
            args: "--exclude-table=druid_config".into(),
            default_args: true,
            ..Self::plain(connection)
        }
    }

    pub fn args(mut self, args: &str) -> Self {
        self.args = args.into();
        self.default_args = false;
        self
    }

    pub fn program(mut self, program: &str) -> Self {
        self.program = program.into();
        self
    }

    pub async fn start(&self) -> Result<Dump, Error> {
        Family::Postgres
            .dump(DumpRequest {
                connection: &self.connection,
                role: &self.role,
                databases: &[],
                args: &self.args,
                default_args: self.default_args,
                program: &self.program,
                scratch_dir: self.scratch.path(),
                wait_timeout: self.wait,
                cancel: self.cancel.clone(),
            })
            .await
    }

    /// The whole dump, and the databases in it.
    pub async fn bytes(&self) -> (Vec<u8>, Vec<String>) {
        let dump = self.start().await.unwrap();
        let databases = dump.databases.clone();
        let (data, result) = read(dump).await;
        result.unwrap();
        (data, databases)
    }

    pub async fn text(&self) -> String {
        String::from_utf8(self.bytes().await.0).unwrap()
    }

    pub fn left_files(&self) -> usize {
        std::fs::read_dir(self.scratch.path()).unwrap().count()
    }
}

/// Reads a dump to its end or error.
pub async fn read(dump: Dump) -> (Vec<u8>, Result<usize, StreamError>) {
    drain(dump.stream).await
}

/// What is seen of a dump before it is loaded.
pub fn outline(dump: &[u8]) -> Outline {
    let mut outliner = Outliner::new(Family::Postgres);
    outliner.write_all(dump).unwrap();
    outliner.take()
}

/// What is said about a dump before it is loaded.
pub async fn examine(
    connection: &Connection,
    role: &Role,
    source: Option<&str>,
    dump: &[u8],
) -> Result<(Option<String>, Accepted), Error> {
    examine_seen(connection, role, source, &outline(dump)).await
}

/// The same about what was seen of it.
pub async fn examine_seen(
    connection: &Connection,
    role: &Role,
    source: Option<&str>,
    seen: &Outline,
) -> Result<(Option<String>, Accepted), Error> {
    let target = Family::Postgres
        .examine(ExamineRequest {
            connection,
            role,
            source,
            args: "",
            wait_timeout: Duration::from_secs(20),
        })
        .await?;
    let accepted = target.accepts(seen)?;
    Ok((target.database().map(str::to_owned), accepted))
}

/// Restores a dump as the executor does; `source` is the database that was dumped.
pub async fn restore(
    connection: &Connection,
    role: &Role,
    source: Option<&str>,
    dump: &[u8],
) -> Result<(), LoadError> {
    let (database, accepted) = examine(connection, role, source, dump).await.unwrap();
    for database in &accepted.missing {
        Family::Postgres
            .create_database(connection, database, Duration::from_secs(20))
            .await
            .unwrap();
    }
    load(connection, database.as_deref(), dump, dump.len()).await
}

/// Loads the first bytes of a dump; only a whole one is said to be complete.
pub async fn load(
    connection: &Connection,
    database: Option<&str>,
    dump: &[u8],
    bytes: usize,
) -> Result<(), LoadError> {
    let wait = Duration::from_secs(20);
    load_seen(connection, database, dump, bytes, &outline(dump), wait).await
}

/// The same by what was seen of it.
pub async fn load_seen(
    connection: &Connection,
    database: Option<&str>,
    dump: &[u8],
    bytes: usize,
    seen: &Outline,
    wait_timeout: Duration,
) -> Result<(), LoadError> {
    let scratch = tempfile::tempdir().unwrap();
    let started = Family::Postgres
        .load(LoadRequest {
            connection,
            database,
            role: &Role::Plain,
            outline: seen,
            args: "",
            scratch_dir: scratch.path(),
            wait_timeout,
        })
        .await
        .unwrap();
    let (mut sink, part) = (started.sink, dump[..bytes].to_vec());
    let whole = bytes == dump.len();
    // A client that has given up closes its end; why, it says itself.
    let feeding = tokio::task::spawn_blocking(move || {
        let written = part
            .chunks(100_000)
            .try_for_each(|part| sink.write_all(part));
        match written {
            Ok(()) if whole => {
                let _ = sink.finish();
            }
            _ => drop(sink),
        }
    });
    feeding.await.unwrap();
    started.running.finish(&CancellationToken::new()).await
}
