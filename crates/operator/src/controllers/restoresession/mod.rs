//! RestoreSession: one restore, from its Snapshot to its end.
//!
//! ```text
//!   dereference.rs ─► world.rs ─► decide.rs ─┬─ data.rs      what is restored: Snapshot, tasks, components
//!                                            ├─ executor.rs  the Job; access.rs its rights
//!                                            └─ finish.rs    how it ended
//!   claims.rs  one restore into a target at a time          pause.rs  the target's backups rest meanwhile
//! ```
//!
//! Invariants:
//! * Every restore ends, whatever happens to Job, pod or target, and says why; one that has ended
//!   never runs again.
//! * What is paused is written down before it is paused, and resumed before the session says that
//!   it has ended.
//! * What was looked up at the beginning holds to the end: an edit in between changes nothing.

mod access;
mod apply;
mod claims;
mod data;
mod decide;
mod dereference;
mod executor;
mod finish;
mod pause;
mod world;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::{BackupSession, RestoreSession};
use kubestash_api::kubedb::Druid;
use kubestash_api::labels;
use kubestash_api::storage::{Repository, Snapshot};

use self::claims::Claims;
use self::world::World;
pub(crate) use self::world::{has_begun, is_finished};
use crate::context::Context;
use crate::controllers::backupsession;
use crate::jobs;
use crate::runtime::apply::{ApplyError, Manager};
use crate::runtime::controller::Controller;
use crate::runtime::finalizer;

/// Owner of what a restore makes and of its status, the executor's part aside.
pub(crate) const MANAGER: Manager = Manager("kubestash-restoresession");

/// Runs the reconciler until the operator stops.
pub(crate) async fn controller(ctx: Arc<Context>) {
    let watches = ctx.watches.clone();
    let claims = Arc::new(Claims::default());
    let sessions = watches.restore_sessions.clone();
    // Those that wait for something; what they wait for is looked up again when any of it changes.
    let waiting = move || -> Vec<ObjectRef<RestoreSession>> {
        let found = sessions.select(|session| !is_finished(session) && !has_begun(session));
        found
            .iter()
            .map(|session| ObjectRef::from_obj(session.as_ref()))
            .collect()
    };
    let (one, two, three, four, five, six) = (
        waiting.clone(),
        waiting.clone(),
        waiting.clone(),
        waiting.clone(),
        waiting.clone(),
        waiting,
    );
    Controller::new("restoresession", ctx, &watches.restore_sessions)
        .on(
            &watches.restore_sessions,
            move |touched: &RestoreSession| {
                let own = ObjectRef::from_obj(touched);
                one()
                    .into_iter()
                    .filter(move |other| *other != own)
                    .collect::<Vec<_>>()
            },
        )
        .on(&watches.backup_sessions, move |touched: &BackupSession| {
            let ended =
                backupsession::is_finished(touched) || touched.meta().deletion_timestamp.is_some();
            if ended { six() } else { Vec::new() }
        })
        .on(&watches.snapshots, move |_: &Snapshot| two())
        .on(&watches.repositories, move |_: &Repository| three())
        .on(&watches.app_bindings, move |_: &AppBinding| four())
        .on(&watches.druids, move |_: &Druid| five())
        .on(&watches.jobs, of_job)
        .on(&watches.pods, of_pod)
        .run(move |session, ctx| reconcile(session, ctx, Arc::clone(&claims)))
        .await;
}

fn of_job(job: &Job) -> Option<ObjectRef<RestoreSession>> {
    let owner = job
        .owner_references()
        .iter()
        .find(|owner| owner.kind == RestoreSession::kind(&()))?;
    Some(ObjectRef::new(&owner.name).within(&job.namespace()?))
}

/// The Job of a session has the session's name; other Jobs' pods lead to no session.
fn of_pod(pod: &Pod) -> Option<ObjectRef<RestoreSession>> {
    if pod.labels().get(labels::COMPONENT).map(String::as_str) != Some(labels::component::RESTORE) {
        return None;
    }
    let owner = pod
        .owner_references()
        .iter()
        .find(|owner| owner.kind == Job::kind(&()))?;
    Some(ObjectRef::new(&owner.name).within(&pod.namespace()?))
}

async fn reconcile(
    known: Arc<RestoreSession>,
    ctx: Arc<Context>,
    claims: Arc<Claims>,
) -> Result<Action, ApplyError> {
    let deleting = known.meta().deletion_timestamp.is_some();
    if is_finished(&known) && !deleting {
        return Ok(Action::await_change());
    }
    let Some(mut world) = dereference::session(&known, &ctx).await? else {
        return Ok(Action::await_change());
    };
    if world.session.meta().deletion_timestamp.is_some() {
        return delete(&world, &ctx, &claims).await;
    }
    if is_finished(&world.session) {
        return Ok(Action::await_change());
    }
    let api = ctx.api::<RestoreSession>(&world.namespace());
    finalizer::ensure(&api, world.session.as_ref(), labels::CLEANUP_FINALIZER).await?;
    dereference::world(&mut world, &claims, &ctx).await?;
    let now = Timestamp::now();
    let plan = decide::decide(&world, now);
    Ok(action(
        apply::apply(&ctx, &claims, &world, plan, now).await?,
    ))
}

async fn delete(world: &World, ctx: &Context, claims: &Claims) -> Result<Action, ApplyError> {
    let session = world.session.as_ref();
    if !finalizer::has(session, labels::CLEANUP_FINALIZER) {
        return Ok(Action::await_change());
    }
    match decide::clean_up(world, Timestamp::now()) {
        decide::CleanUp::Stop(job) => {
            jobs::run::stop(ctx, &job).await?;
            return Ok(Action::await_change());
        }
        decide::CleanUp::Wait(again) => return Ok(Action::requeue(again)),
        decide::CleanUp::Done => {}
    }
    if !is_finished(session) {
        apply::unlock(ctx, world).await;
        pause::resume(ctx, session).await?;
    }
    let own = executor::session_labels(session);
    jobs::run::remove_rights(ctx, session, &own).await?;
    claims.release(session);
    ctx.queue.leave(&session.uid().unwrap_or_default());
    let api = ctx.api::<RestoreSession>(&world.namespace());
    finalizer::remove(&api, session, labels::CLEANUP_FINALIZER).await?;
    Ok(Action::await_change())
}

fn action(again: Option<Duration>) -> Action {
    again.map_or_else(Action::await_change, Action::requeue)
}
