//! The operator's part of a Snapshot's status: pure.
//!
//! The executor reports what it does; the operator keeps the phase in line with that, says that the Repository shows
//! the Snapshot, and ends a Snapshot whose session is gone.

use jiff::Timestamp;
use kube::ResourceExt;
use kubestash_api::{
    conditions::snapshot::{BACKUP_INCOMPLETE, RECENT_SNAPSHOT_LIST_UPDATED},
    shared::Condition,
    storage::{Repository, Snapshot, SnapshotPhase},
};
use kubestash_core::{condition, phase};
use serde::Serialize;

const LIST_UPDATED: &str = "Recent snapshot list updated successfully";
const ORPHANED: &str = "its BackupSession was deleted, so the backup cannot be finished any more; \
                        delete this Snapshot, the next session makes another one";

/// What the operator says in a Snapshot's status.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phase: Option<SnapshotPhase>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) conditions: Vec<Condition>,
}

/// Everything that follows from.
pub(super) struct World<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) repository: Option<&'a Repository>,
    /// Whether the BackupSession that would finish it does not exist.
    pub(super) orphaned: bool,
}

/// Whether a Snapshot has come to its end.
pub(super) fn is_completed(phase: Option<SnapshotPhase>) -> bool {
    phase.is_some_and(phase::snapshot_completed)
}

/// What the operator has to say now: the phase, and its own conditions.
pub(super) fn say(world: &World<'_>, now: Timestamp) -> Said {
    // One that nobody has reported on is not begun; it belongs to who makes it.
    let Some(status) = &world.snapshot.status else {
        return Said::default();
    };
    let mut status = status.clone();
    if world.orphaned && !is_completed(Some(phase::snapshot(&status))) {
        condition::set(
            &mut status.conditions,
            condition::new(BACKUP_INCOMPLETE, true, ORPHANED, now),
        );
    }
    let phase = phase::snapshot(&status);
    if is_completed(Some(phase)) && is_listed(world, phase) {
        let listed = condition::new(RECENT_SNAPSHOT_LIST_UPDATED, true, LIST_UPDATED, now);
        condition::set(&mut status.conditions, listed);
    }
    // Conditions have their owners: only these two are the operator's.
    let ours = |condition: &Condition| {
        condition.type_ == RECENT_SNAPSHOT_LIST_UPDATED.type_
            || (condition.type_ == BACKUP_INCOMPLETE.type_ && condition.message == ORPHANED)
    };
    Said {
        phase: Some(phase),
        conditions: status.conditions.into_iter().filter(ours).collect(),
    }
}

fn is_listed(world: &World<'_>, phase: SnapshotPhase) -> bool {
    let name = world.snapshot.name_any();
    world
        .repository
        .and_then(|repository| repository.status.as_ref())
        .is_some_and(|status| {
            status
                .recent_snapshots
                .iter()
                .any(|recent| recent.name == name && recent.phase == Some(phase))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn snapshot(status: Value) -> Snapshot {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": "snap", "namespace": "demo"}, "spec": {"repository": "r"}, "status": status,
        }))
        .unwrap()
    }

    fn repository(phase: &str) -> Repository {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": "r"}, "spec": {}, "status": {"recentSnapshots": [{"name": "snap", "phase": phase}]},
        }))
        .unwrap()
    }

    fn component(phase: &str) -> Value {
        json!({"dump": {"phase": phase}})
    }

    fn uploaded() -> Value {
        json!([{"type": "SnapshotMetadataUploaded", "status": "True", "lastTransitionTime": "2024-09-19T10:30:46Z"}])
    }

    fn said(
        status: Value,
        repository: Option<&Repository>,
        orphaned: bool,
    ) -> (Option<&'static str>, Vec<String>) {
        let snapshot = snapshot(status);
        let now = "2024-09-19T10:30:46Z".parse().unwrap();
        let said = say(
            &World {
                snapshot: &snapshot,
                repository,
                orphaned,
            },
            now,
        );
        let conditions = said
            .conditions
            .iter()
            .map(|condition| format!("{}={}", condition.type_, condition.status));
        (said.phase.map(SnapshotPhase::as_str), conditions.collect())
    }

    #[test]
    fn the_phase_follows_the_components_and_the_upload() {
        let repository = repository("Succeeded");
        let running = json!({"totalComponents": 1, "components": component("Running")});
        let finished = json!({"totalComponents": 1, "components": component("Succeeded")});
        let done = json!({"totalComponents": 1, "components": component("Succeeded"), "conditions": uploaded()});
        let cases = [
            (Value::Null, None, None, vec![]),
            (json!({"totalComponents": 1}), None, Some("Pending"), vec![]),
            (running, None, Some("Running"), vec![]),
            (finished, Some(&repository), Some("Running"), vec![]),
            (done.clone(), None, Some("Succeeded"), vec![]),
            (
                done,
                Some(&repository),
                Some("Succeeded"),
                vec!["RecentSnapshotListUpdated=True"],
            ),
        ];
        for (status, repository, phase, conditions) in cases {
            let (found, said) = said(status.clone(), repository, false);
            assert_eq!(
                (found, said),
                (phase, conditions.into_iter().map(str::to_owned).collect()),
                "{status}"
            );
        }
    }

    #[test]
    fn a_list_that_shows_an_older_phase_is_not_up_to_date() {
        let repository = repository("Running");
        let done = json!({"totalComponents": 1, "components": component("Succeeded"), "conditions": uploaded()});
        assert_eq!(
            said(done, Some(&repository), false),
            (Some("Succeeded"), vec![])
        );
    }

    #[test]
    fn a_snapshot_whose_session_is_gone_ends() {
        for status in [
            json!({"totalComponents": 1}),
            json!({"totalComponents": 1, "components": component("Running")}),
            json!({"totalComponents": 1, "components": component("Succeeded")}),
        ] {
            let (phase, conditions) = said(status.clone(), None, true);
            assert_eq!(
                (phase, conditions),
                (Some("Failed"), vec!["BackupIncomplete=True".to_owned()]),
                "{status}"
            );
        }
        // What had come to its end stays what it is.
        let done = json!({"totalComponents": 1, "components": component("Succeeded"), "conditions": uploaded()});
        assert_eq!(said(done, None, true), (Some("Succeeded"), vec![]));
    }
}
