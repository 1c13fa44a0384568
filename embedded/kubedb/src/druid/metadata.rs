//! The metadata store of a Druid: a `MySQL` or `Postgres` object of its own, or one that somebody
//! else keeps.

use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::{
    DatabaseDeletionPolicy, Druid, MetadataStorage, MetadataStorageType, MySQL, Postgres,
};
use kubestash_domain::target::{Key, metadata_store};
use serde_json::json;

use super::schema::DruidVersion;
use super::store::Store;
use crate::run::Context;
use crate::{KubedbError, apply, database, labels, status};

/// The database of Druid's tables when nothing else is said.
const DATABASE: &str = "druid";
/// How far a Druid's own processes would be.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// They wait for the initial restore; tables made meanwhile would be in the way of those
    /// restored.
    Waiting,
    /// They start, and make their tables.
    Starting,
    /// They have started before.
    Started,
}

/// Where the metadata of a Druid is.
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) type_: MetadataStorageType,
    database: String,
    pub(super) is_ours: bool,
    /// The version whose tables Druid makes in it, unless it makes none.
    tables: Option<DruidVersion>,
    version: Option<String>,
}

impl Metadata {
    /// As `spec.metadataStorage` says, with what follows from what it leaves out.
    pub(super) fn of(druid: &Druid) -> Self {
        let MetadataStorage {
            type_,
            linked_db,
            externally_managed,
            create_tables,
            version,
            ..
        } = druid.spec.metadata_storage.clone().unwrap_or_default();
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let type_ = type_.unwrap_or(MetadataStorageType::MySQL);
        let Key { namespace, name } = metadata_store(druid);
        Self {
            name,
            namespace,
            type_,
            database: some(linked_db).unwrap_or_else(|| DATABASE.to_owned()),
            is_ours: externally_managed != Some(true),
            tables: (create_tables != Some(false)).then(|| DruidVersion::of(&druid.spec.version)),
            version: some(version),
        }
    }

    /// Makes the store and what the Druid has made in it by the time of `stage`; `Err` as long as
    /// it is not ready, with the reason unless it is just starting.
    pub(super) async fn provide(
        &self,
        druid: &Druid,
        stage: Stage,
        context: &Context,
    ) -> Result<Result<(), Option<String>>, KubedbError> {
        if !self.is_ours {
            return self.find(context).await;
        }
        match self.type_ {
            MetadataStorageType::MySQL => self.make::<MySQL>(druid, stage, context).await,
            MetadataStorageType::PostgreSQL => self.make::<Postgres>(druid, stage, context).await,
        }
    }

    async fn make<S: Store>(
        &self,
        druid: &Druid,
        stage: Stage,
        context: &Context,
    ) -> Result<Result<(), Option<String>>, KubedbError> {
        if let Some(known) = self.known::<S>(context).await?
            && !is_of(druid, &known)
        {
            let taken = KubedbError::Foreign {
                kind: S::KIND,
                namespace: self.namespace.clone(),
                name: self.name.clone(),
            };
            return Ok(Err(Some(taken.told())));
        }
        let store = apply::object(&context.client, &self.store::<S>(druid)).await?;
        if !status::holds(store.status(), status::READY) {
            let told = |why| {
                format!(
                    "{} {}/{} is not ready: {why}",
                    S::KIND,
                    self.namespace,
                    self.name
                )
            };
            return Ok(Err(not_ready(&store).map(told)));
        }
        // Druid makes its tables when it starts; it does not bring back what somebody dropped
        // later, and neither do we.
        let done = match stage {
            Stage::Started => true,
            Stage::Waiting => self.make_tables(&store, None, context).await?,
            Stage::Starting => self.make_tables(&store, self.tables, context).await?,
        };
        if done {
            return Ok(Ok(()));
        }
        Ok(Err(None))
    }

    /// Looks for a store that somebody else keeps.
    async fn find(&self, context: &Context) -> Result<Result<(), Option<String>>, KubedbError> {
        let api: Api<AppBinding> = Api::namespaced(context.client.clone(), &self.namespace);
        let found = api.get_opt(&self.name).await;
        if found
            .map_err(KubedbError::api("read the metadata AppBinding"))?
            .is_some()
        {
            return Ok(Ok(()));
        }
        let place = format!("{}/{}", self.namespace, self.name);
        let why = "named by spec.metadataStorage, does not exist; create it.";
        Ok(Err(Some(format!("AppBinding {place}, {why}"))))
    }

    async fn known<S: Store>(&self, context: &Context) -> Result<Option<S>, KubedbError> {
        let api: Api<S> = Api::namespaced(context.client.clone(), &self.namespace);
        let known = api.get_opt(&self.name).await;
        known.map_err(KubedbError::api("read the metadata store"))
    }

    /// The object of the store, as it has to be.
    fn store<S: Store>(&self, druid: &Druid) -> S {
        let version = self.version.as_deref().unwrap_or(S::VERSION);
        let mut store = S::with(&self.name, version, druid.spec.deletion_policy);
        let meta = store.meta_mut();
        meta.namespace = Some(self.namespace.clone());
        meta.labels = Some(labels::of("druids", &druid.name_any()));
        // An owner must be in the same namespace.
        if druid.namespace().as_ref() == Some(&self.namespace) {
            meta.owner_references = druid.controller_owner_ref(&()).map(|owner| vec![owner]);
        }
        store
    }

    /// Makes the database and, if asked, the tables; `false` if the server has gone down this
    /// moment, its coming back brings us here again.
    async fn make_tables<S: Store>(
        &self,
        store: &S,
        tables: Option<DruidVersion>,
        context: &Context,
    ) -> Result<bool, KubedbError> {
        let Some((port, credentials)) = database::access(store, context).await? else {
            return Ok(false);
        };
        let begin = tokio::time::Instant::now();
        S::make_tables(port, &credentials, &self.database, tables).await?;
        if let Some(version) = tables {
            let (namespace, name, database) = (&self.namespace, &self.name, &self.database);
            tracing::info!(after = ?begin.elapsed(), "{namespace}/{name}: the database {database:?} has the tables of {version}");
        }
        Ok(true)
    }

    /// Removes the store as the Druid's policy says. Whether it is still there.
    pub(super) async fn remove(
        &self,
        druid: &Druid,
        policy: DatabaseDeletionPolicy,
        context: &Context,
    ) -> Result<bool, KubedbError> {
        let beside = druid.namespace().as_ref() == Some(&self.namespace);
        let goes_along = beside || policy == DatabaseDeletionPolicy::WipeOut;
        if !self.is_ours || !goes_along {
            return Ok(false);
        }
        match self.type_ {
            MetadataStorageType::MySQL => self.remove_as::<MySQL>(druid, policy, context).await,
            MetadataStorageType::PostgreSQL => {
                self.remove_as::<Postgres>(druid, policy, context).await
            }
        }
    }

    async fn remove_as<S: Store>(
        &self,
        druid: &Druid,
        policy: DatabaseDeletionPolicy,
        context: &Context,
    ) -> Result<bool, KubedbError> {
        let known = self.known::<S>(context).await?;
        let Some(known) = known.filter(|known| is_of(druid, known)) else {
            return Ok(false);
        };
        if known.common().deletion_policy != Some(policy) {
            // The Druid's may have changed since the store last followed it.
            let api: Api<S> = Api::namespaced(context.client.clone(), &self.namespace);
            let patch =
                json!({"metadata": {"uid": known.uid()}, "spec": {"deletionPolicy": policy}});
            api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map_err(KubedbError::api("hand the deletion policy on"))?;
        }
        apply::delete::<S>(&context.client, &self.namespace, &self.name).await
    }
}

/// Whether `store` was made for `druid`.
fn is_of<S: Store>(druid: &Druid, store: &S) -> bool {
    let wanted = labels::of("druids", &druid.name_any());
    let mut wanted = wanted.iter();
    wanted.all(|(key, value)| store.labels().get(key) == Some(value))
}

/// Why a store is not ready, as it says itself.
fn not_ready<S: Store>(store: &S) -> Option<String> {
    let conditions = &store.status()?.conditions;
    let ready = conditions.iter().find(|one| one.type_ == status::READY)?;
    Some(ready.message.clone()).filter(|message| !message.is_empty())
}
