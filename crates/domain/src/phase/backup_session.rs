//! Phase of BackupSession, and why it failed.

use kubestash_api::conditions::backup_session::{
    BACKUP_EXECUTOR_ENSURED, BACKUP_SKIPPED, POST_BACKUP_HOOKS_EXECUTION_SUCCEEDED,
    PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED, SESSION_HISTORY_CLEANED, SNAPSHOT_CLEANUP_INCOMPLETE,
    SNAPSHOTS_ENSURED,
};
use kubestash_api::conditions::completion::METRICS_PUSHED;
use kubestash_api::core::{
    BackupSessionPhase, BackupSessionStatus, RetentionPolicyApplyPhase, SessionSnapshotStatus,
};
use kubestash_api::storage::SnapshotPhase;

use super::{explanation, first_failure};
use crate::condition::{find, has, is_false, is_true};

/// Steps whose failure makes a session fail once it is over.
const STEPS: [&str; 5] = [
    BACKUP_EXECUTOR_ENSURED.type_,
    SNAPSHOTS_ENSURED.type_,
    PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED.type_,
    POST_BACKUP_HOOKS_EXECUTION_SUCCEEDED.type_,
    SESSION_HISTORY_CLEANED.type_,
];

/// Phase of a session's snapshots together. A snapshot without a phase is pending.
#[must_use]
pub fn session_snapshots(snapshots: &[SessionSnapshotStatus]) -> SnapshotPhase {
    let count = |phase| {
        snapshots
            .iter()
            .filter(|snapshot| snapshot.phase.unwrap_or(SnapshotPhase::Pending) == phase)
            .count()
    };
    let failed = count(SnapshotPhase::Failed);
    if count(SnapshotPhase::Pending) == snapshots.len() {
        SnapshotPhase::Pending
    } else if count(SnapshotPhase::Succeeded) + failed != snapshots.len() {
        SnapshotPhase::Running
    } else if failed > 0 {
        SnapshotPhase::Failed
    } else {
        SnapshotPhase::Succeeded
    }
}

/// Phase of a BackupSession.
///
/// A step that failed does not end the session: what has to be done afterwards is done, and the
/// phase becomes final when the last condition, `MetricsPushed`, is there.
///
/// Mended: with `MetricsPushed` True and snapshots that have not finished, the session has failed.
/// Nobody works on it any more, so it would be pending or running for ever.
#[must_use]
pub fn backup_session(status: &BackupSessionStatus) -> BackupSessionPhase {
    let conditions = &status.conditions;
    let over = is_true(conditions, METRICS_PUSHED.type_);
    if is_false(conditions, METRICS_PUSHED.type_) {
        return BackupSessionPhase::Failed;
    }
    if is_true(conditions, BACKUP_SKIPPED.type_) {
        return BackupSessionPhase::Skipped;
    }
    if over && a_step_failed(status) {
        return BackupSessionPhase::Failed;
    }
    let snapshots = session_snapshots(&status.snapshots);
    if snapshots != SnapshotPhase::Pending && !has(conditions, METRICS_PUSHED.type_) {
        return BackupSessionPhase::Running;
    }
    match snapshots {
        SnapshotPhase::Succeeded => BackupSessionPhase::Succeeded,
        SnapshotPhase::Failed => BackupSessionPhase::Failed,
        SnapshotPhase::Pending | SnapshotPhase::Running if over => BackupSessionPhase::Failed,
        SnapshotPhase::Pending => BackupSessionPhase::Pending,
        SnapshotPhase::Running => BackupSessionPhase::Running,
    }
}

fn a_step_failed(status: &BackupSessionStatus) -> bool {
    STEPS.iter().any(|step| is_false(&status.conditions, step))
        || is_true(&status.conditions, SNAPSHOT_CLEANUP_INCOMPLETE.type_)
        || retention_failures(status).next().is_some()
}

/// The repositories that the retention policy could not be applied to, with the error.
fn retention_failures(status: &BackupSessionStatus) -> impl Iterator<Item = (&str, &str)> {
    let failed = |phase| phase == Some(RetentionPolicyApplyPhase::FailedToApply);
    let failures = status
        .retention_policy
        .iter()
        .filter(move |policy| failed(policy.phase));
    failures.map(|policy| {
        (
            policy.repository.as_str(),
            policy.error.as_deref().unwrap_or_default(),
        )
    })
}

/// Whether a phase is final.
#[must_use]
pub fn backup_session_completed(phase: BackupSessionPhase) -> bool {
    use BackupSessionPhase::{Failed, Pending, Running, Skipped, Succeeded};
    match phase {
        Succeeded | Failed | Skipped => true,
        Pending | Running => false,
    }
}

/// What went wrong first in a session, for a person to read; nothing if nothing did.
///
/// Mended: a condition that does not hold counts also without a message, as does a clean-up of
/// snapshots that was cut short, and snapshots that never finished. One whose being false is good
/// news does not count.
#[must_use]
pub fn backup_session_failure(status: &BackupSessionStatus) -> Option<String> {
    let named = |phase| {
        let snapshots = status
            .snapshots
            .iter()
            .filter(move |snapshot| snapshot.phase == Some(phase));
        snapshots
            .map(|snapshot| snapshot.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let cleanup = || {
        let conditions = &status.conditions;
        let incomplete = SNAPSHOT_CLEANUP_INCOMPLETE.type_;
        find(conditions, incomplete)
            .filter(|_| is_true(conditions, incomplete))
            .map(explanation)
    };
    let failed = || Some(named(SnapshotPhase::Failed)).filter(|names| !names.is_empty());
    let retention = || {
        retention_failures(status)
            .next()
            .map(|(repository, error)| match error {
                "" => {
                    format!("the retention policy could not be applied to repository {repository}")
                }
                error => format!(
                    "the retention policy could not be applied to repository {repository}: {error}"
                ),
            })
    };
    let unfinished = || {
        let failed = backup_session(status) == BackupSessionPhase::Failed;
        failed.then(|| "the session ended before its snapshots were finished".to_owned())
    };
    first_failure(&status.conditions)
        .or_else(|| failed().map(|names| format!("snapshots failed: {names}")))
        .or_else(retention)
        .or_else(cleanup)
        .or_else(unfinished)
}

#[cfg(test)]
mod tests {
    use kubestash_api::conditions::ConditionType;
    use kubestash_api::conditions::backup_session::{
        POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED as POD_PENDING,
        RETENTION_POLICY_EXECUTOR_ENSURED as RETENTION,
    };
    use kubestash_api::core::RetentionPolicyApplyStatus;
    use kubestash_api::shared::ConditionStatus;

    use super::super::cases::{False, True, Unknown, condition, conditions};
    use super::*;

    fn snapshots(phases: &[SnapshotPhase]) -> Vec<SessionSnapshotStatus> {
        let snapshot = |(index, phase): (usize, &SnapshotPhase)| SessionSnapshotStatus {
            name: format!("snapshot-{index}"),
            phase: Some(*phase),
            ..SessionSnapshotStatus::default()
        };
        phases.iter().enumerate().map(snapshot).collect()
    }

    fn status(
        entries: &[(ConditionType, ConditionStatus)],
        phases: &[SnapshotPhase],
    ) -> BackupSessionStatus {
        BackupSessionStatus {
            conditions: conditions(entries),
            snapshots: snapshots(phases),
            ..BackupSessionStatus::default()
        }
    }

    fn retention(phase: RetentionPolicyApplyPhase, error: &str) -> Vec<RetentionPolicyApplyStatus> {
        vec![RetentionPolicyApplyStatus {
            phase: Some(phase),
            error: Some(error.to_owned()),
            repository: "default-blueprint".to_owned(),
            ref_: None,
        }]
    }

    #[test]
    fn snapshots_together_follow_the_table() {
        use SnapshotPhase::{Failed, Pending, Running, Succeeded};
        for (phases, expected) in [
            (&[][..], Pending),
            (&[Pending, Pending], Pending),
            (&[Pending, Running], Running),
            (&[Pending, Succeeded], Running),
            (&[Running, Failed], Running),
            (&[Succeeded, Failed], Failed),
            (&[Failed], Failed),
            (&[Succeeded, Succeeded], Succeeded),
        ] {
            assert_eq!(
                session_snapshots(&snapshots(phases)),
                expected,
                "{phases:?}"
            );
        }
        assert_eq!(
            session_snapshots(&[SessionSnapshotStatus::default()]),
            Pending
        );
    }

    #[test]
    fn a_session_follows_the_table() {
        use BackupSessionPhase as Phase;
        use SnapshotPhase::{Failed, Pending, Running, Succeeded};
        let pushed = METRICS_PUSHED;
        for (entries, phases, expected) in [
            // 1 and 2: the last step failed; skipped.
            (vec![(pushed, False)], &[Succeeded][..], Phase::Failed),
            (
                vec![(pushed, False), (BACKUP_SKIPPED, True)],
                &[],
                Phase::Failed,
            ),
            (vec![(BACKUP_SKIPPED, True)], &[], Phase::Skipped),
            (
                vec![(BACKUP_SKIPPED, True), (pushed, True)],
                &[],
                Phase::Skipped,
            ),
            (vec![(BACKUP_SKIPPED, False)], &[], Phase::Pending),
            // 3: a step failed, and the session is over.
            (
                vec![(BACKUP_EXECUTOR_ENSURED, False), (pushed, True)],
                &[Succeeded],
                Phase::Failed,
            ),
            (
                vec![(SNAPSHOTS_ENSURED, False), (pushed, True)],
                &[],
                Phase::Failed,
            ),
            (
                vec![
                    (PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED, False),
                    (pushed, True),
                ],
                &[Pending],
                Phase::Failed,
            ),
            (
                vec![
                    (POST_BACKUP_HOOKS_EXECUTION_SUCCEEDED, False),
                    (pushed, True),
                ],
                &[Succeeded],
                Phase::Failed,
            ),
            (
                vec![(SESSION_HISTORY_CLEANED, False), (pushed, True)],
                &[Succeeded],
                Phase::Failed,
            ),
            (
                vec![(SNAPSHOT_CLEANUP_INCOMPLETE, True), (pushed, True)],
                &[Succeeded],
                Phase::Failed,
            ),
            // A step failed, and the session goes on.
            (
                vec![(PRE_BACKUP_HOOKS_EXECUTION_SUCCEEDED, False)],
                &[Pending],
                Phase::Pending,
            ),
            (
                vec![(BACKUP_EXECUTOR_ENSURED, False)],
                &[Succeeded],
                Phase::Running,
            ),
            // Conditions that the phase does not depend on.
            (
                vec![(RETENTION, False), (pushed, True)],
                &[Succeeded],
                Phase::Succeeded,
            ),
            (
                vec![(POD_PENDING, True), (pushed, True)],
                &[Succeeded],
                Phase::Succeeded,
            ),
            (
                vec![(SNAPSHOT_CLEANUP_INCOMPLETE, False), (pushed, True)],
                &[Succeeded],
                Phase::Succeeded,
            ),
            // 4: nothing has started, or the session is over.
            (vec![], &[], Phase::Pending),
            (
                vec![(SNAPSHOTS_ENSURED, True)],
                &[Pending, Pending],
                Phase::Pending,
            ),
            (
                vec![(pushed, True)],
                &[Succeeded, Succeeded],
                Phase::Succeeded,
            ),
            (vec![(pushed, True)], &[Succeeded, Failed], Phase::Failed),
            (vec![(pushed, Unknown)], &[Succeeded], Phase::Succeeded),
            (vec![(pushed, Unknown)], &[Running], Phase::Running),
            (vec![(pushed, Unknown)], &[], Phase::Pending),
            // 5: at work.
            (vec![], &[Running], Phase::Running),
            (vec![], &[Succeeded], Phase::Running),
            (vec![], &[Failed], Phase::Running),
            // Mended: over, and yet not finished.
            (vec![(pushed, True)], &[], Phase::Failed),
            (vec![(pushed, True)], &[Running], Phase::Failed),
        ] {
            assert_eq!(
                backup_session(&status(&entries, phases)),
                expected,
                "{entries:?} {phases:?}"
            );
        }
    }

    #[test]
    fn a_retention_policy_that_could_not_be_applied_fails_the_session_once_it_is_over() {
        use RetentionPolicyApplyPhase::{Applied, FailedToApply, Pending};
        for (over, phase, expected) in [
            (true, FailedToApply, BackupSessionPhase::Failed),
            (true, Applied, BackupSessionPhase::Succeeded),
            (true, Pending, BackupSessionPhase::Succeeded),
            (false, FailedToApply, BackupSessionPhase::Running),
        ] {
            let entries = if over {
                vec![(METRICS_PUSHED, True)]
            } else {
                vec![]
            };
            let mut status = status(&entries, &[SnapshotPhase::Succeeded]);
            status.retention_policy = retention(phase, "");
            assert_eq!(backup_session(&status), expected, "{over} {phase}");
        }
    }

    #[test]
    fn the_message_names_the_first_thing_that_went_wrong() {
        let message = |change: &dyn Fn(&mut BackupSessionStatus)| {
            let mut status = status(&[(METRICS_PUSHED, True)], &[SnapshotPhase::Succeeded]);
            change(&mut status);
            backup_session_failure(&status)
        };
        let add = |status: &mut BackupSessionStatus, type_: ConditionType, holds, text| {
            status
                .conditions
                .insert(0, condition(type_.type_, holds, text));
        };
        assert_eq!(message(&|_| {}), None);
        assert_eq!(
            message(&|status| add(status, BACKUP_SKIPPED, False, "it was not")),
            None
        );
        assert_eq!(
            message(&|status| {
                status.snapshots = snapshots(&[SnapshotPhase::Failed]);
                add(status, SNAPSHOTS_ENSURED, False, "no such repository");
                status
                    .conditions
                    .insert(0, condition("Ready", False, "Failed"));
            })
            .as_deref(),
            Some("no such repository")
        );
        assert_eq!(
            message(&|status| add(status, SNAPSHOTS_ENSURED, False, "")).as_deref(),
            Some("SnapshotsEnsured is False")
        );
        assert_eq!(
            message(&|status| {
                status.snapshots = snapshots(&[
                    SnapshotPhase::Failed,
                    SnapshotPhase::Succeeded,
                    SnapshotPhase::Failed,
                ]);
                status.retention_policy =
                    retention(RetentionPolicyApplyPhase::FailedToApply, "locked");
            })
            .as_deref(),
            Some("snapshots failed: snapshot-0, snapshot-2")
        );
        assert_eq!(
            message(&|status| status.retention_policy =
                retention(RetentionPolicyApplyPhase::FailedToApply, "locked"))
            .as_deref(),
            Some(
                "the retention policy could not be applied to repository default-blueprint: locked"
            )
        );
        assert_eq!(
            message(&|status| add(status, SNAPSHOT_CLEANUP_INCOMPLETE, True, "the pod is gone"))
                .as_deref(),
            Some("the pod is gone")
        );
        assert_eq!(
            message(&|status| status.snapshots.clear()).as_deref(),
            Some("the session ended before its snapshots were finished")
        );
    }

    #[test]
    fn every_failed_session_has_a_message() {
        for step in STEPS {
            let mut status = status(&[(METRICS_PUSHED, True)], &[SnapshotPhase::Succeeded]);
            status.conditions.push(condition(step, False, ""));
            assert_eq!(backup_session(&status), BackupSessionPhase::Failed);
            assert!(backup_session_failure(&status).is_some(), "{step}");
        }
        assert!(backup_session_failure(&status(&[(METRICS_PUSHED, False)], &[])).is_some());
    }

    #[test]
    fn pending_and_running_are_not_final() {
        let finals: Vec<_> = BackupSessionPhase::ALL
            .iter()
            .filter(|phase| backup_session_completed(**phase))
            .collect();
        assert_eq!(
            finals,
            [
                &BackupSessionPhase::Succeeded,
                &BackupSessionPhase::Failed,
                &BackupSessionPhase::Skipped
            ]
        );
    }
}
