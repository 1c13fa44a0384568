//! A dump being loaded: where its bytes go, and the clients that work them off.

use std::fs::File;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::process::ExitStatus;

use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::private_dir::PrivateDir;
use crate::stderr_tail::StderrTail;
use crate::stream::{Judgement, explained, status_text};

/// Why a dump could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A client ended with an error.
    #[error("failed to load the dump: {program} ended with {status}{}", explained(.reason))]
    Client {
        /// The client's name.
        program: String,
        /// `exit code 1`.
        status: String,
        /// What it said about the statement that failed.
        reason: String,
        /// Whether the same attempt must fail again.
        permanent: bool,
        /// True when the server has taken everything back.
        undone: bool,
    },
    /// The dump broke off.
    #[error("failed to load the dump: it ended before its end")]
    Broken {
        /// True when the server has taken everything back.
        undone: bool,
    },
    /// The caller cancelled.
    #[error("failed to load the dump: cancelled")]
    Cancelled {
        /// True when the server has taken everything back.
        undone: bool,
    },
    /// A client could not be waited for.
    #[error("failed to wait for {program}")]
    Wait {
        /// The client's name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LoadError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Client { .. } => "LoadFailed",
            Self::Broken { .. } => "LoadIncomplete",
            Self::Cancelled { .. } => "Cancelled",
            Self::Wait { .. } => "LoadUnreadable",
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

    /// Whether the databases are as they were before.
    pub fn is_undone(&self) -> bool {
        match self {
            Self::Client { undone, .. } | Self::Broken { undone } | Self::Cancelled { undone } => {
                *undone
            }
            Self::Wait { .. } => false,
        }
    }
}

/// Where bytes of a dump go, and what has to happen after the last one.
pub(crate) trait Input: Write + Send {
    /// Takes note that everything has been written.
    fn end(self: Box<Self>) -> io::Result<()>;
}

impl Input for File {
    fn end(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// Takes the dump's bytes; blocks while the clients are busy. After the last byte comes [`LoadSink::finish`]; without
/// it, drop the [`RunningLoad`] first, which ends the clients.
pub struct LoadSink(Box<dyn Input>);

impl LoadSink {
    pub(crate) fn new(input: impl Input + 'static) -> Self {
        Self(Box::new(input))
    }

    /// Says that the dump is complete. Blocks.
    ///
    /// # Errors
    /// If it is not, or a client does not take the rest; the client knows better why.
    pub fn finish(self) -> io::Result<()> {
        self.0.end()
    }
}

impl Write for LoadSink {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The clients at work. Dropping it ends them.
pub struct RunningLoad {
    working: Pin<Box<dyn Future<Output = Result<(), LoadError>> + Send>>,
    undone: bool,
}

impl RunningLoad {
    /// Clients that `working` waits for and that end when it is dropped. `undone`: whether the server then takes
    /// everything back.
    pub(crate) fn new(
        working: impl Future<Output = Result<(), LoadError>> + Send + 'static,
        undone: bool,
    ) -> Self {
        Self {
            working: Box::pin(working),
            undone,
        }
    }

    /// Whether the server takes everything back if this is dropped before it is finished.
    pub fn is_undone_by_drop(&self) -> bool {
        self.undone
    }

    /// Waits until the clients have worked off everything that was written to their sink.
    ///
    /// # Errors
    /// What a client said about the statement that failed.
    pub async fn finish(self, cancel: &CancellationToken) -> Result<(), LoadError> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(LoadError::Cancelled { undone: self.undone }),
            result = self.working => result,
        }
    }
}

/// A client that reads a dump from its standard input.
pub(crate) struct LoadClient {
    /// The process, started with `kill_on_drop`.
    pub(crate) child: Child,
    /// Its name for messages.
    pub(crate) program: String,
    /// What it says.
    pub(crate) said: JoinHandle<StderrTail>,
    /// Text that must not appear in messages.
    pub(crate) secret: Zeroizing<String>,
    /// Finds its reason in what it said, without the secrets.
    pub(crate) reason: fn(&StderrTail, &[&str]) -> String,
    /// Turns the reason into a judgement and perhaps a hint.
    pub(crate) judge: fn(&str) -> Judgement,
    /// What it needs on disk.
    pub(crate) _private: std::sync::Arc<PrivateDir>,
}

impl LoadClient {
    /// Waits for its end.
    ///
    /// # Errors
    /// What it said, if it did not end with success.
    pub(crate) async fn wait(&mut self, undone: bool) -> Result<(), LoadError> {
        let status = self.child.wait().await.map_err(|source| LoadError::Wait {
            program: self.program.clone(),
            source,
        })?;
        if status.success() {
            return Ok(());
        }
        Err(self.failed(status, undone).await)
    }

    async fn failed(&mut self, status: ExitStatus, undone: bool) -> LoadError {
        let said = (&mut self.said).await.unwrap_or_default();
        let mut reason = (self.reason)(&said, &[&self.secret]);
        let Judgement { permanent, hint } = (self.judge)(&reason);
        if let Some(hint) = hint {
            reason = format!("{reason} ({hint})");
        }
        LoadError::Client {
            program: self.program.clone(),
            status: status_text(status),
            reason,
            permanent,
            undone,
        }
    }
}
