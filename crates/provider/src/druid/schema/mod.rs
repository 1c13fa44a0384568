//! The tables that Druid itself makes in its metadata store when it starts with `createTables`, as of Druid 30 with
//! centralised schemas; how they are written in each dialect is beside.

mod mysql;
mod postgres;

pub(super) use mysql::statements as mysql;
pub(super) use postgres::statements as postgres;

use Key::{Index, Primary, Unique};
use Type::{
    Blob, Counter, ExactText, Flag, FlagOrFalse, Integer, LongText, MaybeBlob, MaybeLong,
    MaybeText, Text,
};

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
    Integer,
    MaybeLong,
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

const TABLES: [Table; 12] = [
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
            ("schema_fingerprint", MaybeText),
            ("num_rows", MaybeLong),
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
        "druid_segmentSchemas",
        &[
            ("id", Counter),
            ("created_date", Text),
            ("datasource", Text),
            ("fingerprint", Text),
            ("payload", Blob),
            ("used", Flag),
            ("used_status_last_updated", Text),
            ("version", Integer),
        ],
        &[
            Primary("id"),
            Unique("fingerprint"),
            Index(
                "idx_druid_segmentSchemas_used",
                &["used", "used_status_last_updated"],
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
