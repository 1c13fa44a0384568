//! BackupSession: one run of a session.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::{
    Condition, HookStatus, ObjectReference, TypedLocalObjectReference, TypedObjectReference,
};
use crate::storage::SnapshotPhase;

string_enum! {
    /// State of a BackupSession.
    pub enum BackupSessionPhase {
        /// Nothing has started yet.
        Pending = "Pending",
        /// It is at work.
        Running = "Running",
        /// Every snapshot was created, and everything after that went well too.
        Succeeded = "Succeeded",
        /// Something went wrong; see the conditions.
        Failed = "Failed",
        /// It was not run; see the conditions.
        Skipped = "Skipped",
    }
}

string_enum! {
    /// State of a retention policy's application.
    pub enum RetentionPolicyApplyPhase {
        /// It has not been applied yet.
        Pending = "Pending",
        /// It was applied.
        Applied = "Applied",
        /// It could not be applied.
        FailedToApply = "FailedToApply",
    }
}

/// One run of a session.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupSession",
    plural = "backupsessions",
    namespaced,
    status = "BackupSessionStatus",
    doc = "BackupSession is one run of one session. The operator creates it when a backup is due; create one yourself to back \
           up now.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "kubestash",
    category = "appscode",
    category = "all",
    printcolumn(
        name = "Invoker-Type",
        type_ = "string",
        json_path = ".spec.invoker.kind"
    ),
    printcolumn(
        name = "Invoker-Name",
        type_ = "string",
        json_path = ".spec.invoker.name"
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
    validation = Rule::new("self == oldSelf")
        .message("spec of a BackupSession cannot change, it describes one run: create another BackupSession")
)]
pub struct BackupSessionSpec {
    /// How long the run may take, as in `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_timeout: Option<String>,
    /// The BackupConfiguration or BackupBatch to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoker: Option<TypedLocalObjectReference>,
    /// How many times the run is tried again if it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_left: Option<i32>,
    /// Name of the session to run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
}

/// Progress of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSessionStatus {
    /// When the run is ended if it still works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_deadline: Option<Time>,
    /// What is known, aspect by aspect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How long the run took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// How the hooks went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<HookStatus>,
    /// When the failed run is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry: Option<Time>,
    /// The generation of the object that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// State of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BackupSessionPhase>,
    /// How the retention policy of each repository was applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retention_policy: Vec<RetentionPolicyApplyStatus>,
    /// Whether the failed run has been tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<bool>,
    /// The snapshots of the run, one for each repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SessionSnapshotStatus>,
    /// How many snapshots the run creates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_snapshots: Option<i32>,
}

/// One snapshot of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionSnapshotStatus {
    /// The target that is backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_ref: Option<TypedObjectReference>,
    /// Name of the Snapshot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Phase of the Snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SnapshotPhase>,
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
}

/// How a retention policy was applied to one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicyApplyStatus {
    /// Why the policy could not be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the policy was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RetentionPolicyApplyPhase>,
    /// The RetentionPolicy.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<ObjectReference>,
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
}
