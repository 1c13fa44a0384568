//! From the target of a session to its database: the reads that a backup and a restore have in
//! common.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::Druid;
use kubestash_api::shared::TypedObjectReference;
use kubestash_database::locate::{self, Key, Keys, Step};
use kubestash_database::{Connection, Family, Role, transforms};

use crate::cluster::Cluster;
use crate::failure::Failure;

/// The database of a target.
#[derive(Debug)]
pub(crate) struct Database {
    /// What kind of server it is.
    pub(crate) family: Family,
    /// How to reach it.
    pub(crate) connection: Connection,
    /// What the server is for.
    pub(crate) role: Role,
}

/// What a database has to be, and how to get in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// What kind of server the task is for.
    pub(crate) family: Family,
    /// Who connects if no Secret names a user.
    pub(crate) user: &'a str,
}

/// Follows a target to its database. `namespace` is that of the object that names the target,
/// `named_by` the field of it that does.
///
/// # Errors
/// If an object on the way is missing or says too little, or the server is of another family.
pub(crate) async fn find(
    cluster: &Cluster,
    target: Option<&TypedObjectReference>,
    namespace: &str,
    named_by: &str,
    wanted: Wanted<'_>,
) -> Result<Database, Failure> {
    match locate::first(target, namespace)? {
        Step::Druid(key) => of_druid(cluster, &key, named_by, wanted).await,
        Step::Binding(key) => {
            let binding: AppBinding = cluster.get(&key.namespace, &key.name, named_by).await?;
            match locate::druid_of(&binding) {
                Some(druid) => {
                    let named_by = format!("spec.appRef of AppBinding {key}");
                    of_druid(cluster, &druid, &named_by, wanted).await
                }
                None => behind(cluster, &binding, Role::Plain, None, wanted).await,
            }
        }
    }
}

async fn of_druid(
    cluster: &Cluster,
    key: &Key,
    named_by: &str,
    wanted: Wanted<'_>,
) -> Result<Database, Failure> {
    let druid: Druid = cluster.get(&key.namespace, &key.name, named_by).await?;
    let store = locate::metadata_store(&druid);
    let named_by = format!("spec.metadataStorage of Druid {key}");
    let binding: AppBinding = cluster
        .get(&store.binding.namespace, &store.binding.name, &named_by)
        .await?;
    behind(cluster, &binding, store.role, store.family, wanted).await
}

async fn behind(
    cluster: &Cluster,
    binding: &AppBinding,
    role: Role,
    told: Option<Family>,
    wanted: Wanted<'_>,
) -> Result<Database, Failure> {
    let origin = format!(
        "{}/{}",
        binding.namespace().unwrap_or_default(),
        binding.name_any()
    );
    let read = async |key: Option<Key>, field: &str| match key {
        None => Ok(None),
        Some(key) => {
            let named_by = format!("{field} of AppBinding {origin}");
            let secret: Secret = cluster.get(&key.namespace, &key.name, &named_by).await?;
            Ok::<_, Failure>(Some(secret))
        }
    };
    let credentials = read(locate::secret_of(binding)?, "spec.secret").await?;
    let mut others = BTreeMap::new();
    for key in transforms::sources(binding) {
        let name = key.name.clone();
        let found = read(Some(key), "spec.secretTransforms[].addKeysFrom").await?;
        others.extend(found.map(|secret| (name, secret)));
    }
    let credentials = match credentials {
        Some(secret) => Some(transforms::apply(binding, secret, &others)?),
        None => None,
    };
    let tls = read(locate::tls_secret_of(binding), "spec.tlsSecret").await?;
    let keys = Keys {
        credentials: credentials.as_ref(),
        tls: tls.as_ref(),
        user: wanted.user,
    };
    let (family, connection) = locate::connection(binding, keys, told)?;
    if family != wanted.family {
        return Err(Failure::permanent(
            "DatabaseFamily",
            format!(
                "failed to use the database: the server of AppBinding {origin} is {} and the task is for {}; name the addon for it in addon.name, or for a Druid the task for it in addon.tasks[].name",
                family.name(),
                wanted.family.name()
            ),
        ));
    }
    Ok(Database {
        family,
        connection,
        role,
    })
}
