//! What the deletion of a Repository calls for next: pure.

use std::sync::Arc;

use kube::ResourceExt;
use kubestash_api::shared::DeletionPolicy;
use kubestash_api::storage::{BackupStorage, Repository};
use kubestash_domain::layout;

use super::decide::is_initialized;
use crate::controllers::backupstorage::{is_local, storage_of};
use crate::runtime::events::Notice;
use crate::runtime::failure::Failure;

/// Everything the next step follows from.
pub(super) struct World<'a> {
    pub(super) repository: &'a Repository,
    /// How many Snapshots it still has.
    pub(super) snapshots: usize,
    pub(super) storage: Option<&'a BackupStorage>,
    /// All Repositories of the cluster.
    pub(super) repositories: &'a [Arc<Repository>],
    /// Whether the store can be opened, with the Secret or from memory.
    pub(super) reachable: bool,
    /// Whether nothing can be created in the Repository's namespace any more.
    pub(super) terminating: bool,
}

/// The next step of a deletion.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Delete those that are not being deleted yet, and wait until all are gone.
    DeleteSnapshots(String),
    /// Remove every object of the directory.
    WipeObjects,
    /// Run the Job that removes the directory from the volume.
    WipeVolume,
    /// Nothing can be done until somebody acts.
    Blocked(Failure),
    /// Remove the finalizer.
    Release(Option<Notice>),
}

/// Decides the next step.
pub(super) fn next(world: &World<'_>) -> Step {
    if world.snapshots > 0 {
        return Step::DeleteSnapshots(format!(
            "waiting for {} Snapshots to be deleted",
            world.snapshots
        ));
    }
    match world.repository.spec.deletion_policy {
        DeletionPolicy::Delete => Step::Release(None),
        DeletionPolicy::WipeOut => wipe(world),
    }
}

fn wipe(world: &World<'_>) -> Step {
    if !is_initialized(world.repository) {
        return Step::Release(Some(Notice::normal(
            "NothingToWipe",
            "the Repository was never set up, so nothing was written to its directory and nothing is removed",
        )));
    }
    let Some(storage) = world.storage else {
        return unreachable_storage(world, "its BackupStorage does not exist: create it again");
    };
    if goes_with_storage(world.repository, storage) {
        // What happens to the data is up to the policy of the storage that goes as a whole.
        return Step::Release(None);
    }
    if let Some(other) = sharing(world) {
        return Step::Blocked(Failure::new(
            "DirectoryShared",
            format!(
                "failed to remove the data: Repository {}/{} has the same directory and its data would go too; \
                 delete that one first, or set spec.deletionPolicy to Delete to keep the data",
                other.namespace().unwrap_or_default(),
                other.name_any()
            ),
        ));
    }
    match (is_local(storage), world.terminating) {
        (true, true) => Step::Release(Some(Notice::warning(
            "DataLeftBehind",
            "the namespace is being deleted, so no Job can remove the directory from the volume: the backups in it stay; \
             remove them by hand",
        ))),
        (true, false) => Step::WipeVolume,
        (false, _) if world.reachable => Step::WipeObjects,
        (false, _) => unreachable_storage(
            world,
            "the Secret of its BackupStorage does not exist or lacks a key: create it again",
        ),
    }
}

fn unreachable_storage(world: &World<'_>, why: &str) -> Step {
    if world.terminating {
        return Step::Release(Some(Notice::warning(
            "DataLeftBehind",
            "the namespace is being deleted and the storage cannot be reached any more: the backups in it stay; \
             remove them by hand",
        )));
    }
    Step::Blocked(Failure::new(
        "StorageUnreachable",
        format!(
            "failed to remove the data: {why}, or set spec.deletionPolicy to Delete to keep the data"
        ),
    ))
}

/// Whether the Repository goes because its storage does. One that was deleted before keeps its own
/// policy.
pub(crate) fn goes_with_storage(repository: &Repository, storage: &BackupStorage) -> bool {
    match (
        &storage.metadata.deletion_timestamp,
        &repository.metadata.deletion_timestamp,
    ) {
        (Some(storage), Some(repository)) => storage.0 <= repository.0,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Another Repository with the same directory. One whose directory lies inside keeps its data in
/// any case.
fn sharing<'a>(world: &World<'a>) -> Option<&'a Arc<Repository>> {
    let own = storage_of(world.repository);
    world.repositories.iter().find(|other| {
        other.uid() != world.repository.uid()
            && storage_of(other) == own
            && layout::same_directory(&other.spec.path, &world.repository.spec.path)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EARLY: &str = "2024-09-19T10:30:46Z";
    const LATE: &str = "2024-09-19T10:30:47Z";

    fn repository(name: &str, policy: &str, path: &str, initialized: bool) -> Repository {
        let status = if initialized {
            json!({"conditions": [{"type": "RepositoryInitialized", "status": "True", "lastTransitionTime": EARLY}]})
        } else {
            Value::Null
        };
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": name, "namespace": "demo", "uid": name, "deletionTimestamp": LATE},
            "spec": {"path": path, "deletionPolicy": policy, "storageRef": {"name": "s"}}, "status": status,
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
            Step::DeleteSnapshots(_) => "DeleteSnapshots".to_owned(),
            Step::WipeObjects => "WipeObjects".to_owned(),
            Step::WipeVolume => "WipeVolume".to_owned(),
            Step::Blocked(failure) => format!("Blocked {}", failure.kind),
            Step::Release(None) => "Release".to_owned(),
            Step::Release(Some(notice)) => format!("Release {}", notice.reason),
        }
    }

    #[test]
    fn every_deletion_ends_or_says_what_to_do() {
        let gcs = || Some(storage("gcs", None));
        let local = || Some(storage("local", None));
        let cases = [
            // policy, set up, snapshots, storage, reachable, namespace terminating
            ("WipeOut", true, 2, gcs(), true, false, "DeleteSnapshots"),
            ("Delete", true, 1, gcs(), true, false, "DeleteSnapshots"),
            ("Delete", true, 0, None, false, true, "Release"),
            ("WipeOut", true, 0, gcs(), true, false, "WipeObjects"),
            ("WipeOut", true, 0, gcs(), true, true, "WipeObjects"),
            (
                "WipeOut",
                true,
                0,
                gcs(),
                false,
                false,
                "Blocked StorageUnreachable",
            ),
            (
                "WipeOut",
                true,
                0,
                gcs(),
                false,
                true,
                "Release DataLeftBehind",
            ),
            (
                "WipeOut",
                true,
                0,
                None,
                false,
                false,
                "Blocked StorageUnreachable",
            ),
            (
                "WipeOut",
                true,
                0,
                None,
                false,
                true,
                "Release DataLeftBehind",
            ),
            ("WipeOut", true, 0, local(), false, false, "WipeVolume"),
            (
                "WipeOut",
                true,
                0,
                local(),
                false,
                true,
                "Release DataLeftBehind",
            ),
            (
                "WipeOut",
                false,
                0,
                gcs(),
                true,
                false,
                "Release NothingToWipe",
            ),
            // The storage goes as a whole, and says itself what happens to the data.
            (
                "WipeOut",
                true,
                0,
                Some(storage("gcs", Some(EARLY))),
                true,
                false,
                "Release",
            ),
            (
                "WipeOut",
                true,
                0,
                Some(storage("gcs", Some(LATE))),
                true,
                false,
                "Release",
            ),
            // The Repository was deleted before its storage.
            (
                "WipeOut",
                true,
                0,
                Some(storage("gcs", Some("2024-09-19T10:30:48Z"))),
                true,
                false,
                "WipeObjects",
            ),
        ];
        for (index, (policy, initialized, snapshots, storage, reachable, terminating, expected)) in
            cases.into_iter().enumerate()
        {
            let repository = repository("r", policy, "/d", initialized);
            let world = World {
                repository: &repository,
                snapshots,
                storage: storage.as_ref(),
                repositories: &[Arc::new(repository.clone())],
                reachable,
                terminating,
            };
            assert_eq!(name(&next(&world)), expected, "case {index}");
        }
    }

    #[test]
    fn a_directory_that_two_repositories_have_is_not_wiped_while_there_are_two() {
        let outer = repository("outer", "WipeOut", "/d", true);
        let storage = storage("gcs", None);
        for (path, expected) in [
            // What lies inside keeps its data: only our own layout of this very directory goes.
            ("/d/inner", "WipeObjects"),
            ("/d/repository/v1", "WipeObjects"),
            ("d", "Blocked DirectoryShared"),
            ("/d2", "WipeObjects"),
        ] {
            let others = [
                Arc::new(outer.clone()),
                Arc::new(repository("inner", "Delete", path, true)),
            ];
            let world = World {
                repository: &outer,
                snapshots: 0,
                storage: Some(&storage),
                repositories: &others,
                reachable: true,
                terminating: false,
            };
            assert_eq!(name(&next(&world)), expected, "{path}");
        }
    }
}
