//! The `args` parameter of a dump or load task: free text that becomes words of a command line.
//!
//! The text is split as a shell would split it, but no shell ever sees it, so `;`, `|` or `$(…)`
//! are only characters. What is left is judged flag by flag, by one table for each client in which
//! every option of every released version stands:
//!
//! - flags that would send the client to another host, change its credentials, let it read or write
//!   files, or run something are **refused by name** (never with their value: it may be a
//!   password);
//! - so are flags that make a dump that nobody can restore, or a restore that could lose data
//!   without an error;
//! - flags that would take away what a restore needs are left out or replaced, and [`Args::notes`]
//!   says so;
//! - abbreviations are written out, so that `--hos=…` cannot slip past the rule for `--host`, and
//!   `--x=0`, `--skip-x` and `--disable-x` are one;
//! - names of databases (`--databases a b`, `--dbname=a`, a bare word) are not passed on but
//!   returned, because the selection of databases has rules of its own. So is `--all-databases`.
//!
//! A flag that is in no table is refused: what it would do to a dump, nobody has looked at. Whether
//! the installed client has a flag that others of its family have is not decided here.

mod mysql;
mod option;
mod parser;
mod postgres;

use std::fmt;

use option::Opt;

/// Whose command line the text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `mysqldump` or `mariadb-dump`.
    MySqlDump,
    /// `mysql` or `mariadb`, reading a dump.
    MySqlClient,
    /// `pg_dump`.
    PgDump,
    /// `pg_dumpall`, whose flags for the contents of databases `pg_dump` gets.
    PgDumpAll,
    /// `psql`, reading a dump.
    Psql,
}

impl Tool {
    fn options(self) -> &'static [Opt] {
        match self {
            Tool::MySqlDump => mysql::DUMP,
            Tool::MySqlClient => mysql::CLIENT,
            Tool::PgDump => postgres::DUMP,
            Tool::PgDumpAll => postgres::DUMP_ALL,
            Tool::Psql => postgres::CLIENT,
        }
    }

    /// Whether it is of the family whose clients take `loose-`, `skip-`, `disable-` and `enable-`
    /// in front of an option.
    fn takes_prefixes(self) -> bool {
        matches!(self, Tool::MySqlDump | Tool::MySqlClient)
    }

    /// How many words that are no flag may name a database.
    fn bare_names(self) -> usize {
        match self {
            // A second one would be a table, or a user.
            Tool::MySqlDump | Tool::MySqlClient | Tool::Psql => 1,
            Tool::PgDump => usize::MAX,
            Tool::PgDumpAll => 0,
        }
    }

    /// Whether it works on one database.
    fn loads(self) -> bool {
        matches!(self, Tool::MySqlClient | Tool::Psql)
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tool::MySqlDump => "mysqldump",
            Tool::MySqlClient => "mysql",
            Tool::PgDump => "pg_dump",
            Tool::PgDumpAll => "pg_dumpall",
            Tool::Psql => "psql",
        })
    }
}

/// One flag, ready to be a single word of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its long name, without dashes, words joined by `-`: `set-gtid-purged`, `skip-triggers`.
    pub name: String,
    /// The word to pass: `--set-gtid-purged=OFF`.
    pub word: String,
    /// The name of the option that it sets or switches: `triggers` for `--skip-triggers`.
    pub option: &'static str,
}

impl Flag {
    /// What follows the `=`, if anything does.
    pub fn value(&self) -> Option<&str> {
        self.word.split_once('=').map(|(_, value)| value)
    }
}

/// The `args` of a task, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// The flags in their order.
    pub flags: Vec<Flag>,
    /// True when the text said `--all-databases`.
    pub all_databases: bool,
    /// The databases that it names, in their order.
    pub databases: Vec<String>,
    /// What was left out or replaced, and what flags mean that are easily misunderstood: for the
    /// log.
    pub notes: Vec<String>,
    /// What the flags keep out of the dump: `--ignore-table=a.b: this table is not in the dump`.
    pub omits: Vec<String>,
}

/// Why the `args` parameter of a task cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// A quote is not closed, or the text ends in a backslash.
    #[error("failed to split the task parameter args: {0}; close every quote")]
    Split(#[source] shell_words::ParseError),
    /// The flag would redirect the client, or spoil the dump or the restore.
    #[error(
        "failed to accept the task parameter args: {flag} is refused because it {why}; remove it"
    )]
    Refused {
        /// The flag by its name, without its value.
        flag: String,
        /// What the flag would do.
        why: &'static str,
    },
    /// The flag is one that we have never heard of.
    #[error(
        "failed to accept the task parameter args: {tool} has no flag --{flag} that is known to be safe{}; correct or remove it",
        meant(.nearest)
    )]
    Unknown {
        /// The client.
        tool: Tool,
        /// The flag's name.
        flag: String,
        /// The known one that is spelled nearest to it.
        nearest: Option<&'static str>,
    },
    /// The abbreviation fits several flags.
    #[error(
        "failed to accept the task parameter args: --{0} may mean several flags; write the flag in full"
    )]
    Ambiguous(String),
    /// A flag that needs a value is the last word.
    #[error("failed to accept the task parameter args: --{0} needs a value; write --{0}=<value>")]
    MissingValue(String),
    /// A flag that is on or off was given something else.
    #[error(
        "failed to accept the task parameter args: --{0} takes no value but 0 and 1; write --{0} alone"
    )]
    Switch(String),
    /// A word that is neither a flag nor the value of one.
    #[error(
        "failed to accept the task parameter args: {0:?} is not a flag; write a flag's value as --flag=value with quotes around blanks, or remove it"
    )]
    Operand(String),
    /// More words that are no flags than there can be databases.
    #[error(
        "failed to accept the task parameter args: {first:?} and {second:?} are no flags, and {tool} takes one database; write a flag's value as --flag=value with quotes around blanks{}",
        several(*.tool)
    )]
    SecondName {
        /// The client.
        tool: Tool,
        /// The word that names the database.
        first: String,
        /// The one that is too many.
        second: String,
    },
    /// A NUL character, which no command line can hold.
    #[error("failed to accept the task parameter args: it contains a NUL character; remove it")]
    Nul,
}

fn meant(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean --{name}?)"))
}

fn several(tool: Tool) -> &'static str {
    match tool {
        Tool::MySqlDump => ", and name several databases as --databases a b",
        _ => "",
    }
}

impl ArgsError {
    /// A stable name for metrics, conditions and Events.
    pub fn kind(&self) -> &'static str {
        match self {
            ArgsError::Split(_) => "ArgsNotSplit",
            ArgsError::Refused { .. } => "ArgsRefused",
            ArgsError::Unknown { .. }
            | ArgsError::Ambiguous(_)
            | ArgsError::MissingValue(_)
            | ArgsError::Switch(_)
            | ArgsError::Operand(_)
            | ArgsError::SecondName { .. }
            | ArgsError::Nul => "ArgsInvalid",
        }
    }
}

/// Takes the `args` parameter of a task apart for `tool`.
///
/// # Errors
/// [`ArgsError`] when the text cannot be split, or holds something that is refused.
pub fn parse(tool: Tool, text: &str) -> Result<Args, ArgsError> {
    if text.contains('\0') {
        return Err(ArgsError::Nul);
    }
    let words = shell_words::split(text).map_err(ArgsError::Split)?;
    parser::parse(tool, words)
}

#[cfg(test)]
mod tests;
