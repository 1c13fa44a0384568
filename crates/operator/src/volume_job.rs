//! Jobs for what is inside a volume, which the operator itself cannot mount: prepare a `local` storage, clean it,
//! remove a repository or a snapshot from it.
//!
//! ```text
//!   Work ──build (pure)──► ServiceAccount, Role, RoleBinding, Job ──run──► Outcome ──discard──► nothing left
//! ```
//!
//! Invariant: such a Job may read exactly the objects it works on and change none; what it did is known by how it
//! ended. Everything it needs has the Job's name and is removed together with it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{
            Container, EnvVar, Pod, PodSpec as CorePodSpec, PodTemplateSpec as CorePodTemplate, ServiceAccount, Volume,
            VolumeMount,
        },
        rbac::v1::{Role, RoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource, ResourceExt, core::NamespaceResourceScope};
use kubestash_api::{
    labels,
    shared::{ObjectMetadata, PodSpec, PodTemplateSpec, RuntimeSettings},
    storage::BackupStorage,
};
use kubestash_core::{layout, name};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    apply::{self, ApplyError, Manager},
    attempt::{Attempt, Fingerprint},
    config::JobEnvironment,
    context::Context,
    failure::Failure,
    job::{
        Access, Holder, Outcome, judge,
        rbac::{self, Rbac},
        template::{customise_container, customise_pod},
    },
};

const MANAGER: Manager = Manager("kubestash-volume-job");
/// A node that is full or a volume that is busy may be free again a moment later.
const BACKOFF_LIMIT: i32 = 2;
/// A safety net: the operator removes a finished Job itself.
const TTL_SECONDS: i32 = 24 * 3600;
/// The event of a Job that goes brings the next look; this is for one that is not ours to delete.
const LAST_REGARD: Duration = Duration::from_secs(30);
const CONTAINER: &str = "kubestash";
/// The API group of what such Jobs read.
pub(crate) const STORAGE_GROUP: &str = "storage.kubestash.com";

/// What a Job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Write `metadata.yaml` of a BackupStorage.
    InitStorage,
    /// Remove everything of a BackupStorage.
    CleanStorage,
    /// Remove the directory of a Repository.
    CleanRepository,
    /// Forget a Snapshot's data, prune, and remove its YAML.
    CleanSnapshot,
}

impl Task {
    fn prefix(self) -> &'static str {
        match self {
            Self::InitStorage => "init",
            Self::CleanStorage | Self::CleanRepository | Self::CleanSnapshot => "cleanup",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::InitStorage | Self::CleanStorage => "BackupStorage",
            Self::CleanRepository => "Repository",
            Self::CleanSnapshot => "Snapshot",
        }
    }

    fn component(self) -> &'static str {
        match self {
            Self::InitStorage => labels::component::INITIALIZER,
            Self::CleanStorage | Self::CleanRepository | Self::CleanSnapshot => labels::component::CLEANER,
        }
    }

    fn arguments(self, namespace: &str, name: &str) -> (&'static str, Vec<String>) {
        let (word, prefix) = match self {
            Self::InitStorage => ("storage-init", "storage-"),
            Self::CleanStorage => ("storage-cleanup", "storage-"),
            Self::CleanRepository => ("repository-cleanup", ""),
            Self::CleanSnapshot => ("snapshot-cleanup", ""),
        };
        (word, vec![format!("--{prefix}namespace={namespace}"), format!("--{prefix}name={name}")])
    }
}

/// A Job to run.
#[derive(Debug, Clone)]
pub struct Work<'a> {
    /// What it does.
    pub task: Task,
    /// Namespace of the object it is about, and of the Job.
    pub namespace: &'a str,
    /// Name of the object it is about.
    pub name: &'a str,
    /// The storage whose volume is mounted.
    pub storage: &'a BackupStorage,
    /// What it may read.
    pub access: Access,
    /// The object it goes with. None for an object that is being deleted: the garbage collector would end the Job.
    pub owner: Option<OwnerReference>,
}

impl Work<'_> {
    /// Name of the Job.
    #[must_use]
    pub fn job_name(&self) -> String {
        job_name(self.task, self.name)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        [
            (labels::MANAGED_BY, labels::MANAGED_BY_KUBESTASH),
            (labels::COMPONENT, self.task.component()),
            (labels::INVOKER_KIND, self.task.kind()),
            (labels::INVOKER_NAME, self.name),
            (labels::INVOKER_NAMESPACE, self.namespace),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), label_value(value)))
        .collect()
    }

    fn is_for(&self, job: &Job) -> bool {
        job.labels().get(labels::INVOKER_KIND).map(String::as_str) == Some(self.task.kind())
            && job.labels().get(labels::INVOKER_NAME) == Some(&label_value(self.name))
    }
}

/// Name of the Job of `task` for the object `name`.
#[must_use]
pub fn job_name(task: Task, name: &str) -> String {
    name::prefixed(task.prefix(), name, name::MAX_NAME)
}

/// Names of objects may be longer than values of labels.
fn label_value(text: &str) -> String {
    text.get(..text.len().min(name::MAX_NAME)).unwrap_or(text).trim_end_matches(['-', '.', '_']).to_owned()
}

/// The volume of a `local` storage and its mount, as every Job mounts it.
#[must_use]
pub fn volume_of(storage: &BackupStorage) -> Option<(Volume, VolumeMount)> {
    let local = storage.spec.storage.as_ref()?.local.as_ref()?;
    let name = storage.name_any();
    let volume_name = label_value(&name.replace('.', "-"));
    let mount = VolumeMount {
        name: volume_name.clone(),
        mount_path: layout::local_mount_path(&name, local.mount_path.as_deref().unwrap_or_default()),
        sub_path: local.sub_path.clone().filter(|path| !path.is_empty()),
        ..VolumeMount::default()
    };
    Some((local.volume.to_pod_volume(&volume_name), mount))
}

fn build_job(work: &Work<'_>, image: &str, environment: &JobEnvironment) -> Job {
    let settings = work.storage.spec.runtime_settings.as_ref();
    let template = template_of(settings);
    let (word, args) = work.task.arguments(work.namespace, work.name);
    let (volume, mount) = volume_of(work.storage).unzip();
    let env = environment.variables().map(|(name, value)| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    });
    let mut container = Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        command: Some(["kubestash", "execute", word].map(str::to_owned).to_vec()),
        args: Some(args),
        env: Some(env.collect()),
        volume_mounts: Some(mount.into_iter().collect()),
        // What the program says last is the reason of its end.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    };
    customise_container(&mut container, &template, &[settings.and_then(|settings| settings.container.as_ref())]);
    let account = template.spec.service_account_name.clone().unwrap_or_else(|| work.job_name());
    let mut pod = CorePodTemplate {
        metadata: Some(ObjectMeta { labels: Some(work.labels()), ..ObjectMeta::default() }),
        spec: Some(CorePodSpec {
            restart_policy: Some("Never".to_owned()),
            service_account_name: Some(account),
            containers: vec![container],
            volumes: Some(volume.into_iter().collect()),
            ..CorePodSpec::default()
        }),
    };
    customise_pod(&mut pod, &template);
    Job {
        metadata: ObjectMeta {
            name: Some(work.job_name()),
            namespace: Some(work.namespace.to_owned()),
            labels: Some(work.labels()),
            owner_references: work.owner.clone().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(BACKOFF_LIMIT),
            ttl_seconds_after_finished: Some(TTL_SECONDS),
            template: pod,
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The storage's runtime settings as a pod template.
fn template_of(settings: Option<&RuntimeSettings>) -> PodTemplateSpec {
    let pod = settings.and_then(|settings| settings.pod.clone()).unwrap_or_default();
    PodTemplateSpec {
        metadata: ObjectMetadata { annotations: pod.pod_annotations, labels: pod.pod_labels },
        spec: PodSpec {
            affinity: pod.affinity,
            automount_service_account_token: pod.automount_service_account_token,
            enable_service_links: pod.enable_service_links,
            image_pull_secrets: pod.image_pull_secrets,
            node_name: pod.node_name,
            node_selector: pod.node_selector,
            priority: pod.priority,
            priority_class_name: pod.priority_class_name,
            runtime_class_name: pod.runtime_class_name,
            scheduler_name: pod.scheduler_name,
            security_context: pod.security_context,
            service_account_name: pod.service_account_name,
            tolerations: pod.tolerations,
            topology_spread_constraints: pod.topology_spread_constraints,
            ..PodSpec::default()
        },
        ..PodTemplateSpec::default()
    }
}

fn build_rbac(work: &Work<'_>) -> Rbac {
    let settings = work.storage.spec.runtime_settings.as_ref();
    let own_account = settings.and_then(|settings| settings.pod.as_ref()?.service_account_name.as_deref());
    let nobody = OwnerReference::default();
    let labels = work.labels();
    let holder = Holder {
        name: &work.job_name(),
        namespace: work.namespace,
        own_account,
        owner: work.owner.as_ref().unwrap_or(&nobody),
        labels: &labels,
    };
    let mut built = rbac::build(holder, &work.access);
    if work.owner.is_none() {
        let metadata = built.account.iter_mut().map(|account| &mut account.metadata);
        let metadata = metadata.chain(built.roles.iter_mut().map(|role| &mut role.metadata));
        for metadata in metadata.chain(built.bindings.iter_mut().map(|binding| &mut binding.metadata)) {
            metadata.owner_references = None;
        }
    }
    built
}

/// How a Job stands.
#[derive(Debug)]
pub struct State {
    /// Which Job that is.
    pub uid: String,
    /// How it stands.
    pub outcome: Outcome,
}

/// Makes the Job, unless it exists, and says how it stands.
///
/// # Errors
/// When the API server refuses; a name that is taken by another Job is told as an outcome.
pub async fn run(ctx: &Context, work: &Work<'_>) -> Result<State, ApplyError> {
    let name = work.job_name();
    let job = match ctx.watches.jobs.get(work.namespace, &name) {
        Some(job) => job.as_ref().clone(),
        None => start(ctx, work).await?,
    };
    let uid = job.uid().unwrap_or_default();
    if !work.is_for(&job) {
        let reason = "it belongs to something else: delete it, or wait until it is gone";
        return Ok(State { uid, outcome: Outcome::Stuck(reason.to_owned()) });
    }
    let pods = pods_of(ctx, &job);
    let outcome = match judge(&job, &pods, Timestamp::now()) {
        Outcome::Failed(reason) => Outcome::Failed(match last_words(&pods) {
            Some(words) => format!("{reason}: {words}"),
            None => reason,
        }),
        outcome => outcome,
    };
    Ok(State { uid, outcome })
}

async fn start(ctx: &Context, work: &Work<'_>) -> Result<Job, ApplyError> {
    let rbac = build_rbac(work);
    if let Some(account) = &rbac.account {
        apply::object(&ctx.api::<ServiceAccount>(work.namespace), None, account, MANAGER).await?;
    }
    for role in &rbac.roles {
        apply::object(&ctx.api::<Role>(&role.namespace().unwrap_or_default()), None, role, MANAGER).await?;
    }
    for binding in &rbac.bindings {
        apply::object(&ctx.api::<RoleBinding>(&binding.namespace().unwrap_or_default()), None, binding, MANAGER)
            .await?;
    }
    let job = build_job(work, &ctx.image, &ctx.environment);
    apply::create(&ctx.api::<Job>(work.namespace), &job, MANAGER).await
}

/// How the work stands, over all Jobs that were run for it.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It is done.
    Done,
    /// A Job runs.
    Working(String),
    /// The last Job failed; another one is run after a while.
    Failed(Failure),
}

/// Runs Jobs until one succeeds: one that failed is replaced after a delay that doubles. `uid` and `generation` are
/// those of the object that the work is for. Also says when to look again, if no event will tell.
pub(crate) async fn persist(
    ctx: &Context,
    uid: &str,
    generation: Option<i64>,
    work: &Work<'_>,
) -> Result<(Progress, Option<Duration>), ApplyError> {
    let state = run(ctx, work).await?;
    let working = |what: &str| Progress::Working(format!("Job {}/{} {what}", work.namespace, work.job_name()));
    let reason = match state.outcome {
        Outcome::Succeeded => return Ok((Progress::Done, None)),
        Outcome::Running(look_again) => return Ok((working("runs"), look_again)),
        Outcome::Failed(reason) | Outcome::Stuck(reason) => reason,
    };
    // The Job is part of what the attempt depends on: one failure of one Job counts once.
    let fingerprint = Fingerprint { generation, secret_version: None, content: state.uid };
    let last = ctx.attempts.last(uid);
    let attempt = match last {
        Some(last) if last.fingerprint == fingerprint => {
            if last.wait(&fingerprint, Instant::now()).is_none() {
                discard(ctx, work).await?;
                return Ok((working("failed and is run again"), Some(LAST_REGARD)));
            }
            last
        }
        last => {
            let message = format!("Job {}/{} failed: {reason}", work.namespace, work.job_name());
            let failure = Failure::new("JobFailed", message);
            let attempt = Attempt::after(last.as_ref(), fingerprint.clone(), Some(failure), Instant::now());
            ctx.attempts.remember(uid, attempt.clone());
            attempt
        }
    };
    let again = attempt.wait(&fingerprint, Instant::now());
    Ok((Progress::Failed(attempt.failure.unwrap_or_else(|| Failure::new("JobFailed", reason))), again))
}

fn pods_of(ctx: &Context, job: &Job) -> Vec<Pod> {
    let uid = job.uid();
    let is_of = |pod: &Pod| pod.owner_references().iter().any(|owner| Some(&owner.uid) == uid.as_ref());
    ctx.watches.pods.select(is_of).iter().map(|pod| pod.as_ref().clone()).collect()
}

/// The last line that the newest failed pod said.
fn last_words(pods: &[Pod]) -> Option<String> {
    let newest = pods.iter().max_by_key(|pod| pod.creation_timestamp().map(|time| time.0))?;
    let statuses = newest.status.as_ref()?.container_statuses.as_ref()?;
    let message = statuses.iter().find_map(|status| status.state.as_ref()?.terminated.as_ref()?.message.clone())?;
    message.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
}

/// Removes the Job and everything made for it.
///
/// # Errors
/// When the API server refuses; what is gone already is fine.
pub async fn discard(ctx: &Context, work: &Work<'_>) -> Result<(), ApplyError> {
    let name = work.job_name();
    if let Some(job) = ctx.watches.jobs.get(work.namespace, &name)
        && work.is_for(&job)
    {
        apply::delete(&ctx.api::<Job>(work.namespace), job.as_ref()).await?;
        remove::<RoleBinding>(ctx, work, &name).await?;
        remove::<Role>(ctx, work, &name).await?;
        remove::<ServiceAccount>(ctx, work, &name).await?;
    }
    Ok(())
}

async fn remove<K>(ctx: &Context, work: &Work<'_>, name: &str) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let ours = work.labels();
    for namespace in work.access.namespaces().chain([work.namespace]) {
        let api = ctx.api::<K>(namespace);
        let Some(found) = apply::get(&api, name).await? else { continue };
        if ours.iter().all(|(key, value)| found.labels().get(key) == Some(value)) {
            apply::delete(&api, &found).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn storage() -> BackupStorage {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "vol.one", "namespace": "demo"},
            "spec": {
                "storage": {"provider": "local", "local": {
                    "mountPath": "/data", "subPath": "kubestash", "persistentVolumeClaim": {"claimName": "pvc"}}},
                "runtimeSettings": {
                    "pod": {"securityContext": {"fsGroup": 65534}, "nodeSelector": {"disk": "fast"}},
                    "container": {"resources": {"limits": {"memory": "64Mi"}}},
                },
            },
        }))
        .unwrap()
    }

    fn work(task: Task, storage: &BackupStorage) -> Work<'_> {
        let mut access = Access::default();
        access.one("demo", "storage.kubestash.com", "backupstorages", &["get"], "vol.one");
        Work { task, namespace: "demo", name: "vol.one", storage, access, owner: None }
    }

    #[test]
    fn the_job_mounts_the_volume_and_runs_our_program() {
        let storage = storage();
        let environment = JobEnvironment::default();
        let job = build_job(&work(Task::InitStorage, &storage), "kubestash:1", &environment);
        let job = serde_json::to_value(job).unwrap();
        assert_eq!(job["metadata"]["name"], "init-vol.one");
        assert_eq!(job["metadata"]["labels"]["app.kubernetes.io/component"], "kubestash-initializer");
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["serviceAccountName"], "init-vol.one");
        assert_eq!(pod["restartPolicy"], "Never");
        assert_eq!(pod["nodeSelector"], json!({"disk": "fast"}));
        assert_eq!(pod["securityContext"], json!({"fsGroup": 65534}));
        assert_eq!(pod["volumes"], json!([{"name": "vol-one", "persistentVolumeClaim": {"claimName": "pvc"}}]));
        let container = &pod["containers"][0];
        assert_eq!(container["command"], json!(["kubestash", "execute", "storage-init"]));
        assert_eq!(container["args"], json!(["--storage-namespace=demo", "--storage-name=vol.one"]));
        assert_eq!(
            container["volumeMounts"],
            json!([{"name": "vol-one", "mountPath": "/vol.one/data", "subPath": "kubestash"}])
        );
        assert_eq!(container["resources"], json!({"limits": {"memory": "64Mi"}}));
    }

    #[test]
    fn each_task_has_its_word_and_arguments() {
        let cases = [
            (Task::CleanStorage, "cleanup-x", "storage-cleanup", "--storage-name=x"),
            (Task::CleanRepository, "cleanup-x", "repository-cleanup", "--name=x"),
            (Task::CleanSnapshot, "cleanup-x", "snapshot-cleanup", "--name=x"),
        ];
        for (task, job, word, name) in cases {
            let (found, args) = task.arguments("demo", "x");
            assert_eq!((job_name(task, "x").as_str(), found, args[1].as_str()), (job, word, name));
        }
    }

    #[test]
    fn what_belongs_to_an_object_that_goes_has_no_owner() {
        let storage = storage();
        let rbac = build_rbac(&work(Task::CleanStorage, &storage));
        assert_eq!(rbac.account.unwrap().metadata.owner_references, None);
        assert_eq!(rbac.roles[0].metadata.owner_references, None);
        let rule = &rbac.roles[0].rules.as_ref().unwrap()[0];
        assert_eq!(rule.resource_names, Some(vec!["vol.one".to_owned()]));
        assert_eq!(rule.verbs, ["get"]);
    }
}
