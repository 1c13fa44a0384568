//! The status of one pod on its way to the API server.
//!
//! Whoever changes it does not wait: a task of its own writes the newest status, skipping the ones
//! in between.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::status::{self, Progress};

/// The status of a pod, shared by everything that changes it.
#[derive(Clone)]
pub(crate) struct Report {
    spec: Arc<PodSpec>,
    current: Arc<Mutex<PodStatus>>,
    newest: Arc<watch::Sender<PodStatus>>,
}

impl Report {
    /// Starts to report `first`; the task ends when the last clone is gone and everything is
    /// written.
    pub(crate) fn start(api: Api<Pod>, pod: &Pod, first: PodStatus) -> (Self, JoinHandle<()>) {
        let known = pod.status.clone().unwrap_or_default();
        let (newest, receiver) = watch::channel(first.clone());
        let writer = tokio::spawn(write(
            api,
            pod.name_any(),
            pod.uid().unwrap_or_default(),
            known,
            receiver,
        ));
        let spec = Arc::new(pod.spec.clone().unwrap_or_default());
        (
            Self {
                spec,
                current: Arc::new(Mutex::new(first)),
                newest: Arc::new(newest),
            },
            writer,
        )
    }

    /// Changes one container.
    pub(crate) fn container(&self, name: &str, change: impl FnOnce(&mut ContainerStatus)) {
        self.update(&Progress::Ongoing, |status| {
            let all = status
                .init_container_statuses
                .iter_mut()
                .chain(&mut status.container_statuses)
                .flatten();
            if let Some(container) = all.into_iter().find(|container| container.name == name) {
                change(container);
            }
        });
    }

    /// Declares the pod finished.
    pub(crate) fn finish(&self, progress: &Progress) {
        self.update(progress, |_| {});
    }

    /// The status as it is now.
    pub(crate) fn current(&self) -> PodStatus {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn update(&self, progress: &Progress, change: impl FnOnce(&mut PodStatus)) {
        let mut status = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut status);
        status::refresh(&mut status, &self.spec, progress, Timestamp::now());
        self.newest.send_replace(status.clone());
    }
}

async fn write(
    api: Api<Pod>,
    name: String,
    uid: String,
    known: PodStatus,
    mut newest: watch::Receiver<PodStatus>,
) {
    let mut written = known;
    loop {
        let status = newest.borrow_and_update().clone();
        if status != written {
            if !write_one(&api, &name, &uid, &status, &newest).await {
                return;
            }
            written = status;
        }
        if newest.changed().await.is_err() && *newest.borrow() == written {
            return;
        }
    }
}

/// Whether it makes sense to go on.
async fn write_one(
    api: &Api<Pod>,
    name: &str,
    uid: &str,
    status: &PodStatus,
    newest: &watch::Receiver<PodStatus>,
) -> bool {
    let mut delay = Duration::from_millis(50);
    loop {
        // The uid keeps it away from another pod of that name.
        let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "status": status}));
        match api
            .patch_status(name, &PatchParams::default(), &patch)
            .await
        {
            Ok(_) => return true,
            Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409 | 422) => {
                tracing::debug!(
                    pod = name,
                    reason = refusal.message,
                    "a pod's status is no longer wanted"
                );
                return false;
            }
            Err(error) => {
                // Nobody is left who could use a late report if the node itself is going.
                if newest.has_changed().is_err() && delay > Duration::from_secs(1) {
                    tracing::warn!(pod = name, %error, "failed to write a pod's last status");
                    return false;
                }
                tracing::debug!(pod = name, %error, "failed to write a pod's status; trying again");
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(Duration::from_secs(10));
            }
        }
    }
}
