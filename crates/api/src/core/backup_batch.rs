//! BackupBatch: several related targets on one schedule.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InvokerPhase;
use crate::shared::{
    AddonInfo, BackendReference, BackendStatus, BackupHooks, Condition, RepositoryInfo,
    RepositoryStatusEntry, ResourceFoundStatus, RetryConfig, SchedulerSpec, SessionStatus,
    TypedObjectReference,
};

/// Several targets that are backed up together.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupBatch",
    plural = "backupbatches",
    namespaced,
    status = "BackupBatchStatus",
    doc = "BackupBatch backs up several related targets together, on one schedule.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "kubestash",
    category = "appscode",
    category = "all",
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct BackupBatchSpec {
    /// Where the sessions can write to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendReference>,
    /// Whether no backups are created for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// The backups to create: what, when, and into which repositories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<BatchSession>,
    /// The objects to back up, each under a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<BatchTarget>,
}

/// One object of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchTarget {
    /// The object to back up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_ref: Option<TypedObjectReference>,
    /// Name by which the sessions refer to the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// One backup of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.name) && self.name != ''")
        .message("sessions[].name is missing: give each session a name of its own")
        .field_path(".name")
)]
pub struct BatchSession {
    /// How long a run may take, as in `2h`. A run that takes longer fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_timeout: Option<String>,
    /// What runs before and after the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<BackupHooks>,
    /// Name of the session.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How a failed run is tried again. Without it, not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_config: Option<RetryConfig>,
    /// When to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerSpec>,
    /// How many finished BackupSessions of this session stay.
    #[serde(default = "crate::shared::one")]
    #[schemars(range(min = 0))]
    pub session_history_limit: i32,
    /// How each target is backed up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetBackup>,
}

impl Default for BatchSession {
    fn default() -> Self {
        Self {
            backup_timeout: None,
            hooks: None,
            name: String::new(),
            retry_config: None,
            scheduler: None,
            session_history_limit: crate::shared::one(),
            targets: Vec::new(),
        }
    }
}

/// How one target of a batch is backed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetBackup {
    /// The addon that creates the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon: Option<AddonInfo>,
    /// Name of one of `spec.targets`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The repositories to write to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<RepositoryInfo>,
}

/// What is known about a BackupBatch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupBatchStatus {
    /// State of each backend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendStatus>,
    /// What is known, aspect by aspect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Other objects that the backup needs, such as Addons, and whether they are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<ResourceFoundStatus>,
    /// The generation of the object that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// State of the BackupBatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<InvokerPhase>,
    /// State of each repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<RepositoryStatusEntry>,
    /// State of each session's schedule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionStatus>,
    /// The targets, and whether they exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<ResourceFoundStatus>,
}
