//! What a database refers to and a dump of it does not bring back as it was: rows on other servers,
//! subscriptions.

use super::server::Server;
use crate::reach::ServerError;

const QUERY: &str = "
SELECT 'rows on other servers, of the foreign table ' || c.oid::regclass
  FROM pg_catalog.pg_class c WHERE c.relkind = 'f'
UNION ALL
SELECT 'that the subscription ' || quote_ident(s.subname) || ' is enabled: it comes back disabled'
  FROM pg_catalog.pg_stat_subscription s
  JOIN pg_catalog.pg_subscription o ON o.oid = s.subid
 WHERE o.subenabled AND o.subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
 ORDER BY 1";

/// What of it is in the database that `server` is connected to.
///
/// # Errors
/// If the query fails.
pub(super) async fn left_out(server: &Server) -> Result<Vec<String>, ServerError> {
    let rows = server
        .table("look for what is on other servers", QUERY, &[0])
        .await?;
    Ok(rows.into_iter().flatten().collect())
}
