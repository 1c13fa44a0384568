//! How a Job stands, read from the Job and its pods: pure.
//!
//! Invariant: a Job whose pod cannot start does not stay "running" for ever; after [`STARTING_LIMIT`] it counts as
//! stuck, with the reason the node or the scheduler gives.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStatus, Pod},
};

/// How long a pod may take until its first container runs: time for a node to be added and an image to be pulled.
pub const STARTING_LIMIT: Duration = Duration::from_secs(300);

/// States of a container that no waiting mends.
const HOPELESS: [&str; 2] = ["InvalidImageName", "ErrImageNeverPull"];

/// How much of a container's last line of output is told.
const LAST_WORDS: usize = 256;

/// How a Job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It runs, or will; if its pod has not started, look again after this time.
    Running(Option<Duration>),
    /// Every container ended with success.
    Succeeded,
    /// It has finally failed, for this reason.
    Failed(String),
    /// Its pod cannot start, for this reason; nothing will happen any more.
    Stuck(String),
}

/// Judges a Job by its own conditions and its pods.
#[must_use]
pub fn judge(job: &Job, pods: &[Pod], now: Timestamp) -> Outcome {
    if let Some(outcome) = finished(job, pods) {
        return outcome;
    }
    let Some(pod) = latest(pods) else {
        return starting(
            since(
                job.metadata.creation_timestamp.as_ref().map(|time| time.0),
                now,
            ),
            || "no pod was created for the Job; see its Events (kubectl describe job)".to_owned(),
        );
    };
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending");
    if phase != "Pending" || has_started(pod) {
        return Outcome::Running(None);
    }
    let obstacle = obstacle(pod);
    if let Some((reason, message)) = &obstacle
        && HOPELESS.contains(&reason.as_str())
    {
        return Outcome::Stuck(sentence(pod, reason, message));
    }
    starting(
        since(
            pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            now,
        ),
        || match &obstacle {
            Some((reason, message)) => sentence(pod, reason, message),
            None => format!("pod {} has not started", name(pod)),
        },
    )
}

fn since(start: Option<Timestamp>, now: Timestamp) -> Duration {
    start
        .and_then(|start| Duration::try_from(now.duration_since(start)).ok())
        .unwrap_or_default()
}

fn starting(waited: Duration, reason: impl FnOnce() -> String) -> Outcome {
    match STARTING_LIMIT.checked_sub(waited) {
        Some(left) if !left.is_zero() => Outcome::Running(Some(left)),
        _ => Outcome::Stuck(format!(
            "{} (waited {} s)",
            reason(),
            STARTING_LIMIT.as_secs()
        )),
    }
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
    statuses(pod).any(|container| {
        container
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    })
}

/// Why a pod does not start: reason and message of its first waiting container, else of the scheduler.
fn obstacle(pod: &Pod) -> Option<(String, String)> {
    let waiting = statuses(pod).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.clone()?;
        // These two are no obstacle, they only say that it has not come that far.
        (reason != "PodInitializing" && reason != "ContainerCreating")
            .then(|| (reason, waiting.message.clone().unwrap_or_default()))
    });
    waiting.or_else(|| {
        let conditions = pod.status.as_ref()?.conditions.as_deref()?;
        let unscheduled = conditions
            .iter()
            .find(|found| found.type_ == "PodScheduled" && found.status == "False")?;
        let reason = unscheduled
            .reason
            .clone()
            .unwrap_or_else(|| "Unschedulable".to_owned());
        Some((reason, unscheduled.message.clone().unwrap_or_default()))
    })
}

fn sentence(pod: &Pod, reason: &str, message: &str) -> String {
    if message.is_empty() {
        format!("pod {} cannot start: {reason}", name(pod))
    } else {
        format!("pod {} cannot start: {reason}: {message}", name(pod))
    }
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
            assert_eq!(judge(&job(conditions), &pods, after(5)), expected);
        }
    }

    #[test]
    fn a_pod_that_cannot_start_is_given_a_bounded_time() {
        let unscheduled = pod(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]}));
        let cases = [
            (
                waiting("ErrImagePull", "not found"),
                "pod p cannot start: ErrImagePull: not found (waited 300 s)",
            ),
            (
                waiting("CreateContainerConfigError", "secret \"x\" not found"),
                "pod p cannot start: CreateContainerConfigError: secret \"x\" not found (waited 300 s)",
            ),
            (
                waiting("ContainerCreating", ""),
                "pod p has not started (waited 300 s)",
            ),
            (
                unscheduled,
                "pod p cannot start: Unschedulable: 0/3 nodes are available (waited 300 s)",
            ),
        ];
        for (pod, reason) in cases {
            let pods = [pod];
            let early = judge(&job(json!([])), &pods, after(10));
            assert_eq!(early, Outcome::Running(Some(Duration::from_secs(290))));
            let late = judge(&job(json!([])), &pods, after(300));
            assert_eq!(late, Outcome::Stuck(reason.to_owned()));
        }
        let no_pod = judge(&job(json!([])), &[], after(301));
        assert!(
            matches!(no_pod, Outcome::Stuck(reason) if reason.starts_with("no pod was created"))
        );
    }

    #[test]
    fn an_image_name_that_can_never_work_is_not_waited_for() {
        let pods = [waiting("InvalidImageName", "bad")];
        let outcome = judge(&job(json!([])), &pods, after(0));
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
                judge(&job(json!([])), &[pod], after(100_000)),
                Outcome::Running(None)
            );
        }
    }
}
