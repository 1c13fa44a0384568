//! Repositories and Snapshots from the YAML in the bucket: after a loss of the cluster, or of the
//! BackupStorage.
//!
//! Invariant: this happens once in the life of a BackupStorage, before its first use. Objects that
//! a user deletes later must not come back. What exists already is left alone.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use kubestash_api::conditions::snapshot::SNAPSHOT_METADATA_UPLOADED;
use kubestash_api::config::BackendMeta;
use kubestash_api::labels;
use kubestash_api::shared::ObjectReference;
use kubestash_api::storage::{
    BackupStorage, Repository, RepositorySpec, Snapshot, SnapshotStatus, StorageRepository,
};
use kubestash_backend::{Backend, StoredRepository};
use kubestash_domain::{condition, layout, phase};
use serde_json::json;

use super::decide::{Synced, is_initialized};
use crate::context::Context;
use crate::runtime::apply::{self, ApplyError, Manager, Owns, request};
use crate::runtime::controller::full_text;
use crate::runtime::events::Notice;
use crate::stores::StoreError;
use crate::validation::allows;

pub(crate) const MANAGER: Manager = Manager("kubestash-read-back");
const UPLOADED: &str = "Metadata uploaded to backend successfully";
/// How many errors of one repository its entry in the status shows.
const SHOWN: usize = 3;
/// What `kubectl apply` remembers is not ours to restore.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether the storage is to be read back.
pub(super) fn is_due(storage: &BackupStorage) -> bool {
    let conditions = storage
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    !storage.annotations().contains_key(labels::READ_BACK) && !is_initialized(conditions)
}

/// Remembers that the storage has been read back.
pub(super) async fn mark(ctx: &Context, storage: &BackupStorage) -> Result<(), ApplyError> {
    let api: Api<BackupStorage> = ctx.api(&storage.namespace().unwrap_or_default());
    let patch = json!({ "metadata": { "uid": storage.uid(), "annotations": { labels::READ_BACK: "true" } } });
    let params = PatchParams {
        field_manager: Some(MANAGER.0.to_owned()),
        ..PatchParams::default()
    };
    api.patch_metadata(&storage.name_any(), &params, &Patch::Merge(&patch))
        .await
        .map_err(|source| request("annotate", storage, source))?;
    Ok(())
}

/// Makes the objects that a bucket tells of. One repository that cannot be read does not hinder the
/// others; only a bucket that fails altogether does. `metadata` is what the storage says that it
/// holds.
pub(super) async fn from_bucket(
    ctx: &Context,
    storage: &BackupStorage,
    backend: &Backend,
    metadata: Option<&BackendMeta>,
) -> Result<Vec<Synced>, StoreError> {
    let stored = backend.stored_repositories(metadata).await?;
    Ok(from_report(ctx, storage, stored).await?)
}

/// Makes the objects that a Job found in a volume.
pub(super) async fn from_report(
    ctx: &Context,
    storage: &BackupStorage,
    stored: Vec<StoredRepository>,
) -> Result<Vec<Synced>, ApplyError> {
    let mut synced = Vec::new();
    for stored in stored {
        synced.push(make(ctx, storage, stored).await?);
    }
    Ok(synced)
}

/// Why a Repository is not made.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "failed to create its objects: namespace {0} does not exist; create it, then delete and create the BackupStorage again"
    )]
    NamespaceMissing(String),
    #[error(
        "failed to create its objects: namespace {namespace} may not use BackupStorage {storage}; let \
         spec.usagePolicy.allowedNamespaces of the storage allow it, then delete and create the BackupStorage again"
    )]
    NamespaceNotAllowed {
        /// The namespace in the file.
        namespace: String,
        /// The storage that the file lies in.
        storage: String,
    },
    #[error(
        "failed to make Repository {0}: one of that name exists with another storage or directory; \
         delete one of them, then delete and create the BackupStorage again"
    )]
    NameTaken(String),
    #[error(transparent)]
    Api(#[from] ApplyError),
}

/// Makes the objects of one repository, as far as they can be made, and says what became of it.
///
/// # Errors
/// If the API server does not answer: then it is worth trying again, and what was made already is
/// found.
async fn make(
    ctx: &Context,
    storage: &BackupStorage,
    mut stored: StoredRepository,
) -> Result<Synced, ApplyError> {
    let mut entry = StorageRepository {
        synced: Some(false),
        // If its file is broken, the directory is all that is known, and what metadata.yaml says.
        ..stored.named.take().unwrap_or_else(|| StorageRepository {
            name: stored.directory.clone(),
            path: Some(stored.directory.clone()),
            ..StorageRepository::default()
        })
    };
    if let Some(repository) = stored.repository.take() {
        match make_repository(ctx, storage, &stored.directory, &repository, &mut entry).await {
            Ok(live) => {
                entry.synced = Some(true);
                make_snapshots(ctx, &live, &mut stored).await?;
            }
            Err(Refusal::Api(error)) if !error.is_final() => return Err(error),
            Err(refusal) => stored.errors.insert(0, full_text(&refusal)),
        }
    }
    entry.error = told(&stored.errors);
    if let Some(error) = &entry.error {
        tracing::warn!(
            storage = storage.name_any(),
            directory = stored.directory,
            error,
            "not everything of a Repository could be read back"
        );
    }
    Ok(Synced { entry })
}

/// What went wrong, in a line that a status can hold.
fn told(errors: &[String]) -> Option<String> {
    let first: Vec<_> = errors.iter().take(SHOWN).map(String::as_str).collect();
    let more = match errors.len().checked_sub(SHOWN) {
        None | Some(0) => String::new(),
        Some(more) => format!("; and {more} more"),
    };
    (!first.is_empty()).then(|| first.join("; ") + &more)
}

/// What to say about repositories that did not come back whole.
pub(super) fn notice(synced: &[Synced]) -> Option<Notice> {
    let names: Vec<_> = synced
        .iter()
        .filter(|synced| synced.entry.error.is_some())
        .map(|synced| synced.entry.name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        let note = format!(
            "not everything could be read back from the storage: {}; status.repositories[].error has the reasons, \
             and the data itself is untouched",
            names.join(", ")
        );
        Notice::warning("ReadBackIncomplete", note)
    })
}

async fn make_repository(
    ctx: &Context,
    storage: &BackupStorage,
    directory: &str,
    stored: &Repository,
    entry: &mut StorageRepository,
) -> Result<Repository, Refusal> {
    let namespace = stored
        .namespace()
        .unwrap_or_else(|| storage.namespace().unwrap_or_default());
    entry.name = stored.name_any();
    entry.namespace = Some(namespace.clone());
    entry.path = Some(stored.spec.path.clone());
    if ctx.is_terminating(&namespace) {
        return Err(Refusal::NamespaceMissing(namespace));
    }
    // A file is no better than any other user of the storage: whoever can write into it could name
    // any namespace.
    if !is_allowed(storage, &namespace, &ctx.namespace_labels(&namespace)) {
        return Err(Refusal::NamespaceNotAllowed {
            namespace,
            storage: format!(
                "{}/{}",
                storage.namespace().unwrap_or_default(),
                storage.name_any()
            ),
        });
    }
    let wanted = repository(storage, stored, &namespace, directory);
    let live = apply::create(&ctx.api::<Repository>(&namespace), &wanted, MANAGER).await?;
    let same_storage = match (&live.spec.storage_ref, &wanted.spec.storage_ref) {
        (Some(live), Some(wanted)) => live.same_object(wanted, &namespace),
        _ => false,
    };
    if !same_storage || !layout::same_directory(&live.spec.path, &wanted.spec.path) {
        let name = format!("{namespace}/{}", wanted.name_any());
        return Err(Refusal::NameTaken(name));
    }
    Ok(live)
}

fn is_allowed(
    storage: &BackupStorage,
    namespace: &str,
    namespace_labels: &BTreeMap<String, String>,
) -> bool {
    let owner = storage.namespace().unwrap_or_default();
    let policy = storage.spec.usage_policy.as_ref();
    allows(policy, &owner, namespace, namespace_labels)
}

/// Makes the Snapshots of a Repository; one that the API server refuses is told, and hinders no
/// other.
async fn make_snapshots(
    ctx: &Context,
    repository: &Repository,
    stored: &mut StoredRepository,
) -> Result<(), ApplyError> {
    let api: Api<Snapshot> = ctx.api(&repository.namespace().unwrap_or_default());
    let StoredRepository {
        snapshots, errors, ..
    } = stored;
    for stored in snapshots.iter() {
        match make_snapshot(&api, repository, stored).await {
            Ok(()) => {}
            Err(error) if error.is_final() => errors.push(full_text(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn make_snapshot(
    api: &Api<Snapshot>,
    repository: &Repository,
    stored: &Snapshot,
) -> Result<(), ApplyError> {
    let live = apply::create(api, &snapshot(repository, stored), MANAGER).await?;
    if live.status.is_none() {
        apply::status(api, &live, &status_of(stored), Owns::Given, MANAGER).await?;
    }
    Ok(())
}

fn metadata(stored: &ObjectMeta, namespace: &str) -> ObjectMeta {
    let mut annotations = stored.annotations.clone().unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    ObjectMeta {
        name: stored.name.clone(),
        namespace: Some(namespace.to_owned()),
        labels: stored.labels.clone(),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        finalizers: Some(vec![labels::CLEANUP_FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    }
}

/// The object for a stored Repository. It is in this storage now, whatever that was called when the
/// file was written.
fn repository(
    storage: &BackupStorage,
    stored: &Repository,
    namespace: &str,
    directory: &str,
) -> Repository {
    let reference =
        ObjectReference::new(storage.name_any(), storage.namespace().unwrap_or_default());
    // The file may have been copied; what counts is where it lies. The user's spelling is kept if
    // it means the same.
    let path = match directory {
        _ if layout::same_directory(&stored.spec.path, directory) => &stored.spec.path,
        "" => "/",
        directory => directory,
    };
    let mut metadata = metadata(&stored.metadata, namespace);
    // It was there before there were rules about its directory.
    metadata
        .annotations
        .get_or_insert_default()
        .insert(labels::READ_BACK.to_owned(), "true".to_owned());
    Repository {
        metadata,
        spec: RepositorySpec {
            storage_ref: Some(reference),
            path: path.to_owned(),
            ..stored.spec.clone()
        },
        status: None,
    }
}

/// The object for a stored Snapshot, owned by the new Repository.
fn snapshot(repository: &Repository, stored: &Snapshot) -> Snapshot {
    let namespace = repository.namespace().unwrap_or_default();
    let mut metadata = metadata(&stored.metadata, &namespace);
    metadata.owner_references = repository.controller_owner_ref(&()).map(|mut owner| {
        owner.block_owner_deletion = Some(true);
        vec![owner]
    });
    let mut spec = stored.spec.clone();
    spec.repository = repository.name_any();
    Snapshot {
        metadata,
        spec,
        status: None,
    }
}

/// The status of a stored Snapshot. That its file is there proves the upload, which the file itself
/// cannot tell.
fn status_of(stored: &Snapshot) -> SnapshotStatus {
    let mut status = stored.status.clone().unwrap_or_default();
    if condition::find(&status.conditions, SNAPSHOT_METADATA_UPLOADED.type_).is_none() {
        let uploaded = condition::new(
            SNAPSHOT_METADATA_UPLOADED,
            true,
            UPLOADED,
            jiff::Timestamp::now(),
        );
        condition::set(&mut status.conditions, uploaded);
    }
    status.phase = Some(phase::snapshot(&status));
    status.observed_generation = None;
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage() -> BackupStorage {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "new-storage", "namespace": "demo", "uid": "1"}, "spec": {},
        }))
        .unwrap()
    }

    fn stored_repository() -> Repository {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {
                "name": "default-blueprint", "namespace": "demo", "uid": "old", "resourceVersion": "7",
                "labels": {"a": "b"}, "annotations": {LAST_APPLIED: "{}", "keep": "me"},
                "deletionTimestamp": "2024-09-19T10:30:46Z",
            },
            "spec": {
                "path": "/default-blueprint", "storageRef": {"name": "old-storage", "namespace": "gone"},
                "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"},
            },
            "status": {"phase": "Ready", "size": "1 B"},
        }))
        .unwrap()
    }

    #[test]
    fn a_repository_comes_back_in_its_new_storage_without_its_past() {
        let made = repository(
            &storage(),
            &stored_repository(),
            "demo",
            "default-blueprint",
        );
        let made = serde_json::to_value(made).unwrap();
        assert_eq!(
            made["metadata"],
            json!({
                "name": "default-blueprint", "namespace": "demo", "labels": {"a": "b"},
                "annotations": {"keep": "me", "kubestash.com/read-back": "true"}, "finalizers": ["kubestash.com/cleanup"],
            })
        );
        assert_eq!(
            made["spec"]["storageRef"],
            json!({"name": "new-storage", "namespace": "demo"})
        );
        assert_eq!(made["spec"]["path"], "/default-blueprint");
        assert_eq!(made["spec"]["encryptionSecret"]["name"], "encrypt-secret");
        assert_eq!(made.get("status"), None);
    }

    #[test]
    fn a_snapshot_comes_back_as_finished_as_its_file_says() {
        let mut owner = repository(
            &storage(),
            &stored_repository(),
            "demo",
            "default-blueprint",
        );
        owner.metadata.uid = Some("new".to_owned());
        let stored: Snapshot = serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {
                "name": "s", "namespace": "demo", "labels": {"kubestash.com/repo-name": "default-blueprint"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Repository", "name": "x", "uid": "old"}],
            },
            "spec": {"repository": "default-blueprint", "session": "frequent", "snapshotID": "01"},
            "status": {
                "phase": "Running", "totalComponents": 1,
                "components": {"dump": {"phase": "Succeeded", "path": "repository/v1/frequent/dump", "databases": ["shop"]}},
            },
        }))
        .unwrap();
        let made = snapshot(&owner, &stored);
        assert_eq!(made.owner_references()[0].uid, "new");
        assert_eq!(made.owner_references()[0].controller, Some(true));
        let status = status_of(&stored);
        assert_eq!(status.phase.map(|phase| phase.as_str()), Some("Succeeded"));
        assert_eq!(status.components["dump"].databases, ["shop"]);
        assert!(condition::is_true(
            &status.conditions,
            SNAPSHOT_METADATA_UPLOADED.type_
        ));
    }

    #[test]
    fn many_errors_are_told_in_one_line() {
        let errors = |count: usize| -> Vec<_> { (0..count).map(|at| format!("e{at}")).collect() };
        for (count, expected) in [
            (0, None),
            (1, Some("e0")),
            (3, Some("e0; e1; e2")),
            (5, Some("e0; e1; e2; and 2 more")),
        ] {
            assert_eq!(told(&errors(count)).as_deref(), expected);
        }
    }

    #[test]
    fn a_storage_is_read_back_once_before_its_first_use() {
        let mut object = storage();
        assert!(is_due(&object));
        object
            .annotations_mut()
            .insert(labels::READ_BACK.to_owned(), "true".to_owned());
        assert!(!is_due(&object));
        let mut initialized = storage();
        initialized.status = serde_json::from_value(json!({"conditions": [{
            "type": "BackendInitialized", "status": "True", "lastTransitionTime": "2024-09-19T10:30:46Z"}]}))
        .unwrap();
        assert!(!is_due(&initialized));
    }

    #[test]
    fn a_file_makes_objects_only_where_the_storage_may_be_used() {
        let tenant: BTreeMap<String, String> = [("team".to_owned(), "a".to_owned())].into();
        let with = |policy: serde_json::Value| {
            let mut storage = storage();
            storage.spec.usage_policy =
                serde_json::from_value(json!({"allowedNamespaces": policy})).unwrap();
            storage
        };
        let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}});
        let cases = [
            (storage(), "demo", true),
            (storage(), "kube-system", false),
            (with(json!({"from": "Same"})), "tenant", false),
            (with(json!({"from": "All"})), "kube-system", true),
            (with(selector.clone()), "tenant", true),
            (with(selector), "kube-system", false),
        ];
        for (storage, namespace, expected) in cases {
            let labels = if namespace == "tenant" {
                tenant.clone()
            } else {
                BTreeMap::new()
            };
            assert_eq!(
                is_allowed(&storage, namespace, &labels),
                expected,
                "{namespace}"
            );
        }
    }
}
