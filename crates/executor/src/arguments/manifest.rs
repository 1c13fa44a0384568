//! The arguments of the Functions that back up and restore manifests.

use kubestash_engine::ReadBack;

use super::flags::{Flags, without_verb};
use super::{Arguments, ArgumentsError, Command, Object};

/// A backup of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestBackup {
    /// The BackupSession.
    pub session: Object,
    /// Whether it is the session's last task, which applies retention.
    pub last_task: bool,
    /// The task parameters `verify` and `verifyPeriod`.
    pub read_back: ReadBack,
}

/// A restore of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRestore {
    /// The RestoreSession.
    pub session: Object,
    /// Name of the Snapshot to restore, which the operator has looked up.
    pub snapshot: String,
    /// Whether it is the session's only task left: no data follows.
    pub last_task: bool,
    /// Whether objects that exist get the content of those that were backed up.
    pub override_resources: bool,
}

/// Understands the words behind the name of the Function that backs up.
pub(super) fn backup(function: &str, words: &[String]) -> Result<Arguments, ArgumentsError> {
    let mut flags = Flags::read(without_verb(function, words, "backup")?)?;
    let backup = ManifestBackup {
        session: Object {
            namespace: flags.needed("namespace")?,
            name: flags.needed("backupsession")?,
        },
        last_task: flags.switch("last-task")?,
        read_back: flags.read_back()?,
    };
    Ok(Arguments {
        command: Command::ManifestBackup(backup),
        unused: without_common(flags),
    })
}

/// Understands the words behind the name of the Function that restores.
pub(super) fn restore(function: &str, words: &[String]) -> Result<Arguments, ArgumentsError> {
    let mut flags = Flags::read(without_verb(function, words, "restore")?)?;
    let restore = ManifestRestore {
        session: Object {
            namespace: flags.needed("namespace")?,
            name: flags.needed("restoresession")?,
        },
        snapshot: flags.needed("snapshot")?,
        last_task: flags.switch("last-task")?,
        override_resources: flags.switch("override-resources")?,
    };
    Ok(Arguments {
        command: Command::ManifestRestore(restore),
        unused: without_common(flags),
    })
}

/// Everything is done in memory: neither a cache nor a folder for temporary files is needed.
fn without_common(mut flags: Flags) -> Vec<String> {
    for flag in ["enable-cache", "scratch-dir", "task-name"] {
        flags.take(flag);
    }
    flags.rest()
}
