//! The files beside the data: YAML for people and for disaster recovery.

use kubestash_api::config::BackendMeta;
use kubestash_api::storage::{Repository, Snapshot};
use kubestash_core::layout;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Backend, BackendError};

const CONTENT_TYPE: &str = "application/yaml";

impl Backend {
    /// Writes `metadata.yaml`, which says what the storage holds.
    pub async fn write_metadata(&self, metadata: &BackendMeta) -> Result<(), BackendError> {
        self.write_yaml(layout::METADATA_FILE, metadata).await
    }

    /// Reads `metadata.yaml`; `None` if the storage was never initialised.
    pub async fn read_metadata(&self) -> Result<Option<BackendMeta>, BackendError> {
        self.read_yaml(layout::METADATA_FILE).await
    }

    /// Writes `repository.yaml` into the directory of a Repository.
    pub async fn write_repository(&self, repository: &Repository) -> Result<(), BackendError> {
        let path = layout::repository_file(&repository.spec.path);
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

    /// Directories of all repositories in the storage, found by their `repository.yaml`.
    pub async fn repository_directories(&self) -> Result<Vec<String>, BackendError> {
        let mut found = Vec::new();
        let mut pending = vec![String::new()];
        // Only the folders above a repository are listed, never the many files of its data.
        while let Some(directory) = pending.pop() {
            let names = self.store().list_names(&directory).await?;
            if names.iter().any(|name| name == layout::REPOSITORY_FILE) {
                found.push(directory);
                continue;
            }
            for name in names {
                if let Some(name) = name.strip_suffix('/') {
                    pending.push(layout::join(&[&directory, name]));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Paths of the files of all Snapshots of the repository in `directory`, in the order of their names.
    ///
    /// # Errors
    /// If the storage fails.
    pub(crate) async fn snapshot_files(
        &self,
        directory: &str,
    ) -> Result<Vec<String>, BackendError> {
        let entries = self.store().list(&layout::snapshots_dir(directory)).await?;
        Ok(entries
            .into_iter()
            .map(|entry| entry.path)
            .filter(|path| path.ends_with(".yaml"))
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
