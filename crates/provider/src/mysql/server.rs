//! One server process: started, watched, started again when it ends.

use std::path::Path;
use std::time::Duration;

use kubestash_node::supervisor::{Child, Exit, ProcessSpec};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::accounts;
use super::files::{Files, HOME};
use super::template::Template;
use crate::secret::Credentials;
use crate::{ProviderConfig, ProviderError, identity};

/// How long a server may take to come up; crash recovery of a large one takes its time.
const START_LIMIT: Duration = Duration::from_secs(300);
/// How often a starting server is asked whether it answers.
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// Pause before the second start of a server.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// Longest pause between two starts of a server that keeps failing.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// How a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// On its way, or on its way again; `None` or why it is not there.
    Starting(Option<String>),
    /// It takes connections.
    Ready {
        /// Its port on loopback.
        port: u16,
        /// Its version, as AppBindings give it.
        version: String,
    },
}

/// What a server is started for; other credentials need another start.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) files: Files,
    pub(crate) label: String,
    pub(crate) credentials: Credentials,
}

/// A server that is kept running. Dropping it stops the process hard; [`Server::stop`] does it cleanly.
pub(crate) struct Server {
    credentials: Credentials,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts keeping a server running; `changed` is called whenever its state changes.
    pub(crate) fn start(
        config: ProviderConfig,
        template: Template,
        wanted: Wanted,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (sender, state) = watch::channel(State::Starting(None));
        let stop = CancellationToken::new();
        let credentials = wanted.credentials.clone();
        let keeper = Keeper {
            config,
            template,
            wanted,
            stop: stop.clone(),
        };
        let task = tokio::spawn(async move {
            keeper
                .run(|new| {
                    let is_new = sender.send_if_modified(|old| {
                        let differs = *old != new;
                        *old = new;
                        differs
                    });
                    if is_new {
                        changed();
                    }
                })
                .await;
        });
        Self {
            credentials,
            state,
            stop,
            task,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Whether it was started with these credentials.
    pub(crate) fn has(&self, credentials: &Credentials) -> bool {
        self.credentials == *credentials
    }

    /// Stops the server cleanly and waits until it is gone.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // A panic of the task has been reported by the runtime; the process is gone in any case.
        let _ = self.task.await;
    }
}

struct Keeper {
    config: ProviderConfig,
    template: Template,
    wanted: Wanted,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(self, tell: impl Fn(State)) {
        let mut backoff = FIRST_BACKOFF;
        let mut told = None;
        while !self.stop.is_cancelled() {
            let began = tokio::time::Instant::now();
            let reason = match self.run_once(&tell).await {
                Ok(None) => return,
                Ok(Some(exit)) => format!(
                    "the server ended ({exit}); its output is in {:?}",
                    self.wanted.files.log()
                ),
                Err(error) => error.told(),
            };
            if told.as_ref() != Some(&reason) {
                tracing::warn!(server = %self.wanted.label, "{reason}");
                told = Some(reason.clone());
            }
            tell(State::Starting(Some(reason)));
            if began.elapsed() > MAX_BACKOFF {
                backoff = FIRST_BACKOFF;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// Runs the server until it ends (how it did) or is told to (`None`).
    async fn run_once(&self, tell: &impl Fn(State)) -> Result<Option<Exit>, ProviderError> {
        let (program, template) = self.template.ready().await?;
        let files = self.wanted.files.clone();
        let (port, first) = on_disk(move || {
            files.prepare(&template)?;
            Ok((files.port()?, !files.is_initialised()))
        })
        .await?;
        let spec = self.process(&program.path, port, first);
        let child = Child::spawn(&self.config.supervisor, spec).map_err(|error| {
            ProviderError::Program {
                action: "start the server",
                reason: error.to_string(),
                log: self.wanted.files.log(),
            }
        })?;
        tokio::select! {
            exit = child.wait() => return Ok(Some(exit)),
            () = self.stop.cancelled() => {}
            result = self.set_up(port, first) => {
                result?;
                let version = program.number().to_owned();
                tell(State::Ready { port, version });
            }
        }
        tokio::select! {
            exit = child.wait() => return Ok(Some(exit)),
            () = self.stop.cancelled() => {}
        }
        child.stop(self.config.shutdown_grace);
        child.wait().await;
        Ok(None)
    }

    /// The server process, which sets its passwords from standard input before it takes connections.
    fn process(&self, program: &Path, port: u16, first: bool) -> ProcessSpec {
        let mut masked = self.config.masked_paths.clone();
        masked.push(self.config.data_dir.clone());
        ProcessSpec {
            label: self.wanted.label.clone(),
            program: program.display().to_string(),
            args: arguments(port),
            env: vec![("PATH".to_owned(), self.config.search_path.as_str().into())],
            working_dir: None,
            identity: identity::of_servers(),
            root: Some(self.wanted.files.view(&masked)),
            stdin: Some(
                accounts::statements(&self.wanted.credentials, first)
                    .as_str()
                    .into(),
            ),
            log: self.wanted.files.log(),
            no_new_privileges: true,
        }
    }

    /// Waits until the server answers; on its first start also until all it needs is on disk.
    async fn set_up(&self, port: u16, first: bool) -> Result<(), ProviderError> {
        let begin = tokio::time::Instant::now();
        if !first {
            return self.wait_until_ready(port).await;
        }
        let files = self.wanted.files.clone();
        let (ready, synced) =
            tokio::join!(self.wait_until_ready(port), on_disk(move || files.sync()));
        ready.and(synced)?;
        tracing::debug!(server = self.wanted.label, after = ?begin.elapsed(), "a new server answers");
        accounts::remove_open_ones(port, &self.wanted.credentials).await?;
        let files = self.wanted.files.clone();
        on_disk(move || files.set_initialised()).await?;
        tracing::debug!(server = self.wanted.label, after = ?begin.elapsed(), "a new server is set up");
        Ok(())
    }

    async fn wait_until_ready(&self, port: u16) -> Result<(), ProviderError> {
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            match connect(port, &self.wanted.credentials, None).await {
                Ok(connection) => {
                    // The answer has been given; how the connection ends does not matter.
                    let _ = connection.disconnect().await;
                    return Ok(());
                }
                // It answers, but not as it should: waiting does not help.
                Err(error @ mysql_async::Error::Server(_)) => {
                    return Err(ProviderError::database("log in to the server")(error));
                }
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(ProviderError::database("connect to the server")(error));
                }
                Err(_) => tokio::time::sleep(PROBE_EVERY).await,
            }
        }
    }
}

/// Does something that may block, elsewhere.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime shuts down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Settings of a server: small, safe, and on loopback only. `loose` ones are unknown to some servers.
fn arguments(port: u16) -> Vec<String> {
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={HOME}/data"),
        format!("--socket={HOME}/data/mysqld.sock"),
        format!("--pid-file={HOME}/data/mysqld.pid"),
        format!("--tmpdir={HOME}/tmp"),
        format!("--port={port}"),
    ];
    let fixed = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--init-file=/dev/stdin",
        "--skip-log-bin",
        "--character-set-server=utf8mb4",
        "--max-allowed-packet=1G",
        "--max-connections=100",
        "--key-buffer-size=1M",
        "--innodb-buffer-pool-size=32M",
        "--innodb-flush-log-at-trx-commit=1",
        "--loose-innodb-log-file-size=8M",
        "--loose-aria-pagecache-buffer-size=8M",
        "--loose-performance-schema=OFF",
        "--loose-mysqlx=OFF",
    ];
    arguments.extend(fixed.map(str::to_owned));
    arguments
}

/// Connects to a server on loopback.
pub(crate) async fn connect(
    port: u16,
    credentials: &Credentials,
    database: Option<&str>,
) -> mysql_async::Result<Conn> {
    let options: Opts = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(credentials.username.clone()))
        .pass(Some(credentials.password.as_str()))
        .db_name(database)
        .prefer_socket(false)
        .into();
    let mut connection = Conn::new(options).await?;
    connection.ping().await?;
    Ok(connection)
}

/// Runs statements one after the other.
pub(crate) async fn execute(
    port: u16,
    credentials: &Credentials,
    statements: &[String],
    action: &'static str,
) -> Result<(), ProviderError> {
    let mut connection = connect(port, credentials, None)
        .await
        .map_err(ProviderError::database(action))?;
    for statement in statements {
        connection
            .query_drop(statement)
            .await
            .map_err(ProviderError::database(action))?;
    }
    connection
        .disconnect()
        .await
        .map_err(ProviderError::database(action))
}
