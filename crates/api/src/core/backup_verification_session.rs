//! BackupVerificationSession: one check of a snapshot.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::{Condition, TypedLocalObjectReference};

string_enum! {
    /// State of a BackupVerificationSession.
    pub enum BackupVerificationSessionPhase {
        /// It is at work.
        Running = "Running",
        /// The snapshot is good.
        Succeeded = "Succeeded",
        /// The snapshot is not good, or it could not be checked; see the conditions.
        Failed = "Failed",
        /// It was not run, because the snapshot had been checked before.
        Skipped = "Skipped",
    }
}

/// One check of a snapshot.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupVerificationSession",
    plural = "backupverificationsession",
    namespaced,
    status = "BackupVerificationSessionStatus",
    doc = "BackupVerificationSession is one check of a snapshot as its BackupVerifier defines it.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "kubestash",
    category = "appscode",
    category = "all",
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
        .message("spec of a BackupVerificationSession cannot change, it describes one run: \
                  make another BackupVerificationSession")
)]
pub struct BackupVerificationSessionSpec {
    /// The BackupConfiguration whose snapshot is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoker: Option<TypedLocalObjectReference>,
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// How many times the check is tried again if it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_left: Option<i32>,
    /// Name of the session that created the snapshot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// Name of the Snapshot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub snapshot: String,
}

/// Progress of a check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupVerificationSessionStatus {
    /// What is known, aspect by aspect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// How long the check took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// The generation of the object that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// State of the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BackupVerificationSessionPhase>,
    /// Whether the failed check has been tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<bool>,
}
