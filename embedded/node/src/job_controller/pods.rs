//! What the pods of a Job say, and the pods that it makes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

/// The label that ties pods to their Job.
pub(crate) const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// The same two as they were before Kubernetes 1.27, still set there.
const LEGACY: [&str; 2] = ["controller-uid", "job-name"];

/// The characters of generated names (no vowels, no look-alikes).
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// What fits before the dash and the five characters.
const MAX_BASE: usize = 57;

/// The phase of a pod.
pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending")
}

/// Whether it has ended, well or not.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether it is marked for deletion and has not ended yet.
pub(crate) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && !is_terminal(pod)
}

/// Whether it runs or will run.
pub(crate) fn is_active(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && !is_terminal(pod)
}

/// Whether it is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .filter_map(|status| status.conditions.as_ref())
        .flatten();
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// All container states of a pod.
pub(crate) fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| {
        status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .flatten()
    })
}

/// When the last container of a pod ended.
pub(crate) fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let ended = |container: &ContainerStatus| {
        container
            .state
            .as_ref()?
            .terminated
            .as_ref()?
            .finished_at
            .as_ref()
            .map(|time| time.0)
    };
    let created = || pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    containers(pod).filter_map(ended).max().or_else(created)
}

/// A new pod for a Job, already bound to the only node there is.
pub(crate) fn from_template(job: &Job, node_name: &str) -> Pod {
    let template = job
        .spec
        .as_ref()
        .map(|spec| spec.template.clone())
        .unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
    let mut labels: BTreeMap<String, String> = meta.labels.unwrap_or_default();
    for (uid_label, name_label) in [(CONTROLLER_UID, JOB_NAME), (LEGACY[0], LEGACY[1])] {
        labels.insert(uid_label.to_owned(), uid.clone());
        labels.insert(name_label.to_owned(), name.clone());
    }
    let mut spec = template.spec.unwrap_or_default();
    spec.node_name.get_or_insert_with(|| node_name.to_owned());
    Pod {
        metadata: ObjectMeta {
            name: Some(generate_name(&name)),
            namespace: job.namespace(),
            labels: Some(labels),
            annotations: meta.annotations,
            owner_references: Some(vec![OwnerReference {
                block_owner_deletion: Some(true),
                controller: Some(true),
                api_version: Job::api_version(&()).into_owned(),
                kind: Job::kind(&()).into_owned(),
                name,
                uid,
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

fn generate_name(job: &str) -> String {
    let base: String = job.chars().take(MAX_BASE).collect();
    let random = |_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]);
    format!("{base}-{}", (0..5).map(random).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_of_a_job_says_whose_it_is() {
        let job: Job = serde_json::from_value(json!({
            "metadata": {"name": "j".repeat(63), "namespace": "demo", "uid": "u-1"},
            "spec": {"template": {"metadata": {"labels": {"app": "x"}, "annotations": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}},
        }))
        .unwrap();
        let pod = from_template(&job, "node-1");
        let name = pod.name_any();
        assert_eq!(
            (name.len(), &name[..58]),
            (63, format!("{}-", "j".repeat(57)).as_str())
        );
        assert_eq!(pod.labels()["app"], "x");
        assert_eq!(pod.labels()[CONTROLLER_UID], "u-1");
        assert_eq!(pod.labels()["job-name"], "j".repeat(63));
        assert_eq!(pod.annotations()["a"], "b");
        let owner = &pod.owner_references()[0];
        assert_eq!(
            (
                owner.api_version.as_str(),
                owner.kind.as_str(),
                owner.controller
            ),
            ("batch/v1", "Job", Some(true))
        );
        assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some("node-1"));
        assert_ne!(name, from_template(&job, "n").name_any());
    }
}
