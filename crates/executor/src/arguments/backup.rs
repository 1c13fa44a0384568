//! The arguments of the Functions that back a database up.

use std::path::PathBuf;
use std::time::Duration;

use kubestash_database::Family;
use kubestash_engine::ReadBack;

use super::flags::{Flags, without_verb};
use super::{Arguments, ArgumentsError, Command, DUMP, Object, WAIT_TIMEOUT};

/// A backup of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The BackupSession.
    pub session: Object,
    /// The family that the Function is for.
    pub family: Family,
    /// The part of the Snapshot that this task makes.
    pub component: &'static str,
    /// Name of the task.
    pub task: String,
    /// Whether it is the session's last task, which applies retention.
    pub last_task: bool,
    /// The task parameter `args`.
    pub args: String,
    /// Whether nobody gave them: they are the task's default.
    pub default_args: bool,
    /// The task parameter `backupCmd`: the program that dumps, for a family that has several.
    pub program: String,
    /// The task parameter `user`: who connects if no Secret names a user.
    pub user: String,
    /// The task parameter `databases`, split at its commas.
    pub databases: Vec<String>,
    /// The task parameter `scratchDir`.
    pub scratch_dir: PathBuf,
    /// How long to wait for a database that does not answer.
    pub wait_timeout: Duration,
    /// The task parameters `verify` and `verifyPeriod`.
    pub read_back: ReadBack,
}

/// Understands the words behind the name of such a Function; `args_flag` carries the task parameter
/// `args`.
pub(super) fn parse(
    function: &str,
    words: &[String],
    family: Family,
    args_flag: &'static str,
) -> Result<Arguments, ArgumentsError> {
    let words = without_verb(function, words, "backup")?;
    let mut flags = Flags::read(words)?;
    let session = Object {
        namespace: flags.needed("namespace")?,
        name: flags.needed("backupsession")?,
    };
    let backup = Backup {
        session,
        family,
        component: DUMP,
        task: flags.take("task-name").unwrap_or_default(),
        last_task: flags.switch("last-task")?,
        args: flags.take(args_flag).unwrap_or_default(),
        default_args: flags.switch("default-args")?,
        program: flags.take("backup-cmd").unwrap_or_default(),
        user: flags.user(),
        databases: flags
            .take("databases")
            .unwrap_or_default()
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
        scratch_dir: flags.scratch_dir(),
        wait_timeout: flags.seconds("wait-timeout")?.unwrap_or(WAIT_TIMEOUT),
        read_back: flags.read_back()?,
    };
    // A cache is never needed, and the database says its version itself.
    flags.take("enable-cache");
    flags.take("db-version");
    Ok(Arguments {
        command: Command::Backup(backup),
        unused: flags.rest(),
    })
}
