//! Why the pod of a Job does not start: pure.
//!
//! ```text
//!   a waiting container ─────┐
//!   PodScheduled is False ───┤
//!   last Event of the pod ───┼─► the first that says anything ─► "pod p cannot start: FailedMount: …"
//!   the Job has no pod: ─────┤
//!     its last Event, suspend┘
//! ```

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::told::Told;

/// States of a container that no waiting mends.
const HOPELESS: [&str; 2] = ["InvalidImageName", "ErrImageNeverPull"];

/// States that only say that it has not come that far.
const NOT_YET: [&str; 2] = ["PodInitializing", "ContainerCreating"];

/// What keeps a Job's pod from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// The whole sentence.
    pub(super) sentence: String,
    /// Whether no waiting mends it.
    pub(super) is_hopeless: bool,
}

/// What keeps `pod` from starting, as far as anybody has said it.
pub(super) fn of_pod(pod: &Pod, told: &[Told]) -> Option<Obstacle> {
    let (reason, message) = waiting(pod)
        .or_else(|| unscheduled(pod))
        .or_else(|| of_events(pod, told))?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    Some(Obstacle {
        is_hopeless: HOPELESS.contains(&reason.as_str()),
        sentence: match message.trim() {
            "" => format!("pod {name} cannot start: {reason}"),
            message => format!("pod {name} cannot start: {reason}: {message}"),
        },
    })
}

/// What keeps `job` from having a pod, as far as anybody has said it.
pub(super) fn of_job(job: &Job, told: &[Told]) -> Option<Obstacle> {
    let sentence = if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true) {
        "no pod is created for the Job, because it is suspended (jobTemplate.suspend): set suspend to false"
            .to_owned()
    } else {
        let failed = last(told, job.metadata.uid.as_deref())?;
        format!(
            "no pod can be created for the Job: {}: {}",
            failed.reason,
            failed.message.trim()
        )
    };
    Some(Obstacle {
        sentence,
        is_hopeless: false,
    })
}

/// What is said about a Job without a pod when nobody says why.
pub(super) fn without_pod(job: &Job, told: &[Told]) -> &'static str {
    let status = job.status.as_ref();
    let counted = status.is_some_and(|status| {
        [status.active, status.failed, status.succeeded]
            .into_iter()
            .any(|count| count.unwrap_or_default() > 0)
    });
    let uid = job.metadata.uid.as_deref();
    let created = told
        .iter()
        .any(|event| Some(event.about.as_str()) == uid && event.reason == "SuccessfulCreate");
    if counted || created {
        "the pod of the Job was deleted, and no other one was created"
    } else {
        "no pod was created for the Job, and no Event gives a reason: check that the cluster's Job controller works"
    }
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let main = status.and_then(|status| status.container_statuses.as_ref());
    init.into_iter().chain(main).flatten()
}

/// Reason and message of its first waiting container.
fn waiting(pod: &Pod) -> Option<(String, String)> {
    statuses(pod).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.clone()?;
        (!NOT_YET.contains(&reason.as_str()))
            .then(|| (reason, waiting.message.clone().unwrap_or_default()))
    })
}

fn scheduled(pod: &Pod) -> Option<&k8s_openapi::api::core::v1::PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions
        .iter()
        .find(|found| found.type_ == "PodScheduled")
}

/// What the scheduler says.
fn unscheduled(pod: &Pod) -> Option<(String, String)> {
    let found = scheduled(pod).filter(|found| found.status == "False")?;
    let reason = found.reason.clone();
    Some((
        reason.unwrap_or_else(|| "Unschedulable".to_owned()),
        found.message.clone().unwrap_or_default(),
    ))
}

/// What is in no status, such as a volume that cannot be mounted.
fn of_events(pod: &Pod, told: &[Told]) -> Option<(String, String)> {
    let found = last(told, pod.metadata.uid.as_deref())?;
    // What kept it from a node is past once it has one.
    let is_past = found.reason == "FailedScheduling"
        && scheduled(pod).is_some_and(|found| found.status == "True");
    (!is_past).then(|| (found.reason.clone(), found.message.clone()))
}

/// The last Event about the object, if it is a warning: one that came after it says that it went
/// on.
fn last<'a>(told: &'a [Told], uid: Option<&str>) -> Option<&'a Told> {
    told.iter()
        .filter(|event| Some(event.about.as_str()) == uid)
        // Times are in seconds: of two in one second the warning counts.
        .max_by_key(|event| (event.at.map(|at| at.as_second()), event.is_warning))
        .filter(|event| event.is_warning)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "uid": "pod"}, "status": status}))
            .unwrap()
    }

    fn waits(reason: &str, message: &str) -> Pod {
        pod(json!({"phase": "Pending", "containerStatuses": [{
            "name": "c", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
            "state": {"waiting": {"reason": reason, "message": message}}}]}))
    }

    fn condition(status: &str, reason: &str, message: &str) -> Pod {
        pod(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": status, "reason": reason, "message": message}]}))
    }

    fn event(about: &str, warning: bool, second: i64, reason: &str, message: &str) -> Told {
        Told {
            about: about.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            is_warning: warning,
            at: Some(Timestamp::from_second(second).unwrap()),
        }
    }

    #[test]
    fn each_reason_that_scheduler_kubelet_and_runtime_give_is_told_in_their_words() {
        let creating = || waits("ContainerCreating", "");
        let mount = |warning, second| event("pod", warning, second, "FailedMount", "no /mnt/disk");
        let cases = [
            (
                waits("ErrImagePull", "not found"),
                vec![],
                Some("ErrImagePull: not found"),
            ),
            (
                waits("ImagePullBackOff", "Back-off"),
                vec![],
                Some("ImagePullBackOff: Back-off"),
            ),
            (
                waits("InvalidImageName", ""),
                vec![],
                Some("InvalidImageName"),
            ),
            (
                waits("CreateContainerConfigError", "secret \"x\" not found"),
                vec![],
                Some("CreateContainerConfigError: secret \"x\" not found"),
            ),
            (
                condition(
                    "False",
                    "Unschedulable",
                    "0/3 nodes are available: 3 Insufficient memory.",
                ),
                vec![],
                Some("Unschedulable: 0/3 nodes are available: 3 Insufficient memory."),
            ),
            (creating(), vec![], None),
            (
                creating(),
                vec![mount(true, 5)],
                Some("FailedMount: no /mnt/disk"),
            ),
            (
                creating(),
                vec![event(
                    "pod",
                    true,
                    5,
                    "FailedCreatePodSandBox",
                    "no network",
                )],
                Some("FailedCreatePodSandBox: no network"),
            ),
            (
                creating(),
                vec![
                    event("pod", true, 5, "FailedAttachVolume", "in use"),
                    mount(true, 9),
                ],
                Some("FailedMount: no /mnt/disk"),
            ),
            // It went on since, in the same second it did not, and another pod's trouble is not
            // ours.
            (
                creating(),
                vec![mount(true, 5), event("pod", false, 6, "Pulling", "")],
                None,
            ),
            (
                creating(),
                vec![event("pod", false, 5, "Scheduled", ""), mount(true, 5)],
                Some("FailedMount: no /mnt/disk"),
            ),
            (
                creating(),
                vec![event("other", true, 5, "FailedMount", "")],
                None,
            ),
            // What kept it from a node is past once it has one.
            (
                condition("True", "", ""),
                vec![event("pod", true, 5, "FailedScheduling", "0/3 nodes")],
                None,
            ),
        ];
        for (pod, told, expected) in cases {
            let found = of_pod(&pod, &told).map(|found| found.sentence);
            let expected = expected.map(|reason| format!("pod p cannot start: {reason}"));
            assert_eq!(found, expected, "{told:?}");
        }
        assert!(
            of_pod(&waits("InvalidImageName", ""), &[])
                .unwrap()
                .is_hopeless
        );
        assert!(!of_pod(&waits("ErrImagePull", ""), &[]).unwrap().is_hopeless);
    }

    #[test]
    fn a_job_without_a_pod_says_what_refuses_it_and_never_denies_a_pod_that_was_there() {
        let job = |spec: Value, status: Value| -> Job {
            let mut whole = json!({"metadata": {"name": "j", "uid": "job"}, "status": status,
                "spec": {"template": {"spec": {"containers": []}}}});
            whole["spec"]["suspend"] = spec["suspend"].clone();
            serde_json::from_value(whole).unwrap()
        };
        let plain = job(json!({}), json!({}));
        let quota = event(
            "job",
            true,
            1,
            "FailedCreate",
            "pods \"j-x\" is forbidden: exceeded quota: small",
        );
        assert_eq!(
            of_job(&plain, &[quota]).unwrap().sentence,
            "no pod can be created for the Job: FailedCreate: pods \"j-x\" is forbidden: exceeded quota: small"
        );
        assert_eq!(of_job(&plain, &[]), None);
        let suspended = of_job(&job(json!({"suspend": true}), json!({})), &[]).unwrap();
        assert!(
            suspended.sentence.contains("suspended"),
            "{}",
            suspended.sentence
        );

        assert!(without_pod(&plain, &[]).starts_with("no pod was created"));
        let created = event("job", false, 1, "SuccessfulCreate", "Created pod: j-x");
        for (job, told) in [
            (job(json!({}), json!({"active": 1})), vec![]),
            (job(json!({}), json!({"failed": 1})), vec![]),
            (plain, vec![created]),
        ] {
            assert!(without_pod(&job, &told).starts_with("the pod of the Job was deleted"));
        }
    }
}
