//! What an installed client says of its options.
#![allow(dead_code, unreachable_pub)] // Each test binary uses a part of it.

use std::process::Command;

use kubestash_domain::args::{self, ArgsError, Tool};

/// An option, as `--help` prints it.
pub struct Documented {
    /// Its long name.
    pub name: String,
    /// Whether it takes a value, as far as the help says so.
    pub takes_value: bool,
    /// Whether it is on unless it is switched off.
    pub is_on: bool,
}

/// The options of a program.
pub fn of(program: &str, help: &[&str]) -> Vec<Documented> {
    let output = Command::new(program).args(help).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: Vec<Documented> = Vec::new();
    for line in text
        .lines()
        .take_while(|line| !line.starts_with("Variables ("))
    {
        if line.contains("Defaults to on")
            && let Some(option) = found.last_mut()
        {
            option.is_on = true;
        }
        // Options stand at the left; text about them does not.
        let indent = line.len() - line.trim_start().len();
        let Some(at) = line.find("--").filter(|at| indent <= 6 && *at <= 14) else {
            continue;
        };
        if !line.trim_start().starts_with('-') {
            continue;
        }
        let rest = &line[at + 2..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        let (name, behind) = rest.split_at(end.unwrap_or(rest.len()));
        if name.is_empty() || found.iter().any(|known| known.name == name) {
            continue;
        }
        found.push(Documented {
            name: name.to_owned(),
            is_on: false,
            takes_value: behind.starts_with('=') || behind.starts_with("[="),
        });
    }
    found
}

/// Whether a table says what becomes of it.
pub fn is_known(tool: Tool, name: &str) -> bool {
    !matches!(
        args::parse(tool, &format!("--{name}=1")),
        Err(ArgsError::Unknown { .. } | ArgsError::Ambiguous(_))
    )
}
