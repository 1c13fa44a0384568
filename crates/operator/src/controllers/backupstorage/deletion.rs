//! What the deletion of a BackupStorage calls for next: pure.
//!
//! ```text
//!  Repositories left? ── delete them, wait
//!        │ none
//!  policy Delete ─────── release: the data stays
//!  policy WipeOut ────── wipe what is below the prefix (an object store here, a volume by a Job), then release
//!                        └ what stands in the way is told, and ends the wait where nobody could mend it any more
//! ```

use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kubestash_api::shared::DeletionPolicy;
use kubestash_api::storage::{Backend, BackupStorage, Provider, Repository};
use kubestash_domain::layout::directory::is_within;
use kubestash_domain::layout::{self};

use super::decide::{SECRET_MISSING, is_initialized, secret_missing};
use super::storage_of;
use crate::runtime::events::Notice;
use crate::runtime::failure::Failure;
use crate::validation::same_place;

/// Everything the next step follows from.
pub(super) struct World<'a> {
    pub(super) storage: &'a BackupStorage,
    /// All Repositories of this storage.
    pub(super) repositories: &'a [Arc<Repository>],
    /// All BackupStorages of the cluster.
    pub(super) storages: &'a [Arc<BackupStorage>],
    /// All Repositories of the cluster.
    pub(super) all_repositories: &'a [Arc<Repository>],
    /// Whether the store can be opened, with the Secret or from memory.
    pub(super) reachable: bool,
    /// Whether nothing can be created in the namespace any more.
    pub(super) terminating: bool,
}

/// The next step of a deletion.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Delete those that are not being deleted yet, and wait until all are gone.
    DeleteRepositories(String),
    /// Remove every object below the prefix.
    WipeObjects,
    /// Run the Job that empties the volume.
    WipeVolume,
    /// Nothing can be done until somebody acts.
    Blocked(Failure),
    /// Remove the finalizer.
    Release(Option<Notice>),
}

/// Decides the next step.
pub(super) fn next(world: &World<'_>) -> Step {
    if !world.repositories.is_empty() {
        return Step::DeleteRepositories(waiting_for(world.repositories));
    }
    match world.storage.spec.deletion_policy {
        DeletionPolicy::Delete => Step::Release(None),
        DeletionPolicy::WipeOut => wipe(world),
    }
}

fn waiting_for(repositories: &[Arc<Repository>]) -> String {
    let names: Vec<_> = repositories
        .iter()
        .take(3)
        .map(|repository| {
            format!(
                "{}/{}",
                repository.namespace().unwrap_or_default(),
                repository.name_any()
            )
        })
        .collect();
    let more = if repositories.len() > names.len() {
        ", …"
    } else {
        ""
    };
    format!(
        "waiting for {} Repositories to be deleted: {}{more}",
        repositories.len(),
        names.join(", ")
    )
}

fn wipe(world: &World<'_>) -> Step {
    let conditions = world
        .storage
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    if !is_initialized(conditions) {
        return Step::Release(Some(Notice::normal(
            "NothingToWipe",
            "the storage was never set up, so nothing was written to it and nothing is removed",
        )));
    }
    if let Some(inner) = inside(world) {
        return Step::Blocked(Failure {
            kind: "OtherStorageInside".to_owned(),
            message: format!(
                "failed to remove the data: BackupStorage {}/{} lies below the same prefix and its data would go too; \
                 delete that one first, or set spec.deletionPolicy to Delete to keep the data",
                inner.namespace().unwrap_or_default(),
                inner.name_any()
            ),
        });
    }
    if let Some(reaching) = reaching_in(world) {
        return Step::Blocked(Failure {
            kind: "OtherRepositoryInside".to_owned(),
            message: format!(
                "failed to remove the data: Repository {}/{} of another BackupStorage lies below the same prefix and its \
                 data would go too; delete that one first, or set spec.deletionPolicy to Delete to keep the data",
                reaching.namespace().unwrap_or_default(),
                reaching.name_any()
            ),
        });
    }
    let provider = world
        .storage
        .spec
        .storage
        .as_ref()
        .and_then(Backend::known_provider);
    match (provider, world.terminating) {
        (Some(Provider::Local), true) => Step::Release(Some(Notice::warning(
            "DataLeftBehind",
            "the namespace is being deleted, so no Job can empty the volume: the backups in it stay; \
             remove them by hand, or delete the volume",
        ))),
        (Some(Provider::Local), false) => Step::WipeVolume,
        _ if world.reachable => Step::WipeObjects,
        (_, true) => Step::Release(Some(Notice::warning(
            "DataLeftBehind",
            "the namespace is being deleted and the storage's Secret with it, so the bucket cannot be reached: \
             the backups in it stay; remove them by hand",
        ))),
        (_, false) => Step::Blocked(Failure {
            kind: SECRET_MISSING.to_owned(),
            message: format!(
                "failed to remove the data: {}. Or set spec.deletionPolicy to Delete to keep the data",
                secret_missing(world.storage)
            ),
        }),
    }
}

/// A Repository of a storage around this one, in the same bucket, whose directory lies inside this
/// one's prefix.
fn reaching_in<'a>(world: &World<'a>) -> Option<&'a Arc<Repository>> {
    let inner = world.storage.spec.storage.as_ref()?;
    let prefix = prefix_of(inner);
    world.all_repositories.iter().find(|repository| {
        let Some(reference) = storage_of(repository) else {
            return false;
        };
        let outer = world.storages.iter().find(|storage| {
            reference == ObjectRef::from_obj(storage.as_ref())
                && (storage.namespace(), storage.name_any())
                    != (world.storage.namespace(), world.storage.name_any())
        });
        let Some(outer) = outer.and_then(|outer| outer.spec.storage.as_ref()) else {
            return false;
        };
        let place = layout::join(&[&prefix_of(outer), &repository.spec.path]);
        is_within(&place, &prefix) && same_place(&without_prefix(outer), &without_prefix(inner))
    })
}

/// A storage of the same bucket whose directory lies inside the one to be wiped.
fn inside<'a>(world: &World<'a>) -> Option<&'a Arc<BackupStorage>> {
    let outer = world.storage.spec.storage.as_ref()?;
    let prefix = prefix_of(outer);
    world.storages.iter().find(|other| {
        let own = other.namespace() == world.storage.namespace()
            && other.name_any() == world.storage.name_any();
        let Some(place) = other.spec.storage.as_ref().filter(|_| !own) else {
            return false;
        };
        let below = is_within(&prefix_of(place), &prefix);
        // Apart from the prefix, it must be the same bucket of the same server.
        below && same_place(&without_prefix(outer), &without_prefix(place))
    })
}

fn prefix_of(storage: &Backend) -> String {
    let prefix = storage
        .s3
        .as_ref()
        .and_then(|s3| s3.prefix.as_deref())
        .or(storage.gcs.as_ref().and_then(|gcs| gcs.prefix.as_deref()))
        .or(storage
            .azure
            .as_ref()
            .and_then(|azure| azure.prefix.as_deref()));
    layout::join(&[prefix.unwrap_or_default()])
}

fn without_prefix(storage: &Backend) -> Backend {
    let mut bucket = storage.clone();
    if let Some(s3) = &mut bucket.s3 {
        s3.prefix = None;
    }
    if let Some(gcs) = &mut bucket.gcs {
        gcs.prefix = None;
    }
    if let Some(azure) = &mut bucket.azure {
        azure.prefix = None;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const INITIALIZED: &str = r#"{"conditions": [{"type": "BackendInitialized", "status": "True",
        "lastTransitionTime": "2024-09-19T10:30:46Z"}]}"#;

    fn storage(name: &str, policy: &str, backend: Value, initialized: bool) -> BackupStorage {
        let status: Value = if initialized {
            serde_json::from_str(INITIALIZED).unwrap()
        } else {
            Value::Null
        };
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {"deletionPolicy": policy, "storage": backend}, "status": status,
        }))
        .unwrap()
    }

    fn gcs(prefix: &str) -> Value {
        json!({"provider": "gcs", "gcs": {"bucket": "b", "prefix": prefix, "secretName": "s"}})
    }

    fn local() -> Value {
        json!({"provider": "local", "local": {"mountPath": "/data", "hostPath": {"path": "/x"}}})
    }

    fn step(
        storage: &BackupStorage,
        others: Vec<BackupStorage>,
        reachable: bool,
        terminating: bool,
    ) -> Step {
        let storages: Vec<_> = others.into_iter().map(Arc::new).collect();
        next(&World {
            storage,
            repositories: &[],
            storages: &storages,
            all_repositories: &[],
            reachable,
            terminating,
        })
    }

    fn name(step: &Step) -> String {
        match step {
            Step::DeleteRepositories(_) => "DeleteRepositories".to_owned(),
            Step::WipeObjects => "WipeObjects".to_owned(),
            Step::WipeVolume => "WipeVolume".to_owned(),
            Step::Blocked(failure) => format!("Blocked {}", failure.kind),
            Step::Release(None) => "Release".to_owned(),
            Step::Release(Some(notice)) => format!("Release {}", notice.reason),
        }
    }

    #[test]
    fn the_repositories_go_first_whatever_the_policy() {
        let repository = json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": "r", "namespace": "other"}, "spec": {},
        });
        let repositories = [Arc::new(serde_json::from_value(repository).unwrap())];
        for policy in ["Delete", "WipeOut"] {
            let storage = storage("s", policy, gcs("p"), true);
            let world = World {
                storage: &storage,
                repositories: &repositories,
                storages: &[],
                all_repositories: &[],
                reachable: true,
                terminating: false,
            };
            let Step::DeleteRepositories(message) = next(&world) else {
                panic!("{policy}")
            };
            assert!(message.contains("other/r"), "{message}");
        }
    }

    #[test]
    fn every_deletion_ends_or_says_what_to_do() {
        let cases = [
            // policy, backend, set up, reachable, namespace terminating
            ("Delete", gcs("p"), true, true, false, "Release"),
            ("Delete", gcs("p"), true, false, true, "Release"),
            ("Delete", local(), true, false, true, "Release"),
            ("WipeOut", gcs("p"), true, true, false, "WipeObjects"),
            ("WipeOut", gcs("p"), true, true, true, "WipeObjects"),
            (
                "WipeOut",
                gcs("p"),
                true,
                false,
                false,
                "Blocked StorageSecretMissing",
            ),
            (
                "WipeOut",
                gcs("p"),
                true,
                false,
                true,
                "Release DataLeftBehind",
            ),
            (
                "WipeOut",
                gcs("p"),
                false,
                false,
                false,
                "Release NothingToWipe",
            ),
            ("WipeOut", local(), true, false, false, "WipeVolume"),
            (
                "WipeOut",
                local(),
                true,
                false,
                true,
                "Release DataLeftBehind",
            ),
        ];
        for (policy, backend, initialized, reachable, terminating, expected) in cases {
            let storage = storage("s", policy, backend, initialized);
            let step = step(&storage, vec![storage.clone()], reachable, terminating);
            assert_eq!(
                name(&step),
                expected,
                "{policy} {initialized} {reachable} {terminating}"
            );
        }
    }

    #[test]
    fn the_data_of_a_storage_below_the_prefix_is_not_wiped_with_it() {
        let cases = [
            ("p", "p/inner", "Blocked OtherStorageInside"),
            ("", "anything", "Blocked OtherStorageInside"),
            ("p", "p2", "WipeObjects"),
            ("p/inner", "p", "WipeObjects"),
        ];
        for (outer, inner, expected) in cases {
            let storage_outer = storage("outer", "WipeOut", gcs(outer), true);
            let others = vec![
                storage_outer.clone(),
                storage("inner", "Delete", gcs(inner), true),
            ];
            assert_eq!(
                name(&step(&storage_outer, others, true, false)),
                expected,
                "{outer} {inner}"
            );
        }
    }

    #[test]
    fn the_data_of_a_repository_that_reaches_in_from_around_is_not_wiped_with_the_storage() {
        let inner = storage("inner", "WipeOut", gcs("p/inner"), true);
        let storages = [
            Arc::new(inner.clone()),
            Arc::new(storage("outer", "Delete", gcs("p"), true)),
        ];
        for (path, expected) in [
            ("inner/r", "Blocked OtherRepositoryInside"),
            ("/inner/", "Blocked OtherRepositoryInside"),
            ("inner2/r", "WipeObjects"),
        ] {
            let repository = json!({
                "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
                "metadata": {"name": "r", "namespace": "other"},
                "spec": {"path": path, "storageRef": {"name": "outer", "namespace": "demo"}},
            });
            let step = next(&World {
                storage: &inner,
                repositories: &[],
                storages: &storages,
                all_repositories: &[Arc::new(serde_json::from_value(repository).unwrap())],
                reachable: true,
                terminating: false,
            });
            assert_eq!(name(&step), expected, "{path}");
        }
    }
}
