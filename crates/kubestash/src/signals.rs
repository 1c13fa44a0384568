//! When this process is to end.

use std::fs;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Fires on Ctrl-C, SIGTERM and SIGHUP: a terminal that is closed ends what runs in it, in order.
/// What was started with `nohup` goes on.
pub(crate) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for signals")?;
    let mut hangup = match ignores_hangup() {
        true => None,
        false => Some(signal(SignalKind::hangup()).context("failed to listen for signals")?),
    };
    let fire = stop.clone();
    tokio::spawn(async move {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hung_up => {}
        }
        tracing::info!("stopping");
        fire.cancel();
    });
    Ok(stop)
}

/// Whether SIGHUP was ignored when this process was started, as `nohup` does.
fn ignores_hangup() -> bool {
    // What cannot be read is not ignored: the process ends in order, as it does on any other
    // signal.
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| bits(&status, "SigIgn"))
        .is_some_and(|ignored| ignored & 1 == 1)
}

/// A set of bits in `/proc/<pid>/status`.
pub(crate) fn bits(status: &str, name: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::bits;

    #[test]
    fn a_set_of_bits_is_read_by_its_name() {
        let status = "Name:\tx\nSigIgn:\t0000000000000001\nCapEff:\t000001ffffffffff\n";
        assert_eq!(bits(status, "SigIgn"), Some(1));
        assert_eq!(bits(status, "SigCgt"), None);
    }
}
