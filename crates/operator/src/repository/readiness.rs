//! Whether a Repository may be set up in its storage: pure.

use std::{collections::BTreeMap, sync::Arc};

use kube::ResourceExt;
use kubestash_api::storage::{BackupStorage, BackupStoragePhase, Repository};
use kubestash_core::layout;

use super::decide::Outcome;
use crate::{admission::rules::allows, backupstorage::storage_of, failure::Failure};

/// What stands in the way, if anything does. `others` are all Repositories, `labels` those of the Repository's
/// namespace.
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
            "DirectoryTaken",
            format!(
                "the directory {:?} of BackupStorage {full_name} belongs to Repository {}/{}: \
                 create this one again with a directory of its own",
                repository.spec.path,
                first.namespace().unwrap_or_default(),
                first.name_any()
            ),
        )));
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

/// The Repository that had the directory first.
fn occupant<'a>(
    repository: &Repository,
    others: &'a [Arc<Repository>],
) -> Option<&'a Arc<Repository>> {
    let storage = storage_of(repository)?;
    let order = |object: &Repository| {
        (
            object
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0),
            object.namespace(),
            object.name_any(),
        )
    };
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
}
