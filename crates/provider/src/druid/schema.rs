//! The tables that Druid itself makes in its metadata store when it starts with `createTables`, in MySQL's dialect, as of
//! Druid 30 with centralised schemas.

const TEXT: &str = "VARCHAR(255) NOT NULL";
const MAYBE_TEXT: &str = "VARCHAR(255)";
/// Names of datasources, which differ by case and by every character that Unicode has.
const EXACT_TEXT: &str = "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL";
const BLOB: &str = "LONGBLOB NOT NULL";
const FLAG: &str = "BOOLEAN NOT NULL";
const COUNTER: &str = "BIGINT NOT NULL AUTO_INCREMENT";

/// A table: name, columns with their types, and keys.
type Table = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const TABLES: [Table; 12] = [
    (
        "druid_dataSource",
        &[
            ("dataSource", EXACT_TEXT),
            ("created_date", TEXT),
            ("commit_metadata_payload", BLOB),
            ("commit_metadata_sha1", TEXT),
        ],
        &["PRIMARY KEY (dataSource)"],
    ),
    (
        "druid_segments",
        &[
            ("id", TEXT),
            ("dataSource", EXACT_TEXT),
            ("created_date", TEXT),
            ("start", TEXT),
            ("end", TEXT),
            ("partitioned", FLAG),
            ("version", TEXT),
            ("used", FLAG),
            ("payload", BLOB),
            ("used_status_last_updated", TEXT),
            ("upgraded_from_segment_id", MAYBE_TEXT),
            ("schema_fingerprint", MAYBE_TEXT),
            ("num_rows", "BIGINT"),
        ],
        &[
            "PRIMARY KEY (id)",
            "KEY idx_druid_segments_used (used)",
            "KEY idx_druid_segments_datasource_used_end_start (dataSource, used, `end`, start)",
            "KEY idx_druid_segments_datasource_upgraded_from_segment_id (dataSource, upgraded_from_segment_id)",
        ],
    ),
    (
        "druid_segmentSchemas",
        &[
            ("id", COUNTER),
            ("created_date", TEXT),
            ("datasource", TEXT),
            ("fingerprint", TEXT),
            ("payload", BLOB),
            ("used", FLAG),
            ("used_status_last_updated", TEXT),
            ("version", "INTEGER NOT NULL"),
        ],
        &[
            "PRIMARY KEY (id)",
            "UNIQUE KEY (fingerprint)",
            "KEY idx_druid_segmentSchemas_used (used)",
        ],
    ),
    (
        "druid_pendingSegments",
        &[
            ("id", TEXT),
            ("dataSource", EXACT_TEXT),
            ("created_date", TEXT),
            ("start", TEXT),
            ("end", TEXT),
            ("sequence_name", TEXT),
            ("sequence_prev_id", TEXT),
            ("sequence_name_prev_id_sha1", TEXT),
            ("payload", BLOB),
            ("task_allocator_id", MAYBE_TEXT),
            ("upgraded_from_segment_id", MAYBE_TEXT),
        ],
        &[
            "PRIMARY KEY (id)",
            "UNIQUE KEY (sequence_name_prev_id_sha1)",
            "KEY idx_druid_pendingSegments_datasource_end (dataSource, `end`)",
            "KEY idx_druid_pendingSegments_datasource_sequence (dataSource, sequence_name)",
            "KEY idx_druid_pendingSegments_datasource_task_allocator_id (dataSource, task_allocator_id)",
        ],
    ),
    (
        "druid_upgradeSegments",
        &[
            ("id", COUNTER),
            ("task_id", TEXT),
            ("segment_id", TEXT),
            ("lock_version", TEXT),
        ],
        &[
            "PRIMARY KEY (id)",
            "KEY idx_druid_upgradeSegments_task (task_id)",
        ],
    ),
    (
        "druid_rules",
        &[
            ("id", TEXT),
            ("dataSource", TEXT),
            ("version", TEXT),
            ("payload", BLOB),
        ],
        &["PRIMARY KEY (id)", "KEY (dataSource)"],
    ),
    (
        "druid_config",
        &[("name", TEXT), ("payload", BLOB)],
        &["PRIMARY KEY (name)"],
    ),
    (
        "druid_supervisors",
        &[
            ("id", COUNTER),
            ("spec_id", TEXT),
            ("created_date", TEXT),
            ("payload", BLOB),
        ],
        &["PRIMARY KEY (id)", "KEY (spec_id)"],
    ),
    (
        "druid_tasks",
        &[
            ("id", TEXT),
            ("created_date", TEXT),
            ("datasource", TEXT),
            ("payload", BLOB),
            ("status_payload", BLOB),
            ("active", "BOOLEAN NOT NULL DEFAULT FALSE"),
            ("type", MAYBE_TEXT),
            ("group_id", MAYBE_TEXT),
        ],
        &[
            "PRIMARY KEY (id)",
            "KEY idx_druid_tasks_active_created_date (active, created_date)",
            "KEY idx_druid_tasks_datasource_active (datasource, active)",
        ],
    ),
    (
        "druid_tasklogs",
        &[
            ("id", COUNTER),
            ("task_id", MAYBE_TEXT),
            ("log_payload", "LONGBLOB"),
        ],
        &["PRIMARY KEY (id)", "KEY (task_id)"],
    ),
    (
        "druid_tasklocks",
        &[
            ("id", COUNTER),
            ("task_id", MAYBE_TEXT),
            ("lock_payload", "LONGBLOB"),
        ],
        &["PRIMARY KEY (id)", "KEY (task_id)"],
    ),
    (
        "druid_audit",
        &[
            ("id", COUNTER),
            ("audit_key", TEXT),
            ("type", TEXT),
            ("author", TEXT),
            ("comment", "VARCHAR(2048) NOT NULL"),
            ("created_date", TEXT),
            ("payload", BLOB),
        ],
        &[
            "PRIMARY KEY (id)",
            "KEY idx_druid_audit_audit_time (created_date)",
            "KEY idx_druid_audit_key_time (audit_key, created_date)",
        ],
    ),
];

/// Statements that make the database (if it is missing) and, if they are wanted, the tables that are missing in it.
pub(crate) fn statements(database: &str, tables: bool) -> Vec<String> {
    let database = database.replace('`', "``");
    let create = format!("CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4");
    let tables = TABLES
        .iter()
        .filter(|_| tables)
        .map(|(name, columns, keys)| {
            let columns = columns
                .iter()
                .map(|(column, type_)| format!("`{column}` {type_}"));
            let parts: Vec<String> = columns
                .chain(keys.iter().map(|key| (*key).to_owned()))
                .collect();
            format!(
                "CREATE TABLE IF NOT EXISTS `{database}`.`{name}` ({}) ENGINE=InnoDB",
                parts.join(", ")
            )
        });
    std::iter::once(create).chain(tables).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_cannot_leave_its_quotes() {
        let all = statements("a`; DROP DATABASE mysql; --", true);
        assert!(
            all.iter()
                .all(|statement| statement.contains("`a``; DROP DATABASE mysql; --`"))
        );
        assert_eq!(all.len(), TABLES.len() + 1);
        assert_eq!(statements("druid", false).len(), 1);
    }
}
