//! Everything that is read for a restore.
//!
//! What a restore is decided by is asked of the API server and not of the stores: to take a Job for
//! gone, or a target for free, because a watch lags behind would end a good restore or begin two at
//! once.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use kubestash_api::addons::Function;
use kubestash_api::core::{BackupConfiguration, RestoreDataSource, RestoreSession};
use kubestash_api::shared::TypedObjectReference;
use kubestash_api::storage::Snapshot;
use kubestash_domain::manifest::place;

use super::claims::Claims;
use super::data;
use super::decide::{Stage, stage};
use super::world::{World, data_namespace, data_source, has_begun, is_finished, options, target};
use crate::consent::check;
use crate::consent::references::Restored;
use crate::context::Context;
use crate::controllers::backupconfiguration::target_reference;
use crate::controllers::backupsession::way;
use crate::jobs::{self, manifest, run};
use crate::runtime::apply::{self, ApplyError};
use crate::session::queue;
use crate::validation::allows;

/// Reads the Job, and after it the session, as they are now; none if the session is gone. In this
/// order, because the executor writes its result into the session before the Job ends.
pub(super) async fn session(
    known: &RestoreSession,
    ctx: &Context,
) -> Result<Option<World>, ApplyError> {
    let (namespace, name) = (known.namespace().unwrap_or_default(), known.name_any());
    let job = apply::get::<Job>(&ctx.api(&namespace), &name).await?;
    let Some(session) = apply::get::<RestoreSession>(&ctx.api(&namespace), &name).await? else {
        return Ok(None);
    };
    // One that belongs to something else is as good as none; making ours will then be refused, and
    // that is told.
    let own = session.uid();
    let is_own = |job: &Job| {
        let mut owners = job.owner_references().iter();
        owners.any(|owner| Some(&owner.uid) == own.as_ref())
    };
    let job = job.filter(is_own);
    let uid = job.as_ref().and_then(ResourceExt::uid);
    let of_job = |pod: &Pod| {
        let mut owners = pod.owner_references().iter();
        uid.is_some() && owners.any(|owner| Some(&owner.uid) == uid.as_ref())
    };
    let pods = ctx.watches.pods.select(of_job);
    Ok(Some(World {
        session: Arc::new(session),
        job,
        pods: pods.iter().map(|pod| pod.as_ref().clone()).collect(),
        image: ctx.image.clone(),
        environment: ctx.environment.clone(),
        now: Timestamp::now(),
        ..World::default()
    }))
}

/// Reads what the next step depends on besides the session and its Job.
pub(super) async fn world(
    world: &mut World,
    claims: &Claims,
    ctx: &Context,
) -> Result<(), ApplyError> {
    let stage = stage(&world.session);
    if stage == Stage::Running {
        let now = Timestamp::now();
        world.told = jobs::told::read(ctx, world.job.as_ref(), &world.pods, now).await;
    }
    if matches!(stage, Stage::Waiting | Stage::Launching) {
        stored(world, ctx).await?;
        let found = data::found(world);
        world.target = target(&world.session, found.as_ref());
        manifests(world, found.as_ref(), ctx);
        destination(world, ctx).await?;
        let restored = Restored {
            snapshot: found.as_ref(),
            repository: world.repository.as_ref(),
        };
        world.refusals = check::restore(ctx, &world.session, restored, &world.source);
        let info = world.session.spec.addon.as_ref();
        world.addon = info.and_then(|addon| ctx.watches.addons.get("", &addon.name));
        let functions = ctx.watches.functions.list().into_iter();
        world.functions = functions
            .map(|function: Arc<Function>| (function.name_any(), function))
            .collect();
    }
    if matches!(stage, Stage::Waiting | Stage::Launching) {
        world.in_the_way = run::in_the_way(ctx, world.session.as_ref()).await?;
    }
    if stage == Stage::Waiting {
        world.turn = ctx.queue.turn(ctx, &queue::restore(&world.session));
        world.rival = match rival(world, ctx).await? {
            None => claims.holder(world.target.as_ref(), &world.session),
            rival => rival,
        };
        world.backups = backups(world, ctx).await?;
    }
    Ok(())
}

async fn stored(world: &mut World, ctx: &Context) -> Result<(), ApplyError> {
    let session = &world.session;
    let (source, namespace) = (data_source(session), data_namespace(session));
    let api: Api<Snapshot> = ctx.api(&namespace);
    let name = match data::pinned(session).filter(|_| has_begun(session)) {
        Some(pinned) => Some(pinned.to_owned()),
        None if source.pitr.is_some() => None,
        None => source
            .snapshot
            .clone()
            .filter(|name| name != RestoreDataSource::LATEST && !name.is_empty()),
    };
    world.snapshots = match &name {
        Some(name) => apply::get(&api, name).await?.into_iter().collect(),
        None => {
            let listed = api.list(&ListParams::default()).await;
            listed
                .map_err(|source| {
                    apply::request("list the Snapshots for", session.as_ref(), source)
                })?
                .items
        }
    };
    let of_snapshot = || {
        name.as_ref()?;
        world
            .snapshots
            .first()
            .map(|snapshot| snapshot.spec.repository.clone())
    };
    let given = source.repository.filter(|name| !name.is_empty());
    let Some(repository) = of_snapshot().or(given) else {
        return Ok(());
    };
    world.repository = apply::get(&ctx.api(&namespace), &repository).await?;
    let reference = world
        .repository
        .as_ref()
        .and_then(|repository| repository.spec.storage_ref.as_ref());
    let storage = reference.and_then(|reference| {
        let owner = reference.namespace_or(&namespace);
        ctx.watches.backup_storages.get(owner, &reference.name)
    });
    let own = world.session.namespace().unwrap_or_default();
    world.storage_allowed = storage.as_ref().is_some_and(|storage| {
        let policy = storage.spec.usage_policy.as_ref();
        let owner = storage.namespace().unwrap_or_default();
        allows(policy, &owner, &own, &ctx.namespace_labels(&own))
    });
    world.storage = storage;
    Ok(())
}

/// Where the manifests of the Snapshot go, if a task restores them.
fn manifests(world: &mut World, found: Option<&Snapshot>, ctx: &Context) {
    let addon = world.session.spec.addon.as_ref();
    let mut tasks = addon.into_iter().flat_map(|addon| &addon.tasks);
    let (true, Some(snapshot)) = (
        tasks.any(|task| manifest::is_for_manifests(&task.name)),
        found,
    ) else {
        return;
    };
    let items = manifest::of_snapshot(snapshot);
    world.placements = place(&items, &options(&world.session));
    let restored = world.placements.iter().filter(|one| one.restored);
    let mut namespaces: Vec<String> = restored.map(|one| one.target.namespace.clone()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    namespaces.retain(|namespace| ctx.is_terminating(namespace));
    world.namespaces_missing = namespaces;
}

/// The way to the target's database, and whether it leads there.
async fn destination(world: &mut World, ctx: &Context) -> Result<(), ApplyError> {
    let Some(target) = world.target.clone() else {
        return Ok(());
    };
    let own = world.namespace();
    world.source = way(ctx, &target, &own).await?;
    let source = &world.source;
    let gone = source.druid.as_ref().filter(|_| source.druid_missing);
    world.target_missing = if let Some(druid) = gone {
        Some(format!("Druid {druid} does not exist"))
    } else {
        // The last one is the database's; a Druid's own comes when the Druid is ready, which may be
        // after the restore.
        let last = source.bindings.last();
        last.filter(|(_, found)| found.is_none()).map(|(name, _)| {
            format!(
                "AppBinding {}/{}, by which the database of {} {}/{} is reached, does not exist",
                name.namespace,
                name.name,
                target.kind(),
                target.namespace_or(&own),
                target.name,
            )
        })
    };
    Ok(())
}

/// Another restore that has the same target to itself.
async fn rival(world: &World, ctx: &Context) -> Result<Option<String>, ApplyError> {
    let session = world.session.as_ref();
    // One that has begun says which Snapshot it restores.
    let target_of = |other: &RestoreSession| {
        let namespace = data_namespace(other);
        let snapshot =
            data::pinned(other).and_then(|name| ctx.watches.snapshots.get(&namespace, name));
        target(other, snapshot.as_deref())
    };
    let listed = Api::<RestoreSession>::all(ctx.client.clone())
        .list(&ListParams::default())
        .await
        .map_err(|source| apply::request("list the restores beside", session, source))?;
    let found = listed.items.iter().find(|other| {
        other.uid() != session.uid()
            && has_begun(other)
            && !is_finished(other)
            && target_of(other) == world.target
            // Whoever may write a session may write its status: what it may not restore into, it cannot occupy.
            && world
                .target
                .as_ref()
                .is_some_and(|target| check::may_restore_into(ctx, other, target))
    });
    Ok(found.map(|other| {
        format!(
            "{}/{}",
            other.namespace().unwrap_or_default(),
            other.name_any()
        )
    }))
}

/// The target's BackupConfigurations that are not paused.
async fn backups(world: &World, ctx: &Context) -> Result<Vec<TypedObjectReference>, ApplyError> {
    let session = world.session.as_ref();
    let Some(target) = world.target.clone() else {
        return Ok(Vec::new());
    };
    let own = session.namespace().unwrap_or_default();
    let listed = Api::<BackupConfiguration>::all(ctx.client.clone())
        .list(&ListParams::default())
        .await
        .map_err(|source| apply::request("list the backups of the target of", session, source))?;
    let found = listed.items.iter().filter(|configuration| {
        configuration.spec.paused != Some(true)
            && configuration.spec.target.is_some()
            && target_reference(configuration).same_object(&target, &own)
    });
    Ok(found
        .map(|configuration| {
            TypedObjectReference::new(
                BackupConfiguration::group(&()),
                BackupConfiguration::kind(&()),
                configuration.name_any(),
                configuration.namespace().unwrap_or_default(),
            )
        })
        .collect())
}
