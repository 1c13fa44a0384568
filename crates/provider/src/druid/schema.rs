//! The tables that Druid itself makes in its metadata store when it starts with `createTables`, in MySQL's dialect.

/// Table prefix, as `druid.metadata.storage.tables.base` has it by default.
const TEXT: &str = "VARCHAR(255) NOT NULL";
const BLOB: &str = "LONGBLOB NOT NULL";
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
            ("dataSource", TEXT),
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
            ("dataSource", TEXT),
            ("created_date", TEXT),
            ("start", TEXT),
            ("end", TEXT),
            ("partitioned", "BOOLEAN NOT NULL"),
            ("version", TEXT),
            ("used", "BOOLEAN NOT NULL"),
            ("payload", BLOB),
            ("used_status_last_updated", TEXT),
            ("upgraded_from_segment_id", "VARCHAR(255)"),
        ],
        &[
            "PRIMARY KEY (id)",
            "KEY idx_druid_segments_used (used)",
            "KEY idx_druid_segments_datasource_used_end_start (dataSource, used, `end`, start)",
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
            ("used", "BOOLEAN NOT NULL"),
            ("used_status_last_updated", TEXT),
            ("version", "INTEGER NOT NULL"),
        ],
        &[
            "PRIMARY KEY (id)",
            "UNIQUE KEY idx_druid_segmentSchemas_fingerprint (fingerprint)",
        ],
    ),
    (
        "druid_pendingSegments",
        &[
            ("id", TEXT),
            ("dataSource", TEXT),
            ("created_date", TEXT),
            ("start", TEXT),
            ("end", TEXT),
            ("sequence_name", TEXT),
            ("sequence_prev_id", TEXT),
            ("sequence_name_prev_id_sha1", TEXT),
            ("payload", BLOB),
            ("task_allocator_id", "VARCHAR(255)"),
            ("upgraded_from_segment_id", "VARCHAR(255)"),
        ],
        &[
            "PRIMARY KEY (id)",
            "UNIQUE KEY idx_druid_pendingSegments_sequence (sequence_name_prev_id_sha1)",
            "KEY idx_druid_pendingSegments_datasource_task (dataSource, task_allocator_id)",
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
        &[
            "PRIMARY KEY (id)",
            "KEY idx_druid_rules_datasource (dataSource)",
        ],
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
        &[
            "PRIMARY KEY (id)",
            "KEY idx_druid_supervisors_spec (spec_id)",
        ],
    ),
    (
        "druid_tasks",
        &[
            ("id", TEXT),
            ("created_date", TEXT),
            ("datasource", TEXT),
            ("payload", BLOB),
            ("status_payload", BLOB),
            ("active", "BOOLEAN NOT NULL DEFAULT 0"),
            ("type", "VARCHAR(255)"),
            ("group_id", "VARCHAR(255)"),
        ],
        &[
            "PRIMARY KEY (id)",
            "KEY idx_druid_tasks_active_created_date (active, created_date(100))",
        ],
    ),
    (
        "druid_tasklogs",
        &[("id", COUNTER), ("task_id", TEXT), ("log_payload", BLOB)],
        &["PRIMARY KEY (id)", "KEY idx_druid_tasklogs_task (task_id)"],
    ),
    (
        "druid_tasklocks",
        &[("id", COUNTER), ("task_id", TEXT), ("lock_payload", BLOB)],
        &["PRIMARY KEY (id)", "KEY idx_druid_tasklocks_task (task_id)"],
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
            "KEY idx_druid_audit_key_time (audit_key, created_date)",
        ],
    ),
];

/// Statements that make the database (if it is missing) and the tables that are missing in it.
pub(crate) fn statements(database: &str) -> Vec<String> {
    let database = database.replace('`', "``");
    let create = format!("CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4");
    let tables = TABLES.iter().map(|(name, columns, keys)| {
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
        let all = statements("a`; DROP DATABASE mysql; --");
        assert!(
            all.iter()
                .all(|statement| statement.contains("`a``; DROP DATABASE mysql; --`"))
        );
        assert_eq!(all.len(), TABLES.len() + 1);
    }
}
