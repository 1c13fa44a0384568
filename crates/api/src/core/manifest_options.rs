//! What to change in the Kubernetes objects that a restore brings back.
//!
//! The keys are spelled irregularly (`mySQL`, `msSQLServer`, `clickhouse`, `SentinelName`), as
//! manifests have them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::{ObjectReference, TypedLocalObjectReference};

/// What to change in restored objects, by the kind of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestOptions {
    /// For ClickHouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickhouse: Option<DatabaseManifestOptions>,
    /// For Druid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub druid: Option<DruidManifestOptions>,
    /// For MariaDB.
    #[serde(default, rename = "mariaDB", skip_serializing_if = "Option::is_none")]
    pub maria_db: Option<DatabaseManifestOptions>,
    /// For MongoDB.
    #[serde(default, rename = "mongoDB", skip_serializing_if = "Option::is_none")]
    pub mongo_db: Option<DatabaseManifestOptions>,
    /// For Microsoft SQL Server.
    #[serde(
        default,
        rename = "msSQLServer",
        skip_serializing_if = "Option::is_none"
    )]
    pub ms_sql_server: Option<MsSqlServerManifestOptions>,
    /// For MySQL.
    #[serde(default, rename = "mySQL", skip_serializing_if = "Option::is_none")]
    pub my_sql: Option<DatabaseManifestOptions>,
    /// For PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<DatabaseManifestOptions>,
    /// For Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<DatabaseManifestOptions>,
    /// For Redis Sentinel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_sentinel: Option<RedisSentinelManifestOptions>,
    /// For SingleStore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub singlestore: Option<DatabaseManifestOptions>,
    /// For Deployments, StatefulSets and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadManifestOptions>,
    /// For ZooKeeper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zoo_keeper: Option<DatabaseManifestOptions>,
}

const fn yes() -> bool {
    true
}

/// What to change in a restored database and the objects around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseManifestOptions {
    /// Whether the archiver settings are restored.
    #[serde(default)]
    pub archiver: bool,
    /// The archiver to use instead of the original one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archiver_ref: Option<ObjectReference>,
    /// Whether the Secret with the user and password is restored.
    #[serde(default = "yes")]
    pub auth_secret: bool,
    /// Name for the Secret with the user and password. Without it, the original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_name: Option<String>,
    /// Whether the Secret with the configuration is restored.
    #[serde(default = "yes")]
    pub config_secret: bool,
    /// Name for the Secret with the configuration. Without it, the original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_secret_name: Option<String>,
    /// Whether the database object is restored.
    #[serde(default = "yes")]
    pub db: bool,
    /// Name for the database object. Without it, the original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_name: Option<String>,
    /// Whether the script that fills a new database is restored.
    #[serde(default = "yes")]
    pub init_script: bool,
    /// Namespace to restore into. Without it, the original one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_namespace: Option<String>,
    /// Issuer of the certificates of the restored database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_issuer_ref: Option<TypedLocalObjectReference>,
}

impl Default for DatabaseManifestOptions {
    fn default() -> Self {
        Self {
            archiver: false,
            archiver_ref: None,
            auth_secret: true,
            auth_secret_name: None,
            config_secret: true,
            config_secret_name: None,
            db: true,
            db_name: None,
            init_script: true,
            restore_namespace: None,
            tls_issuer_ref: None,
        }
    }
}

/// What to change in a restored SQL Server and the objects around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MsSqlServerManifestOptions {
    /// Whether the archiver settings are restored.
    #[serde(default)]
    pub archiver: bool,
    /// The archiver to use instead of the original one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archiver_ref: Option<ObjectReference>,
    /// Whether the Secret with the user and password is restored.
    #[serde(default = "yes")]
    pub auth_secret: bool,
    /// Name for the Secret with the user and password. Without it, the original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_name: Option<String>,
    /// Whether the database object is restored.
    #[serde(default = "yes")]
    pub db: bool,
    /// Name for the database object. Without it, the original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_name: Option<String>,
    /// Whether the script that fills a new database is restored.
    #[serde(default = "yes")]
    pub init_script: bool,
    /// Namespace to restore into. Without it, the original one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_namespace: Option<String>,
    /// Issuer of the certificates of the restored database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_issuer_ref: Option<TypedLocalObjectReference>,
}

impl Default for MsSqlServerManifestOptions {
    fn default() -> Self {
        Self {
            archiver: false,
            archiver_ref: None,
            auth_secret: true,
            auth_secret_name: None,
            db: true,
            db_name: None,
            init_script: true,
            restore_namespace: None,
            tls_issuer_ref: None,
        }
    }
}

/// What to change in a restored Druid and the objects around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DruidManifestOptions {
    /// Whether the Secret with the user and password is restored.
    #[serde(default = "yes")]
    pub auth_secret: bool,
    /// Name for the Secret with the user and password. Without it, the original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_name: Option<String>,
    /// Whether the Secret with the configuration is restored.
    #[serde(default = "yes")]
    pub config_secret: bool,
    /// Name for the Secret with the configuration. Without it, the original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_secret_name: Option<String>,
    /// Whether the Druid object is restored.
    #[serde(default = "yes")]
    pub db: bool,
    /// Name for the Druid object. Without it, the original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_name: Option<String>,
    /// Whether the Secret with the deep storage settings is restored.
    #[serde(default = "yes")]
    pub deep_storage_secret: bool,
    /// Namespace to restore into. Without it, the original one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_namespace: Option<String>,
}

impl Default for DruidManifestOptions {
    fn default() -> Self {
        Self {
            auth_secret: true,
            auth_secret_name: None,
            config_secret: true,
            config_secret_name: None,
            db: true,
            db_name: None,
            deep_storage_secret: true,
            restore_namespace: None,
        }
    }
}

/// What to change in a restored Redis Sentinel and the objects around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisSentinelManifestOptions {
    /// Whether the Secret with the user and password is restored.
    #[serde(default = "yes")]
    pub auth_secret: bool,
    /// Name for the Secret with the user and password. Without it, the original name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret_name: Option<String>,
    /// Namespace to restore into. Without it, the original one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_namespace: Option<String>,
    /// Whether the Sentinel object is restored.
    #[serde(default = "yes")]
    pub sentinel: bool,
    /// Name for the Sentinel object. Without it, the original name.
    #[serde(
        default,
        rename = "SentinelName",
        skip_serializing_if = "Option::is_none"
    )]
    pub sentinel_name: Option<String>,
    /// Issuer of the certificates of the restored Sentinel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_issuer_ref: Option<TypedLocalObjectReference>,
}

impl Default for RedisSentinelManifestOptions {
    fn default() -> Self {
        Self {
            auth_secret: true,
            auth_secret_name: None,
            restore_namespace: None,
            sentinel: true,
            sentinel_name: None,
            tls_issuer_ref: None,
        }
    }
}

/// What to change in a restored workload and the objects around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadManifestOptions {
    /// Namespace to restore into. Without it, the original one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_namespace: Option<String>,
}
