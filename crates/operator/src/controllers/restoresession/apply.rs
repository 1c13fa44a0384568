//! Carrying out the next step of a restore.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, Resource, ResourceExt};
use kubestash_api::conditions::restore_session::{MANIFEST_RESTORED, RESTORE_EXECUTOR_ENSURED};
use kubestash_api::core::{RestorePhase, RestoreSession, RestoreSessionStatus};
use kubestash_domain::lock_holder::LockHolder;
use kubestash_domain::{condition, phase};

use super::claims::Claims;
use super::decide::{Plan, Step};
use super::executor::{Executor, session_labels};
use super::world::{World, data_namespace, has_begun};
use super::{MANAGER, data, pause};
use crate::context::Context;
use crate::jobs;
use crate::runtime::apply::{self, ApplyError, Owns, Written};
use crate::runtime::controller::full_text;
use crate::runtime::events::Notice;
use crate::session::queue;
use crate::session::unlock::{Left, component_paths};

/// Does the step, then writes the status; returns after how long to look again.
pub(super) async fn apply(
    ctx: &Context,
    claims: &Claims,
    world: &World,
    plan: Plan,
    now: Timestamp,
) -> Result<Option<Duration>, ApplyError> {
    let Plan { step, mut status } = plan;
    let mut again = None;
    match step {
        Step::Wait(after) => again = after,
        Step::Begin => {
            if !claims.take(world.target.as_ref(), &world.session) {
                // Another one was faster; the next look finds it.
                return Ok(Some(Duration::from_secs(1)));
            }
            if !ctx.queue.enter(ctx, &queue::restore(&world.session)) {
                claims.release(&world.session);
                return Ok(Some(Duration::from_millis(100)));
            }
        }
        Step::Launch(executor) => {
            if let Err(reason) = launch(ctx, world, &executor).await? {
                let failed = condition::new(RESTORE_EXECUTOR_ENSURED, false, &reason, now);
                condition::set(&mut status.conditions, failed);
                status.phase = Some(phase::restore_session(&status));
            }
        }
        Step::Stop(job) => jobs::run::stop(ctx, &job).await?,
        Step::Finish => {
            unlock(ctx, world).await;
            pause::resume(ctx, &world.session).await?;
            if condition::find(&status.conditions, RESTORE_EXECUTOR_ENSURED.type_).is_some() {
                let labels = session_labels(&world.session);
                jobs::run::remove_rights(ctx, world.session.as_ref(), &labels).await?;
            }
            write(ctx, world, &status, true).await?;
            claims.release(&world.session);
            tell(ctx, world, &status).await;
            return Ok(None);
        }
    }
    tell_of_edit(ctx, world).await;
    write(ctx, world, &status, false).await?;
    if let Some(why) = jobs::progress::trouble(&status.conditions) {
        let note = format!("RestoreSession {} waits: {why}", world.session.name_any());
        ctx.events
            .tell(
                world.session.as_ref(),
                &Notice::warning(jobs::progress::POD_NOT_STARTED, note),
            )
            .await;
    }
    Ok(again)
}

/// Components are the executor's to say, until the end says what became of them.
async fn write(
    ctx: &Context,
    world: &World,
    status: &RestoreSessionStatus,
    last: bool,
) -> Result<Written, ApplyError> {
    let mut status = status.clone();
    if last {
        status
            .components
            .retain(|_, component| component.phase == Some(RestorePhase::Failed));
    } else {
        status.components.clear();
    }
    status
        .conditions
        .retain(|condition| !jobs::is_the_executors(condition));
    let api: Api<RestoreSession> = ctx.api(&world.namespace());
    apply::status(&api, world.session.as_ref(), &status, Owns::Given, MANAGER).await
}

/// Removes the locks that the session's Job left in the repository, if it did not come to its end
/// by itself.
pub(super) async fn unlock(ctx: &Context, world: &World) {
    let session = world.session.as_ref();
    let status = session.status.as_ref();
    let launched = status.is_some_and(|status| {
        condition::is_true(&status.conditions, RESTORE_EXECUTOR_ENSURED.type_)
    });
    let now = Timestamp::now();
    let outcome = world
        .job
        .as_ref()
        .map(|job| jobs::judge(job, &world.pods, &world.told, now));
    if !launched || matches!(outcome, Some(jobs::Outcome::Succeeded)) {
        return;
    }
    let data = data_namespace(session);
    let snapshot = data::pinned(session).and_then(|name| ctx.watches.snapshots.get(&data, name));
    let repository = snapshot.and_then(|snapshot| {
        let found = ctx
            .watches
            .repositories
            .get(&data, &snapshot.spec.repository)?;
        Some((found, component_paths(&snapshot)))
    });
    let (namespace, name) = (world.namespace(), session.name_any());
    let left = Left {
        namespace: &namespace,
        name: &name,
        job: world.job.as_ref(),
        holder: LockHolder::restore_job(&namespace, &name),
    };
    let repositories: Vec<_> = repository.into_iter().collect();
    crate::session::unlock::unlock(ctx, &left, &repositories).await;
}

/// Pauses the target's backups and makes the Job; the inner error says why that will never succeed.
async fn launch(
    ctx: &Context,
    world: &World,
    executor: &Executor,
) -> Result<Result<(), String>, ApplyError> {
    let made = async {
        pause::pause(ctx, &world.session, world.target.as_ref()).await?;
        let (rbac, job) = (&executor.rbac, &executor.job);
        jobs::run::launch(ctx, &world.namespace(), rbac, job, MANAGER).await
    };
    let made = match made.await {
        Ok(made) => made,
        Err(error) if error.is_final() => return Ok(Err(full_text(&error))),
        Err(error) => return Err(error),
    };
    let own = world.session.uid();
    let mut owners = made.owner_references().iter();
    if owners.any(|owner| Some(&owner.uid) == own.as_ref()) {
        return Ok(Ok(()));
    }
    Ok(Err(format!(
        "Job {} exists and belongs to something else: delete it, then create another RestoreSession",
        made.name_any()
    )))
}

/// What was looked up at the beginning holds: who edits a running restore is told.
async fn tell_of_edit(ctx: &Context, world: &World) {
    let session = world.session.as_ref();
    let observed = session
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    if has_begun(session) && observed != session.meta().generation {
        let note = "spec was changed after the restore had started, which has no effect; create another RestoreSession";
        ctx.events
            .tell(session, &Notice::warning("EditIgnored", note))
            .await;
    }
}

async fn tell(ctx: &Context, world: &World, status: &RestoreSessionStatus) {
    if let Some(restored) = condition::find(&status.conditions, MANIFEST_RESTORED.type_) {
        let notice = Notice::normal("ManifestRestored", restored.message.clone());
        ctx.events.tell(world.session.as_ref(), &notice).await;
    }
    let failure = phase::restore_session_failure(status);
    let (Some(failure), true) = (failure, status.phase != Some(RestorePhase::Succeeded)) else {
        return;
    };
    let note = format!(
        "RestoreSession {} failed: {failure}",
        world.session.name_any()
    );
    ctx.events
        .tell(
            world.session.as_ref(),
            &Notice::warning("RestoreFailed", note),
        )
        .await;
}
