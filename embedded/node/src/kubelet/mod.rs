//! Pods as processes of this machine.
//!
//! ```text
//!   watch ──► Dispatcher ──► Worker (one per pod) ──► Runner (one per container) ──► supervised process
//!                              │                          │
//!                              └──────── Report ◄─────────┘  states in, status out
//! ```
//!
//! A pod is started at most once by a running node: its worker is remembered until the pod object
//! is gone. After a restart of the node, a pod that had been started has lost its processes and is
//! failed, so that its owner decides.

mod container;
mod directories;
mod dispatch;
mod environment;
mod expand;
mod files;
mod image;
mod interrupt;
mod prepare;
mod renewal;
mod report;
mod sources;
mod status;
mod termination;
mod token;
mod trouble;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use dispatch::Dispatcher;
use kube::Client;
use tokio::sync::watch;

use crate::NodeConfig;
use crate::claim::Claims;
use crate::events::Events;
use crate::supervisor::Supervisor;

/// What all pods of a node share.
pub(crate) struct Node {
    config: NodeConfig,
    client: Client,
    defaults: environment::Defaults,
    supervisor: Supervisor,
    events: Events,
    claims: Claims,
    pods_dir: PathBuf,
    masked: Vec<PathBuf>,
    /// Set when the node is to stop: the grace that pods have.
    stopping: watch::Receiver<Option<Duration>>,
}

impl Node {
    pub(crate) fn new(
        config: NodeConfig,
        events: Events,
        claims: Claims,
        stopping: watch::Receiver<Option<Duration>>,
    ) -> Self {
        let mut masked = config.masked_paths.clone();
        masked.extend([config.data_dir.clone(), config.pods_dir.clone()]);
        Self {
            client: config.client.clone(),
            defaults: environment::Defaults {
                search_path: config.search_path.clone(),
                api_host: config.api_host.clone(),
                api_port: config.api_port,
            },
            supervisor: Supervisor::new(&config.own_binary),
            pods_dir: config.pods_dir.clone(),
            events,
            claims,
            masked,
            stopping,
            config,
        }
    }
}
