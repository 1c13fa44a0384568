//! Reads Jobs and their pods, does what [`decide`](super::decide) says, and writes the status.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::decide::{Plan, decide};
use super::pods::{CONTROLLER_UID, from_template};
use crate::events::{Events, Kind};
use crate::refused::spoken;

/// The Job controller.
pub(crate) struct Jobs {
    client: Client,
    events: Events,
    node_name: String,
    /// How often in a row each Job has failed to be taken further.
    failures: Mutex<HashMap<ObjectRef<Job>, u32>>,
}

/// The longest wait before a Job that could not be taken further is looked at again; the first one
/// is 200 ms.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

/// Why a Job could not be taken further; it is tried again.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("failed to {what}")]
    Api {
        what: &'static str,
        #[source]
        source: kube::Error,
    },
}

fn failed(what: &'static str) -> impl FnOnce(kube::Error) -> JobError {
    move |source| JobError::Api { what, source }
}

/// The Job that a pod belongs to.
pub(crate) fn owner(pod: &Pod) -> Option<ObjectRef<Job>> {
    let owner = pod
        .metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| {
            owner.controller == Some(true)
                && owner.kind == Job::kind(&())
                && owner.api_version == Job::api_version(&())
        })?;
    Some(ObjectRef::new(&owner.name).within(pod.metadata.namespace.as_deref()?))
}

impl Jobs {
    /// A controller that makes pods for the node of this name.
    pub(crate) fn new(client: Client, events: Events, node_name: String) -> Self {
        Self {
            client,
            events,
            node_name,
            failures: Mutex::default(),
        }
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<ObjectRef<Job>, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until `stop` fires. `changed` names Jobs whose pods have changed, `all` asks to look at
    /// every Job.
    pub(crate) async fn run(
        self,
        changed: impl Stream<Item = ObjectRef<Job>> + Send + 'static,
        all: impl Stream<Item = ()> + Send + 'static,
        stop: CancellationToken,
    ) {
        let api: Api<Job> = Api::all(self.client.clone());
        let (store, writer) = reflector::store();
        let seen = watcher(api, watcher::Config::default())
            .default_backoff()
            // Nobody reads them, and they are the largest part of a Job that has ended.
            .modify(|job| job.metadata.managed_fields = None)
            .reflect(writer)
            .touched_objects();
        Controller::for_stream(seen, store)
            .reconcile_on(changed)
            .reconcile_all_on(all)
            .graceful_shutdown_on(async move { stop.cancelled().await })
            .run(reconcile, try_again, Arc::new(self))
            .for_each(async |result| {
                if let Err(error) = result {
                    tracing::debug!(%error, "a Job could not be taken further");
                }
            })
            .await;
    }
}

fn try_again(job: Arc<Job>, error: &JobError, jobs: Arc<Jobs>) -> Action {
    let JobError::Api { what, source } = error;
    tracing::warn!(job = job.name_any(), namespace = job.namespace(), error = %source, "failed to {what}");
    let mut failures = jobs.failures();
    let count = failures
        .entry(ObjectRef::from_obj(job.as_ref()))
        .or_default();
    *count += 1;
    Action::requeue(Duration::from_millis(100 << (*count).min(10)).min(MAX_RETRY_DELAY))
}

async fn reconcile(known: Arc<Job>, jobs: Arc<Jobs>) -> Result<Action, JobError> {
    let action = take_further(&known, &jobs).await?;
    jobs.failures().remove(&ObjectRef::from_obj(known.as_ref()));
    Ok(action)
}

async fn take_further(known: &Job, jobs: &Jobs) -> Result<Action, JobError> {
    let namespace = known.namespace().unwrap_or_default();
    let api: Api<Job> = Api::namespaced(jobs.client.clone(), &namespace);
    let pods_api: Api<Pod> = Api::namespaced(jobs.client.clone(), &namespace);
    // Both are read afresh: what was created a moment ago must not be created again.
    let Some(job) = api
        .get_opt(&known.name_any())
        .await
        .map_err(failed("read a Job"))?
    else {
        return Ok(Action::await_change());
    };
    let uid = job.uid().unwrap_or_default();
    let selector = ListParams::default().labels(&format!("{CONTROLLER_UID}={uid}"));
    let mut pods = pods_api
        .list(&selector)
        .await
        .map_err(failed("list the pods of a Job"))?
        .items;
    pods.retain(|pod| {
        pod.owner_references()
            .iter()
            .any(|owner| owner.uid == uid && owner.controller == Some(true))
    });
    let plan = decide(&job, &pods, Timestamp::now());
    jobs.apply(&api, &pods_api, job, plan).await
}

impl Jobs {
    async fn apply(
        &self,
        api: &Api<Job>,
        pods: &Api<Pod>,
        job: Job,
        plan: Plan,
    ) -> Result<Action, JobError> {
        if plan.remove_job {
            return remove(api, &job).await;
        }
        for name in &plan.delete {
            match pods.delete(name, &DeleteParams::default()).await {
                Ok(_) => self.events.publish(
                    &job,
                    Kind::Normal,
                    "SuccessfulDelete",
                    format!("Deleted pod: {name}"),
                ),
                Err(kube::Error::Api(refusal)) if refusal.code == 404 => {}
                Err(error) => return Err(failed("delete a pod of a Job")(error)),
            }
        }
        for _ in 0..plan.create {
            let pod = from_template(&job, &self.node_name);
            match pods.create(&PostParams::default(), &pod).await {
                Ok(pod) => {
                    let message = format!("Created pod: {}", pod.name_any());
                    self.events
                        .publish(&job, Kind::Normal, "SuccessfulCreate", message);
                }
                // Nothing can be made there any more, and the Job goes with its namespace.
                Err(kube::Error::Api(refusal)) if is_terminating(&refusal) => {
                    return Ok(Action::await_change());
                }
                Err(error) => {
                    let message = format!("Error creating: {}", spoken(&error));
                    self.events
                        .publish(&job, Kind::Warning, "FailedCreate", message);
                    return Err(failed("create a pod of a Job")(error));
                }
            }
        }
        if let Some(status) = plan.status {
            let mut changed = job.clone();
            changed.status = Some(status);
            match api
                .replace_status(&job.name_any(), &PostParams::default(), &changed)
                .await
            {
                Ok(_) => {}
                // Somebody else has changed it meanwhile: look again at once. Events wait for the
                // write that counts.
                Err(kube::Error::Api(refusal)) if refusal.code == 409 => {
                    return Ok(Action::requeue(Duration::ZERO));
                }
                Err(kube::Error::Api(refusal)) if refusal.code == 404 => {
                    return Ok(Action::await_change());
                }
                Err(error) => return Err(failed("write the status of a Job")(error)),
            }
        }
        for (kind, reason, message) in plan.events {
            self.events.publish(&job, kind, reason, message);
        }
        Ok(plan.wake_at.map_or_else(Action::await_change, |at| {
            let left = at.duration_since(Timestamp::now());
            Action::requeue(Duration::try_from(left).unwrap_or_default() + Duration::from_millis(1))
        }))
    }
}

/// Whether the namespace is being deleted.
fn is_terminating(refusal: &kube::core::Status) -> bool {
    let causes = refusal.details.iter().flat_map(|details| &details.causes);
    refusal.code == 403
        && causes
            .into_iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
}

async fn remove(api: &Api<Job>, job: &Job) -> Result<Action, JobError> {
    let preconditions = Preconditions {
        uid: job.uid(),
        resource_version: job.resource_version(),
    };
    let params = DeleteParams {
        preconditions: Some(preconditions),
        ..DeleteParams::background()
    };
    match api.delete(&job.name_any(), &params).await {
        Ok(_) => Ok(Action::await_change()),
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(Action::await_change()),
        Err(kube::Error::Api(refusal)) if refusal.code == 409 => {
            Ok(Action::requeue(Duration::ZERO))
        }
        Err(error) => Err(failed("remove an expired Job")(error)),
    }
}
