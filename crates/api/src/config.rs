//! File formats of `config.kubestash.com`. They are no kinds of the cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use crate::storage::StorageRepository;

/// `apiVersion` of the files.
pub const API_VERSION: &str = "config.kubestash.com/v1alpha1";

/// The file `metadata.yaml` at the root of a BackupStorage: who uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendMeta {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// Always [`BackendMeta::KIND`].
    pub kind: String,
    /// When the storage was initialised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// Version of the operator that initialised it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_version: Option<String>,
    /// The Repositories in the storage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<StorageRepository>,
}

impl BackendMeta {
    /// `kind` of the file.
    pub const KIND: &'static str = "BackendMeta";

    /// The file of a storage that is initialised now.
    #[must_use]
    pub fn new(
        now: Time,
        operator_version: impl Into<String>,
        repositories: Vec<StorageRepository>,
    ) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: Self::KIND.to_owned(),
            creation_timestamp: Some(now),
            operator_version: Some(operator_version.into()),
            repositories,
        }
    }
}
