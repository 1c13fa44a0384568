//! BackupBlueprint: a template for the backups of annotated objects.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Session;
use crate::shared::{BackendReference, BackupConfigurationDeletionPolicy, UsagePolicy};

/// A template for the backups of annotated objects.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupBlueprint",
    plural = "backupblueprints",
    namespaced,
    doc = "BackupBlueprint is a template for backups. An object that names it in its annotations \
           blueprint.kubestash.com/name and blueprint.kubestash.com/namespace gets a BackupConfiguration created from it.",
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
    validation = Rule::new("has(self.backupConfigurationTemplate)")
        .message("spec.backupConfigurationTemplate is missing: add the backends and sessions of the BackupConfigurations to create")
        .field_path(".backupConfigurationTemplate")
)]
pub struct BackupBlueprintSpec {
    /// The BackupConfiguration to create. Text in it may use variables, as in `${schedule}`; the
    /// annotated object gives their values in annotations such as
    /// `variables.kubestash.com/schedule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_configuration_template: Option<BackupConfigurationTemplate>,
    /// The kinds of objects that may use the blueprint. Without any, all that can be backed up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
    /// The namespaces whose objects may use the blueprint. Without it, only the blueprint's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_policy: Option<UsagePolicy>,
}

/// The BackupConfiguration to create from a blueprint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupConfigurationTemplate {
    /// Where the sessions can write to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendReference>,
    /// `OnDelete` deletes the BackupConfigurations with the blueprint. Without it, they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<BackupConfigurationDeletionPolicy>,
    /// Namespace of the BackupConfigurations. Without it, the blueprint's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The backups to create.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Session>,
}

/// A kind of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// API group and version, as in `kubedb.com/v1alpha2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The kind, as in `Druid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}
