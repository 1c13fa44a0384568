//! Which addon does the work of a session, and with what.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as corev1;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ContainerRuntimeSettings, PersistentVolumeClaim, PodTemplateSpec, TemplatedVolumeSource, Volume,
};

string_enum! {
    /// The program that moves the data.
    pub enum Driver {
        /// A restic repository: deduplicated and encrypted.
        Restic = "Restic",
        /// WAL-G.
        WalG = "WalG",
        /// A CSI VolumeSnapshot.
        VolumeSnapshotter = "VolumeSnapshotter",
        /// Solr's own backup.
        Solr = "Solr",
        /// Medusa, for Cassandra.
        Medusa = "Medusa",
        /// clickhouse-backup.
        ClickHouseBackup = "ClickHouseBackup",
        /// neo4j-admin.
        Neo4jAdmin = "Neo4jAdmin",
    }
}

/// The addon of a session, and the tasks to run from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.name) && self.name != ''")
        .message("addon.name is missing: name an Addon of the cluster, such as druid-addon (kubectl get addons lists them)")
        .field_path(".name"),
    validation = Rule::new("has(self.tasks) && size(self.tasks) > 0")
        .message("addon.tasks is empty: name at least one task of the addon (kubectl get addon <name> -o yaml lists them)")
        .field_path(".tasks")
)]
pub struct AddonInfo {
    /// Settings of the container that does the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_runtime_settings: Option<ContainerRuntimeSettings>,
    /// Settings of the Job that does the work, and of its pod. They win over those of the
    /// scheduler's `jobTemplate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_template: Option<PodTemplateSpec>,
    /// Name of the Addon.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Tasks of the Addon to run, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskReference>,
}

/// A task of an addon, with its parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.name) && self.name != ''")
        .message("addon.tasks[].name is missing: name a task of the addon")
        .field_path(".name")
)]
pub struct TaskReference {
    /// Other sources for volumes that the addon's task declares, matched by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addon_volumes: Vec<AddonVolume>,
    /// Name of the task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Values of the task's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::free_form")]
    pub params: BTreeMap<String, Value>,
    /// The volumes of the target that the task works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_volumes: Option<TargetVolumes>,
    /// Values that win over variables of the addon's templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub variables: Vec<corev1::EnvVar>,
}

/// Another source for a volume that a task declares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddonVolume {
    /// Name of the volume in the addon's task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What to use for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<TemplatedVolumeSource>,
}

/// Volumes of a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetVolumes {
    /// Claims to create, one for each replica, when restoring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_claim_templates: Vec<PersistentVolumeClaim>,
    /// Where the volumes are mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub volume_mounts: Vec<corev1::VolumeMount>,
    /// The volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// A parameter that a task or a hook template takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParameterDefinition {
    /// The value if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Name of the parameter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether a value must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// What the parameter is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
}
