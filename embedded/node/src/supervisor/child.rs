//! The handle that `up` holds on a supervised process.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, watch};

use super::ProcessSpec;
use super::wire::{self, Order, Report, Stage};

/// How to start a supervisor: our own binary and the argument that makes it one.
#[derive(Debug, Clone)]
pub struct Supervisor {
    program: PathBuf,
    args: Vec<OsString>,
}

impl Supervisor {
    /// `<own_binary> supervise`.
    pub fn new(own_binary: impl Into<PathBuf>) -> Self {
        Self {
            program: own_binary.into(),
            args: vec!["supervise".into()],
        }
    }

    /// The binary.
    pub fn program(&self) -> &std::path::Path {
        &self.program
    }
}

/// How a supervised process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It never ran, for this reason.
    NotStarted(String),
    /// Its supervisor went away without a word, and the process with it.
    Lost,
}

impl Exit {
    /// The exit code as shells and Kubernetes give it: 128 + n for signal n, 128 if it was never
    /// started.
    pub fn code(&self) -> i32 {
        match self {
            Self::Code(code) => *code,
            Self::Signal(signal) => 128 + signal,
            Self::NotStarted(_) => 128,
            Self::Lost => 137,
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::NotStarted(reason) => f.write_str(reason),
            Self::Lost => f.write_str("its supervisor was killed"),
        }
    }
}

/// What a process is asked to end with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopSignal {
    /// SIGTERM, the usual one.
    #[default]
    Terminate,
    /// SIGINT, for those that wait for their clients on SIGTERM, as PostgreSQL does.
    Interrupt,
}

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The supervisor itself could not be started.
    #[error("failed to start the supervisor of {label} from {program:?}")]
    Supervisor {
        /// The process's label.
        label: String,
        /// Our own binary.
        program: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl SpawnError {
    /// A stable name for metrics, conditions and Events.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Supervisor { .. } => "SupervisorNotStarted",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    Starting,
    Running,
    Ended(Exit),
}

/// A process under a supervisor. Dropping it kills the process and everything it has started.
#[derive(Debug)]
pub struct Child {
    supervisor_pid: Option<u32>,
    orders: mpsc::UnboundedSender<Order>,
    progress: watch::Receiver<Progress>,
}

impl Child {
    /// Starts a process; returns as soon as its supervisor runs. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the supervisor cannot be started. Everything later is told by [`started`](Self::started)
    /// and [`wait`](Self::wait).
    pub fn spawn(supervisor: &Supervisor, spec: ProcessSpec) -> Result<Self, SpawnError> {
        let label = spec.label.clone();
        Self::try_spawn(supervisor, spec).map_err(|source| SpawnError::Supervisor {
            label,
            program: supervisor.program.clone(),
            source,
        })
    }

    fn try_spawn(supervisor: &Supervisor, spec: ProcessSpec) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let stream = UnixStream::from_std(ours)?;
        let mut process = tokio::process::Command::new(&supervisor.program)
            .args(&supervisor.args)
            .arg(&spec.label)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        let supervisor_pid = process.id();
        let first = wire::frame(&Stage::Monitor(Box::new(spec)))?;
        let (mut reader, mut writer) = stream.into_split();
        let (orders, mut order_queue) = mpsc::unbounded_channel::<Order>();
        // The write half is the lifeline: it is closed when the Child is dropped or this process
        // ends.
        tokio::spawn(async move {
            if writer.write_all(&first).await.is_err() {
                return;
            }
            drop(first);
            while let Some(order) = order_queue.recv().await {
                let Ok(frame) = wire::frame(&order) else {
                    return;
                };
                if writer.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
        let (progress_sender, progress) = watch::channel(Progress::Starting);
        tokio::spawn(async move {
            let mut exit = Exit::Lost;
            while let Ok(report) = receive(&mut reader).await {
                match report {
                    Report::Running => {
                        progress_sender.send_replace(Progress::Running);
                    }
                    Report::Ended(how) => {
                        exit = how;
                        break;
                    }
                }
            }
            // Reaps the supervisor, so that nothing of it is left when the end is told.
            if let Err(error) = process.wait().await {
                tracing::warn!(%error, "failed to wait for a supervisor");
            }
            progress_sender.send_replace(Progress::Ended(exit));
        });
        Ok(Self {
            supervisor_pid,
            orders,
            progress,
        })
    }

    /// The process id of the supervisor, as long as it is of use in a message.
    pub fn supervisor_pid(&self) -> Option<u32> {
        self.supervisor_pid
    }

    /// Waits until the process itself runs.
    ///
    /// # Errors
    /// How it ended, if it has ended before it could be seen running; a very short process may be
    /// over already.
    pub async fn started(&self) -> Result<(), Exit> {
        let mut progress = self.progress.clone();
        match progress
            .wait_for(|progress| *progress != Progress::Starting)
            .await
            .as_deref()
        {
            Ok(Progress::Ended(exit)) => Err(exit.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(Exit::Lost),
        }
    }

    /// Waits until the process has ended, its log is complete and nothing that it started is left.
    pub async fn wait(&self) -> Exit {
        let mut progress = self.progress.clone();
        match progress
            .wait_for(|progress| matches!(progress, Progress::Ended(_)))
            .await
            .as_deref()
        {
            Ok(Progress::Ended(exit)) => exit.clone(),
            _ => Exit::Lost,
        }
    }

    /// Asks the process to end: SIGTERM now, SIGKILL for it and all its children after `grace`.
    /// Does not wait.
    pub fn stop(&self, grace: Duration) {
        self.stop_by(StopSignal::Terminate, grace);
    }

    /// As [`stop`](Self::stop), with a signal of choice in SIGTERM's place.
    pub fn stop_by(&self, signal: StopSignal, grace: Duration) {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        // Fails only when the process has ended.
        let _ = self.orders.send(Order::Stop { signal, grace_ms });
    }
}

async fn receive(reader: &mut OwnedReadHalf) -> io::Result<Report> {
    let mut head = [0; 4];
    reader.read_exact(&mut head).await?;
    let mut payload = vec![0; wire::payload_length(head)?];
    reader.read_exact(&mut payload).await?;
    wire::decode(&payload)
}
