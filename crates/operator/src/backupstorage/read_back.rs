//! Repositories and Snapshots from the YAML in the bucket: after a loss of the cluster, or of the BackupStorage.
//!
//! Invariant: this happens once in the life of a BackupStorage, before its first use. Objects that a user deletes later
//! must not come back. What exists already is left alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use kubestash_api::{
    conditions::snapshot::SNAPSHOT_METADATA_UPLOADED,
    labels,
    shared::ObjectReference,
    storage::{
        BackupStorage, Repository, RepositorySpec, Snapshot, SnapshotStatus, StorageRepository,
    },
};
use kubestash_backend::Backend;
use kubestash_core::{condition, layout, phase};
use serde_json::json;

use super::decide::{Synced, is_initialized};
use crate::{
    apply::{self, ApplyError, Manager, Owns, request},
    context::Context,
    controller::full_text,
    stores::StoreError,
};

const MANAGER: Manager = Manager("kubestash-read-back");
/// Set once a storage has been read back.
const MARK: &str = "kubestash.com/read-back";
const UPLOADED: &str = "Metadata uploaded to backend successfully";
/// What `kubectl apply` remembers is not ours to restore.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether the storage is to be read back.
pub(super) fn is_due(storage: &BackupStorage) -> bool {
    let conditions = storage
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    !storage.annotations().contains_key(MARK) && !is_initialized(conditions)
}

/// Remembers that the storage has been read back.
pub(super) async fn mark(ctx: &Context, storage: &BackupStorage) -> Result<(), ApplyError> {
    let api: Api<BackupStorage> = ctx.api(&storage.namespace().unwrap_or_default());
    let patch = json!({ "metadata": { "uid": storage.uid(), "annotations": { MARK: "true" } } });
    let params = PatchParams {
        field_manager: Some(MANAGER.0.to_owned()),
        ..PatchParams::default()
    };
    api.patch_metadata(&storage.name_any(), &params, &Patch::Merge(&patch))
        .await
        .map_err(|source| request("annotate", storage, source))?;
    Ok(())
}

/// Makes the objects that the bucket tells of. One repository that cannot be read does not hinder the others; only a
/// bucket that fails altogether does.
pub(super) async fn read_back(
    ctx: &Context,
    storage: &BackupStorage,
    backend: &Backend,
) -> Result<Vec<Synced>, StoreError> {
    let mut synced = Vec::new();
    for directory in backend.repository_directories().await? {
        let mut entry = StorageRepository {
            path: Some(directory.clone()),
            ..StorageRepository::default()
        };
        let outcome = one(ctx, storage, backend, &directory, &mut entry).await;
        if let Err(error) = &outcome {
            let text = full_text(error);
            tracing::warn!(
                storage = storage.name_any(),
                directory,
                error = text,
                "failed to read back a Repository"
            );
            entry.error = Some(text);
        }
        entry.synced = Some(outcome.is_ok());
        if entry.name.is_empty() {
            // Its file does not even tell the name.
            entry.name.clone_from(&directory);
        }
        synced.push(Synced { entry });
    }
    Ok(synced)
}

/// Why one repository could not be read back.
#[derive(Debug, thiserror::Error)]
enum ReadBackError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "failed to make its objects: namespace {0} does not exist; create it, then delete and create the BackupStorage again"
    )]
    NamespaceMissing(String),
    #[error(
        "failed to make Repository {0}: one of that name exists with another storage or directory"
    )]
    NameTaken(String),
    #[error("failed to read repository.yaml in {0}: it is gone")]
    Gone(String),
}

impl From<ApplyError> for ReadBackError {
    fn from(error: ApplyError) -> Self {
        Self::Store(error.into())
    }
}

impl From<kubestash_backend::BackendError> for ReadBackError {
    fn from(error: kubestash_backend::BackendError) -> Self {
        Self::Store(error.into())
    }
}

async fn one(
    ctx: &Context,
    storage: &BackupStorage,
    backend: &Backend,
    directory: &str,
    entry: &mut StorageRepository,
) -> Result<(), ReadBackError> {
    let stored = backend
        .read_repository(directory)
        .await?
        .ok_or_else(|| ReadBackError::Gone(directory.to_owned()))?;
    let namespace = stored
        .namespace()
        .unwrap_or_else(|| storage.namespace().unwrap_or_default());
    entry.name = stored.name_any();
    entry.namespace = Some(namespace.clone());
    entry.path = Some(stored.spec.path.clone());
    if ctx.is_terminating(&namespace) {
        return Err(ReadBackError::NamespaceMissing(namespace));
    }
    let wanted = repository(storage, &stored, &namespace, directory);
    let live = apply::create(&ctx.api::<Repository>(&namespace), &wanted, MANAGER).await?;
    let same_storage = match (&live.spec.storage_ref, &wanted.spec.storage_ref) {
        (Some(live), Some(wanted)) => live.same_object(wanted, &namespace),
        _ => false,
    };
    if !same_storage || !layout::same_directory(&live.spec.path, &wanted.spec.path) {
        return Err(ReadBackError::NameTaken(format!(
            "{namespace}/{}",
            wanted.name_any()
        )));
    }
    let api: Api<Snapshot> = ctx.api(&namespace);
    for stored in backend.snapshots(directory).await? {
        let live = apply::create(&api, &snapshot(&live, &stored), MANAGER).await?;
        if live.status.is_none() {
            let status = status_of(&stored);
            apply::status(&api, &live, &status, Owns::Given, MANAGER).await?;
        }
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

/// The object for a stored Repository. It is in this storage now, whatever that was called when the file was written.
fn repository(
    storage: &BackupStorage,
    stored: &Repository,
    namespace: &str,
    directory: &str,
) -> Repository {
    let reference =
        ObjectReference::new(storage.name_any(), storage.namespace().unwrap_or_default());
    // The file may have been copied; what counts is where it lies. The user's spelling is kept if it means the same.
    let path = if layout::same_directory(&stored.spec.path, directory) {
        &stored.spec.path
    } else {
        directory
    };
    Repository {
        metadata: metadata(&stored.metadata, namespace),
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

/// The status of a stored Snapshot. That its file is there proves the upload, which the file itself cannot tell.
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
                "annotations": {"keep": "me"}, "finalizers": ["kubestash.com/cleanup"],
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
                "components": {"dump": {"phase": "Succeeded", "path": "repository/v1/frequent/dump"}},
            },
        }))
        .unwrap();
        let made = snapshot(&owner, &stored);
        assert_eq!(made.owner_references()[0].uid, "new");
        assert_eq!(made.owner_references()[0].controller, Some(true));
        let status = status_of(&stored);
        assert_eq!(status.phase.map(|phase| phase.as_str()), Some("Succeeded"));
        assert!(condition::is_true(
            &status.conditions,
            SNAPSHOT_METADATA_UPLOADED.type_
        ));
    }

    #[test]
    fn a_storage_is_read_back_once_before_its_first_use() {
        let mut object = storage();
        assert!(is_due(&object));
        object
            .annotations_mut()
            .insert(MARK.to_owned(), "true".to_owned());
        assert!(!is_due(&object));
        let mut initialized = storage();
        initialized.status = serde_json::from_value(json!({"conditions": [{
            "type": "BackendInitialized", "status": "True", "lastTransitionTime": "2024-09-19T10:30:46Z"}]}))
        .unwrap();
        assert!(!is_due(&initialized));
    }
}
