//! Druid of `kubedb.com/v1alpha2`.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shared::{
    AuthSecret, ConfigSecret, DatabaseDeletionPolicy, DatabaseInit, DatabaseSettings,
    DatabaseStatus, TlsConfig,
};
use crate::shared::LocalReference;

string_enum! {
    /// The databases that can hold Druid's metadata.
    pub enum MetadataStorageType {
        /// MySQL or MariaDB.
        MySQL = "MySQL",
        /// PostgreSQL.
        PostgreSQL = "PostgreSQL",
    }
}

/// A Druid cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubedb.com",
    version = "v1alpha2",
    kind = "Druid",
    plural = "druids",
    shortname = "dr",
    namespaced,
    status = "DatabaseStatus",
    doc = "Druid is an Apache Druid cluster: its nodes, its metadata storage and its deep storage.",
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
pub struct DruidSpec {
    /// The Secret with the user and password of Druid itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_secret: Option<AuthSecret>,
    /// The Secret with Druid's settings, in the older spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_secret: Option<ConfigSecret>,
    /// Druid's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<DatabaseSettings>,
    /// Where the segments are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deep_storage: Option<DeepStorage>,
    /// What deleting the Druid does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DatabaseDeletionPolicy>,
    /// Whether Druid needs no user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_security: Option<bool>,
    /// Whether Druid's nodes use TLS.
    #[serde(default, rename = "enableSSL", skip_serializing_if = "Option::is_none")]
    pub enable_ssl: Option<bool>,
    /// Whether the cluster is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<bool>,
    /// What happens when the Druid starts for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<DatabaseInit>,
    /// The Secret with the password of the keystore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystore_cred_secret: Option<AuthSecret>,
    /// Where the metadata is. Without it, a database of its own is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_storage: Option<MetadataStorage>,
    /// Certificates of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// The nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<DruidTopology>,
    /// Name of the DruidVersion.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The ZooKeeper ensemble. Without it, one of its own is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zookeeper_ref: Option<ZooKeeperReference>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Where the segments are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeepStorage {
    /// The Secret with Druid's properties for the storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_secret: Option<LocalReference>,
    /// `s3`, `google`, `azure` or `hdfs`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Where the metadata is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataStorage {
    /// Whether Druid creates its tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_tables: Option<bool>,
    /// Whether the database is external.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub externally_managed: Option<bool>,
    /// Name of the database in the server; `druid` without it.
    #[serde(default, rename = "linkedDB", skip_serializing_if = "Option::is_none")]
    pub linked_db: Option<String>,
    /// Name of the AppBinding of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace of the AppBinding. Without it, the Druid's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `MySQL` or `PostgreSQL`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<MetadataStorageType>,
    /// Version of the server, if one is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The ZooKeeper ensemble of a Druid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZooKeeperReference {
    /// Whether the ensemble is external.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub externally_managed: Option<bool>,
    /// Name of the AppBinding of the ensemble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace of the AppBinding. Without it, the Druid's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Start of the paths that Druid uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths_base: Option<String>,
    /// Version of the ensemble, if one is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The nodes of a Druid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DruidTopology {
    /// Nodes that answer queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brokers: Option<DruidNode>,
    /// Nodes that place segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinators: Option<DruidNode>,
    /// Nodes that hold segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub historicals: Option<DruidNode>,
    /// Nodes that ingest data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub middle_managers: Option<DruidNode>,
    /// Nodes that place tasks. Without any, the coordinators do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlords: Option<DruidNode>,
    /// Nodes in front of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routers: Option<DruidNode>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Nodes of one role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DruidNode {
    /// Number of nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Fields that only the owner of the kind knows.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}
