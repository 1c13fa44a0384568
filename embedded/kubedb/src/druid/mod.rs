//! `Druid` objects: their metadata store, their AppBinding, and a status that does not claim more
//! than that.

mod metadata;
mod schema;
mod store;

use std::sync::Arc;

use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::{AppBinding, ClientConfig};
use kubestash_api::kubedb::{DatabaseDeletionPolicy, Druid};
use metadata::{Metadata, Stage};
use store::Store as MetadataStore;

use crate::run::Context;
use crate::secret::{self, Wanted};
use crate::status::{self, Change, Fact};
use crate::{KubedbError, apply, binding, database, labels, restore};

/// Finalizer of a Druid.
const FINALIZER: &str = "kubedb.com/druid";
/// Their resource.
const RESOURCE: &str = "druids";

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
) -> Result<Action, KubedbError> {
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
    let done = if druid.spec.halted == Some(true) {
        halt(&druid, &context).await
    } else {
        keep(&druid, &metadata, &context).await
    };
    let failed = match done {
        Ok(more) => {
            changes.extend(more);
            None
        }
        // It lasts, so it is told where it stays; and tried again, as nobody tells us of its end.
        Err(error) if error.is_the_users() => {
            changes.push(Change::Without(status::HALTED));
            changes.push(Fact::new(status::READY, false, error.kind(), error.told()).into());
            Some(error)
        }
        Err(error) => return Err(error),
    };
    context
        .write_status(druid.as_ref(), druid.status.as_ref(), &changes)
        .await?;
    if let Some(error) = failed {
        return Err(error);
    }
    let init = druid.spec.init.as_ref();
    apply::initialised(&context.client, druid.as_ref(), init, &changes).await?;
    Ok(Action::await_change())
}

/// Takes the Druid out of service; its metadata store and Secret stay as they are.
async fn halt(druid: &Druid, context: &Context) -> Result<Vec<Change>, KubedbError> {
    binding::remove(&context.client, druid).await?;
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
) -> Result<Vec<Change>, KubedbError> {
    let has_been_ready = binding::is_there(&context.client, druid).await?;
    let secret = auth_secret(druid);
    let wanted = Wanted {
        namespace: &druid.namespace().unwrap_or_default(),
        name: &secret,
        username: "admin",
        labels: labels::of(RESOURCE, &druid.name_any()),
        owner: None,
        may_be_made: !has_external_secret(druid),
    };
    secret::ensure(&context.client, wanted).await?;
    let before = druid.status.as_ref();
    let (replica, accepts) = (status::REPLICA_READY, status::ACCEPTING_CONNECTION);
    let mut changes = vec![Change::Without(status::HALTED)];
    let restore = restore::latest(druid, &context.client).await?;
    let awaited = restore::is_awaited(druid.spec.init.as_ref(), restore, before);
    let stage = match (awaited, status::holds(before, status::PROVISIONED)) {
        (true, _) => Stage::Waiting,
        (false, false) => Stage::Starting,
        (false, true) => Stage::Started,
    };
    if let Err(why) = metadata.provide(druid, stage, context).await? {
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
    changes.extend(restore::changes(restore, before));
    let text = "The metadata store is ready (metadata store only).";
    changes.extend(status::ready(awaited, text));
    Ok(changes)
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

/// The AppBinding of a Druid. It has no address: there is no Druid process to connect to.
fn app_binding(druid: &Druid, secret: &str) -> AppBinding {
    let content = binding::Content {
        resource: RESOURCE,
        type_: "druid",
        client_config: ClientConfig::default(),
        secret,
        version: &druid.spec.version,
    };
    binding::of(druid, content)
}

/// Ends a Druid as its deletion policy says; its metadata store goes first.
async fn remove(
    druid: &Druid,
    metadata: &Metadata,
    context: &Context,
) -> Result<Action, KubedbError> {
    if !apply::is_current(&context.client, druid).await? {
        return Ok(Action::await_change());
    }
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
        secret::remove(&context.client, &namespace, &auth_secret(druid), RESOURCE).await?;
    }
    apply::finalizer(&context.client, druid, FINALIZER, false).await?;
    Ok(Action::await_change())
}
