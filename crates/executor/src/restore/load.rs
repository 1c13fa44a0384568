//! The dump on its way from the repository into the database's client.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kubestash_core::format;
use kubestash_database::LoadRequest;
use kubestash_database::mysql::{LoadError, LoadSink};
use kubestash_engine::{CancellationToken, EngineError, Repository as _};

use super::dereference::World;
use super::preflight::Ready;
use crate::arguments::Restore;
use crate::failure::Failure;

/// How often a line in the log says how far a restore has come.
const REPORT: Duration = Duration::from_secs(10);

/// Loads the dump; returns its size in bytes.
///
/// # Errors
/// What the client says about the statement that failed, or why the dump could not be read to its end.
pub(super) async fn load(
    restore: &Restore,
    world: &World,
    ready: Ready,
    cancel: &CancellationToken,
) -> Result<u64, Failure> {
    let Ready {
        repository,
        target,
        id,
        size,
    } = ready;
    let database = &world.database;
    let connection = &database.connection;
    if let Some(name) = target.database.as_deref().filter(|_| !target.exists) {
        tracing::info!("creating the database {name:?}, which is not there");
        database
            .family
            .create_database(connection, name, restore.wait_timeout)
            .await?;
    }
    let started = database
        .family
        .load(LoadRequest {
            connection,
            database: target.database.as_deref(),
            args: &restore.args,
            scratch_dir: &restore.scratch_dir,
            wait_timeout: restore.wait_timeout,
        })
        .await?;
    for note in &started.notes {
        tracing::warn!("{note}");
    }
    tracing::info!(
        "loading {} into {} on {} with {} {}",
        format::bytes(size),
        target
            .database
            .as_deref()
            .unwrap_or("the databases it names"),
        started.server_version,
        started.program,
        started.words.join(" ")
    );
    let (sink, running) = (Shared::new(started.sink, size), started.running);
    let written = repository
        .dump(
            &id,
            &world.part.file,
            Box::new(sink.clone()),
            cancel.clone(),
        )
        .await;
    match written {
        Ok(bytes) => {
            // Only now may the client see the end of its input.
            drop(sink);
            running.finish(cancel).await.map_err(partial)?;
            Ok(bytes)
        }
        Err(error @ EngineError::SinkFailed { .. }) => {
            // The client has ended and knows why.
            drop(sink);
            Err(match running.finish(cancel).await {
                Err(error) => partial(error),
                Ok(()) => error.into(),
            })
        }
        Err(error) => {
            // First the client, then its input: half a dump must not look like a whole one.
            drop(running);
            drop(sink);
            Err(match error {
                EngineError::Cancelled => partial(LoadError::Cancelled),
                error => unfinished(error.into()),
            })
        }
    }
}

fn partial(error: LoadError) -> Failure {
    match &error {
        LoadError::Cancelled => error.into(),
        _ => unfinished(error.into()),
    }
}

/// A failure after the first byte, which is worth knowing.
fn unfinished(failure: Failure) -> Failure {
    let message = format!(
        "{}; the database may hold a part of the restore: restore again",
        failure.message
    );
    match failure.permanent {
        true => Failure::permanent(&failure.kind, message),
        false => Failure::transient(&failure.kind, message),
    }
}

/// The client's input, which stays open until the last owner drops it, and counts what goes in.
#[derive(Clone)]
struct Shared(Arc<Mutex<Counted>>);

struct Counted {
    sink: LoadSink,
    written: u64,
    total: u64,
    started: Instant,
    reported: Instant,
}

impl Shared {
    fn new(sink: LoadSink, total: u64) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Counted {
            sink,
            written: 0,
            total,
            started: now,
            reported: now,
        })))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counted.sink.write(bytes)?;
        counted.written += count as u64;
        if counted.reported.elapsed() >= REPORT {
            counted.reported = Instant::now();
            let seconds = counted.started.elapsed().as_secs().max(1);
            tracing::info!(
                "loading: {} of {} so far, {}/s",
                format::bytes(counted.written),
                format::bytes(counted.total),
                format::decimal_bytes(counted.written / seconds)
            );
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.sink.flush()
    }
}
