//! An open storage: its directories and its restic repositories.

use kubestash_domain::layout;
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
}
