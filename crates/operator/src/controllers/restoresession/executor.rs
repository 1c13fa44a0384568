//! The Job of a restore, and exactly the rights it needs. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use kubestash_api::core::RestoreSession;
use kubestash_api::labels::{self, component};
use kubestash_api::shared::AddonInfo;
use kubestash_domain::catalog::Direction;
use kubestash_domain::name;
use kubestash_domain::variables::Variables;

use super::access;
use super::data::Data;
use super::world::World;
use crate::jobs::rbac::Holder;
use crate::jobs::volume::volume_of;
use crate::jobs::{DeadlineExceeded, Rbac, TaskError, Work, pod, rbac, tasks};

/// A Job that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecutorError {
    /// What it would run cannot be run.
    #[error(transparent)]
    Tasks(#[from] TaskError),
    /// The time for the restore is over before it began.
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

/// Labels of everything that is made for a restore.
pub(super) fn session_labels(session: &RestoreSession) -> BTreeMap<String, String> {
    [
        (labels::COMPONENT, component::RESTORE),
        (labels::MANAGED_BY, labels::MANAGED_BY_KUBESTASH),
        (labels::INVOKER_NAME, session.name_any().as_str()),
        (
            labels::INVOKER_NAMESPACE,
            session.namespace().unwrap_or_default().as_str(),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), name::join(&[value])))
    .into()
}

fn owner(session: &RestoreSession) -> OwnerReference {
    OwnerReference {
        api_version: RestoreSession::api_version(&()).into_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: RestoreSession::kind(&()).into_owned(),
        name: session.name_any(),
        uid: session.uid().unwrap_or_default(),
    }
}

/// Builds the Job that restores `data` and has until `deadline`.
pub(super) fn build(
    world: &World,
    data: &Data,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Result<Executor, ExecutorError> {
    let nothing = AddonInfo::default();
    let info = world.session.spec.addon.as_ref().unwrap_or(&nothing);
    // Only the tasks whose components are restored.
    let chosen = AddonInfo {
        tasks: data.tasks.iter().map(|(task, _)| task.clone()).collect(),
        ..info.clone()
    };
    let resolved = tasks::resolve(
        &chosen,
        Direction::Restore,
        world.addon.as_deref(),
        &world.functions,
        &builtin(world, data),
    )?;
    let storage = world.storage.as_deref().and_then(volume_of);
    let (mut volumes, mut mounts): (Vec<_>, Vec<_>) = storage.into_iter().unzip();
    volumes.extend(resolved.volumes);
    mounts.extend(resolved.mounts);
    let template = info.job_template.clone().unwrap_or_default();
    let (name, namespace) = (world.session.name_any(), world.namespace());
    let (labels, owner) = (session_labels(&world.session), owner(&world.session));
    let own_account = template.spec.service_account_name.as_deref();
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
        // A restore that failed in the middle is looked at by a person before it runs again.
        backoff_limit: 0,
        active_deadline: tasks::active_deadline(None, deadline, now)?,
        ttl: None,
        suspend: None,
    });
    let holder = Holder {
        name: &name,
        namespace: &namespace,
        own_account,
        owner: &owner,
        labels: &labels,
    };
    Ok(Executor {
        rbac: rbac::build(holder, &access::of(world, data, &resolved.tasks)),
        job,
    })
}

/// The variables that every Function can use.
fn builtin(world: &World, data: &Data) -> Variables {
    [
        ("namespace", world.namespace()),
        ("restoreSession", world.session.name_any()),
        ("snapshot", data.snapshot.name_any()),
        ("invokerKind", RestoreSession::kind(&()).into_owned()),
        ("invokerName", world.session.name_any()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
