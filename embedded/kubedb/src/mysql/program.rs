//! The installed server: where it is, what it is, and how an empty data directory for it is made.

use std::process::Stdio;

use tokio::process;

use crate::KubedbError;
use crate::server::{Command, HOME, Program, look_up, number};

const MARIADB: &str = "MariaDB";

/// Finds `mysqld` or `mariadbd`: for databases of kind MariaDB rather the latter.
pub(super) async fn find(kind: &str, search_path: &str) -> Result<Program, KubedbError> {
    let mut names = ["mysqld", "mariadbd"];
    if kind == "mariadb" {
        names.reverse();
    }
    for path in names.iter().filter_map(|name| look_up(name, search_path)) {
        let output = process::Command::new(&path)
            .args(["--no-defaults", "--version"])
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(KubedbError::disk(&path))?;
        if let Some((product, version)) = what_it_is(&String::from_utf8_lossy(&output.stdout)) {
            return Ok(Program {
                path,
                product,
                version,
            });
        }
    }
    Err(KubedbError::NoServer {
        server: "MySQL-compatible",
        names: "neither mysqld nor mariadbd",
        package: "mariadb-server",
    })
}

/// What makes an empty data directory: MariaDB has a program of its own for that.
pub(super) fn initialise(program: &Program, search_path: &str) -> Result<Command, String> {
    let data = format!("--datadir={HOME}/data");
    // Never the system's: a server that starts there removes the temporary tables of all others.
    let tmp = format!("--tmpdir={HOME}/tmp");
    if program.product != MARIADB {
        let args = ["--no-defaults", "--initialize-insecure", &data, &tmp];
        return Ok(Command {
            program: program.path.clone(),
            args: args.map(str::to_owned).into(),
            stdin: None,
        });
    }
    let installer = ["mariadb-install-db", "mysql_install_db"]
        .iter()
        .find_map(|name| look_up(name, search_path))
        .ok_or_else(|| "mariadb-install-db is not on PATH".to_owned())?;
    let args = [
        "--no-defaults",
        &data,
        &tmp,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        "--innodb-log-file-size=8M",
        "--innodb-buffer-pool-size=16M",
    ];
    Ok(Command {
        program: installer,
        args: args.map(str::to_owned).into(),
        stdin: None,
    })
}

/// Product and version in what `--version` prints: `mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for
/// debian-linux-gnu …`.
fn what_it_is(text: &str) -> Option<(&'static str, String)> {
    let word = text
        .split_whitespace()
        .skip_while(|word| *word != "Ver")
        .nth(1)?;
    let product = if word.contains(MARIADB) {
        MARIADB
    } else {
        "MySQL"
    };
    Some((product, number(word)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_print_them() {
        let cases = [
            (
                "mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
                Some(("MariaDB", "10.11.6".to_owned())),
            ),
            (
                "/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
                Some(("MySQL", "8.0.36".to_owned())),
            ),
            ("something else", None),
        ];
        for (text, expected) in cases {
            assert_eq!(what_it_is(text), expected);
        }
    }
}
