//! The arguments of the Functions that restore a database.

use std::path::PathBuf;
use std::time::Duration;

use kubestash_database::{Allowed, Family};

use super::flags::{Flags, without_verb};
use super::{Arguments, ArgumentsError, Command, DUMP, Object, WAIT_TIMEOUT};

/// A restore of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The RestoreSession.
    pub session: Object,
    /// Name of the Snapshot to restore, which the operator has looked up.
    pub snapshot: String,
    /// The family that the Function is for.
    pub family: Family,
    /// The part of the Snapshot that this task restores.
    pub component: &'static str,
    /// Name of the task.
    pub task: String,
    /// The task parameter `args`.
    pub args: String,
    /// The task parameter `user`: who connects if no Secret names a user.
    pub user: String,
    /// The task parameter `scratchDir`.
    pub scratch_dir: PathBuf,
    /// How long to wait for a database that does not answer.
    pub wait_timeout: Duration,
    /// The task parameters `allowIncomplete`, `allowServerChanges` and `onConflict`.
    pub allowed: Allowed,
}

/// Understands the words behind the name of such a Function; `args_flag` carries the task parameter
/// `args`.
pub(super) fn parse(
    function: &str,
    words: &[String],
    family: Family,
    args_flag: &'static str,
) -> Result<Arguments, ArgumentsError> {
    let words = without_verb(function, words, "restore")?;
    let mut flags = Flags::read(words)?;
    let session = Object {
        namespace: flags.needed("namespace")?,
        name: flags.needed("restoresession")?,
    };
    let restore = Restore {
        session,
        snapshot: flags.needed("snapshot")?,
        family,
        component: DUMP,
        task: flags.take("task-name").unwrap_or_default(),
        args: flags.take(args_flag).unwrap_or_default(),
        user: flags.user(),
        scratch_dir: flags.scratch_dir(),
        wait_timeout: flags.seconds("wait-timeout")?.unwrap_or(WAIT_TIMEOUT),
        allowed: Allowed {
            incomplete: flags.switch("allow-incomplete")?,
            server_changes: flags.switch("allow-server-changes")?,
            replace: replace(flags.take("on-conflict"))?,
        },
    };
    // A cache is never needed, the database says its version itself, and nothing follows the last
    // task.
    flags.take("enable-cache");
    flags.take("db-version");
    flags.switch("last-task")?;
    Ok(Arguments {
        command: Command::Restore(restore),
        unused: flags.rest(),
    })
}

/// What the task parameter `onConflict` says.
fn replace(value: Option<String>) -> Result<bool, ArgumentsError> {
    match value.as_deref() {
        None | Some("" | "fail") => Ok(false),
        Some("replace") => Ok(true),
        Some(other) => Err(ArgumentsError::Value {
            flag: "on-conflict",
            value: other.to_owned(),
            must: "fail or replace",
        }),
    }
}
