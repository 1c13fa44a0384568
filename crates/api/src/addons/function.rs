//! Function: the container that does a task's work.

use k8s_openapi::api::core::v1 as corev1;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::ContainerRuntimeSettings;

/// The container that does a task's work.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "addons.kubestash.com",
    version = "v1alpha1",
    kind = "Function",
    plural = "functions",
    shortname = "fn",
    doc = "Function is a template of the container that does the work of a task. Text in it may use variables, as in \
           ${namespace}, and defaults for them, as in ${namespace:=default}.",
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
pub struct FunctionSpec {
    /// Arguments of the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Versions of the application that there are images for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub available_versions: Vec<String>,
    /// The program. Without it, the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Ports that the container listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub ports: Vec<corev1::ContainerPort>,
    /// Other settings of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_settings: Option<ContainerRuntimeSettings>,
    /// Raw block devices of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub volume_devices: Vec<corev1::VolumeDevice>,
    /// Mounts of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub volume_mounts: Vec<corev1::VolumeMount>,
    /// Directory that the program starts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
}
