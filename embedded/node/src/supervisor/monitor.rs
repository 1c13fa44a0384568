//! The monitor: stands between `up` and one process, writes its log, and ends it when told to or
//! when `up` dies.
//!
//! It is single-threaded and waits in `poll` for four things: orders, reports of init, and the two
//! output streams.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::output::Stamper;
use super::wire::{self, Order, Report, Stage};
use super::{Exit, ProcessSpec, StopSignal};

/// Runs the monitor to its end.
pub(super) fn run(mut control: UnixStream, spec: ProcessSpec) -> ExitCode {
    // Only `up` ends us, by an order or by its own end: a signal to the whole process group or to
    // the service's control group must not take the log and the orderly stop away.
    if let Err(error) = SigSet::all().thread_block() {
        eprintln!("kubestash supervise: failed to block signals: {error}");
    }
    let exit = match start(spec) {
        Ok(watch) => watch.until_end(&mut control),
        Err(message) => Exit::NotStarted(message),
    };
    // If `up` is gone there is nobody left to tell.
    let _ = wire::send(&mut control, &Report::Ended(exit));
    ExitCode::SUCCESS
}

struct Watch {
    init: std::process::Child,
    reports: UnixStream,
    log: File,
    output: [Option<(io::PipeReader, Stamper)>; 2],
    kill_at: Option<Instant>,
    running: bool,
    stopping: Option<StopSignal>,
}

fn start(spec: ProcessSpec) -> Result<Watch, String> {
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(&spec.log)
        .map_err(|error| format!("failed to open the log file {:?}: {error}", spec.log))?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(|error| {
        format!(
            "failed to create a PID namespace: {error}; `kubestash up` needs root or CAP_SYS_ADMIN"
        )
    })?;
    spawn_init(spec, log).map_err(|error| format!("failed to start the init process: {error}"))
}

fn spawn_init(spec: ProcessSpec, log: File) -> io::Result<Watch> {
    let (mut reports, theirs) = UnixStream::pair()?;
    let (stdout, stdout_writer) = io::pipe()?;
    let (stderr, stderr_writer) = io::pipe()?;
    let mut arguments = std::env::args_os();
    // The magic link still leads to this very file after an upgrade has replaced it on disk.
    let init = Command::new("/proc/self/exe")
        .arg0(arguments.next().unwrap_or_else(|| "kubestash".into()))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(stdout_writer)
        .stderr(stderr_writer)
        .spawn()?;
    let mut watch = Watch {
        init,
        reports: reports.try_clone()?,
        log,
        output: [
            Some((stdout, Stamper::default())),
            Some((stderr, Stamper::default())),
        ],
        kill_at: None,
        running: false,
        stopping: None,
    };
    if let Err(error) = wire::send(&mut reports, &Stage::Init(Box::new(spec))) {
        watch.kill();
        return Err(error);
    }
    Ok(watch)
}

impl Watch {
    fn until_end(mut self, control: &mut UnixStream) -> Exit {
        let (mut listening, mut reporting) = (true, true);
        let mut outcome = None;
        let mut buffer = vec![0; 64 * 1024];
        while reporting || self.output.iter().any(Option::is_some) {
            let ready = match self.wait(control, listening, reporting) {
                Ok(ready) => ready,
                Err(error) => {
                    self.kill();
                    return Exit::NotStarted(format!("failed to wait for the process: {error}"));
                }
            };
            if self.kill_at.is_some_and(|at| Instant::now() >= at) {
                self.kill_at = None;
                self.kill();
            }
            for (index, ready) in ready.output.iter().enumerate() {
                if *ready {
                    self.copy_output(index, &mut buffer);
                }
            }
            if ready.reports {
                match wire::receive(&mut self.reports) {
                    Ok(Some(Report::Ended(exit))) => outcome = Some(exit),
                    Ok(Some(Report::Running)) => {
                        self.running = true;
                        self.pass_stop_on();
                        // A failure means that `up` is gone; the next poll sees that.
                        let _ = wire::send(control, &Report::Running);
                    }
                    Ok(None) | Err(_) => reporting = false,
                }
            }
            if ready.control {
                match wire::receive(control) {
                    Ok(Some(Order::Stop { signal, grace_ms })) => {
                        self.stop(signal, Duration::from_millis(grace_ms))
                    }
                    Ok(None) | Err(_) => {
                        listening = false;
                        self.kill();
                    }
                }
            }
        }
        let status = self.init.wait();
        outcome.unwrap_or_else(|| match status {
            Ok(status) => status.signal().map_or_else(
                || Exit::NotStarted(format!("the init process ended early ({status})")),
                Exit::Signal,
            ),
            Err(error) => Exit::NotStarted(format!("failed to wait for the init process: {error}")),
        })
    }

    fn wait(&self, control: &UnixStream, listening: bool, reporting: bool) -> io::Result<Ready> {
        let sources = [
            listening.then(|| control.as_fd()),
            reporting.then(|| self.reports.as_fd()),
            self.output[0].as_ref().map(|(pipe, _)| pipe.as_fd()),
            self.output[1].as_ref().map(|(pipe, _)| pipe.as_fd()),
        ];
        let mut fds: Vec<PollFd<'_>> = sources
            .iter()
            .flatten()
            .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
            .collect();
        let timeout = self.kill_at.map_or(PollTimeout::NONE, |at| {
            let left = at
                .saturating_duration_since(Instant::now())
                .as_millis()
                .saturating_add(1);
            PollTimeout::try_from(i32::try_from(left).unwrap_or(i32::MAX))
                .unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut polled = fds.iter();
        let [control, reports, stdout, stderr] = sources.map(|source| {
            source.is_some()
                && polled
                    .next()
                    .and_then(PollFd::revents)
                    .is_some_and(|events| !events.is_empty())
        });
        Ok(Ready {
            control,
            reports,
            output: [stdout, stderr],
        })
    }

    fn copy_output(&mut self, index: usize, buffer: &mut [u8]) {
        let Some((pipe, stamper)) = &mut self.output[index] else {
            return;
        };
        // A full disk must not block the process: what cannot be logged is dropped.
        match pipe.read(buffer) {
            Ok(0) => {
                let _ = stamper.finish(Timestamp::now(), &mut self.log);
                self.output[index] = None;
            }
            Ok(read) => {
                let _ = stamper.push(&buffer[..read], Timestamp::now(), &mut self.log);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.output[index] = None,
        }
    }

    fn stop(&mut self, signal: StopSignal, grace: Duration) {
        self.stopping = Some(signal);
        self.pass_stop_on();
        let at = Instant::now() + grace;
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Before it reports that the process runs, init is deaf: a PID 1 does not receive what it has
    /// no handler for.
    fn pass_stop_on(&self) {
        if let (Some(signal), true, Ok(pid)) =
            (self.stopping, self.running, i32::try_from(self.init.id()))
        {
            let signal = match signal {
                StopSignal::Terminate => Signal::SIGTERM,
                StopSignal::Interrupt => Signal::SIGINT,
            };
            // Fails only if init has ended already, which is what is wanted.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn kill(&mut self) {
        // PID 1 of the namespace: the kernel ends everything else in it.
        let _ = self.init.kill();
    }
}

struct Ready {
    control: bool,
    reports: bool,
    output: [bool; 2],
}
