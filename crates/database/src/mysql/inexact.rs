//! What the clients do not dump exactly: said with the dump, as nobody can change it.

use kubestash_domain::args::Args;

use super::server::Server;
use crate::reach::ServerError;
use crate::selection::{Scope, quoted};

/// What was seen of it in the databases to be dumped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inexact {
    /// What is in the databases and not in the dump.
    pub(super) left_out: Vec<String>,
    /// What may be in it otherwise than it was.
    pub(super) warnings: Vec<String>,
}

/// Looks for it.
///
/// # Errors
/// If a query fails.
pub(super) async fn look(
    server: &mut Server,
    scope: &Scope,
    args: &Args,
) -> Result<Inexact, ServerError> {
    let floats = server.columns_of_type(scope.databases(), "float").await?;
    // What MariaDB calls JSON is text.
    let json = server.columns_of_type(scope.databases(), "json").await?;
    let tables = server.unusual_tables(scope.databases()).await?;
    let locks = args.flags.iter().any(|flag| flag.name == "lock-all-tables");
    Ok(tell(&floats, &json, &tables, locks))
}

/// `tables` are those whose rows are elsewhere or without transactions, each with its engine.
/// `locks`: the dump is of one moment by locks.
fn tell(floats: &[String], json: &[String], tables: &[(String, String)], locks: bool) -> Inexact {
    let mut found = Inexact::default();
    if !floats.is_empty() {
        found.left_out.push(format!(
            "digits of FLOAT columns from the seventh on, which the clients do not write: {}",
            quoted(floats)
        ));
    }
    if !json.is_empty() {
        found.left_out.push(format!(
            "the types of dates, decimals and bytes inside JSON, which come back as JSON text, for SQL writes no other: {}",
            quoted(json)
        ));
    }
    let (remote, local): (Vec<_>, Vec<_>) = tables
        .iter()
        .partition(|(_, engine)| engine.eq_ignore_ascii_case("FEDERATED"));
    let names = |tables: Vec<&(String, String)>| {
        let names = tables.into_iter().map(|(name, _)| name.clone());
        quoted(&names.collect::<Vec<_>>())
    };
    if !remote.is_empty() {
        found.left_out.push(format!(
            "rows on other servers, of the FEDERATED tables {}",
            names(remote)
        ));
    }
    if !local.is_empty() && !locks {
        found.warnings.push(format!(
            "the tables {} have an engine without transactions: what is written to them during the dump may be in it in part; ALTER TABLE … ENGINE = InnoDB, or lock all tables during the dump with --lock-all-tables in the task parameter args",
            names(local)
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_dumped_exactly_is_said_with_the_names_and_nothing_else() {
        assert_eq!(tell(&[], &[], &[], false), Inexact::default());
        let tables = [
            ("shop.a".to_owned(), "MyISAM".to_owned()),
            ("shop.far".to_owned(), "FEDERATED".to_owned()),
        ];
        let found = tell(
            &["shop.t.x".to_owned()],
            &["shop.t.j".to_owned()],
            &tables,
            false,
        );
        assert_eq!(found.left_out.len(), 3);
        assert!(
            found.left_out[1].contains("inside JSON")
                && found.left_out[1].ends_with("\"shop.t.j\"")
        );
        assert!(found.left_out[0].ends_with("do not write: \"shop.t.x\""));
        assert!(found.left_out[2].ends_with("FEDERATED tables \"shop.far\""));
        assert!(found.warnings[0].starts_with("the tables \"shop.a\" have"));
        assert_eq!(tell(&[], &[], &tables[..1], true), Inexact::default());
    }
}
