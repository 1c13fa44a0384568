//! `MySQL` objects: for each a Secret, a server process, an AppBinding, and a status.

mod accounts;
mod files;
mod program;
mod server;
mod servers;
mod template;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::{AppBinding, AppBindingSpec, ClientConfig, SecretReference};
use kubestash_api::kubedb::{DatabaseDeletionPolicy, MySQL};
use kubestash_api::shared::TypedObjectReference;

pub(crate) use server::execute;
pub(crate) use servers::Servers;

use crate::run::Context;
use crate::secret::{self, Wanted};
use crate::status::{self, Change, Fact};
use crate::{ProviderError, apply, labels, restore};
use server::State;

/// Finalizer of a database.
const FINALIZER: &str = "kubedb.com";

/// Name of the auth Secret of a database.
pub(crate) fn auth_secret(mysql: &MySQL) -> String {
    let given = mysql
        .spec
        .auth_secret
        .as_ref()
        .and_then(|secret| secret.name.clone());
    given
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("{}-auth", mysql.name_any()))
}

/// Selects the Secrets of databases.
pub(crate) fn secrets() -> String {
    let selected = labels::of("mysqls", "");
    let parts = selected.iter().filter(|(_, value)| !value.is_empty());
    parts
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// The database that a Secret was made for.
pub(crate) fn of_secret(secret: &Secret) -> Option<ObjectRef<MySQL>> {
    let name = secret.labels().get(kubestash_api::labels::INSTANCE)?;
    Some(ObjectRef::new(name).within(&secret.namespace()?))
}

/// Whether somebody else keeps the auth Secret.
fn has_external_secret(mysql: &MySQL) -> bool {
    let secret = mysql.spec.auth_secret.as_ref();
    secret.and_then(|secret| secret.externally_managed) == Some(true)
}

/// Brings one database in line with its object.
pub(crate) async fn reconcile(
    mysql: Arc<MySQL>,
    context: Arc<Context>,
) -> Result<Action, ProviderError> {
    if mysql.meta().deletion_timestamp.is_some() {
        return remove(&mysql, &context).await;
    }
    apply::finalizer(&context.client, mysql.as_ref(), FINALIZER, true).await?;
    let changes = if mysql.spec.halted == Some(true) {
        halt(&mysql, &context).await?
    } else {
        keep(&mysql, &context).await?
    };
    context
        .write_status(mysql.as_ref(), mysql.status.as_ref(), &changes)
        .await?;
    let init = mysql.spec.init.as_ref();
    apply::initialised(&context.client, mysql.as_ref(), init, &changes).await?;
    Ok(Action::await_change())
}

/// Stops the server; data and Secret stay.
async fn halt(mysql: &MySQL, context: &Context) -> Result<Vec<Change>, ProviderError> {
    let (namespace, name) = (mysql.namespace().unwrap_or_default(), mysql.name_any());
    context.servers.stop(&namespace, &name).await;
    apply::delete::<AppBinding>(&context.client, &namespace, &name).await?;
    let text = "The server is stopped: spec.halted is true.";
    Ok(vec![
        Fact::new(status::HALTED, true, "DatabaseHalted", text).into(),
        Fact::new(status::READY, false, "DatabaseHalted", text).into(),
    ])
}

/// Keeps the server running and reachable.
async fn keep(mysql: &MySQL, context: &Context) -> Result<Vec<Change>, ProviderError> {
    let (namespace, name) = (mysql.namespace().unwrap_or_default(), mysql.name_any());
    let secret = auth_secret(mysql);
    let wanted = Wanted {
        namespace: &namespace,
        name: &secret,
        username: "root",
        labels: labels::of("mysqls", &name),
        // It goes only when the deletion policy says so.
        owner: None,
        may_be_made: !has_external_secret(mysql),
    };
    let credentials = secret::ensure(&context.client, wanted).await?;
    let state = context.servers.ensure(&namespace, &name, credentials).await;
    if let State::Ready { port, version } = &state {
        let binding = app_binding(mysql, &secret, *port, version);
        apply::object(&context.client, &binding).await?;
    }
    let before = mysql.status.as_ref();
    let restore = restore::latest(mysql, &context.client).await?;
    let mut changes = restore::changes(restore, before);
    let awaited = restore::is_awaited(mysql.spec.init.as_ref(), restore, before);
    let provisioned = status::holds(before, status::PROVISIONED);
    changes.push(Change::Without(status::HALTED));
    changes.extend(changes_of(&state, provisioned, awaited));
    Ok(changes)
}

/// What the state of the server means for the conditions.
fn changes_of(state: &State, provisioned: bool, awaited: bool) -> Vec<Change> {
    let fact =
        |type_, holds, reason, text: &str| Change::With(Fact::new(type_, holds, reason, text));
    let mut changes = vec![fact(
        status::PROVISIONING_STARTED,
        true,
        "DatabaseProvisioningStartedSuccessfully",
        "A server process for this database has been asked for.",
    )];
    match state {
        State::Ready { port, version } => {
            let at = format!("Version {version} takes connections on 127.0.0.1:{port}.");
            let (replica, accepts) = (status::REPLICA_READY, status::ACCEPTING_CONNECTION);
            changes.push(fact(
                replica,
                true,
                "AllReplicasReady",
                "The server process runs.",
            ));
            changes.push(fact(accepts, true, "AcceptingConnection", &at));
            changes.extend(status::ready(awaited, "The database is ready."));
        }
        State::Starting(reason) if provisioned || reason.is_some() => {
            let why = reason.as_deref().unwrap_or("The server is starting.");
            for (type_, reason) in [
                (status::REPLICA_READY, "SomeReplicasNotReady"),
                (status::ACCEPTING_CONNECTION, "NotAcceptingConnection"),
                (status::READY, "SomeReplicasNotReady"),
            ] {
                changes.push(fact(type_, false, reason, why));
            }
        }
        State::Starting(_) => {}
    }
    changes
}

/// How to reach the server.
fn app_binding(mysql: &MySQL, secret: &str, port: u16, version: &str) -> AppBinding {
    let (namespace, name) = (mysql.namespace().unwrap_or_default(), mysql.name_any());
    let annotations = labels::copied(Some(mysql.annotations()));
    AppBinding {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            labels: Some(labels::of("mysqls", &name)),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: mysql.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: AppBindingSpec {
            app_ref: Some(TypedObjectReference {
                api_group: Some("kubedb.com".to_owned()),
                kind: Some("MySQL".to_owned()),
                name: name.clone(),
                namespace: Some(namespace),
            }),
            // There is no DNS here, so there is no Service either: only the address.
            client_config: ClientConfig {
                url: Some(format!("tcp(127.0.0.1:{port})/")),
                ..ClientConfig::default()
            },
            secret: Some(SecretReference {
                name: secret.to_owned(),
                ..SecretReference::default()
            }),
            type_: Some("kubedb.com/mysql".to_owned()),
            version: Some(version.to_owned()),
            ..AppBindingSpec::default()
        },
    }
}

/// Ends a database as its deletion policy says.
async fn remove(mysql: &MySQL, context: &Context) -> Result<Action, ProviderError> {
    let policy = mysql
        .spec
        .deletion_policy()
        .unwrap_or(DatabaseDeletionPolicy::Delete);
    if policy == DatabaseDeletionPolicy::DoNotTerminate {
        context.tell(mysql, refusal("MySQL")).await;
        return Ok(Action::await_change());
    }
    let (namespace, name) = (mysql.namespace().unwrap_or_default(), mysql.name_any());
    context.servers.stop(&namespace, &name).await;
    if policy != DatabaseDeletionPolicy::Halt {
        let files = context.servers.files(&namespace, &name);
        server::on_disk(move || files.remove()).await?;
    }
    if policy == DatabaseDeletionPolicy::WipeOut && !has_external_secret(mysql) {
        apply::delete::<Secret>(&context.client, &namespace, &auth_secret(mysql)).await?;
    }
    apply::finalizer(&context.client, mysql, FINALIZER, false).await?;
    Ok(Action::await_change())
}

/// The Event on a database whose policy forbids its deletion.
pub(crate) fn refusal(kind: &str) -> Event {
    Event {
        type_: EventType::Warning,
        reason: "DeletionRefused".to_owned(),
        note: Some(format!(
            "This {kind} stays: spec.deletionPolicy is DoNotTerminate. Change it to Delete, Halt or WipeOut to let it go."
        )),
        action: "Delete".to_owned(),
        secondary: None,
    }
}
