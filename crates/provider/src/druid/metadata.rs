//! The metadata store of a Druid: a `MySQL` object of its own, or one that somebody else keeps.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::{
    DatabaseDeletionPolicy, Druid, MetadataStorage, MetadataStorageType, MySQL, MySQLSpec,
};
use serde_json::json;

use super::schema;
use crate::run::Context;
use crate::{ProviderError, apply, labels, mysql, secret, status};

/// The database of Druid's tables when nothing else is said.
const DATABASE: &str = "druid";
/// Version of MySQL when nothing else is said.
const VERSION: &str = "8.0.35";

/// Where the metadata of a Druid is.
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) is_mysql: bool,
    database: String,
    pub(super) is_ours: bool,
    makes_tables: bool,
    version: String,
}

impl Metadata {
    /// As `spec.metadataStorage` says, with what follows from what it leaves out.
    pub(super) fn of(druid: &Druid) -> Self {
        let MetadataStorage {
            name,
            namespace,
            type_,
            linked_db,
            externally_managed,
            create_tables,
            version,
            ..
        } = druid.spec.metadata_storage.clone().unwrap_or_default();
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let is_mysql = type_.is_none_or(|type_| type_ == MetadataStorageType::MySQL);
        let suffix = if is_mysql {
            "mysql-metadata"
        } else {
            "pg-metadata"
        };
        Self {
            name: some(name).unwrap_or_else(|| format!("{}-{suffix}", druid.name_any())),
            namespace: some(namespace)
                .or_else(|| druid.namespace())
                .unwrap_or_default(),
            is_mysql,
            database: some(linked_db).unwrap_or_else(|| DATABASE.to_owned()),
            is_ours: externally_managed != Some(true),
            makes_tables: create_tables != Some(false),
            version: some(version).unwrap_or_else(|| VERSION.to_owned()),
        }
    }

    /// Makes the store and its tables; `Err` as long as it is not ready, with the reason unless it is just starting.
    pub(super) async fn provide(
        &self,
        druid: &Druid,
        has_been_ready: bool,
        context: &Context,
    ) -> Result<Result<(), Option<String>>, ProviderError> {
        if !self.is_ours {
            return self.find(context).await;
        }
        if !self.is_mysql {
            return Ok(Err(Some(
                "spec.metadataStorage.type is PostgreSQL, which cannot be provided here yet: use MySQL, or an \
                 externally managed store."
                    .to_owned(),
            )));
        }
        if let Some(known) = self.known(context).await?
            && !is_of(druid, &known)
        {
            let taken = ProviderError::Foreign {
                kind: "MySQL",
                namespace: self.namespace.clone(),
                name: self.name.clone(),
            };
            return Ok(Err(Some(taken.told())));
        }
        let store = apply::object(&context.client, &self.store(druid)).await?;
        if !status::holds(store.status.as_ref(), status::READY) {
            let told = |why| format!("MySQL {}/{} is not ready: {why}", self.namespace, self.name);
            return Ok(Err(not_ready(&store).map(told)));
        }
        // Druid makes its tables when it starts; it does not bring back what somebody dropped later, and neither do we.
        if has_been_ready || self.make_tables(&store, context).await? {
            return Ok(Ok(()));
        }
        Ok(Err(None))
    }

    /// Looks for a store that somebody else keeps.
    async fn find(&self, context: &Context) -> Result<Result<(), Option<String>>, ProviderError> {
        let api: Api<AppBinding> = Api::namespaced(context.client.clone(), &self.namespace);
        let found = api.get_opt(&self.name).await;
        if found
            .map_err(ProviderError::api("read the metadata AppBinding"))?
            .is_some()
        {
            return Ok(Ok(()));
        }
        let place = format!("{}/{}", self.namespace, self.name);
        let why = "named by spec.metadataStorage, does not exist; create it.";
        Ok(Err(Some(format!("AppBinding {place}, {why}"))))
    }

    async fn known(&self, context: &Context) -> Result<Option<MySQL>, ProviderError> {
        let api: Api<MySQL> = Api::namespaced(context.client.clone(), &self.namespace);
        let known = api.get_opt(&self.name).await;
        known.map_err(ProviderError::api("read the metadata store"))
    }

    /// The MySQL object of the store, as it has to be.
    fn store(&self, druid: &Druid) -> MySQL {
        let spec = MySQLSpec {
            version: self.version.clone(),
            deletion_policy: druid.spec.deletion_policy,
            ..MySQLSpec::default()
        };
        let mut store = MySQL::new(&self.name, spec);
        store.metadata.namespace = Some(self.namespace.clone());
        store.metadata.labels = Some(labels::of("druids", &druid.name_any()));
        // An owner must be in the same namespace.
        if druid.namespace().as_ref() == Some(&self.namespace) {
            store.metadata.owner_references =
                druid.controller_owner_ref(&()).map(|owner| vec![owner]);
        }
        store
    }

    /// Makes database and tables; `false` if the server has gone down this moment, its coming back brings us here again.
    async fn make_tables(&self, store: &MySQL, context: &Context) -> Result<bool, ProviderError> {
        let name = mysql::auth_secret(store);
        let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &self.namespace);
        let secret = secrets.get(&name).await;
        let secret = secret.map_err(ProviderError::api("read the metadata store's Secret"))?;
        let credentials = secret::read(&secret, &self.namespace, &name)?;
        let Some(port) = context.servers.port(&self.namespace, &self.name).await else {
            return Ok(false);
        };
        let statements = schema::statements(&self.database, self.makes_tables);
        let begin = tokio::time::Instant::now();
        mysql::execute(port, &credentials, &statements, "make Druid's tables").await?;
        tracing::debug!(store = self.name, after = ?begin.elapsed(), "made Druid's tables");
        Ok(true)
    }

    /// Removes the store as the Druid's policy says. Whether it is still there.
    pub(super) async fn remove(
        &self,
        druid: &Druid,
        policy: DatabaseDeletionPolicy,
        context: &Context,
    ) -> Result<bool, ProviderError> {
        let beside = druid.namespace().as_ref() == Some(&self.namespace);
        let goes_along = beside || policy == DatabaseDeletionPolicy::WipeOut;
        if !self.is_ours || !self.is_mysql || !goes_along {
            return Ok(false);
        }
        let Some(known) = self
            .known(context)
            .await?
            .filter(|known| is_of(druid, known))
        else {
            return Ok(false);
        };
        if known.spec.deletion_policy() != Some(policy) {
            // The Druid's may have changed since the store last followed it.
            let api: Api<MySQL> = Api::namespaced(context.client.clone(), &self.namespace);
            let patch =
                json!({"metadata": {"uid": known.uid()}, "spec": {"deletionPolicy": policy}});
            api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map_err(ProviderError::api("hand the deletion policy on"))?;
        }
        apply::delete::<MySQL>(&context.client, &self.namespace, &self.name).await
    }
}

/// Whether `store` was made for `druid`.
fn is_of(druid: &Druid, store: &MySQL) -> bool {
    let wanted = labels::of("druids", &druid.name_any());
    let mut wanted = wanted.iter();
    wanted.all(|(key, value)| store.labels().get(key) == Some(value))
}

/// Why a store is not ready, as it says itself.
fn not_ready(store: &MySQL) -> Option<String> {
    let conditions = &store.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|one| one.type_ == status::READY)?;
    Some(ready.message.clone()).filter(|message| !message.is_empty())
}
