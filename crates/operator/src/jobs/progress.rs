//! What a session waits for while its Job starts and runs, as its condition `Ready` tells it: pure.
//!
//! The condition is Unknown meanwhile; how the session ended replaces it. What it said last about a
//! pod that did not start is kept as a part of the reason when the Job goes.

use jiff::Timestamp;
use kubestash_api::conditions::READY;
use kubestash_api::shared::{Condition, ConditionStatus};
use kubestash_domain::condition;

/// The condition's reason while the pod of the Job does not start.
pub(crate) const POD_NOT_STARTED: &str = "PodNotStarted";
/// Its reason while the Job runs, after that.
const RUNNING: &str = "Running";

/// How far a session's Job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress<'a> {
    /// Its pod has not started, for a reason that somebody has told.
    Starting(Option<&'a str>),
    /// It runs.
    Running,
}

/// Sets the condition. What runs as it should is only told where something else was told before.
pub(crate) fn tell(
    conditions: &mut Vec<Condition>,
    progress: Progress<'_>,
    generation: Option<i64>,
    now: Timestamp,
) {
    let (reason, message) = match progress {
        Progress::Starting(Some(why)) => (POD_NOT_STARTED, why),
        Progress::Starting(None) => return,
        Progress::Running => match told(conditions) {
            None => return,
            Some(_) => (RUNNING, "The Job is running."),
        },
    };
    let ready = condition::ready(ConditionStatus::Unknown, reason, message, generation, now);
    condition::set(conditions, ready);
}

/// Why the pod has not started, if the condition says so: worth an Event.
#[must_use]
pub(crate) fn trouble(conditions: &[Condition]) -> Option<&str> {
    told(conditions).map(|ready| ready.message.as_str())
}

/// `reason`, and behind it why the pod had not started, unless it had or that is what `reason`
/// says.
#[must_use]
pub(crate) fn with_obstacle(reason: String, conditions: &[Condition]) -> String {
    match told(conditions) {
        Some(ready) if !reason.contains(&ready.message) => format!("{reason}; {}", ready.message),
        _ => reason,
    }
}

fn told(conditions: &[Condition]) -> Option<&Condition> {
    condition::find(conditions, READY)
        .filter(|ready| ready.status == ConditionStatus::Unknown && ready.reason == POD_NOT_STARTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: &str = "pod p cannot start: FailedMount: no disk";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_reason_is_told_until_the_job_runs_and_goes_with_the_reason_of_its_end() {
        let mut conditions = Vec::new();
        tell(&mut conditions, Progress::Starting(None), None, at(1));
        tell(&mut conditions, Progress::Running, None, at(1));
        assert!(conditions.is_empty(), "what goes well needs no condition");

        tell(&mut conditions, Progress::Starting(Some(WHY)), None, at(2));
        assert_eq!(trouble(&conditions), Some(WHY));
        // Nobody says it any more, and nothing has started either.
        tell(&mut conditions, Progress::Starting(None), None, at(3));
        assert_eq!(trouble(&conditions), Some(WHY));
        let gone = with_obstacle("the backup Job no longer exists".to_owned(), &conditions);
        assert_eq!(gone, format!("the backup Job no longer exists; {WHY}"));
        let stuck = format!("{WHY} (waited 300 s)");
        assert_eq!(with_obstacle(stuck.clone(), &conditions), stuck);

        tell(&mut conditions, Progress::Running, None, at(4));
        assert_eq!(trouble(&conditions), None);
        assert_eq!(conditions[0].reason, "Running");
        assert_eq!(with_obstacle("x".to_owned(), &conditions), "x");
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn saying_the_same_again_changes_nothing() {
        let mut conditions = Vec::new();
        tell(&mut conditions, Progress::Starting(Some(WHY)), None, at(1));
        let before = conditions.clone();
        tell(&mut conditions, Progress::Starting(Some(WHY)), None, at(9));
        assert_eq!(conditions, before);
    }
}
