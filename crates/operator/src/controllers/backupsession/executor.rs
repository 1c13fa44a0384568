//! The Job of a session, and exactly the rights it needs. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use kubestash_api::core::{BackupSession, Session};
use kubestash_api::labels::{self, component};
use kubestash_api::shared::{AddonInfo, PodTemplateSpec};
use kubestash_domain::catalog::Direction;
use kubestash_domain::name;
use kubestash_domain::variables::Variables;

use super::access;
use super::world::World;
use crate::jobs::volume::volume_of;
use crate::jobs::{DeadlineExceeded, Holder, Rbac, TaskError, Work, pod, rbac, tasks, template};

/// A Job that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecutorError {
    /// What it would run cannot be run.
    #[error(transparent)]
    Tasks(#[from] TaskError),
    /// The time for the backup is over before it began.
    #[error(transparent)]
    Deadline(#[from] DeadlineExceeded),
}

/// A Job with everything it needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Executor {
    /// ServiceAccount, Roles and RoleBindings.
    pub rbac: Rbac,
    /// The Job.
    pub job: Job,
}

/// Labels of everything that is made for a session: the same as KubeStash's, by which users find
/// the Job.
pub(super) fn session_labels(session: &BackupSession) -> BTreeMap<String, String> {
    [
        (labels::COMPONENT, component::BACKUP),
        (labels::MANAGED_BY, labels::MANAGED_BY_KUBESTASH),
        (labels::INVOKER_NAME, session.name_any().as_str()),
        (
            labels::INVOKER_NAMESPACE,
            session.namespace().unwrap_or_default().as_str(),
        ),
        (labels::SESSION_NAME, session.spec.session.as_str()),
    ]
    .map(|(key, value)| (key.to_owned(), name::join(&[value])))
    .into()
}

/// The session as owner of what lies in its namespace.
pub(super) fn owner(session: &BackupSession) -> OwnerReference {
    OwnerReference {
        api_version: BackupSession::api_version(&()).into_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: BackupSession::kind(&()).into_owned(),
        name: session.name_any(),
        uid: session.uid().unwrap_or_default(),
    }
}

/// Builds the Job of the session `entry`, which has until `deadline`.
pub(super) fn build(
    world: &World,
    entry: &Session,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Result<Executor, ExecutorError> {
    let nothing = AddonInfo::default();
    let info = entry.addon.as_ref().unwrap_or(&nothing);
    let addon = world.addon.as_deref();
    let resolved = tasks::resolve(
        info,
        Direction::Backup,
        addon,
        &world.functions,
        &builtin(world),
    )?;
    let (mut volumes, mut mounts) = storage_volumes(world);
    volumes.extend(resolved.volumes);
    mounts.extend(resolved.mounts);
    let template = merged_template(entry, info);
    let (name, namespace) = (world.session.name_any(), world.namespace());
    let (labels, owner) = (session_labels(&world.session), owner(&world.session));
    let own_account = template.spec.service_account_name.as_deref();
    let job_template = entry
        .scheduler
        .as_ref()
        .map(|scheduler| &scheduler.job_template);
    let job = pod::build(&Work {
        name: &name,
        namespace: &namespace,
        owner: &owner,
        labels: &labels,
        account: own_account.unwrap_or(&name),
        image: &world.image,
        environment: &world.environment,
        tasks: &resolved.tasks,
        volumes: &volumes,
        mounts: &mounts,
        template: &template,
        settings: info.container_runtime_settings.as_ref(),
        backoff_limit: job_template
            .and_then(|template| template.backoff_limit)
            .unwrap_or(0)
            .max(0),
        active_deadline: tasks::active_deadline(
            job_template.and_then(|template| template.active_deadline_seconds),
            deadline,
            now,
        )?,
        ttl: job_template.and_then(|template| template.ttl_seconds_after_finished),
        suspend: job_template.and_then(|template| template.suspend),
    });
    let holder = Holder {
        name: &name,
        namespace: &namespace,
        own_account,
        owner: &owner,
        labels: &labels,
    };
    Ok(Executor {
        rbac: rbac::build(holder, &access::of(world)),
        job,
    })
}

/// What the user says about Job and pod; the addon's settings win over the scheduler's.
fn merged_template(entry: &Session, info: &AddonInfo) -> PodTemplateSpec {
    let scheduler = entry
        .scheduler
        .as_ref()
        .map(|scheduler| scheduler.job_template.template.clone());
    template::merge(
        &info.job_template.clone().unwrap_or_default(),
        &scheduler.unwrap_or_default(),
    )
}

/// The variables that every Function can use.
fn builtin(world: &World) -> Variables {
    let invoker = world.session.spec.invoker.as_ref();
    [
        ("namespace", world.namespace()),
        ("backupSession", world.session.name_any()),
        (
            "invokerKind",
            invoker
                .map(|invoker| invoker.kind.clone())
                .unwrap_or_default(),
        ),
        (
            "invokerName",
            invoker
                .map(|invoker| invoker.name.clone())
                .unwrap_or_default(),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The volumes of the storages that are volumes.
fn storage_volumes(world: &World) -> (Vec<Volume>, Vec<VolumeMount>) {
    world
        .targets()
        .iter()
        .filter_map(|info| volume_of(world.storages.get(&info.name)?))
        .unzip()
}
