//! The installed server: where it is, what it is, and how an empty data directory for it is made.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process;

use crate::server::{Command, HOME, Program, look_up, number};
use crate::{KubedbConfig, KubedbError};

/// Finds `postgres` in the search path, or where Debian keeps it: in a folder for each major
/// version, the newest of which is taken.
pub(super) async fn find(config: &KubedbConfig) -> Result<Program, KubedbError> {
    let named = look_up("postgres", &config.search_path);
    let candidates = named.into_iter().chain(versions(&config.postgresql_dir));
    for candidate in candidates {
        // Beside what a link leads to are the programs and files that it needs.
        let Ok(path) = candidate.canonicalize() else {
            continue;
        };
        let output = process::Command::new(&path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(KubedbError::disk(&path))?;
        if let Some(version) = version(&String::from_utf8_lossy(&output.stdout)) {
            return Ok(Program {
                path,
                product: "PostgreSQL",
                version,
            });
        }
    }
    Err(KubedbError::NoServer {
        server: "PostgreSQL",
        names: "no postgres",
        package: "postgresql",
    })
}

/// `<dir>/<major>/bin/postgres`, the newest first.
fn versions(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.parse().ok()?;
            let file = entry.path().join("bin/postgres");
            file.is_file().then_some((major, file))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, file)| file).collect()
}

/// What makes an empty data directory. Its superuser has no password, so that nobody can log in as
/// it.
pub(super) fn initialise(program: &Program) -> Result<Command, String> {
    let initdb = program.path.with_file_name("initdb");
    if !initdb.is_file() {
        return Err(format!("there is no initdb beside {:?}", program.path));
    }
    let data = format!("{HOME}/data");
    let args = [
        "-D",
        &data,
        "--username=postgres",
        "--auth=reject",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        // Small, as most databases here are.
        "--wal-segsize=1",
        // Each copy is synced for itself.
        "--no-sync",
    ];
    Ok(Command {
        program: initdb,
        args: args.map(str::to_owned).into(),
        stdin: None,
    })
}

/// The version in what `--version` prints: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("(PostgreSQL) ")?;
    number(rest).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_print_them() {
        for (text, expected) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n",
                Some("15.18"),
            ),
            ("postgres (PostgreSQL) 18beta1\n", Some("18")),
            ("something else", None),
        ] {
            assert_eq!(version(text).as_deref(), expected);
        }
    }

    #[test]
    fn the_newest_of_several_versions_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["9", "15", "common", "17"] {
            let bin = dir.path().join(name).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            std::fs::write(bin.join("postgres"), "").unwrap();
        }
        std::fs::create_dir_all(dir.path().join("18/bin")).unwrap();
        let found = versions(dir.path());
        let expected = ["17", "15", "9"].map(|name| dir.path().join(name).join("bin/postgres"));
        assert_eq!(found, expected);
    }
}
