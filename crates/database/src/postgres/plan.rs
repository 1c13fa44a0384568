//! The command lines: pure functions of the clients' options and the task.

use kubestash_domain::args::{Args, Flag};

use super::client::Client;
use crate::flags;

/// Flags of `pg_dumpall` that say what of the whole server is dumped.
pub(super) const SERVER_ONLY: [&str; 3] = ["globals-only", "roles-only", "tablespaces-only"];

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Words of the program that dumps a database.
    pub(super) words: Vec<String>,
    /// Words of the one that dumps what all databases share.
    pub(super) server_words: Vec<String>,
    /// What was left out, for the log.
    pub(super) notes: Vec<String>,
}

/// Plans a dump. `all` is the program that dumps what all databases share, if that is asked for:
/// flags that only one of the two knows are for that one.
pub(super) fn plan(dump: &Client, all: Option<&Client>, args: &Args) -> Plan {
    let mut plan = Plan {
        notes: args.notes.clone(),
        ..Plan::default()
    };
    let has = |names: &[&str]| {
        let given = |flag: &Flag| names.contains(&flag.name.as_str());
        args.flags.iter().any(given)
    };
    let always = ["--no-password", "--clean", "--if-exists"];
    plan.words.extend(always.map(str::to_owned));
    plan.server_words.push("--no-password".to_owned());
    if !has(&SERVER_ONLY) {
        plan.server_words.push("--globals-only".to_owned());
    }
    for flag in &args.flags {
        // Done by us: the first two always, the last in the selection of databases.
        if matches!(
            flag.name.as_str(),
            "clean" | "if-exists" | "exclude-database"
        ) {
            continue;
        }
        let of_server = all.is_some_and(|all| all.knows(&flag.name));
        if of_server {
            plan.server_words.push(flag.word.clone());
        }
        if dump.knows(&flag.name) || !of_server {
            let knows = |name: &str| dump.knows(name);
            if flags::fits(flag, &dump.name(), knows, &mut plan.notes) {
                plan.words.push(flag.word.clone());
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use kubestash_domain::args::{self, Tool};

    use super::super::client::Program;
    use super::*;

    const BOTH: &[&str] = &["clean", "if-exists", "no-owner", "data-only", "verbose"];

    fn dump() -> Client {
        Client::for_tests(
            Program::Dump,
            &[BOTH, &["exclude-table", "schema"]].concat(),
        )
    }

    fn all() -> Client {
        let own = &[
            "globals-only",
            "roles-only",
            "no-role-passwords",
            "exclude-database",
        ];
        Client::for_tests(Program::DumpAll, &[BOTH, own].concat())
    }

    #[test]
    fn a_dump_drops_what_it_brings() {
        let args = args::parse(Tool::PgDump, "--exclude-table=druid_config --clean").unwrap();
        let planned = plan(&dump(), None, &args);
        assert_eq!(
            planned.words,
            [
                "--no-password",
                "--clean",
                "--if-exists",
                "--exclude-table=druid_config"
            ]
        );
    }

    #[test]
    fn flags_go_to_the_program_that_knows_them() {
        let text = "--clean --no-role-passwords --exclude-table=x --no-owner --exclude-database=y";
        let args = args::parse(Tool::PgDumpAll, text).unwrap();
        let planned = plan(&dump(), Some(&all()), &args);
        assert_eq!(
            planned.words,
            [
                "--no-password",
                "--clean",
                "--if-exists",
                "--exclude-table=x",
                "--no-owner"
            ]
        );
        assert_eq!(
            planned.server_words,
            [
                "--no-password",
                "--globals-only",
                "--no-role-passwords",
                "--no-owner"
            ]
        );
        let args = args::parse(Tool::PgDumpAll, "--roles-only").unwrap();
        let planned = plan(&dump(), Some(&all()), &args);
        assert_eq!(planned.server_words, ["--no-password", "--roles-only"]);
    }

    #[test]
    fn what_only_a_newer_client_knows_is_left_out() {
        let args = args::parse(Tool::PgDump, "--no-policies").unwrap();
        let planned = plan(&dump(), None, &args);
        assert_eq!(
            planned.notes,
            ["pg_dump does not know --no-policies: left out"]
        );
    }
}
