//! The client programs: which one is installed, and which options it has.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::server::ServerInfo;
use crate::client::{ClientError, all_on_path, bare_command, help, on_path, options_in};

/// Tables and columns that a message names.
const SHOWN: usize = 5;

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
    /// Whether any client for `purpose` is on `path` (the value of `PATH`): to be asked before
    /// waiting for a server.
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

    /// The best client for a server of that vendor, with its options: one of the vendor's own
    /// wherever it is on `path`, or else the first that runs. Names say nothing: MariaDB's
    /// packages call its client `mysqldump`, too.
    ///
    /// # Errors
    /// If none is on `path`, or none runs.
    pub async fn find(purpose: Purpose, server: Vendor, path: &OsStr) -> Result<Self, ClientError> {
        let programs = purpose.programs(server);
        let mut seen = BTreeSet::new();
        let found = programs
            .iter()
            .flat_map(|program| all_on_path(program, path))
            // Several names and folders may be one program.
            .filter(|file| seen.insert(std::fs::canonicalize(file).unwrap_or(file.clone())));
        let found: Vec<_> = found.collect();
        let (mut other, mut unusable) = (None, None);
        for file in found {
            match Self::probe(file).await {
                Ok(client) if client.vendor == server => return Ok(client),
                Ok(client) => other = other.or(Some(client)),
                Err(error) => unusable = unusable.or(Some(error)),
            }
        }
        other.ok_or_else(|| unusable.unwrap_or_else(|| purpose.missing()))
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

    /// Why it does not do for a server of the other vendor that has such tables and columns.
    pub(crate) fn foreign(&self, server: &ServerInfo, beyond: &[String]) -> ClientError {
        let mut what = beyond[..beyond.len().min(SHOWN)].join(", ");
        if beyond.len() > SHOWN {
            what.push_str(&format!(" and {} more", beyond.len() - SHOWN));
        }
        ClientError::Foreign {
            program: self.name(),
            vendor: self.vendor.name(),
            server: format!("{} {}", server.vendor.name(), server.version),
            wanted: server.vendor.name(),
            what,
            packages: match server.vendor {
                Vendor::MySql => "mysql-client or mysql-client-core",
                Vendor::MariaDb => "mariadb-client",
            },
        }
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

    /// A folder of programs that say which version they are.
    fn programs(found: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, version) in found {
            let file = dir.path().join(name);
            std::fs::write(&file, format!("#!/bin/sh\necho '{version}'\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }

    #[tokio::test]
    async fn the_servers_own_client_is_found_wherever_it_is_and_whatever_it_is_called() {
        let (mysql, maria) = ("mysqldump  Ver 8.0", "mysqldump from 11.8 MariaDB");
        let debian = programs(&[("mysqldump", maria), ("mariadb-dump", maria)]);
        let oracle = programs(&[("mysqldump", mysql)]);
        let broken = programs(&[]);
        std::fs::write(broken.path().join("mysqldump"), "#!/bin/sh\nexit 1\n").unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(broken.path().join("mysqldump"), mode).unwrap();
        let (debian, oracle, broken) = (debian.path(), oracle.path(), broken.path());
        for (folders, server, expected) in [
            (vec![debian, oracle], Vendor::MySql, Vendor::MySql),
            (vec![oracle, debian], Vendor::MySql, Vendor::MySql),
            (vec![debian, oracle], Vendor::MariaDb, Vendor::MariaDb),
            (vec![oracle, debian], Vendor::MariaDb, Vendor::MariaDb),
            (vec![broken, debian, oracle], Vendor::MySql, Vendor::MySql),
            (vec![debian], Vendor::MySql, Vendor::MariaDb),
            (vec![oracle], Vendor::MariaDb, Vendor::MySql),
        ] {
            let path = std::env::join_paths(&folders).unwrap();
            let found = Client::find(Purpose::Dump, server, &path).await.unwrap();
            assert_eq!(found.vendor(), expected, "{folders:?} for {server:?}");
        }
        let error = Client::find(Purpose::Dump, Vendor::MySql, broken.as_os_str()).await;
        assert_eq!(error.unwrap_err().kind(), "ClientUnusable");
    }
}
