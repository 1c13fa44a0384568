//! The dump on its way to the repositories: counted, shown in the log, and its failure remembered.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use kubestash_database::StreamError;
use kubestash_domain::format;

use crate::failure::Failure;

/// How often a line in the log says how far a dump has come.
const REPORT: Duration = Duration::from_secs(10);

/// What is known about a stream that somebody else reads.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Known>);

#[derive(Default)]
struct Known {
    bytes: AtomicU64,
    failure: OnceLock<Failure>,
}

impl Watch {
    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Why the stream ended early, if it did.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.0.failure.get()
    }
}

/// A stream that tells a [`Watch`] what happens to it.
pub(super) struct Watched<R> {
    inner: R,
    watch: Watch,
    started: Instant,
    reported: Instant,
}

impl<R: Read> Watched<R> {
    /// Watches `inner`.
    pub(super) fn new(inner: R) -> (Self, Watch) {
        let watch = Watch::default();
        let now = Instant::now();
        (
            Self {
                inner,
                watch: watch.clone(),
                started: now,
                reported: now,
            },
            watch,
        )
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer).inspect_err(|error| {
            // Only the first failure is the reason.
            let _ = self.watch.0.failure.set(failure_of(error));
        })?;
        let before = self
            .watch
            .0
            .bytes
            .fetch_add(count as u64, Ordering::Relaxed);
        if self.reported.elapsed() >= REPORT {
            self.reported = Instant::now();
            let bytes = before + count as u64;
            let seconds = self.started.elapsed().as_secs().max(1);
            tracing::info!(
                "dumping: {} so far, {}/s",
                format::bytes(bytes),
                format::decimal_bytes(bytes / seconds)
            );
        }
        Ok(count)
    }
}

fn failure_of(error: &io::Error) -> Failure {
    match StreamError::in_io(error) {
        Some(StreamError::Cancelled) => Failure::cancelled(),
        Some(error) if error.is_permanent() => Failure::permanent(error.kind(), error.to_string()),
        Some(error) => Failure::transient(error.kind(), error.to_string()),
        None => Failure::transient(
            "DumpUnreadable",
            format!("failed to read the dump: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other(StreamError::Client {
                program: "mariadb-dump".into(),
                status: "exit code 2".into(),
                reason: "no".into(),
                permanent: true,
            }))
        }
    }

    #[test]
    fn bytes_are_counted_and_the_first_failure_is_kept() {
        let (mut watched, watch) = Watched::new(io::repeat(1).take(1000).chain(Broken));
        io::copy(&mut watched, &mut io::sink()).unwrap_err();
        assert_eq!(watch.bytes(), 1000);
        let failure = watch.failure().unwrap();
        assert!(failure.permanent);
        assert_eq!(
            failure.message,
            "failed to dump: mariadb-dump ended with exit code 2: no"
        );
        assert!(watched.read(&mut [0; 10]).is_err());
    }
}
