//! Carrying out the next step of a session.

use std::time::SystemTime;

use jiff::Timestamp;
use kube::{Api, ResourceExt};
use kubestash_api::conditions::backup_session::{
    BACKUP_EXECUTOR_ENSURED, BACKUP_SKIPPED, HAS_WARNINGS, SNAPSHOTS_ENSURED,
};
use kubestash_api::conditions::executor::SNAPSHOTS_DATED_IN_FUTURE;
use kubestash_api::conditions::{self, ConditionType};
use kubestash_api::core::{BackupSession, BackupSessionPhase, BackupSessionStatus};
use kubestash_api::storage::{Snapshot, SnapshotStatus};
use kubestash_domain::{condition, phase};
use ulid::Ulid;

use super::claims::Claims;
use super::decide::{Plan, Step};
use super::executor::{Executor, session_labels};
use super::world::World;
use super::{MANAGER, finish, running};
use crate::context::Context;
use crate::jobs::{is_the_executors, progress, run};
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
) -> Result<Option<std::time::Duration>, ApplyError> {
    let Plan { step, mut status } = plan;
    let mut again = None;
    match step {
        Step::Wait(after) => again = after,
        Step::Start(missing, first) => {
            if !claims.take(&world.session) {
                // Another one was faster; the next look finds it running.
                return Ok(Some(std::time::Duration::ZERO));
            }
            if !ctx.queue.enter(ctx, &queue::backup(&world.session)) {
                claims.release(&world.session);
                return Ok(Some(std::time::Duration::from_millis(100)));
            }
            let made = start(ctx, world, &missing, &first).await;
            status = or_failed(made, status, SNAPSHOTS_ENSURED, now)?;
        }
        Step::Launch(executor) => {
            let made = launch(ctx, world, &executor).await;
            status = or_failed(made, status, BACKUP_EXECUTOR_ENSURED, now)?;
        }
        Step::Stop(job) => run::stop(ctx, &job).await?,
        Step::Declare(unfinished) => declare(ctx, &unfinished).await?,
        Step::Finish(history) => {
            if running::may_have_left_locks(world, now) {
                unlock(ctx, world).await;
            }
            if condition::find(&status.conditions, BACKUP_EXECUTOR_ENSURED.type_).is_some() {
                let labels = session_labels(&world.session);
                run::remove_rights(ctx, world.session.as_ref(), &labels).await?;
            }
            let error = clean_history(ctx, &history).await?;
            status = finish::finish(status, world, error.as_deref(), now);
            write(ctx, world, &status).await?;
            claims.release(&world.session);
            tell(ctx, world, &status).await;
            return Ok(None);
        }
        Step::Retry(next) => {
            apply::create(
                &ctx.api::<BackupSession>(&world.namespace()),
                &next,
                MANAGER,
            )
            .await?;
        }
    }
    write(ctx, world, &status).await?;
    tell_trouble(ctx, world, &status).await;
    Ok(again)
}

/// Tells what a running session waits for, on the session and on its configuration.
async fn tell_trouble(ctx: &Context, world: &World, status: &BackupSessionStatus) {
    let Some(why) = progress::trouble(&status.conditions) else {
        return;
    };
    let note = format!("BackupSession {} waits: {why}", world.session.name_any());
    let notice = Notice::warning(progress::POD_NOT_STARTED, note);
    ctx.events.tell(world.session.as_ref(), &notice).await;
    if let Some(configuration) = &world.configuration {
        ctx.events.tell(configuration, &notice).await;
    }
}

async fn write(
    ctx: &Context,
    world: &World,
    status: &BackupSessionStatus,
) -> Result<Written, ApplyError> {
    let mut status = status.clone();
    let before = world
        .session
        .status
        .as_ref()
        .map(|status| &status.retention_policy);
    if before == Some(&status.retention_policy) {
        // The executor's to say, as long as there is nothing to add.
        status.retention_policy.clear();
    }
    status
        .conditions
        .retain(|condition| !is_the_executors(condition));
    let api: Api<BackupSession> = ctx.api(&world.namespace());
    apply::status(&api, world.session.as_ref(), &status, Owns::Given, MANAGER).await
}

/// The status after a deed, or the one that says why it will never succeed. Other failures are
/// tried again.
fn or_failed(
    done: Result<(), StepError>,
    mut status: BackupSessionStatus,
    deed: ConditionType,
    now: Timestamp,
) -> Result<BackupSessionStatus, ApplyError> {
    let reason = match done {
        Ok(()) => return Ok(status),
        Err(StepError::Taken(reason)) => reason,
        Err(StepError::Apply(error)) if error.is_final() => full_text(&error),
        Err(StepError::Apply(error)) => return Err(error),
    };
    condition::set(
        &mut status.conditions,
        condition::new(deed, false, &reason, now),
    );
    status.phase = Some(phase::backup_session(&status));
    Ok(status)
}

enum StepError {
    /// An object of that name belongs to something else.
    Taken(String),
    Apply(ApplyError),
}

impl From<ApplyError> for StepError {
    fn from(error: ApplyError) -> Self {
        Self::Apply(error)
    }
}

async fn start(
    ctx: &Context,
    world: &World,
    missing: &[Snapshot],
    first: &SnapshotStatus,
) -> Result<(), StepError> {
    let api: Api<Snapshot> = ctx.api(&world.namespace());
    let mut snapshots: Vec<_> = world.snapshots.values().cloned().collect();
    for snapshot in missing {
        let mut snapshot = snapshot.clone();
        snapshot.spec.snapshot_id = Ulid::from_datetime(SystemTime::now()).to_string();
        let made = apply::create(&api, &snapshot, MANAGER).await?;
        if made.spec.backup_session != snapshot.spec.backup_session {
            let other = made.spec.backup_session;
            return Err(StepError::Taken(format!(
                "Snapshot {} exists and belongs to BackupSession {other}",
                snapshot.name_any()
            )));
        }
        snapshots.push(made);
    }
    for snapshot in &snapshots {
        if snapshot
            .status
            .as_ref()
            .and_then(|status| status.phase)
            .is_none()
        {
            apply::status(&api, snapshot, first, Owns::Given, MANAGER).await?;
        }
    }
    Ok(())
}

async fn launch(ctx: &Context, world: &World, executor: &Executor) -> Result<(), StepError> {
    let namespace = world.namespace();
    let made = run::launch(ctx, &namespace, &executor.rbac, &executor.job, MANAGER).await?;
    let own = world.session.uid();
    if made
        .owner_references()
        .iter()
        .any(|owner| Some(&owner.uid) == own.as_ref())
    {
        return Ok(());
    }
    Err(StepError::Taken(format!(
        "Job {} exists and belongs to something else: delete it",
        made.name_any()
    )))
}

async fn declare(
    ctx: &Context,
    unfinished: &[(Snapshot, SnapshotStatus)],
) -> Result<(), ApplyError> {
    for (snapshot, status) in unfinished {
        let api: Api<Snapshot> = ctx.api(&snapshot.namespace().unwrap_or_default());
        match apply::status(&api, snapshot, status, Owns::Given, MANAGER).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Deletes old sessions; what the API server will never allow is returned as text.
async fn clean_history(
    ctx: &Context,
    history: &[std::sync::Arc<BackupSession>],
) -> Result<Option<String>, ApplyError> {
    for old in history {
        let api: Api<BackupSession> = ctx.api(&old.namespace().unwrap_or_default());
        match apply::delete(&api, old.as_ref()).await {
            Ok(_) => {}
            Err(error) if error.is_final() => return Ok(Some(full_text(&error))),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Removes the locks that the session's Job left in its repositories.
pub(super) async fn unlock(ctx: &Context, world: &World) {
    let (namespace, name) = (world.namespace(), world.session.name_any());
    let repositories: Vec<_> = world
        .snapshots
        .values()
        .filter_map(|snapshot| {
            let repository = &snapshot.spec.repository;
            let found = ctx.watches.repositories.get(&namespace, repository)?;
            Some((found, component_paths(snapshot)))
        })
        .collect();
    let left = Left {
        namespace: &namespace,
        name: &name,
        job: world.job.as_ref(),
        holder: name.clone(),
    };
    crate::session::unlock::unlock(ctx, &left, &repositories).await;
}

/// Tells that the clock was wrong: retention leaves those Snapshots alone.
async fn tell_of_the_clock(ctx: &Context, world: &World, status: &BackupSessionStatus) {
    let future = condition::find(&status.conditions, SNAPSHOTS_DATED_IN_FUTURE.type_);
    let Some(future) = future else { return };
    let notice = Notice::warning(SNAPSHOTS_DATED_IN_FUTURE.type_, &future.message);
    ctx.events.tell(world.session.as_ref(), &notice).await;
    if let Some(configuration) = &world.configuration {
        ctx.events.tell(configuration, &notice).await;
    }
}

/// Tells a failure and a skipped run, on the session and on its configuration.
async fn tell(ctx: &Context, world: &World, status: &BackupSessionStatus) {
    tell_of_the_clock(ctx, world, status).await;
    if let Some(found) = condition::find(&status.conditions, HAS_WARNINGS.type_) {
        let notice = Notice::warning(HAS_WARNINGS.true_reason, &found.message);
        ctx.events.tell(world.session.as_ref(), &notice).await;
        if let Some(configuration) = &world.configuration {
            ctx.events.tell(configuration, &notice).await;
        }
    }
    let name = world.session.name_any();
    let reason = |type_| {
        let found = condition::find(&status.conditions, type_);
        found
            .map(|found| found.message.as_str())
            .unwrap_or_default()
    };
    let notice = match status.phase {
        Some(BackupSessionPhase::Failed) => Notice::warning(
            "BackupFailed",
            format!("BackupSession {name} failed: {}", reason(conditions::READY)),
        ),
        Some(BackupSessionPhase::Skipped) => Notice::warning(
            "BackupSkipped",
            format!(
                "BackupSession {name} was skipped: {}",
                reason(BACKUP_SKIPPED.type_)
            ),
        ),
        _ => return,
    };
    ctx.events.tell(world.session.as_ref(), &notice).await;
    if let Some(configuration) = &world.configuration {
        ctx.events.tell(configuration, &notice).await;
    }
}

/// Does one step of a deletion.
pub(super) async fn clean_up(
    ctx: &Context,
    step: Step,
) -> Result<Option<std::time::Duration>, ApplyError> {
    match step {
        Step::Stop(job) => run::stop(ctx, &job).await.map(|()| None),
        Step::Declare(unfinished) => declare(ctx, &unfinished)
            .await
            .map(|()| Some(std::time::Duration::ZERO)),
        Step::Wait(again) => Ok(again),
        // No other step is part of a deletion.
        Step::Start(..) | Step::Launch(_) | Step::Finish(_) | Step::Retry(_) => Ok(None),
    }
}
