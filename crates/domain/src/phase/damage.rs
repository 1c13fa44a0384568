//! What a later run found out about the data of earlier Snapshots.
//!
//! Each run looks at the whole restic repository that it writes to and reports, in its own
//! Snapshot, which restic snapshots can no longer be restored. So the newest report about a
//! directory is what is true of all Snapshots in it, and nobody has to remember anything.

use std::collections::BTreeMap;

use kubestash_api::storage::{Component, Snapshot, SnapshotPhase};

use super::derived::time;

/// Why a component's data can no longer be restored, or nothing if a later run found it intact; by
/// name of the component. Components that no later run looked at are not in it.
pub type LaterLook = BTreeMap<String, Option<String>>;

/// What later runs among `snapshots`, the Snapshots of the same Repository, say about `snapshot`.
#[must_use]
pub fn later_look<'a>(
    snapshot: &Snapshot,
    snapshots: impl IntoIterator<Item = &'a Snapshot> + Clone,
) -> LaterLook {
    let own = snapshot.status.iter().flat_map(|status| &status.components);
    own.filter(|(_, component)| has_data(component))
        .filter_map(|(name, component)| {
            let later = snapshots
                .clone()
                .into_iter()
                .filter(|other| time(other) > time(snapshot));
            let report = newest_report(component.path.as_deref()?, later)?;
            Some((name.clone(), damage(component, report)))
        })
        .collect()
}

/// The component by which the newest run among `snapshots` reports on a directory.
pub(super) fn newest_report<'a>(
    path: &str,
    snapshots: impl IntoIterator<Item = &'a Snapshot>,
) -> Option<&'a Component> {
    let reports = snapshots.into_iter().filter_map(|snapshot| {
        let mut components = snapshot
            .status
            .iter()
            .flat_map(|status| status.components.values());
        let report = components.find(|component| {
            component.path.as_deref() == Some(path)
                && has_data(component)
                && component.integrity.is_some()
        })?;
        Some((time(snapshot), report))
    });
    reports
        .max_by(|one, other| one.0.cmp(&other.0))
        .map(|(_, report)| report)
}

/// What a report says of a component.
pub(super) fn damage(component: &Component, report: &Component) -> Option<String> {
    let mut own = component.restic_stats.iter().filter_map(|stats| stats.id());
    own.find_map(|id| {
        report
            .damaged_snapshots
            .iter()
            .find(|damaged| damaged.id == id)
    })
    .map(|damaged| damaged.reason.clone())
}

fn has_data(component: &Component) -> bool {
    component.phase == Some(SnapshotPhase::Succeeded) && !component.restic_stats.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn snapshot(second: u32, id: &str, damaged: Value) -> Snapshot {
        let made = format!("2026-12-01T00:00:{second:02}Z");
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": id, "creationTimestamp": made}, "spec": {},
            "status": {"components": {"dump": {
                "path": "repository/v1/s/dump", "phase": "Succeeded", "integrity": true,
                "resticStats": [{"id": id}], "damagedSnapshots": damaged,
            }}},
        }))
        .unwrap()
    }

    fn lost(id: &str) -> Value {
        json!([{"id": id, "reason": "2 of its chunks are lost"}])
    }

    #[test]
    fn the_newest_report_counts_and_only_for_what_was_there_before_it() {
        let old = snapshot(1, "a", json!([]));
        let report = snapshot(2, "b", lost("a"));
        let healed = snapshot(3, "c", json!([]));
        let look = |all: &[&Snapshot]| later_look(&old, all.iter().copied()).get("dump").cloned();
        assert_eq!(look(&[&old]), None, "nobody has looked");
        assert_eq!(
            look(&[&old, &report]),
            Some(Some("2 of its chunks are lost".to_owned()))
        );
        assert_eq!(look(&[&old, &healed, &report]), Some(None));
        assert_eq!(
            later_look(&healed, [&old, &report, &healed]),
            LaterLook::new()
        );
    }

    #[test]
    fn a_run_that_failed_or_wrote_elsewhere_reports_nothing() {
        let old = snapshot(1, "a", json!([]));
        let mut failed = snapshot(2, "b", lost("a"));
        for component in failed
            .status
            .iter_mut()
            .flat_map(|status| status.components.values_mut())
        {
            component.phase = Some(SnapshotPhase::Failed);
        }
        let mut elsewhere = snapshot(3, "c", lost("a"));
        for component in elsewhere
            .status
            .iter_mut()
            .flat_map(|status| status.components.values_mut())
        {
            component.path = Some("repository/v1/other/dump".to_owned());
        }
        assert_eq!(
            later_look(&old, [&old, &failed, &elsewhere]),
            LaterLook::new()
        );
    }
}
