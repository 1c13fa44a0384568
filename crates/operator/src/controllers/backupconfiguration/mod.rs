//! BackupConfiguration: from what the user wants to Repositories, schedules and BackupSessions.
//!
//! ```text
//!   BackupStorage, RetentionPolicy ─► backends.rs ─┐
//!   target, AppBinding ─────────────► target.rs ───┼─► decide.rs: status, Ready ─► Repositories
//!   Addon ──────────────────────────► sessions.rs ─┤        │
//!   encryption Secret ──────────────► encryption.rs┘        │
//!                                          ▲                └─► sessions.rs: BackupSessions that are due
//!                                schedule/wheel.rs (time)
//! ```
//!
//! Invariants:
//! * Sessions are made only when the status of the configuration says `Ready` already, so that
//!   whoever looks at a session finds that its configuration is.
//! * A session is made before the status says that it was. A crash in between makes it again under
//!   the same name, and the API server refuses that.
//! * A Repository of another target or storage is never touched; the validation says so.

mod apply;
mod backends;
mod cleanup;
mod decide;
mod dereference;
mod encryption;
mod health;
mod obstacle;
mod repositories;
pub(crate) mod sessions;
pub(crate) mod target;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use kubestash_api::addons::Addon;
use kubestash_api::conditions::invoker::VALIDATION_PASSED;
use kubestash_api::core::{BackupConfiguration, BackupSession};
use kubestash_api::labels;
use kubestash_api::shared::ObjectReference;
use kubestash_api::storage::Repository;
use kubestash_domain::condition;
pub(crate) use repositories::target_reference;

use self::encryption::Passwords;
use self::obstacle::Obstacle;
use crate::context::Context;
use crate::controllers::backupsession;
use crate::runtime::apply::{ApplyError, Manager};
use crate::runtime::controller::{Controller, Reason, full_text};
use crate::runtime::finalizer;
use crate::runtime::watch::Watch;
use crate::session::schedule;

/// Owner of what configurations make and of their status.
pub(crate) const MANAGER: Manager = Manager("kubestash-backupconfiguration");

type Wheel = schedule::Wheel<ObjectRef<BackupConfiguration>>;

/// Why a configuration could not be served; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    /// It could not be found out whether the target is there.
    #[error(transparent)]
    Target(#[from] target::TargetError),
    /// A request failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The API server refuses what the configuration asks for. Its conditions and an Event say so
    /// already.
    #[error(transparent)]
    Refused(ApplyError),
}

impl Reason for ConfigurationError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Target(error) => error.kind(),
            Self::Apply(error) | Self::Refused(error) => error.kind(),
        }
    }

    fn is_news(&self) -> bool {
        match self {
            Self::Target(_) => true,
            Self::Apply(error) => error.is_news(),
            Self::Refused(_) => false,
        }
    }
}

/// Runs the reconciler, and with it the scheduler, until the operator stops.
pub(crate) async fn controller(ctx: Arc<Context>) {
    let (wheel, due) = schedule::wheel();
    let passwords = Arc::new(Passwords::default());
    let watches = ctx.watches.clone();
    let all = &watches.backup_configurations;
    Controller::new("backupconfiguration", ctx, all)
        .on_stream(due)
        .on(
            &watches.backup_storages,
            concerned(all, |found, storage| {
                names(found, storage, |backend| backend.storage_ref.as_ref())
            }),
        )
        .on(
            &watches.retention_policies,
            concerned(all, |found, policy| {
                names(found, policy, |backend| backend.retention_policy.as_ref())
            }),
        )
        .on(&watches.secrets, concerned(all, encryption::encrypts))
        .on(&watches.addons, concerned(all, uses))
        .on(&watches.functions, concerned(all, |_, _| true))
        .on(
            &watches.app_bindings,
            concerned(all, |found, binding| {
                targets(found, binding) || is_refused(found)
            }),
        )
        .on(
            &watches.druids,
            concerned(all, |found, druid| {
                targets(found, druid) || is_refused(found)
            }),
        )
        .on(&watches.secrets, concerned(all, uses_secret))
        .on(&watches.repositories, concerned(all, shares_directory))
        .on(
            &watches.namespaces,
            concerned(all, |found, namespace: &Namespace| {
                found.namespace() == Some(namespace.name_any())
            }),
        )
        .on(&watches.backup_sessions, deleting_owner)
        .on(&watches.backup_sessions, ended_owner)
        .run(move |configuration, ctx| {
            reconcile(configuration, ctx, wheel.clone(), Arc::clone(&passwords))
        })
        .await;
}

/// Leads from an object to the configurations that it matters to.
fn concerned<O>(
    all: &Watch<BackupConfiguration>,
    matters: impl Fn(&BackupConfiguration, &O) -> bool + Send + 'static,
) -> impl Fn(&O) -> Vec<ObjectRef<BackupConfiguration>> + Send + 'static {
    let all = all.clone();
    move |object| {
        let found = all.select(|found| matters(found, object));
        found
            .iter()
            .map(|found| ObjectRef::from_obj(found.as_ref()))
            .collect()
    }
}

fn uses(configuration: &BackupConfiguration, addon: &Addon) -> bool {
    let name = addon.name_any();
    let mut used = configuration
        .spec
        .sessions
        .iter()
        .filter_map(|session| session.addon.as_ref());
    used.any(|used| used.name == name)
}

fn names<K: Resource>(
    configuration: &BackupConfiguration,
    object: &K,
    reference: impl Fn(&kubestash_api::shared::BackendReference) -> Option<&ObjectReference>,
) -> bool {
    let namespace = configuration.namespace().unwrap_or_default();
    let (name, owner) = (object.name_any(), object.namespace().unwrap_or_default());
    configuration
        .spec
        .backends
        .iter()
        .filter_map(reference)
        .any(|found| found.name == name && found.namespace_or(&namespace) == owner)
}

/// Whether an object is the target, or the AppBinding that stands for it: they have one name.
fn targets<K: Resource>(configuration: &BackupConfiguration, binding: &K) -> bool {
    let namespace = configuration.namespace().unwrap_or_default();
    configuration.spec.target.as_ref().is_some_and(|target| {
        target.name == binding.name_any()
            && Some(target.namespace_or(&namespace)) == binding.namespace().as_deref()
    })
}

/// Whether a configuration waits for somebody to allow or mend something; what that is may be
/// anywhere.
fn is_refused(configuration: &BackupConfiguration) -> bool {
    let status = configuration.status.as_ref();
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    condition::is_false(conditions, VALIDATION_PASSED.type_)
}

/// Whether a Secret of another namespace encrypts what a configuration writes: its owner may allow
/// that, or end it.
fn uses_secret(configuration: &BackupConfiguration, secret: &PartialObjectMeta<Secret>) -> bool {
    let namespace = configuration.namespace().unwrap_or_default();
    let owner = secret.namespace().unwrap_or_default();
    let infos = configuration
        .spec
        .sessions
        .iter()
        .flat_map(|session| &session.repositories);
    owner != namespace
        && infos
            .filter_map(|info| info.encryption_secret.as_ref())
            .any(|found| found.name == secret.name_any() && found.namespace_or(&namespace) == owner)
}

/// Whether a configuration names a Repository, or one that could be in its way.
fn shares_directory(configuration: &BackupConfiguration, repository: &Repository) -> bool {
    let beside = configuration.namespace() == repository.namespace();
    let directory = kubestash_domain::layout::repository_dir(&repository.spec.path);
    configuration
        .spec
        .sessions
        .iter()
        .flat_map(|session| &session.repositories)
        .any(|info| {
            (beside && info.name == repository.name_any())
                || kubestash_domain::layout::repository_dir(&info.directory) == directory
        })
}

/// A session that is being deleted, or gone, may be what its configuration waits for.
fn deleting_owner(session: &BackupSession) -> Vec<ObjectRef<BackupConfiguration>> {
    let namespace = session.namespace().unwrap_or_default();
    session
        .owner_references()
        .iter()
        .filter(|owner| {
            session.meta().deletion_timestamp.is_some()
                && owner.kind == BackupConfiguration::kind(&())
        })
        .map(|owner| ObjectRef::new(&owner.name).within(&namespace))
        .collect()
}

/// Whether its last run succeeded is something that a configuration says.
fn ended_owner(session: &BackupSession) -> Vec<ObjectRef<BackupConfiguration>> {
    let namespace = session.namespace().unwrap_or_default();
    let ended = backupsession::is_finished(session);
    session
        .owner_references()
        .iter()
        .filter(|owner| ended && owner.kind == BackupConfiguration::kind(&()))
        .map(|owner| ObjectRef::new(&owner.name).within(&namespace))
        .collect()
}

async fn reconcile(
    configuration: Arc<BackupConfiguration>,
    ctx: Arc<Context>,
    wheel: Wheel,
    passwords: Arc<Passwords>,
) -> Result<Action, ConfigurationError> {
    let key = ObjectRef::from_obj(configuration.as_ref());
    let api = ctx.api::<BackupConfiguration>(&configuration.namespace().unwrap_or_default());
    if configuration.meta().deletion_timestamp.is_some() {
        wheel.set(key, None);
        if finalizer::has(configuration.as_ref(), labels::CLEANUP_FINALIZER) {
            let plan = cleanup::decide(&dereference::cleanup_world(&configuration, &ctx));
            if apply::clean_up(&ctx, &configuration, &plan).await? {
                finalizer::remove(&api, configuration.as_ref(), labels::CLEANUP_FINALIZER).await?;
            }
        }
        return Ok(Action::await_change());
    }
    finalizer::ensure(&api, configuration.as_ref(), labels::CLEANUP_FINALIZER).await?;
    // Boxed, because opening a repository is a large future.
    let looked = Box::pin(passwords.look(&configuration, &ctx)).await?;
    let (mut world, now) = dereference::world(&configuration, &ctx).await?;
    world.outside = looked.obstacle;
    let plan = decide::decide(&world, now);
    match apply::apply(&ctx, &configuration, &plan).await {
        Err(ConfigurationError::Apply(error)) if error.is_final() => {
            // Told where the user looks, and tried again: what the API server objects to may lie in
            // other objects.
            world.outside = Some(Obstacle::fault(error.kind(), full_text(&error)));
            let refused = decide::decide(&world, now);
            apply::tell(&ctx, &configuration, &refused).await?;
            wheel.set(key, None);
            return Err(ConfigurationError::Refused(error));
        }
        applied => applied?,
    }
    wheel.set(key, plan.wake);
    Ok(looked
        .again
        .map_or_else(Action::await_change, Action::requeue))
}
