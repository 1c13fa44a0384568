//! The life of one pod on this node.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Binding, Container, ObjectReference, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::Status;
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use super::Node;
use super::container::{Restart, Runner};
use super::interrupt::{self, Interrupt, Interrupter};
use super::prepare::{self, PodDir};
use super::report::Report;
use super::status::{self, Progress};
use crate::events::Kind;

/// Grace of a pod that names none.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// What the API server says about a pod.
#[derive(Clone)]
pub(crate) enum Desired {
    /// It is there.
    Present(Arc<Pod>),
    /// It has been removed.
    Gone,
}

/// Why a pod is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Deleted,
    Deadline,
    Shutdown,
}

impl Cause {
    fn progress(self) -> Progress {
        match self {
            Self::Deleted => Progress::Over,
            Self::Deadline => Progress::Failed {
                reason: "DeadlineExceeded",
                message: "Pod was active on the node longer than the specified deadline".to_owned(),
            },
            Self::Shutdown => Progress::Failed {
                reason: "Terminated",
                message: "Pod was terminated in response to imminent node shutdown.".to_owned(),
            },
        }
    }
}

/// Runs one pod from first sight to its end.
pub(crate) struct Worker {
    node: Arc<Node>,
    pod: Arc<Pod>,
    spec: PodSpec,
    api: Api<Pod>,
    desired: watch::Receiver<Desired>,
}

impl Worker {
    pub(crate) fn new(node: Arc<Node>, pod: Arc<Pod>, desired: watch::Receiver<Desired>) -> Self {
        let api = Api::namespaced(node.client.clone(), &pod.namespace().unwrap_or_default());
        let spec = pod.spec.clone().unwrap_or_default();
        Self {
            node,
            pod,
            spec,
            api,
            desired,
        }
    }

    /// Runs the pod to its end. Afterwards nothing of it is left but status and logs.
    pub(crate) async fn run(mut self) {
        let before = self.pod.status.clone().unwrap_or_default();
        if status::has_run(&before) || before.phase.as_deref() == Some("Running") {
            return self.lost().await;
        }
        if !self.bind().await {
            return;
        }
        let first = status::accepted(&self.pod, Timestamp::now());
        let (report, writer) = Report::start(self.api.clone(), &self.pod, first);
        let progress = match prepare::refusal(&self.spec) {
            Some(message) => {
                self.event(Kind::Warning, "UnsupportedVolume", message.clone());
                Progress::Failed {
                    reason: "UnsupportedVolume",
                    message,
                }
            }
            None => Box::pin(self.run_to_end(&report)).await,
        };
        self.finish(report, writer, &progress).await;
    }

    /// Takes a pod that no node has yet; `false` if it has gone meanwhile.
    async fn bind(&mut self) -> bool {
        let node = self.node.config.node_name.clone();
        let place = format!(
            "{}/{}",
            self.pod.namespace().unwrap_or_default(),
            self.pod.name_any()
        );
        if self
            .spec
            .node_name
            .as_deref()
            .unwrap_or_default()
            .is_empty()
        {
            if !self.try_bind(&node, &place).await {
                return false;
            }
            let mut bound = Pod::clone(&self.pod);
            bound.spec.get_or_insert_default().node_name = Some(node.clone());
            self.pod = Arc::new(bound);
        }
        self.event(
            Kind::Normal,
            "Scheduled",
            format!("Successfully assigned {place} to {node}"),
        );
        true
    }

    async fn try_bind(&self, node: &str, place: &str) -> bool {
        let binding = Binding {
            metadata: ObjectMeta {
                name: self.pod.metadata.name.clone(),
                namespace: self.pod.metadata.namespace.clone(),
                uid: self.pod.metadata.uid.clone(),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let params = PostParams::default();
        let mut delay = Duration::from_millis(100);
        loop {
            let name = self.pod.name_any();
            let bound = self
                .api
                .create_subresource::<Binding, Status>("binding", &name, &params, &binding);
            match bound.await {
                Ok(_) => return true,
                Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 405) => {
                    // Either the pod has gone, or this API server knows no bindings: there is one
                    // node only.
                    return matches!(self.api.get_opt(&name).await, Ok(Some(pod)) if pod.uid() == self.pod.uid());
                }
                Err(kube::Error::Api(refusal)) if refusal.code == 409 => return false,
                Err(error) => {
                    tracing::warn!(pod = place, %error, "failed to bind a pod; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(delay) => delay = (delay * 2).min(Duration::from_secs(30)),
                        _ = interruption(self.node.stopping.clone(), self.desired.clone(), None) => return false,
                    }
                }
            }
        }
    }

    /// Runs the containers, and ends them when the pod is deleted, its time is over, or the node
    /// stops.
    async fn run_to_end(&mut self, report: &Report) -> Progress {
        let (interrupter, interrupt) = interrupt::channel();
        let deadline = self.spec.active_deadline_seconds.map(|seconds| {
            let started = report
                .current()
                .start_time
                .map_or_else(Timestamp::now, |time| time.0);
            started + SignedDuration::from_secs(seconds)
        });
        let containers = self.run_containers(report, &interrupt);
        let orders = give_orders(
            &interrupter,
            self.node.stopping.clone(),
            self.desired.clone(),
            deadline,
        );
        let (mut containers, mut orders) = (std::pin::pin!(containers), std::pin::pin!(orders));
        let mut cause = None;
        loop {
            tokio::select! {
                biased;
                () = &mut containers => break,
                next = &mut orders, if cause.is_none() => cause = Some(next),
                () = keep_giving(&interrupter, self.node.stopping.clone(), self.desired.clone()), if cause.is_some() => {}
            }
        }
        match cause {
            Some(Cause::Deadline) => {
                self.event(
                    Kind::Warning,
                    "DeadlineExceeded",
                    "Pod was active on the node longer than the specified deadline",
                );
                Cause::Deadline.progress()
            }
            Some(cause) => cause.progress(),
            None => Progress::Over,
        }
    }

    async fn run_containers(&self, report: &Report, interrupt: &Interrupt) {
        let runner = |container: &Container, init| Runner {
            node: self.node.clone(),
            pod: self.pod.clone(),
            container: container.clone(),
            restart: Restart::of(self.spec.restart_policy.as_deref(), init),
            report: report.clone(),
            interrupt: interrupt.clone(),
            renewal: None,
        };
        let init: Vec<Runner> = self
            .spec
            .init_containers
            .iter()
            .flatten()
            .map(|one| runner(one, true))
            .collect();
        let main: Vec<Runner> = self
            .spec
            .containers
            .iter()
            .map(|one| runner(one, false))
            .collect();
        for container in init {
            if !container.run().await || interrupt.is_given() {
                return;
            }
        }
        join_all(main.into_iter().map(Runner::run)).await;
    }

    /// Tells the end, removes what is in the way of a deletion, and cleans up.
    async fn finish(
        self,
        report: Report,
        writer: tokio::task::JoinHandle<()>,
        progress: &Progress,
    ) {
        report.finish(progress);
        drop(report);
        let dir = PodDir::new(&self.node.pods_dir, &self.pod.uid().unwrap_or_default());
        dir.remove_volumes();
        if let Err(error) = writer.await {
            tracing::warn!(%error, "failed to report the end of a pod");
        }
        self.let_go().await;
    }

    /// A pod marked for deletion stays until its node has let it go.
    async fn let_go(&self) {
        let marked = matches!(&*self.desired.borrow(), Desired::Present(pod) if pod.metadata.deletion_timestamp.is_some());
        if !marked {
            return;
        }
        let preconditions = Preconditions {
            uid: self.pod.uid(),
            resource_version: None,
        };
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match self.api.delete(&self.pod.name_any(), &params).await {
            Ok(_) => {}
            Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => {}
            Err(error) => {
                tracing::warn!(pod = self.pod.name_any(), %error, "failed to remove a deleted pod")
            }
        }
    }

    /// The pod had been started by an earlier run of this node; its processes ended with that.
    async fn lost(self) {
        let mut current = self.pod.status.clone().unwrap_or_default();
        status::lose_running(&mut current, Timestamp::now());
        let (report, writer) = Report::start(self.api.clone(), &self.pod, current);
        let message =
            "The node stopped while the pod was running; its processes ended with it".to_owned();
        self.event(Kind::Warning, "NodeLost", message.clone());
        self.finish(
            report,
            writer,
            &Progress::Failed {
                reason: "NodeLost",
                message,
            },
        )
        .await;
    }

    fn event(&self, kind: Kind, reason: &str, message: impl Into<String>) {
        self.node.events.publish(&*self.pod, kind, reason, message);
    }
}

/// Waits for the first reason to end the pod, passes it on, and returns it.
async fn give_orders(
    interrupter: &Interrupter,
    stopping: watch::Receiver<Option<Duration>>,
    desired: watch::Receiver<Desired>,
    deadline: Option<Timestamp>,
) -> Cause {
    let (cause, grace) = interruption(stopping, desired, deadline).await;
    interrupter.stop(grace);
    cause
}

/// Passes on what makes an order more urgent, for ever.
async fn keep_giving(
    interrupter: &Interrupter,
    mut stopping: watch::Receiver<Option<Duration>>,
    mut desired: watch::Receiver<Desired>,
) {
    loop {
        if let Some(grace) = *stopping.borrow_and_update() {
            interrupter.stop(grace);
        }
        if let Some(grace) = grace_of(&desired.borrow_and_update()) {
            interrupter.stop(grace);
        }
        tokio::select! {
            Ok(()) = stopping.changed() => {}
            Ok(()) = desired.changed() => {}
            else => return std::future::pending().await,
        }
    }
}

async fn interruption(
    mut stopping: watch::Receiver<Option<Duration>>,
    mut desired: watch::Receiver<Desired>,
    deadline: Option<Timestamp>,
) -> (Cause, Duration) {
    let deadline = async {
        match deadline {
            Some(at) => {
                let left = at.duration_since(Timestamp::now());
                tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        Ok(grace) = stopping.wait_for(|order| order.is_some()) => (Cause::Shutdown, grace.unwrap_or_default()),
        Ok(desired) = desired.wait_for(|desired| grace_of(desired).is_some()) => {
            (Cause::Deleted, grace_of(&desired).unwrap_or_default())
        }
        () = deadline => (Cause::Deadline, DEFAULT_GRACE),
    }
}

/// How long a deleted pod may take to end.
fn grace_of(desired: &Desired) -> Option<Duration> {
    match desired {
        Desired::Gone => Some(Duration::ZERO),
        Desired::Present(pod) => {
            pod.metadata.deletion_timestamp.as_ref()?;
            let seconds = pod
                .metadata
                .deletion_grace_period_seconds
                .and_then(|seconds| u64::try_from(seconds).ok());
            Some(seconds.map_or(DEFAULT_GRACE, Duration::from_secs))
        }
    }
}
