//! The pod template of this API: a pod with one container, flattened, and the labels of the Job
//! around it.
//!
//! It is not Kubernetes' pod template. Invariant: `controller`, `metadata`, `spec` and
//! `spec.resources` are always written, also when empty.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as corev1;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a Job and its pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplateSpec {
    /// Labels and annotations of the Job.
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub controller: ObjectMetadata,
    /// Labels and annotations of the pod.
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub metadata: ObjectMetadata,
    /// Settings of the pod and its container.
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub spec: PodSpec,
}

/// Labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectMetadata {
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Name of an object in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Name of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Settings of a pod and of its one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = crate::schema::terse_fields)]
pub struct PodSpec {
    /// Which nodes and neighbours the pod prefers or needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<corev1::Affinity>,
    /// Arguments added to those of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Whether the pod gets a token of its ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<bool>,
    /// User, group, capabilities and other security settings of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_security_context: Option<corev1::SecurityContext>,
    /// DNS settings of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_config: Option<corev1::PodDNSConfig>,
    /// DNS policy of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]))]
    pub dns_policy: Option<String>,
    /// Whether Services appear as environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_service_links: Option<bool>,
    /// Environment variables of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<corev1::EnvVar>,
    /// Whether the pod uses the node's IPC namespace.
    #[serde(default, rename = "hostIPC", skip_serializing_if = "Option::is_none")]
    pub host_ipc: Option<bool>,
    /// Whether the pod uses the node's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_network: Option<bool>,
    /// Whether the pod uses the node's PID namespace.
    #[serde(default, rename = "hostPID", skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<bool>,
    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<corev1::LocalObjectReference>,
    /// Containers that run before the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<corev1::Container>,
    /// Hooks of the container's start and stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<corev1::Lifecycle>,
    /// How to tell that the container has to be restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<corev1::Probe>,
    /// The node to run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Labels of the nodes to run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Accepted for compatibility; the pod is placed by the other settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_placement_policy: Option<LocalReference>,
    /// Priority of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// PriorityClass of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// How to tell that the container is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<corev1::Probe>,
    /// CPU and memory for the container to ask for and to be limited to.
    #[serde(default)]
    #[schemars(transform = without_default)]
    pub resources: corev1::ResourceRequirements,
    /// RuntimeClass of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
    /// The scheduler that places the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<String>,
    /// User, group and other security settings of the whole pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<corev1::PodSecurityContext>,
    /// An existing ServiceAccount to use instead of one created for the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Whether the pod's containers see each other's processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_process_namespace: Option<bool>,
    /// Seconds that the pod gets to end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub termination_grace_period_seconds: Option<i64>,
    /// Taints that the pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<corev1::Toleration>,
    /// How pods spread over zones and nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<corev1::TopologySpreadConstraint>,
    /// Mounts of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<corev1::VolumeMount>,
    /// Volumes of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<corev1::Volume>,
}

/// Drops the default that serde's `default` puts into the schema. The whole template has one
/// default, at its top (`JobTemplate.template`); an addon's template has none.
fn without_default(schema: &mut schemars::Schema) {
    schema.remove("default");
}
