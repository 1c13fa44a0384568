//! What to do next about a Job: a pure function of the Job, its pods and the time.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::count::{Count, count};
use super::pods::{finished_at, is_active, phase};
use crate::events::Kind;

/// `backoffLimit` when it is unset.
const DEFAULT_BACKOFF_LIMIT: i32 = 6;
/// The wait after the first failure; doubled with each further one.
const FIRST_BACKOFF_SECONDS: i64 = 10;
/// The longest wait.
const MAX_BACKOFF_SECONDS: i64 = 600;

/// What to do. Pods first, then the status.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// How many pods to make.
    pub(crate) create: usize,
    /// Names of pods to delete.
    pub(crate) delete: Vec<String>,
    /// The new status, if it differs.
    pub(crate) status: Option<JobStatus>,
    /// The Job has outlived its `ttlSecondsAfterFinished`.
    pub(crate) remove_job: bool,
    /// When to look again although nothing happens.
    pub(crate) wake_at: Option<Timestamp>,
    /// What to tell.
    pub(crate) events: Vec<(Kind, &'static str, String)>,
}

/// Decides.
pub(crate) fn decide(job: &Job, pods: &[Pod], now: Timestamp) -> Plan {
    let Some(spec) = &job.spec else {
        return Plan::default();
    };
    let elsewhere = spec
        .managed_by
        .as_deref()
        .is_some_and(|who| who != "kubernetes.io/job-controller");
    if job.metadata.deletion_timestamp.is_some() || elsewhere {
        return Plan::default();
    }
    let before = job.status.clone().unwrap_or_default();
    if let Some(finished) = finish_time(&before) {
        return expire(spec, finished, now);
    }
    let mut decision = Decision {
        spec,
        pods,
        now,
        count: count(spec, &before, pods),
        status: before.clone(),
        plan: Plan::default(),
    };
    decision.run();
    let Decision {
        mut plan, status, ..
    } = decision;
    if status != before {
        plan.status = Some(status);
    }
    plan
}

/// When the Job finished, if it has.
fn finish_time(status: &JobStatus) -> Option<Timestamp> {
    let finished = |condition: &&JobCondition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    };
    let condition = status.conditions.iter().flatten().find(finished)?;
    Some(
        condition
            .last_transition_time
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
    )
}

fn expire(spec: &JobSpec, finished: Timestamp, now: Timestamp) -> Plan {
    let Some(ttl) = spec.ttl_seconds_after_finished else {
        return Plan::default();
    };
    let at = finished + SignedDuration::from_secs(i64::from(ttl));
    if at <= now {
        Plan {
            remove_job: true,
            ..Plan::default()
        }
    } else {
        Plan {
            wake_at: Some(at),
            ..Plan::default()
        }
    }
}

struct Decision<'a> {
    spec: &'a JobSpec,
    pods: &'a [Pod],
    now: Timestamp,
    count: Count,
    status: JobStatus,
    plan: Plan,
}

impl Decision<'_> {
    fn run(&mut self) {
        if self.suspended() {
            return self.write_counts();
        }
        if self.status.start_time.is_none() {
            self.status.start_time = Some(Time(self.now));
        }
        if self.condition("FailureTarget").is_none()
            && self.condition("SuccessCriteriaMet").is_none()
        {
            if let Some((reason, message)) = self.failure() {
                self.set_condition("FailureTarget", true, reason, &message);
            } else if self.is_successful() {
                let message = "Reached expected number of succeeded pods";
                self.set_condition("SuccessCriteriaMet", true, "CompletionsReached", message);
            }
        }
        match (
            self.condition("FailureTarget"),
            self.condition("SuccessCriteriaMet"),
        ) {
            (Some(why), _) => self.end("Failed", &why),
            (None, Some(why)) => self.end("Complete", &why),
            (None, None) => self.keep_running(),
        }
        self.write_counts();
    }

    /// Whether the Job is to rest; notes changes of that.
    fn suspended(&mut self) -> bool {
        let wanted = self.spec.suspend == Some(true);
        let current = self.condition("Suspended").is_some();
        if wanted {
            if !current {
                self.set_condition("Suspended", true, "JobSuspended", "Job suspended");
                self.tell(Kind::Normal, "Suspended", "Job suspended".to_owned());
            }
            self.status.start_time = None;
            self.delete_active();
            // What ends now ends on our order.
            self.count.terminating = 0;
        } else if current {
            self.set_condition("Suspended", false, "JobResumed", "Job resumed");
            self.tell(Kind::Normal, "Resumed", "Job resumed".to_owned());
            self.status.start_time = Some(Time(self.now));
        }
        wanted
    }

    /// Why the Job has to fail, if it has.
    fn failure(&self) -> Option<(&'static str, String)> {
        if self.spec.completion_mode.as_deref() == Some("Indexed") {
            let message = "completionMode Indexed is not supported by this node: use NonIndexed";
            return Some(("UnsupportedCompletionMode", message.to_owned()));
        }
        if let Some(message) = &self.count.fatal {
            return Some(("PodFailurePolicy", message.clone()));
        }
        let limit = self.spec.backoff_limit.unwrap_or(DEFAULT_BACKOFF_LIMIT);
        if self.count.failed > limit || self.restarted_too_often(limit) {
            return Some((
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit".to_owned(),
            ));
        }
        if self.deadline().is_some_and(|deadline| deadline <= self.now) {
            return Some((
                "DeadlineExceeded",
                "Job was active longer than specified deadline".to_owned(),
            ));
        }
        None
    }

    /// With `OnFailure` it is the containers that are started again, and their restarts that count.
    fn restarted_too_often(&self, limit: i32) -> bool {
        let template = self.spec.template.spec.as_ref();
        if template.and_then(|spec| spec.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let active = self.pods.iter().filter(|pod| is_active(pod));
        let restarts: i32 = active
            .flat_map(super::pods::containers)
            .map(|container| container.restart_count)
            .sum();
        if limit == 0 {
            restarts > 0
        } else {
            restarts >= limit
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.spec.active_deadline_seconds?;
        Some(self.status.start_time.as_ref()?.0 + SignedDuration::from_secs(seconds))
    }

    fn is_successful(&self) -> bool {
        match self.spec.completions {
            Some(completions) => self.count.succeeded >= completions,
            // A work queue: one success means that it is empty, and the others may finish.
            None => {
                self.count.succeeded > 0 && self.count.active == 0 && self.count.terminating == 0
            }
        }
    }

    /// Ends what still runs; once nothing does, the Job is finished.
    fn end(&mut self, condition: &'static str, why: &JobCondition) {
        self.delete_active();
        if self.count.terminating > 0 {
            return;
        }
        let (reason, message) = (
            why.reason.clone().unwrap_or_default(),
            why.message.clone().unwrap_or_default(),
        );
        self.set_condition(condition, true, &reason, &message);
        if condition == "Complete" {
            self.status.completion_time = Some(Time(self.now));
            self.tell(Kind::Normal, "Completed", "Job completed".to_owned());
        } else {
            self.plan
                .events
                .push((Kind::Warning, event_reason(&reason), message));
        }
        if let Some(ttl) = self.spec.ttl_seconds_after_finished {
            self.plan.wake_at = Some(self.now + SignedDuration::from_secs(i64::from(ttl)));
        }
    }

    fn keep_running(&mut self) {
        self.plan.wake_at = self.deadline();
        let parallelism = self.spec.parallelism.unwrap_or(1);
        let wanted = match self.spec.completions {
            Some(completions) => parallelism.min(completions - self.count.succeeded),
            None if self.count.succeeded > 0 => self.count.active,
            None => parallelism,
        };
        if self.count.active > wanted {
            self.delete(usize::try_from(self.count.active - wanted).unwrap_or_default());
            return;
        }
        let missing = wanted - self.count.active - self.count.terminating;
        if missing <= 0 {
            return;
        }
        match self.retry_at().filter(|at| *at > self.now) {
            Some(at) => {
                self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |deadline| deadline.min(at)))
            }
            None => {
                self.plan.create = usize::try_from(missing).unwrap_or_default();
                self.count.active += missing;
            }
        }
    }

    /// When a pod may follow the last failed one.
    fn retry_at(&self) -> Option<Timestamp> {
        let ended = |wanted: &'static str| {
            self.pods
                .iter()
                .filter(move |pod| phase(pod) == wanted)
                .filter_map(finished_at)
        };
        let last_failure = ended("Failed").max()?;
        let last_success = ended("Succeeded").max();
        let failures = ended("Failed")
            .filter(|at| last_success.is_none_or(|success| *at > success))
            .count();
        let failures = u32::try_from(failures).unwrap_or(u32::MAX);
        let doubled = 1_i64
            .checked_shl(failures.checked_sub(1)?)
            .filter(|factor| *factor > 0);
        let seconds = doubled.map_or(MAX_BACKOFF_SECONDS, |factor| {
            FIRST_BACKOFF_SECONDS.saturating_mul(factor)
        });
        Some(last_failure + SignedDuration::from_secs(seconds.min(MAX_BACKOFF_SECONDS)))
    }

    fn delete_active(&mut self) {
        self.delete(usize::MAX);
    }

    /// Deletes so many active pods, the least advanced first.
    fn delete(&mut self, number: usize) {
        let mut active: Vec<&Pod> = self.pods.iter().filter(|pod| is_active(pod)).collect();
        active.sort_by_key(|pod| phase(pod) == "Running");
        self.plan.delete = active
            .into_iter()
            .take(number)
            .map(ResourceExt::name_any)
            .collect();
        let deleted = i32::try_from(self.plan.delete.len()).unwrap_or(i32::MAX);
        self.count.active -= deleted;
        self.count.terminating += deleted;
        self.count.ready = self.count.ready.min(self.count.active);
    }

    fn write_counts(&mut self) {
        let positive = |number: i32| (number > 0).then_some(number);
        self.status.active = positive(self.count.active);
        self.status.ready = Some(self.count.ready);
        self.status.succeeded = positive(self.count.succeeded);
        self.status.failed = positive(self.count.failed);
        self.status.terminating = Some(self.count.terminating);
    }

    fn condition(&self, kind: &str) -> Option<JobCondition> {
        let holds =
            |condition: &&JobCondition| condition.type_ == kind && condition.status == "True";
        self.status.conditions.iter().flatten().find(holds).cloned()
    }

    fn set_condition(&mut self, kind: &str, value: bool, reason: &str, message: &str) {
        let conditions = self.status.conditions.get_or_insert_default();
        conditions.retain(|condition| condition.type_ != kind);
        conditions.push(JobCondition {
            type_: kind.to_owned(),
            status: if value { "True" } else { "False" }.to_owned(),
            last_probe_time: Some(Time(self.now)),
            last_transition_time: Some(Time(self.now)),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
        });
    }

    fn tell(&mut self, kind: Kind, reason: &'static str, message: String) {
        self.plan.events.push((kind, reason, message));
    }
}

/// The reasons for failing are constants; one that was read back is found among them.
fn event_reason(reason: &str) -> &'static str {
    const REASONS: [&str; 4] = [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "PodFailurePolicy",
        "UnsupportedCompletionMode",
    ];
    REASONS
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("JobFailed")
}

#[cfg(test)]
mod tests;
