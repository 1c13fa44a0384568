//! Which pods there are, and the worker of each.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Node;
use super::prepare::PodDir;
use super::worker::{Desired, Worker};

/// Hands every pod of this node to its worker.
pub(crate) struct Dispatcher {
    node: Arc<Node>,
    /// Every pod that a worker has been started for, by uid, until its object is gone. A worker
    /// that has ended stays here, so that a late message about its pod does not start it
    /// again.
    known: HashMap<String, watch::Sender<Desired>>,
    /// Uids seen since the last list began.
    listed: Option<HashSet<String>>,
    workers: JoinSet<()>,
}

impl Dispatcher {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            known: HashMap::new(),
            listed: None,
            workers: JoinSet::new(),
        }
    }

    /// Takes one message of the watch.
    pub(crate) fn handle(&mut self, event: &watcher::Event<Pod>) {
        // Reaps what has ended; a panic in a worker is a bug, and told.
        while let Some(ended) = self.workers.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a pod's worker has failed");
            }
        }
        match event {
            watcher::Event::Apply(pod) => self.seen(pod),
            watcher::Event::Delete(pod) => self.gone(&pod.uid().unwrap_or_default()),
            watcher::Event::Init => self.listed = Some(HashSet::new()),
            watcher::Event::InitApply(pod) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(pod.uid().unwrap_or_default());
                }
                self.seen(pod);
            }
            watcher::Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    self.forget_all_but(&listed);
                }
            }
        }
    }

    /// Waits until every worker has ended.
    pub(crate) async fn drain(mut self) {
        while self.workers.join_next().await.is_some() {}
    }

    fn seen(&mut self, pod: &Pod) {
        let uid = pod.uid().unwrap_or_default();
        let wanted = Desired::Present(Arc::new(pod.clone()));
        if let Some(worker) = self.known.get(&uid) {
            worker.send_replace(wanted);
            return;
        }
        let node_name = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.as_deref())
            .unwrap_or_default();
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let ours = node_name.is_empty() || node_name == self.node.config.node_name;
        let stopping = self.node.stopping.borrow().is_some();
        if !ours || stopping {
            return;
        }
        if matches!(phase, Some("Succeeded" | "Failed")) {
            // Its node may have been killed between telling the end and tidying up.
            PodDir::new(&self.node.pods_dir, &uid).remove_volumes();
            return;
        }
        let (sender, desired) = watch::channel(wanted);
        self.known.insert(uid, sender);
        self.workers
            .spawn(Worker::new(self.node.clone(), Arc::new(pod.clone()), desired).run());
    }

    fn gone(&mut self, uid: &str) {
        let worker = self.known.remove(uid);
        let dir = PodDir::new(&self.node.pods_dir, uid);
        match worker {
            // The worker may still be at it; its directory goes after it.
            Some(worker) => {
                worker.send_replace(Desired::Gone);
                self.workers.spawn(async move {
                    worker.closed().await;
                    dir.remove();
                });
            }
            None => dir.remove(),
        }
    }

    fn forget_all_but(&mut self, listed: &HashSet<String>) {
        let gone: Vec<String> = self
            .known
            .keys()
            .filter(|uid| !listed.contains(*uid))
            .cloned()
            .collect();
        for uid in gone {
            self.gone(&uid);
        }
        for entry in fs::read_dir(&self.node.pods_dir)
            .into_iter()
            .flatten()
            .flatten()
        {
            let uid = entry.file_name().to_string_lossy().into_owned();
            if !listed.contains(&uid) && !self.known.contains_key(&uid) {
                PodDir::new(&self.node.pods_dir, &uid).remove();
            }
        }
    }
}
