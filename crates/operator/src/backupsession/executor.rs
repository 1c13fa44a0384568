//! The Job of a session, and exactly the rights it needs. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Volume, VolumeMount},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Resource, ResourceExt};
use kubestash_api::{
    core::{BackupSession, Session},
    labels::{self, component},
    shared::{AddonInfo, PodTemplateSpec, TaskReference},
};
use kubestash_core::{
    catalog::{self, CatalogError, Direction},
    name,
    variables::Variables,
};

use super::{access, world::World};
use crate::{
    job::{Rbac, Task, Work, pod, rbac, rbac::Holder, template},
    volume_job::volume_of,
};

/// A Job that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecutorError {
    /// The Addon is missing.
    #[error("Addon {0:?} does not exist")]
    Addon(String),
    /// The Function of a task is missing.
    #[error(
        "Function {function:?} of task {task:?} does not exist: install it (kubestash catalog)"
    )]
    Function {
        /// The task.
        task: String,
        /// The Function.
        function: String,
    },
    /// A task cannot be run as it is written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A volume has no counterpart in a pod.
    #[error(
        "volume {0:?} has a claim template: claims are not made for backups, name an existing one"
    )]
    ClaimTemplate(String),
    /// The time for the backup is over before it began.
    #[error("deadline exceeded")]
    Deadline,
}

/// A Job with everything it needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Executor {
    /// ServiceAccount, Roles and RoleBindings.
    pub rbac: Rbac,
    /// The Job.
    pub job: Job,
}

/// Labels of everything that is made for a session: the same as KubeStash's, by which users find the Job.
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
    let addon = world
        .addon
        .as_deref()
        .ok_or_else(|| ExecutorError::Addon(info.name.clone()))?;
    let (mut volumes, mut mounts) = storage_volumes(world);
    let mut tasks = Vec::new();
    for reference in &info.tasks {
        let found = catalog::find_task(addon, Direction::Backup, &reference.name)?.task;
        let function =
            world
                .functions
                .get(&found.function)
                .ok_or_else(|| ExecutorError::Function {
                    task: found.name.clone(),
                    function: found.function.clone(),
                })?;
        let variables = catalog::variables(found, reference, builtin(world))?;
        volumes.extend(task_volumes(found, reference)?);
        mounts.extend(
            reference
                .target_volumes
                .iter()
                .flat_map(|volumes| volumes.volume_mounts.clone()),
        );
        tasks.push(Task {
            name: found.name.clone(),
            function: found.function.clone(),
            args: catalog::render_args(function, &variables)?,
            mounts: found
                .volume_mounts
                .iter()
                .chain(&function.spec.volume_mounts)
                .cloned()
                .collect(),
            settings: function.spec.runtime_settings.clone(),
        });
    }
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
        tasks: &tasks,
        volumes: &volumes,
        mounts: &mounts,
        template: &template,
        settings: info.container_runtime_settings.as_ref(),
        backoff_limit: job_template
            .and_then(|template| template.backoff_limit)
            .unwrap_or(0)
            .max(0),
        active_deadline: active_deadline(
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

/// The volumes of a task, with the user's sources in place of the addon's.
pub(crate) fn task_volumes(
    task: &kubestash_api::addons::Task,
    reference: &TaskReference,
) -> Result<Vec<Volume>, ExecutorError> {
    let mut volumes = Vec::new();
    for declared in &task.volume_template {
        let own = reference
            .addon_volumes
            .iter()
            .find(|own| own.name == declared.name);
        let source = own
            .and_then(|own| own.source.as_ref())
            .or(declared.source.as_ref());
        let Some(source) = source else { continue };
        if source.volume_claim_template.is_some() {
            return Err(ExecutorError::ClaimTemplate(declared.name.clone()));
        }
        volumes.push(source.volume.to_pod_volume(&declared.name));
    }
    for own in reference
        .target_volumes
        .iter()
        .flat_map(|volumes| &volumes.volumes)
    {
        volumes.push(own.to_pod_volume());
    }
    Ok(volumes)
}

/// The sooner of what the user gives the Job and what is left until the session's deadline.
pub(crate) fn active_deadline(
    given: Option<i64>,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<i64>, ExecutorError> {
    let left = match deadline {
        None => None,
        // A whole second at least: Kubernetes knows no less, and zero would mean at once.
        Some(deadline) if deadline > now => Some((deadline.as_second() - now.as_second()).max(1)),
        Some(_) => return Err(ExecutorError::Deadline),
    };
    Ok(match (given, left) {
        (Some(given), Some(left)) => Some(given.min(left)),
        (given, left) => given.or(left),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sooner_deadline_counts() {
        let now = Timestamp::from_second(1000).unwrap();
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        assert_eq!(active_deadline(None, None, now).unwrap(), None);
        assert_eq!(active_deadline(Some(60), None, now).unwrap(), Some(60));
        assert_eq!(active_deadline(None, at(1030), now).unwrap(), Some(30));
        assert_eq!(active_deadline(Some(60), at(1030), now).unwrap(), Some(30));
        assert_eq!(active_deadline(Some(10), at(1030), now).unwrap(), Some(10));
        let over = active_deadline(Some(10), at(1000), now).unwrap_err();
        assert_eq!(over.to_string(), "deadline exceeded");
    }
}
