//! The command line of a container: which Function to run, with what. Pure.
//!
//! ```text
//!   mysql-backup backup --namespace=demo --backupsession=s-1 --databases=druid … --task-name=t --last-task
//!   └ Function   └ verb └ the Function's arguments, rendered                     └ the operator's own
//! ```
//! A flag is one word, `--name=value` or `--name`; what stands behind the first `=` is the value, whatever
//! it holds. Flags of the catalog that have no effect here are told in the log, so that nobody waits for
//! one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kubestash_core::layout;
use kubestash_database::Family;

/// What a container shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Back up a database.
    Backup(Backup),
    /// Restore a database.
    Restore(Restore),
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
    /// The task parameter `databases`, split at its commas.
    pub databases: Vec<String>,
    /// The task parameter `scratchDir`.
    pub scratch_dir: PathBuf,
    /// How long to wait for a database that does not answer.
    pub wait_timeout: Duration,
}

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
    /// The task parameter `scratchDir`.
    pub scratch_dir: PathBuf,
    /// How long to wait for a database that does not answer.
    pub wait_timeout: Duration,
}

/// A command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// What to do.
    pub command: Command,
    /// Names of flags that have no effect.
    pub unused: Vec<String>,
}

/// A command line that cannot be understood. Trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// No Function.
    #[error("failed to start: name the Function to run, e.g. kubestash execute mysql-backup …")]
    NoFunction,
    /// A Function that we do not run.
    #[error(
        "failed to run Function {0:?}: this version of kubestash runs mysql-backup, mariadb-backup, mysql-restore and mariadb-restore; name a task that uses one of them"
    )]
    UnknownFunction(String),
    /// The Function was given another one's verb.
    #[error(
        "failed to run Function {function:?}: its first argument is {verb:?} and must be {expected:?}; install the catalog's Function again (kubestash catalog)"
    )]
    Verb {
        /// The Function.
        function: String,
        /// The word given.
        verb: String,
        /// The word that belongs there.
        expected: &'static str,
    },
    /// A word that is no flag.
    #[error("failed to read the arguments: {0:?} is not a flag --name=value")]
    NoFlag(String),
    /// A flag that is needed.
    #[error(
        "failed to read the arguments: --{0} is missing or empty; add it to the Function's args"
    )]
    Missing(&'static str),
    /// A flag whose value makes no sense.
    #[error("failed to read the arguments: --{flag} is {value:?} and must be {must}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What it is.
        value: String,
        /// What it has to be.
        must: &'static str,
    },
}

impl ArgumentsError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoFunction | Self::UnknownFunction(_) => "FunctionUnknown",
            Self::Verb { .. } | Self::NoFlag(_) | Self::Missing(_) | Self::Value { .. } => {
                "ArgumentsInvalid"
            }
        }
    }
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
        "mysql-backup" => backup(function, rest, Family::MySql, "mysql-args"),
        "mariadb-backup" => backup(function, rest, Family::MySql, "mariadb-args"),
        "mysql-restore" => restore(function, rest, Family::MySql, "mysql-args"),
        "mariadb-restore" => restore(function, rest, Family::MySql, "mariadb-args"),
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

fn backup(
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
        databases: flags
            .take("databases")
            .unwrap_or_default()
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
        scratch_dir: flags.scratch_dir(),
        wait_timeout: flags.seconds("wait-timeout")?.unwrap_or(WAIT_TIMEOUT),
    };
    // A cache is never needed, and the database says its version itself.
    flags.take("enable-cache");
    flags.take("db-version");
    Ok(Arguments {
        command: Command::Backup(backup),
        unused: flags.rest(),
    })
}

fn restore(
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
        scratch_dir: flags.scratch_dir(),
        wait_timeout: flags.seconds("wait-timeout")?.unwrap_or(WAIT_TIMEOUT),
    };
    // A cache is never needed, the database says its version itself, and nothing follows the last task.
    flags.take("enable-cache");
    flags.take("db-version");
    flags.switch("last-task")?;
    Ok(Arguments {
        command: Command::Restore(restore),
        unused: flags.rest(),
    })
}

/// The flags behind the word that a Function's arguments begin with, which may be missing.
fn without_verb<'a>(
    function: &str,
    words: &'a [String],
    expected: &'static str,
) -> Result<&'a [String], ArgumentsError> {
    match words.split_first() {
        Some((verb, rest)) if verb == expected => Ok(rest),
        Some((verb, _)) if !verb.starts_with("--") => Err(ArgumentsError::Verb {
            function: function.to_owned(),
            verb: verb.clone(),
            expected,
        }),
        _ => Ok(words),
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

struct Flags(BTreeMap<String, Option<String>>);

impl Flags {
    fn read(words: &[String]) -> Result<Self, ArgumentsError> {
        let mut flags = BTreeMap::new();
        for word in words {
            let flag = word.strip_prefix("--").filter(|flag| !flag.is_empty());
            let flag = flag.ok_or_else(|| ArgumentsError::NoFlag(word.clone()))?;
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            flags.insert(name.to_owned(), value);
        }
        Ok(Self(flags))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).flatten()
    }

    fn needed(&mut self, name: &'static str) -> Result<String, ArgumentsError> {
        self.take(name)
            .filter(|value| !value.is_empty())
            .ok_or(ArgumentsError::Missing(name))
    }

    fn switch(&mut self, name: &'static str) -> Result<bool, ArgumentsError> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => value.parse().map_err(|_| ArgumentsError::Value {
                flag: name,
                value,
                must: "true or false",
            }),
        }
    }

    /// A number of seconds; a Go duration is understood as well.
    fn seconds(&mut self, name: &'static str) -> Result<Option<Duration>, ArgumentsError> {
        let Some(value) = self.take(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let seconds = value.parse().map(Duration::from_secs).ok();
        seconds
            .or_else(|| kubestash_core::format::parse_go_duration(&value).ok())
            .map(Some)
            .ok_or(ArgumentsError::Value {
                flag: name,
                value,
                must: "a number of seconds",
            })
    }

    fn scratch_dir(&mut self) -> PathBuf {
        let given = self.take("scratch-dir").filter(|dir| !dir.is_empty());
        given.map_or_else(|| PathBuf::from("/kubestash-tmp"), PathBuf::from)
    }

    fn rest(self) -> Vec<String> {
        self.0.into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Arguments, ArgumentsError> {
        parse(
            &words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_catalogs_arguments_are_understood() {
        let arguments = parsed(&[
            "mysql-backup",
            "backup",
            "--namespace=demo",
            "--backupsession=s-1",
            "--enable-cache=true",
            "--scratch-dir=/kubestash-tmp",
            "--wait-timeout=300",
            "--mysql-args=--set-gtid-purged=OFF --ignore-table=druid.druid_config",
            "--db-version=8.0.21",
            "--databases= druid , other,,",
            "--task-name=mysql-metadata-storage-backup",
            "--last-task",
            "--interim-data-dir=/x",
        ])
        .unwrap();
        let expected = Backup {
            session: Object {
                namespace: "demo".into(),
                name: "s-1".into(),
            },
            family: Family::MySql,
            component: "dump",
            task: "mysql-metadata-storage-backup".into(),
            last_task: true,
            args: "--set-gtid-purged=OFF --ignore-table=druid.druid_config".into(),
            databases: vec!["druid".into(), "other".into()],
            scratch_dir: "/kubestash-tmp".into(),
            wait_timeout: Duration::from_secs(300),
        };
        assert_eq!(arguments.command, Command::Backup(expected));
        assert_eq!(arguments.unused, ["interim-data-dir"]);
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let words = [
            "mariadb-backup",
            "--namespace=demo",
            "--backupsession=s",
            "--mariadb-args=-q",
        ];
        let Command::Backup(backup) = parsed(&words).unwrap().command else {
            panic!()
        };
        assert_eq!(backup.args, "-q");
        assert_eq!(backup.wait_timeout, Duration::from_secs(300));
        assert_eq!(backup.scratch_dir, PathBuf::from("/kubestash-tmp"));
        assert!(backup.databases.is_empty() && !backup.last_task);
    }

    #[test]
    fn the_catalogs_arguments_of_a_restore_are_understood() {
        let arguments = parsed(&[
            "mysql-restore",
            "restore",
            "--namespace=demo",
            "--restoresession=r-1",
            "--snapshot=s-1",
            "--enable-cache=true",
            "--scratch-dir=",
            "--wait-timeout=60",
            "--mysql-args=--force",
            "--db-version=",
            "--task-name=t",
            "--last-task",
            "--user=postgres",
        ])
        .unwrap();
        let expected = Restore {
            session: Object {
                namespace: "demo".into(),
                name: "r-1".into(),
            },
            snapshot: "s-1".into(),
            family: Family::MySql,
            component: "dump",
            task: "t".into(),
            args: "--force".into(),
            scratch_dir: "/kubestash-tmp".into(),
            wait_timeout: Duration::from_secs(60),
        };
        assert_eq!(arguments.command, Command::Restore(expected));
        assert_eq!(arguments.unused, ["user"]);
    }

    #[test]
    fn jobs_of_volumes_name_their_object() {
        let object = Object {
            namespace: "demo".into(),
            name: "x".into(),
        };
        let storage = ["--storage-namespace=demo", "--storage-name=x"];
        let named = ["--namespace=demo", "--name=x"];
        let cases = [
            (
                "storage-init",
                storage,
                Command::StorageInit(object.clone()),
            ),
            (
                "storage-cleanup",
                storage,
                Command::StorageCleanup(object.clone()),
            ),
            (
                "snapshot-cleanup",
                named,
                Command::SnapshotCleanup(object.clone()),
            ),
            (
                "repository-cleanup",
                named,
                Command::RepositoryCleanup(object),
            ),
        ];
        for (function, flags, command) in cases {
            assert_eq!(
                parsed(&[function, flags[0], flags[1]]).unwrap().command,
                command
            );
        }
    }

    #[test]
    fn a_wrong_command_line_is_told_with_its_remedy() {
        let session = "--backupsession=s";
        let cases: [(&[&str], &str); 11] = [
            (&[], "name the Function"),
            (&["redis-backup", "backup"], "\"redis-backup\""),
            (&["mysql-backup", "restore"], "must be \"backup\""),
            (&["mysql-restore", "backup"], "must be \"restore\""),
            (
                &[
                    "mysql-restore",
                    "restore",
                    "--namespace=d",
                    "--restoresession=r",
                ],
                "--snapshot is missing",
            ),
            (
                &["mysql-backup", "backup", session],
                "--namespace is missing",
            ),
            (
                &["mysql-backup", "backup", "--namespace=", session],
                "--namespace is missing",
            ),
            (
                &["mysql-backup", "backup", "--namespace=demo"],
                "--backupsession is missing",
            ),
            (
                &["mysql-backup", "backup", "--namespace=demo", session, "x"],
                "\"x\" is not a flag",
            ),
            (
                &[
                    "mysql-backup",
                    "backup",
                    "--namespace=d",
                    session,
                    "--wait-timeout=soon",
                ],
                "--wait-timeout is \"soon\"",
            ),
            (
                &["storage-init", "--storage-name=x"],
                "--storage-namespace is missing",
            ),
        ];
        for (words, expected) in cases {
            let error = parsed(words).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn whatever_stands_in_a_value_stays_in_it() {
        let value = "--mysql-args=--where='a=b' --databases=x\n--last-task";
        let words = [
            "mysql-backup",
            "backup",
            "--namespace=d",
            "--backupsession=s",
            value,
        ];
        let Command::Backup(backup) = parsed(&words).unwrap().command else {
            panic!()
        };
        assert_eq!(backup.args, "--where='a=b' --databases=x\n--last-task");
        assert!(backup.databases.is_empty() && !backup.last_task);
    }
}
