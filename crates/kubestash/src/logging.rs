//! Logs go to stderr, one line each; stdout is for what a command prints.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Starts logging at `info`, or as `KUBESTASH_LOG` says (`debug`, `kubestash_operator=debug`, …).
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("KUBESTASH_LOG").unwrap_or_else(|_| {
        // The libraries report every retried watch; what matters of it we say ourselves.
        // A directive counts for every target that begins with its name, the longest one first.
        EnvFilter::new("info,kubestash=info,kube=warn,kube_runtime=error,rustic_core=warn,opendal=warn")
    });
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second start in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init();
}
