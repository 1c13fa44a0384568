//! Processes that cannot outlive us.
//!
//! A child process is started through two runs of our own binary, because what has to happen
//! between fork and exec cannot be written in safe Rust inside the parent:
//!
//! ```text
//!  up ──socket──► monitor ──socket──► init (PID 1 of a new PID namespace) ──► the process
//!                    ▲  stdout/stderr  └ mounts, user, pdeathsig               and all its children
//!                    └── writes the log file, line by line, with timestamps
//! ```
//!
//! * The socket is the lifeline: when `up` goes away, whatever the cause, the monitor reads
//!   end-of-file and kills init, and with PID 1 the kernel kills everything in the namespace,
//!   double-forked children too.
//! * If the monitor is killed, the parent-death signal ends init, with the same effect.
//! * The specification (environment, secret files) travels over the socket, never in argv or a
//!   file.
//!
//! [`Child`] is the handle in `up`; [`main`] is what `kubestash supervise` runs.

mod child;
mod init;
mod monitor;
mod output;
mod root;
mod spec;
mod wire;

pub use child::{Child, Exit, SpawnError, StopSignal, Supervisor};
pub use spec::{
    FileEntry, Identity, MAX_STDIN, Mount, MountSource, POD_EXECUTABLE, PrivateRoot, ProcessSpec,
    SecretBytes,
};

/// Runs one stage of a supervisor and returns its exit code: the whole of `kubestash supervise`.
///
/// Call it from `main` before any thread is started (no tokio runtime): entering a PID namespace is
/// a matter of a single-threaded process. What to do comes over standard input; arguments are only
/// there for `ps`.
pub fn main() -> std::process::ExitCode {
    match wire::accept() {
        Ok(Some((wire::Stage::Monitor(spec), control))) => monitor::run(control, *spec),
        Ok(Some((wire::Stage::Init(spec), control))) => init::run(control, *spec),
        // The parent went away before it said anything.
        Ok(None) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "kubestash supervise: {error}; it is started by `kubestash up` and not meant to be run by hand"
            );
            std::process::ExitCode::from(2)
        }
    }
}
