//! Logs go to stderr, one line each; stdout is for what a command prints.

use std::io::IsTerminal;

use anyhow::{Context, bail};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

const VARIABLE: &str = "KUBESTASH_LOG";
/// The libraries report every retried watch; what matters of it we say ourselves. Targets are
/// compared by their beginning, so `kube` means our own crates too unless they are named.
const DEFAULT: &str =
    "info,kube=warn,kube_runtime=error,rustic_core=warn,opendal=warn,kubestash=info";

/// Starts logging at `info`, or as `KUBESTASH_LOG` says (`debug`, `kubestash_operator=debug`, …).
pub(crate) fn start() -> anyhow::Result<()> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => filter(&text)?,
        Err(std::env::VarError::NotPresent) => filter("")?,
        Err(error) => return Err(error).context(format!("failed to read {VARIABLE}")),
    };
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(is_colored(
            std::io::stderr().is_terminal(),
            std::env::var_os("NO_COLOR").as_deref(),
        ));
    // A second start in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init();
    Ok(())
}

/// Colors are for terminals, unless `NO_COLOR` holds anything (https://no-color.org).
fn is_colored(terminal: bool, no_color: Option<&std::ffi::OsStr>) -> bool {
    terminal && no_color.is_none_or(std::ffi::OsStr::is_empty)
}

fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    let directives = directives(text)?;
    EnvFilter::try_new(&directives).with_context(|| refused(text, "it cannot be read"))
}

/// The directives of a variable's text, with ours named where `kube` would mean them.
fn directives(text: &str) -> anyhow::Result<String> {
    let given: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
        .collect();
    if given.is_empty() {
        return Ok(DEFAULT.to_owned());
    }
    let mut general = "error";
    for directive in &given {
        let (target, level) = match directive.rsplit_once('=') {
            Some((target, level)) => (target, level),
            // Alone, a level is for everything; anything else would be taken for a target and say
            // nothing.
            None => ("", *directive),
        };
        // Nothing at all would be taken for "error".
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            bail!(refused(text, &format!("{level:?} is not a level")));
        }
        if target.is_empty() {
            general = level;
        }
    }
    let mut directives = given.join(",");
    let names = |begin: &str| given.iter().any(|directive| directive.starts_with(begin));
    if names("kube=") && !names("kubestash") {
        directives.push_str(&format!(",kubestash={general}"));
    }
    Ok(directives)
}

fn refused(text: &str, why: &str) -> String {
    format!(
        "failed to understand {VARIABLE}={text}: {why}; give a level (error, warn, info, debug, trace or off), or levels \
         of single parts such as info,kubestash_operator=debug"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_levels_of_parts_are_taken_and_anything_else_is_refused_with_an_example() {
        for (text, expected) in [
            ("", DEFAULT),
            (" ", DEFAULT),
            ("debug", "debug"),
            ("WARN", "WARN"),
            (
                "info,kubestash_operator=debug",
                "info,kubestash_operator=debug",
            ),
            ("info,kube=warn", "info,kube=warn,kubestash=info"),
            (
                "info,kube=warn,kubestash_node=off",
                "info,kube=warn,kubestash_node=off",
            ),
        ] {
            assert_eq!(directives(text).unwrap(), expected, "{text}");
            filter(text).unwrap();
        }
        for text in [
            "verbose",
            "kubestash_operator",
            "kube=loud",
            "=",
            "info;debug",
        ] {
            let error = directives(text).unwrap_err().to_string();
            assert!(error.contains("KUBESTASH_LOG"), "{error}");
            assert!(error.contains("kubestash_operator=debug"), "{error}");
        }
    }

    #[test]
    fn our_own_messages_are_not_silenced_with_those_of_the_library_kube() {
        let filter = filter("").unwrap();
        let subscriber = tracing_subscriber::registry().with(filter);
        tracing::subscriber::with_default(subscriber, || {
            assert!(tracing::enabled!(target: "kubestash_operator::run", tracing::Level::INFO));
            assert!(!tracing::enabled!(target: "kube_client::client", tracing::Level::INFO));
            assert!(!tracing::enabled!(target: "kubestash_operator::run", tracing::Level::DEBUG));
        });
    }

    #[test]
    fn no_color_in_the_environment_means_none() {
        for (terminal, no_color, colored) in [
            (true, None, true),
            (true, Some(""), true),
            (true, Some("1"), false),
            (true, Some("0"), false),
            (false, None, false),
        ] {
            let no_color = no_color.map(std::ffi::OsStr::new);
            assert_eq!(
                is_colored(terminal, no_color),
                colored,
                "{terminal} {no_color:?}"
            );
        }
    }
}
