//! The installed server: where it is, what it is, and how an empty data directory for it is made.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use kubestash_node::supervisor::{Child, Exit, PrivateRoot, ProcessSpec, Supervisor};
use tokio::process::Command;

use super::files::HOME;
use crate::{ProviderError, identity};

/// A MySQL-compatible server program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// As the server says it: `8.0.36`, `10.11.6-MariaDB`.
    pub(crate) version: String,
}

impl Program {
    /// Finds `mysqld` or `mariadbd` in `search_path`.
    pub(crate) async fn find(search_path: &str) -> Result<Self, ProviderError> {
        for name in ["mysqld", "mariadbd"] {
            let Some(path) = look_up(name, search_path) else {
                continue;
            };
            let output = Command::new(&path)
                .args(["--no-defaults", "--version"])
                .stdin(Stdio::null())
                .output()
                .await
                .map_err(ProviderError::disk(&path))?;
            if let Some(version) = version(&String::from_utf8_lossy(&output.stdout)) {
                return Ok(Self { path, version });
            }
        }
        Err(ProviderError::NoServer)
    }

    /// Whether it is MariaDB, which is set up by another program than Oracle's MySQL.
    pub(crate) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// The version as AppBindings give it: numbers only.
    pub(crate) fn number(&self) -> &str {
        let end = self
            .version
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(self.version.len());
        &self.version[..end]
    }

    /// Makes an empty data directory in `data` of a view's home. Its users have no passwords yet: it is a template, and
    /// no server takes connections before it has set them.
    pub(crate) async fn initialise(
        &self,
        supervisor: &Supervisor,
        search_path: &str,
        view: PrivateRoot,
        log: &Path,
    ) -> Result<(), ProviderError> {
        let failed = |reason: String| ProviderError::Program {
            action: "make an empty data directory",
            reason,
            log: log.to_owned(),
        };
        let data_arg = format!("--datadir={HOME}/data");
        let (program, args) = if self.is_mariadb() {
            let installer = ["mariadb-install-db", "mysql_install_db"]
                .iter()
                .find_map(|name| look_up(name, search_path))
                .ok_or_else(|| failed("mariadb-install-db is not on PATH".to_owned()))?;
            let args = vec![
                "--no-defaults".to_owned(),
                data_arg,
                "--auth-root-authentication-method=normal".to_owned(),
                "--skip-test-db".to_owned(),
                "--skip-name-resolve".to_owned(),
                "--innodb-log-file-size=8M".to_owned(),
                "--innodb-buffer-pool-size=16M".to_owned(),
            ];
            (installer, args)
        } else {
            let args = vec![
                "--no-defaults".to_owned(),
                "--initialize-insecure".to_owned(),
                data_arg,
            ];
            (self.path.clone(), args)
        };
        let spec = ProcessSpec {
            label: "database-template".to_owned(),
            program: program.display().to_string(),
            args,
            env: vec![("PATH".to_owned(), search_path.into())],
            working_dir: None,
            identity: identity::of_servers(),
            root: Some(view),
            stdin: None,
            log: log.to_owned(),
            no_new_privileges: true,
        };
        let child = Child::spawn(supervisor, spec).map_err(|error| failed(error.to_string()))?;
        match child.wait().await {
            Exit::Code(0) => Ok(()),
            exit => Err(failed(exit.to_string())),
        }
    }
}

fn look_up(name: &str, search_path: &str) -> Option<PathBuf> {
    std::env::split_paths(search_path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// The version in what `--version` prints: `mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu …`.
fn version(text: &str) -> Option<String> {
    let word = text
        .split_whitespace()
        .skip_while(|word| *word != "Ver")
        .nth(1)?;
    let mut parts = word.split('-');
    let number = parts
        .next()
        .filter(|number| number.starts_with(|c: char| c.is_ascii_digit()))?;
    if parts.next() == Some("MariaDB") {
        Some(format!("{number}-MariaDB"))
    } else {
        Some(number.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_print_them() {
        let cases = [
            (
                "mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
                Some("10.11.6-MariaDB"),
            ),
            (
                "/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
                Some("8.0.36"),
            ),
            ("something else", None),
        ];
        for (text, expected) in cases {
            assert_eq!(version(text).as_deref(), expected);
        }
        let program = Program {
            path: "/x".into(),
            version: "10.11.6-MariaDB".into(),
        };
        assert_eq!(program.number(), "10.11.6");
        assert!(program.is_mariadb());
    }
}
