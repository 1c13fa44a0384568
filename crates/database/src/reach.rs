//! Reaching a server: waiting for one that does not answer, and giving up at once on one that
//! refuses.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::connection::Connection;

/// Time that one attempt to connect gets.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Pause before the second attempt; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a line in the log says that we still wait.
const REPORT: Duration = Duration::from_secs(30);

/// Why a server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It refuses the credentials.
    #[error(
        "failed to log in to the database at {address}: {message}; correct username and password in {secret}, which {origin} names"
    )]
    Refused {
        /// `host:port`.
        address: String,
        /// What the server said.
        message: String,
        /// Where the credentials come from.
        secret: String,
        /// The AppBinding.
        origin: String,
    },
    /// Its certificate or its encryption is not what the AppBinding asks for.
    #[error(
        "failed to agree on encryption with the database at {address}: {message}; correct spec.clientConfig.caBundle or spec.tlsSecret of {origin}, or the server's certificate"
    )]
    Encryption {
        /// `host:port`.
        address: String,
        /// What is wrong.
        message: String,
        /// The AppBinding.
        origin: String,
    },
    /// It did not answer in time.
    #[error(
        "failed to reach the database at {address} (from {origin}) within {} s: {message}", .waited.as_secs()
    )]
    Silent {
        /// `host:port`.
        address: String,
        /// The AppBinding.
        origin: String,
        /// How long we waited.
        waited: Duration,
        /// What went wrong last.
        message: String,
    },
    /// A query failed.
    #[error("failed to {what} on the database at {address}: {message}")]
    Query {
        /// What the query was for.
        what: &'static str,
        /// `host:port`.
        address: String,
        /// What the server said.
        message: String,
        /// Whether the same attempt must fail again.
        permanent: bool,
    },
}

impl ServerError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "DatabaseAccessDenied",
            Self::Encryption { .. } => "DatabaseEncryption",
            Self::Silent { .. } => "DatabaseUnreachable",
            Self::Query { .. } => "DatabaseQueryFailed",
        }
    }

    /// Whether the same attempt must fail again until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Encryption { .. } => true,
            Self::Silent { .. } => false,
            Self::Query { permanent, .. } => *permanent,
        }
    }
}

/// A server that is waited for, or no longer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseWait {
    /// `host:port`.
    pub address: String,
    /// Why the last attempt to connect failed; none once the wait is over.
    pub message: Option<String>,
    /// How long it is waited for at most.
    pub timeout: Duration,
}

/// Whoever wants to report what it waits for listens to all connections of the process.
static WAITS: LazyLock<broadcast::Sender<DatabaseWait>> =
    LazyLock::new(|| broadcast::Sender::new(64));

/// Every wait of this process for a database server from now on.
pub fn database_waits() -> broadcast::Receiver<DatabaseWait> {
    WAITS.subscribe()
}

/// Reports a wait when it begins and changes, and its end however it ends.
struct Reported<'a> {
    to: &'a Connection,
    timeout: Duration,
    waits: bool,
}

impl Reported<'_> {
    fn waits(&mut self, message: &str) {
        self.waits = true;
        self.send(Some(message.to_owned()));
    }

    fn send(&self, message: Option<String>) {
        // It fails if nobody listens.
        let _ = WAITS.send(DatabaseWait {
            address: self.to.address(),
            message,
            timeout: self.timeout,
        });
    }
}

impl Drop for Reported<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.send(None);
        }
    }
}

/// Why one attempt to connect failed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The server does not let this user in.
    Denied(String),
    /// Client and server do not agree on encryption.
    Encryption(String),
    /// It may work later.
    NotYet(String),
}

/// What an editor or `echo` has added to a Secret, and nobody sees.
fn line_break(to: &Connection) -> String {
    let ends = |text: &str| text.ends_with(['\n', '\r']);
    let what = match (ends(to.credentials.user()), ends(to.credentials.password())) {
        (_, true) => "password",
        (true, false) => "username",
        (false, false) => return String::new(),
    };
    format!(" (the {what} in {} ends with a line break)", to.secret)
}

/// Connects until the server answers, at most `timeout`. Only silence is waited for: a refusal
/// fails at once.
///
/// # Errors
/// [`ServerError::Refused`], [`ServerError::Encryption`] or, at the end of the time,
/// [`ServerError::Silent`].
pub(crate) async fn wait<T, F>(
    to: &Connection,
    timeout: Duration,
    mut connect: impl FnMut() -> F,
) -> Result<T, ServerError>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut reported = started;
    let mut listeners = Reported {
        to,
        timeout,
        waits: false,
    };
    loop {
        let left = timeout.saturating_sub(started.elapsed());
        let attempt = ATTEMPT.min(left.max(Duration::from_secs(1)));
        let (address, origin) = (to.address(), to.origin.clone());
        let message = match tokio::time::timeout(attempt, connect()).await {
            Ok(Ok(server)) => return Ok(server),
            Ok(Err(Refusal::Encryption(message))) => {
                return Err(ServerError::Encryption {
                    address,
                    message,
                    origin,
                });
            }
            Ok(Err(Refusal::Denied(message))) => {
                return Err(ServerError::Refused {
                    address,
                    message: format!("{message}{}", line_break(to)),
                    secret: to.secret.clone(),
                    origin,
                });
            }
            Ok(Err(Refusal::NotYet(message))) => message,
            Err(_) => format!("no answer within {} s", attempt.as_secs()),
        };
        let waited = started.elapsed();
        if waited + pause >= timeout {
            return Err(ServerError::Silent {
                address,
                origin,
                waited: timeout,
                message,
            });
        }
        listeners.waits(&message);
        if reported == started || reported.elapsed() >= REPORT {
            tracing::info!(
                "waiting for the database at {address} ({} of {} s): {message}",
                waited.as_secs(),
                timeout.as_secs()
            );
            reported = Instant::now();
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
