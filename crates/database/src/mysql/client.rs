//! The client programs: which one is installed, and which options it has.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Who made a server or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// MySQL, Percona Server.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// What a client is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `mariadb-dump` or `mysqldump`.
    Dump,
    /// `mariadb` or `mysql`.
    Load,
}

impl Purpose {
    /// The program's names, that of the server's own vendor first.
    fn programs(self, server: Vendor) -> [&'static str; 2] {
        match (self, server) {
            (Self::Dump, Vendor::MariaDb) => ["mariadb-dump", "mysqldump"],
            (Self::Dump, Vendor::MySql) => ["mysqldump", "mariadb-dump"],
            (Self::Load, Vendor::MariaDb) => ["mariadb", "mysql"],
            (Self::Load, Vendor::MySql) => ["mysql", "mariadb"],
        }
    }
}

/// Why there is no usable client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither program is installed.
    #[error(
        "failed to find {} or {} on PATH; install the package mariadb-client or mysql-client where kubestash runs", .0[0], .0[1]
    )]
    Missing([&'static str; 2]),
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
            Self::Missing(_) => "ClientMissing",
            Self::Unusable { .. } => "ClientUnusable",
        }
    }
}

/// An installed client program.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    version: String,
    vendor: Vendor,
    options: BTreeSet<String>,
}

/// Time that a program gets to print its help.
const HELP_TIMEOUT: Duration = Duration::from_secs(30);

impl Client {
    /// Whether any client for `purpose` is on `path` (the value of `PATH`): to be asked before waiting for
    /// a server.
    ///
    /// # Errors
    /// [`ClientError::Missing`] if there is none.
    pub fn present(purpose: Purpose, path: &OsStr) -> Result<(), ClientError> {
        let programs = purpose.programs(Vendor::MariaDb);
        match programs
            .iter()
            .any(|program| on_path(program, path).is_some())
        {
            true => Ok(()),
            false => Err(ClientError::Missing(programs)),
        }
    }

    /// The best client for a server of that vendor, with its options.
    ///
    /// # Errors
    /// If none is on `path`, or it does not run.
    pub async fn find(purpose: Purpose, server: Vendor, path: &OsStr) -> Result<Self, ClientError> {
        let programs = purpose.programs(server);
        let found = programs.iter().find_map(|program| on_path(program, path));
        let found = found.ok_or(ClientError::Missing(programs))?;
        Self::probe(found).await
    }

    async fn probe(path: PathBuf) -> Result<Self, ClientError> {
        let unusable = |source| ClientError::Unusable {
            program: path.display().to_string(),
            source,
        };
        let mut command = bare_command(&path);
        let help = command
            .args(["--no-defaults", "--help"])
            .stdin(Stdio::null())
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
        let help = String::from_utf8_lossy(&output.stdout);
        let version = help.lines().next().unwrap_or_default().trim().to_owned();
        let vendor = match version.contains("MariaDB") {
            true => Vendor::MariaDb,
            false => Vendor::MySql,
        };
        Ok(Self {
            options: options_in(&help),
            vendor,
            version,
            path,
        })
    }

    /// The program's name, without its folder.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// What the program says it is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Who made it.
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// Whether it has the option, which is given by its long name without dashes.
    pub fn knows(&self, option: &str) -> bool {
        self.options.contains(option)
    }

    /// A command that runs it with nothing of our environment.
    pub(crate) fn command(&self) -> Command {
        bare_command(&self.path)
    }

    #[cfg(test)]
    pub(crate) fn for_tests(name: &str, options: &[&str]) -> Self {
        Self {
            path: name.into(),
            version: String::new(),
            vendor: if name.starts_with("maria") {
                Vendor::MariaDb
            } else {
                Vendor::MySql
            },
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }
}

/// A command with an environment of its own: no `MYSQL_PWD`, no `MYSQL_HOST`, no option file in a home.
fn bare_command(program: &Path) -> Command {
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

fn on_path(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(|file| {
            std::fs::metadata(file)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// Long names in the text of `--help`: lines that begin with `--name` or `-x, --name`.
fn options_in(help: &str) -> BTreeSet<String> {
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

    #[test]
    fn a_missing_client_is_told_with_both_names_and_the_package() {
        let empty = tempfile::tempdir().unwrap();
        let error = Client::present(Purpose::Dump, empty.path().as_os_str()).unwrap_err();
        for word in ["mariadb-dump", "mysqldump", "mariadb-client", "PATH"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(error.kind(), "ClientMissing");
    }

    #[tokio::test]
    async fn the_servers_own_client_is_preferred() {
        let dir = tempfile::tempdir().unwrap();
        for (name, version) in [
            ("mysqldump", "mysqldump  Ver 8.0"),
            ("mariadb-dump", "x MariaDB"),
        ] {
            let file = dir.path().join(name);
            std::fs::write(&file, format!("#!/bin/sh\necho '{version}'\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = dir.path().as_os_str();
        let find = |vendor| Client::find(Purpose::Dump, vendor, path);
        let mysql = find(Vendor::MySql).await.unwrap();
        assert_eq!(
            (mysql.name().as_str(), mysql.vendor()),
            ("mysqldump", Vendor::MySql)
        );
        let maria = find(Vendor::MariaDb).await.unwrap();
        assert_eq!(
            (maria.name().as_str(), maria.vendor()),
            ("mariadb-dump", Vendor::MariaDb)
        );
    }
}
