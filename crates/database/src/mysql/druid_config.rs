//! Druid's `druid_config` behind the dump of everything else, without its users.

use super::client::Client;
use super::plan;
use super::server::Server;
use crate::druid_config::{MARK, NAME, ROWS, TABLE};
use crate::reach::ServerError;
use crate::selection::Scope;

/// What is dumped of the table.
pub(super) struct Settings {
    /// Statements in front of the rows.
    pub(super) before: String,
    /// Words for the client that dumps the rows.
    pub(super) words: Vec<String>,
}

/// Looks for the table in Druid's metadata database; none if there is none that is Druid's, or it
/// is not dumped.
///
/// # Errors
/// If a query fails.
pub(super) async fn read(
    server: &mut Server,
    client: &Client,
    scope: &Scope,
    database: &str,
) -> Result<Option<Settings>, ServerError> {
    let is_dumped = scope.databases().iter().any(|name| name == database);
    if !is_dumped || !server.has_column(database, TABLE, NAME).await? {
        return Ok(None);
    }
    let definition = server.definition(database, TABLE).await?;
    let place = match scope {
        Scope::One(_) => String::new(),
        Scope::Several(_) => format!("USE `{}`;\n", database.replace('`', "``")),
    };
    let words = plan::rows(client, &server.info, (database, TABLE), ROWS);
    Ok(definition
        .strip_prefix("CREATE TABLE ")
        .map(|rest| Settings {
            before: format!(
                "\n{MARK}{place}CREATE TABLE IF NOT EXISTS {rest};\nDELETE FROM `{TABLE}` WHERE {ROWS};\n\n"
            ),
            words,
        }))
}
