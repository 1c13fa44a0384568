//! The options of a restore for one kind of database, in one shape for all kinds.

use kubestash_api::core::{DatabaseManifestOptions, ManifestOptions};
use kubestash_api::shared::{ObjectReference, TypedLocalObjectReference};

use super::DatabaseKind;

/// What a user wants of the objects of one kind of database. Empty names count as none.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) namespace: Option<String>,
    pub(super) db: bool,
    pub(super) db_name: Option<String>,
    pub(super) auth: bool,
    pub(super) auth_name: Option<String>,
    pub(super) config: bool,
    pub(super) config_name: Option<String>,
    pub(super) deep_storage: bool,
    pub(super) init_script: bool,
    pub(super) archiver: bool,
    pub(super) archiver_ref: Option<ObjectReference>,
    pub(super) issuer: Option<TypedLocalObjectReference>,
}

impl Choice {
    /// The choice for databases of `kind`.
    pub(super) fn of(kind: DatabaseKind, options: &ManifestOptions) -> Self {
        let general = |options: &Option<DatabaseManifestOptions>| {
            Self::general(&options.clone().unwrap_or_default())
        };
        match kind {
            DatabaseKind::MySQL => general(&options.my_sql),
            DatabaseKind::MariaDB => general(&options.maria_db),
            DatabaseKind::Postgres => general(&options.postgres),
            DatabaseKind::ZooKeeper => general(&options.zoo_keeper),
            DatabaseKind::Druid => {
                let druid = options.druid.clone().unwrap_or_default();
                Self {
                    namespace: filled(&druid.restore_namespace),
                    db: druid.db,
                    db_name: filled(&druid.db_name),
                    auth: druid.auth_secret,
                    auth_name: filled(&druid.auth_secret_name),
                    config: druid.config_secret,
                    config_name: filled(&druid.config_secret_name),
                    deep_storage: druid.deep_storage_secret,
                    init_script: true,
                    // A Druid has none: whatever it says stays.
                    archiver: true,
                    archiver_ref: None,
                    issuer: None,
                }
            }
        }
    }

    fn general(options: &DatabaseManifestOptions) -> Self {
        Self {
            namespace: filled(&options.restore_namespace),
            db: options.db,
            db_name: filled(&options.db_name),
            auth: options.auth_secret,
            auth_name: filled(&options.auth_secret_name),
            config: options.config_secret,
            config_name: filled(&options.config_secret_name),
            deep_storage: true,
            init_script: options.init_script,
            archiver: options.archiver,
            archiver_ref: options.archiver_ref.clone(),
            issuer: options.tls_issuer_ref.clone(),
        }
    }
}

fn filled(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}
