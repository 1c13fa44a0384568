//! Druid's `druid_config` behind the dump of its database, without its users.
//!
//! It is read right before the dump begins, and held in memory: it is a few kilobytes of settings.
//! The text ends like the dump that it stands behind, for its last line is the one that says that
//! the dump is whole.

use bytes::{Bytes, BytesMut};

use super::identifier;
use super::server::Server;
use crate::connection::Connection;
use crate::druid_config::{MARK, NAME, ROWS, TABLE};
use crate::reach::ServerError;

/// How a dump ends.
const END: &str = "--\n-- PostgreSQL database dump complete\n--\n\n";

/// The table as the server describes it, a line for each: schema and owner, then columns, then the
/// key.
const DESCRIPTION: &str = "
SELECT 0 AS kind, 0 AS place, n.nspname AS one, pg_catalog.pg_get_userbyid(c.relowner) AS other
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass('druid_config') AND c.relkind = 'r'
UNION ALL
SELECT 1, attnum, attname, pg_catalog.format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
  FROM pg_catalog.pg_attribute
 WHERE attrelid = pg_catalog.to_regclass('druid_config') AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 2, 0, conname, pg_catalog.pg_get_constraintdef(oid)
  FROM pg_catalog.pg_constraint
 WHERE conrelid = pg_catalog.to_regclass('druid_config') AND contype = 'p'
 ORDER BY kind, place";

/// What stands behind the dump of `database`; none if there is no such table of Druid's where the
/// client looks for it.
///
/// # Errors
/// If the server refuses.
pub(super) async fn read(to: &Connection, database: &str) -> Result<Option<Bytes>, ServerError> {
    let server = Server::another(to, database).await?;
    let lines = server
        .table("describe druid_config", DESCRIPTION, &[0, 2, 3])
        .await?;
    let of_kind = |kind: &'static str| {
        let lines = lines.iter();
        lines.filter_map(move |line| match line.as_slice() {
            [found, one, other] if found == kind => Some((one.as_str(), other.as_str())),
            _ => None,
        })
    };
    let is_druids = of_kind("1").any(|(column, _)| column == NAME);
    let Some((schema, owner)) = of_kind("0").next().filter(|_| is_druids) else {
        return Ok(None);
    };
    let name = format!("{}.{TABLE}", identifier(schema));
    let columns: Vec<_> = of_kind("1").map(|(name, _)| identifier(name)).collect();
    let mut parts: Vec<_> = of_kind("1")
        .map(|(name, type_)| format!("{} {type_}", identifier(name)))
        .collect();
    let key = of_kind("2").map(|(name, text)| format!("CONSTRAINT {} {text}", identifier(name)));
    parts.extend(key);
    let columns = columns.join(", ");
    let mut text = BytesMut::from(
        format!(
            "\n{MARK}CREATE TABLE IF NOT EXISTS {name} (\n    {}\n);\nALTER TABLE {name} OWNER TO {};\n\
             DELETE FROM {name} WHERE {ROWS};\nCOPY {name} ({columns}) FROM stdin;\n",
            parts.join(",\n    "),
            identifier(owner)
        )
        .as_bytes(),
    );
    let rows = format!("COPY (SELECT {columns} FROM {name} WHERE {ROWS} ORDER BY name) TO STDOUT");
    text.extend_from_slice(&server.copied("read druid_config", &rows).await?);
    text.extend_from_slice(b"\\.\n\n\n");
    text.extend_from_slice(END.as_bytes());
    Ok(Some(text.freeze()))
}
