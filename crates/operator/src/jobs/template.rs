//! What the user says about the Job and its pod: the scheduler's `jobTemplate.template`, and the
//! addon's `jobTemplate`, which wins field by field.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, PodSpec as CorePodSpec, PodTemplateSpec as CorePodTemplate,
};
use kubestash_api::shared::{ContainerRuntimeSettings, ObjectMetadata, PodSpec, PodTemplateSpec};

/// A value that may be left out, so that another one counts.
trait Given: Clone {
    fn is_given(&self) -> bool;

    fn or(&self, other: &Self) -> Self {
        if self.is_given() {
            self.clone()
        } else {
            other.clone()
        }
    }
}

impl<T: Clone> Given for Option<T> {
    fn is_given(&self) -> bool {
        self.is_some()
    }
}

impl<T: Clone> Given for Vec<T> {
    fn is_given(&self) -> bool {
        !self.is_empty()
    }
}

impl Given for BTreeMap<String, String> {
    fn is_given(&self) -> bool {
        !self.is_empty()
    }
}

impl Given for k8s_openapi::api::core::v1::ResourceRequirements {
    fn is_given(&self) -> bool {
        *self != Self::default()
    }
}

/// One template out of two: each field from `winner` if it is given there, else from `other`.
/// Labels and annotations are united.
#[must_use]
pub(crate) fn merge(winner: &PodTemplateSpec, other: &PodTemplateSpec) -> PodTemplateSpec {
    PodTemplateSpec {
        controller: unite(&winner.controller, &other.controller),
        metadata: unite(&winner.metadata, &other.metadata),
        spec: merge_spec(&winner.spec, &other.spec),
    }
}

fn unite(winner: &ObjectMetadata, other: &ObjectMetadata) -> ObjectMetadata {
    let mut united = other.clone();
    united.annotations.extend(winner.annotations.clone());
    united.labels.extend(winner.labels.clone());
    united
}

fn merge_spec(winner: &PodSpec, other: &PodSpec) -> PodSpec {
    PodSpec {
        affinity: Given::or(&winner.affinity, &other.affinity),
        args: winner.args.or(&other.args),
        automount_service_account_token: winner
            .automount_service_account_token
            .or(other.automount_service_account_token),
        container_security_context: Given::or(
            &winner.container_security_context,
            &other.container_security_context,
        ),
        dns_config: Given::or(&winner.dns_config, &other.dns_config),
        dns_policy: Given::or(&winner.dns_policy, &other.dns_policy),
        enable_service_links: winner.enable_service_links.or(other.enable_service_links),
        env: winner.env.or(&other.env),
        host_ipc: winner.host_ipc.or(other.host_ipc),
        host_network: winner.host_network.or(other.host_network),
        host_pid: winner.host_pid.or(other.host_pid),
        image_pull_secrets: winner.image_pull_secrets.or(&other.image_pull_secrets),
        init_containers: winner.init_containers.or(&other.init_containers),
        lifecycle: Given::or(&winner.lifecycle, &other.lifecycle),
        liveness_probe: Given::or(&winner.liveness_probe, &other.liveness_probe),
        node_name: Given::or(&winner.node_name, &other.node_name),
        node_selector: winner.node_selector.or(&other.node_selector),
        pod_placement_policy: Given::or(&winner.pod_placement_policy, &other.pod_placement_policy),
        priority: winner.priority.or(other.priority),
        priority_class_name: Given::or(&winner.priority_class_name, &other.priority_class_name),
        readiness_probe: Given::or(&winner.readiness_probe, &other.readiness_probe),
        resources: winner.resources.or(&other.resources),
        runtime_class_name: Given::or(&winner.runtime_class_name, &other.runtime_class_name),
        scheduler_name: Given::or(&winner.scheduler_name, &other.scheduler_name),
        security_context: Given::or(&winner.security_context, &other.security_context),
        service_account_name: Given::or(&winner.service_account_name, &other.service_account_name),
        share_process_namespace: winner
            .share_process_namespace
            .or(other.share_process_namespace),
        termination_grace_period_seconds: winner
            .termination_grace_period_seconds
            .or(other.termination_grace_period_seconds),
        tolerations: winner.tolerations.or(&other.tolerations),
        topology_spread_constraints: winner
            .topology_spread_constraints
            .or(&other.topology_spread_constraints),
        volume_mounts: winner.volume_mounts.or(&other.volume_mounts),
        volumes: winner.volumes.or(&other.volumes),
    }
}

fn some_unless_empty<T: Given>(value: &T) -> Option<T> {
    value.is_given().then(|| value.clone())
}

/// Writes the template's settings of the pod into `pod`; its init containers come first.
pub(crate) fn customise_pod(pod: &mut CorePodTemplate, template: &PodTemplateSpec) {
    let metadata = pod.metadata.get_or_insert_default();
    let PodTemplateSpec {
        metadata: given,
        spec,
        ..
    } = template;
    let labels = metadata.labels.get_or_insert_default();
    for (key, value) in &given.labels {
        // Our own labels are how the pod is found; they cannot be replaced.
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if !given.annotations.is_empty() {
        metadata
            .annotations
            .get_or_insert_default()
            .extend(given.annotations.clone());
    }
    let target: &mut CorePodSpec = pod.spec.get_or_insert_default();
    target.affinity = spec.affinity.clone();
    target.automount_service_account_token = spec.automount_service_account_token;
    target.dns_config = spec.dns_config.clone();
    target.dns_policy = spec.dns_policy.clone();
    target.enable_service_links = spec.enable_service_links;
    target.host_ipc = spec.host_ipc;
    target.host_network = spec.host_network;
    target.host_pid = spec.host_pid;
    target.image_pull_secrets = some_unless_empty(&spec.image_pull_secrets);
    target.node_name = spec.node_name.clone();
    target.node_selector = some_unless_empty(&spec.node_selector);
    target.priority = spec.priority;
    target.priority_class_name = spec.priority_class_name.clone();
    target.runtime_class_name = spec.runtime_class_name.clone();
    target.scheduler_name = spec.scheduler_name.clone();
    target.security_context = spec.security_context.clone();
    target.share_process_namespace = spec.share_process_namespace;
    target.termination_grace_period_seconds = spec.termination_grace_period_seconds;
    target.tolerations = some_unless_empty(&spec.tolerations);
    target.topology_spread_constraints = some_unless_empty(&spec.topology_spread_constraints);
    if !spec.init_containers.is_empty() {
        let ours = target.init_containers.take().unwrap_or_default();
        target.init_containers = Some(spec.init_containers.iter().cloned().chain(ours).collect());
    }
    let volumes = target.volumes.get_or_insert_default();
    for volume in &spec.volumes {
        if !volumes.iter().any(|ours| ours.name == volume.name) {
            volumes.push(volume.clone());
        }
    }
}

/// Writes the settings of the container into `container`: first the template's, then what
/// `settings` give (the Function's, then the addon's), the last one given winning.
pub(crate) fn customise_container(
    container: &mut Container,
    template: &PodTemplateSpec,
    settings: &[Option<&ContainerRuntimeSettings>],
) {
    let spec = &template.spec;
    container.resources = some_unless_empty(&spec.resources);
    container.security_context = spec.container_security_context.clone();
    container.lifecycle = spec.lifecycle.clone();
    container.liveness_probe = spec.liveness_probe.clone();
    container.readiness_probe = spec.readiness_probe.clone();
    container
        .args
        .get_or_insert_default()
        .extend(spec.args.iter().cloned());
    let env = container.env.get_or_insert_default();
    env.extend(spec.env.iter().cloned());
    for settings in settings.iter().flatten() {
        env.extend(settings.env.iter().cloned());
        if !settings.env_from.is_empty() {
            container.env_from = Some(settings.env_from.clone());
        }
        container.resources = Given::or(&settings.resources, &container.resources);
        container.security_context =
            Given::or(&settings.security_context, &container.security_context);
        container.lifecycle = Given::or(&settings.lifecycle, &container.lifecycle);
        container.liveness_probe = Given::or(&settings.liveness_probe, &container.liveness_probe);
        container.readiness_probe =
            Given::or(&settings.readiness_probe, &container.readiness_probe);
    }
    let mounts = container.volume_mounts.get_or_insert_default();
    for mount in &spec.volume_mounts {
        if !mounts
            .iter()
            .any(|ours| ours.mount_path == mount.mount_path)
        {
            mounts.push(mount.clone());
        }
    }
}
