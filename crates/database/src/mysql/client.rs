//! The client programs: which one is installed, and which options it has.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::client::{ClientError, bare_command, help, on_path, options_in};

/// Who made a server or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// MySQL, Percona Server.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl Vendor {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
        }
    }
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

    fn missing(self) -> ClientError {
        ClientError::Missing {
            programs: match self {
                Self::Dump => "mariadb-dump or mysqldump",
                Self::Load => "mariadb or mysql",
            },
            packages: "mariadb-client or mysql-client",
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
            false => Err(purpose.missing()),
        }
    }

    /// The best client for a server of that vendor, with its options.
    ///
    /// # Errors
    /// If none is on `path`, or it does not run.
    pub async fn find(purpose: Purpose, server: Vendor, path: &OsStr) -> Result<Self, ClientError> {
        let programs = purpose.programs(server);
        let found = programs.iter().find_map(|program| on_path(program, path));
        let found = found.ok_or_else(|| purpose.missing())?;
        Self::probe(found).await
    }

    async fn probe(path: PathBuf) -> Result<Self, ClientError> {
        let help = help(&path, &["--no-defaults", "--help"]).await?;
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

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
