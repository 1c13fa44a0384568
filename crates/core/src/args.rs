//! The `args` parameter of a dump or load task: free text that becomes words of a command line.
//!
//! The text is split as a shell would split it, but no shell ever sees it, so `;`, `|` or `$(…)` are
//! only characters. What is left is judged flag by flag:
//!
//! - flags that would send the client to another host, change its credentials, let it read or write
//!   files, or run something are **refused by name** (never with their value: it may be a password);
//! - abbreviations are written out, so that `--hos=…` cannot slip past the rule for `--host`;
//! - `--databases a b`, `--all-databases` and, for PostgreSQL's programs, `--dbname=a` and a bare name are not
//!   passed on but returned, because the selection of databases has rules of its own.
//!
//! Whether the installed client knows a flag is not decided here: see [`Flag::documented`].

mod mysql;
mod option;
mod postgres;

use std::fmt;

use option::{Opt, Value, Verdict};

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

    /// Words in front of an option's name that switch it.
    fn negations(self) -> &'static [&'static str] {
        match self {
            Tool::MySqlDump | Tool::MySqlClient => &NEGATIONS,
            Tool::PgDump | Tool::PgDumpAll | Tool::Psql => &[],
        }
    }

    /// Whether a word that is no flag names a database.
    fn takes_database(self) -> bool {
        matches!(self, Tool::PgDump | Tool::Psql)
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
    /// Its long name, without dashes and without a `loose-` prefix, words joined by `-`: `set-gtid-purged`,
    /// `skip-triggers`.
    pub name: String,
    /// The word to pass: `--set-gtid-purged=OFF`.
    pub word: String,
    /// True when a released client of the family has this flag, so that a client without it may leave it
    /// out; false when we have never heard of it, and only the client itself can tell whether it is a typo.
    pub documented: bool,
}

impl Flag {
    /// The name of the option this flag switches: `triggers` for `--skip-triggers`.
    pub fn option(&self) -> &str {
        NEGATIONS
            .iter()
            .find_map(|prefix| self.name.strip_prefix(prefix))
            .unwrap_or(&self.name)
    }

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
    /// The names after `--databases`, in their order.
    pub databases: Vec<String>,
}

/// Why the `args` parameter of a task cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// A quote is not closed, or the text ends in a backslash.
    #[error("failed to split the task parameter args: {0}; close every quote")]
    Split(#[source] shell_words::ParseError),
    /// The flag would redirect the client.
    #[error(
        "failed to accept the task parameter args: {flag} is refused because it {why}; remove it"
    )]
    Refused {
        /// The flag by its name, without its value.
        flag: String,
        /// What the flag would do.
        why: &'static str,
    },
    /// The abbreviation fits several flags.
    #[error(
        "failed to accept the task parameter args: --{0} may mean several flags; write the flag in full"
    )]
    Ambiguous(String),
    /// A flag that needs a value is the last word.
    #[error("failed to accept the task parameter args: --{0} needs a value; write --{0}=<value>")]
    MissingValue(String),
    /// A word that is neither a flag nor the value of one.
    #[error(
        "failed to accept the task parameter args: {0:?} is not a flag; write a flag's value as --flag=value with quotes around blanks, and name databases in the parameter databases"
    )]
    Operand(String),
    /// A NUL character, which no command line can hold.
    #[error("failed to accept the task parameter args: it contains a NUL character; remove it")]
    Nul,
}

impl ArgsError {
    /// A stable name for metrics, conditions and Events.
    pub fn kind(&self) -> &'static str {
        match self {
            ArgsError::Split(_) => "ArgsNotSplit",
            ArgsError::Refused { .. } => "ArgsRefused",
            ArgsError::Ambiguous(_)
            | ArgsError::MissingValue(_)
            | ArgsError::Operand(_)
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
    let mut parser = Parser {
        tool,
        options: tool.options(),
        args: Args::default(),
        naming_databases: false,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        parser.word(word, &mut words)?;
    }
    if parser.naming_databases && parser.args.databases.is_empty() {
        return Err(ArgsError::MissingValue("databases".to_owned()));
    }
    Ok(parser.args)
}

/// Words in front of an option's name that switch it. (`loose-` is taken off before.)
const NEGATIONS: [&str; 4] = ["skip-", "disable-", "enable-", "maximum-"];

struct Parser {
    tool: Tool,
    options: &'static [Opt],
    args: Args,
    naming_databases: bool,
}

impl Parser {
    fn word(
        &mut self,
        word: String,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), ArgsError> {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            self.long(long, rest)
        } else if let Some(letters) = word
            .strip_prefix('-')
            .filter(|l| !l.is_empty() && *l != "-")
        {
            self.short(letters, rest)
        } else if self.naming_databases && word != "--" && word != "-" {
            self.args.databases.push(word);
            Ok(())
        } else if self.tool.takes_database() && word != "--" && word != "-" {
            self.database("the database's name", word)
        } else {
            Err(ArgsError::Operand(word))
        }
    }

    fn long(
        &mut self,
        word: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), ArgsError> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        // The clients treat `_` and `-` alike and ignore case in nothing; a lower-cased comparison is stricter.
        let name = name.replace('_', "-").to_ascii_lowercase();
        let name = name.strip_prefix("loose-").unwrap_or(&name);
        if let Some(option) = self.find(name)? {
            return self.accept(option, "", value, rest);
        }
        for prefix in self.tool.negations() {
            if let Some(base) = name.strip_prefix(prefix)
                && let Some(option) = self.find(base)?
            {
                // A negated option takes no separate value: `--skip-where x` is not `--where=x`.
                return self.accept(option, prefix, value.or(Some(String::new())), rest);
            }
        }
        self.args.flags.push(Flag {
            name: name.to_owned(),
            word: joined(name, value.as_deref()),
            documented: false,
        });
        Ok(())
    }

    fn short(
        &mut self,
        letters: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), ArgsError> {
        for (at, letter) in letters.char_indices() {
            let Some(option) = self
                .options
                .iter()
                .find(|option| option.short == Some(letter))
            else {
                return Err(ArgsError::Refused {
                    flag: format!("-{letter}"),
                    why: "is a short form we do not know (write the flag in full)",
                });
            };
            let tail = &letters[at + letter.len_utf8()..];
            if option.value == Value::Needed {
                let value = Some(tail.to_owned()).filter(|tail| !tail.is_empty());
                return self.accept(option, "", value, rest);
            }
            self.accept(option, "", None, rest)?;
        }
        Ok(())
    }

    /// Takes note of a database's name. PostgreSQL's programs take an address in its place.
    fn database(&mut self, flag: &str, name: String) -> Result<(), ArgsError> {
        if name.contains('=') || name.contains("://") {
            return Err(ArgsError::Refused {
                flag: flag.to_owned(),
                why: postgres::ADDRESS,
            });
        }
        self.args.databases.push(name);
        Ok(())
    }

    /// The option of that name, or the one that `name` abbreviates. An abbreviation that could mean a refused
    /// option counts as that option, whatever else it could mean.
    fn find(&self, name: &str) -> Result<Option<&'static Opt>, ArgsError> {
        if let Some(exact) = self.options.iter().find(|option| option.name == name) {
            return Ok(Some(exact));
        }
        let mut fitting = self
            .options
            .iter()
            .filter(|option| option.name.starts_with(name));
        if let Some(refused) = fitting
            .clone()
            .find(|option| matches!(option.verdict, Verdict::Refuse(_)))
        {
            return Ok(Some(refused));
        }
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(Some(only)),
            (Some(_), Some(_)) => Err(ArgsError::Ambiguous(name.to_owned())),
            (None, _) => Ok(None),
        }
    }

    fn accept(
        &mut self,
        option: &'static Opt,
        negation: &str,
        value: Option<String>,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), ArgsError> {
        self.naming_databases = false;
        match option.verdict {
            Verdict::Refuse(why) => {
                return Err(ArgsError::Refused {
                    flag: format!("--{negation}{}", option.name),
                    why,
                });
            }
            Verdict::AllDatabases => {
                self.args.all_databases = negation.is_empty() || negation == "enable-";
                return Ok(());
            }
            Verdict::Databases => {
                self.naming_databases = true;
                return Ok(());
            }
            Verdict::Pass | Verdict::Database | Verdict::Only(..) => {}
        }
        let value = match (option.value, value) {
            (Value::Needed, None) => Some(
                rest.next()
                    .ok_or_else(|| ArgsError::MissingValue(option.name.to_owned()))?,
            ),
            (_, value) => value.filter(|value| negation.is_empty() || !value.is_empty()),
        };
        match (option.verdict, &value) {
            (Verdict::Database, Some(name)) => {
                let flag = format!("--{}", option.name);
                return self.database(&flag, name.clone());
            }
            (Verdict::Only(accepted, why), Some(value)) if !accepted.contains(&value.as_str()) => {
                let flag = format!("--{}", option.name);
                return Err(ArgsError::Refused { flag, why });
            }
            _ => {}
        }
        let name = format!("{negation}{}", option.name);
        self.args.flags.push(Flag {
            word: joined(&name, value.as_deref()),
            name,
            documented: true,
        });
        Ok(())
    }
}

fn joined(name: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}"),
    }
}

#[cfg(test)]
mod tests;
