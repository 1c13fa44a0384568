//! Which databases of a server a dump holds.
//!
//! | asked for | dumped |
//! |---|---|
//! | names, in the parameter `databases` or after `--databases` | these; one that the server lacks is an error |
//! | nothing, of a Druid | the one of `druid` and its `linkedDB` that holds `druid_segments` |
//! | nothing, of a plain server | all databases that users made, never the server's own |
//! | `--all-databases` | all but those that exist in the server's memory only, and the ignored ones |
//!
//! One named database is dumped without its name in the dump, so that it can be loaded under
//! another one. Names are only ever compared with what the server has: nothing a name contains is
//! interpreted.

use crate::family::Role;

/// The name that Druid's metadata database has unless somebody chose another.
pub const DRUID: &str = "druid";

/// The databases of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// All that the user may see, the server's own included.
    pub all: Vec<String>,
    /// Those that hold Druid's table of segments.
    pub with_segments: Vec<String>,
    /// Those that belong to the server itself.
    pub system: Vec<String>,
    /// Those of them that hold nothing that could be dumped.
    pub in_memory: Vec<String>,
}

impl Existing {
    fn users(&self) -> Vec<String> {
        let users = self.all.iter().filter(|name| !self.system.contains(name));
        users.cloned().collect()
    }
}

/// What to dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One database, without its name in the dump.
    One(String),
    /// Several, each with `CREATE DATABASE` and `USE`.
    Several(Vec<String>),
}

impl Scope {
    /// The names.
    pub fn databases(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Names in the task parameter `databases`.
    pub named: &'a [String],
    /// Names in the task parameter `args`.
    pub in_args: &'a [String],
    /// `--all-databases`.
    pub all: bool,
    /// Databases that `--all-databases` leaves out.
    pub ignored: &'a [String],
    /// The task parameter that is to be used to name a database.
    pub parameter: &'static str,
}

/// Why no databases can be selected. All of them last until somebody changes something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Names that the server does not have.
    #[error(
        "failed to select databases: the server has no {}; it has {}; correct {parameter}",
        quoted(.unknown), listed(.existing)
    )]
    Unknown {
        /// Which task parameter names them.
        parameter: &'static str,
        /// The names asked for.
        unknown: Vec<String>,
        /// What there is of users.
        existing: Vec<String>,
    },
    /// A Druid's metadata is in none of the databases it can be in.
    #[error(
        "failed to select the metadata database: neither of {} holds the table druid_segments; the server has {}; wait until Druid has created its tables, or name the database in the task parameter {parameter}",
        quoted(.looked_in), listed(.existing)
    )]
    NoMetadata {
        /// Where we looked.
        looked_in: Vec<String>,
        /// What there is of users.
        existing: Vec<String>,
        /// The task parameter that can name another one.
        parameter: &'static str,
    },
    /// A Druid's metadata is gone: earlier backups have it.
    #[error(
        "failed to select the metadata database: neither of {} holds the table druid_segments any more, and earlier backups do; the server has {}; restore one of them if the database was lost; if it was removed on purpose, delete the BackupConfiguration or set its spec.paused",
        quoted(.looked_in), listed(.existing)
    )]
    MetadataLost {
        /// Where we looked.
        looked_in: Vec<String>,
        /// What there is of users.
        existing: Vec<String>,
    },
    /// A plain server without anything of a user.
    #[error("failed to select databases: the server holds none but its own")]
    Nothing,
    /// Two ways to name databases that contradict each other.
    #[error(
        "failed to select databases: args says --all-databases and databases are named as well; remove one of the two"
    )]
    Contradiction,
    /// The user may not connect to a database.
    #[error(
        "failed to select databases: the user {user:?} lacks the right {right} on the database {database:?}; grant it, or name the databases to dump in the task parameter args"
    )]
    Right {
        /// Who connects.
        user: String,
        /// The right.
        right: &'static str,
        /// The database.
        database: String,
    },
    /// More than one dump can describe.
    #[error(
        "failed to select databases: {0} are more than one dump can hold; name some of them in the task parameter args of each of several sessions"
    )]
    TooMany(usize),
}

impl SelectionError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "DatabaseUnknown",
            Self::NoMetadata { .. } => "DruidMetadataMissing",
            Self::MetadataLost { .. } => "DruidMetadataLost",
            Self::Nothing => "DatabaseNone",
            Self::Contradiction => "ArgsInvalid",
            Self::Right { .. } => "DatabaseRightMissing",
            Self::TooMany(_) => "DatabaseTooMany",
        }
    }

    /// The same where earlier backups hold what is missing now, if that makes it another error.
    pub fn lost(&self) -> Option<Self> {
        match self {
            Self::NoMetadata {
                looked_in,
                existing,
                ..
            } => Some(Self::MetadataLost {
                looked_in: looked_in.clone(),
                existing: existing.clone(),
            }),
            _ => None,
        }
    }
}

/// At most this many names, and characters of a name, in a message.
const SHOWN: usize = 20;
const SHOWN_NAME: usize = 80;

pub(crate) fn quoted(names: &[String]) -> String {
    let cut = |name: &String| format!("{:?}", name.chars().take(SHOWN_NAME).collect::<String>());
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(cut)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

fn listed(existing: &[String]) -> String {
    if existing.is_empty() {
        "no database of a user".to_owned()
    } else {
        quoted(existing)
    }
}

/// The database that holds a Druid's metadata: `linked` if it does, else `druid` if that does.
pub fn metadata_database(linked: &str, existing: &Existing, folds_case: bool) -> Option<String> {
    [linked, DRUID]
        .iter()
        .find_map(|name| find(name, &existing.with_segments, folds_case))
}

pub(crate) fn find(name: &str, among: &[String], folds_case: bool) -> Option<String> {
    let exact = among.iter().find(|existing| *existing == name);
    let folded = || {
        among
            .iter()
            .find(|existing| existing.eq_ignore_ascii_case(name))
    };
    exact
        .or_else(|| if folds_case { folded() } else { None })
        .cloned()
}

/// Selects what to dump.
///
/// # Errors
/// [`SelectionError`], with what the server has and what to do.
pub fn select<'a>(
    wanted: Wanted<'a>,
    role: &Role,
    existing: &Existing,
    folds_case: bool,
) -> Result<Scope, SelectionError> {
    let given = |names: &'a [String]| {
        let names = names.iter().map(|name| name.trim());
        names.filter(|name| !name.is_empty())
    };
    let names: Vec<(&str, &'static str)> = given(wanted.named)
        .map(|name| (name, "databases"))
        .chain(given(wanted.in_args).map(|name| (name, "args")))
        .collect();
    if wanted.all && !names.is_empty() {
        return Err(SelectionError::Contradiction);
    }
    if !names.is_empty() {
        return named(&names, existing, folds_case);
    }
    if wanted.all {
        return all_but(existing, |name| {
            existing.in_memory.iter().any(|skipped| skipped == name)
                || find(name, wanted.ignored, folds_case).is_some()
        });
    }
    match role {
        Role::Plain => all_but(existing, |name| {
            existing.system.iter().any(|own| own == name)
        }),
        Role::DruidMetadata { linked_db } => metadata_database(linked_db, existing, folds_case)
            .map(Scope::One)
            .ok_or_else(|| {
                let mut looked_in = vec![linked_db.clone(), DRUID.to_owned()];
                looked_in.dedup();
                SelectionError::NoMetadata {
                    looked_in,
                    existing: existing.users(),
                    parameter: wanted.parameter,
                }
            }),
    }
}

/// Names, each with the task parameter that it stands in.
fn named(
    names: &[(&str, &'static str)],
    existing: &Existing,
    folds_case: bool,
) -> Result<Scope, SelectionError> {
    let mut found: Vec<String> = Vec::new();
    let mut unknown = Vec::new();
    let mut parameters = Vec::new();
    for (name, parameter) in names {
        match find(name, &existing.all, folds_case) {
            Some(name) if found.contains(&name) => {}
            Some(name) => found.push(name),
            None => {
                unknown.push((*name).to_owned());
                parameters.push(*parameter);
            }
        }
    }
    parameters.dedup();
    if !unknown.is_empty() {
        return Err(SelectionError::Unknown {
            unknown,
            parameter: match parameters.as_slice() {
                ["args"] => "the task parameter args",
                ["databases"] => "the task parameter databases",
                _ => "the task parameters databases and args",
            },
            existing: existing.users(),
        });
    }
    match found.as_slice() {
        [only] => Ok(Scope::One(only.clone())),
        _ => Ok(Scope::Several(found)),
    }
}

fn all_but(existing: &Existing, skipped: impl Fn(&str) -> bool) -> Result<Scope, SelectionError> {
    let names: Vec<String> = existing
        .all
        .iter()
        .filter(|name| !skipped(name))
        .cloned()
        .collect();
    if names.is_empty() {
        Err(SelectionError::Nothing)
    } else {
        Ok(Scope::Several(names))
    }
}

/// The database that a dump of `source` goes into, and whether it is there: that of the target's
/// role, whatever it was called where it comes from.
pub(crate) fn place(
    source: &str,
    role: &Role,
    existing: &Existing,
    folds_case: bool,
) -> (String, bool) {
    match role {
        Role::Plain => match find(source, &existing.all, folds_case) {
            Some(name) => (name, true),
            None => (source.to_owned(), false),
        },
        Role::DruidMetadata { linked_db } => {
            let there = metadata_database(linked_db, existing, folds_case).or_else(|| {
                [linked_db.as_str(), DRUID]
                    .iter()
                    .find_map(|name| find(name, &existing.all, folds_case))
            });
            match there {
                Some(name) => (name, true),
                None => (linked_db.clone(), false),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn server(all: &[&str], with_segments: &[&str]) -> Existing {
        let own = ["information_schema", "mysql", "performance_schema", "sys"];
        Existing {
            all: strings(&own).into_iter().chain(strings(all)).collect(),
            with_segments: strings(with_segments),
            system: strings(&own),
            in_memory: strings(&["information_schema", "performance_schema", "sys"]),
        }
    }

    const NOTHING: Wanted<'static> = Wanted {
        named: &[],
        in_args: &[],
        all: false,
        ignored: &[],
        parameter: "args",
    };

    fn pick(names: &[&str], role: &Role, existing: &Existing) -> Result<Scope, SelectionError> {
        let names = strings(names);
        select(
            Wanted {
                named: &names,
                ..NOTHING
            },
            role,
            existing,
            false,
        )
    }

    fn druid(linked_db: &str) -> Role {
        Role::DruidMetadata {
            linked_db: linked_db.to_owned(),
        }
    }

    fn one(name: &str) -> Result<Scope, SelectionError> {
        Ok(Scope::One(name.to_owned()))
    }

    #[test]
    fn a_druids_metadata_is_where_its_segments_are() {
        let cases = [
            (server(&["druid"], &["druid"]), "druid", one("druid")),
            (server(&["druid", "meta"], &["meta"]), "meta", one("meta")),
            // KubeDB's connect URI says "druid" whatever linkedDB says.
            (server(&["druid", "meta"], &["druid"]), "meta", one("druid")),
            (
                server(&["druid", "meta"], &["druid", "meta"]),
                "meta",
                one("meta"),
            ),
        ];
        for (existing, linked, expected) in cases {
            assert_eq!(pick(&[], &druid(linked), &existing), expected);
        }
        let empty = server(&["druid", "other"], &["other"]);
        let error = pick(&[], &druid("druid"), &empty).unwrap_err();
        assert_eq!(error.kind(), "DruidMetadataMissing");
        assert!(error.to_string().contains("\"other\""), "{error}");
        assert!(!error.to_string().contains("\"mysql\""), "{error}");
    }

    #[test]
    fn a_plain_server_gives_all_databases_of_its_users_and_never_its_own() {
        let existing = server(&["a", "b"], &[]);
        let expected = Ok(Scope::Several(strings(&["a", "b"])));
        assert_eq!(pick(&[], &Role::Plain, &existing), expected);
        assert_eq!(pick(&[" ", ""], &Role::Plain, &existing), expected);
        assert_eq!(
            pick(&[], &Role::Plain, &server(&[], &[])),
            Err(SelectionError::Nothing)
        );
    }

    #[test]
    fn named_databases_must_exist_and_count_once() {
        let existing = server(&["a", "b c", "Druid"], &[]);
        assert_eq!(pick(&[" a "], &Role::Plain, &existing), one("a"));
        assert_eq!(pick(&["a", "a"], &druid("x"), &existing), one("a"));
        assert_eq!(pick(&["mysql"], &Role::Plain, &existing), one("mysql"));
        let several = Ok(Scope::Several(strings(&["b c", "a"])));
        assert_eq!(pick(&["b c", "a"], &Role::Plain, &existing), several);
        let error = pick(&["a", "nope"], &Role::Plain, &existing).unwrap_err();
        let SelectionError::Unknown { unknown, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(unknown, &["nope"]);
        assert!(error.to_string().contains("\"b c\""), "{error}");
        assert!(pick(&["druid"], &Role::Plain, &existing).is_err());
        let names = strings(&["druid"]);
        let wanted = Wanted {
            named: &names,
            ..NOTHING
        };
        assert_eq!(select(wanted, &Role::Plain, &existing, true), one("Druid"));
    }

    #[test]
    fn a_remedy_names_the_parameter_that_was_used() {
        let existing = server(&["a"], &[]);
        let (good, bad, worse) = (strings(&["a"]), strings(&["b"]), strings(&["c"]));
        let cases: [(&[String], &[String], &str); 4] = [
            (&bad, &[], "correct the task parameter databases"),
            (&[], &bad, "correct the task parameter args"),
            (&good, &bad, "correct the task parameter args"),
            (
                &bad,
                &worse,
                "correct the task parameters databases and args",
            ),
        ];
        for (named, in_args, remedy) in cases {
            let wanted = Wanted {
                named,
                in_args,
                ..NOTHING
            };
            let error = select(wanted, &Role::Plain, &existing, false).unwrap_err();
            assert!(error.to_string().ends_with(remedy), "{error}");
        }
        for parameter in ["args", "databases"] {
            let wanted = Wanted {
                parameter,
                ..NOTHING
            };
            let error = select(wanted, &druid("druid"), &existing, false).unwrap_err();
            let remedy = format!("name the database in the task parameter {parameter}");
            assert!(error.to_string().ends_with(&remedy), "{error}");
        }
    }

    #[test]
    fn metadata_that_earlier_backups_hold_is_lost_and_not_to_be_waited_for() {
        let existing = server(&["other"], &[]);
        let missing = pick(&[], &druid("meta"), &existing).unwrap_err();
        assert!(
            missing.to_string().contains("wait until Druid"),
            "{missing}"
        );
        let lost = missing.lost().unwrap();
        assert_eq!(lost.kind(), "DruidMetadataLost");
        for words in ["\"meta\", \"druid\"", "any more", "\"other\"", "restore"] {
            assert!(lost.to_string().contains(words), "{lost}");
        }
        assert!(!lost.to_string().contains("wait"), "{lost}");
        assert_eq!(SelectionError::Nothing.lost(), None);
    }

    #[test]
    fn all_databases_of_the_catalogs_mariadb_task_leave_the_servers_users_alone() {
        let existing = server(&["a"], &[]);
        let ignored = strings(&["mysql"]);
        let wanted = Wanted {
            all: true,
            ignored: &ignored,
            ..NOTHING
        };
        let picked = select(wanted, &Role::Plain, &existing, false);
        assert_eq!(picked, Ok(Scope::Several(strings(&["a"]))));
        let names = strings(&["a"]);
        let both = Wanted {
            in_args: &names,
            all: true,
            ..NOTHING
        };
        assert_eq!(
            select(both, &Role::Plain, &existing, false),
            Err(SelectionError::Contradiction)
        );
    }

    #[test]
    fn a_dump_of_one_database_goes_into_the_one_of_the_targets_role() {
        let existing = |all: &[&str], with: &[&str]| Existing {
            all: all.iter().map(|name| (*name).to_owned()).collect(),
            with_segments: with.iter().map(|name| (*name).to_owned()).collect(),
            ..Existing::default()
        };
        let druid = |linked: &str| Role::DruidMetadata {
            linked_db: linked.to_owned(),
        };
        let cases = [
            (
                druid("meta"),
                existing(&["druid", "meta"], &["druid", "meta"]),
                ("meta", true),
            ),
            (
                druid("meta"),
                existing(&["druid", "meta"], &["druid"]),
                ("druid", true),
            ),
            (
                druid("meta"),
                existing(&["druid", "meta"], &[]),
                ("meta", true),
            ),
            (druid("meta"), existing(&["druid"], &[]), ("druid", true)),
            (druid("meta"), existing(&["mysql"], &[]), ("meta", false)),
            (druid("druid"), existing(&["x"], &["x"]), ("druid", false)),
            (Role::Plain, existing(&["source"], &[]), ("source", true)),
            (Role::Plain, existing(&["Source"], &[]), ("source", false)),
        ];
        for (role, existing, (name, exists)) in cases {
            assert_eq!(
                place("source", &role, &existing, false),
                (name.to_owned(), exists),
                "{role:?} {existing:?}"
            );
        }
        assert_eq!(
            place("source", &Role::Plain, &existing(&["Source"], &[]), true),
            ("Source".to_owned(), true)
        );
    }
}
