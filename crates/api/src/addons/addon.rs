//! Addon: the tasks that can be run for one kind of application.

use k8s_openapi::api::core::v1 as corev1;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::{Driver, ParameterDefinition, TemplatedVolumeSource};

string_enum! {
    /// What runs a task.
    pub enum TaskExecutor {
        /// A Job.
        Job = "Job",
        /// A container beside the application's.
        Sidecar = "Sidecar",
        /// A container added to the application's running pods.
        EphemeralContainer = "EphemeralContainer",
        /// A Job that creates Jobs.
        MultiLevelJob = "MultiLevelJob",
    }
}

/// The tasks that can be run for one kind of application.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "addons.kubestash.com",
    version = "v1alpha1",
    kind = "Addon",
    plural = "addons",
    doc = "Addon lists the tasks that back up and restore one kind of application. Sessions name it and the tasks to run.",
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
pub struct AddonSpec {
    /// Tasks that back up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backup_tasks: Vec<Task>,
    /// Tasks that restore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore_tasks: Vec<Task>,
}

/// Something an addon can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The program that moves the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// What runs the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<TaskExecutor>,
    /// Name of the Function that does the work.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub function: String,
    /// Name of the task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Parameters of the task; they become variables of the Function.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterDefinition>,
    /// Whether one run serves the whole target, instead of one for each of its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub singleton: Option<bool>,
    /// Mounts of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub volume_mounts: Vec<corev1::VolumeMount>,
    /// Volumes of the pod. A session may replace them by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_template: Vec<VolumeTemplate>,
}

/// A volume that a task needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeTemplate {
    /// Name of the volume.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The volume if the session gives no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<TemplatedVolumeSource>,
    /// What the volume is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
}
