//! Phases of Snapshot and of its components.

use std::collections::BTreeMap;

use kubestash_api::conditions::snapshot::{
    BACKUP_INCOMPLETE, RECENT_SNAPSHOT_LIST_UPDATED, SNAPSHOT_METADATA_UPLOADED,
};
use kubestash_api::storage::{Component, SnapshotPhase, SnapshotStatus};

use crate::condition::{has, is_false, is_true};

/// Phase of a Snapshot's components together.
///
/// Mended: with `total` unset, zero or less than the components that are there, the number of
/// components counts; a backup must not pass for a success because its total was never written.
#[must_use]
pub fn snapshot_components(
    total: Option<i32>,
    components: &BTreeMap<String, Component>,
) -> SnapshotPhase {
    let count = |phase| {
        components
            .values()
            .filter(|component| component.phase == Some(phase))
            .count()
    };
    let succeeded = count(SnapshotPhase::Succeeded);
    let failed = count(SnapshotPhase::Failed);
    let total = usize::try_from(total.unwrap_or_default())
        .unwrap_or_default()
        .max(components.len());
    if components.is_empty() {
        SnapshotPhase::Pending
    } else if succeeded == total {
        SnapshotPhase::Succeeded
    } else if failed > 0 {
        // Also while others still run or were never reported: nothing can make it a success any
        // more.
        SnapshotPhase::Failed
    } else {
        SnapshotPhase::Running
    }
}

/// Phase of a Snapshot. When its components have finished it still runs until its metadata upload
/// is recorded.
#[must_use]
pub fn snapshot(status: &SnapshotStatus) -> SnapshotPhase {
    let conditions = &status.conditions;
    let components = snapshot_components(status.total_components, &status.components);
    if is_false(conditions, SNAPSHOT_METADATA_UPLOADED.type_)
        || is_false(conditions, RECENT_SNAPSHOT_LIST_UPDATED.type_)
        || is_true(conditions, BACKUP_INCOMPLETE.type_)
    {
        SnapshotPhase::Failed
    } else if components == SnapshotPhase::Pending
        || has(conditions, SNAPSHOT_METADATA_UPLOADED.type_)
    {
        components
    } else {
        SnapshotPhase::Running
    }
}

/// Whether a phase is final.
#[must_use]
pub fn snapshot_completed(phase: SnapshotPhase) -> bool {
    matches!(phase, SnapshotPhase::Succeeded | SnapshotPhase::Failed)
}

#[cfg(test)]
mod tests {
    use SnapshotPhase::{Failed, Pending, Running, Succeeded};

    use super::super::cases::{False, True, Unknown, conditions};
    use super::*;

    fn components(phases: &[SnapshotPhase]) -> BTreeMap<String, Component> {
        let component = |phase: &SnapshotPhase| Component {
            phase: Some(*phase),
            ..Component::default()
        };
        phases
            .iter()
            .enumerate()
            .map(|(index, phase)| (format!("dump-pod-{index}"), component(phase)))
            .collect()
    }

    #[test]
    fn components_follow_the_table() {
        for (total, phases, expected) in [
            (Some(1), &[][..], Pending),
            (Some(1), &[Succeeded], Succeeded),
            (Some(2), &[Succeeded, Succeeded], Succeeded),
            (Some(2), &[Succeeded, Failed], Failed),
            (Some(2), &[Failed, Failed], Failed),
            (Some(3), &[Failed, Running], Failed),
            (Some(3), &[Failed], Failed),
            (Some(2), &[Succeeded], Running),
            (Some(2), &[Succeeded, Running], Running),
            (Some(2), &[Pending, Pending], Running),
            // Mended rows.
            (Some(0), &[Running], Running),
            (None, &[Running], Running),
            (None, &[Succeeded], Succeeded),
            (Some(1), &[Succeeded, Running], Running),
            (Some(-1), &[Succeeded], Succeeded),
        ] {
            assert_eq!(
                snapshot_components(total, &components(phases)),
                expected,
                "{total:?} {phases:?}"
            );
        }
    }

    #[test]
    fn a_component_without_a_phase_has_not_finished() {
        let components = BTreeMap::from([("dump".to_owned(), Component::default())]);
        assert_eq!(snapshot_components(Some(1), &components), Running);
    }

    #[test]
    fn a_snapshot_follows_the_table() {
        let uploaded = SNAPSHOT_METADATA_UPLOADED;
        for (entries, phases, expected) in [
            (vec![(uploaded, False)], &[Succeeded][..], Failed),
            (
                vec![(uploaded, True), (RECENT_SNAPSHOT_LIST_UPDATED, False)],
                &[Succeeded],
                Failed,
            ),
            (
                vec![(uploaded, True), (BACKUP_INCOMPLETE, True)],
                &[Succeeded],
                Failed,
            ),
            (vec![(BACKUP_INCOMPLETE, True)], &[], Failed),
            (vec![], &[], Pending),
            (vec![(uploaded, True)], &[], Pending),
            (
                vec![(uploaded, True), (RECENT_SNAPSHOT_LIST_UPDATED, True)],
                &[Succeeded],
                Succeeded,
            ),
            (
                vec![(uploaded, True), (BACKUP_INCOMPLETE, False)],
                &[Succeeded],
                Succeeded,
            ),
            (vec![(uploaded, True)], &[Failed], Failed),
            (vec![(uploaded, True)], &[Running], Running),
            (vec![(uploaded, Unknown)], &[Succeeded], Succeeded),
            (vec![], &[Succeeded], Running),
            (vec![], &[Failed], Running),
            (vec![], &[Running], Running),
        ] {
            let status = SnapshotStatus {
                conditions: conditions(&entries),
                components: components(phases),
                total_components: Some(1),
                ..SnapshotStatus::default()
            };
            assert_eq!(snapshot(&status), expected, "{entries:?} {phases:?}");
        }
    }

    #[test]
    fn only_success_and_failure_are_final() {
        assert_eq!(
            [Pending, Running, Succeeded, Failed].map(snapshot_completed),
            [false, false, true, true]
        );
    }
}
