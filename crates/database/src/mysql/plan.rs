//! The command line of a dump: a pure function of the client's options, the server and the task.

use kubestash_domain::args::{Args, Flag};

use super::client::{Client, Vendor};
use super::server::ServerInfo;
use crate::flags;
use crate::selection::{DRUID, Scope};

/// What makes a dump complete and consistent, whatever the task's args say in addition.
const ALWAYS: [(&str, &str); 8] = [
    (SINGLE_TRANSACTION, "--single-transaction"),
    ("quick", "--quick"),
    ("routines", "--routines"),
    ("events", "--events"),
    ("triggers", "--triggers"),
    ("hex-blob", "--hex-blob"),
    ("max-allowed-packet", "--max-allowed-packet=1G"),
    // The default of MySQL's client 5.7 lacks characters, and stores question marks for them.
    ("default-character-set", "--default-character-set=utf8mb4"),
];
/// One way to a dump of one moment.
const SINGLE_TRANSACTION: &str = "single-transaction";
/// The other one. The clients refuse both together.
const LOCK_ALL_TABLES: &str = "lock-all-tables";

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Words after the program's name and the option file.
    pub words: Vec<String>,
    /// What was left out or changed, for the log.
    pub notes: Vec<String>,
}

/// Plans the dump of `scope`.
///
/// A flag that other clients of the family have and this one lacks is left out with a note.
/// `druid_database` is the real name of a Druid's metadata database: flags that name tables of
/// `druid` follow it.
pub fn plan(
    client: &Client,
    server: &ServerInfo,
    scope: &Scope,
    args: &Args,
    druid_database: Option<&str>,
) -> Plan {
    let mut words = Vec::new();
    let mut notes = args.notes.clone();
    let locks = args.flags.iter().any(|flag| flag.name == LOCK_ALL_TABLES);
    for (option, word) in ALWAYS {
        if option == SINGLE_TRANSACTION && locks {
            continue;
        }
        match client.knows(option) {
            true => words.push(word.to_owned()),
            false => notes.push(format!("{} does not know {word}: left out", client.name())),
        }
    }
    words.extend(quirks(client, server));
    for flag in &args.flags {
        // Its work is done in the selection of databases.
        if flag.option == "ignore-database" {
            continue;
        }
        if flags::fits(flag, &client.name(), |name| client.knows(name), &mut notes) {
            words.push(follow_database(flag, druid_database, &mut notes));
        }
    }
    match scope {
        Scope::One(name) => words.extend(["--".to_owned(), name.clone()]),
        Scope::Several(names) => {
            words.extend(["--databases".to_owned(), "--".to_owned()]);
            words.extend(names.iter().cloned());
        }
    }
    Plan { words, notes }
}

/// Words against what clients do of their own accord.
fn quirks(client: &Client, server: &ServerInfo) -> Vec<String> {
    let mut words = Vec::new();
    // A date in the dump's last line would make every dump of an unchanged database a different
    // one.
    if client.knows("dump-date") {
        words.push("--skip-dump-date".to_owned());
    }
    // Left to itself, MySQL's client writes the server's transactions into the dump, which others
    // refuse to load.
    if client.knows("set-gtid-purged") {
        words.push("--set-gtid-purged=OFF".to_owned());
    }
    // MySQL's client from 8.0 on asks for a table that only MySQL's servers from 8.0 on have.
    let has_statistics = server.vendor == Vendor::MySql && server.major >= 8;
    if client.knows("column-statistics") && !has_statistics {
        words.push("--column-statistics=0".to_owned());
    }
    words
}

/// Plans a dump of nothing but rows of one table: those that a condition names.
pub(super) fn rows(
    client: &Client,
    server: &ServerInfo,
    (database, table): (&str, &str),
    condition: &str,
) -> Vec<String> {
    let objects = ["routines", "events", "triggers"];
    let always = ALWAYS
        .iter()
        .filter(|(option, _)| !objects.contains(option) && client.knows(option));
    let mut words: Vec<String> = always.map(|(_, word)| (*word).to_owned()).collect();
    words.extend(quirks(client, server));
    // Column names: the table that the rows go into may have been made by another version.
    let only = ["--no-create-info", "--skip-triggers", "--complete-insert"];
    words.extend(only.map(str::to_owned));
    words.push(format!("--where={condition}"));
    words.extend(["--", database, table].map(str::to_owned));
    words
}

/// `--ignore-table=druid.x` names the table `x` of the metadata database, whatever that is called.
fn follow_database(flag: &Flag, real: Option<&str>, notes: &mut Vec<String>) -> String {
    let names_tables = matches!(flag.option, "ignore-table" | "ignore-table-data");
    let table = flag.value().and_then(|value| value.split_once('.'));
    match (real, table) {
        (Some(real), Some((DRUID, table))) if names_tables && real != DRUID => {
            let word = format!("--{}={real}.{table}", flag.name);
            notes.push(format!(
                "{} became {word}: the metadata database is {real:?}",
                flag.word
            ));
            word
        }
        _ => flag.word.clone(),
    }
}

#[cfg(test)]
mod tests {
    use kubestash_domain::args::{self, Tool};

    use super::*;

    const MARIADB: &[&str] = &[
        "single-transaction",
        "quick",
        "routines",
        "events",
        "triggers",
        "hex-blob",
        "max-allowed-packet",
        "ignore-table",
        "dump-date",
        "databases",
        "default-character-set",
    ];

    fn client(extra: &[&str]) -> Client {
        Client::for_tests("mariadb-dump", &[MARIADB, extra].concat())
    }

    fn server(vendor: Vendor, major: u32) -> ServerInfo {
        ServerInfo {
            version: String::new(),
            vendor,
            major,
            folds_case: false,
        }
    }

    fn planned(client: &Client, scope: &Scope, args: &str, druid: Option<&str>) -> Plan {
        let args = args::parse(Tool::MySqlDump, args).unwrap();
        plan(client, &server(Vendor::MariaDb, 10), scope, &args, druid)
    }

    const FIRST: &str = "--single-transaction --quick --routines --events --triggers --hex-blob \
                         --max-allowed-packet=1G --default-character-set=utf8mb4 --skip-dump-date";

    #[test]
    fn the_catalogs_default_args_fit_mariadbs_client() {
        let args = "--set-gtid-purged=OFF --ignore-table=druid.druid_config";
        let one = Scope::One("druid".into());
        let plan = planned(&client(&[]), &one, args, Some("druid"));
        let expected = format!("{FIRST} --ignore-table=druid.druid_config -- druid");
        assert_eq!(plan.words.join(" "), expected);
        assert_eq!(
            plan.notes,
            ["mariadb-dump does not know --set-gtid-purged: left out"]
        );
    }

    #[test]
    fn ignored_tables_follow_the_databases_real_name() {
        let args = "--ignore-table=druid.druid_config --ignore-table=other.x";
        let plan = planned(&client(&[]), &Scope::One("meta".into()), args, Some("meta"));
        let expected =
            format!("{FIRST} --ignore-table=meta.druid_config --ignore-table=other.x -- meta");
        assert_eq!(plan.words.join(" "), expected);
        let plan = planned(&client(&[]), &Scope::One("meta".into()), args, None);
        assert!(
            plan.words
                .contains(&"--ignore-table=druid.druid_config".to_owned())
        );
    }

    #[test]
    fn several_databases_stand_behind_the_end_of_the_options() {
        let scope = Scope::Several(vec!["--help".into(), "a; touch /tmp/x".into()]);
        let plan = planned(&client(&[]), &scope, "--skip-triggers", None);
        let end = [
            "--skip-triggers",
            "--databases",
            "--",
            "--help",
            "a; touch /tmp/x",
        ];
        assert_eq!(&plan.words[9..], end);
    }

    #[test]
    fn mysqls_client_does_not_ask_other_servers_for_statistics() {
        let client = client(&["column-statistics"]);
        let one = Scope::One("x".into());
        let cases = [
            (server(Vendor::MariaDb, 10), true),
            (server(Vendor::MySql, 5), true),
            (server(Vendor::MySql, 8), false),
        ];
        for (server, switched_off) in cases {
            let plan = plan(&client, &server, &one, &Args::default(), None);
            let word = "--column-statistics=0".to_owned();
            assert_eq!(plan.words.contains(&word), switched_off, "{server:?}");
        }
    }

    #[test]
    fn a_dump_is_of_one_moment_by_one_way_or_the_other() {
        let client = client(&["lock-all-tables"]);
        let one = Scope::One("x".into());
        let words = |args| planned(&client, &one, args, None).words;
        let has = |words: &[String], word: &str| words.iter().any(|found| found == word);
        for args in ["", "--skip-lock-all-tables"] {
            assert!(has(&words(args), "--single-transaction"), "{args}");
        }
        for args in ["--lock-all-tables", "-x"] {
            let words = words(args);
            assert!(has(&words, "--lock-all-tables"), "{args}");
            assert!(!has(&words, "--single-transaction"), "{args}");
        }
    }

    #[test]
    fn transactions_of_the_server_stay_out_of_the_dump_whatever_the_args_are() {
        let client = client(&["set-gtid-purged"]);
        let one = Scope::One("x".into());
        for args in ["", "--set-gtid-purged=OFF"] {
            let plan = planned(&client, &one, args, None);
            let word = "--set-gtid-purged=OFF".to_owned();
            assert!(plan.words.contains(&word), "{args}");
        }
    }

    #[test]
    fn what_was_left_out_of_the_args_is_noted() {
        let plan = planned(
            &client(&[]),
            &Scope::One("x".into()),
            "--skip-comments",
            None,
        );
        assert_eq!(plan.notes.len(), 1);
        assert!(
            plan.notes[0].contains("--skip-comments is left out"),
            "{:?}",
            plan.notes
        );
    }
}
