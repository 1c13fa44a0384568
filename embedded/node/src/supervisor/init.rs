//! Init: PID 1 of the new PID namespace. Prepares what the process sees and who it is, starts it,
//! passes signals on, reaps orphans, and ends with it; the kernel then ends whatever the process
//! has left behind.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, setgid, setgroups, setsid, setuid};

use super::wire::{self, Report};
use super::{Exit, Identity, ProcessSpec, root, spec};

/// Runs init to its end.
pub(super) fn run(mut control: UnixStream, spec: ProcessSpec) -> ExitCode {
    let exit = match prepare(&spec).and_then(|()| spawn(spec)).and_then(listen) {
        Ok(pid) => {
            if wire::send(&mut control, &Report::Running).is_err() {
                // The monitor died before its death could be signalled to us.
                return ExitCode::FAILURE;
            }
            until_end(pid)
        }
        Err(message) => Exit::NotStarted(message),
    };
    let _ = wire::send(&mut control, &Report::Ended(exit));
    ExitCode::SUCCESS
}

fn prepare(spec: &ProcessSpec) -> Result<(), String> {
    die_with_monitor()?;
    // No terminal: Ctrl-C is for `up`, which ends its processes in order.
    setsid().map_err(|error| format!("failed to start a session: {error}"))?;
    if let Some(root) = &spec.root {
        root::enter(root).map_err(|error| error.to_string())?;
    }
    if let Some(identity) = &spec.identity {
        become_user(identity)?;
        // A change of user clears it.
        die_with_monitor()?;
    }
    if spec.no_new_privileges {
        prctl::set_no_new_privs()
            .map_err(|error| format!("failed to give up privileges: {error}"))?;
    }
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    heed_signals()?;
    // The monitor's mask is inherited, and the process would inherit it from us.
    SigSet::empty()
        .thread_set_mask()
        .map_err(|error| format!("failed to unblock signals: {error}"))
}

/// What `up` ignores because of how it was started (`nohup`, or `&` in a script), the process shall
/// not: a program may not even be able to change that. With a handler of ours, each is the default
/// again in what we start.
fn heed_signals() -> Result<(), String> {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        signal_hook::flag::register(signal as i32, Arc::default())
            .map_err(|error| format!("failed to heed {signal}: {error}"))?;
    }
    Ok(())
}

/// From here on signals wait for `until_end`.
fn listen(main: Pid) -> Result<Pid, String> {
    SigSet::all()
        .thread_block()
        .map_err(|error| format!("failed to block signals: {error}"))?;
    Ok(main)
}

fn die_with_monitor() -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| format!("failed to tie the process to its monitor: {error}"))
}

fn become_user(identity: &Identity) -> Result<(), String> {
    let failed = |error: Errno| {
        format!(
            "failed to become user {} group {}: {error}",
            identity.uid, identity.gid
        )
    };
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).map_err(failed)?;
    setgid(Gid::from_raw(identity.gid)).map_err(failed)?;
    setuid(Uid::from_raw(identity.uid)).map_err(failed)
}

fn spawn(spec: ProcessSpec) -> Result<Pid, String> {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear().process_group(0);
    for (name, value) in &spec.env {
        command.env(name, bytes_as_os(value.expose()));
    }
    command.current_dir(
        spec.working_dir
            .as_deref()
            .unwrap_or(std::path::Path::new("/")),
    );
    command.stdin(match &spec.stdin {
        None => Stdio::null(),
        Some(input) => stdin_pipe(input.expose())
            .map_err(|error| format!("failed to create standard input: {error}"))?,
    });
    let child = command.spawn().map_err(|error| match &spec.working_dir {
        Some(dir) if !dir.is_dir() => format!(
            "failed to start {:?}: working directory {dir:?} does not exist",
            spec.program
        ),
        _ => format!("failed to start {:?}: {error}", spec.program),
    })?;
    i32::try_from(child.id())
        .map(Pid::from_raw)
        .map_err(|error| error.to_string())
}

fn bytes_as_os(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

/// A pipe that is filled already; made after the change of user, so that the process may open it by
/// name.
fn stdin_pipe(input: &[u8]) -> io::Result<Stdio> {
    if input.len() > spec::MAX_STDIN {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "more input than a pipe holds",
        ));
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(input)?;
    Ok(reader.into())
}

fn until_end(main: Pid) -> Exit {
    // It may have ended before we listened.
    if let Some(exit) = reap(main) {
        return exit;
    }
    let mut signals = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        signals.add(signal);
    }
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(exit) = reap(main) {
                    return exit;
                }
            }
            Ok(signal) => {
                // Fails only if the process has just ended; SIGCHLD is on its way then.
                let _ = kill(main, signal);
            }
            Err(_) => {}
        }
    }
}

/// Reaps everything that has ended; tells the outcome once the main process is among it.
fn reap(main: Pid) -> Option<Exit> {
    let mut outcome = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => outcome = Some(Exit::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                outcome = Some(Exit::Signal(signal as i32))
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return outcome,
            Ok(_) | Err(_) => {}
        }
    }
}
