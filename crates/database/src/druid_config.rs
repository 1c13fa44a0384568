//! Druid's table `druid_config`, which is dumped without the rows that hold its users.
//!
//! It holds the coordinator's dynamic configuration, lookups, compaction and, with basic security,
//! users and what they may do. The latter belong to each Druid: one that is restored keeps its own
//! (docs/compatibility.md). So the dump creates the table only where it is missing, and replaces
//! only the other rows:
//!
//! ```text
//!   <the client's dump of everything else>
//!   -- kubestash: druid_config without the rows of basic security
//!   CREATE TABLE IF NOT EXISTS …; DELETE … WHERE <not theirs>; <the rows>
//! ```

/// The table.
pub(crate) const TABLE: &str = "druid_config";

/// The column with the names of its rows.
pub(crate) const NAME: &str = "name";

/// The line in front of it.
pub(crate) const MARK: &str = "-- kubestash: druid_config without the rows of basic security\n";

/// The rows that are dumped and replaced, in the SQL of every family: `_` in a pattern is any
/// character.
pub(crate) const ROWS: &str = "name NOT LIKE 'basic|_authentication|_%' ESCAPE '|' AND name NOT LIKE 'basic|_authorization|_%' ESCAPE '|'";

/// What is left out of a dump in which the table is so.
pub(crate) fn omitted(database: &str) -> String {
    format!(
        "the rows basic_authentication_* and basic_authorization_* of {database}.{TABLE}: users of Druid and what they may do, which the Druid that is restored keeps"
    )
}

/// What the task's args leave out, but for the table itself.
pub(crate) fn without_table(omits: &[String]) -> Vec<String> {
    let of_table = |omit: &&String| {
        let word = omit.split(':').next().unwrap_or_default();
        word.ends_with(TABLE)
    };
    omits
        .iter()
        .filter(|omit| !of_table(omit))
        .cloned()
        .collect()
}
