//! Client programs of any family: finding them, asking them for their options, running them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Time that a program gets to print its help.
const HELP_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no usable client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The program is not installed.
    #[error(
        "failed to find {programs} on PATH; install the package {packages} where kubestash runs"
    )]
    Missing {
        /// The program's names.
        programs: &'static str,
        /// The packages that have it.
        packages: &'static str,
    },
    /// The program is older than the server, which it refuses.
    #[error(
        "failed to use {program} of version {version}: the server is of version {server}, and an older client cannot dump it; install the package {package} (or a newer one) where kubestash runs"
    )]
    Older {
        /// The program's name.
        program: String,
        /// Its major version.
        version: u32,
        /// The server's version.
        server: String,
        /// The package to install.
        package: String,
    },
    /// The program is of another vendor than the server, and what it would dump could not be
    /// restored.
    #[error(
        "failed to use {program} for {server}: it is {vendor}'s, and its dumps of these cannot be restored: {what}; install {wanted}'s own client (package {packages}) where kubestash runs"
    )]
    Foreign {
        /// The program's name.
        program: String,
        /// Who made it.
        vendor: &'static str,
        /// What the server is.
        server: String,
        /// Who made the server.
        wanted: &'static str,
        /// The tables and columns.
        what: String,
        /// The packages that have the right one.
        packages: &'static str,
    },
    /// The program does not run.
    #[error("failed to ask {program} for its options")]
    Unusable {
        /// The program's path.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ClientError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "ClientMissing",
            Self::Older { .. } => "ClientTooOld",
            Self::Foreign { .. } => "ClientOfOtherVendor",
            Self::Unusable { .. } => "ClientUnusable",
        }
    }

    /// Whether the same attempt must fail again until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Unusable { .. })
    }
}

/// Asks a program for its help, which lists its options.
///
/// # Errors
/// [`ClientError::Unusable`] if it does not run.
pub(crate) async fn help(path: &Path, words: &[&str]) -> Result<String, ClientError> {
    let unusable = |source| ClientError::Unusable {
        program: path.display().to_string(),
        source,
    };
    let mut command = bare_command(path);
    let help = command
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(HELP_TIMEOUT, help)
        .await
        .map_err(|_| unusable(io::ErrorKind::TimedOut.into()))?
        .map_err(unusable)?;
    if !output.status.success() {
        return Err(unusable(io::Error::other(crate::stream::status_text(
            output.status,
        ))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command with an environment of its own: no `MYSQL_PWD`, no `PGOPTIONS`, no option file in a
/// home.
pub(crate) fn bare_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8");
    for kept in ["PATH", "LD_LIBRARY_PATH", "TZ"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

pub(crate) fn on_path(program: &str, path: &OsStr) -> Option<PathBuf> {
    all_on_path(program, path).next()
}

/// Every program of that name, in the order of `path`.
pub(crate) fn all_on_path(program: &str, path: &OsStr) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .map(move |dir| dir.join(program))
        .filter(|file| {
            std::fs::metadata(file)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// Long names in the text of `--help`: lines that begin with `--name` or `-x, --name`.
pub(crate) fn options_in(help: &str) -> BTreeSet<String> {
    help.lines()
        .filter_map(|line| {
            let line = line.trim_start();
            let long = match line.strip_prefix("--") {
                Some(long) => long,
                None => line.strip_prefix('-')?.get(1..)?.strip_prefix(", --")?,
            };
            let end = long.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
            let name = &long[..end.unwrap_or(long.len())];
            (!name.is_empty()).then(|| name.replace('_', "-"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_the_help_of_both_vendors() {
        let help = "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)\n\
            \x20 -A, --all-databases Dump all the databases. This will be same as --databases\n\
            \x20 --set-gtid-purged[=name] \n\
            \x20 --column-statistics Add an ANALYZE TABLE statement\n\
            \x20 -#, --debug[=#]     This is a non-debug version.\n\
            \x20 --max_allowed_packet=# \n\
            all-databases                     FALSE\n";
        let options = options_in(help);
        let expected = [
            "all-databases",
            "column-statistics",
            "debug",
            "max-allowed-packet",
            "set-gtid-purged",
        ];
        assert_eq!(
            options.iter().map(String::as_str).collect::<Vec<_>>(),
            expected
        );
    }
}
