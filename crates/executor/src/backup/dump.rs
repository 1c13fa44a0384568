//! The running dump, and the repositories that it is streamed into.

use std::io::{self, Read};
use std::sync::Arc;

use jiff::Timestamp;
use kubestash_api::storage::Snapshot;
use kubestash_database::{DumpRequest, Error, SelectionError};
use kubestash_domain::layout;
use kubestash_engine::{
    BackupRequest, CancellationToken, CheckDepth, Destination, EngineError, Repository,
    ResticRepository, backup_streams,
};

use super::dereference::Source;
use super::plan::{self, Content};
use super::report::{Remarks, Stored};
use super::source::Watched;
use super::task::Task;
use crate::arguments::Backup;
use crate::database::Database;
use crate::failure::Failure;
use crate::log::listed;

/// A dump that has begun.
pub(super) struct Running {
    stream: Box<dyn Read + Send>,
    /// Path of the file it becomes.
    file: &'static str,
    /// What there is to say of the databases in it.
    content: Content,
    /// What else is known of it.
    remarks: Remarks,
}

impl Running {
    /// What is known of it beforehand.
    pub(super) fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    /// Whether the server holds no database.
    pub(super) fn is_empty(&self) -> bool {
        self.content == Content::Empty
    }
}

/// Why a dump could not be begun.
#[derive(Clone, Debug)]
pub(super) struct NoDump {
    /// The failure.
    failure: Failure,
    /// The one for a repository that holds what is missing now, if that makes a difference.
    lost: Option<Failure>,
}

impl NoDump {
    pub(super) fn of(failure: Failure) -> Self {
        Self {
            failure,
            lost: None,
        }
    }

    /// What the failure is for a repository.
    pub(super) async fn for_repository(&self, repository: &ResticRepository) -> Failure {
        let Some(lost) = &self.lost else {
            return self.failure.clone();
        };
        match repository.snapshots().await {
            Ok(existing) if plan::holds_databases(&existing) => lost.clone(),
            Ok(_) => self.failure.clone(),
            Err(error) => {
                tracing::warn!("failed to look for earlier backups: {error}");
                self.failure.clone()
            }
        }
    }
}

impl From<Error> for NoDump {
    fn from(error: Error) -> Self {
        let lost = match &error {
            Error::Selection(missing) => missing.lost().map(Error::from).map(Failure::from),
            _ => None,
        };
        Self {
            failure: error.into(),
            lost,
        }
    }
}

/// What is stored of a server without a database: the same bytes each time, which a restore loads
/// without effect.
const EMPTY: &[u8] = b"-- The server held no database but its own.\n";

/// Begins the stream of what a task stores.
///
/// # Errors
/// If the database does not answer, refuses, or does not have what was asked for.
pub(super) async fn start(
    task: Task<'_>,
    source: Source<'_>,
    cancel: &CancellationToken,
) -> Result<Running, NoDump> {
    let file = task.file();
    match source {
        Source::Dump(backup, database) => dump(backup, &database, file, cancel).await,
        Source::Manifests(document) => Ok(Running {
            stream: Box::new(io::Cursor::new(document.to_bytes())),
            file,
            content: Content::Told,
            remarks: Remarks::default(),
        }),
    }
}

/// Waits for the database and starts its client.
async fn dump(
    backup: &Backup,
    database: &Database,
    file: &'static str,
    cancel: &CancellationToken,
) -> Result<Running, NoDump> {
    let connection = &database.connection;
    tracing::info!(
        "waiting for the database at {} (from {})",
        connection.address(),
        connection.origin
    );
    let request = DumpRequest {
        connection,
        role: &database.role,
        databases: &backup.databases,
        args: &backup.args,
        default_args: backup.default_args,
        program: &backup.program,
        scratch_dir: &backup.scratch_dir,
        wait_timeout: backup.wait_timeout,
        cancel: cancel.clone(),
    };
    let dump = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(NoDump::of(Failure::cancelled())),
        dump = database.family.dump(request) => match dump {
            // A new server. Whether it has always been empty, the repositories say.
            Err(Error::Selection(SelectionError::Nothing)) => {
                tracing::warn!("the server holds no database but its own: there is nothing to dump yet");
                return Ok(Running {
                    stream: Box::new(io::Cursor::new(EMPTY)),
                    file,
                    content: Content::Empty,
                    remarks: Remarks::default(),
                });
            }
            dump => dump?,
        },
    };
    for note in &dump.notes {
        tracing::warn!("{note}");
    }
    tracing::info!(
        "dumping {} from {} {} with {} {} ({})",
        listed(&dump.databases),
        dump.server,
        dump.server_version,
        dump.program,
        dump.words.join(" "),
        dump.client_version
    );
    let remarks = Remarks {
        left_out: dump.left_out,
        warnings: dump.warnings,
    };
    for left_out in &remarks.left_out {
        tracing::info!("left out: {left_out}");
    }
    for warning in &remarks.warnings {
        tracing::warn!("{warning}");
    }
    let content = match dump.databases.as_slice() {
        [] => Content::Told,
        [only] if dump.single => Content::Single(only.clone()),
        several => Content::Several(several.to_vec()),
    };
    Ok(Running {
        stream: Box::new(dump.stream),
        file,
        content,
        remarks,
    })
}

/// Lets a server without a database into a repository that never held one.
///
/// # Errors
/// If the repository holds databases: they were lost or removed, and backups of nothing would let
/// retention remove those that hold something.
pub(super) async fn never_held(repository: &ResticRepository) -> Result<(), Failure> {
    if !plan::holds_databases(&repository.snapshots().await?) {
        return Ok(());
    }
    Err(Failure::permanent(
        "DatabaseNone",
        "failed to back up: the server holds no database any more, and earlier backups do; restore them if they were lost; if they were removed on purpose, delete the BackupConfiguration or set its spec.paused",
    ))
}

/// Streams a dump into repositories; one outcome for each, in their order.
pub(super) async fn into_all(
    dump: Running,
    destinations: Vec<(Arc<ResticRepository>, Snapshot)>,
    cancel: &CancellationToken,
) -> Vec<Result<Stored, Failure>> {
    let time = Timestamp::now();
    let destinations = destinations
        .into_iter()
        .map(|(repository, snapshot)| Destination {
            repository,
            request: BackupRequest {
                host: layout::HOST.to_owned(),
                file_name: dump.file.to_owned(),
                tags: plan::tags(&snapshot, &dump.content),
                time,
            },
        })
        .collect();
    let databases = dump.content.databases();
    let remarks = dump.remarks.clone();
    let (stream, watch) = Watched::new(dump.stream);
    let results = backup_streams(destinations, Box::new(stream), cancel.clone()).await;
    tracing::info!("read {}", kubestash_domain::format::bytes(watch.bytes()));
    results
        .into_iter()
        .map(|result| {
            let stored = |summary| Stored {
                databases: databases.clone(),
                remarks: remarks.clone(),
                ..Stored::from(summary)
            };
            result.map(stored).map_err(|error| match error {
                _ if cancel.is_cancelled() => Failure::cancelled(),
                // The stream's own words, and its own judgement whether to try again.
                EngineError::StreamFailed { .. } => {
                    watch.failure().cloned().unwrap_or_else(|| error.into())
                }
                error => error.into(),
            })
        })
        .collect()
}

/// Bytes of the dump in a restic snapshot, all of whose data is there.
///
/// # Errors
/// If something of it is missing.
pub(super) async fn size_of(
    repository: &ResticRepository,
    id: &str,
    file: &str,
) -> Result<u64, Failure> {
    let verified = repository
        .verify_snapshot(id, file, CheckDepth::Structure)
        .await?;
    match verified.errors.as_slice() {
        [] => Ok(verified.size),
        [first, ..] => Err(Failure::permanent(
            "repository-damaged",
            format!(
                "failed to use restic snapshot {id} of an earlier attempt at {}: {first}",
                repository.location()
            ),
        )),
    }
}
