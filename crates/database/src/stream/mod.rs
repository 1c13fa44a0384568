//! A client program's output as a stream that cannot end early without saying so.
//!
//! ```text
//!   client's stdout ──► pump (task) ──► bounded channel ──► DumpStream: Read ──► engine
//!        └ exit status, stderr ──┘ a last message: complete, or why not
//! ```
//!
//! Invariant: [`DumpStream`] returns `Ok(0)` only after the client ended with success. Anything
//! else (a bad exit, a kill, a cancel, a silence of [`SILENCE`], a pump that is gone) is an `Err`.
//! A dropped stream ends the client.

mod error;
mod first_line;
mod producer;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io::{self, Read};

use bytes::{Buf, Bytes};
pub use error::StreamError;
pub(crate) use error::{explained, status_text};
pub(crate) use first_line::FirstLine;
pub use producer::SILENCE;
pub(crate) use producer::{Filter, Judgement, Producer, collect};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many messages may wait in the channel.
const WAITING: usize = 4;

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

    /// Resolves when nobody reads any more.
    async fn closed(&self) {
        self.0.closed().await;
    }
}
