//! An open store for each BackupStorage.
//!
//! Invariant: a store is opened with the Secret as it is now. The last one is kept in memory, so
//! that data can still be removed when the Secret goes before the storage does, as in a namespace
//! that is being deleted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kubestash_api::storage::BackupStorage;
use kubestash_backend::{Backend, BackendError, Environment, LocalRoot, resolve, secret_reference};
use kubestash_engine::{EngineError, StorageError};

use crate::context::Context;
use crate::runtime::apply::{self, ApplyError};
use crate::runtime::controller::Reason;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The API server does not hand out the Secret.
    #[error(transparent)]
    Api(#[from] ApplyError),
    /// Storage or Secret are not usable.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl StoreError {
    /// Whether trying again is pointless until somebody changes something.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_permanent())
    }

    /// Whether the bucket itself is gone, and all data with it.
    pub(crate) fn is_bucket_missing(&self) -> bool {
        matches!(
            self,
            Self::Backend(
                BackendError::Storage(StorageError::BucketMissing { .. })
                    | BackendError::Engine(EngineError::Storage(
                        StorageError::BucketMissing { .. }
                    ))
            )
        )
    }
}

impl Reason for StoreError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Api(error) => error.kind(),
            Self::Backend(error) => error.kind(),
        }
    }
}

/// The open stores, by uid of their BackupStorage.
#[derive(Default)]
pub(crate) struct Stores(Mutex<HashMap<String, Opened>>);

struct Opened {
    generation: Option<i64>,
    secret_version: Option<String>,
    backend: Backend,
}

impl Stores {
    /// The store behind an object-store `storage`.
    ///
    /// # Errors
    /// When the Secret is missing or lacks a key, or the storage's specification has a gap.
    pub(crate) async fn open(
        &self,
        ctx: &Context,
        storage: &BackupStorage,
    ) -> Result<Backend, StoreError> {
        let reference = secret_reference(storage);
        let known_version = reference
            .as_ref()
            .and_then(|(namespace, name)| ctx.watches.secrets.get(namespace, name))
            .and_then(|secret| secret.resource_version());
        let uid = storage.uid().unwrap_or_default();
        {
            let stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(opened) = stores.get(&uid)
                && opened.generation == storage.metadata.generation
                && opened.secret_version == known_version
                && (reference.is_none() || known_version.is_some())
            {
                return Ok(opened.backend.clone());
            }
        }
        let secret = match &reference {
            None => None,
            Some((namespace, name)) => apply::get(&ctx.api::<Secret>(namespace), name).await?,
        };
        let environment = Environment {
            storage_emulator_host: ctx.environment.storage_emulator_host.clone(),
        };
        let config = resolve(storage, secret.as_ref(), &environment, &LocalRoot::InPod)?;
        let backend = Backend::open(&config)?;
        let opened = Opened {
            generation: storage.metadata.generation,
            secret_version: secret.and_then(|secret| secret.resource_version()),
            backend: backend.clone(),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(uid, opened);
        Ok(backend)
    }

    /// The store behind `storage`, with the Secret as it is, or as it last was.
    ///
    /// # Errors
    /// When neither is there.
    pub(crate) async fn open_or_last(
        &self,
        ctx: &Context,
        storage: &BackupStorage,
    ) -> Result<Backend, StoreError> {
        match self.open(ctx, storage).await {
            Ok(backend) => Ok(backend),
            Err(error) => {
                let stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let last = stores
                    .get(&storage.uid().unwrap_or_default())
                    .map(|opened| opened.backend.clone());
                last.ok_or(error)
            }
        }
    }

    /// Drops the store of a storage that is gone, and its credentials.
    pub(crate) fn forget(&self, uid: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }
}
