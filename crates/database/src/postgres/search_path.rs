//! Functions that a restore runs and that rely on `search_path`.
//!
//! A dump is loaded with an empty `search_path`. A generated column, an index, a check, a partition
//! key or a materialized view is computed while it is loaded; a function that it calls then finds
//! nothing that it names without a schema, and the restore ends. What a body names is only known
//! when it runs, so this reads its text: it may be wrong either way, which is why it warns and
//! refuses nothing.

use super::server::Server;
use crate::reach::ServerError;

/// Functions, what they name, and what calls them.
const QUERY: &str = include_str!("search_path.sql");

/// What there is to warn of in the database that `server` is connected to.
///
/// # Errors
/// If the query fails.
pub(super) async fn warnings(server: &Server) -> Result<Vec<String>, ServerError> {
    let rows = server
        .table(
            "look for functions that rely on search_path",
            QUERY,
            &[0, 1, 2],
        )
        .await?;
    let warning = |row: &Vec<String>| {
        let [function, names, users] = row.as_slice() else {
            return None;
        };
        Some(format!(
            "a restore of the database {:?} may fail: the function {function}, which {users} calls, names {names} without a schema, and a restore runs it with an empty search_path; write the schema in it, or ALTER FUNCTION {function} SET search_path = …",
            server.database
        ))
    };
    Ok(rows.iter().filter_map(warning).collect())
}
