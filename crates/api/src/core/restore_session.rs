//! RestoreSession: one restore.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ManifestOptions;
use crate::shared::{
    AddonInfo, Condition, HookStatus, ObjectReference, ResourceFoundStatus, RestoreHooks,
    TypedObjectReference,
};
use crate::storage::RestoreProgress;

string_enum! {
    /// State of a RestoreSession, or of one of its components.
    pub enum RestorePhase {
        /// Nothing has started yet.
        Pending = "Pending",
        /// Data is being restored.
        Running = "Running",
        /// Something went wrong; see the conditions.
        Failed = "Failed",
        /// Everything was restored.
        Succeeded = "Succeeded",
        /// It cannot work as it is written.
        Invalid = "Invalid",
        /// It is not known how it went.
        Unknown = "Unknown",
    }
}

/// One restore.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "RestoreSession",
    plural = "restoresessions",
    shortname = "restore",
    namespaced,
    status = "RestoreSessionStatus",
    doc = "RestoreSession restores a snapshot once, into the object that it was taken of or into another one.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "kubestash",
    category = "appscode",
    category = "all",
    printcolumn(
        name = "Repository",
        type_ = "string",
        json_path = ".spec.dataSource.repository"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.dataSource)")
        .message("spec.dataSource is missing: name the repository and the snapshot to restore, such as 'snapshot: latest'")
        .field_path(".dataSource")
)]
pub struct RestoreSessionSpec {
    /// The addon that restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon: Option<AddonInfo>,
    /// What to restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_source: Option<RestoreDataSource>,
    /// What runs before and after the restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<RestoreHooks>,
    /// What to change in the Kubernetes objects that are restored.
    // In a box: it is rarely given, and so large that the session would not fit on the stack of a
    // watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_options: Option<Box<ManifestOptions>>,
    /// How long the restore may take, as in `2h`. A restore that takes longer fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_timeout: Option<String>,
    /// The object to restore into. Without it, the one that the snapshot was taken of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TypedObjectReference>,
}

/// What to restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.pitr) || (has(self.snapshot) && self.snapshot != '')")
        .message("dataSource.snapshot is missing: name a Snapshot, or 'latest' for the newest of the repository, \
                  or give dataSource.pitr")
        .field_path(".snapshot"),
    validation = Rule::new(
        "has(self.pitr) || !has(self.snapshot) || self.snapshot != 'latest' || \
         (has(self.repository) && self.repository != '')")
        .message("dataSource.repository is missing: 'snapshot: latest' needs the Repository to take the newest snapshot of")
        .field_path(".repository"),
    validation = Rule::new("!has(self.pitr) || has(self.pitr.targetTime)")
        .message("dataSource.pitr.targetTime is missing: give the point in time to restore, such as 2026-01-31T12:00:00Z")
        .field_path(".pitr.targetTime"),
    validation = Rule::new("!has(self.pitr) || (has(self.repository) && self.repository != '')")
        .message("dataSource.repository is missing: dataSource.pitr needs the Repository to look for the snapshot in")
        .field_path(".repository")
)]
pub struct RestoreDataSource {
    /// Names of the components to restore. Without any, all of the snapshot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// The Secret with the key `RESTIC_PASSWORD` that the data is encrypted with. Without it, the
    /// Repository's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_secret: Option<ObjectReference>,
    /// Namespace of Repository and Snapshot. Without it, the RestoreSession's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A point in time to restore, instead of a certain snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pitr: Option<PointInTime>,
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Name of the Snapshot, or `latest` for the newest successful one of the Repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

impl RestoreDataSource {
    /// The value of `snapshot` that means the newest one.
    pub const LATEST: &'static str = "latest";
}

/// A point in time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointInTime {
    /// Whether a snapshot taken exactly at that time is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<bool>,
    /// The newest snapshot up to this time is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_time: Option<Time>,
}

/// Progress of a restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSessionStatus {
    /// The parts of the restore, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-kubernetes-map-type" = "granular"))]
    pub components: BTreeMap<String, RestoreComponentStatus>,
    /// What is known, aspect by aspect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Other objects that the restore needs, such as the Snapshot, and whether they are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<ResourceFoundStatus>,
    /// How long the restore took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// How the hooks went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<HookStatus>,
    /// The generation of the object that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Backups of the target that are paused during the restore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused_backups: Vec<TypedObjectReference>,
    /// State of the restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RestorePhase>,
    /// When the restore is ended if it still works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_deadline: Option<Time>,
    /// Whether the target exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_found: Option<bool>,
    /// How many components are restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_components: Option<i32>,
}

/// One part of a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreComponentStatus {
    /// How long the part took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Why the part failed, or why its last try did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What there is to know once the part is restored: what the backup did not hold, and what is
    /// to be done now. Ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// State of the part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RestorePhase>,
    /// How far the part has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RestoreProgress>,
}
