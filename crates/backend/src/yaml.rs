//! The files beside the data: YAML for people and for disaster recovery.

use futures::{StreamExt, stream};
use kubestash_api::config::BackendMeta;
use kubestash_api::storage::{Repository, Snapshot, StorageRepository};
use kubestash_domain::layout;
use kubestash_engine::storage::Entry;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::header::{self, Says};
use crate::{Backend, BackendError};

const CONTENT_TYPE: &str = "application/yaml";
/// Directories looked into at a time.
const READS: usize = 8;

impl Backend {
    /// Writes `metadata.yaml`, which says what the storage holds.
    pub async fn write_metadata(&self, metadata: &BackendMeta) -> Result<(), BackendError> {
        self.write_yaml(layout::METADATA_FILE, metadata).await
    }

    /// Reads `metadata.yaml`; `None` if the storage was never initialised.
    pub async fn read_metadata(&self) -> Result<Option<BackendMeta>, BackendError> {
        self.read_yaml(layout::METADATA_FILE).await
    }

    /// Changes which repositories `metadata.yaml` names: of a volume, Jobs keep it. One that is
    /// missing, broken or somebody else's is left as it is; it is written when the storage is
    /// set up.
    ///
    /// # Errors
    /// If the storage fails.
    async fn change_metadata(
        &self,
        change: impl FnOnce(&mut Vec<StorageRepository>),
    ) -> Result<(), BackendError> {
        let content = self.read_short(layout::METADATA_FILE).await?;
        if content.is_none_or(|content| header::of_metadata(&content) != Says::Ours) {
            return Ok(());
        }
        let before = match self.read_metadata().await {
            Ok(Some(metadata)) => metadata,
            Ok(None) | Err(BackendError::InvalidFile { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut metadata = before.clone();
        change(&mut metadata.repositories);
        if metadata == before {
            return Ok(());
        }
        self.write_metadata(&metadata).await
    }

    /// Names a repository in `metadata.yaml`, so that it is missed if it is lost.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn name_in_metadata(&self, repository: &Repository) -> Result<(), BackendError> {
        let entry = StorageRepository {
            name: repository.metadata.name.clone().unwrap_or_default(),
            namespace: repository.metadata.namespace.clone(),
            path: Some(repository.spec.path.clone()),
            ..StorageRepository::default()
        };
        self.change_metadata(|named| {
            named.retain(|found| !is_in(found, &repository.spec.path));
            named.push(entry);
        })
        .await
    }

    /// Takes the repository in `directory` out of `metadata.yaml`, so that nobody misses it.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn drop_from_metadata(&self, directory: &str) -> Result<(), BackendError> {
        self.change_metadata(|named| named.retain(|found| !is_in(found, directory)))
            .await
    }

    /// Writes `repository.yaml` into the directory of a Repository.
    ///
    /// # Errors
    /// If a file of that name is somebody else's, or the storage fails.
    pub async fn write_repository(&self, repository: &Repository) -> Result<(), BackendError> {
        let path = layout::repository_file(&repository.spec.path);
        if let Some(content) = self.read_short(&path).await?
            && header::of_repository(&content) == Says::Other
        {
            return Err(BackendError::Foreign {
                place: self.store().place().to_owned(),
                found: format!("{path} there is not kubestash's and would be written over"),
                remedy: "give the Repository another directory, or move the file away",
            });
        }
        self.write_yaml(&path, repository).await
    }

    /// Reads `repository.yaml` in a directory; `None` if there is none.
    pub async fn read_repository(
        &self,
        directory: &str,
    ) -> Result<Option<Repository>, BackendError> {
        self.read_yaml(&layout::repository_file(directory)).await
    }

    /// Writes the file of a Snapshot into its repository's directory.
    pub async fn write_snapshot(
        &self,
        directory: &str,
        snapshot: &Snapshot,
    ) -> Result<(), BackendError> {
        let Some(name) = snapshot
            .metadata
            .name
            .as_deref()
            .filter(|name| !name.is_empty())
        else {
            return Err(BackendError::Serialize {
                path: layout::snapshots_dir(directory),
                reason: "the Snapshot has no name".to_owned(),
            });
        };
        self.write_yaml(&layout::snapshot_file(directory, name), snapshot)
            .await
    }

    /// Removes the file of a Snapshot. A missing one is fine.
    pub async fn delete_snapshot(&self, directory: &str, name: &str) -> Result<(), BackendError> {
        Ok(self
            .store()
            .delete(&layout::snapshot_file(directory, name))
            .await?)
    }

    /// Directories of all repositories in the storage, found by their `repository.yaml`, also of
    /// those that lie in another one's directory. Only the folders of restic repositories are
    /// not looked into.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn repository_directories(&self) -> Result<Vec<String>, BackendError> {
        let mut found = Vec::new();
        let mut pending = vec![String::new()];
        while !pending.is_empty() {
            let looks = pending.drain(..).map(|directory| async move {
                let names = self.store().list_names(&directory).await?;
                Ok::<_, BackendError>((directory, names))
            });
            let looks: Vec<_> = stream::iter(looks).buffer_unordered(READS).collect().await;
            for look in looks {
                let (directory, names) = look?;
                if layout::contents::is_restic_repository(&names) {
                    continue;
                }
                if names.iter().any(|name| name == layout::REPOSITORY_FILE) {
                    found.push(directory.clone());
                }
                let folders = names.iter().filter_map(|name| name.strip_suffix('/'));
                pending.extend(folders.map(|name| layout::join(&[&directory, name])));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Files of all Snapshots of the repository in `directory`, in the order of their names.
    ///
    /// # Errors
    /// If the storage fails.
    pub(crate) async fn snapshot_files(&self, directory: &str) -> Result<Vec<Entry>, BackendError> {
        let folder = layout::snapshots_dir(directory);
        let entries = self.store().list(&folder).await?;
        // What lies deeper is another repository's.
        let is_direct = |entry: &Entry| {
            let name = entry.path.strip_prefix(&folder).unwrap_or(&entry.path);
            !name.trim_start_matches('/').contains('/')
        };
        // Of a repository in that folder.
        let own = layout::repository_file(&folder);
        Ok(entries
            .into_iter()
            .filter(|entry| entry.path.ends_with(".yaml") && is_direct(entry) && entry.path != own)
            .collect())
    }

    /// Reads the file of a Snapshot; `None` if there is none.
    pub(crate) async fn read_snapshot(&self, path: &str) -> Result<Option<Snapshot>, BackendError> {
        let snapshot: Option<Snapshot> = self.read_yaml(path).await?;
        let has_name = |snapshot: &Snapshot| {
            let name = snapshot.metadata.name.as_deref();
            name.is_some_and(|name| !name.is_empty())
        };
        match snapshot {
            Some(snapshot) if !has_name(&snapshot) => Err(BackendError::InvalidFile {
                path: path.to_owned(),
                place: self.store().place().to_owned(),
                reason: "it has no metadata.name".to_owned(),
            }),
            snapshot => Ok(snapshot),
        }
    }

    async fn write_yaml(&self, path: &str, content: &impl Serialize) -> Result<(), BackendError> {
        let yaml = serde_saphyr::to_string(content).map_err(|error| BackendError::Serialize {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(self
            .store()
            .write(path, yaml.into(), Some(CONTENT_TYPE))
            .await?)
    }

    async fn read_yaml<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, BackendError> {
        let content = match self.store().read(path).await {
            Err(error) if error.is_not_found() => return Ok(None),
            content => content?,
        };
        let invalid = |reason: String| BackendError::InvalidFile {
            path: path.to_owned(),
            place: self.store().place().to_owned(),
            reason,
        };
        let text = std::str::from_utf8(&content).map_err(|error| invalid(error.to_string()))?;
        serde_saphyr::from_str(text)
            .map(Some)
            // The lines below the first repeat the file.
            .map_err(|error| {
                let text = error.to_string();
                let line = text.lines().next().unwrap_or_default();
                invalid(line.trim_start_matches("error: ").to_owned())
            })
    }
}

/// Whether an entry of `metadata.yaml` is about the repository in `directory`.
fn is_in(entry: &StorageRepository, directory: &str) -> bool {
    let path = entry.path.as_deref();
    path.is_some_and(|path| layout::same_directory(path, directory))
}
