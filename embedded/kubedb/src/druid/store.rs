//! The kinds that can keep a Druid's metadata.

use std::future::Future;

use kubestash_api::kubedb::{
    DatabaseDeletionPolicy, MetadataStorageType, MySQL, MySQLSpec, Postgres, PostgresSpec,
};

use super::schema::{self, DruidVersion};
use crate::database::Database;
use crate::secret::Credentials;
use crate::{KubedbError, mysql, postgres};

/// What is tried, in errors.
const MAKE_TABLES: &str = "create Druid's tables";

/// A kind that can keep a Druid's metadata.
pub(crate) trait Store: Database {
    /// The kind.
    const KIND: &'static str;
    /// As `spec.metadataStorage.type` calls it.
    const TYPE: MetadataStorageType;
    /// The version that is asked for when nothing else is said, as KubeDB does.
    const VERSION: &'static str;

    /// An object of this kind.
    fn with(name: &str, version: &str, policy: Option<DatabaseDeletionPolicy>) -> Self;

    /// Makes the database, if it is missing, and the tables of this version of Druid.
    fn make_tables(
        port: u16,
        credentials: &Credentials,
        database: &str,
        tables: Option<DruidVersion>,
    ) -> impl Future<Output = Result<(), KubedbError>> + Send;
}

impl Store for MySQL {
    const KIND: &'static str = "MySQL";
    const TYPE: MetadataStorageType = MetadataStorageType::MySQL;
    const VERSION: &'static str = "8.0.35";

    fn with(name: &str, version: &str, policy: Option<DatabaseDeletionPolicy>) -> Self {
        let spec = MySQLSpec {
            version: version.to_owned(),
            deletion_policy: policy,
            ..MySQLSpec::default()
        };
        Self::new(name, spec)
    }

    async fn make_tables(
        port: u16,
        credentials: &Credentials,
        database: &str,
        tables: Option<DruidVersion>,
    ) -> Result<(), KubedbError> {
        let statements = schema::mysql(database, tables);
        mysql::execute(port, credentials, &statements, MAKE_TABLES).await
    }
}

impl Store for Postgres {
    const KIND: &'static str = "Postgres";
    const TYPE: MetadataStorageType = MetadataStorageType::PostgreSQL;
    const VERSION: &'static str = "13.13";

    fn with(name: &str, version: &str, policy: Option<DatabaseDeletionPolicy>) -> Self {
        let spec = PostgresSpec {
            version: version.to_owned(),
            deletion_policy: policy,
            ..PostgresSpec::default()
        };
        Self::new(name, spec)
    }

    async fn make_tables(
        port: u16,
        credentials: &Credentials,
        database: &str,
        tables: Option<DruidVersion>,
    ) -> Result<(), KubedbError> {
        postgres::create_database(port, credentials, database, MAKE_TABLES).await?;
        let Some(version) = tables else {
            return Ok(());
        };
        let statements = schema::postgres(version);
        postgres::execute(port, credentials, database, &statements, MAKE_TABLES).await
    }
}
