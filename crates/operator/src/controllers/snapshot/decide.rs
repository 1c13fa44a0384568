//! The operator's part of a Snapshot's status: pure.
//!
//! The executor reports what it does; the operator keeps the phase in line with that, says that the
//! Repository shows the Snapshot, and ends a Snapshot whose session is gone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use kubestash_api::conditions::READY;
use kubestash_api::conditions::snapshot::{
    BACKUP_INCOMPLETE, DATA_INTACT, HAS_WARNINGS, RECENT_SNAPSHOT_LIST_UPDATED,
};
use kubestash_api::shared::{Condition, ConditionStatus};
use kubestash_api::storage::{Component, Repository, Snapshot, SnapshotPhase, SnapshotStatus};
use kubestash_domain::phase::LaterLook;
use kubestash_domain::{condition, phase};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) integrity: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) components: BTreeMap<String, Component>,
}

impl Said {
    /// What is damaged, if something is.
    pub(super) fn damage(&self) -> Option<&str> {
        let condition = condition::find(&self.conditions, DATA_INTACT.type_)?;
        (self.integrity == Some(false)).then_some(condition.message.as_str())
    }
}

/// Everything that follows from.
pub(super) struct World<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) repository: Option<&'a Repository>,
    /// Whether the BackupSession that would finish it does not exist.
    pub(super) orphaned: bool,
    /// What later runs found out about its data.
    pub(super) later: LaterLook,
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
    let (integrity, components) = integrity(world, &mut status, now);
    if let Some(warnings) = warnings_of(world.snapshot) {
        let found = condition::new(HAS_WARNINGS, true, warnings, now);
        condition::set(&mut status.conditions, found);
    }
    if is_completed(Some(phase)) {
        let ready = ready(world.snapshot, &status, phase, now);
        condition::set(&mut status.conditions, ready);
    }
    // Conditions have their owners: only these are the operator's.
    let ours = |condition: &Condition| {
        condition.type_ == RECENT_SNAPSHOT_LIST_UPDATED.type_
            || condition.type_ == READY
            || condition.type_ == DATA_INTACT.type_
            || condition.type_ == HAS_WARNINGS.type_
            || (condition.type_ == BACKUP_INCOMPLETE.type_ && condition.message == ORPHANED)
    };
    Said {
        phase: Some(phase),
        conditions: status.conditions.into_iter().filter(ours).collect(),
        integrity,
        components,
    }
}

/// What the run has seen in the databases that may keep a restore from working or from being
/// complete.
pub(crate) fn warnings_of(snapshot: &Snapshot) -> Option<String> {
    let status = snapshot.status.as_ref()?;
    let components = status.components.values();
    let found: Vec<_> = components
        .flat_map(|component| &component.warnings)
        .map(String::as_str)
        .collect();
    (!found.is_empty()).then(|| found.join("; "))
}

/// Whether the Snapshot can be restored, once it has ended.
fn ready(
    snapshot: &Snapshot,
    status: &SnapshotStatus,
    phase: SnapshotPhase,
    now: Timestamp,
) -> Condition {
    let errors = status.components.values();
    let error = errors.filter_map(|component| component.error.as_deref());
    let incomplete = condition::find(&status.conditions, BACKUP_INCOMPLETE.type_);
    let damaged = condition::find(&status.conditions, DATA_INTACT.type_)
        .filter(|found| found.status == ConditionStatus::False);
    let (holds, reason, message) = match (phase, damaged) {
        (SnapshotPhase::Succeeded, Some(damaged)) => (
            ConditionStatus::False,
            damaged.reason.as_str(),
            damaged.message.as_str(),
        ),
        (SnapshotPhase::Succeeded, None) => (
            ConditionStatus::True,
            phase.as_str(),
            "The Snapshot can be restored.",
        ),
        _ => (
            ConditionStatus::False,
            phase.as_str(),
            error
                .chain(incomplete.map(|found| found.message.as_str()))
                .find(|text| !text.is_empty())
                .unwrap_or("the backup is incomplete"),
        ),
    };
    let generation = snapshot.metadata.generation;
    condition::ready(holds, reason, message, generation, now)
}

/// What the operator says of the data: nothing while the executor's word stands. Once a later run
/// has found it damaged, that, until one finds it intact again.
fn integrity(
    world: &World<'_>,
    status: &mut SnapshotStatus,
    now: Timestamp,
) -> (Option<bool>, BTreeMap<String, Component>) {
    let mut damage = Vec::new();
    let mut components = BTreeMap::new();
    let is_marked = condition::has(&status.conditions, DATA_INTACT.type_);
    for (name, reason) in &world.later {
        let said = status
            .components
            .get(name)
            .and_then(|component| component.integrity);
        if reason.is_none() && said == Some(true) && !is_marked {
            continue;
        }
        damage.extend(reason.iter().map(|reason| format!("{name}: {reason}")));
        let said = Component {
            integrity: Some(reason.is_none()),
            ..Component::default()
        };
        components.insert(name.clone(), said);
    }
    if components.is_empty() {
        return (None, components);
    }
    for (name, said) in &components {
        if let Some(component) = status.components.get_mut(name) {
            component.integrity = said.integrity;
        }
    }
    let message = match damage.is_empty() {
        true => "The data that was missing is there again".to_owned(),
        false => format!(
            "{}; this Snapshot can no longer be restored as a whole: restore another one",
            damage.join("; ")
        ),
    };
    let intact = condition::new(DATA_INTACT, damage.is_empty(), message, now);
    condition::set(&mut status.conditions, intact);
    (phase::snapshot_integrity(&status.components), components)
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
                later: LaterLook::new(),
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
            (done.clone(), None, Some("Succeeded"), vec!["Ready=True"]),
            (
                done,
                Some(&repository),
                Some("Succeeded"),
                vec!["Ready=True", "RecentSnapshotListUpdated=True"],
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
            (Some("Succeeded"), vec!["Ready=True".to_owned()])
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
                (
                    Some("Failed"),
                    vec!["Ready=False".to_owned(), "BackupIncomplete=True".to_owned()]
                ),
                "{status}"
            );
        }
        // What had come to its end stays what it is.
        let done = json!({"totalComponents": 1, "components": component("Succeeded"), "conditions": uploaded()});
        assert_eq!(
            said(done, None, true),
            (Some("Succeeded"), vec!["Ready=True".to_owned()])
        );
    }

    #[test]
    fn what_may_keep_a_snapshot_from_coming_back_is_a_condition_and_what_was_left_out_is_none() {
        let status = |warnings: Value| {
            let component = json!({"phase": "Succeeded", "leftOut": ["x"], "warnings": warnings});
            json!({"totalComponents": 1, "components": {"dump": component}, "conditions": uploaded()})
        };
        let (_, conditions) = said(status(json!([])), None, false);
        assert_eq!(conditions, ["Ready=True"]);
        let (_, conditions) = said(status(json!(["f names t"])), None, false);
        assert_eq!(conditions, ["Ready=True", "HasWarnings=True"]);
    }

    #[test]
    fn a_snapshot_is_marked_when_a_later_run_finds_its_data_damaged_and_until_it_is_there_again() {
        let mut status = json!({
            "totalComponents": 1, "integrity": true, "conditions": uploaded(),
            "components": {"dump": {"phase": "Succeeded", "integrity": true, "resticStats": [{"id": "a"}]}},
        });
        let now = "2024-09-19T10:30:46Z".parse().unwrap();
        let look = |status: &Value, reason: Option<&str>| {
            let snapshot = snapshot(status.clone());
            let later = [("dump".to_owned(), reason.map(str::to_owned))].into();
            say(
                &World {
                    snapshot: &snapshot,
                    repository: None,
                    orphaned: false,
                    later,
                },
                now,
            )
        };
        let said = look(&status, None);
        assert_eq!(
            (said.integrity, said.components.len()),
            (None, 0),
            "nothing to add"
        );
        let said = look(&status, Some("2 of its chunks are lost"));
        assert_eq!(said.integrity, Some(false));
        assert_eq!(said.components["dump"].integrity, Some(false));
        assert_eq!(said.phase, Some(SnapshotPhase::Succeeded));
        let damage = said.damage().unwrap();
        assert!(
            damage.starts_with("dump: 2 of its chunks are lost; this Snapshot"),
            "{damage}"
        );

        let mut conditions = uploaded().as_array().unwrap().clone();
        conditions.extend(
            said.conditions
                .iter()
                .map(|condition| serde_json::to_value(condition).unwrap()),
        );
        status["conditions"] = conditions.into();
        status["components"]["dump"]["integrity"] = json!(false);
        let said = look(&status, None);
        assert_eq!((said.integrity, said.damage()), (Some(true), None));
        let condition = condition::find(&said.conditions, "DataIntact").unwrap();
        assert_eq!(
            (condition.status.to_string(), condition.reason.as_str()),
            ("True".to_owned(), "DataRestored")
        );
    }
}
