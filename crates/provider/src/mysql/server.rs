//! One server process: started, watched, started again when it ends.

use std::time::Duration;

use kubestash_node::supervisor::{Child, Exit, ProcessSpec};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::files::Files;
use super::program::path_with_sbin;
use super::template::Template;
use crate::secret::Credentials;
use crate::{ProviderConfig, ProviderError, identity};

/// How long a server may take to come up; crash recovery of a large one takes its time.
const START_LIMIT: Duration = Duration::from_secs(300);
/// How often a starting server is asked whether it answers.
const PROBE_EVERY: Duration = Duration::from_millis(20);
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

/// A server that is kept running. Dropping it stops the process hard; [`Server::stop`] does it cleanly.
pub(crate) struct Server {
    state: watch::Receiver<State>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts keeping a server running; `changed` is called whenever its state changes.
    pub(crate) fn start(
        config: ProviderConfig,
        template: Template,
        files: Files,
        label: String,
        credentials: Credentials,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (sender, state) = watch::channel(State::Starting(None));
        let stop = CancellationToken::new();
        let keeper = Keeper {
            config,
            template,
            files,
            label,
            credentials,
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
        Self { state, stop, task }
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
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
    files: Files,
    label: String,
    credentials: Credentials,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(self, tell: impl Fn(State)) {
        let mut backoff = Duration::from_millis(250);
        while !self.stop.is_cancelled() {
            let began = tokio::time::Instant::now();
            let reason = match self.run_once(&tell).await {
                Ok(None) => return,
                Ok(Some(exit)) => format!(
                    "the server ended with {exit}; its output is in {:?}",
                    self.files.log()
                ),
                Err(error) => error.told(),
            };
            tracing::warn!(server = %self.label, "{reason}");
            tell(State::Starting(Some(reason)));
            if began.elapsed() > MAX_BACKOFF {
                backoff = Duration::from_millis(250);
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
        let (files, first) = (self.files.clone(), self.first_statements());
        let prepared = tokio::task::spawn_blocking(move || {
            files.prepare(&template)?;
            let port = files.port()?;
            files.write_settings(port)?;
            let first = if files.is_initialised() {
                None
            } else {
                Some(files.write_first_statements(&first)?)
            };
            Ok::<_, ProviderError>((port, first))
        });
        let (port, first) = prepared.await.map_err(|error| ProviderError::Program {
            action: "prepare the data directory",
            reason: error.to_string(),
            log: self.files.log(),
        })??;
        let mut args = vec![format!(
            "--defaults-file={}",
            self.files.settings().display()
        )];
        args.extend(
            first
                .iter()
                .map(|file| format!("--init-file={}", file.display())),
        );
        let spec = ProcessSpec {
            label: self.label.clone(),
            program: program.path.display().to_string(),
            args,
            env: vec![(
                "PATH".to_owned(),
                path_with_sbin(&self.config.search_path).into(),
            )],
            working_dir: None,
            identity: identity::of_servers(),
            root: None,
            stdin: None,
            log: self.files.log(),
            no_new_privileges: true,
        };
        let child = Child::spawn(&self.config.supervisor, spec).map_err(|error| {
            ProviderError::Program {
                action: "start the server",
                reason: error.to_string(),
                log: self.files.log(),
            }
        })?;
        let ready = tokio::select! {
            exit = child.wait() => return Ok(Some(exit)),
            () = self.stop.cancelled() => false,
            result = self.wait_until_ready(port) => { result?; true }
        };
        if ready {
            if first.is_some() {
                self.files.set_initialised()?;
            }
            self.files.remove_first_statements()?;
            tell(State::Ready {
                port,
                version: program.number().to_owned(),
            });
        }
        tokio::select! {
            exit = child.wait() => return Ok(Some(exit)),
            () = self.stop.cancelled() => {}
        }
        child.stop(self.config.shutdown_grace);
        child.wait().await;
        Ok(None)
    }

    /// Statements for the first start: one per line, as the server wants them.
    fn first_statements(&self) -> zeroize::Zeroizing<String> {
        let user = quoted(&self.credentials.username);
        let password = zeroize::Zeroizing::new(quoted(&self.credentials.password));
        let password = password.as_str();
        // Over TCP on loopback, without name resolution, a client is `127.0.0.1`, which only `%` matches.
        zeroize::Zeroizing::new(format!(
            "CREATE USER IF NOT EXISTS {user}@'%' IDENTIFIED BY {password};\n\
             ALTER USER {user}@'%' IDENTIFIED BY {password};\n\
             GRANT ALL PRIVILEGES ON *.* TO {user}@'%' WITH GRANT OPTION;\n\
             ALTER USER 'root'@'localhost' IDENTIFIED BY {password};\n"
        ))
    }

    async fn wait_until_ready(&self, port: u16) -> Result<(), ProviderError> {
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            match connect(port, &self.credentials, None).await {
                Ok(connection) => {
                    // The answer has been given; how the connection ends does not matter.
                    let _ = connection.disconnect().await;
                    return Ok(());
                }
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(ProviderError::database("connect to the server")(error));
                }
                Err(_) => tokio::time::sleep(PROBE_EVERY).await,
            }
        }
    }
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

/// A string literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(super::quoted("a'b\\"), "'a''b\\\\'");
    }
}
