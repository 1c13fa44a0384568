//! A client program's output as a stream that cannot end early without saying so.
//!
//! ```text
//!   client's stdout ──► pump (task) ──► bounded channel ──► DumpStream: Read ──► engine
//!        └ exit status, stderr ──┘ a last message: complete, or why not
//! ```
//!
//! Invariant: [`DumpStream`] returns `Ok(0)` only after the client ended with success. Anything else (a
//! bad exit, a kill, a cancel, a silence of [`SILENCE`], a pump that is gone) is an `Err`.
//! A dropped stream ends the client.

use std::future::Future;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::private_dir::PrivateDir;
use crate::stderr_tail::StderrTail;

/// How long a client may be silent before it counts as hanging. Generous: a dump sorts or waits for
/// locks without a word.
pub const SILENCE: Duration = Duration::from_secs(30 * 60);

/// Bytes of one message in the channel, and how many may wait.
const CHUNK: usize = 256 * 1024;
const WAITING: usize = 4;

/// Why a stream did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The client ended with an error.
    #[error("failed to dump: {program} ended with {status}{}", explained(.reason))]
    Client {
        /// The client's name.
        program: String,
        /// `exit code 2`, `signal 9`.
        status: String,
        /// The end of what it said.
        reason: String,
        /// Whether the same attempt must fail again.
        permanent: bool,
    },
    /// The caller cancelled.
    #[error("failed to dump: cancelled")]
    Cancelled,
    /// A client did not start.
    #[error("failed to start {program}")]
    Start {
        /// The client's name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing was heard for too long.
    #[error(
        "failed to dump: {program} has written nothing for {seconds} s; look for locks and for a stuck server"
    )]
    Silent {
        /// The client's name.
        program: String,
        /// For how long.
        seconds: u64,
    },
    /// The pipe to the client broke.
    #[error("failed to read from {program}")]
    Pipe {
        /// The client's name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The task that reads from the client is gone.
    #[error("failed to dump: the reading task ended early")]
    Gone,
}

pub(crate) fn explained(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

impl StreamError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Client { .. } => "DumpFailed",
            Self::Cancelled => "Cancelled",
            Self::Start { .. } => "ClientUnusable",
            Self::Silent { .. } => "DumpSilent",
            Self::Pipe { .. } | Self::Gone => "DumpUnreadable",
        }
    }

    /// Whether the same attempt must fail again until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Client {
                permanent: true,
                ..
            }
        )
    }

    /// The stream error inside an I/O error that a [`DumpStream`] returned.
    pub fn in_io(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

/// `exit code 2` or `signal 9`.
pub(crate) fn status_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

enum Message {
    Data(Bytes),
    Complete,
    Failed(StreamError),
}

/// The bytes of a dump. See the module's invariant.
pub struct DumpStream {
    receiver: mpsc::Receiver<Message>,
    current: Bytes,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Complete,
    Failed,
}

impl Read for DumpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.current.has_remaining() {
                let count = self.current.len().min(buffer.len());
                self.current.copy_to_slice(&mut buffer[..count]);
                return Ok(count);
            }
            match self.state {
                State::Complete => return Ok(0),
                State::Failed => return Err(io::Error::other(StreamError::Gone)),
                State::Open => {}
            }
            match self.receiver.blocking_recv() {
                Some(Message::Data(data)) => self.current = data,
                Some(Message::Complete) => self.state = State::Complete,
                Some(Message::Failed(error)) => {
                    self.state = State::Failed;
                    return Err(io::Error::other(error));
                }
                None => {
                    self.state = State::Failed;
                    return Err(io::Error::other(StreamError::Gone));
                }
            }
        }
    }
}

impl DumpStream {
    /// A stream of what `write` sends; it is complete if and when that ends well.
    pub(crate) fn of<F>(write: impl FnOnce(Sender) -> F) -> Self
    where
        F: Future<Output = Result<(), StreamError>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(WAITING);
        let writing = write(Sender(sender.clone()));
        tokio::spawn(async move {
            let last = match writing.await {
                Ok(()) => Message::Complete,
                Err(error) => Message::Failed(error),
            };
            // Nobody left to tell: the consumer has dropped the stream.
            let _ = sender.send(last).await;
        });
        Self {
            receiver,
            current: Bytes::new(),
            state: State::Open,
        }
    }
}

/// The writing end of a [`DumpStream`].
pub(crate) struct Sender(mpsc::Sender<Message>);

impl Sender {
    /// Sends bytes, once there is room.
    ///
    /// # Errors
    /// [`StreamError::Cancelled`] if that was asked for, or nobody reads any more.
    pub(crate) async fn send(
        &self,
        data: Bytes,
        cancel: &CancellationToken,
    ) -> Result<(), StreamError> {
        if data.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(StreamError::Cancelled),
            sent = self.0.send(Message::Data(data)) => sent.map_err(|_| StreamError::Cancelled),
        }
    }
}

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
    /// What it needs on disk: removed as soon as it has written its first byte, for then it has read it.
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
                () = sender.0.closed() => return Err(StreamError::Cancelled),
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

/// Holds back the first line until it is known whether it is to be left out.
pub(crate) struct FirstLine {
    skip: fn(&[u8]) -> bool,
    held: Option<BytesMut>,
}

impl FirstLine {
    /// A longer first line is none that anybody wants to leave out.
    const LONGEST: usize = 1024;

    /// Leaves out a first line for which `skip` says so.
    pub(crate) fn new(skip: fn(&[u8]) -> bool) -> Self {
        Self {
            skip,
            held: Some(BytesMut::new()),
        }
    }
}

impl Filter for FirstLine {
    fn pass(&mut self, data: BytesMut) -> Bytes {
        let Some(mut held) = self.held.take() else {
            return data.freeze();
        };
        held.extend_from_slice(&data);
        match held.iter().position(|byte| *byte == b'\n') {
            Some(end) if (self.skip)(&held[..end]) => {
                held.advance(end + 1);
                held.freeze()
            }
            None if held.len() < Self::LONGEST => {
                self.held = Some(held);
                Bytes::new()
            }
            _ => held.freeze(),
        }
    }

    fn end(&mut self) -> Bytes {
        match self.held.take() {
            Some(held) if !(self.skip)(&held) => held.freeze(),
            _ => Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    fn producer(script: &str) -> (Producer, tempfile::TempDir) {
        let parent = tempfile::tempdir().unwrap();
        let private = PrivateDir::create_in(parent.path()).unwrap();
        private.write("client.cnf", b"password").unwrap();
        let child = tokio::process::Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let producer = Producer {
            child,
            program: "sh".into(),
            private: Arc::new(private),
            secret: "hunter2".to_owned().into(),
            filter: Box::new(FirstLine::new(|line| line.starts_with(b"SKIP"))),
            judge: |text| Judgement {
                permanent: text.contains("for ever"),
                hint: text.contains("hint").then_some("do this"),
            },
            silence: Duration::from_secs(20),
        };
        (producer, parent)
    }

    async fn read(
        script: &str,
        cancel: CancellationToken,
    ) -> (Vec<u8>, Result<usize, StreamError>) {
        let (producer, _parent) = producer(script);
        drain(producer.stream(cancel)).await
    }

    async fn drain(mut stream: DumpStream) -> (Vec<u8>, Result<usize, StreamError>) {
        tokio::task::spawn_blocking(move || {
            let mut data = Vec::new();
            let result = stream.read_to_end(&mut data).map_err(|error| {
                *error
                    .into_inner()
                    .unwrap()
                    .downcast::<StreamError>()
                    .unwrap()
            });
            (data, result)
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn a_whole_output_arrives_whole_and_without_the_unwanted_first_line() {
        let cases = [
            ("printf 'a\\nb'", "a\nb"),
            ("printf 'SKIP me\\na\\nb\\n'", "a\nb\n"),
            ("printf SK; sleep 0.05; printf 'IP\\nx'", "x"),
            ("printf 'SKIP only'", ""),
            ("printf 'a\\nSKIP\\n'", "a\nSKIP\n"),
            ("true", ""),
        ];
        for (script, expected) in cases {
            let (data, result) = read(script, CancellationToken::new()).await;
            result.unwrap();
            assert_eq!(String::from_utf8(data).unwrap(), expected, "{script}");
        }
        let (data, result) = read("head -c 5000000 /dev/zero", CancellationToken::new()).await;
        assert_eq!((data.len(), result.unwrap()), (5_000_000, 5_000_000));
    }

    #[tokio::test]
    async fn a_client_that_fails_ends_the_stream_in_an_error_with_its_words_and_no_secret() {
        let script = "echo data; echo 'denied for hunter2, for ever, hint' >&2; exit 3";
        let (data, result) = read(script, CancellationToken::new()).await;
        assert_eq!(data, b"data\n");
        let error = result.unwrap_err();
        assert!(error.is_permanent());
        assert_eq!(
            error.to_string(),
            "failed to dump: sh ended with exit code 3: denied for ***, for ever, hint (do this)"
        );
        let (_, result) = read("echo data; kill -9 $$", CancellationToken::new()).await;
        let error = result.unwrap_err();
        assert!(!error.is_permanent());
        assert_eq!(error.to_string(), "failed to dump: sh ended with signal 9");
    }

    #[tokio::test]
    async fn a_cancelled_or_silent_client_is_ended() {
        let cancel = CancellationToken::new();
        let (first, _parent) = producer("echo x; exec sleep 1000");
        let pid = first.child.id().unwrap();
        let stream = first.stream(cancel.clone());
        let reading = tokio::spawn(drain(stream));
        cancel.cancel();
        assert!(matches!(
            reading.await.unwrap().1,
            Err(StreamError::Cancelled)
        ));
        wait_until_gone(pid).await;

        let (mut silent, _parent) = producer("exec sleep 1000");
        silent.silence = Duration::from_millis(100);
        let stream = silent.stream(CancellationToken::new());
        assert!(matches!(
            drain(stream).await.1,
            Err(StreamError::Silent { .. })
        ));
    }

    #[tokio::test]
    async fn a_dropped_stream_ends_the_client_and_files_go_with_the_first_byte() {
        let (producer, parent) = producer("echo x; exec sleep 1000");
        let pid = producer.child.id().unwrap();
        let mut stream = producer.stream(CancellationToken::new());
        let stream = tokio::task::spawn_blocking(move || {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream
        })
        .await
        .unwrap();
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        drop(stream);
        wait_until_gone(pid).await;
    }

    async fn wait_until_gone(pid: u32) {
        let stat = format!("/proc/{pid}/stat");
        let gone = async {
            // A zombie is gone as well: tokio reaps it in its own time.
            while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone)
            .await
            .unwrap();
    }
}
