//! HookTemplate: something to run before or after a backup or restore.

use k8s_openapi::api::core::v1 as corev1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HookAction;
use crate::shared::{ParameterDefinition, UsagePolicy, Volume};

string_enum! {
    /// Where a hook runs.
    pub enum HookExecutorType {
        /// In a Job created from a Function.
        Function = "Function",
        /// In pods that are there already.
        Pod = "Pod",
        /// In the operator.
        Operator = "Operator",
    }
}

string_enum! {
    /// On how many of the pods a hook runs.
    #[derive(Default)]
    pub enum PodExecutionStrategy {
        /// On one of them.
        #[default]
        ExecuteOnOne = "ExecuteOnOne",
        /// On all of them.
        ExecuteOnAll = "ExecuteOnAll",
    }
}

/// Something to run before or after a backup or restore.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "HookTemplate",
    plural = "hooktemplates",
    namespaced,
    doc = "HookTemplate is something to run before or after a backup or a restore: a command in a pod, a request, or a \
           Function. Sessions use it in their hooks.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "kubestash",
    category = "appscode",
    category = "all",
    printcolumn(name = "Executor", type_ = "string", json_path = ".spec.executor.type"),
    printcolumn(name = "Timeout", type_ = "string", json_path = ".spec.timeout"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.executor)")
        .message("spec.executor is missing: name where the hook runs, with type Function, Pod or Operator")
        .field_path(".executor"),
    validation = Rule::new(
        "!has(self.executor) || (has(self.executor.type) && self.executor.type == 'Function') || has(self.action)")
        .message("spec.action is missing: a hook of type Pod or Operator needs exec, httpGet, httpPost or tcpSocket")
        .field_path(".action")
)]
pub struct HookTemplateSpec {
    /// What to do; not needed when a Function does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<HookAction>,
    /// Where to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<HookExecutor>,
    /// Parameters that the text of the template uses, as in `${name}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<ParameterDefinition>,
    /// The namespaces whose sessions may use the template. Without it, only the template's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_policy: Option<UsagePolicy>,
}

/// Where a hook runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.type) || self.type != 'Function' || has(self.__function__)")
        .message("executor.function is missing: an executor of type Function needs the Function's name"),
    validation = Rule::new("!has(self.type) || self.type != 'Pod' || has(self.pod)")
        .message("executor.pod is missing: an executor of type Pod needs pod.selector, such as 'app=my-app'")
        .field_path(".pod")
)]
pub struct HookExecutor {
    /// The Function to run; with `type: Function`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<HookFunctionExecutor>,
    /// The pods to run in; with `type: Pod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<HookPodExecutor>,
    /// `Function`, `Pod` or `Operator`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<HookExecutorType>,
}

/// A Function that a hook runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookFunctionExecutor {
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub env: Vec<corev1::EnvVar>,
    /// Name of the Function.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Mounts of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = crate::schema::terse)]
    pub volume_mounts: Vec<corev1::VolumeMount>,
    /// Volumes of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// Pods that a hook runs in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.selector) && self.selector.matches('^[^,=]+=[^,=]*(,[^,=]+=[^,=]*)*$')")
        .message("pod.selector is missing or malformed: give labels as in 'app=my-app,tier=db'")
        .field_path(".selector")
)]
pub struct HookPodExecutor {
    /// Only pods that this object owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::terse, extend("x-kubernetes-map-type" = "atomic"))]
    pub owner: Option<OwnerReference>,
    /// Labels of the pods, as in `app=my-app,tier=db`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Whether to run on one of the pods or on all.
    #[serde(default)]
    pub strategy: PodExecutionStrategy,
}
