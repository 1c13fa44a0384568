//! BackupSession: one run, from its Snapshots to its end.
//!
//! ```text
//!   dereference.rs ─► world.rs ─► decide.rs ─┬─ skip.rs       may it start?
//!                                            ├─ snapshots.rs  Snapshots, and how unfinished ones end
//!                                            ├─ executor.rs   the Job; access.rs its rights; source.rs where data is
//!                                            ├─ running.rs    how the Job stands, and why it has to stop
//!                                            └─ finish.rs     history, final status, next try
//! ```
//!
//! Invariants:
//! * Every session ends, whatever happens to Job, pod or configuration, and says why.
//! * A Snapshot that its executor did not report as complete is declared failed, and only once
//!   nobody can report on it any more.
//! * The session itself is read from the API server for each decision, never from a store.

mod access;
mod adopt;
mod apply;
mod claims;
mod decide;
mod dereference;
mod executor;
mod finish;
mod running;
mod skip;
mod snapshots;
mod source;
mod world;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use dereference::way;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use kubestash_api::core::{BackupSession, RestoreSession};
use kubestash_api::labels;
use kubestash_api::storage::{Repository, Snapshot};
pub(crate) use source::Source;
pub(crate) use world::is_finished;

use self::claims::Claims;
use self::decide::Stage;
use self::dereference::Seen;
use crate::context::Context;
use crate::controllers::restoresession;
use crate::jobs;
use crate::runtime::apply::{ApplyError, Manager};
use crate::runtime::controller::Controller;
use crate::runtime::finalizer;
use crate::session::queue;

/// Owner of what a session makes and of its status, the executor's part aside.
pub(crate) const MANAGER: Manager = Manager("kubestash-backupsession");

/// Runs the reconciler until the operator stops.
pub(crate) async fn controller(ctx: Arc<Context>) {
    let watches = ctx.watches.clone();
    let claims = Arc::new(Claims::default());
    let sessions = watches.backup_sessions.clone();
    let unfinished = move |keep: &dyn Fn(&BackupSession) -> bool| -> Vec<ObjectRef<BackupSession>> {
        let found = sessions.select(|session| !is_finished(session) && keep(session));
        found
            .iter()
            .map(|session| ObjectRef::from_obj(session.as_ref()))
            .collect()
    };
    let (siblings, beside) = (unfinished.clone(), unfinished.clone());
    let (queued, queue) = (unfinished.clone(), unfinished);
    Controller::new("backupsession", ctx, &watches.backup_sessions)
        .on(&watches.backup_sessions, move |touched: &BackupSession| {
            siblings(&|session| is_sibling(session, touched))
        })
        .on(&watches.backup_sessions, move |touched: &BackupSession| {
            let ended = is_finished(touched) || touched.meta().deletion_timestamp.is_some();
            queued(&|session| ended && waits_in_queue(session))
        })
        .on(
            &watches.restore_sessions,
            move |touched: &RestoreSession| {
                let ended = restoresession::is_finished(touched)
                    || touched.meta().deletion_timestamp.is_some();
                queue(&|session| ended && waits_in_queue(session))
            },
        )
        .on(&watches.snapshots, of_snapshot)
        .on(&watches.jobs, of_job)
        .on(&watches.pods, of_pod)
        .on(&watches.repositories, move |repository: &Repository| {
            let namespace = repository.namespace();
            beside(&|session| {
                session.namespace() == namespace && decide::stage(session) == Stage::Starting
            })
        })
        .run(move |session, ctx| reconcile(session, ctx, Arc::clone(&claims)))
        .await;
}

fn is_sibling(one: &BackupSession, other: &BackupSession) -> bool {
    let invoker = |session: &BackupSession| {
        session
            .spec
            .invoker
            .as_ref()
            .map(|invoker| invoker.name.clone())
    };
    one.namespace() == other.namespace()
        && one.spec.session == other.spec.session
        && invoker(one) == invoker(other)
        && one.uid() != other.uid()
}

fn waits_in_queue(session: &BackupSession) -> bool {
    let status = session.status.as_ref();
    status.is_some_and(|status| queue::is_queued(&status.conditions))
}

fn of_snapshot(snapshot: &Snapshot) -> Option<ObjectRef<BackupSession>> {
    let namespace = snapshot.namespace()?;
    let name = &snapshot.spec.backup_session;
    (!name.is_empty()).then(|| ObjectRef::new(name).within(&namespace))
}

fn of_job(job: &Job) -> Option<ObjectRef<BackupSession>> {
    let owner = job
        .owner_references()
        .iter()
        .find(|owner| owner.kind == BackupSession::kind(&()))?;
    Some(ObjectRef::new(&owner.name).within(&job.namespace()?))
}

/// The Job of a session has the session's name; other Jobs' pods lead to no session.
fn of_pod(pod: &Pod) -> Option<ObjectRef<BackupSession>> {
    if pod.labels().get(labels::COMPONENT).map(String::as_str) != Some(labels::component::BACKUP) {
        return None;
    }
    let owner = pod
        .owner_references()
        .iter()
        .find(|owner| owner.kind == Job::kind(&()))?;
    Some(ObjectRef::new(&owner.name).within(&pod.namespace()?))
}

async fn reconcile(
    known: Arc<BackupSession>,
    ctx: Arc<Context>,
    claims: Arc<Claims>,
) -> Result<Action, ApplyError> {
    let deleting = known.meta().deletion_timestamp.is_some();
    if is_finished(&known) && !deleting && !finish::awaits_retry(&known) {
        return Ok(Action::await_change());
    }
    let Some(seen) = dereference::session(&known, &ctx).await? else {
        return Ok(Action::await_change());
    };
    let session = Arc::clone(&seen.session);
    let api = ctx.api::<BackupSession>(&session.namespace().unwrap_or_default());
    if session.meta().deletion_timestamp.is_some() {
        return Box::pin(delete(seen, &ctx, &claims)).await;
    }
    finalizer::ensure(&api, session.as_ref(), labels::CLEANUP_FINALIZER).await?;
    let world = dereference::world(seen, &claims, &ctx).await?;
    adopt::adopt(&api, &world).await?;
    let now = Timestamp::now();
    let plan = decide::decide(&world, now);
    Ok(action(
        apply::apply(&ctx, &claims, &world, plan, now).await?,
    ))
}

async fn delete(seen: Seen, ctx: &Context, claims: &Claims) -> Result<Action, ApplyError> {
    let session = Arc::clone(&seen.session);
    if !finalizer::has(session.as_ref(), labels::CLEANUP_FINALIZER) {
        return Ok(Action::await_change());
    }
    let world = dereference::cleanup_world(seen, ctx).await?;
    if let Some(step) = running::clean_up(&world, Timestamp::now()) {
        return Ok(action(apply::clean_up(ctx, step).await?));
    }
    if running::may_have_left_locks(&world, Timestamp::now()) {
        apply::unlock(ctx, &world).await;
    }
    let own = executor::session_labels(&session);
    jobs::run::remove_rights(ctx, session.as_ref(), &own).await?;
    claims.release(&session);
    ctx.queue.leave(&session.uid().unwrap_or_default());
    let api = ctx.api::<BackupSession>(&session.namespace().unwrap_or_default());
    finalizer::remove(&api, session.as_ref(), labels::CLEANUP_FINALIZER).await?;
    Ok(Action::await_change())
}

fn action(again: Option<Duration>) -> Action {
    again.map_or_else(Action::await_change, Action::requeue)
}
