//! A dump being loaded: where its bytes go, and the clients that work them off.

use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::process::ExitStatus;

use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::aftermath::{Aftermath, Now};
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
        /// What it leaves behind.
        after: Aftermath,
    },
    /// The dump broke off.
    #[error("failed to load the dump: it ended before its end")]
    Broken {
        /// What it leaves behind.
        after: Aftermath,
    },
    /// The caller cancelled.
    #[error("failed to load the dump: cancelled")]
    Cancelled {
        /// What it leaves behind.
        after: Aftermath,
    },
    /// The dump ended the transaction that it was loaded in.
    #[error(
        "failed to load the dump: it ended the transaction of the database {database:?} that all of it belongs into; restore another Snapshot"
    )]
    Escaped {
        /// The database.
        database: String,
    },
    /// The client waits for more of a dump that is at its end.
    #[error(
        "failed to load the dump: it ends within a statement or data, and {program} waits for the rest; restore another Snapshot"
    )]
    Unended {
        /// The client's name.
        program: String,
        /// What it leaves behind.
        after: Aftermath,
    },
    /// A client for a database could not be started.
    #[error("failed to load the dump: {program} does not start")]
    Start {
        /// The client's name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
        /// What it leaves behind.
        after: Aftermath,
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
            Self::Escaped { .. } => "LoadTransactionEnded",
            Self::Unended { .. } => "LoadIncomplete",
            Self::Start { .. } => "ClientUnusable",
        }
    }

    /// Whether the same attempt must fail again until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Client {
                permanent: true,
                ..
            } | Self::Escaped { .. }
                | Self::Unended { .. }
        )
    }

    /// What it leaves behind.
    pub fn aftermath(&self) -> Aftermath {
        match self {
            Self::Client { after, .. }
            | Self::Broken { after }
            | Self::Cancelled { after }
            | Self::Unended { after, .. }
            | Self::Start { after, .. } => after.clone(),
            Self::Escaped { database } => Aftermath::Escaped(database.clone()),
            Self::Wait { .. } => Aftermath::Part,
        }
    }

    /// Whether the databases are as they were before.
    pub fn is_undone(&self) -> bool {
        self.aftermath() == Aftermath::Undone
    }
}

/// Where bytes of a dump go, and what has to happen after the last one.
pub(crate) trait Input: Write + Send {
    /// Takes note that everything has been written.
    fn end(self: Box<Self>) -> io::Result<()>;
}

/// Takes the dump's bytes; blocks while the clients are busy. After the last byte comes
/// [`LoadSink::finish`]; without it, drop the [`RunningLoad`] first, which ends the clients.
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
    now: Now,
}

impl RunningLoad {
    /// Clients that `working` waits for and that end when it is dropped. `now`: what they would
    /// then leave behind.
    pub(crate) fn new(
        working: impl Future<Output = Result<(), LoadError>> + Send + 'static,
        now: Now,
    ) -> Self {
        Self {
            working: Box::pin(working),
            now,
        }
    }

    /// What is left behind if this is dropped now.
    pub fn aftermath(&self) -> Aftermath {
        self.now.get()
    }

    /// Tells the same from somewhere else.
    pub fn watch(&self) -> LoadWatch {
        LoadWatch(self.now.clone())
    }

    /// Waits until the clients have worked off everything that was written to their sink.
    ///
    /// # Errors
    /// What a client said about the statement that failed.
    pub async fn finish(self, cancel: &CancellationToken) -> Result<(), LoadError> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(LoadError::Cancelled { after: self.now.get() }),
            result = self.working => result,
        }
    }
}

/// Tells what a load would leave behind.
#[derive(Clone, Debug)]
pub struct LoadWatch(Now);

impl LoadWatch {
    /// What is left behind if the load ends now.
    pub fn aftermath(&self) -> Aftermath {
        self.0.get()
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
    pub(crate) async fn wait(&mut self, after: Aftermath) -> Result<(), LoadError> {
        let status = self.child.wait().await.map_err(|source| LoadError::Wait {
            program: self.program.clone(),
            source,
        })?;
        if status.success() {
            return Ok(());
        }
        Err(self.failed(status, after).await)
    }

    async fn failed(&mut self, status: ExitStatus, after: Aftermath) -> LoadError {
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
            after,
        }
    }
}
