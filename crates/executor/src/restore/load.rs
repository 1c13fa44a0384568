//! The dump on its way from the repository into the database's client.

use std::future::Future;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kubestash_database::{
    Aftermath, ExamineRequest, LoadError, LoadRequest, LoadSink, RunningLoad,
};
use kubestash_domain::format;
use kubestash_engine::{CancellationToken, EngineError, Repository as _, ResticRepository};

use super::dereference::World;
use super::preflight::Ready;
use crate::arguments::Restore;
use crate::failure::Failure;
use crate::log::listed;

/// How often a line in the log says how far a restore has come.
const REPORT: Duration = Duration::from_secs(10);
/// After so long without a byte taken the server is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(60);

/// Loads the dump; returns its size in bytes.
///
/// # Errors
/// What the client says about the statement that failed, or why the dump could not be read to its
/// end.
pub(super) async fn load(
    restore: &Restore,
    world: &World,
    ready: Ready,
    cancel: &CancellationToken,
) -> Result<u64, Failure> {
    let Ready {
        repository,
        target,
        source,
        missing,
        databases,
        outline,
        id,
        size,
    } = ready;
    let database = &world.database;
    let connection = &database.connection;
    for one in &missing {
        let character_set = one.character_set.as_ref();
        let character_set = character_set.map(|name| format!(" with character set {name}"));
        tracing::info!(
            "creating the database {:?}{}, which is not there",
            one.name,
            character_set.unwrap_or_default()
        );
        database
            .family
            .create_database(connection, one, restore.wait_timeout)
            .await?;
    }
    let started = database
        .family
        .load(LoadRequest {
            connection,
            database: target.database(),
            role: &world.database.role,
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
        "loading {} into {} on {} {} with {} {}",
        format::bytes(size),
        match databases.as_slice() {
            [] => "the databases it names".to_owned(),
            names => listed(names),
        },
        started.server,
        started.server_version,
        started.program,
        started.words.join(" ")
    );
    let (sink, running) = (Shared::new(started.sink, size), started.running);
    let progress = sink.progress();
    let deserted = deserted(&progress, QUIET, || async {
        let again = ExamineRequest {
            connection,
            role: &database.role,
            source: source.as_deref(),
            args: &restore.args,
            wait_timeout: restore.wait_timeout,
        };
        let answer = database.family.examine(again).await;
        answer.map(|_| ()).map_err(Failure::from)
    });
    let now = running.watch();
    let loading = stream(&repository, &id, &world.part.file, sink, running, cancel);
    // Ending either of them ends the client, and with it everything that waits for it.
    tokio::select! {
        biased;
        loaded = loading => loaded,
        failure = deserted => Err(unfinished(failure, &now.aftermath())),
    }
}

/// Streams the dump into the client and waits for it.
///
/// Whichever way this ends, also by being dropped, the client goes before its input does (`running`
/// is behind `sink`, so it is dropped first): half a dump must not look like a whole one.
async fn stream(
    repository: &ResticRepository,
    id: &str,
    file: &str,
    sink: Shared,
    running: RunningLoad,
    cancel: &CancellationToken,
) -> Result<u64, Failure> {
    let written = repository
        .dump(id, file, Box::new(sink.clone()), cancel.clone())
        .await;
    match written {
        Ok(bytes) => {
            // Only now may the clients see the end of their input. What goes wrong with it, they
            // know better.
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
            let after = running.aftermath();
            drop(running);
            drop(sink);
            Err(match error {
                EngineError::Cancelled => partial(LoadError::Cancelled { after }),
                error => unfinished(error.into(), &after),
            })
        }
    }
}

fn partial(error: LoadError) -> Failure {
    let after = error.aftermath();
    unfinished(error.into(), &after)
}

/// A failure after the first byte, which is worth knowing, and so is what it leaves behind and
/// whether restoring again helps.
fn unfinished(failure: Failure, after: &Aftermath) -> Failure {
    let next = match (after.is_unfinished(), failure.permanent) {
        // Where another Snapshot is needed, it says so itself.
        _ if failure.message.ends_with("restore another Snapshot") => "",
        (false, _) => "",
        (true, true) => "; put that right first, then restore again",
        (true, false) => "; restore again",
    };
    let message = format!("{}; {after}{next}", failure.message);
    match failure.permanent {
        true => Failure::permanent(&failure.kind, message),
        false => Failure::transient(&failure.kind, message),
    }
}

/// Returns once the server is gone: when the client has taken nothing for `quiet` and `look` fails.
/// A server that is at work, be it for hours on one statement, is left to it.
async fn deserted<F>(progress: &AtomicU64, quiet: Duration, look: impl Fn() -> F) -> Failure
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut before = progress.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(quiet).await;
        let now = progress.load(Ordering::Relaxed);
        if now == before {
            match look().await {
                // It may have taken something meanwhile.
                Err(failure) if progress.load(Ordering::Relaxed) == before => return failure,
                _ => tracing::info!(
                    "the database has taken nothing for {} s and still answers; SHOW FULL PROCESSLIST shows what it does",
                    quiet.as_secs()
                ),
            }
        }
        before = now;
    }
}

/// The client's input, which stays open until the last owner drops it, and counts what goes in.
#[derive(Clone)]
struct Shared {
    input: Arc<Mutex<Input>>,
    // Outside of the lock, which is held as long as the client does not take what is written.
    written: Arc<AtomicU64>,
}

struct Input {
    sink: Option<LoadSink>,
    total: u64,
    started: Instant,
    reported: Instant,
}

impl Shared {
    fn new(sink: LoadSink, total: u64) -> Self {
        let now = Instant::now();
        let input = Input {
            sink: Some(sink),
            total,
            started: now,
            reported: now,
        };
        Self {
            input: Arc::new(Mutex::new(input)),
            written: Arc::default(),
        }
    }

    /// Bytes that the client has taken.
    fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    /// Tells the clients that this was all.
    async fn finish(self) -> io::Result<()> {
        let sink = {
            let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
            input.sink.take()
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
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let sink = input.sink.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let count = sink.write(bytes)?;
        let written = self.written.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        if input.reported.elapsed() >= REPORT {
            input.reported = Instant::now();
            let seconds = input.started.elapsed().as_secs().max(1);
            tracing::info!(
                "loading: {} of {} so far, {}/s",
                format::bytes(written),
                format::bytes(input.total),
                format::decimal_bytes(written / seconds)
            );
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.sink.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_quiet_server_is_only_given_up_when_it_no_longer_answers() {
        let quiet = Duration::from_millis(5);
        let progress = AtomicU64::new(0);
        let looks = Cell::new(0);
        let failure = deserted(&progress, quiet, || async {
            looks.set(looks.get() + 1);
            match looks.get() {
                // It answers.
                1 | 2 => Ok(()),
                // It did not, but went on.
                3 => {
                    progress.fetch_add(1, Ordering::Relaxed);
                    Err(Failure::transient("DatabaseUnreachable", "hiccup"))
                }
                _ => Err(Failure::transient("DatabaseUnreachable", "gone")),
            }
        })
        .await;
        assert_eq!((failure.message.as_str(), looks.get()), ("gone", 4));
        let said = |failure, after| unfinished(failure, &after).message;
        assert_eq!(
            said(failure, Aftermath::Part),
            "gone; the database may hold a part of the restore; restore again"
        );
        let cases = [
            (
                Aftermath::Part,
                "permission denied",
                "; put that right first, then restore again",
            ),
            (Aftermath::Undone, "permission denied", "as it was before"),
            (
                Aftermath::Part,
                "cut off; restore another Snapshot",
                "a part of the restore",
            ),
        ];
        for (after, message, end) in cases {
            let said = said(Failure::permanent("LoadFailed", message), after);
            assert!(said.ends_with(end), "{said}");
        }
    }
}
