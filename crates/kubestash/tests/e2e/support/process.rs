//! Finding and running the real tools.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of the checkout.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A tool by name: the one that `make tools` installed, or one on PATH. Missing is a failure, never a
/// reason to skip.
pub fn find_binary(name: &str) -> PathBuf {
    let own = root().join(".tools/venv/bin").join(name);
    if own.exists() {
        return own;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|dir| dir.join(name))
        .find(|file| file.exists())
        .unwrap_or_else(|| panic!("{name} is not installed; run `make tools`"))
}

/// A port of loopback that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a command; its standard output, or its standard error if it failed.
pub fn output(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } =
        command.output().map_err(|error| format!("{command:?} did not start: {error}"))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        Ok(stdout)
    } else {
        Err(format!("{}{}", stdout, String::from_utf8_lossy(&stderr)))
    }
}
