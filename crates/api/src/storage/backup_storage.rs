//! BackupStorage: a directory of a bucket or volume that backups are written to.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Backend;
use crate::shared::{Condition, DeletionPolicy, RuntimeSettings, UsagePolicy};

string_enum! {
    /// State of a BackupStorage.
    pub enum BackupStoragePhase {
        /// It can be used.
        Ready = "Ready",
        /// It cannot be used; see the conditions.
        NotReady = "NotReady",
    }
}

/// Where backups are written to: a directory of a bucket, container or volume.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "storage.kubestash.com",
    version = "v1alpha1",
    kind = "BackupStorage",
    plural = "backupstorages",
    namespaced,
    status = "BackupStorageStatus",
    doc = "BackupStorage is a place for backups: one directory of a bucket, container or volume, with its credentials. \
           Objects of the namespaces that its usage policy allows can write there.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "kubestash",
    category = "appscode",
    category = "all",
    printcolumn(
        name = "Provider",
        type_ = "string",
        json_path = ".spec.storage.provider"
    ),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default"),
    printcolumn(
        name = "Deletion-Policy",
        type_ = "string",
        json_path = ".spec.deletionPolicy"
    ),
    printcolumn(name = "Total-Size", type_ = "string", json_path = ".status.totalSize"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct BackupStorageSpec {
    /// Whether backups that name no storage use this one. At most one of a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// What deleting the BackupStorage does to the data: `Delete` keeps it, `WipeOut` removes it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Settings of the Jobs that prepare and clean a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_settings: Option<RuntimeSettings>,
    /// The bucket, container or volume. It cannot change while Repositories use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Backend>,
    /// The namespaces that may write here. Without it, only the BackupStorage's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_policy: Option<UsagePolicy>,
}

/// What is known about a BackupStorage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStorageStatus {
    /// What is known, aspect by aspect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the object that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether the storage can be used: `Ready` or `NotReady`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub phase: Option<BackupStoragePhase>,
    /// The Repositories in this storage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<StorageRepository>,
    /// Size of all Repositories together, as in `1.757 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_size: Option<String>,
}

/// A Repository as its BackupStorage sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageRepository {
    /// Why the Repository could not be read back from the storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Namespace of the Repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Directory of the Repository, below the storage's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Size of the Repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Whether Repository and Snapshots were read back from the storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<bool>,
}
