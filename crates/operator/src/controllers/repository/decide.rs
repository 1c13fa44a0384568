//! The status of a Repository: pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kubestash_api::conditions::repository::{DATA_INTACT, REPOSITORY_INITIALIZED};
use kubestash_api::shared::{Condition, RepositoryPhase};
use kubestash_api::storage::{
    RecentSnapshot, Repository, RepositoryStatus, Snapshot, SnapshotPhase,
};
use kubestash_domain::{condition, format, phase};

use crate::runtime::failure::Failure;

/// Clients of this API know the sentence.
const INITIALIZED: &str = "Successfully initialized repository";
/// How many snapshots `status.recentSnapshots` shows.
const RECENT: usize = 5;

/// How the last attempt to set the Repository up went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is set up.
    Initialized,
    /// Its storage cannot be used at the moment; what was set up stays so.
    Waiting(Failure),
    /// It cannot be set up.
    Failed(Failure),
}

/// The status that the world calls for.
pub(super) fn status(
    repository: &Repository,
    snapshots: &[Arc<Snapshot>],
    outcome: &Outcome,
    now: Timestamp,
) -> RepositoryStatus {
    let mut status = repository.status.clone().unwrap_or_default();
    let generation = repository.metadata.generation;
    if let Some(initialized) = initialized_condition(outcome, &status.conditions, generation, now) {
        condition::set(&mut status.conditions, initialized);
    }
    let phase = phase::repository(&status.conditions);
    status.phase = Some(phase);
    let (reason, message) = match (phase, outcome) {
        (RepositoryPhase::NotReady, Outcome::Waiting(failure) | Outcome::Failed(failure)) => {
            (failure.kind.as_str(), failure.message.as_str())
        }
        _ => (phase.as_str(), INITIALIZED),
    };
    let holds = (phase == RepositoryPhase::Ready).into();
    condition::set(
        &mut status.conditions,
        condition::ready(holds, reason, message, generation, now),
    );

    let snapshots = newest_first(snapshots);
    let content = phase::repository_content(
        &snapshots
            .iter()
            .map(|snapshot| (*snapshot).clone())
            .collect::<Vec<_>>(),
    );
    status.snapshot_count = Some(i32::try_from(snapshots.len()).unwrap_or(i32::MAX));
    status.size = Some(format::bytes(content.bytes.unwrap_or_default()));
    status.integrity = content.integrity;
    status.data_read_since = content.read_since.map(Time);
    if let Some(intact) = content.integrity {
        let message = told(intact, &content.damage);
        let condition = condition::new(DATA_INTACT, intact, message, now);
        condition::set(&mut status.conditions, condition);
    }
    status.component_paths = content.component_paths;
    status.recent_snapshots = snapshots
        .iter()
        .take(RECENT)
        .map(|snapshot| recent(snapshot))
        .collect();
    status.last_backup_time = last_backup_time(&snapshots).max(status.last_backup_time.take());
    status.observed_generation = generation;
    status
}

/// Whether the Repository has been set up.
pub(super) fn is_initialized(repository: &Repository) -> bool {
    let conditions = repository
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    condition::is_true(conditions, REPOSITORY_INITIALIZED.type_)
}

/// Whether it has been set up as it is specified now.
pub(super) fn is_current(repository: &Repository) -> bool {
    let conditions = repository
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    is_initialized(repository)
        && condition::find(conditions, REPOSITORY_INITIALIZED.type_).is_some_and(|condition| {
            condition.observed_generation == repository.metadata.generation
        })
}

/// What is damaged, as the condition says it; nothing if all is intact.
pub(super) fn damage(status: &RepositoryStatus) -> Option<&str> {
    let condition = condition::find(&status.conditions, DATA_INTACT.type_)?;
    (status.integrity == Some(false)).then_some(condition.message.as_str())
}

/// Damaged Snapshots that a condition names; of more it says how many.
const NAMED: usize = 5;

fn told(intact: bool, damage: &[String]) -> String {
    if intact {
        return "All Snapshots can be restored, as far as the data was looked at".to_owned();
    }
    if damage.is_empty() {
        return "the last backup found its own data damaged".to_owned();
    }
    let mut text = damage
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if damage.len() > NAMED {
        text.push_str(&format!("; and {} more", damage.len() - NAMED));
    }
    text.push_str(
        "; restore another Snapshot instead, and delete these with deletionPolicy WipeOut when they are no longer needed",
    );
    text
}

fn initialized_condition(
    outcome: &Outcome,
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Condition> {
    let make = |holds: bool, message: &str| Condition {
        observed_generation: generation,
        ..condition::new(REPOSITORY_INITIALIZED, holds, message, now)
    };
    match outcome {
        Outcome::Initialized => Some(make(true, INITIALIZED)),
        Outcome::Waiting(_) if condition::is_true(before, REPOSITORY_INITIALIZED.type_) => None,
        Outcome::Waiting(failure) | Outcome::Failed(failure) => Some(make(false, &failure.message)),
    }
}

/// The snapshots that stay, newest first.
fn newest_first(snapshots: &[Arc<Snapshot>]) -> Vec<&Snapshot> {
    let mut sorted: Vec<&Snapshot> = snapshots
        .iter()
        .map(AsRef::as_ref)
        .filter(|snapshot| snapshot.metadata.deletion_timestamp.is_none())
        .collect();
    sorted.sort_by(|left, right| {
        time(right)
            .cmp(&time(left))
            .then_with(|| right.name_any().cmp(&left.name_any()))
    });
    sorted
}

fn time(snapshot: &Snapshot) -> Option<Timestamp> {
    let made = snapshot
        .status
        .as_ref()
        .and_then(|status| status.snapshot_time.as_ref());
    made.or(snapshot.metadata.creation_timestamp.as_ref())
        .map(|time| time.0)
}

fn recent(snapshot: &Snapshot) -> RecentSnapshot {
    let status = snapshot.status.as_ref();
    RecentSnapshot {
        name: snapshot.name_any(),
        phase: status.and_then(|status| status.phase),
        session: Some(snapshot.spec.session.clone()).filter(|session| !session.is_empty()),
        size: status.and_then(|status| status.size.clone()),
        snapshot_time: status.and_then(|status| status.snapshot_time.clone()),
    }
}

/// When the newest successful backup was due: the second in its session's name, else when its
/// Snapshot was made.
fn last_backup_time(newest_first: &[&Snapshot]) -> Option<Time> {
    let succeeded = |snapshot: &&&Snapshot| {
        snapshot.status.as_ref().and_then(|status| status.phase) == Some(SnapshotPhase::Succeeded)
    };
    let snapshot = newest_first.iter().find(succeeded)?;
    let due = snapshot
        .spec
        .backup_session
        .rsplit_once('-')
        .and_then(|(_, digits)| digits.parse().ok())
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    // A session made by hand may end in any number.
    let plausible = |due: &Timestamp| {
        time(snapshot)
            .is_none_or(|made| (0..86_400).contains(&(made.as_second() - due.as_second())))
    };
    due.filter(plausible).or_else(|| time(snapshot)).map(Time)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn repository(status: Value) -> Repository {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": "default-blueprint", "namespace": "demo", "generation": 1},
            "spec": {"path": "/default-blueprint"}, "status": status,
        }))
        .unwrap()
    }

    fn snapshot(session: &str, unix: i64, phase: &str, components: Value) -> Arc<Snapshot> {
        let made = Timestamp::from_second(unix + 1).unwrap().to_string();
        let snapshot = json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": format!("snap-{session}-{unix}"), "namespace": "demo", "creationTimestamp": made},
            "spec": {"session": session, "backupSession": format!("bc-{session}-{unix}")},
            "status": {"phase": phase, "snapshotTime": made, "size": "1 B", "components": components},
        });
        Arc::new(serde_json::from_value(snapshot).unwrap())
    }

    fn dump(session: &str, size: &str, integrity: bool) -> Value {
        json!({"dump": {"path": format!("repository/v1/{session}/dump"), "size": size, "integrity": integrity}})
    }

    fn now() -> Timestamp {
        "2024-09-19T10:30:46Z".parse().unwrap()
    }

    fn decide(snapshots: &[Arc<Snapshot>]) -> RepositoryStatus {
        status(
            &repository(Value::Null),
            snapshots,
            &Outcome::Initialized,
            now(),
        )
    }

    #[test]
    fn a_fresh_repository_counts_nothing_and_knows_no_integrity() {
        let status = decide(&[]);
        assert_eq!(status.snapshot_count, Some(0));
        assert_eq!(status.size.as_deref(), Some("0 B"));
        assert_eq!((status.integrity, &status.last_backup_time), (None, &None));
        assert_eq!(status.phase, Some(RepositoryPhase::Ready));
    }

    #[test]
    fn the_size_is_that_of_the_newest_state_of_each_component() {
        let snapshots = [
            snapshot(
                "a",
                1_726_741_846,
                "Succeeded",
                dump("a", "1.000 MiB", true),
            ),
            snapshot(
                "a",
                1_726_742_400,
                "Succeeded",
                dump("a", "1.757 MiB", true),
            ),
            snapshot(
                "b",
                1_726_742_101,
                "Succeeded",
                dump("b", "1.000 KiB", true),
            ),
            // A failed run has no size and does not hide the one before.
            snapshot(
                "b",
                1_726_743_000,
                "Failed",
                json!({"dump": {"path": "repository/v1/b/dump"}}),
            ),
        ];
        let status = decide(&snapshots);
        assert_eq!(status.snapshot_count, Some(4));
        assert_eq!(status.size.as_deref(), Some("1.758 MiB"));
        assert_eq!(
            status.component_paths,
            ["repository/v1/a/dump", "repository/v1/b/dump"]
        );
    }

    #[test]
    fn integrity_is_that_of_the_last_check_of_each_component() {
        let bad = snapshot("a", 1_726_741_846, "Succeeded", dump("a", "1 B", false));
        let good = snapshot("a", 1_726_742_400, "Succeeded", dump("a", "1 B", true));
        let other = snapshot("b", 1_726_742_400, "Succeeded", dump("b", "1 B", false));
        assert_eq!(decide(std::slice::from_ref(&bad)).integrity, Some(false));
        assert_eq!(decide(&[bad, good.clone()]).integrity, Some(true));
        assert_eq!(decide(&[good, other]).integrity, Some(false));
    }

    #[test]
    fn damage_in_an_older_snapshot_is_told_with_the_snapshots_name_until_it_is_gone() {
        let component = |id: &str, damaged: Value| {
            json!({"dump": {
                "path": "repository/v1/a/dump", "phase": "Succeeded", "integrity": true,
                "resticStats": [{"id": id}], "damagedSnapshots": damaged, "dataReadSince": "2024-09-19T10:30:00Z",
            }})
        };
        let lost = json!([{"id": "1111", "reason": "3 of its chunks are lost"}]);
        let old = snapshot(
            "a",
            1_726_741_846,
            "Succeeded",
            component("1111", json!([])),
        );
        let new = snapshot("a", 1_726_742_400, "Succeeded", component("2222", lost));
        let status = decide(&[old, new.clone()]);
        assert_eq!(status.integrity, Some(false));
        let told = damage(&status).unwrap();
        assert!(
            told.starts_with("Snapshot snap-a-1726741846: 3 of its chunks are lost"),
            "{told}"
        );
        assert!(told.contains("WipeOut"), "{told}");
        assert_eq!(
            status.data_read_since.unwrap().0.to_string(),
            "2024-09-19T10:30:00Z"
        );
        let status = decide(&[new]);
        assert_eq!((status.integrity, damage(&status)), (Some(true), None));
    }

    #[test]
    fn the_five_newest_snapshots_are_shown_newest_first() {
        let snapshots: Vec<_> = (0..7)
            .map(|n| {
                snapshot(
                    "a",
                    1_726_741_846 + n * 300,
                    "Succeeded",
                    dump("a", "1 B", true),
                )
            })
            .collect();
        let recent = decide(&snapshots).recent_snapshots;
        assert_eq!(recent.len(), 5);
        assert_eq!(recent[0].name, "snap-a-1726743646");
        assert_eq!(recent[4].name, "snap-a-1726742446");
        assert_eq!(recent[0].session.as_deref(), Some("a"));
    }

    #[test]
    fn the_last_backup_is_the_newest_that_succeeded_at_the_second_it_was_due() {
        let good = snapshot("a", 1_726_741_846, "Succeeded", dump("a", "1 B", true));
        let failed = snapshot("a", 1_726_742_400, "Failed", json!({}));
        let at = |status: &RepositoryStatus| {
            status
                .last_backup_time
                .as_ref()
                .map(|time| time.0.as_second())
        };
        assert_eq!(at(&decide(&[good.clone(), failed])), Some(1_726_741_846));
        // A name without a time in it, or with another number.
        let mut manual = good.as_ref().clone();
        manual.spec.backup_session = "by-hand-42".to_owned();
        assert_eq!(at(&decide(&[Arc::new(manual)])), Some(1_726_741_847));
        // The snapshot is gone, the backup was made all the same.
        let mut repository = repository(Value::Null);
        repository.status = Some(decide(&[good]));
        assert_eq!(
            at(&status(&repository, &[], &Outcome::Initialized, now())),
            Some(1_726_741_846)
        );
    }

    #[test]
    fn a_storage_that_fails_does_not_undo_what_was_set_up() {
        let waiting = Outcome::Waiting(Failure::new("StorageNotReady", "wait"));
        let mut repository = repository(Value::Null);
        let first = status(&repository, &[], &waiting, now());
        assert_eq!(first.phase, Some(RepositoryPhase::NotReady));
        assert_eq!(
            condition::find(&first.conditions, "Ready").unwrap().reason,
            "StorageNotReady"
        );
        repository.status = Some(status(&repository, &[], &Outcome::Initialized, now()));
        let later = status(&repository, &[], &waiting, now());
        assert_eq!(later.phase, Some(RepositoryPhase::Ready));
        let taken = Outcome::Failed(Failure::new("DirectoryTaken", "choose"));
        assert_eq!(
            status(&repository, &[], &taken, now()).phase,
            Some(RepositoryPhase::NotReady)
        );
    }

    #[test]
    fn snapshots_that_are_being_deleted_do_not_count_and_deciding_twice_changes_nothing() {
        let mut going = snapshot("a", 1_726_741_846, "Succeeded", dump("a", "1 B", true))
            .as_ref()
            .clone();
        going.metadata.deletion_timestamp = Some(Time(now()));
        let snapshots = [
            Arc::new(going),
            snapshot("b", 1_726_741_900, "Running", dump("b", "1 B", true)),
        ];
        let first = decide(&snapshots);
        assert_eq!(first.snapshot_count, Some(1));
        let mut repository = repository(Value::Null);
        repository.status = Some(first.clone());
        let later = now() + jiff::SignedDuration::from_hours(1);
        assert_eq!(
            status(&repository, &snapshots, &Outcome::Initialized, later),
            first
        );
    }
}
