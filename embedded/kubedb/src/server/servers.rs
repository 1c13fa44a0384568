//! All servers of one family.

use std::collections::HashMap;

use tokio::sync::Mutex;

use super::files::Files;
use super::keeper::{self, Server, State};
use super::template::Template;
use super::{Engine, Id};
use crate::KubedbConfig;
use crate::secret::Credentials;

/// The servers of one family in this process.
pub(crate) struct Servers<E> {
    config: KubedbConfig,
    template: Template<E>,
    running: Mutex<HashMap<Id, Server>>,
}

impl<E: Engine> Servers<E> {
    pub(crate) fn new(config: KubedbConfig) -> Self {
        Self {
            template: Template::new(config.clone()),
            config,
            running: Mutex::default(),
        }
    }

    /// Makes the template data directory before anybody asks for a server, so that the first one
    /// starts fast.
    pub(crate) async fn warm_up(&self, kind: &str) {
        if let Err(error) = self.template.ready(kind).await {
            tracing::warn!(
                "{}; databases stay Provisioning until it is installed",
                error.told()
            );
        }
    }

    /// Starts the server of a database, if it does not run; returns how it is. `changed` is called
    /// whenever that changes.
    pub(crate) async fn ensure(
        &self,
        id: &Id,
        credentials: Credentials,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> State {
        let mut running = self.running.lock().await;
        if running
            .get(id)
            .is_some_and(|server| !server.has(&credentials))
            && let Some(server) = running.remove(id)
        {
            server.stop().await;
        }
        let server = running.entry(id.clone()).or_insert_with(|| {
            let wanted = keeper::Wanted {
                id: id.clone(),
                files: self.files(id),
                credentials,
            };
            Server::start(self.config.clone(), self.template.clone(), wanted, changed)
        });
        server.state()
    }

    /// The port of a server that takes connections.
    pub(crate) async fn port(&self, id: &Id) -> Option<u16> {
        match self.running.lock().await.get(id)?.state() {
            State::Ready { port, .. } => Some(port),
            State::Starting(_) => None,
        }
    }

    /// The files of a database.
    pub(crate) fn files(&self, id: &Id) -> Files {
        Files::of(&self.config.data_dir, E::USER, id)
    }

    /// Stops the server of a database and waits until it is gone.
    pub(crate) async fn stop(&self, id: &Id) {
        let server = self.running.lock().await.remove(id);
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
