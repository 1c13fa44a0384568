//! BackupVerifier: how snapshots are checked by restoring them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as corev1;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::shared::{
    AddonInfo, RetryConfig, RuntimeSettings, SchedulerSpec, TypedObjectReference, Volume,
};

string_enum! {
    /// How a restored snapshot is checked.
    pub enum VerificationType {
        /// It is good if it can be restored.
        RestoreOnly = "RestoreOnly",
        /// Queries on the restored data must give what is expected.
        Query = "Query",
        /// A script on the restored data must succeed.
        Script = "Script",
    }
}

/// How snapshots are checked by restoring them.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupVerifier",
    plural = "backupverifier",
    namespaced,
    doc = "BackupVerifier defines how the snapshots of a repository are checked: by restoring them, and by looking at the \
           restored data.",
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
#[x_kube(
    validation = Rule::new("has(self.type)")
        .message("spec.type is missing: use RestoreOnly, Query or Script")
        .field_path(".type"),
    validation = Rule::new("has(self.restoreOption) && has(self.restoreOption.addonInfo)")
        .message("spec.restoreOption.addonInfo is missing: name the addon and the tasks that restore the snapshot"),
    validation = Rule::new("!has(self.type) || self.type != 'Query' || (has(self.query) && has(self.__function__))")
        .message("spec.query or spec.function is missing: a verifier of type Query needs the queries and the Function that runs them"),
    validation = Rule::new(
        "!has(self.type) || self.type != 'Script' || \
         (has(self.script) && has(self.script.location) && has(self.__function__))")
        .message("spec.script.location or spec.function is missing: a verifier of type Script needs the script's path \
                  and the Function that runs it")
)]
pub struct BackupVerifierSpec {
    /// The Function that runs the queries or the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Queries and what they must give, by database; with `type: Query`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::free_form")]
    pub query: BTreeMap<String, Value>,
    /// How the snapshot is restored for the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_option: Option<RestoreOption>,
    /// How a failed check is tried again. Without it, not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_config: Option<RetryConfig>,
    /// Settings of the Job that checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_settings: Option<RuntimeSettings>,
    /// When to check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerSpec>,
    /// The script; with `type: Script`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptVerifier>,
    /// How many finished BackupVerificationSessions stay.
    #[serde(default = "crate::shared::one")]
    #[schemars(range(min = 0))]
    pub session_history_limit: i32,
    /// `RestoreOnly`, `Query` or `Script`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<VerificationType>,
    /// Mounts of the Job that checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub volume_mounts: Vec<corev1::VolumeMount>,
    /// Volumes of the Job that checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

impl Default for BackupVerifierSpec {
    fn default() -> Self {
        Self {
            function: None,
            query: BTreeMap::new(),
            restore_option: None,
            retry_config: None,
            runtime_settings: None,
            scheduler: None,
            script: None,
            session_history_limit: crate::shared::one(),
            type_: None,
            volume_mounts: Vec::new(),
            volumes: Vec::new(),
        }
    }
}

/// How a snapshot is restored for a check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreOption {
    /// The addon that restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon_info: Option<AddonInfo>,
    /// The object to restore into. Without it, the one that the snapshot was taken of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TypedObjectReference>,
}

/// A script that checks restored data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScriptVerifier {
    /// Arguments of the script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Absolute path of the script in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}
