//! Puts the parts together and runs them until told to stop.

use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::NodeConfig;
use crate::claim::Claims;
use crate::events::Events;
use crate::job_controller::{self, Jobs};
use crate::kubelet::{Dispatcher, Node};

/// How long the last Events may take after everything else has stopped.
const LAST_EVENTS: Duration = Duration::from_millis(500);

/// Why the node could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A directory of the node could not be made.
    #[error("failed to prepare {path:?}: check that the data directory is writable")]
    DataDir {
        /// The directory.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl NodeError {
    /// A stable name for metrics, conditions and Events.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DataDir { .. } => "DataDir",
        }
    }
}

/// Runs Job controller, claims and pods until `stop` fires; then ends all pods in order and returns
/// within a little more than [`NodeConfig::shutdown_grace`]. The API server must outlive this call.
///
/// # Errors
/// If the data directory cannot be used. Trouble with single objects becomes their status and
/// Events.
pub async fn run(config: NodeConfig, stop: CancellationToken) -> Result<(), NodeError> {
    let volumes = config.data_dir.join("volumes");
    for path in [config.pods_dir.clone(), volumes.clone()] {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path);
        made.map_err(|source| NodeError::DataDir { path, source })?;
    }
    let client = config.client.clone();
    let (events, event_writer) = Events::start(client.clone(), "kubelet", &config.node_name);
    let claims = Claims::new(
        client.clone(),
        volumes,
        events.component("persistentvolume-controller"),
    );
    let (changed_jobs, job_changes) = mpsc::unbounded();
    let (look_at_all, all_jobs) = mpsc::unbounded();
    let jobs = Jobs::new(
        client.clone(),
        events.component("job-controller"),
        config.node_name.clone(),
    );
    let jobs = tokio::spawn(jobs.run(job_changes, all_jobs, stop.child_token()));
    let claims_task = tokio::spawn(claims.clone().run());
    let grace = config.shutdown_grace;
    let (stopping, is_stopping) = watch::channel(None);
    let mut dispatcher = Dispatcher::new(Arc::new(Node::new(config, events, claims, is_stopping)));

    let triggers = Triggers {
        changed: changed_jobs,
        all: look_at_all,
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow_pods(Api::all(client), &mut dispatcher, &triggers) => {}
    }
    // First nothing new is started any more, then what runs is ended.
    if let Err(error) = jobs.await {
        tracing::error!(%error, "the Job controller has failed");
    }
    stopping.send_replace(Some(grace));
    dispatcher.drain().await;
    claims_task.abort();
    // Everything that holds the queue of Events must be gone for its writer to end; the claims task
    // may still be.
    let _ = claims_task.await;
    let _ = tokio::time::timeout(LAST_EVENTS, event_writer).await;
    Ok(())
}

/// Ways to wake the Job controller.
struct Triggers {
    changed: mpsc::UnboundedSender<ObjectRef<Job>>,
    all: mpsc::UnboundedSender<()>,
}

async fn follow_pods(api: Api<Pod>, dispatcher: &mut Dispatcher, triggers: &Triggers) {
    let events = watcher(api, watcher::Config::default())
        .default_backoff()
        // Nobody reads them, and they are the largest part of a pod that has ended.
        .modify(|pod| pod.metadata.managed_fields = None);
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, "failed to watch pods; trying again");
                continue;
            }
        };
        dispatcher.handle(&event);
        // Fails only when the Job controller has stopped.
        match &event {
            watcher::Event::Apply(pod) | watcher::Event::Delete(pod) => {
                if let Some(owner) = job_controller::owner(pod) {
                    let _ = triggers.changed.unbounded_send(owner);
                }
            }
            // Deletions may have been missed before.
            watcher::Event::InitDone => {
                let _ = triggers.all.unbounded_send(());
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => {}
        }
    }
}
