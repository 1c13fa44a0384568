//! Snapshot: the state of one backup run into one Repository.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ClickHouseStats, LogStats, MedusaStats, Neo4jStats, ResticStats, SolrStats,
    VolumeSnapshotterStats, WalGStats,
};
use crate::shared::{Condition, DeletionPolicy, Driver, TypedObjectReference};

string_enum! {
    /// State of a Snapshot, or of one of its components.
    pub enum SnapshotPhase {
        /// Nothing has started yet.
        Pending = "Pending",
        /// Data is being written.
        Running = "Running",
        /// The data is safe.
        Succeeded = "Succeeded",
        /// The data is not complete.
        Failed = "Failed",
    }
}

string_enum! {
    /// Whether a Snapshot was restored for a test.
    pub enum VerificationStatus {
        /// It was, and the data was good.
        Verified = "Verified",
        /// It was not.
        NotVerified = "NotVerified",
        /// It was, and the data was not good.
        VerificationFailed = "VerificationFailed",
    }
}

/// Values of [`SnapshotSpec::type_`].
pub mod snapshot_type {
    /// Everything was backed up.
    pub const FULL_BACKUP: &str = "FullBackup";
    /// What changed since the last backup was backed up.
    pub const INCREMENTAL_BACKUP: &str = "IncrementalBackup";
}

/// Values of [`SnapshotSpec::version`].
pub mod snapshot_version {
    /// The layout of the data in the bucket, as it is today.
    pub const V1: &str = "v1";
}

/// The state of one backup run into one Repository.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "storage.kubestash.com",
    version = "v1alpha1",
    kind = "Snapshot",
    plural = "snapshots",
    namespaced,
    status = "SnapshotStatus",
    doc = "Snapshot is the state of one backup run into one Repository. It is created for you; what you can do with it is to \
           restore from it and to delete it.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "kubestash",
    category = "appscode",
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(name = "Session", type_ = "string", json_path = ".spec.session"),
    printcolumn(
        name = "Snapshot-Time",
        type_ = "string",
        json_path = ".status.snapshotTime"
    ),
    printcolumn(
        name = "Deletion-Policy",
        type_ = "string",
        json_path = ".spec.deletionPolicy"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSpec {
    /// The target that was backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_ref: Option<TypedObjectReference>,
    /// Name of the BackupSession that created the Snapshot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backup_session: String,
    /// What deleting the Snapshot does: `Delete` removes this object only, `WipeOut` the data as
    /// well.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether the operator leaves the Snapshot alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Name of the session.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// Unique id of the Snapshot: a ULID, so ids sort by time.
    #[serde(
        default,
        rename = "snapshotID",
        skip_serializing_if = "String::is_empty"
    )]
    pub snapshot_id: String,
    /// `FullBackup` or `IncrementalBackup`.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub type_: String,
    /// Version of the layout of the data: `v1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// How a Snapshot went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotStatus {
    /// The parts of the backup, by name, such as `dump` or `manifest`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-kubernetes-map-type" = "granular"))]
    pub components: BTreeMap<String, Component>,
    /// What is known, aspect by aspect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Whether the data was intact when it was checked after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<bool>,
    /// When the status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
    /// The generation of the object that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// State of the Snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SnapshotPhase>,
    /// Size of the stored data after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// When the Snapshot was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_time: Option<Time>,
    /// How many components the Snapshot will have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_components: Option<i32>,
    /// Name of the BackupVerificationSession that checked the Snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_session: Option<String>,
    /// Whether the Snapshot was restored for a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_status: Option<VerificationStatus>,
}

/// A restic snapshot that needs data which is missing or damaged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DamagedSnapshot {
    /// Its id.
    pub id: String,
    /// What is missing or damaged.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// One part of a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// What clickhouse-backup says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub click_house_stats: Vec<ClickHouseStats>,
    /// What the run found missing or damaged in the restic repository, and what became of it.
    /// Ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
    /// The restic snapshots in the same repository that can no longer be restored as a whole.
    /// Ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged_snapshots: Vec<DamagedSnapshot>,
    /// All data of the restic repository was read back and compared with its hashes, or written
    /// and found complete, at or after this time. Missing while some of it has not been read
    /// yet. Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_read_since: Option<Time>,
    /// The databases in the part, if it is a dump.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// The program that moved the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// How long the part took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Why the part failed, or why its last try did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the data was intact when it was checked after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<bool>,
    /// What is in the databases and not in the part, so that a restore does not bring it back.
    /// Ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What is known about archived logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stats: Option<LogStats>,
    /// What Medusa reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medusa_stats: Option<MedusaStats>,
    /// What neo4j-admin reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neo4j_stats: Vec<Neo4jStats>,
    /// Directory of the part, below the Repository's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// State of the part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SnapshotPhase>,
    /// What restic reports, for each backed-up path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restic_stats: Vec<ResticStats>,
    /// Size of the part's whole restic repository after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// What Solr reports, for each collection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub solr_stats: Vec<SolrStats>,
    /// The VolumeSnapshots that were created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_snapshotter_stats: Vec<VolumeSnapshotterStats>,
    /// What was seen in the databases that may keep a restore from working, or from being
    /// complete. Ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What WAL-G reports.
    #[serde(default, rename = "walGStats", skip_serializing_if = "Option::is_none")]
    pub wal_g_stats: Option<WalGStats>,
}
