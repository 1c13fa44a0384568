//! The messages between `up`, monitor and init: JSON in length-prefixed frames over one socket each
//! way.
//!
//! Frames carry their length so that a reader never takes bytes that belong to the next message.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Exit, ProcessSpec, StopSignal};

/// Larger than any pod's Secrets together may be; smaller than what would hurt.
const MAX_FRAME: usize = 64 << 20;

/// The first message to a fresh supervisor process: which part it plays.
#[derive(Serialize, Deserialize)]
pub(super) enum Stage {
    /// Watch over an init and write the log.
    Monitor(Box<ProcessSpec>),
    /// Prepare the surroundings, start the process, be its PID 1.
    Init(Box<ProcessSpec>),
}

/// From `up` to the monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// The signal now, SIGKILL for everything after the grace.
    Stop {
        /// What the process is asked with.
        signal: StopSignal,
        /// Milliseconds between the two.
        grace_ms: u64,
    },
}

/// From init to the monitor and on to `up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// The process itself runs.
    Running,
    /// It is over, and its log is complete.
    Ended(Exit),
}

/// Encodes a message with its length; wiped when dropped, as it may hold secrets.
pub(super) fn frame<T: Serialize>(message: &T) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; 4]);
    serde_json::to_writer(&mut *bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).map_err(|_| io::ErrorKind::FileTooLarge)?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// Decodes the payload of a frame.
pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> io::Result<T> {
    serde_json::from_slice(payload).map_err(io::Error::from)
}

/// The payload length that a frame's head announces.
pub(super) fn payload_length(head: [u8; 4]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        Err(io::ErrorKind::FileTooLarge.into())
    } else {
        Ok(length)
    }
}

/// Sends one message.
pub(super) fn send<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    stream.write_all(&frame(message)?)
}

/// Receives one message; `None` when the other side has gone.
pub(super) fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    match stream.read_exact(&mut head) {
        Ok(()) => {}
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let mut payload = Zeroizing::new(vec![0; payload_length(head)?]);
    stream.read_exact(&mut payload)?;
    decode(&payload).map(Some)
}

/// Takes standard input as the socket to whoever started us, and reads our part from it.
pub(super) fn accept() -> io::Result<Option<(Stage, UnixStream)>> {
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    Ok(receive(&mut control)?.map(|stage| (stage, control)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_takes_one_message_at_a_time() {
        let mut stream = Vec::new();
        send(&mut stream, &Report::Running).unwrap();
        send(&mut stream, &Report::Ended(Exit::Code(3))).unwrap();
        let mut reader = stream.as_slice();
        assert_eq!(
            receive::<Report>(&mut reader).unwrap(),
            Some(Report::Running)
        );
        assert_eq!(
            receive::<Report>(&mut reader).unwrap(),
            Some(Report::Ended(Exit::Code(3)))
        );
        assert_eq!(receive::<Report>(&mut reader).unwrap(), None);
    }

    #[test]
    fn a_frame_that_claims_too_much_is_refused_before_it_is_read() {
        let mut reader: &[u8] = &u32::MAX.to_be_bytes();
        assert!(receive::<Report>(&mut reader).is_err());
    }
}
