//! The history of MariaDB's system-versioned tables: dumped where the client and the server can,
//! and else told.

use kubestash_domain::args::Args;

use super::client::{Client, Vendor};
use super::server::Server;
use crate::reach::ServerError;
use crate::selection::{Scope, quoted};

/// The client's option.
const DUMP_HISTORY: &str = "dump-history";
/// Options that it does not go together with.
const AGAINST: [&str; 2] = ["as-of", "replace"];

/// A system-versioned table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Versioned {
    name: String,
    /// Its history is kept by the numbers of transactions, which no client can dump.
    by_transaction: bool,
}

/// Those of the databases to be dumped.
///
/// # Errors
/// If a query fails.
pub(super) async fn tables(
    server: &mut Server,
    scope: &Scope,
) -> Result<Vec<Versioned>, ServerError> {
    if server.info.vendor != Vendor::MariaDb {
        return Ok(Vec::new());
    }
    server.versioned(scope.databases()).await.map(|rows| {
        let tables = rows.into_iter().map(|(name, by_transaction)| Versioned {
            name,
            by_transaction,
        });
        tables.collect()
    })
}

/// The word that makes the client dump the history, or why it is not dumped; neither where nothing
/// is versioned. `keeps`: whether the server lets a restore write history.
pub(super) fn plan(
    client: &Client,
    args: &Args,
    tables: &[Versioned],
    keeps: bool,
) -> (Option<String>, Option<String>) {
    let given = |name: &str| args.flags.iter().any(|flag| flag.name == name);
    if tables.is_empty() || given(DUMP_HISTORY) {
        return (None, None);
    }
    let names = |tables: &mut dyn Iterator<Item = &Versioned>| {
        let names: Vec<_> = tables.map(|table| table.name.clone()).collect();
        quoted(&names)
    };
    let all = names(&mut tables.iter());
    let by_transaction = names(&mut tables.iter().filter(|table| table.by_transaction));
    let why = if given("skip-dump-history") {
        "the task parameter args says --skip-dump-history".to_owned()
    } else if let Some(against) = AGAINST.iter().find(|name| given(name)) {
        format!("--{against} in the task parameter args does not go together with it")
    } else if !client.knows(DUMP_HISTORY) || !keeps {
        "that takes a server and mariadb-dump from MariaDB 10.11 on".to_owned()
    } else if !by_transaction.is_empty() {
        format!("{by_transaction} keep theirs by transactions, which mariadb-dump refuses")
    } else {
        return (Some(format!("--{DUMP_HISTORY}")), None);
    };
    let warning = format!(
        "the history of the system-versioned tables {all} is not in the dump, and a restore brings back their current rows only: {why}"
    );
    (None, Some(warning))
}

#[cfg(test)]
mod tests {
    use kubestash_domain::args::{self, Tool};

    use super::*;

    #[test]
    fn history_is_dumped_where_that_is_possible_and_else_it_is_said_why_not() {
        let of = |names: &[&str]| -> Vec<Versioned> {
            let table = |name: &&str| Versioned {
                name: format!("shop.{name}"),
                by_transaction: name.starts_with('x'),
            };
            names.iter().map(table).collect()
        };
        let (new, old) = (&["dump-history"][..], &[][..]);
        let cases = [
            (new, "", of(&[]), true, ""),
            (new, "", of(&["t"]), true, "--dump-history"),
            (new, "--dump-history", of(&["t"]), true, ""),
            (
                new,
                "--skip-dump-history",
                of(&["t"]),
                true,
                "\"shop.t\" is not in the dump",
            ),
            (
                new,
                "--as-of=2026-01-01",
                of(&["t"]),
                true,
                "--as-of in the task",
            ),
            (old, "", of(&["t"]), true, "from MariaDB 10.11"),
            (new, "", of(&["t"]), false, "from MariaDB 10.11"),
            (
                new,
                "",
                of(&["t", "x"]),
                true,
                "\"shop.x\" keep theirs by transactions",
            ),
        ];
        for (options, text, tables, keeps, expected) in cases {
            let client = Client::for_tests("mariadb-dump", options);
            let args = args::parse(Tool::MySqlDump, text).unwrap();
            let (word, warning) = plan(&client, &args, &tables, keeps);
            let said = format!(
                "{}{}",
                word.unwrap_or_default(),
                warning.unwrap_or_default()
            );
            assert_eq!(said.is_empty(), expected.is_empty(), "{text}: {said}");
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
