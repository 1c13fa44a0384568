//! Object stores and volumes as one flat store of files under a prefix.

mod classify;
mod config;
mod error;
mod local;
mod remote;
mod store;

pub use config::{
    Azure, AzureCredentials, Gcs, GcsCredentials, Local, Provider, S3, S3Credentials, StorageConfig,
};
pub use error::StorageError;
pub use store::{Entry, ObjectStore};
