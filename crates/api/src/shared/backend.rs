//! Where a configuration's backups go: backends and repositories, and what their status says.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, ObjectReference, RepositoryDeletionPolicy};

string_enum! {
    /// State of a Repository.
    pub enum RepositoryPhase {
        /// It cannot be used yet.
        NotReady = "NotReady",
        /// It is initialised.
        Ready = "Ready",
    }
}

/// A backup storage under a name, with the policy for what is kept there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendReference {
    /// Name by which the sessions' repositories refer to this backend.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The RetentionPolicy for the snapshots in this backend. Without it, the default policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<ObjectReference>,
    /// The BackupStorage to write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_ref: Option<ObjectReference>,
}

/// A Repository that a session writes to; it is created if it does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.directory) && self.directory != ''")
        .message("repositories[].directory is missing: give the directory below the BackupStorage's prefix to write to")
        .field_path(".directory")
)]
pub struct RepositoryInfo {
    /// Name of one of the `backends`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backend: String,
    /// The BackupVerifier that checks the snapshots of this repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_verifier: Option<ObjectReference>,
    /// What happens to the Repository when the configuration is deleted. Without it, Repository
    /// and data stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<RepositoryDeletionPolicy>,
    /// Directory below the BackupStorage's prefix. No other repository may use it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub directory: String,
    /// The Secret with the key `RESTIC_PASSWORD` that encrypts the data. Whoever loses it loses
    /// the backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_secret: Option<ObjectReference>,
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Whether a backend can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendStatus {
    /// Name of the backend.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether storage and retention policy are there and usable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// The retention policy of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<RetentionPolicyStatus>,
    /// The storage of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageStatus>,
}

/// Whether a backend's storage can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageStatus {
    /// Phase of the BackupStorage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub phase: Option<crate::storage::BackupStoragePhase>,
    /// Why the storage cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The BackupStorage.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<ObjectReference>,
}

/// Whether a backend's retention policy can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicyStatus {
    /// Whether the RetentionPolicy exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<bool>,
    /// Why the policy cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The RetentionPolicy.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<ObjectReference>,
}

/// State of a Repository of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryStatusEntry {
    /// Name of the Repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Phase of the Repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RepositoryPhase>,
    /// Why the Repository cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether a verifier checks the snapshots of the Repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_configured: Option<bool>,
}

/// State of a session's schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatus {
    /// What is known about the schedule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Name of the session.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// When the session runs next, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule: Option<String>,
}
