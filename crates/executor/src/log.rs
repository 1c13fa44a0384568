//! The log of a container: one line for each step, on stdout, for `kubectl logs`.

use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

/// What is logged unless `KUBESTASH_LOG` says otherwise. A directive counts for every target that
/// begins with its name, and the longest one wins: `kube=warn` alone would silence
/// `kubestash_executor`, too.
const FILTER: &str = "info,kubestash=info,kube=warn,rustic_core=warn,opendal=warn,mysql_async=warn";
/// At most this many names of databases in a line.
const SHOWN: usize = 20;

/// Starts logging. A second start keeps the first.
pub fn start() {
    let filter =
        EnvFilter::try_from_env("KUBESTASH_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER));
    let layer = fmt::layer()
        .with_writer(std::io::stdout)
        .with_target(false)
        .with_ansi(false);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init();
}

/// Lets a panic say what happened in one line of the log, the last one: that is what ends up as the
/// reason of the session.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!("{}", fault(panic.payload_as_str(), place.as_deref()));
    }));
}

fn fault(message: Option<&str>, place: Option<&str>) -> String {
    let words: Vec<_> = message.unwrap_or("no message").split_whitespace().collect();
    format!(
        "failed to finish: a fault in kubestash ended the Job: {} (at {}); please report it",
        words.join(" "),
        place.unwrap_or("an unknown place")
    )
}

/// Names of databases, for a line of the log.
pub(crate) fn listed(names: &[String]) -> String {
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    match text.is_empty() {
        true => "no database".to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line_with_its_own_message() {
        assert_eq!(
            fault(
                Some("not yet\nimplemented: ed25519"),
                Some("src/auth.rs:7:3")
            ),
            "failed to finish: a fault in kubestash ended the Job: not yet implemented: ed25519 (at src/auth.rs:7:3); \
             please report it"
        );
        assert!(fault(None, None).contains("no message (at an unknown place)"));
    }

    #[test]
    fn many_databases_make_a_short_line() {
        let names = |count: usize| (0..count).map(|n| format!("d{n}")).collect::<Vec<_>>();
        assert_eq!(listed(&names(0)), "no database");
        assert_eq!(listed(&names(2)), "d0, d1");
        assert!(listed(&names(120)).ends_with("d19 and 100 more"));
    }
}
