//! Whether a Repository may be set up in its storage: pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kubestash_api::storage::{BackupStorage, BackupStoragePhase, Repository};
use kubestash_domain::layout::{self, directory};

use super::decide::{Outcome, is_initialized};
use crate::controllers::backupstorage::storage_of;
use crate::runtime::failure::Failure;
use crate::validation::{allows, directories};

/// The word for a directory that contains another one's or lies in it.
pub(super) const NESTED: &str = "DirectoryNested";
/// The word for a directory that another Repository has.
pub(super) const TAKEN: &str = "DirectoryTaken";
/// The word for a directory that cannot be a repository's.
const INVALID: &str = "DirectoryInvalid";

/// What stands in the way, if anything does. `others` are all Repositories, `labels` those of the
/// Repository's namespace.
pub(super) fn obstacle(
    repository: &Repository,
    storage: Option<&BackupStorage>,
    others: &[Arc<Repository>],
    labels: &BTreeMap<String, String>,
) -> Option<Outcome> {
    let namespace = repository.namespace().unwrap_or_default();
    let Some(reference) = &repository.spec.storage_ref else {
        return Some(Outcome::Failed(Failure::new(
            "StorageNotNamed",
            "spec.storageRef is empty: name the BackupStorage of the Repository",
        )));
    };
    let full_name = format!("{}/{}", reference.namespace_or(&namespace), reference.name);
    let Some(storage) = storage else {
        return Some(Outcome::Waiting(Failure::new(
            "StorageNotFound",
            format!(
                "BackupStorage {full_name} does not exist: create it, the Repository is set up as soon as it is ready"
            ),
        )));
    };
    let owner = storage.namespace().unwrap_or_default();
    if !allows(
        storage.spec.usage_policy.as_ref(),
        &owner,
        &namespace,
        labels,
    ) {
        return Some(Outcome::Failed(Failure::new(
            "StorageNotAllowed",
            format!(
                "BackupStorage {full_name} does not allow its use from namespace {namespace}: \
                 let its owner extend spec.usagePolicy.allowedNamespaces"
            ),
        )));
    }
    if let Some(first) = occupant(repository, others) {
        return Some(Outcome::Failed(Failure::new(
            TAKEN,
            format!(
                "the directory {:?} of BackupStorage {full_name} belongs to Repository {}/{}: \
                 create this one again with a directory of its own",
                repository.spec.path,
                first.namespace().unwrap_or_default(),
                first.name_any()
            ),
        )));
    }
    if let Some(failure) = misplaced(repository, others) {
        return Some(Outcome::Failed(failure));
    }
    let is_ready =
        storage.status.as_ref().and_then(|status| status.phase) == Some(BackupStoragePhase::Ready);
    (!is_ready).then(|| {
        Outcome::Waiting(Failure::new(
            "StorageNotReady",
            format!("BackupStorage {full_name} is not ready: see its conditions; the Repository waits for it"),
        ))
    })
}

/// Why a Repository that has never been used cannot have its directory, if it cannot.
fn misplaced(repository: &Repository, others: &[Arc<Repository>]) -> Option<Failure> {
    if was_there(repository) {
        return None;
    }
    let path = &repository.spec.path;
    if let Err(error) = directory::check(path) {
        let message = format!("the directory {path:?} cannot be a repository's: {error}");
        return Some(Failure::new(INVALID, message));
    }
    let storage = storage_of(repository)?;
    let first = others.iter().find(|other| {
        is_beside(other, repository)
            && storage_of(other).as_ref() == Some(&storage)
            && (was_there(other) || order(other) < order(repository))
    })?;
    Some(Failure::new(NESTED, sentence(repository, first)))
}

/// What there is to say about a Repository that goes on although its directory contains another
/// one's, or lies in it.
pub(super) fn nested(repository: &Repository, others: &[Arc<Repository>]) -> Option<String> {
    let storage = storage_of(repository)?;
    let other = others.iter().find(|other| {
        is_beside(other, repository)
            && storage_of(other).as_ref() == Some(&storage)
            && was_there(other)
    });
    other
        .filter(|_| was_there(repository))
        .map(|other| {
            format!(
                "{}. Both continue to work, and neither's data is removed with the other; new ones are refused",
                sentence(repository, other)
            )
        })
}

fn is_beside(other: &Repository, repository: &Repository) -> bool {
    other.uid() != repository.uid()
        && directory::relation(&repository.spec.path, &other.spec.path).is_nested()
}

/// Whether there is data in its directory, or may be.
fn was_there(repository: &Repository) -> bool {
    is_initialized(repository) || directories::is_read_back(repository)
}

fn sentence(repository: &Repository, other: &Repository) -> String {
    let owner = format!(
        "{}/{}",
        other.namespace().unwrap_or_default(),
        other.name_any()
    );
    directories::sentence(&repository.spec.path, &owner, &other.spec.path)
}

fn order(object: &Repository) -> impl Ord {
    (
        object
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0),
        object.namespace(),
        object.name_any(),
    )
}

/// The Repository that had the directory first.
fn occupant<'a>(
    repository: &Repository,
    others: &'a [Arc<Repository>],
) -> Option<&'a Arc<Repository>> {
    let storage = storage_of(repository)?;
    others.iter().find(|other| {
        other.uid() != repository.uid()
            && storage_of(other).as_ref() == Some(&storage)
            && layout::same_directory(&other.spec.path, &repository.spec.path)
            && order(other) < order(repository)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn repository(namespace: &str, name: &str, created: &str, path: &str) -> Repository {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": name, "namespace": namespace, "uid": format!("{namespace}/{name}"), "creationTimestamp": created},
            "spec": {"path": path, "storageRef": {"name": "gcs-storage", "namespace": "demo"}},
        }))
        .unwrap()
    }

    fn storage(from: &str, phase: Value) -> BackupStorage {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "gcs-storage", "namespace": "demo"},
            "spec": {"usagePolicy": {"allowedNamespaces": {"from": from}}}, "status": {"phase": phase},
        }))
        .unwrap()
    }

    const EARLY: &str = "2024-09-19T10:30:46Z";
    const LATE: &str = "2024-09-19T10:30:47Z";

    fn word(outcome: Option<Outcome>) -> String {
        match outcome {
            None => "none".to_owned(),
            Some(Outcome::Initialized) => "initialized".to_owned(),
            Some(Outcome::Waiting(failure)) => format!("waiting {}", failure.kind),
            Some(Outcome::Failed(failure)) => format!("failed {}", failure.kind),
        }
    }

    #[test]
    fn each_obstacle_is_told() {
        let here = repository("demo", "r", EARLY, "/d");
        let there = repository("other", "r", EARLY, "/d");
        let ready = storage("All", json!("Ready"));
        let cases = [
            (&here, Some(&ready), "none"),
            (&here, None, "waiting StorageNotFound"),
            (
                &here,
                Some(&storage("All", json!("NotReady"))),
                "waiting StorageNotReady",
            ),
            (
                &here,
                Some(&storage("All", Value::Null)),
                "waiting StorageNotReady",
            ),
            (&there, Some(&ready), "none"),
            (
                &there,
                Some(&storage("Same", json!("Ready"))),
                "failed StorageNotAllowed",
            ),
        ]
        .map(|(repository, storage, expected)| {
            (
                word(obstacle(repository, storage, &[], &BTreeMap::new())),
                expected,
            )
        });
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
        let mut unnamed = here.clone();
        unnamed.spec.storage_ref = None;
        assert_eq!(
            word(obstacle(&unnamed, None, &[], &BTreeMap::new())),
            "failed StorageNotNamed"
        );
    }

    #[test]
    fn the_first_repository_keeps_its_directory() {
        let ready = storage("All", json!("Ready"));
        let first = repository("demo", "first", EARLY, "/d");
        let second = repository("demo", "second", LATE, "d/");
        let elsewhere = repository("demo", "elsewhere", EARLY, "/e");
        let all: Vec<_> = [&first, &second, &elsewhere]
            .map(|object| Arc::new(object.clone()))
            .into();
        let judge =
            |object: &Repository| word(obstacle(object, Some(&ready), &all, &BTreeMap::new()));
        assert_eq!(judge(&first), "none");
        assert_eq!(judge(&second), "failed DirectoryTaken");
        assert_eq!(judge(&elsewhere), "none");
    }

    fn set_up(mut repository: Repository) -> Repository {
        repository.status = serde_json::from_value(json!({"conditions": [{
            "type": "RepositoryInitialized", "status": "True", "lastTransitionTime": EARLY}]}))
        .unwrap();
        repository
    }

    #[test]
    fn a_new_directory_that_contains_anothers_is_refused_and_old_ones_go_on_with_a_word() {
        let ready = storage("All", json!("Ready"));
        let outer = || repository("demo", "outer", LATE, "demo");
        let inner = || repository("other", "inner", EARLY, "demo/sample-druid-2");
        let judge = |object: &Repository, other: Repository| {
            let all = [Arc::new(object.clone()), Arc::new(other)];
            let found = obstacle(object, Some(&ready), &all, &BTreeMap::new());
            (word(found), nested(object, &all).is_some())
        };
        let refused = || "failed DirectoryNested".to_owned();
        let fine = || "none".to_owned();
        // Whoever was there first, or is in use, keeps its directory.
        assert_eq!(judge(&outer(), inner()), (refused(), false));
        assert_eq!(judge(&inner(), outer()), (fine(), false));
        assert_eq!(judge(&inner(), set_up(outer())), (refused(), false));
        // Two that were made before the rule.
        assert_eq!(judge(&set_up(outer()), set_up(inner())), (fine(), true));
        assert_eq!(judge(&set_up(inner()), set_up(outer())), (fine(), true));
        // One that was read back is in use, though nobody has set it up yet.
        let mut back = outer();
        back.annotations_mut()
            .insert("kubestash.com/read-back".to_owned(), "true".to_owned());
        assert_eq!(judge(&back, set_up(inner())), (fine(), true));
        // Both are named, and what to do.
        let all = [Arc::new(inner())];
        let Some(Outcome::Failed(failure)) =
            obstacle(&outer(), Some(&ready), &all, &BTreeMap::new())
        else {
            panic!("not refused")
        };
        for part in [
            "\"demo\"",
            "\"demo/sample-druid-2\"",
            "other/inner",
            "give it a directory",
        ] {
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }

    #[test]
    fn the_root_of_a_storage_is_refused_unless_it_is_in_use() {
        let ready = storage("All", json!("Ready"));
        let judge =
            |object: &Repository| word(obstacle(object, Some(&ready), &[], &BTreeMap::new()));
        for path in ["", "/", "a/../b"] {
            let new = repository("demo", "root", EARLY, path);
            assert_eq!(judge(&new), "failed DirectoryInvalid", "{path}");
            assert_eq!(judge(&set_up(new)), "none", "{path}");
        }
    }
}
