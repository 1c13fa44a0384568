//! The tables that Druid itself makes in its metadata store when it starts with `createTables`, as
//! each of its versions does without centralized schemas; how they are written in each dialect is
//! beside.

mod mysql;
mod postgres;

use std::fmt;

use Key::{Index, Primary, Unique};
use Type::{Blob, Counter, ExactText, Flag, FlagOrFalse, LongText, MaybeBlob, MaybeText, Text};
pub(super) use mysql::statements as mysql;
pub(super) use postgres::statements as postgres;

/// What a column holds. Those with `Maybe` can be NULL.
#[derive(Clone, Copy)]
enum Type {
    Text,
    MaybeText,
    /// Names of datasources, which differ by case and by every character that Unicode has.
    ExactText,
    LongText,
    Blob,
    MaybeBlob,
    Flag,
    FlagOrFalse,
    /// A number that the server counts up.
    Counter,
}

/// How rows are found.
#[derive(Clone, Copy)]
enum Key {
    Primary(&'static str),
    Unique(&'static str),
    Index(&'static str, &'static [&'static str]),
}

/// A table: name, columns, and keys.
type Table = (
    &'static str,
    &'static [(&'static str, Type)],
    &'static [Key],
);

/// Tables, columns and indexes that are not in every version: the table, what of it (nothing: all
/// of it), and the major version that it came with.
const SINCE: [(&str, &[&str], u32); 4] = [
    ("druid_upgradeSegments", &[], 28),
    ("druid_segments", &["used_status_last_updated"], 28),
    (
        "druid_pendingSegments",
        &[
            "task_allocator_id",
            "upgraded_from_segment_id",
            "idx_druid_pendingSegments_datasource_task_allocator_id",
        ],
        30,
    ),
    (
        "druid_segments",
        &[
            "upgraded_from_segment_id",
            "idx_druid_segments_datasource_upgraded_from_segment_id",
        ],
        31,
    ),
];

/// A version of Druid, as far as its tables depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DruidVersion {
    major: u32,
}

impl DruidVersion {
    /// The one that is meant where nothing, or nothing that is a version, is said.
    const USUAL: u32 = 30;

    /// The one that `spec.version` names, such as `30.0.0`.
    pub(super) fn of(version: &str) -> Self {
        let major = version.split('.').next().unwrap_or_default();
        Self {
            major: major.parse().unwrap_or(Self::USUAL),
        }
    }

    fn has(self, table: &str, part: Option<&str>) -> bool {
        let later = |(of, parts, since): &&(&str, &[&str], u32)| {
            let is_it = match part {
                None => parts.is_empty(),
                Some(part) => parts.contains(&part),
            };
            *of == table && is_it && self.major < *since
        };
        !SINCE.iter().any(|one| later(&one))
    }

    /// Its tables.
    fn tables(self) -> impl Iterator<Item = (&'static str, Vec<Column>, Vec<&'static Key>)> {
        let tables = TABLES
            .iter()
            .filter(move |(table, ..)| self.has(table, None));
        tables.map(move |(table, columns, keys)| {
            let columns = columns.iter().copied();
            let columns = columns.filter(|(column, _)| self.has(table, Some(column)));
            let keys = keys.iter().filter(|key| match key {
                Index(name, _) => self.has(table, Some(name)),
                Primary(_) | Unique(_) => true,
            });
            (*table, columns.collect(), keys.collect())
        })
    }
}

impl fmt::Display for DruidVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Druid {}", self.major)
    }
}

/// A column.
type Column = (&'static str, Type);

const TABLES: [Table; 11] = [
    (
        "druid_dataSource",
        &[
            ("dataSource", ExactText),
            ("created_date", Text),
            ("commit_metadata_payload", Blob),
            ("commit_metadata_sha1", Text),
        ],
        &[Primary("dataSource")],
    ),
    (
        "druid_segments",
        &[
            ("id", Text),
            ("dataSource", ExactText),
            ("created_date", Text),
            ("start", Text),
            ("end", Text),
            ("partitioned", Flag),
            ("version", Text),
            ("used", Flag),
            ("payload", Blob),
            ("used_status_last_updated", Text),
            ("upgraded_from_segment_id", MaybeText),
        ],
        &[
            Primary("id"),
            Index("idx_druid_segments_used", &["used"]),
            Index(
                "idx_druid_segments_datasource_used_end_start",
                &["dataSource", "used", "end", "start"],
            ),
            Index(
                "idx_druid_segments_datasource_upgraded_from_segment_id",
                &["dataSource", "upgraded_from_segment_id"],
            ),
        ],
    ),
    (
        "druid_pendingSegments",
        &[
            ("id", Text),
            ("dataSource", ExactText),
            ("created_date", Text),
            ("start", Text),
            ("end", Text),
            ("sequence_name", Text),
            ("sequence_prev_id", Text),
            ("sequence_name_prev_id_sha1", Text),
            ("payload", Blob),
            ("task_allocator_id", MaybeText),
            ("upgraded_from_segment_id", MaybeText),
        ],
        &[
            Primary("id"),
            Unique("sequence_name_prev_id_sha1"),
            Index(
                "idx_druid_pendingSegments_datasource_end",
                &["dataSource", "end"],
            ),
            Index(
                "idx_druid_pendingSegments_datasource_sequence",
                &["dataSource", "sequence_name"],
            ),
            Index(
                "idx_druid_pendingSegments_datasource_task_allocator_id",
                &["dataSource", "task_allocator_id"],
            ),
        ],
    ),
    (
        "druid_upgradeSegments",
        &[
            ("id", Counter),
            ("task_id", Text),
            ("segment_id", Text),
            ("lock_version", Text),
        ],
        &[
            Primary("id"),
            Index("idx_druid_upgradeSegments_task", &["task_id"]),
        ],
    ),
    (
        "druid_rules",
        &[
            ("id", Text),
            ("dataSource", ExactText),
            ("version", Text),
            ("payload", Blob),
        ],
        &[
            Primary("id"),
            Index("idx_druid_rules_datasource", &["dataSource"]),
        ],
    ),
    (
        "druid_config",
        &[("name", Text), ("payload", Blob)],
        &[Primary("name")],
    ),
    (
        "druid_supervisors",
        &[
            ("id", Counter),
            ("spec_id", Text),
            ("created_date", Text),
            ("payload", Blob),
        ],
        &[
            Primary("id"),
            Index("idx_druid_supervisors_spec_id", &["spec_id"]),
        ],
    ),
    (
        "druid_tasks",
        &[
            ("id", Text),
            ("created_date", Text),
            ("datasource", ExactText),
            ("payload", Blob),
            ("status_payload", Blob),
            ("active", FlagOrFalse),
            ("type", MaybeText),
            ("group_id", MaybeText),
        ],
        &[
            Primary("id"),
            Index(
                "idx_druid_tasks_active_created_date",
                &["active", "created_date"],
            ),
            Index(
                "idx_druid_tasks_datasource_active",
                &["datasource", "active"],
            ),
        ],
    ),
    (
        "druid_tasklogs",
        &[
            ("id", Counter),
            ("task_id", MaybeText),
            ("log_payload", MaybeBlob),
        ],
        &[
            Primary("id"),
            Index("idx_druid_tasklogs_task_id", &["task_id"]),
        ],
    ),
    (
        "druid_tasklocks",
        &[
            ("id", Counter),
            ("task_id", MaybeText),
            ("lock_payload", MaybeBlob),
        ],
        &[
            Primary("id"),
            Index("idx_druid_tasklocks_task_id", &["task_id"]),
        ],
    ),
    (
        "druid_audit",
        &[
            ("id", Counter),
            ("audit_key", Text),
            ("type", Text),
            ("author", Text),
            ("comment", LongText),
            ("created_date", Text),
            ("payload", Blob),
        ],
        &[
            Primary("id"),
            Index("idx_druid_audit_audit_time", &["created_date"]),
            Index("idx_druid_audit_type_time", &["type", "created_date"]),
            Index("idx_druid_audit_key_time", &["audit_key", "created_date"]),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_the_tables_and_columns_that_it_made_and_no_later_ones() {
        let parts = |version: &str| -> Vec<String> {
            let tables = DruidVersion::of(version).tables();
            let parts = tables.flat_map(|(table, columns, keys)| {
                let columns = columns.into_iter().map(|(column, _)| column);
                let indexes = keys.into_iter().filter_map(|key| match key {
                    Index(name, _) => Some(*name),
                    Primary(_) | Unique(_) => None,
                });
                let parts: Vec<_> = columns.chain(indexes).collect();
                parts.into_iter().map(move |part| format!("{table}.{part}"))
            });
            parts.collect()
        };
        let upgraded = "druid_segments.upgraded_from_segment_id".to_owned();
        let allocator = "druid_pendingSegments.task_allocator_id".to_owned();
        let updated = "druid_segments.used_status_last_updated".to_owned();
        let table = "druid_upgradeSegments.task_id".to_owned();
        for (version, expected) in [
            ("27.0.0", [false, false, false, false]),
            ("28.0.1", [true, true, false, false]),
            ("30.0.0", [true, true, true, false]),
            ("31.0.0", [true, true, true, true]),
            ("33.0.0", [true, true, true, true]),
            ("", [true, true, true, false]),
        ] {
            let parts = parts(version);
            let found = [&table, &updated, &allocator, &upgraded].map(|part| parts.contains(part));
            assert_eq!(found, expected, "{version}");
            let centralized = parts.iter().any(|part| part.contains("fingerprint"));
            assert!(!centralized, "{version}");
            let index = parts
                .iter()
                .any(|part| part.ends_with("datasource_upgraded_from_segment_id"));
            assert_eq!(index, expected[3], "{version}");
        }
    }
}
