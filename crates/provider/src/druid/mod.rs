//! `Druid` objects: their metadata store, their AppBinding, and a status that does not claim more than that.

mod metadata;
mod schema;
mod store;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::{AppBinding, AppBindingSpec, ClientConfig, SecretReference};
use kubestash_api::kubedb::{DatabaseDeletionPolicy, Druid};
use kubestash_api::shared::TypedObjectReference;

use crate::run::Context;
use crate::secret::{self, Wanted};
use crate::status::{self, Change, Fact};
use crate::{ProviderError, apply, database, labels, restore};
use metadata::Metadata;
use store::Store as MetadataStore;

/// Finalizer of a Druid.
const FINALIZER: &str = "kubedb.com/druid";

/// The Druids whose metadata is in `store`.
pub(crate) fn of_metadata_store<S: MetadataStore>(
    known: &Store<Druid>,
    store: &S,
) -> Vec<ObjectRef<Druid>> {
    let uses = |druid: &Arc<Druid>| {
        let metadata = Metadata::of(druid);
        metadata.type_ == S::TYPE
            && metadata.name == store.name_any()
            && Some(metadata.namespace) == store.namespace()
    };
    let users = known.state().into_iter().filter(uses);
    users
        .map(|druid| ObjectRef::from_obj(druid.as_ref()))
        .collect()
}

/// The Druids whose metadata is kept by somebody else, behind `binding`.
pub(crate) fn of_binding(known: &Store<Druid>, binding: &AppBinding) -> Vec<ObjectRef<Druid>> {
    let uses = |druid: &Arc<Druid>| {
        let metadata = Metadata::of(druid);
        !metadata.is_ours
            && metadata.name == binding.name_any()
            && Some(metadata.namespace) == binding.namespace()
    };
    let users = known.state().into_iter().filter(uses);
    users
        .map(|druid| ObjectRef::from_obj(druid.as_ref()))
        .collect()
}

/// Brings one Druid in line with its object.
pub(crate) async fn reconcile(
    druid: Arc<Druid>,
    context: Arc<Context>,
) -> Result<Action, ProviderError> {
    let metadata = Metadata::of(&druid);
    if druid.meta().deletion_timestamp.is_some() {
        return remove(&druid, &metadata, &context).await;
    }
    apply::finalizer(&context.client, druid.as_ref(), FINALIZER, true).await?;
    let mut changes = vec![
        Fact::new(
            status::PROVISIONING_STARTED,
            true,
            "DatabaseProvisioningStartedSuccessfully",
            "The metadata store of this Druid has been asked for.",
        )
        .into(),
        Fact::new(
            status::METADATA_STORE_ONLY,
            true,
            "NoDruidProcesses",
            "Metadata store only: Druid's own processes and ZooKeeper do not run here.",
        )
        .into(),
    ];
    if druid.spec.halted == Some(true) {
        changes.extend(halt(&druid, &context).await?);
    } else {
        changes.extend(keep(&druid, &metadata, &context).await?);
    }
    context
        .write_status(druid.as_ref(), druid.status.as_ref(), &changes)
        .await?;
    let init = druid.spec.init.as_ref();
    apply::initialised(&context.client, druid.as_ref(), init, &changes).await?;
    Ok(Action::await_change())
}

/// Takes the Druid out of service; its metadata store and Secret stay as they are.
async fn halt(druid: &Druid, context: &Context) -> Result<Vec<Change>, ProviderError> {
    let namespace = druid.namespace().unwrap_or_default();
    apply::delete::<AppBinding>(&context.client, &namespace, &druid.name_any()).await?;
    let text = "Nothing of this Druid is in service: spec.halted is true.";
    Ok(vec![
        Fact::new(status::HALTED, true, "DatabaseHalted", text).into(),
        Fact::new(status::READY, false, "DatabaseHalted", text).into(),
    ])
}

/// Keeps the metadata store and what leads to it.
async fn keep(
    druid: &Druid,
    metadata: &Metadata,
    context: &Context,
) -> Result<Vec<Change>, ProviderError> {
    let secret = auth_secret(druid);
    let wanted = Wanted {
        namespace: &druid.namespace().unwrap_or_default(),
        name: &secret,
        username: "admin",
        labels: labels::of("druids", &druid.name_any()),
        owner: None,
        may_be_made: !has_external_secret(druid),
    };
    secret::ensure(&context.client, wanted).await?;
    let before = druid.status.as_ref();
    let (replica, accepts) = (status::REPLICA_READY, status::ACCEPTING_CONNECTION);
    let mut changes = vec![Change::Without(status::HALTED)];
    let has_been_ready = app_binding_exists(druid, context).await?;
    if let Err(why) = metadata.provide(druid, has_been_ready, context).await? {
        if has_been_ready {
            // It goes on following the Druid's annotations.
            apply::object(&context.client, &app_binding(druid, &secret)).await?;
        }
        let text = why.as_deref().unwrap_or("The metadata store is starting.");
        if has_been_ready {
            changes.push(Fact::new(replica, false, "SomeReplicasNotReady", text).into());
            changes.push(Fact::new(accepts, false, "NotAcceptingConnection", text).into());
        }
        if has_been_ready || why.is_some() {
            changes.push(Fact::new(status::READY, false, "MetadataStoreNotReady", text).into());
        }
        return Ok(changes);
    }
    // Not before there is something to back up: a backup starts as soon as the AppBinding is seen.
    apply::object(&context.client, &app_binding(druid, &secret)).await?;
    let runs = "The metadata store runs.";
    let answers = "The metadata store takes connections.";
    changes.push(Fact::new(replica, true, "AllReplicasReady", runs).into());
    changes.push(Fact::new(accepts, true, "AcceptingConnection", answers).into());
    let restore = restore::latest(druid, &context.client).await?;
    changes.extend(restore::changes(restore, before));
    let awaited = restore::is_awaited(druid.spec.init.as_ref(), restore, before);
    let text = "The metadata store is ready (metadata store only).";
    changes.extend(status::ready(awaited, text));
    Ok(changes)
}

async fn app_binding_exists(druid: &Druid, context: &Context) -> Result<bool, ProviderError> {
    let namespace = druid.namespace().unwrap_or_default();
    let api: Api<AppBinding> = Api::namespaced(context.client.clone(), &namespace);
    let found = api.get_opt(&druid.name_any()).await;
    Ok(found
        .map_err(ProviderError::api("read the AppBinding"))?
        .is_some())
}

/// Whether somebody else keeps the auth Secret.
fn has_external_secret(druid: &Druid) -> bool {
    let secret = druid.spec.auth_secret.as_ref();
    secret.and_then(|secret| secret.externally_managed) == Some(true)
}

fn auth_secret(druid: &Druid) -> String {
    let given = druid
        .spec
        .auth_secret
        .as_ref()
        .and_then(|secret| secret.name.clone());
    given
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("{}-auth", druid.name_any()))
}

/// The AppBinding of a Druid. It carries the Druid's annotations, by which backups are asked for, and no address: there
/// is no Druid process to connect to.
fn app_binding(druid: &Druid, secret: &str) -> AppBinding {
    let (namespace, name) = (druid.namespace().unwrap_or_default(), druid.name_any());
    let annotations = labels::copied(Some(druid.annotations()));
    AppBinding {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            labels: Some(labels::of("druids", &name)),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: druid.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: AppBindingSpec {
            app_ref: Some(TypedObjectReference {
                api_group: Some("kubedb.com".to_owned()),
                kind: Some("Druid".to_owned()),
                name,
                namespace: Some(namespace),
            }),
            client_config: ClientConfig::default(),
            secret: Some(SecretReference {
                name: secret.to_owned(),
                ..SecretReference::default()
            }),
            type_: Some("kubedb.com/druid".to_owned()),
            version: Some(druid.spec.version.clone()),
            ..AppBindingSpec::default()
        },
    }
}

/// Ends a Druid as its deletion policy says; its metadata store goes first.
async fn remove(
    druid: &Druid,
    metadata: &Metadata,
    context: &Context,
) -> Result<Action, ProviderError> {
    let policy = druid
        .spec
        .deletion_policy
        .unwrap_or(DatabaseDeletionPolicy::Delete);
    if policy == DatabaseDeletionPolicy::DoNotTerminate {
        context.tell(druid, database::refusal("Druid")).await;
        return Ok(Action::await_change());
    }
    if metadata.remove(druid, policy, context).await? {
        // Its end brings us back here.
        return Ok(Action::await_change());
    }
    if policy == DatabaseDeletionPolicy::WipeOut && !has_external_secret(druid) {
        let namespace = druid.namespace().unwrap_or_default();
        apply::delete::<Secret>(&context.client, &namespace, &auth_secret(druid)).await?;
    }
    apply::finalizer(&context.client, druid, FINALIZER, false).await?;
    Ok(Action::await_change())
}
