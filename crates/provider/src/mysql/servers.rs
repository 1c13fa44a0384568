//! All servers of this process.

use std::collections::HashMap;

use kube::runtime::reflector::ObjectRef;
use kubestash_api::kubedb::MySQL;
use tokio::sync::Mutex;

use super::files::Files;
use super::server::{self, Server, State};
use super::template::Template;
use crate::ProviderConfig;
use crate::secret::Credentials;

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
    pub(super) async fn ensure(
        &self,
        namespace: &str,
        name: &str,
        credentials: Credentials,
    ) -> State {
        let key = (namespace.to_owned(), name.to_owned());
        let mut running = self.running.lock().await;
        if running
            .get(&key)
            .is_some_and(|server| !server.has(&credentials))
            && let Some(server) = running.remove(&key)
        {
            server.stop().await;
        }
        let server = running.entry(key).or_insert_with(|| {
            let changed = self.changed.clone();
            let object = ObjectRef::<MySQL>::new(name).within(namespace);
            let wanted = server::Wanted {
                files: self.files(namespace, name),
                label: format!("mysql/{namespace}/{name}"),
                credentials,
            };
            // The controller that listens may be gone already, when everything stops.
            let tell = move || drop(changed.unbounded_send(object.clone()));
            Server::start(self.config.clone(), self.template.clone(), wanted, tell)
        });
        server.state()
    }

    /// The port of a server that takes connections.
    pub(crate) async fn port(&self, namespace: &str, name: &str) -> Option<u16> {
        let key = (namespace.to_owned(), name.to_owned());
        match self.running.lock().await.get(&key)?.state() {
            State::Ready { port, .. } => Some(port),
            State::Starting(_) => None,
        }
    }

    /// The files of a database.
    pub(super) fn files(&self, namespace: &str, name: &str) -> Files {
        Files::of(&self.config.data_dir, namespace, name)
    }

    /// Stops the server of a database and waits until it is gone.
    pub(super) async fn stop(&self, namespace: &str, name: &str) {
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
