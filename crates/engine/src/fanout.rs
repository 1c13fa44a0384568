//! One stream into several repositories at once, each with an outcome of its own.
//!
//! ```text
//!   source ─► reader ─► distributor ─┬─► buffer ─► backup_stream of repository 1
//!                                    └─► buffer ─► backup_stream of repository 2
//! ```
//! The stream is read once. Buffers are bounded: all go at the pace of the slowest, which holds up
//! the others for at most [`STALL`], then it fails alone. Memory: [`BUFFERED`] pieces of [`PIECE`]
//! bytes for each repository (4 MiB) beside what `backup_stream` itself needs.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::future::join_all;
use tokio::sync::mpsc;

use crate::{BackupRequest, BackupSummary, ByteSource, CancellationToken, EngineError, Repository};

/// A repository that takes nothing for so long has failed.
pub const STALL: Duration = Duration::from_secs(300);
/// Bytes handed on at a time.
const PIECE: usize = 256 << 10;
/// Pieces that wait for each repository.
const BUFFERED: usize = 16;

/// One repository that takes part in a fan-out.
pub struct Destination {
    /// Where the stream goes.
    pub repository: Arc<dyn Repository>,
    /// Under which name.
    pub request: BackupRequest,
}

/// Stores one stream in several repositories; the result has one outcome for each destination, in
/// their order.
///
/// If `source` fails or `cancel` fires, no destination gets a snapshot. If one destination fails,
/// the others go on; when all have failed, the stream is not read any further.
pub async fn backup_streams(
    destinations: Vec<Destination>,
    source: ByteSource,
    cancel: CancellationToken,
) -> Vec<Result<BackupSummary, EngineError>> {
    match <[Destination; 1]>::try_from(destinations) {
        // Nobody else to be held up.
        Ok(
            [
                Destination {
                    repository,
                    request,
                },
            ],
        ) => {
            vec![repository.backup_stream(request, source, cancel).await]
        }
        Err(destinations) => distribute(destinations, source, cancel, STALL).await,
    }
}

/// What the distributor hands on.
#[derive(Clone)]
enum Piece {
    Data(Bytes),
    /// The stream is complete. Without this, the end of the channel means that it is not.
    End,
    Failed(SharedError),
}

async fn distribute(
    destinations: Vec<Destination>,
    source: ByteSource,
    cancel: CancellationToken,
    stall: Duration,
) -> Vec<Result<BackupSummary, EngineError>> {
    let mut sinks = Vec::new();
    let mut backups = Vec::new();
    for destination in destinations {
        let (sender, pieces) = mpsc::channel(BUFFERED);
        let stop = cancel.child_token();
        let stalled = CancellationToken::new();
        sinks.push(Sink {
            sender: Some(sender),
            stop: stop.clone(),
            stalled: stalled.clone(),
        });
        backups.push(async move {
            let Destination {
                repository,
                request,
            } = destination;
            let feed = Box::new(Feed {
                pieces,
                current: Bytes::new(),
                ended: false,
            });
            let result = repository.backup_stream(request, feed, stop).await;
            match result {
                Err(_) if stalled.is_cancelled() => Err(EngineError::Stalled {
                    location: repository.location(),
                    seconds: stall.as_secs(),
                }),
                other => other,
            }
        });
    }
    let (sender, pieces) = mpsc::channel(1);
    // Not awaited: when nobody wants the stream any more, it may still hang in a read.
    tokio::task::spawn_blocking(move || read(source, &sender));
    let (results, ()) = tokio::join!(join_all(backups), hand_on(pieces, sinks, stall));
    results
}

/// One destination as the distributor sees it.
struct Sink {
    /// Gone when the destination has failed.
    sender: Option<mpsc::Sender<Piece>>,
    stop: CancellationToken,
    stalled: CancellationToken,
}

/// Reads the stream until it ends or nobody wants it any more.
fn read(mut source: ByteSource, pieces: &mpsc::Sender<Piece>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let piece = match source.by_ref().take(PIECE as u64).read_to_end(&mut piece) {
            Ok(0) => Piece::End,
            Ok(_) => Piece::Data(Bytes::from(piece)),
            Err(error) => Piece::Failed(SharedError(Arc::new(error))),
        };
        let last = !matches!(piece, Piece::Data(_));
        if pieces.blocking_send(piece).is_err() || last {
            return;
        }
    }
}

/// Gives every piece to every destination that still wants it.
async fn hand_on(mut pieces: mpsc::Receiver<Piece>, mut sinks: Vec<Sink>, stall: Duration) {
    while sinks.iter().any(|sink| sink.sender.is_some()) {
        let gone = join_all(sinks.iter().filter_map(|sink| sink.sender.as_ref()).map(
            |sender: &mpsc::Sender<Piece>| {
                let sender = sender.clone();
                async move { sender.closed().await }
            },
        ));
        let piece = tokio::select! {
            piece = pieces.recv() => piece,
            // All have failed while the stream gives nothing.
            _ = gone => return,
        };
        let Some(piece) = piece else {
            return;
        };
        for sink in &mut sinks {
            let Some(sender) = &sink.sender else {
                continue;
            };
            match tokio::time::timeout(stall, sender.send(piece.clone())).await {
                Ok(Ok(())) => {}
                // It failed and says so itself.
                Ok(Err(_)) => sink.sender = None,
                Err(_) => {
                    sink.stalled.cancel();
                    sink.stop.cancel();
                    sink.sender = None;
                }
            }
        }
    }
}

/// The stream as one destination reads it.
struct Feed {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Data(piece)) => self.current = piece,
                Some(Piece::End) => self.ended = true,
                Some(Piece::Failed(error)) => {
                    return Err(io::Error::new(error.0.kind(), error));
                }
                None => return Err(io::Error::other("the stream was cut off")),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// The stream's error, told to every destination.
#[derive(Clone, Debug)]
struct SharedError(Arc<io::Error>);

impl std::fmt::Display for SharedError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;
    use crate::{
        CheckDepth, CheckReport, ForgetReport, RepositoryStats, SnapshotInfo, SnapshotVerification,
    };

    /// Reads its stream as told and counts the bytes.
    #[derive(Clone, Copy)]
    enum Behaviour {
        ReadAll,
        FailAtOnce,
        Hang,
    }

    struct Fake(Behaviour);

    fn unused<T>() -> BoxFuture<'static, Result<T, EngineError>> {
        Box::pin(async { Err(EngineError::Cancelled) })
    }

    impl Repository for Fake {
        fn location(&self) -> String {
            "fake".to_owned()
        }

        fn backup_stream<'a>(
            &'a self,
            _request: BackupRequest,
            mut source: ByteSource,
            cancel: CancellationToken,
        ) -> BoxFuture<'a, Result<BackupSummary, EngineError>> {
            Box::pin(async move {
                match self.0 {
                    Behaviour::FailAtOnce => Err(EngineError::WrongPassword {
                        location: self.location(),
                    }),
                    Behaviour::Hang => {
                        cancel.cancelled().await;
                        drop(source);
                        Err(EngineError::Cancelled)
                    }
                    Behaviour::ReadAll => {
                        let reading = tokio::task::spawn_blocking(move || {
                            io::copy(&mut source, &mut io::sink())
                        });
                        let bytes_processed = reading
                            .await
                            .unwrap()
                            .map_err(|source| EngineError::StreamFailed { source })?;
                        Ok(BackupSummary {
                            snapshot_id: String::new(),
                            bytes_processed,
                            data_added: 0,
                            data_added_packed: 0,
                            started: jiff::Timestamp::UNIX_EPOCH,
                            finished: jiff::Timestamp::UNIX_EPOCH,
                            examined: crate::Examined::default(),
                        })
                    }
                }
            })
        }

        fn prepare(
            &self,
            _: crate::ReadBack,
            _: CancellationToken,
        ) -> BoxFuture<'_, Result<(), EngineError>> {
            unused()
        }
        fn examine(&self) -> BoxFuture<'_, Result<crate::Examined, EngineError>> {
            unused()
        }
        fn check(&self, _: CheckDepth) -> BoxFuture<'_, Result<CheckReport, EngineError>> {
            unused()
        }
        fn stats(&self) -> BoxFuture<'_, Result<RepositoryStats, EngineError>> {
            unused()
        }
        fn snapshots(&self) -> BoxFuture<'_, Result<Vec<SnapshotInfo>, EngineError>> {
            unused()
        }
        fn snapshot<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<SnapshotInfo, EngineError>> {
            unused()
        }
        fn forget<'a>(
            &'a self,
            _: Vec<String>,
            _: CancellationToken,
        ) -> BoxFuture<'a, Result<ForgetReport, EngineError>> {
            unused()
        }
        fn dump<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            _: Box<dyn io::Write + Send>,
            _: CancellationToken,
        ) -> BoxFuture<'a, Result<u64, EngineError>> {
            unused()
        }
        fn verify_snapshot<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            _: CheckDepth,
        ) -> BoxFuture<'a, Result<SnapshotVerification, EngineError>> {
            unused()
        }
    }

    async fn run(behaviours: &[Behaviour], source: ByteSource) -> Vec<Result<u64, &'static str>> {
        let destinations = behaviours
            .iter()
            .map(|behaviour| Destination {
                repository: Arc::new(Fake(*behaviour)),
                request: BackupRequest {
                    host: "host-0".to_owned(),
                    file_name: "dumpfile.sql".to_owned(),
                    tags: Vec::new(),
                    time: jiff::Timestamp::UNIX_EPOCH,
                },
            })
            .collect();
        let stall = Duration::from_millis(100);
        distribute(destinations, source, CancellationToken::new(), stall)
            .await
            .into_iter()
            .map(|result| result.map(|s| s.bytes_processed).map_err(|e| e.kind()))
            .collect()
    }

    #[tokio::test]
    async fn every_destination_gets_the_whole_stream() {
        let source = Box::new(io::repeat(7).take(10_000_001));
        let results = run(&[Behaviour::ReadAll; 3], source).await;
        assert_eq!(results, [Ok(10_000_001); 3]);
    }

    #[tokio::test]
    async fn one_that_fails_or_hangs_fails_alone() {
        let source = Box::new(io::repeat(7).take(10_000_000));
        let behaviours = [Behaviour::FailAtOnce, Behaviour::ReadAll, Behaviour::Hang];
        let results = run(&behaviours, source).await;
        assert_eq!(
            results,
            [Err("WrongPassword"), Ok(10_000_000), Err("Stalled")]
        );
    }

    #[tokio::test]
    async fn a_failing_stream_fails_all() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("dump died"))
            }
        }
        let source = Box::new(io::repeat(7).take(1_000_000).chain(Broken));
        let results = run(&[Behaviour::ReadAll; 2], source).await;
        assert_eq!(results, [Err("StreamFailed"); 2]);
    }

    #[tokio::test]
    async fn when_all_have_failed_the_stream_is_not_waited_for() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let results = run(&[Behaviour::FailAtOnce; 2], Box::new(reader)).await;
        assert_eq!(results, [Err("WrongPassword"); 2]);
    }
}
