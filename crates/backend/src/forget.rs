//! Removing the data of Snapshots: retention, and `deletionPolicy: WipeOut`.

use std::collections::BTreeMap;

use kubestash_api::storage::Snapshot;
use kubestash_domain::layout;
use kubestash_engine::{CancellationToken, EngineError, OpenOptions, Repository, Secret};

use crate::{Backend, BackendError};

/// What a Snapshot left in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotData {
    /// Name of the Snapshot.
    pub name: String,
    /// Restic snapshot ids by component path.
    pub ids: BTreeMap<String, Vec<String>>,
}

impl SnapshotData {
    /// Reads them from the status of a Snapshot, in either spelling of `resticStats`.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for component in snapshot
            .status
            .iter()
            .flat_map(|status| status.components.values())
        {
            let Some(path) = component.path.clone().filter(|path| !path.is_empty()) else {
                continue;
            };
            let found = component
                .restic_stats
                .iter()
                .filter_map(|stats| stats.id().map(ToOwned::to_owned));
            ids.entry(path).or_default().extend(found);
        }
        ids.retain(|_, ids| !ids.is_empty());
        Self {
            name: snapshot.metadata.name.clone().unwrap_or_default(),
            ids,
        }
    }
}

/// Removes the data of Snapshots of one repository: their files, then their restic snapshots, with
/// one prune for each restic repository. What is gone already is fine, so it can be run again after
/// a crash. The Kubernetes objects are the caller's; they keep in mind what is left to do.
///
/// `password` is only asked for when there are restic snapshots to forget: a failed Snapshot
/// without any can be removed although the encryption Secret is gone.
///
/// # Errors
/// If a restic repository cannot be opened or pruned, or a file cannot be removed. Nothing is
/// removed before all repositories are open. Files go first: one that is left without its data
/// would come back from the bucket as a backup that can be restored.
pub async fn forget(
    backend: &Backend,
    directory: &str,
    snapshots: &[SnapshotData],
    password: impl FnOnce() -> Result<Secret, BackendError>,
    options: &OpenOptions,
    cancel: &CancellationToken,
) -> Result<(), BackendError> {
    let mut by_path: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, ids) in snapshots.iter().flat_map(|snapshot| &snapshot.ids) {
        by_path.entry(path).or_default().extend(ids.iter().cloned());
    }
    let mut opened = Vec::new();
    if !by_path.is_empty() {
        let password = password()?;
        for (path, ids) in by_path {
            match backend
                .open_repository(directory, path, &password, options.clone())
                .await
            {
                Ok(repository) => opened.push((repository, ids)),
                // Somebody removed the data by hand: there is nothing left to forget.
                Err(BackendError::Engine(EngineError::RepositoryMissing { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }
    for snapshot in snapshots {
        backend.delete_snapshot(directory, &snapshot.name).await?;
    }
    for (repository, ids) in opened {
        repository.forget(ids, cancel.clone()).await?;
    }
    let files = layout::snapshots_dir(directory);
    backend.store().remove_abandoned(&files).await?;
    Ok(())
}
