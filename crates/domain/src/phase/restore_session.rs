//! Phase of RestoreSession and of its components, and why it failed.

use std::collections::BTreeMap;

use kubestash_api::conditions::completion::METRICS_PUSHED;
use kubestash_api::conditions::invoker::VALIDATION_PASSED;
use kubestash_api::conditions::restore_session::{
    POST_RESTORE_HOOKS_EXECUTION_SUCCEEDED, PRE_RESTORE_HOOKS_EXECUTION_SUCCEEDED,
    RESTORE_EXECUTOR_ENSURED, RESTORE_INCOMPLETE,
};
use kubestash_api::core::{RestoreComponentStatus, RestorePhase, RestoreSessionStatus};

use super::{explanation, first_failure};
use crate::condition::{find, has, is_false, is_true};

/// Steps whose failure makes a restore fail once it is over.
const STEPS: [&str; 3] = [
    PRE_RESTORE_HOOKS_EXECUTION_SUCCEEDED.type_,
    POST_RESTORE_HOOKS_EXECUTION_SUCCEEDED.type_,
    RESTORE_EXECUTOR_ENSURED.type_,
];

/// Phase of a restore's components together.
///
/// Mended: with `total` unset, zero or less than the components that are there, the number of
/// components counts.
#[must_use]
pub fn restore_components(
    total: Option<i32>,
    components: &BTreeMap<String, RestoreComponentStatus>,
) -> RestorePhase {
    let count = |phase| {
        components
            .values()
            .filter(|component| component.phase == Some(phase))
            .count()
    };
    let succeeded = count(RestorePhase::Succeeded);
    let failed = count(RestorePhase::Failed);
    let unknown = count(RestorePhase::Unknown);
    let total = usize::try_from(total.unwrap_or_default())
        .unwrap_or_default()
        .max(components.len());
    if components.is_empty() {
        RestorePhase::Pending
    } else if succeeded == total {
        RestorePhase::Succeeded
    } else if failed > 0 {
        RestorePhase::Failed
    } else if succeeded + unknown == total {
        RestorePhase::Unknown
    } else {
        RestorePhase::Running
    }
}

/// Whether nothing more can come of a restore's components: all succeeded, or one failed.
#[must_use]
pub fn restore_components_completed(status: &RestoreSessionStatus) -> bool {
    matches!(
        restore_components(status.total_components, &status.components),
        RestorePhase::Succeeded | RestorePhase::Failed
    )
}

/// Phase of a RestoreSession. As with a backup, it becomes final when the last condition,
/// `MetricsPushed`, is there.
///
/// Mended: with `MetricsPushed` True and components that have not finished, the restore has failed.
#[must_use]
pub fn restore_session(status: &RestoreSessionStatus) -> RestorePhase {
    let conditions = &status.conditions;
    let over = is_true(conditions, METRICS_PUSHED.type_);
    if is_false(conditions, METRICS_PUSHED.type_) {
        return RestorePhase::Failed;
    }
    if is_false(conditions, VALIDATION_PASSED.type_) {
        return RestorePhase::Invalid;
    }
    if over && a_step_failed(status) {
        return RestorePhase::Failed;
    }
    match restore_components(status.total_components, &status.components) {
        RestorePhase::Pending | RestorePhase::Running if over => RestorePhase::Failed,
        RestorePhase::Pending => RestorePhase::Pending,
        components if has(conditions, METRICS_PUSHED.type_) => components,
        RestorePhase::Unknown => RestorePhase::Unknown,
        _ => RestorePhase::Running,
    }
}

fn a_step_failed(status: &RestoreSessionStatus) -> bool {
    STEPS.iter().any(|step| is_false(&status.conditions, step))
        || is_true(&status.conditions, RESTORE_INCOMPLETE.type_)
}

/// Whether a phase is final. `Unknown` is final too: nobody can find out any more.
#[must_use]
pub fn restore_session_completed(phase: RestorePhase) -> bool {
    use RestorePhase::{Failed, Invalid, Pending, Running, Succeeded, Unknown};
    match phase {
        Succeeded | Failed | Invalid | Unknown => true,
        Pending | Running => false,
    }
}

/// What went wrong first in a restore, for a person to read; nothing if nothing did.
///
/// Mended: a condition that does not hold counts also without a message, as does a restore that was
/// cut short, and components that never finished.
#[must_use]
pub fn restore_session_failure(status: &RestoreSessionStatus) -> Option<String> {
    let component = || {
        let mut failed = status
            .components
            .iter()
            .filter(|(_, part)| part.phase == Some(RestorePhase::Failed));
        failed.next().map(
            |(name, part)| match part.error.as_deref().unwrap_or_default() {
                "" => format!("component {name} failed"),
                error => error.to_owned(),
            },
        )
    };
    let incomplete = || {
        let conditions = &status.conditions;
        let incomplete = RESTORE_INCOMPLETE.type_;
        find(conditions, incomplete)
            .filter(|_| is_true(conditions, incomplete))
            .map(explanation)
    };
    let unfinished = || {
        let failed = restore_session(status) == RestorePhase::Failed;
        failed.then(|| "the restore ended before its components were finished".to_owned())
    };
    first_failure(&status.conditions)
        .or_else(component)
        .or_else(incomplete)
        .or_else(unfinished)
}

#[cfg(test)]
mod tests {
    use RestorePhase::{Failed, Invalid, Pending, Running, Succeeded};
    use kubestash_api::conditions::ConditionType;
    use kubestash_api::shared::ConditionStatus;

    use super::super::cases::{False, True, condition, conditions};
    use super::*;

    const UNKNOWN: RestorePhase = RestorePhase::Unknown;

    fn components(phases: &[RestorePhase]) -> BTreeMap<String, RestoreComponentStatus> {
        let component = |phase: &RestorePhase| RestoreComponentStatus {
            phase: Some(*phase),
            ..Default::default()
        };
        phases
            .iter()
            .enumerate()
            .map(|(index, phase)| (format!("dump-pod-{index}"), component(phase)))
            .collect()
    }

    fn status(
        entries: &[(ConditionType, ConditionStatus)],
        phases: &[RestorePhase],
    ) -> RestoreSessionStatus {
        RestoreSessionStatus {
            conditions: conditions(entries),
            components: components(phases),
            total_components: Some(i32::try_from(phases.len()).unwrap()),
            ..RestoreSessionStatus::default()
        }
    }

    #[test]
    fn components_follow_the_table() {
        for (total, phases, expected) in [
            (Some(1), &[][..], Pending),
            (Some(2), &[Succeeded, Succeeded], Succeeded),
            (Some(2), &[Succeeded, Failed], Failed),
            (Some(2), &[Failed, UNKNOWN], Failed),
            (Some(2), &[Succeeded, UNKNOWN], UNKNOWN),
            (Some(1), &[UNKNOWN], UNKNOWN),
            (Some(3), &[Failed, Running], Failed),
            (Some(3), &[Failed], Failed),
            (Some(2), &[Succeeded], Running),
            (Some(2), &[UNKNOWN, Running], Running),
            (Some(2), &[UNKNOWN], Running),
            // Mended rows.
            (Some(0), &[Running], Running),
            (None, &[Succeeded], Succeeded),
            (Some(1), &[Succeeded, Running], Running),
        ] {
            assert_eq!(
                restore_components(total, &components(phases)),
                expected,
                "{total:?} {phases:?}"
            );
            let status = RestoreSessionStatus {
                components: components(phases),
                total_components: total,
                ..RestoreSessionStatus::default()
            };
            assert_eq!(
                restore_components_completed(&status),
                matches!(expected, Succeeded | Failed),
                "{phases:?}"
            );
        }
    }

    #[test]
    fn a_restore_follows_the_table() {
        let pushed = METRICS_PUSHED;
        for (entries, phases, expected) in [
            // 1 and 2: the last step failed; invalid.
            (vec![(pushed, False)], &[Succeeded][..], Failed),
            (
                vec![(pushed, False), (VALIDATION_PASSED, False)],
                &[],
                Failed,
            ),
            (vec![(VALIDATION_PASSED, False)], &[], Invalid),
            (
                vec![(VALIDATION_PASSED, False), (pushed, True)],
                &[],
                Invalid,
            ),
            // 3: a step failed, and the restore is over.
            (
                vec![
                    (PRE_RESTORE_HOOKS_EXECUTION_SUCCEEDED, False),
                    (pushed, True),
                ],
                &[],
                Failed,
            ),
            (
                vec![
                    (POST_RESTORE_HOOKS_EXECUTION_SUCCEEDED, False),
                    (pushed, True),
                ],
                &[Succeeded],
                Failed,
            ),
            (
                vec![(RESTORE_EXECUTOR_ENSURED, False), (pushed, True)],
                &[],
                Failed,
            ),
            (
                vec![(RESTORE_INCOMPLETE, True), (pushed, True)],
                &[Succeeded],
                Failed,
            ),
            (vec![(RESTORE_EXECUTOR_ENSURED, False)], &[], Pending),
            (vec![(RESTORE_INCOMPLETE, True)], &[Running], Running),
            (
                vec![(RESTORE_INCOMPLETE, False), (pushed, True)],
                &[Succeeded],
                Succeeded,
            ),
            // 4: nothing has started, or the restore is over.
            (vec![(VALIDATION_PASSED, True)], &[], Pending),
            (vec![(pushed, True)], &[Succeeded], Succeeded),
            (vec![(pushed, True)], &[Failed, Running], Failed),
            (vec![(pushed, True)], &[UNKNOWN], UNKNOWN),
            (
                vec![(pushed, ConditionStatus::Unknown)],
                &[Running],
                Running,
            ),
            (vec![(pushed, ConditionStatus::Unknown)], &[], Pending),
            // 5 and 6: it will never be known; at work.
            (vec![], &[UNKNOWN], UNKNOWN),
            (vec![], &[Running], Running),
            (vec![], &[Succeeded], Running),
            (vec![], &[Failed], Running),
            // Mended: over, and yet not finished.
            (vec![(pushed, True)], &[], Failed),
            (vec![(pushed, True)], &[Running], Failed),
        ] {
            assert_eq!(
                restore_session(&status(&entries, phases)),
                expected,
                "{entries:?} {phases:?}"
            );
        }
    }

    #[test]
    fn the_message_names_the_first_thing_that_went_wrong() {
        let over = |phases: &[RestorePhase]| status(&[(METRICS_PUSHED, True)], phases);
        assert_eq!(restore_session_failure(&over(&[Succeeded])), None);
        let mut failed = over(&[Succeeded, Failed]);
        assert_eq!(
            restore_session_failure(&failed).as_deref(),
            Some("component dump-pod-1 failed")
        );
        failed.components.get_mut("dump-pod-1").unwrap().error = Some("wrong password".to_owned());
        assert_eq!(
            restore_session_failure(&failed).as_deref(),
            Some("wrong password")
        );
        failed.conditions.push(condition(STEPS[0], False, ""));
        assert_eq!(
            restore_session_failure(&failed).as_deref(),
            Some("PreRestoreHooksExecutionSucceeded is False")
        );
        failed.conditions.insert(
            0,
            condition(VALIDATION_PASSED.type_, False, "no such snapshot"),
        );
        assert_eq!(
            restore_session_failure(&failed).as_deref(),
            Some("no such snapshot")
        );
        let mut cut_short = over(&[Succeeded]);
        cut_short
            .conditions
            .push(condition(RESTORE_INCOMPLETE.type_, True, "the pod is gone"));
        assert_eq!(
            restore_session_failure(&cut_short).as_deref(),
            Some("the pod is gone")
        );
        assert_eq!(
            restore_session_failure(&over(&[])).as_deref(),
            Some("the restore ended before its components were finished")
        );
    }

    #[test]
    fn pending_and_running_are_not_final() {
        let open: Vec<_> = RestorePhase::ALL
            .iter()
            .filter(|phase| !restore_session_completed(**phase))
            .collect();
        assert_eq!(open, [&Pending, &Running]);
    }
}
