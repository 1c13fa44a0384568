//! The client programs: which ones are installed, of which version.
//!
//! A client refuses a server that is newer than itself, and a dump of a much newer client may hold
//! settings that an older server does not know. So the client of the server's own major version is
//! taken, else the next newer one. Several versions stand side by side in folders of their own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::client::{ClientError, bare_command, help, on_path, options_in};

/// Folders with one folder for each major version, as packages make them.
const VERSIONED: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// What a client is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Dumps a database.
    Dump,
    /// Dumps what all databases of a server share.
    DumpAll,
    /// Loads a dump.
    Psql,
}

impl Program {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dump => "pg_dump",
            Self::DumpAll => "pg_dumpall",
            Self::Psql => "psql",
        }
    }

    fn missing(self) -> ClientError {
        ClientError::Missing {
            programs: self.name(),
            packages: "postgresql-client",
        }
    }
}

/// An installed client program.
#[derive(Clone, Debug)]
pub(super) struct Client {
    program: Program,
    path: PathBuf,
    version: String,
    number: (u32, u32),
    options: BTreeSet<String>,
}

impl Client {
    /// Whether there is any, of whatever version: to be asked before waiting for a server.
    ///
    /// # Errors
    /// [`ClientError::Missing`] if there is none.
    pub(super) fn present(program: Program, path: &OsStr) -> Result<(), ClientError> {
        let anywhere = !versioned(program).is_empty() || on_path(program.name(), path).is_some();
        if anywhere {
            Ok(())
        } else {
            Err(program.missing())
        }
    }

    /// The best client for a server, with its options.
    ///
    /// # Errors
    /// If there is none, or only one that is too old.
    pub(super) async fn find(
        program: Program,
        server_major: u32,
        server_version: &str,
        path: &OsStr,
    ) -> Result<Self, ClientError> {
        let mut known = versioned(program);
        if choose(&known, server_major).is_none()
            && let Some(other) = on_path(program.name(), path)
        {
            let (major, _) = number_in(&help(&other, &["--version"]).await?);
            known.push((major, other));
        }
        // Only a dumping client looks at the server's version.
        let newest = || known.iter().max_by_key(|(major, _)| *major);
        let chosen = match choose(&known, server_major) {
            Some(chosen) => chosen,
            None if program == Program::Psql => newest().ok_or_else(|| program.missing())?,
            None => {
                let (version, _) = newest().ok_or_else(|| program.missing())?;
                return Err(ClientError::Older {
                    program: program.name().to_owned(),
                    version: *version,
                    server: server_version.to_owned(),
                    package: format!("postgresql-client-{server_major}"),
                });
            }
        };
        Self::probe(program, &chosen.1).await
    }

    async fn probe(program: Program, path: &Path) -> Result<Self, ClientError> {
        let version = help(path, &["--version"]).await?;
        let options = match program {
            Program::Psql => BTreeSet::new(),
            Program::Dump | Program::DumpAll => options_in(&help(path, &["--help"]).await?),
        };
        Ok(Self {
            program,
            path: path.to_owned(),
            number: number_in(&version),
            version: version.trim().to_owned(),
            options,
        })
    }

    /// The program's name.
    pub(super) fn name(&self) -> String {
        self.program.name().to_owned()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the program says it is.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Whether it has the option, which is given by its long name without dashes.
    pub(super) fn knows(&self, option: &str) -> bool {
        self.options.contains(option)
    }

    /// Whether it is a psql that can be kept from running commands that a dump asks for.
    pub(super) fn can_be_restricted(&self) -> bool {
        let (major, minor) = self.number;
        match major {
            13 => minor >= 22,
            14 => minor >= 19,
            15 => minor >= 14,
            16 => minor >= 10,
            17 => minor >= 6,
            major => major >= 18,
        }
    }

    /// A command that runs it with nothing of our environment.
    pub(super) fn command(&self) -> Command {
        bare_command(&self.path)
    }

    #[cfg(test)]
    pub(super) fn for_tests(program: Program, options: &[&str]) -> Self {
        Self {
            program,
            path: program.name().into(),
            version: String::new(),
            number: (15, 18),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }
}

/// The oldest that is not older than the server.
fn choose(known: &[(u32, PathBuf)], server_major: u32) -> Option<&(u32, PathBuf)> {
    known
        .iter()
        .filter(|(major, _)| *major >= server_major)
        .min_by_key(|(major, _)| *major)
}

/// Those that stand in a folder of their version.
fn versioned(program: Program) -> Vec<(u32, PathBuf)> {
    VERSIONED
        .iter()
        .filter_map(|(parent, prefix)| Some((std::fs::read_dir(parent).ok()?, prefix)))
        .flat_map(|(entries, prefix)| entries.flatten().map(move |entry| (entry, prefix)))
        .filter_map(|(entry, prefix)| {
            let name = entry.file_name();
            let major = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            let file = entry.path().join("bin").join(program.name());
            file.is_file().then_some((major, file))
        })
        .collect()
}

/// `(15, 18)` of `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
pub(super) fn number_in(version: &str) -> (u32, u32) {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or_default();
    let mut parts = number.split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_the_servers_version_is_taken_or_the_next_newer_one() {
        let known: Vec<(u32, PathBuf)> = [13, 17, 15]
            .map(|major| (major, PathBuf::from(major.to_string())))
            .to_vec();
        for (server, client) in [
            (12, Some(13)),
            (13, Some(13)),
            (14, Some(15)),
            (16, Some(17)),
            (18, None),
        ] {
            assert_eq!(
                choose(&known, server).map(|(major, _)| *major),
                client,
                "{server}"
            );
        }
    }

    #[test]
    fn versions_are_read_as_programs_and_servers_say_them() {
        let cases = [
            (
                "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                (15, 18),
            ),
            ("psql (PostgreSQL) 18.3", (18, 3)),
            ("17beta1", (17, 0)),
            ("9.6.24", (9, 6)),
            ("", (0, 0)),
        ];
        for (text, number) in cases {
            assert_eq!(number_in(text), number, "{text}");
        }
    }

    #[tokio::test]
    async fn a_client_older_than_the_server_is_told_with_the_package_to_install() {
        let dir = tempfile::tempdir().unwrap();
        let error = Client::find(Program::Dump, 99, "99.1", dir.path().as_os_str())
            .await
            .unwrap_err();
        for words in ["99.1", "postgresql-client-99", "older client"] {
            assert!(error.to_string().contains(words), "{error}");
        }
        assert_eq!((error.kind(), error.is_permanent()), ("ClientTooOld", true));
    }
}
