//! Object stores and volumes as one flat store of files under a prefix.

mod classify;
mod config;
mod error;
mod local;
mod remote;
mod retry;
mod store;

pub use config::{
    Azure, AzureCredentials, Gcs, GcsCredentials, Local, Provider, S3, S3Credentials, StorageConfig,
};
pub use error::StorageError;
pub use retry::{RetryListener, StorageRetry, on_storage_retry};
pub use store::{Entry, ObjectStore};
