//! `MySQL` objects: for each a Secret, a server process, an AppBinding, and a status.

mod files;
mod program;
mod server;
mod template;

use std::collections::HashMap;
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
use tokio::sync::Mutex;

pub(crate) use server::execute;

use crate::run::Context;
use crate::secret::{self, Credentials, Wanted};
use crate::status::{self, Fact};
use crate::{ProviderConfig, ProviderError, apply, labels};
use files::Files;
use server::{Server, State};
use template::Template;

/// Finalizer of a database.
const FINALIZER: &str = "kubedb.com";

/// The servers of this process, by namespace and name.
pub(crate) struct Servers {
    config: ProviderConfig,
    template: Template,
    running: Mutex<HashMap<(String, String), Server>>,
    changed: futures::channel::mpsc::UnboundedSender<ObjectRef<MySQL>>,
}

impl Servers {
    pub(crate) fn new(
        config: ProviderConfig,
        changed: futures::channel::mpsc::UnboundedSender<ObjectRef<MySQL>>,
    ) -> Self {
        Self {
            template: Template::new(config.clone()),
            config,
            running: Mutex::default(),
            changed,
        }
    }

    /// Makes the template data directory before anybody asks for a server, so that the first one starts fast.
    pub(crate) async fn prepare(&self) {
        if let Err(error) = self.template.ready().await {
            tracing::warn!(
                "{}; databases stay Provisioning until it is installed",
                error.told()
            );
        }
    }

    /// Starts the server of a database, if it does not run; returns how it is.
    async fn ensure(&self, namespace: &str, name: &str, credentials: Credentials) -> State {
        let mut running = self.running.lock().await;
        let key = (namespace.to_owned(), name.to_owned());
        let server = running.entry(key).or_insert_with(|| {
            let changed = self.changed.clone();
            let object = ObjectRef::<MySQL>::new(name).within(namespace);
            Server::start(
                self.config.clone(),
                self.template.clone(),
                Files::of(&self.config.data_dir, namespace, name),
                format!("mysql/{namespace}/{name}"),
                credentials,
                // The controller that listens may be gone already, when everything stops.
                move || drop(changed.unbounded_send(object.clone())),
            )
        });
        server.state()
    }

    /// Stops the server of a database and waits until it is gone.
    async fn stop(&self, namespace: &str, name: &str) {
        let server = self
            .running
            .lock()
            .await
            .remove(&(namespace.to_owned(), name.to_owned()));
        if let Some(server) = server {
            server.stop().await;
        }
    }

    /// Stops all servers, at once.
    pub(crate) async fn stop_all(&self) {
        let servers: Vec<Server> = self
            .running
            .lock()
            .await
            .drain()
            .map(|(_, server)| server)
            .collect();
        futures::future::join_all(servers.into_iter().map(Server::stop)).await;
    }
}

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

/// Brings one database in line with its object.
pub(crate) async fn reconcile(
    mysql: Arc<MySQL>,
    context: Arc<Context>,
) -> Result<Action, ProviderError> {
    if mysql.meta().deletion_timestamp.is_some() {
        return remove(&mysql, &context).await;
    }
    let (namespace, name) = (mysql.namespace().unwrap_or_default(), mysql.name_any());
    apply::finalizer(&context.client, mysql.as_ref(), FINALIZER, true).await?;
    if mysql.spec.halted == Some(true) {
        context.servers.stop(&namespace, &name).await;
        let facts = [Fact::new(
            status::REPLICA_READY,
            false,
            "Halted",
            "The server is stopped: spec.halted is true.",
        )];
        return write_status(&mysql, &context, &facts).await;
    }
    let secret = auth_secret(&mysql);
    let wanted = Wanted {
        namespace: &namespace,
        name: &secret,
        username: "root",
        labels: labels::of("mysqls", &name),
        // It goes only when the deletion policy says so.
        owner: None,
    };
    let credentials = secret::ensure(&context.client, wanted).await?;
    let state = context.servers.ensure(&namespace, &name, credentials).await;
    if let State::Ready { port, version } = &state {
        apply::object(
            &context.client,
            &app_binding(&mysql, &secret, *port, version),
        )
        .await?;
    }
    let provisioned = status::holds(mysql.status.as_ref(), status::PROVISIONED);
    write_status(&mysql, &context, &facts(&state, provisioned)).await
}

/// What the state of the server means for the conditions.
fn facts(state: &State, provisioned: bool) -> Vec<Fact> {
    let mut facts = vec![Fact::new(
        status::PROVISIONING_STARTED,
        true,
        "DatabaseProvisioningStartedSuccessfully",
        "A server process for this database has been asked for.",
    )];
    match state {
        State::Ready { port, version } => {
            let at = format!("Version {version} takes connections on 127.0.0.1:{port}.");
            facts.extend([
                Fact::new(
                    status::REPLICA_READY,
                    true,
                    "AllReplicasReady",
                    "The server process runs.",
                ),
                Fact::new(
                    status::ACCEPTING_CONNECTION,
                    true,
                    "AcceptingConnection",
                    at,
                ),
                Fact::new(
                    status::READY,
                    true,
                    "AllReplicasReady",
                    "The database is ready.",
                ),
                Fact::new(
                    status::PROVISIONED,
                    true,
                    "DatabaseSuccessfullyProvisioned",
                    "The database has been provisioned.",
                ),
            ]);
        }
        State::Starting(reason) if provisioned || reason.is_some() => {
            let why = reason
                .clone()
                .unwrap_or_else(|| "The server is starting.".to_owned());
            facts.extend([
                Fact::new(
                    status::REPLICA_READY,
                    false,
                    "SomeReplicasNotReady",
                    why.clone(),
                ),
                Fact::new(
                    status::ACCEPTING_CONNECTION,
                    false,
                    "NotAcceptingConnection",
                    why.clone(),
                ),
                Fact::new(status::READY, false, "SomeReplicasNotReady", why),
            ]);
        }
        State::Starting(_) => {}
    }
    facts
}

async fn write_status(
    mysql: &MySQL,
    context: &Context,
    facts: &[Fact],
) -> Result<Action, ProviderError> {
    let new = status::next(
        mysql.status.as_ref(),
        facts,
        mysql.metadata.generation,
        jiff::Timestamp::now(),
    );
    apply::status(&context.client, mysql, mysql.status.as_ref(), &new).await?;
    Ok(Action::await_change())
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
        let files = Files::of(&context.servers.config.data_dir, &namespace, &name);
        let removed = tokio::task::spawn_blocking(move || files.remove()).await;
        removed.map_err(|error| ProviderError::Program {
            action: "remove the data",
            reason: error.to_string(),
            log: context.servers.config.data_dir.clone(),
        })??;
    }
    let external = mysql
        .spec
        .auth_secret
        .as_ref()
        .and_then(|secret| secret.externally_managed)
        == Some(true);
    if policy == DatabaseDeletionPolicy::WipeOut && !external {
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
