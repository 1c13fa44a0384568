//! The log of a container: one line for each step, on stdout, for `kubectl logs`.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Starts logging at `info`, or as `KUBESTASH_LOG` says. A second start keeps the first.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("KUBESTASH_LOG").unwrap_or_else(|_| {
        EnvFilter::new("info,kube=warn,rustic_core=warn,opendal=warn,mysql_async=warn")
    });
    let layer = fmt::layer()
        .with_writer(std::io::stdout)
        .with_target(false)
        .with_ansi(false);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init();
}
