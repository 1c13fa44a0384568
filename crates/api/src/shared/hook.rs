//! Hooks: what runs before and after a backup or a restore.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as corev1;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ObjectReference, RuntimeSettings, Volume};

string_enum! {
    /// When a post hook runs.
    #[derive(Default)]
    pub enum HookExecutionPolicy {
        /// Whatever the outcome of the main work.
        #[default]
        Always = "Always",
        /// Only after success.
        OnSuccess = "OnSuccess",
        /// Only after failure.
        OnFailure = "OnFailure",
    }
}

string_enum! {
    /// State of one hook's run.
    pub enum HookPhase {
        /// It ran and succeeded.
        Succeeded = "Succeeded",
        /// It failed, also after its retries.
        Failed = "Failed",
        /// It has not finished yet.
        Pending = "Pending",
    }
}

/// Hooks of a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupHooks {
    /// Hooks that run after the backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_backup: Vec<HookInfo>,
    /// Hooks that run before the backup. If one fails, the backup is not made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_backup: Vec<HookInfo>,
}

/// Hooks of a restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreHooks {
    /// Hooks that run after the restore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_restore: Vec<HookInfo>,
    /// Hooks that run before the restore. If one fails, nothing is restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_restore: Vec<HookInfo>,
}

/// One use of a HookTemplate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookInfo {
    /// When the hook runs, if it is one that runs afterwards.
    #[serde(default)]
    pub execution_policy: HookExecutionPolicy,
    /// The HookTemplate to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook_template: Option<ObjectReference>,
    /// How many times a failed hook is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_retry: Option<i32>,
    /// Name of this use, shown in the status.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Values of the template's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::free_form")]
    pub params: BTreeMap<String, Value>,
    /// Settings of the hook's Job; only for templates that run a Function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_settings: Option<RuntimeSettings>,
    /// How long one try may take, as in `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Values of variables in the template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub variables: Vec<corev1::EnvVar>,
    /// Mounts of the hook's Job; only for templates that run a Function.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub volume_mounts: Vec<corev1::VolumeMount>,
    /// Volumes of the hook's Job; only for templates that run a Function.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// How the hooks of a session went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookStatus {
    /// The hooks that run after the main work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_hooks: Vec<HookExecutionStatus>,
    /// The hooks that run before the main work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_hooks: Vec<HookExecutionStatus>,
}

/// How one hook went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookExecutionStatus {
    /// Name of the hook.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// State of the hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<HookPhase>,
}
