//! Why a stream did not end well.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

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
