//! What has become of a Job's pods so far.
//!
//! A pod may be deleted at any time, also before its end was seen. What was active in the last
//! status and is neither active nor listed as ended now has been lost, and counts as failed; so
//! nothing that was started is forgotten.

use k8s_openapi::api::batch::v1::{JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::failure_policy::{Verdict, judge};
use super::pods::{is_active, is_ready, is_terminating, phase};

/// Counts of pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) active: i32,
    pub(crate) ready: i32,
    pub(crate) terminating: i32,
    /// Ever succeeded.
    pub(crate) succeeded: i32,
    /// Ever failed, those that the failure policy ignores left out.
    pub(crate) failed: i32,
    /// Why the failure policy fails the Job, if it does.
    pub(crate) fatal: Option<String>,
}

/// Counts pods in the light of the last status.
pub(crate) fn count(spec: &JobSpec, status: &JobStatus, pods: &[Pod]) -> Count {
    let number = |test: &dyn Fn(&Pod) -> bool| {
        i32::try_from(pods.iter().filter(|pod| test(pod)).count()).unwrap_or(i32::MAX)
    };
    let (active, terminating) = (number(&is_active), number(&is_terminating));
    let succeeded = number(&|pod| phase(pod) == "Succeeded");
    let (mut failed, mut ignored, mut fatal) = (0, 0, None);
    for pod in pods.iter().filter(|pod| phase(pod) == "Failed") {
        match judge(spec.pod_failure_policy.as_ref(), pod) {
            Verdict::Count => failed += 1,
            Verdict::Ignore => ignored += 1,
            Verdict::FailJob(reason) => {
                failed += 1;
                fatal.get_or_insert(reason);
            }
        }
    }
    let known_succeeded = status.succeeded.unwrap_or(0);
    let known_failed = status.failed.unwrap_or(0);
    let was_alive = status.active.unwrap_or(0) + status.terminating.unwrap_or(0);
    let newly_ended = (succeeded + failed + ignored - known_succeeded - known_failed).max(0);
    // A suspended Job ends its pods itself; they do not count against it.
    let suspended = spec.suspend == Some(true);
    let lost = if suspended {
        0
    } else {
        (was_alive - active - terminating - newly_ended).max(0)
    };
    Count {
        active,
        ready: number(&|pod| is_active(pod) && is_ready(pod)),
        terminating,
        succeeded: known_succeeded.max(succeeded),
        failed: known_failed.max(failed) + lost,
        fatal,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods(phases: &str) -> Vec<Pod> {
        let pod = |letter: char| {
            let mut value = json!({"metadata": {"name": "p"}, "status": {"phase": match letter {
                'S' => "Succeeded", 'F' => "Failed", 'P' => "Pending", _ => "Running" }}});
            if letter == 't' {
                value["metadata"]["deletionTimestamp"] = "2024-09-19T10:30:46Z".into();
            }
            serde_json::from_value(value).unwrap()
        };
        phases.chars().map(pod).collect()
    }

    #[test]
    fn nothing_that_was_started_is_forgotten_and_nothing_counted_twice() {
        // Last status (active, terminating, succeeded, failed), pods now, counts now in the same
        // order.
        for (before, now, expected) in [
            ((0, 0, 0, 0), "", (0, 0, 0, 0)),
            ((1, 0, 0, 0), "P", (1, 0, 0, 0)),
            ((1, 0, 0, 0), "R", (1, 0, 0, 0)),
            ((1, 0, 0, 0), "S", (0, 0, 1, 0)),
            ((1, 0, 0, 0), "F", (0, 0, 0, 1)),
            ((0, 0, 0, 1), "F", (0, 0, 0, 1)),
            // Deleted while it ran: first terminating, then gone without a trace, or seen as
            // failed in between.
            ((1, 0, 0, 0), "t", (0, 1, 0, 0)),
            ((0, 1, 0, 0), "", (0, 0, 0, 1)),
            ((1, 0, 0, 0), "", (0, 0, 0, 1)),
            ((0, 1, 0, 0), "F", (0, 0, 0, 1)),
            // The second attempt runs; somebody removes the failed first one.
            ((1, 0, 0, 1), "R", (1, 0, 0, 1)),
            // The same, and the second one fails in that moment.
            ((1, 0, 0, 1), "F", (0, 0, 0, 2)),
            ((1, 0, 0, 1), "FF", (0, 0, 0, 2)),
            ((2, 0, 1, 0), "RSS", (1, 0, 2, 0)),
            // A pod was made but the status not written any more.
            ((0, 0, 0, 0), "R", (1, 0, 0, 0)),
            ((0, 0, 0, 0), "F", (0, 0, 0, 1)),
        ] {
            let status = JobStatus {
                active: Some(before.0),
                terminating: Some(before.1),
                succeeded: Some(before.2),
                failed: Some(before.3),
                ..JobStatus::default()
            };
            let count = count(&JobSpec::default(), &status, &pods(now));
            assert_eq!(
                (
                    count.active,
                    count.terminating,
                    count.succeeded,
                    count.failed
                ),
                expected,
                "{before:?} {now:?}"
            );
        }
    }

    #[test]
    fn pods_that_a_suspended_job_has_ended_do_not_count() {
        let status = JobStatus {
            active: Some(1),
            ..JobStatus::default()
        };
        let spec = JobSpec {
            suspend: Some(true),
            ..JobSpec::default()
        };
        assert_eq!(count(&spec, &status, &[]).failed, 0);
    }
}
