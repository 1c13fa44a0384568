//! The dump on its way from the repository into the database's client.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kubestash_core::format;
use kubestash_database::{LoadError, LoadRequest, LoadSink};
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
        missing,
        outline,
        id,
        size,
    } = ready;
    let database = &world.database;
    let connection = &database.connection;
    for name in &missing {
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
            database: target.database(),
            outline: &outline,
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
        target.database().unwrap_or("the databases it names"),
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
            // Only now may the clients see the end of their input. What goes wrong with it, they know better.
            let _ = sink.finish().await;
            running.finish(cancel).await.map_err(partial)?;
            Ok(bytes)
        }
        Err(error @ EngineError::SinkFailed { .. }) => {
            // A client has ended and knows why.
            drop(sink);
            Err(match running.finish(cancel).await {
                Err(error) => partial(error),
                Ok(()) => error.into(),
            })
        }
        Err(error) => {
            // First the clients, then their input: half a dump must not look like a whole one.
            let undone = running.is_undone_by_drop();
            drop(running);
            drop(sink);
            Err(match error {
                EngineError::Cancelled => partial(LoadError::Cancelled { undone }),
                error => unfinished(error.into(), undone),
            })
        }
    }
}

fn partial(error: LoadError) -> Failure {
    let undone = error.is_undone();
    unfinished(error.into(), undone)
}

/// A failure after the first byte, which is worth knowing, and so is whether the server took everything back.
fn unfinished(failure: Failure, undone: bool) -> Failure {
    let message = format!(
        "{}; {}",
        failure.message,
        match undone {
            true => "the database is as it was before",
            false => "the database may hold a part of the restore: restore again",
        }
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
    sink: Option<LoadSink>,
    written: u64,
    total: u64,
    started: Instant,
    reported: Instant,
}

impl Shared {
    fn new(sink: LoadSink, total: u64) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Counted {
            sink: Some(sink),
            written: 0,
            total,
            started: now,
            reported: now,
        })))
    }

    /// Tells the clients that this was all.
    async fn finish(self) -> io::Result<()> {
        let sink = {
            let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            counted.sink.take()
        };
        let Some(sink) = sink else {
            return Ok(());
        };
        // A client that is busy takes its time.
        tokio::task::spawn_blocking(move || sink.finish())
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sink = counted.sink.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let count = sink.write(bytes)?;
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
        counted.sink.as_mut().map_or(Ok(()), Write::flush)
    }
}
