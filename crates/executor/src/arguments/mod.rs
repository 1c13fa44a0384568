//! The command line of a container: which Function to run, with what. Pure.
//!
//! ```text
//!   mysql-backup backup --namespace=demo --backupsession=s-1 --databases=druid … --task-name=t --last-task
//!   └ Function   └ verb └ the Function's arguments, rendered                     └ the operator's own
//! ```
//! A flag is one word, `--name=value` or `--name`; what stands behind the first `=` is the value,
//! whatever it holds. Flags of the catalog that have no effect here are told in the log, so that
//! nobody waits for

mod backup;
mod error;
mod flags;
mod manifest;
mod restore;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use backup::Backup;
pub use error::ArgumentsError;
use flags::Flags;
use kubestash_database::Family;
use kubestash_domain::layout;
pub use manifest::{ManifestBackup, ManifestRestore};
pub use restore::Restore;

/// What a container shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Back up a database.
    Backup(Backup),
    /// Restore a database.
    Restore(Restore),
    /// Back up the manifests of a database.
    ManifestBackup(ManifestBackup),
    /// Restore the manifests of a database.
    ManifestRestore(ManifestRestore),
    /// Make a volume ready to be a storage.
    StorageInit(Object),
    /// Remove everything from a storage.
    StorageCleanup(Object),
    /// Remove the data of one Snapshot.
    SnapshotCleanup(Object),
    /// Remove the data of a Repository.
    RepositoryCleanup(Object),
}

/// An object that is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// What to do.
    pub command: Command,
    /// Names of flags that have no effect.
    pub unused: Vec<String>,
}

/// Component of a logical dump.
pub const DUMP: &str = "dump";
/// Time to wait for a database unless the task says otherwise.
const WAIT_TIMEOUT: Duration = Duration::from_secs(300);

/// Understands the words behind `kubestash execute`.
///
/// # Errors
/// [`ArgumentsError`]: the command line has to be changed.
pub fn parse(words: &[String]) -> Result<Arguments, ArgumentsError> {
    let (function, rest) = words.split_first().ok_or(ArgumentsError::NoFunction)?;
    match function.as_str() {
        "mysql-backup" => backup::parse(function, rest, Family::MySql, "mysql-args"),
        "mariadb-backup" => backup::parse(function, rest, Family::MySql, "mariadb-args"),
        "mysql-restore" => restore::parse(function, rest, Family::MySql, "mysql-args"),
        "postgres-backup" => backup::parse(function, rest, Family::Postgres, "pg-args"),
        "mariadb-restore" => restore::parse(function, rest, Family::MySql, "mariadb-args"),
        "postgres-restore" => restore::parse(function, rest, Family::Postgres, "pg-args"),
        "kubedbmanifest-backup" => manifest::backup(function, rest),
        "kubedbmanifest-restore" => manifest::restore(function, rest),
        "storage-init" => object(rest, "storage-")
            .map(Command::StorageInit)
            .map(Arguments::of),
        "storage-cleanup" => object(rest, "storage-")
            .map(Command::StorageCleanup)
            .map(Arguments::of),
        "snapshot-cleanup" => object(rest, "")
            .map(Command::SnapshotCleanup)
            .map(Arguments::of),
        "repository-cleanup" => object(rest, "")
            .map(Command::RepositoryCleanup)
            .map(Arguments::of),
        other => Err(ArgumentsError::UnknownFunction(other.to_owned())),
    }
}

impl Arguments {
    fn of(command: Command) -> Self {
        Self {
            command,
            unused: Vec::new(),
        }
    }
}

fn object(words: &[String], prefix: &'static str) -> Result<Object, ArgumentsError> {
    let mut flags = Flags::read(words)?;
    let (namespace, name) = match prefix {
        "storage-" => ("storage-namespace", "storage-name"),
        _ => ("namespace", "name"),
    };
    Ok(Object {
        namespace: flags.needed(namespace)?,
        name: flags.needed(name)?,
    })
}

/// Path of a component, relative to its Repository's directory.
pub fn component_path(version: &str, session: &str, component: &str) -> String {
    let version = if version.is_empty() {
        layout::VERSION
    } else {
        version
    };
    layout::component_path(version, session, component)
}
