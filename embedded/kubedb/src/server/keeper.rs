//! One server process: started, watched, started again when it ends.

use std::time::Duration;

use kubestash_node::supervisor::{Child, Exit, ProcessSpec};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::disk::on_disk;
use super::files::Files;
use super::template::Template;
use super::{Command, Engine, Id, Program, Silence};
use crate::secret::Credentials;
use crate::{KubedbConfig, KubedbError, identity};

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
        /// What it runs.
        program: Program,
    },
}

/// What a server is started for; other credentials need another start.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) id: Id,
    pub(crate) files: Files,
    pub(crate) credentials: Credentials,
}

/// A server that is kept running. Dropping it stops the process hard; [`Server::stop`] does it
/// cleanly.
pub(crate) struct Server {
    credentials: Credentials,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts keeping a server running; `changed` is called whenever its state changes.
    pub(crate) fn start<E: Engine>(
        config: KubedbConfig,
        template: Template<E>,
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

struct Keeper<E> {
    config: KubedbConfig,
    template: Template<E>,
    wanted: Wanted,
    stop: CancellationToken,
}

impl<E: Engine> Keeper<E> {
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
                tracing::warn!(server = %self.wanted.id, "{reason}");
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
    async fn run_once(&self, tell: &impl Fn(State)) -> Result<Option<Exit>, KubedbError> {
        let (program, template) = self.template.ready(self.wanted.id.kind).await?;
        let files = self.wanted.files.clone();
        let (port, first) = on_disk(move || {
            files.prepare(&template, E::FILES)?;
            Ok((files.port()?, !files.is_initialised()))
        })
        .await?;
        let credentials = &self.wanted.credentials;
        if let Some(command) = E::prepare(&program, credentials)
            && !self.run_to_its_end(command).await?
        {
            return Ok(None);
        }
        let child = self.spawn(E::serve(&program, port, credentials, first))?;
        tokio::select! {
            exit = child.wait() => return Ok(Some(exit)),
            () = self.stop.cancelled() => {}
            result = self.set_up(port, first) => {
                result?;
                tell(State::Ready { port, program });
            }
        }
        tokio::select! {
            exit = child.wait() => return Ok(Some(exit)),
            () = self.stop.cancelled() => {}
        }
        self.end(&child).await;
        Ok(None)
    }

    /// Whether it ran to its end, and not only until we were told to stop.
    async fn run_to_its_end(&self, command: Command) -> Result<bool, KubedbError> {
        let child = self.spawn(command)?;
        tokio::select! {
            exit = child.wait() => match exit {
                Exit::Code(0) => Ok(true),
                exit => Err(self.failed("prepare the start of the server", exit.to_string())),
            },
            () = self.stop.cancelled() => {
                self.end(&child).await;
                Ok(false)
            }
        }
    }

    async fn end(&self, child: &Child) {
        child.stop_by(E::STOP, self.config.shutdown_grace);
        child.wait().await;
    }

    fn failed(&self, action: &'static str, reason: String) -> KubedbError {
        KubedbError::Program {
            action,
            reason,
            log: self.wanted.files.log(),
        }
    }

    /// Starts a program in the server's view of the file system, as the servers' user.
    fn spawn(&self, command: Command) -> Result<Child, KubedbError> {
        let mut masked = self.config.masked_paths.clone();
        masked.push(self.config.data_dir.clone());
        let spec = ProcessSpec {
            label: self.wanted.id.to_string(),
            program: command.program.display().to_string(),
            args: command.args,
            env: vec![("PATH".to_owned(), self.config.search_path.as_str().into())],
            working_dir: None,
            identity: identity::of_servers(E::USER),
            root: Some(self.wanted.files.view(&masked)),
            stdin: command.stdin,
            log: self.wanted.files.log(),
            no_new_privileges: true,
        };
        Child::spawn(&self.config.supervisor, spec)
            .map_err(|error| self.failed("start the server", error.to_string()))
    }

    /// Waits until the server answers; on its first start also until all it needs is on disk.
    async fn set_up(&self, port: u16, first: bool) -> Result<(), KubedbError> {
        let begin = tokio::time::Instant::now();
        if !first {
            return self.wait_until_ready(port).await;
        }
        let files = self.wanted.files.clone();
        let (ready, synced) =
            tokio::join!(self.wait_until_ready(port), on_disk(move || files.sync()));
        ready.and(synced)?;
        tracing::debug!(server = %self.wanted.id, after = ?begin.elapsed(), "a new server answers");
        E::finish(port, &self.wanted.credentials).await?;
        let files = self.wanted.files.clone();
        on_disk(move || files.set_initialised()).await?;
        tracing::debug!(server = %self.wanted.id, after = ?begin.elapsed(), "a new server is set up");
        Ok(())
    }

    async fn wait_until_ready(&self, port: u16) -> Result<(), KubedbError> {
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            match E::probe(port, &self.wanted.credentials).await {
                Ok(()) => return Ok(()),
                Err(Silence::Refused(error)) => return Err(error),
                Err(Silence::NotYet(error)) if tokio::time::Instant::now() > deadline => {
                    return Err(error);
                }
                Err(Silence::NotYet(_)) => tokio::time::sleep(PROBE_EVERY).await,
            }
        }
    }
}
