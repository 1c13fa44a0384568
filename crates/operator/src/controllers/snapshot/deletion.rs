//! What the deletion of a Snapshot calls for next: pure.

use kubestash_api::shared::DeletionPolicy;
use kubestash_api::storage::{BackupStorage, Repository, Snapshot};
use kubestash_backend::SnapshotData;

use crate::controllers::backupstorage::is_local;
use crate::controllers::repository::deletion::goes_with_storage;
use crate::runtime::events::Notice;
use crate::runtime::failure::Failure;

/// Everything the next step follows from.
pub(super) struct World<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) repository: Option<&'a Repository>,
    pub(super) storage: Option<&'a BackupStorage>,
    /// Whether the store can be opened, with the Secret or from memory.
    pub(super) reachable: bool,
    /// Whether nothing can be created in the namespace any more.
    pub(super) terminating: bool,
}

/// The next step of a deletion.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Forget the restic snapshots, prune, remove the file.
    ForgetObjects,
    /// Run the Job that does that in a volume.
    ForgetVolume,
    /// Nothing can be done until somebody acts.
    Blocked(Failure),
    /// Remove the finalizer.
    Release(Option<Notice>),
}

/// Decides the next step.
pub(super) fn next(world: &World<'_>) -> Step {
    if world.snapshot.spec.deletion_policy == DeletionPolicy::Delete {
        return Step::Release(None);
    }
    let (Some(repository), Some(storage)) = (world.repository, world.storage) else {
        if world.snapshot.status.is_none() || SnapshotData::of(world.snapshot).ids.is_empty() {
            // Nothing is known to be stored; a file without data does no harm.
            return Step::Release(None);
        }
        return unreachable_data(
            world,
            "its Repository or BackupStorage does not exist: create it again",
        );
    };
    // What goes as a whole says itself what happens to the data.
    if goes_with_repository(world.snapshot, repository) || goes_with_storage(repository, storage) {
        return Step::Release(None);
    }
    match (is_local(storage), world.terminating) {
        (true, true) => unreachable_data(world, ""),
        (true, false) => Step::ForgetVolume,
        (false, _) if world.reachable => Step::ForgetObjects,
        (false, _) => unreachable_data(
            world,
            "the Secret of its BackupStorage does not exist or lacks a key: create it again",
        ),
    }
}

/// Whether the Snapshot goes because its Repository does. One that was deleted before keeps its own
/// policy.
fn goes_with_repository(snapshot: &Snapshot, repository: &Repository) -> bool {
    match (
        &repository.metadata.deletion_timestamp,
        &snapshot.metadata.deletion_timestamp,
    ) {
        (Some(repository), Some(snapshot)) => repository.0 <= snapshot.0,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

fn unreachable_data(world: &World<'_>, why: &str) -> Step {
    if world.terminating {
        return Step::Release(Some(Notice::warning(
            "DataLeftBehind",
            "the namespace is being deleted and the storage cannot be reached from it any more: the data stays; \
             remove it by hand",
        )));
    }
    Step::Blocked(Failure::new(
        "StorageUnreachable",
        format!(
            "failed to remove the data: {why}, or set spec.deletionPolicy to Delete to keep the data"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EARLY: &str = "2024-09-19T10:30:46Z";
    const NOW: &str = "2024-09-19T10:30:47Z";
    const LATE: &str = "2024-09-19T10:30:48Z";

    fn snapshot(policy: &str) -> Snapshot {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": "s", "namespace": "demo", "deletionTimestamp": NOW},
            "spec": {"deletionPolicy": policy, "repository": "r"},
            "status": {"components": {"dump": {"path": "repository/v1/f/dump", "resticStats": [{"id": "abc"}]}}},
        }))
        .unwrap()
    }

    fn repository(deleted: Option<&str>) -> Repository {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": "r", "namespace": "demo", "deletionTimestamp": deleted}, "spec": {},
        }))
        .unwrap()
    }

    fn storage(provider: &str, deleted: Option<&str>) -> BackupStorage {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "s", "namespace": "demo", "deletionTimestamp": deleted},
            "spec": {"storage": {"provider": provider}},
        }))
        .unwrap()
    }

    fn name(step: &Step) -> String {
        match step {
            Step::ForgetObjects => "ForgetObjects".to_owned(),
            Step::ForgetVolume => "ForgetVolume".to_owned(),
            Step::Blocked(failure) => format!("Blocked {}", failure.kind),
            Step::Release(None) => "Release".to_owned(),
            Step::Release(Some(notice)) => format!("Release {}", notice.reason),
        }
    }

    #[test]
    fn every_deletion_ends_or_says_what_to_do() {
        let gcs = || Some(storage("gcs", None));
        let local = || Some(storage("local", None));
        let here = || Some(repository(None));
        let cases = [
            // policy, repository, storage, reachable, namespace terminating
            ("Delete", here(), gcs(), true, false, "Release"),
            ("Delete", None, None, false, true, "Release"),
            ("WipeOut", here(), gcs(), true, false, "ForgetObjects"),
            ("WipeOut", here(), gcs(), true, true, "ForgetObjects"),
            (
                "WipeOut",
                here(),
                gcs(),
                false,
                false,
                "Blocked StorageUnreachable",
            ),
            (
                "WipeOut",
                here(),
                gcs(),
                false,
                true,
                "Release DataLeftBehind",
            ),
            ("WipeOut", here(), local(), false, false, "ForgetVolume"),
            (
                "WipeOut",
                here(),
                local(),
                false,
                true,
                "Release DataLeftBehind",
            ),
            (
                "WipeOut",
                None,
                gcs(),
                true,
                false,
                "Blocked StorageUnreachable",
            ),
            (
                "WipeOut",
                here(),
                None,
                true,
                false,
                "Blocked StorageUnreachable",
            ),
            // The Repository or the storage goes as a whole.
            (
                "WipeOut",
                Some(repository(Some(EARLY))),
                gcs(),
                true,
                false,
                "Release",
            ),
            (
                "WipeOut",
                Some(repository(Some(NOW))),
                gcs(),
                true,
                false,
                "Release",
            ),
            (
                "WipeOut",
                Some(repository(Some(LATE))),
                gcs(),
                true,
                false,
                "ForgetObjects",
            ),
            (
                "WipeOut",
                here(),
                Some(storage("gcs", Some(EARLY))),
                true,
                false,
                "Release",
            ),
        ];
        for (index, (policy, repository, storage, reachable, terminating, expected)) in
            cases.into_iter().enumerate()
        {
            let snapshot = snapshot(policy);
            let world = World {
                snapshot: &snapshot,
                repository: repository.as_ref(),
                storage: storage.as_ref(),
                reachable,
                terminating,
            };
            assert_eq!(name(&next(&world)), expected, "case {index}");
        }
    }

    #[test]
    fn a_snapshot_without_data_goes_also_when_its_repository_is_gone() {
        let mut snapshot = snapshot("WipeOut");
        snapshot.status = None;
        let world = World {
            snapshot: &snapshot,
            repository: None,
            storage: None,
            reachable: false,
            terminating: false,
        };
        assert_eq!(next(&world), Step::Release(None));
    }
}
