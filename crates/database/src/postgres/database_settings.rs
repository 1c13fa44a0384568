//! What belongs to a database as a whole, and is in no dump of it: its settings, and the rights on
//! it.

use super::literal;
use super::server::Server;
use crate::reach::ServerError;

/// Settings of databases (also those of a role in one), and roles with rights on them that were
/// granted.
const QUERY: &str = "
SELECT d.datname, 'settings (ALTER DATABASE or ALTER ROLE … IN DATABASE … SET)',
       string_agg(DISTINCT split_part(one, '=', 1), ', ')
  FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) one
 WHERE d.datname IN (NAMES) GROUP BY 1
UNION ALL
SELECT d.datname, 'rights (GRANT or REVOKE … ON DATABASE)',
       coalesce('of ' || string_agg(DISTINCT a.grantee::regrole::text, ', ')
                FILTER (WHERE a.grantee NOT IN (0, d.datdba)), 'of PUBLIC')
  FROM pg_catalog.pg_database d, aclexplode(d.datacl) a
 WHERE d.datname IN (NAMES) GROUP BY 1 ORDER BY 1, 2";

/// What of it the databases `names` have.
///
/// # Errors
/// If the query fails.
pub(super) async fn left_out(
    server: &Server,
    names: &[String],
) -> Result<Vec<String>, ServerError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let among: Vec<_> = names.iter().map(|name| literal(name)).collect();
    let query = QUERY.replace("NAMES", &among.join(", "));
    let rows = server
        .table("look for settings of databases", &query, &[0, 1, 2])
        .await?;
    let told = |row: &Vec<String>| {
        let [database, what, which] = row.as_slice() else {
            return None;
        };
        Some(format!(
            "{what} of the database {database:?}: {which}; a restore keeps them where the database is there, and has to be followed by them where it creates it"
        ))
    };
    Ok(rows.iter().filter_map(told).collect())
}
