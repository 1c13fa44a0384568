//! Everything that is read for a session.
//!
//! What a session is decided by is asked of the API server and not of the stores: to take a Job for
//! gone, or a configuration for not Ready, because a watch lags behind would end a good backup.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Resource, ResourceExt};
use kubestash_api::addons::Function;
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::{BackupConfiguration, BackupSession};
use kubestash_api::kubedb::Druid;
use kubestash_api::shared::TypedObjectReference;
use kubestash_api::storage::{BackupStorage, Repository, Snapshot};
use kubestash_domain::manifest::Item;
use kubestash_domain::target::{Key, druid_of, is_druid};

use super::claims::Claims;
use super::decide::{Stage, stage};
use super::source::Source;
use super::world::{World, snapshot_name};
use crate::consent::check;
use crate::context::Context;
use crate::controllers::backupconfiguration::target_reference;
use crate::jobs::{self, manifest, run};
use crate::runtime::apply::{self, ApplyError};
use crate::session::queue;
use crate::validation::Violation;

/// A session and its Job as they are now.
pub(super) struct Seen {
    /// The session.
    pub session: Arc<BackupSession>,
    job: Option<Job>,
}

/// Reads the session as it is now; none if it is gone.
///
/// The Job is read before everything that its executor writes: when it is found to have ended, all
/// that was reported is found as well. The other way round, a report that came in between would be
/// taken for missing.
pub(super) async fn session(
    session: &BackupSession,
    ctx: &Context,
) -> Result<Option<Seen>, ApplyError> {
    let (name, namespace) = (session.name_any(), session.namespace().unwrap_or_default());
    let job = apply::get(&ctx.api::<Job>(&namespace), &name).await?;
    let found = apply::get(&ctx.api::<BackupSession>(&namespace), &name).await?;
    Ok(found.map(|session| Seen {
        session: Arc::new(session),
        job,
    }))
}

/// Reads what the next step of `session` depends on.
pub(super) async fn world(seen: Seen, claims: &Claims, ctx: &Context) -> Result<World, ApplyError> {
    let Seen { session, job } = seen;
    let stage = stage(&session);
    let mut world = World {
        siblings: siblings(&session, ctx),
        overtaken_by: claims.holder(&session),
        image: ctx.image.clone(),
        environment: ctx.environment.clone(),
        session,
        ..World::default()
    };
    with_job(&mut world, job, ctx);
    if stage == Stage::Running {
        let now = Timestamp::now();
        world.told = jobs::told::read(ctx, world.job.as_ref(), &world.pods, now).await;
    }
    world.configuration = configuration(&world, ctx).await?;
    if stage == Stage::Finished {
        return Ok(world);
    }
    world.snapshots = snapshots(&world, ctx).await?;
    if stage == Stage::Starting {
        world.turn = ctx.queue.turn(ctx, &queue::backup(&world.session));
    }
    if matches!(stage, Stage::Starting | Stage::Launching) {
        world.repositories = repositories(&world, ctx).await?;
        world.source = source(&world, ctx).await?;
        world.manifests = manifests(&world, ctx).await?;
    }
    if stage == Stage::Launching {
        world.in_the_way = run::in_the_way(ctx, world.session.as_ref()).await?;
        world.refusals = refusals(&world, ctx).await?;
        world.storages = storages(&world, ctx);
        world.old_snapshots = old_snapshots(&world, ctx);
        let addon = world
            .entry()
            .and_then(|entry| entry.addon.as_ref())
            .map(|addon| addon.name.clone());
        world.addon = addon.and_then(|name| ctx.watches.addons.get("", &name));
        world.functions = ctx
            .watches
            .functions
            .list()
            .into_iter()
            .map(|function: Arc<Function>| (function.name_any(), function))
            .collect();
    }
    Ok(world)
}

/// Reads what the end of a deleted session depends on.
pub(super) async fn cleanup_world(seen: Seen, ctx: &Context) -> Result<World, ApplyError> {
    let mut world = World {
        session: seen.session,
        ..World::default()
    };
    with_job(&mut world, seen.job, ctx);
    world.snapshots = snapshots(&world, ctx).await?;
    Ok(world)
}

async fn configuration(
    world: &World,
    ctx: &Context,
) -> Result<Option<BackupConfiguration>, ApplyError> {
    let Some(invoker) = &world.session.spec.invoker else {
        return Ok(None);
    };
    if invoker.kind != BackupConfiguration::kind(&()) || invoker.name.is_empty() {
        return Ok(None);
    }
    apply::get(&ctx.api(&world.namespace()), &invoker.name).await
}

fn siblings(session: &BackupSession, ctx: &Context) -> Vec<Arc<BackupSession>> {
    let invoker = |session: &BackupSession| {
        session
            .spec
            .invoker
            .as_ref()
            .map(|invoker| invoker.name.clone())
    };
    ctx.watches.backup_sessions.select(|other| {
        other.namespace() == session.namespace()
            && other.spec.session == session.spec.session
            && invoker(other) == invoker(session)
            && other.uid() != session.uid()
    })
}

/// Names of the Repositories: those that the status lists, and before it does, those of the
/// configuration.
fn repository_names(world: &World) -> Vec<String> {
    let listed = world
        .session
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.snapshots);
    if listed.is_empty() {
        world
            .targets()
            .iter()
            .map(|info| info.name.clone())
            .collect()
    } else {
        listed
            .iter()
            .map(|entry| entry.repository.clone())
            .collect()
    }
}

async fn snapshots(world: &World, ctx: &Context) -> Result<BTreeMap<String, Snapshot>, ApplyError> {
    let api: Api<Snapshot> = ctx.api(&world.namespace());
    let mut found = BTreeMap::new();
    for repository in repository_names(world) {
        if let Some(snapshot) =
            apply::get(&api, &snapshot_name(&world.session, &repository)).await?
        {
            found.insert(repository, snapshot);
        }
    }
    Ok(found)
}

async fn repositories(
    world: &World,
    ctx: &Context,
) -> Result<BTreeMap<String, Repository>, ApplyError> {
    let api: Api<Repository> = ctx.api(&world.namespace());
    let mut found = BTreeMap::new();
    for name in repository_names(world) {
        if let Some(repository) = apply::get(&api, &name).await? {
            found.insert(name, repository);
        }
    }
    Ok(found)
}

fn storages(world: &World, ctx: &Context) -> BTreeMap<String, Arc<BackupStorage>> {
    let namespace = world.namespace();
    world
        .repositories
        .iter()
        .filter_map(|(name, repository)| {
            let reference = repository.spec.storage_ref.as_ref()?;
            let storage = ctx
                .watches
                .backup_storages
                .get(reference.namespace_or(&namespace), &reference.name)?;
            Some((name.clone(), storage))
        })
        .collect()
}

fn old_snapshots(world: &World, ctx: &Context) -> Vec<(String, String)> {
    let namespace = world.namespace();
    let found = ctx.watches.snapshots.select(|snapshot| {
        snapshot.namespace().as_ref() == Some(&namespace)
            && world.repositories.contains_key(&snapshot.spec.repository)
    });
    found
        .iter()
        .map(|snapshot| (snapshot.name_any(), snapshot.spec.backup_session.clone()))
        .collect()
}

async fn source(world: &World, ctx: &Context) -> Result<Source, ApplyError> {
    let Some(configuration) = &world.configuration else {
        return Ok(Source::default());
    };
    if configuration.spec.target.is_none() {
        return Ok(Source::default());
    }
    way(ctx, &target_reference(configuration), &world.namespace()).await
}

/// What the session would use in other namespaces and nobody has allowed. It is looked up for each
/// session anew: what the configuration was found to be allowed may have changed since, and what
/// its Repositories say it does not write.
async fn refusals(world: &World, ctx: &Context) -> Result<Vec<Violation>, ApplyError> {
    let Some(configuration) = &world.configuration else {
        return Ok(Vec::new());
    };
    let mut found = check::configuration(ctx, configuration).await?;
    for repository in world.repositories.values() {
        found.extend(check::repository(ctx, repository, Some(configuration)));
    }
    Ok(found)
}

/// The way to the data of `target`, which is seen from `namespace`.
pub(crate) async fn way(
    ctx: &Context,
    target: &TypedObjectReference,
    namespace: &str,
) -> Result<Source, ApplyError> {
    let bindings = &ctx.watches.app_bindings;
    let own = bindings.get(target.namespace_or(namespace), &target.name);
    let own = own.filter(|_| target.group() == AppBinding::group(&()));
    // A Druid's own AppBinding leads to Druid, and what is backed up is the metadata store behind
    // it.
    let behind = own.as_deref().and_then(druid_of);
    let through = own.filter(|_| behind.is_some());
    let target = behind.unwrap_or_else(|| target.clone());
    let druid: Option<Druid> = match is_druid(&target) {
        true => apply::get(&ctx.api(target.namespace_or(namespace)), &target.name).await?,
        false => None,
    };
    let source = Source::find(&target, namespace, druid.as_ref(), |binding: &Key| {
        bindings.get(&binding.namespace, &binding.name)
    });
    Ok(match through {
        Some(binding) => source.begun_at(binding),
        None => source,
    })
}

/// The objects of the target, if a task backs up manifests.
async fn manifests(world: &World, ctx: &Context) -> Result<Vec<Item>, ApplyError> {
    let addon = world.entry().and_then(|entry| entry.addon.as_ref());
    let mut tasks = addon.into_iter().flat_map(|addon| &addon.tasks);
    let wanted = tasks.any(|task| manifest::is_for_manifests(&task.name));
    match &world.configuration {
        Some(configuration) if wanted && configuration.spec.target.is_some() => {
            manifest::of_target(ctx, &target_reference(configuration), &world.namespace()).await
        }
        _ => Ok(Vec::new()),
    }
}

fn with_job(world: &mut World, job: Option<Job>, ctx: &Context) {
    let own = world.session.uid();
    // One that belongs to something else is as good as none; making ours will then be refused, and
    // that is told.
    let owners = |job: &Job| {
        job.owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == own.as_ref())
    };
    let Some(job) = job.filter(owners) else {
        return;
    };
    let uid = job.uid();
    let of_job = |pod: &Pod| {
        pod.owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == uid.as_ref())
    };
    world.pods = ctx
        .watches
        .pods
        .select(of_job)
        .iter()
        .map(|pod| pod.as_ref().clone())
        .collect();
    world.job = Some(job);
}
