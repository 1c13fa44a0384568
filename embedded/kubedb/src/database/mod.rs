//! Plain databases: for each object a Secret, a server process, an AppBinding, and a status.

mod conditions;
mod kinds;

use std::sync::Arc;

use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::{ObjectRef, Store};
use kubestash_api::appcatalog::ClientConfig;
use kubestash_api::kubedb::{AuthSecret, DatabaseDeletionPolicy, DatabaseInit, DatabaseStatus};

use crate::run::Context;
use crate::secret::{self, Wanted};
use crate::server::disk::on_disk;
use crate::server::{Engine, Id, Servers, State};
use crate::status::{self, Change, Fact};
use crate::{KubedbError, apply, binding, labels, restore};

/// Finalizer of a database.
const FINALIZER: &str = "kubedb.com";

/// A kind of database that gets a server of its own.
pub(crate) trait Database: apply::Kind + Send + Sync + 'static {
    /// The family of its servers.
    type Engine: Engine;
    /// Its resource: `mysqls`.
    const RESOURCE: &'static str;
    /// Its name in lower case: in the type of AppBindings (`kubedb.com/mysql`), and in the names of
    /// files.
    const NAME: &'static str;
    /// The user that its Secret is made for.
    const SUPERUSER: &'static str;

    /// The fields of its specification that all kinds have.
    fn common(&self) -> Common<'_>;
    /// Its status.
    fn status(&self) -> Option<&DatabaseStatus>;
    /// The address of a server, as AppBindings give it.
    fn url(port: u16) -> String;
    /// The servers of its family.
    fn servers(context: &Context) -> &Servers<Self::Engine>;
    /// Where to tell that the server of a database has changed.
    fn changed(context: &Context) -> &UnboundedSender<ObjectRef<Self>>;
}

/// The fields that databases of all kinds have.
pub(crate) struct Common<'a> {
    pub(crate) version: &'a str,
    pub(crate) auth_secret: Option<&'a AuthSecret>,
    pub(crate) deletion_policy: Option<DatabaseDeletionPolicy>,
    pub(crate) halted: bool,
    pub(crate) init: Option<&'a DatabaseInit>,
    /// Fields that are set and have no effect here.
    pub(crate) unheeded: Vec<String>,
}

/// What tells the server of a database from all others.
pub(crate) fn id<D: Database>(database: &D) -> Id {
    Id {
        kind: D::NAME,
        namespace: database.namespace().unwrap_or_default(),
        name: database.name_any(),
    }
}

/// Name of the auth Secret of a database.
pub(crate) fn auth_secret<D: Database>(database: &D) -> String {
    let given = database
        .common()
        .auth_secret
        .and_then(|secret| secret.name.clone());
    given
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("{}-auth", database.name_any()))
}

/// The credentials in a database's Secret, and the port of its server, if that takes connections
/// now.
pub(crate) async fn access<D: Database>(
    database: &D,
    context: &Context,
) -> Result<Option<(u16, secret::Credentials)>, KubedbError> {
    let id = id(database);
    let name = auth_secret(database);
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &id.namespace);
    let found = secrets.get(&name).await;
    let found = found.map_err(KubedbError::api("read the Secret of a database"))?;
    let credentials = secret::read(&found, &id.namespace, &name)?;
    let port = D::servers(context).port(&id).await;
    Ok(port.map(|port| (port, credentials)))
}

/// The databases that use `secret`.
pub(crate) fn of_secret<D: Database>(known: &Store<D>, secret: &Secret) -> Vec<ObjectRef<D>> {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let uses = |database: &Arc<D>| {
        database.namespace() == secret.metadata.namespace && auth_secret(database.as_ref()) == name
    };
    let users = known.state().into_iter().filter(uses);
    users
        .map(|database| ObjectRef::from_obj(database.as_ref()))
        .collect()
}

/// Whether somebody else keeps the auth Secret.
fn has_external_secret<D: Database>(database: &D) -> bool {
    let secret = database.common().auth_secret;
    secret.and_then(|secret| secret.externally_managed) == Some(true)
}

/// Brings one database in line with its object.
pub(crate) async fn reconcile<D: Database>(
    database: Arc<D>,
    context: Arc<Context>,
) -> Result<Action, KubedbError> {
    if database.meta().deletion_timestamp.is_some() {
        return remove(database.as_ref(), &context).await;
    }
    apply::finalizer(&context.client, database.as_ref(), FINALIZER, true).await?;
    let done = if database.common().halted {
        halt(database.as_ref(), &context).await
    } else {
        keep(database.as_ref(), &context).await
    };
    let (changes, failed) = match done {
        Ok(changes) => (changes, None),
        // It lasts, so it is told where it stays; and tried again, as nobody tells us of its end.
        Err(error) if error.is_the_users() => (conditions::impossible(&error), Some(error)),
        Err(error) => return Err(error),
    };
    context
        .write_status(database.as_ref(), database.status(), &changes)
        .await?;
    if let Some(error) = failed {
        return Err(error);
    }
    let init = database.common().init;
    apply::initialised(&context.client, database.as_ref(), init, &changes).await?;
    Ok(Action::await_change())
}

/// Stops the server; data and Secret stay.
async fn halt<D: Database>(database: &D, context: &Context) -> Result<Vec<Change>, KubedbError> {
    let id = id(database);
    D::servers(context).stop(&id).await;
    binding::remove(&context.client, database).await?;
    let text = "The server is stopped: spec.halted is true.";
    Ok(vec![
        Fact::new(status::HALTED, true, "DatabaseHalted", text).into(),
        Fact::new(status::READY, false, "DatabaseHalted", text).into(),
    ])
}

/// Keeps the server running and reachable.
async fn keep<D: Database>(database: &D, context: &Context) -> Result<Vec<Change>, KubedbError> {
    let id = id(database);
    let secret = auth_secret(database);
    binding::is_there(&context.client, database).await?;
    let wanted = Wanted {
        namespace: &id.namespace,
        name: &secret,
        username: D::SUPERUSER,
        labels: labels::of(D::RESOURCE, &id.name),
        // It goes only when the deletion policy says so.
        owner: None,
        may_be_made: !has_external_secret(database),
    };
    let credentials = secret::ensure(&context.client, wanted).await?;
    let changed = D::changed(context).clone();
    let object = ObjectRef::<D>::new(&id.name).within(&id.namespace);
    // The controller that listens may be gone already, when everything stops.
    let tell = move || drop(changed.unbounded_send(object.clone()));
    let state = D::servers(context).ensure(&id, credentials, tell).await;
    if let State::Ready { port, program } = &state {
        let content = binding::Content {
            resource: D::RESOURCE,
            type_: D::NAME,
            // There is no DNS here, so there is no Service either: only the address.
            client_config: ClientConfig {
                url: Some(D::url(*port)),
                ..ClientConfig::default()
            },
            secret: &secret,
            version: &program.version,
        };
        apply::object(&context.client, &binding::of(database, content)).await?;
    }
    let before = database.status();
    let restore = restore::latest(database, &context.client).await?;
    let mut changes = restore::changes(restore, before);
    let common = database.common();
    let awaited = restore::is_awaited(common.init, restore, before);
    let provisioned = status::holds(before, status::PROVISIONED);
    changes.push(Change::Without(status::HALTED));
    changes.extend(conditions::of(&state, &common, provisioned, awaited));
    Ok(changes)
}

/// Ends a database as its deletion policy says.
async fn remove<D: Database>(database: &D, context: &Context) -> Result<Action, KubedbError> {
    if !apply::is_current(&context.client, database).await? {
        return Ok(Action::await_change());
    }
    let policy = database
        .common()
        .deletion_policy
        .unwrap_or(DatabaseDeletionPolicy::Delete);
    if policy == DatabaseDeletionPolicy::DoNotTerminate {
        context.tell(database, refusal(&D::kind(&()))).await;
        return Ok(Action::await_change());
    }
    let id = id(database);
    D::servers(context).stop(&id).await;
    if policy != DatabaseDeletionPolicy::Halt {
        let files = D::servers(context).files(&id);
        on_disk(move || files.remove()).await?;
    }
    if policy == DatabaseDeletionPolicy::WipeOut && !has_external_secret(database) {
        secret::remove(
            &context.client,
            &id.namespace,
            &auth_secret(database),
            D::RESOURCE,
        )
        .await?;
    }
    apply::finalizer(&context.client, database, FINALIZER, false).await?;
    Ok(Action::await_change())
}

/// The Event on a database whose policy forbids its deletion.
pub(crate) fn refusal(kind: &str) -> Event {
    Event {
        type_: EventType::Warning,
        reason: "DeletionRefused".to_owned(),
        note: Some(format!(
            "This {kind} stays: spec.deletionPolicy is DoNotTerminate. Change it to Delete, Halt or WipeOut to delete it."
        )),
        action: "Delete".to_owned(),
        secondary: None,
    }
}
