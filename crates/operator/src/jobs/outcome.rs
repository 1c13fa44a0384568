//! How a Job stands, read from the Job and its pods: pure.
//!
//! Invariant: a Job whose pod cannot start says why as soon as anybody says it, and does not stay
//! so for ever; after [`STARTING_LIMIT`] it counts as stuck, with the reason that the node or the
//! scheduler gives.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::obstacle::{of_job, of_pod, without_pod};
use super::told::Told;

/// How long a pod may take until its first container runs: time for a node to be added and an image
/// to be pulled.
pub(crate) const STARTING_LIMIT: Duration = Duration::from_secs(300);

/// A pod that starts within this time is not asked about.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is asked about at first, and later: what is said in Events alone wakes nobody.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(15)];
/// When that begins to be later.
const LATER: Duration = Duration::from_secs(30);

/// How much of a container's last line of output is told.
const LAST_WORDS: usize = 256;

/// How a Job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its pod has not started.
    Starting {
        /// Why not, as far as anybody has said it.
        why: Option<String>,
        /// After which time to look again.
        again: Duration,
    },
    /// It runs.
    Running,
    /// Every container ended with success.
    Succeeded,
    /// It has finally failed, for this reason.
    Failed(String),
    /// Its pod cannot start, for this reason; nothing will happen any more.
    Stuck(String),
}

/// Judges a Job by its own conditions, its pods, and what Events tell about them.
#[must_use]
pub(crate) fn judge(job: &Job, pods: &[Pod], told: &[Told], now: Timestamp) -> Outcome {
    if let Some(outcome) = finished(job, pods) {
        return outcome;
    }
    let (created, obstacle, otherwise) = match latest(pods) {
        None => (
            created(&job.metadata),
            of_job(job, told),
            without_pod(job, told).to_owned(),
        ),
        Some(pod) if has_started(pod) => return Outcome::Running,
        Some(pod) => (
            created(&pod.metadata),
            of_pod(pod, told),
            format!("pod {} has not started", name(pod)),
        ),
    };
    if let Some(hopeless) = obstacle.as_ref().filter(|obstacle| obstacle.is_hopeless) {
        return Outcome::Stuck(hopeless.sentence.clone());
    }
    let why = obstacle.map(|obstacle| obstacle.sentence);
    let waited = since(created, now);
    match STARTING_LIMIT.checked_sub(waited) {
        Some(left) if !left.is_zero() => Outcome::Starting {
            why,
            again: left.min(next_look(waited)),
        },
        _ => Outcome::Stuck(format!(
            "{} (waited {} s)",
            why.unwrap_or(otherwise),
            STARTING_LIMIT.as_secs()
        )),
    }
}

/// The uid of what should be asked about, because it keeps `job` from starting: its pod, or the Job
/// itself while it has none.
pub(super) fn in_question<'a>(job: &'a Job, pods: &'a [Pod], now: Timestamp) -> Option<&'a str> {
    if finished(job, pods).is_some() {
        return None;
    }
    let metadata = match latest(pods) {
        None => &job.metadata,
        Some(pod) if has_started(pod) => return None,
        Some(pod) => &pod.metadata,
    };
    if since(created(metadata), now) < PATIENCE {
        return None;
    }
    metadata.uid.as_deref()
}

fn next_look(waited: Duration) -> Duration {
    let [soon, late] = LOOK_AGAIN;
    match PATIENCE.checked_sub(waited) {
        Some(left) if !left.is_zero() => left,
        _ if waited < LATER => soon,
        _ => late,
    }
}

fn created(metadata: &ObjectMeta) -> Option<Timestamp> {
    metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn since(start: Option<Timestamp>, now: Timestamp) -> Duration {
    start
        .and_then(|start| Duration::try_from(now.duration_since(start)).ok())
        .unwrap_or_default()
}

fn finished(job: &Job, pods: &[Pod]) -> Option<Outcome> {
    let conditions = job.status.as_ref()?.conditions.as_deref()?;
    let is_true = |type_: &str| {
        conditions
            .iter()
            .find(|found| found.type_ == type_ && found.status == "True")
    };
    if is_true("Complete").is_some() {
        return Some(Outcome::Succeeded);
    }
    let failed = is_true("Failed")?;
    let mut reason = match (failed.reason.as_deref(), failed.message.as_deref()) {
        (Some("DeadlineExceeded"), _) => "deadline exceeded".to_owned(),
        (Some(reason), Some(message)) if !message.is_empty() => format!("{reason}: {message}"),
        (Some(reason), _) => reason.to_owned(),
        (None, message) => message.unwrap_or("the Job failed").to_owned(),
    };
    if let Some(end) = latest(pods).and_then(why_it_ended) {
        reason = format!("{reason}; {end}");
    }
    Some(Outcome::Failed(reason))
}

fn latest(pods: &[Pod]) -> Option<&Pod> {
    pods.iter()
        .max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let main = status.and_then(|status| status.container_statuses.as_ref());
    init.into_iter().chain(main).flatten()
}

fn has_started(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase.is_some_and(|phase| phase != "Pending")
        || statuses(pod).any(|container| {
            container
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        })
}

/// What the pod itself, or its first failed container, says about its end.
fn why_it_ended(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if let Some(reason) = status.reason.as_deref().filter(|reason| !reason.is_empty()) {
        let message = status.message.as_deref().unwrap_or_default();
        return Some(
            format!("pod {}: {reason} {message}", name(pod))
                .trim_end()
                .to_owned(),
        );
    }
    statuses(pod).find_map(|container| {
        let ended = container
            .state
            .as_ref()?
            .terminated
            .as_ref()
            .filter(|ended| ended.exit_code != 0)?;
        let mut text = format!(
            "container {} ended with exit code {}",
            container.name, ended.exit_code
        );
        if let Some(reason) = ended
            .reason
            .as_deref()
            .filter(|reason| !matches!(*reason, "" | "Error"))
        {
            text.push_str(&format!(" ({reason})"));
        }
        let last_words = ended
            .message
            .as_deref()
            .and_then(|message| message.lines().rfind(|line| !line.trim().is_empty()));
        if let Some(words) = last_words {
            text.push_str(": ");
            text.extend(words.trim().chars().take(LAST_WORDS));
        }
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CREATED: &str = "2024-09-19T10:30:46Z";

    fn job(conditions: Value) -> Job {
        let job = json!({"metadata": {"creationTimestamp": CREATED}, "status": {"conditions": conditions}});
        serde_json::from_value(job).unwrap()
    }

    fn pod(status: Value) -> Pod {
        serde_json::from_value(
            json!({"metadata": {"name": "p", "creationTimestamp": CREATED}, "status": status}),
        )
        .unwrap()
    }

    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_second(CREATED.parse::<Timestamp>().unwrap().as_second() + seconds).unwrap()
    }

    fn waiting(reason: &str, message: &str) -> Pod {
        pod(json!({"phase": "Pending", "initContainerStatuses": [{
            "name": "c", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
            "state": {"waiting": {"reason": reason, "message": message}},
        }]}))
    }

    #[test]
    fn a_finished_job_says_so_with_the_reason_of_its_pod() {
        let killed = pod(json!({"phase": "Failed", "containerStatuses": [{
            "name": "mysql-0", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
            "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        }]}));
        let spoke = pod(json!({"phase": "Failed", "containerStatuses": [{
            "name": "mysql-0", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
            "state": {"terminated": {"exitCode": 1, "reason": "Error", "message": "one\nfailed to reach it\n\n"}},
        }]}));
        let evicted = pod(
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}),
        );
        let backoff = json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit"}]);
        let deadline = json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "m"}]);
        let cases = [
            (
                json!([{"type": "Complete", "status": "True"}]),
                vec![],
                Outcome::Succeeded,
            ),
            (
                json!([{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]),
                vec![],
                Outcome::Succeeded,
            ),
            (
                backoff.clone(),
                vec![killed],
                Outcome::Failed(
                    "BackoffLimitExceeded: Job has reached the specified backoff limit; \
                 container mysql-0 ended with exit code 137 (OOMKilled)"
                        .to_owned(),
                ),
            ),
            (
                backoff.clone(),
                vec![spoke],
                Outcome::Failed(
                    "BackoffLimitExceeded: Job has reached the specified backoff limit; \
                 container mysql-0 ended with exit code 1: failed to reach it"
                        .to_owned(),
                ),
            ),
            (
                backoff,
                vec![evicted],
                Outcome::Failed(
                    "BackoffLimitExceeded: Job has reached the specified backoff limit; \
                 pod p: Evicted The node was low on memory."
                        .to_owned(),
                ),
            ),
            (
                deadline,
                vec![],
                Outcome::Failed("deadline exceeded".to_owned()),
            ),
        ];
        for (conditions, pods, expected) in cases {
            assert_eq!(judge(&job(conditions), &pods, &[], after(5)), expected);
        }
    }

    #[test]
    fn a_pod_that_cannot_start_says_why_at_once_and_is_given_a_bounded_time() {
        let unscheduled = pod(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]}));
        let cases = [
            (
                waiting("ErrImagePull", "not found"),
                Some("pod p cannot start: ErrImagePull: not found"),
                "pod p cannot start: ErrImagePull: not found (waited 300 s)",
            ),
            (
                waiting("CreateContainerConfigError", "secret \"x\" not found"),
                Some("pod p cannot start: CreateContainerConfigError: secret \"x\" not found"),
                "pod p cannot start: CreateContainerConfigError: secret \"x\" not found (waited 300 s)",
            ),
            (
                waiting("ContainerCreating", ""),
                None,
                "pod p has not started (waited 300 s)",
            ),
            (
                unscheduled,
                Some("pod p cannot start: Unschedulable: 0/3 nodes are available"),
                "pod p cannot start: Unschedulable: 0/3 nodes are available (waited 300 s)",
            ),
        ];
        for (pod, why, reason) in cases {
            let pods = [pod];
            for (waited, again) in [(0, 2), (1, 1), (10, 3), (100, 15), (299, 1)] {
                let expected = Outcome::Starting {
                    why: why.map(str::to_owned),
                    again: Duration::from_secs(again),
                };
                assert_eq!(judge(&job(json!([])), &pods, &[], after(waited)), expected);
            }
            let late = judge(&job(json!([])), &pods, &[], after(300));
            assert_eq!(late, Outcome::Stuck(reason.to_owned()));
        }
        let no_pod = judge(&job(json!([])), &[], &[], after(301));
        assert!(
            matches!(no_pod, Outcome::Stuck(reason) if reason.starts_with("no pod was created"))
        );
    }

    #[test]
    fn events_are_asked_for_only_while_a_job_has_not_started_after_a_moment() {
        let with_uid = |mut pod: Pod| {
            pod.metadata.uid = Some("pod".to_owned());
            pod
        };
        let mut plain = job(json!([]));
        plain.metadata.uid = Some("job".to_owned());
        let mut done = job(json!([{"type": "Complete", "status": "True"}]));
        done.metadata.uid = Some("job".to_owned());
        let pending = || vec![with_uid(waiting("ContainerCreating", ""))];
        let running = || vec![with_uid(pod(json!({"phase": "Running"})))];
        for (job, pods, waited, expected) in [
            (&plain, vec![], 1, None),
            (&plain, vec![], 2, Some("job")),
            (&plain, pending(), 1, None),
            (&plain, pending(), 2, Some("pod")),
            (&plain, running(), 100, None),
            (&done, pending(), 100, None),
        ] {
            assert_eq!(in_question(job, &pods, after(waited)), expected, "{waited}");
        }
    }

    #[test]
    fn an_image_name_that_can_never_work_is_not_waited_for() {
        let pods = [waiting("InvalidImageName", "bad")];
        let outcome = judge(&job(json!([])), &pods, &[], after(0));
        assert_eq!(
            outcome,
            Outcome::Stuck("pod p cannot start: InvalidImageName: bad".to_owned())
        );
    }

    #[test]
    fn a_started_pod_runs_however_long_it_takes() {
        let started = pod(json!({"phase": "Pending", "initContainerStatuses": [{
            "name": "c", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
            "state": {"running": {"startedAt": CREATED}},
        }]}));
        let running = pod(json!({"phase": "Running"}));
        for pod in [started, running] {
            assert_eq!(
                judge(&job(json!([])), &[pod], &[], after(100_000)),
                Outcome::Running
            );
        }
    }
}
