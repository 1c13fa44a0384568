//! Parts that the databases have in common.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::shared::{Condition, LocalReference};

string_enum! {
    /// What deleting a database does.
    pub enum DatabaseDeletionPolicy {
        /// The database and its volumes are deleted; the Secret with the password stays.
        Delete = "Delete",
        /// The database stops; volumes and Secrets stay.
        Halt = "Halt",
        /// Everything is deleted.
        WipeOut = "WipeOut",
        /// Deleting is refused.
        DoNotTerminate = "DoNotTerminate",
    }
}

/// The Secret with the user and password of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSecret {
    /// API group; empty for a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_group: Option<String>,
    /// Whether the Secret is external.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub externally_managed: Option<bool>,
    /// Kind; `Secret` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the Secret. Without it, the database's name and `-auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// What happens when a database starts for the first time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseInit {
    /// Whether the database has been filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialized: Option<bool>,
    /// Whether the database is not ready before its first restore has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for_initial_restore: Option<bool>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Settings of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSettings {
    /// Settings by file name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::free_form")]
    pub inline: BTreeMap<String, Value>,
    /// The Secret with the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Certificates of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsConfig {
    /// The issuer of the certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<crate::shared::TypedLocalObjectReference>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// What is known about a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// What is known about the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret: Option<AuthSecretStatus>,
    /// What is known, aspect by aspect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the object that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// State of the database, such as `Provisioning`, `Ready` or `DataRestoring`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// What is known about a database's password.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSecretStatus {
    /// When the password last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_timestamp: Option<String>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Name of a Secret with a configuration, in the older spelling.
pub(super) type ConfigSecret = LocalReference;
