//! An open storage: its directories and its restic repositories.

use kubestash_core::layout;
use kubestash_engine::{ObjectStore, OpenOptions, ResticRepository, Secret, StorageConfig};

use crate::BackendError;

/// A storage that can be read and written. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Backend {
    store: ObjectStore,
}

impl Backend {
    /// Prepares access; nothing is sent yet.
    ///
    /// # Errors
    /// If the configuration cannot work.
    pub fn open(config: &StorageConfig) -> Result<Self, BackendError> {
        Ok(Self {
            store: ObjectStore::open(config)?,
        })
    }

    /// The object store below.
    pub fn store(&self) -> &ObjectStore {
        &self.store
    }

    /// Asks whether bucket or mount exists and the credentials work; answers within a few seconds.
    ///
    /// # Errors
    /// If not, with the reason.
    pub async fn probe(&self) -> Result<(), BackendError> {
        Ok(self.store.probe().await?)
    }

    /// Opens the restic repository of a component, making it if there is none. `directory` is the
    /// Repository's `spec.path`, `component_path` the component's `path`.
    ///
    /// # Errors
    /// If it cannot be opened or made, such as with a wrong password.
    pub async fn open_or_init(
        &self,
        directory: &str,
        component_path: &str,
        password: &Secret,
        options: OpenOptions,
    ) -> Result<ResticRepository, BackendError> {
        let directory = layout::component_dir(directory, component_path);
        let opening = ResticRepository::open_or_init(&self.store, &directory, password, options);
        Ok(Box::pin(opening).await?)
    }

    /// Opens the restic repository of a component, which must exist.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn open_repository(
        &self,
        directory: &str,
        component_path: &str,
        password: &Secret,
        options: OpenOptions,
    ) -> Result<ResticRepository, BackendError> {
        let directory = layout::component_dir(directory, component_path);
        let opening = ResticRepository::open(&self.store, &directory, password, options);
        Ok(Box::pin(opening).await?)
    }

    /// Removes everything of the repository in `directory`; returns how many objects that were. An
    /// empty directory is refused: it would be the whole storage.
    ///
    /// # Errors
    /// If the directory is empty, or the storage fails.
    pub async fn remove_repository(&self, directory: &str) -> Result<u64, BackendError> {
        let directory = layout::repository_dir(directory);
        if directory.is_empty() {
            return Err(BackendError::InvalidFile {
                path: layout::REPOSITORY_FILE.to_owned(),
                place: self.store.place().to_owned(),
                reason: "its path is empty; removing it would remove the whole storage".to_owned(),
            });
        }
        Ok(self.store.remove_all(&directory).await?)
    }

    /// Removes everything below the storage's prefix; returns how many objects that were.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn remove_all(&self) -> Result<u64, BackendError> {
        Ok(self.store.remove_all("").await?)
    }
}
