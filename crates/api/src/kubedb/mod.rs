//! Kinds of `kubedb.com` that are backed up: only the fields that a backup or a local stand-in
//! needs.
//!
//! The kinds belong to another project. Fields that are not here are kept as they are (`other`), so
//! reading and writing an object loses nothing.

mod database;
mod druid;
mod shared;

pub use database::{MariaDB, MariaDBSpec, MySQL, MySQLSpec, Postgres, PostgresSpec};
pub use druid::{
    DeepStorage, Druid, DruidNode, DruidSpec, DruidTopology, MetadataStorage, MetadataStorageType,
    ZooKeeperReference,
};
pub use shared::{
    AuthSecret, AuthSecretStatus, DatabaseDeletionPolicy, DatabaseInit, DatabaseSettings,
    DatabaseStatus, TlsConfig,
};

/// API group of the databases.
pub const GROUP: &str = "kubedb.com";
