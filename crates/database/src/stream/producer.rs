//! A client process whose output becomes a stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{DumpStream, Sender, StreamError, status_text};
use crate::private_dir::PrivateDir;
use crate::stderr_tail::StderrTail;

/// How long a client may be silent before it counts as hanging. Generous: a dump sorts or waits for
/// locks without a word.
pub const SILENCE: Duration = Duration::from_secs(30 * 60);

/// Bytes of one message in the channel.
const CHUNK: usize = 256 * 1024;

/// Something that may leave out a part of a client's output.
pub(crate) trait Filter: Send {
    /// What of the output so far is to be passed on.
    fn pass(&mut self, data: BytesMut) -> Bytes;

    /// The same at the end of the output.
    fn end(&mut self) -> Bytes;
}

/// A started client whose output shall become a stream.
pub(crate) struct Producer {
    /// The process; it must have been started with `kill_on_drop`, stdout and stderr piped.
    pub(crate) child: Child,
    /// Its name for messages.
    pub(crate) program: String,
    /// What it needs on disk: removed as soon as it has written its first byte, for then it has
    /// read it.
    pub(crate) private: Arc<PrivateDir>,
    /// Text that must not appear in messages.
    pub(crate) secret: zeroize::Zeroizing<String>,
    /// What of the output is passed on.
    pub(crate) filter: Box<dyn Filter>,
    /// Turns the end of the error output into a judgement and perhaps a hint.
    pub(crate) judge: fn(&str) -> Judgement,
    /// How long it may be silent.
    pub(crate) silence: Duration,
}

/// What the error output of a client means.
pub(crate) struct Judgement {
    /// Whether the same attempt must fail again.
    pub(crate) permanent: bool,
    /// What to do about it, if we know.
    pub(crate) hint: Option<&'static str>,
}

impl Producer {
    /// Starts reading.
    pub(crate) fn stream(self, cancel: CancellationToken) -> DumpStream {
        DumpStream::of(|sender| async move { self.pump(&sender, &cancel).await.map(drop) })
    }

    /// Sends all of the output; returns how many bytes that were.
    ///
    /// # Errors
    /// If the client does not end well.
    pub(crate) async fn pump(
        mut self,
        sender: &Sender,
        cancel: &CancellationToken,
    ) -> Result<u64, StreamError> {
        let (Some(mut stdout), Some(stderr)) = (self.child.stdout.take(), self.child.stderr.take())
        else {
            return Err(StreamError::Gone);
        };
        let Self {
            mut child,
            program,
            private,
            secret,
            mut filter,
            judge,
            silence,
        } = self;
        let said = collect(stderr);
        let mut private = Some(private);
        let mut sent = 0;
        loop {
            let mut buffer = BytesMut::with_capacity(CHUNK);
            let count = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(StreamError::Cancelled),
                () = sender.closed() => return Err(StreamError::Cancelled),
                read = tokio::time::timeout(silence, stdout.read_buf(&mut buffer)) => match read {
                    Err(_) => return Err(StreamError::Silent { program, seconds: silence.as_secs() }),
                    Ok(Err(source)) => return Err(StreamError::Pipe { program, source }),
                    Ok(Ok(count)) => count,
                },
            };
            drop(private.take());
            let data = if count == 0 {
                filter.end()
            } else {
                filter.pass(buffer)
            };
            sent += data.len() as u64;
            sender.send(data, cancel).await?;
            if count == 0 {
                break;
            }
        }
        // The output is closed; the exit status says whether it was all.
        let status = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(StreamError::Cancelled),
            waited = tokio::time::timeout(silence, child.wait()) => match waited {
                Err(_) => return Err(StreamError::Silent { program, seconds: silence.as_secs() }),
                Ok(Err(source)) => return Err(StreamError::Pipe { program, source }),
                Ok(Ok(status)) => status,
            },
        };
        if status.success() {
            return Ok(sent);
        }
        let tail = said.await.unwrap_or_default();
        let mut reason = tail.reason(&[&secret]);
        let Judgement { permanent, hint } = judge(&reason);
        if let Some(hint) = hint {
            reason = format!("{reason} ({hint})");
        }
        Err(StreamError::Client {
            program,
            status: status_text(status),
            reason,
            permanent,
        })
    }
}

/// Reads the error output to its end, so that a talkative client is never blocked by it.
pub(crate) fn collect(mut stderr: ChildStderr) -> JoinHandle<StderrTail> {
    tokio::spawn(async move {
        let mut tail = StderrTail::default();
        let mut buffer = [0_u8; 4096];
        while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
            tail.push(&buffer[..count]);
        }
        tail
    })
}
