//! MySQL, MariaDB and Postgres of `kubedb.com/v1alpha2`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shared::{
    AuthSecret, ConfigSecret, DatabaseDeletionPolicy, DatabaseInit, DatabaseSettings,
    DatabaseStatus, TlsConfig,
};

/// A MySQL database.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubedb.com",
    version = "v1alpha2",
    kind = "MySQL",
    plural = "mysqls",
    shortname = "my",
    namespaced,
    status = "DatabaseStatus",
    doc = "MySQL is a MySQL database: one server, or several that replicate.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "datastore",
    category = "kubedb",
    category = "appscode",
    category = "all",
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MySQLSpec {
    /// The Secret with the user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret: Option<AuthSecret>,
    /// The Secret with the settings, in the older spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_secret: Option<ConfigSecret>,
    /// The settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<DatabaseSettings>,
    /// What deleting the database does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DatabaseDeletionPolicy>,
    /// Whether the database is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<bool>,
    /// What happens when the database starts for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<DatabaseInit>,
    /// Number of servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Whether connections must use TLS.
    #[serde(
        default,
        rename = "requireSSL",
        skip_serializing_if = "Option::is_none"
    )]
    pub require_ssl: Option<bool>,
    /// The volume of each server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::terse)]
    pub storage: Option<PersistentVolumeClaimSpec>,
    /// `Durable` or `Ephemeral`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    /// What deleting the database does, in the older spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_policy: Option<DatabaseDeletionPolicy>,
    /// Certificates of the servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Name of the MySQLVersion.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl MySQLSpec {
    /// What deleting the database does, from either spelling.
    #[must_use]
    pub fn deletion_policy(&self) -> Option<DatabaseDeletionPolicy> {
        self.deletion_policy.or(self.termination_policy)
    }
}

/// A MariaDB database.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubedb.com",
    version = "v1alpha2",
    kind = "MariaDB",
    plural = "mariadbs",
    shortname = "md",
    namespaced,
    status = "DatabaseStatus",
    doc = "MariaDB is a MariaDB database: one server, or several that replicate.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "datastore",
    category = "kubedb",
    category = "appscode",
    category = "all",
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MariaDBSpec {
    /// The Secret with the user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret: Option<AuthSecret>,
    /// The Secret with the settings, in the older spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_secret: Option<ConfigSecret>,
    /// The settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<DatabaseSettings>,
    /// What deleting the database does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DatabaseDeletionPolicy>,
    /// Whether the database is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<bool>,
    /// What happens when the database starts for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<DatabaseInit>,
    /// Number of servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Whether connections must use TLS.
    #[serde(
        default,
        rename = "requireSSL",
        skip_serializing_if = "Option::is_none"
    )]
    pub require_ssl: Option<bool>,
    /// The volume of each server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::terse)]
    pub storage: Option<PersistentVolumeClaimSpec>,
    /// `Durable` or `Ephemeral`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    /// What deleting the database does, in the older spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_policy: Option<DatabaseDeletionPolicy>,
    /// Certificates of the servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Name of the MariaDBVersion.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl MariaDBSpec {
    /// What deleting the database does, from either spelling.
    #[must_use]
    pub fn deletion_policy(&self) -> Option<DatabaseDeletionPolicy> {
        self.deletion_policy.or(self.termination_policy)
    }
}

/// A PostgreSQL database.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubedb.com",
    version = "v1alpha2",
    kind = "Postgres",
    plural = "postgreses",
    shortname = "pg",
    namespaced,
    status = "DatabaseStatus",
    doc = "Postgres is a PostgreSQL database: one server, or several that replicate.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "datastore",
    category = "kubedb",
    category = "appscode",
    category = "all",
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PostgresSpec {
    /// The Secret with the user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret: Option<AuthSecret>,
    /// How clients authenticate: `md5`, `scram` or `cert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth_mode: Option<String>,
    /// The Secret with the settings, in the older spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_secret: Option<ConfigSecret>,
    /// The settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<DatabaseSettings>,
    /// What deleting the database does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DatabaseDeletionPolicy>,
    /// Whether the database is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<bool>,
    /// What happens when the database starts for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<DatabaseInit>,
    /// Number of servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How far connections use TLS, as in `verify-full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_mode: Option<String>,
    /// The volume of each server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::terse)]
    pub storage: Option<PersistentVolumeClaimSpec>,
    /// `Durable` or `Ephemeral`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    /// What deleting the database does, in the older spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_policy: Option<DatabaseDeletionPolicy>,
    /// Certificates of the servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Name of the PostgresVersion.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl PostgresSpec {
    /// What deleting the database does, from either spelling.
    #[must_use]
    pub fn deletion_policy(&self) -> Option<DatabaseDeletionPolicy> {
        self.deletion_policy.or(self.termination_policy)
    }
}
