//! The next step of a restore: pure.
//!
//! ```text
//!   Waiting ──► Begin: written down ──► Launching ──► Launch: pause, rights, Job ──► Running ──► Finish
//!      │ for data, target, its turn         │ cannot                                   │ stop ─► Stop: the pods end
//!      └─────────────► Finish (Invalid, Failed) ◄┘                                     └ over ─► Finish
//! ```
//!
//! Each step ends with a write of the status, which brings the next one. What a step needs to know
//! of the one before is in the status, so any of them can be the first after a restart.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kubestash_api::conditions::ConditionType;
use kubestash_api::conditions::invoker::VALIDATION_PASSED;
use kubestash_api::conditions::restore_session::{
    RESTORE_EXECUTOR_ENSURED, RESTORE_INCOMPLETE, RESTORE_TARGET_FOUND,
};
use kubestash_api::core::{RestoreSession, RestoreSessionStatus};
use kubestash_api::shared::ConditionStatus;
use kubestash_domain::{condition, format, phase};

use super::data::{self, Obstacle};
use super::executor::{self, Executor};
use super::finish;
use super::world::{World, has_begun, is_finished};
use crate::jobs::manifest::is_for_manifests;
use crate::jobs::progress::{self, Progress};
use crate::jobs::{Outcome, judge};
use crate::session::queue;

/// How long a restore waits for data or an Addon that may be about to be made.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// How long it waits for its target, unless `restoreTimeout` says otherwise: time to provision a
/// database.
pub(super) const TARGET_LIMIT: Duration = Duration::from_secs(600);
/// How often it looks again meanwhile; changes that can be seen wake it sooner.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long the pods of a Job that is stopped may take to end.
const STOPPING_LIMIT: Duration = Duration::from_secs(90);

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not begun.
    Waiting,
    /// It has no Job yet.
    Launching,
    /// Its Job was made.
    Running,
    /// It cannot go on; what remains is to end it.
    Ending,
    /// It has ended.
    Finished,
}

/// How far `session` has come, as its status says.
pub(super) fn stage(session: &RestoreSession) -> Stage {
    if is_finished(session) {
        return Stage::Finished;
    }
    let conditions = session
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    if condition::is_false(conditions, RESTORE_EXECUTOR_ENSURED.type_) {
        Stage::Ending
    } else if condition::is_true(conditions, RESTORE_EXECUTOR_ENSURED.type_) {
        Stage::Running
    } else if has_begun(session) {
        Stage::Launching
    } else {
        Stage::Waiting
    }
}

/// The next step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Write the status, and look again when something changes or after this time.
    Wait(Option<Duration>),
    /// Take the target, unless another restore was faster.
    Begin,
    /// Pause the target's backups and make the Job.
    Launch(Box<Executor>),
    /// Delete the Job and wait for its pods to end.
    Stop(Box<Job>),
    /// Resume the target's backups, and write the final status.
    Finish,
}

/// A step, and the status that is written after it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// What to do.
    pub step: Step,
    /// What the status says then.
    pub status: RestoreSessionStatus,
}

/// Decides the next step of a restore that is not being deleted.
pub(super) fn decide(world: &World, now: Timestamp) -> Plan {
    let status = world.session.status.clone().unwrap_or_default();
    match stage(&world.session) {
        Stage::Waiting => begin(world, status, now),
        Stage::Launching => launch(world, status, now),
        Stage::Running => watch(world, status, now),
        Stage::Ending => end(world, status, "", now),
        Stage::Finished => Plan {
            step: Step::Wait(None),
            status,
        },
    }
}

fn set(
    status: &mut RestoreSessionStatus,
    type_: ConditionType,
    holds: bool,
    message: &str,
    now: Timestamp,
) {
    condition::set(
        &mut status.conditions,
        condition::new(type_, holds, message, now),
    );
}

fn wait(mut status: RestoreSessionStatus, again: Option<Duration>) -> Plan {
    status.phase = Some(phase::restore_session(&status));
    Plan {
        step: Step::Wait(again),
        status,
    }
}

/// Says what is waited for, and looks again at the latest when `until` is over.
fn wait_for(
    world: &World,
    mut status: RestoreSessionStatus,
    reason: &str,
    message: &str,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Plan {
    let generation = world.session.meta().generation;
    let message = match until {
        Some(until) => format!("{message}; waiting until {until:.0}"),
        None => message.to_owned(),
    };
    condition::set(
        &mut status.conditions,
        condition::ready(ConditionStatus::Unknown, reason, &message, generation, now),
    );
    let left = until.map(|until| left(until, now));
    wait(
        status,
        Some(left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN))),
    )
}

/// Time until `at`, and a moment more: rather late than early.
fn left(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default() + Duration::from_millis(10)
}

fn begin(world: &World, mut status: RestoreSessionStatus, now: Timestamp) -> Plan {
    status.observed_generation = world.session.meta().generation;
    let since = |limit: Duration| {
        // Created far in the future: the clock was set back. It is not waited for to catch up.
        let created = world.created()?;
        let ahead = Duration::try_from(created.duration_since(now)).unwrap_or_default();
        (ahead < GRACE).then(|| created.checked_add(limit).ok())?
    };
    let deadline = match deadline(world) {
        Ok(deadline) => deadline,
        Err(reason) => {
            let reason = for_good(&reason);
            set(&mut status, VALIDATION_PASSED, false, &reason, now);
            return end(world, status, &reason, now);
        }
    };
    status.restore_deadline = deadline.map(Time);
    let data = data::resolve(world, None);
    status.dependencies = data::dependencies(world, data.as_ref().ok().map(|data| &data.snapshot));
    let is_over = |limit: Option<Timestamp>| limit.is_some_and(|limit| limit <= now);
    let limit = deadline.or_else(|| since(TARGET_LIMIT)).or(Some(now));
    let data = match data {
        Ok(data) => data,
        Err(Obstacle::NotYet(reason)) if since(GRACE).is_some_and(|end| now < end) => {
            return wait_for(world, status, "WaitingForData", &reason, since(GRACE), now);
        }
        Err(Obstacle::InTheMaking(reason)) if !is_over(limit) => {
            return wait_for(world, status, "WaitingForData", &reason, limit, now);
        }
        Err(obstacle) => {
            let reason = for_good(&obstacle.into_reason());
            set(&mut status, VALIDATION_PASSED, false, &reason, now);
            return end(world, status, &reason, now);
        }
    };
    set(
        &mut status,
        VALIDATION_PASSED,
        true,
        "Successfully validated.",
        now,
    );

    status.target_found = Some(world.target_missing.is_none());
    // What the session makes itself is not waited for here; the executor does, once it is made.
    let missing = world.target_missing.as_ref();
    if let Some(missing) = missing.filter(|_| !data.makes_target()) {
        if !is_over(limit) {
            return wait_for(world, status, "WaitingForTarget", missing, limit, now);
        }
        let reason = format!("the target cannot be restored into: {missing}");
        set(&mut status, RESTORE_TARGET_FOUND, false, &reason, now);
        return end(world, status, &reason, now);
    }
    if !data.makes_target() {
        let message = "The target's database is there.";
        set(&mut status, RESTORE_TARGET_FOUND, true, message, now);
    }
    if let Some(rival) = &world.rival {
        let message = format!(
            "waits until RestoreSession {rival}, which restores into the same target, has ended"
        );
        if !is_over(deadline) {
            return wait_for(world, status, "WaitingForRestore", &message, deadline, now);
        }
        let reason = format!("deadline exceeded: {message}");
        set(&mut status, RESTORE_EXECUTOR_ENSURED, false, &reason, now);
        return end(world, status, &reason, now);
    }
    if let Some(taken) = &world.in_the_way {
        if !is_over(limit) {
            return wait_for(world, status, "NameTaken", taken, limit, now);
        }
        set(&mut status, RESTORE_EXECUTOR_ENSURED, false, taken, now);
        return end(world, status, taken, now);
    }
    if let Some(message) = world.turn.message() {
        return wait_for(world, status, queue::QUEUED, &message, None, now);
    }
    if is_queued(world) {
        // What it has waited for its turn does not count.
        status.restore_deadline = timeout(world)
            .ok()
            .flatten()
            .and_then(|timeout| now.checked_add(timeout).ok())
            .map(Time);
    }
    status.total_components = Some(data.total());
    status.paused_backups.clone_from(&world.backups);
    let generation = world.session.meta().generation;
    condition::set(
        &mut status.conditions,
        condition::ready(
            ConditionStatus::Unknown,
            "Restoring",
            &match data::left_out(world) {
                None => "The restore has started.".to_owned(),
                Some(left_out) => format!("The restore has started. {left_out}"),
            },
            generation,
            now,
        ),
    );
    status.phase = Some(phase::restore_session(&status));
    Plan {
        step: Step::Begin,
        status,
    }
}

/// How long the restore may take; none if that is any time.
fn timeout(world: &World) -> Result<Option<Duration>, String> {
    let timeout = world.session.spec.restore_timeout.as_deref();
    let timeout = timeout.filter(|timeout| !timeout.is_empty());
    timeout
        .map(format::parse_go_duration)
        .transpose()
        .map_err(|error| format!("spec.restoreTimeout: {error}"))
}

/// Why a restore is invalid, and what is left to do: it does not look again, whatever is corrected.
fn for_good(reason: &str) -> String {
    format!("{reason}; correct that, and create this RestoreSession again")
}

/// When the restore has to be done; none if it may take any time.
fn deadline(world: &World) -> Result<Option<Timestamp>, String> {
    let timeout = timeout(world)?;
    let end = |timeout| world.created()?.checked_add::<Duration>(timeout).ok();
    Ok(timeout.and_then(end))
}

fn is_queued(world: &World) -> bool {
    let status = world.session.status.as_ref();
    status.is_some_and(|status| queue::is_queued(&status.conditions))
}

fn launch(world: &World, mut status: RestoreSessionStatus, now: Timestamp) -> Plan {
    if let Some(taken) = &world.in_the_way {
        set(&mut status, RESTORE_EXECUTOR_ENSURED, false, taken, now);
        return end(world, status, taken, now);
    }
    let built = data::resolve(world, data::pinned(&world.session))
        .map_err(Obstacle::into_reason)
        .and_then(|data| {
            let deadline = status.restore_deadline.as_ref().map(|time| time.0);
            executor::build(world, &data, deadline, now)
                .map_err(|error| crate::runtime::controller::full_text(&error))
        });
    match built {
        Ok(executor) => {
            let message = "Restore Executor has been ensured successfully.";
            set(&mut status, RESTORE_EXECUTOR_ENSURED, true, message, now);
            status.phase = Some(phase::restore_session(&status));
            Plan {
                step: Step::Launch(Box::new(executor)),
                status,
            }
        }
        Err(reason) => {
            set(&mut status, RESTORE_EXECUTOR_ENSURED, false, &reason, now);
            end(world, status, &reason, now)
        }
    }
}

fn watch(world: &World, mut status: RestoreSessionStatus, now: Timestamp) -> Plan {
    let outcome = world
        .job
        .as_ref()
        .map(|job| judge(job, &world.pods, &world.told, now));
    let generation = world.session.meta().generation;
    let (Some(job), Some(outcome)) = (&world.job, outcome) else {
        let reason = reason_to_stop(world, &status, now);
        let reason = reason
            .unwrap_or_else(|| broken_off(world, "the restore Job no longer exists", &status));
        return end(world, status, &reason, now);
    };
    let again = match outcome {
        Outcome::Succeeded => {
            return end(
                world,
                status,
                "the executor ended without reporting its result",
                now,
            );
        }
        Outcome::Failed(reason) => {
            let reason = broken_off(world, &reason, &status);
            return end(world, status, &reason, now);
        }
        Outcome::Stuck(reason) => {
            // The first reason counts: the pod goes with its Job, and would be missed next.
            if !condition::is_true(&status.conditions, RESTORE_INCOMPLETE.type_) {
                set(&mut status, RESTORE_INCOMPLETE, true, &reason, now);
            }
            None
        }
        Outcome::Starting { why, again } => {
            let starting = Progress::Starting(why.as_deref());
            // A Job that is being stopped has no pod because of that.
            if job.meta().deletion_timestamp.is_none() {
                progress::tell(&mut status.conditions, starting, generation, now);
            }
            Some(again)
        }
        Outcome::Running => {
            progress::tell(&mut status.conditions, Progress::Running, generation, now);
            None
        }
    };
    let Some(reason) = reason_to_stop(world, &status, now) else {
        let deadline = status.restore_deadline.as_ref().map(|at| left(at.0, now));
        return wait(status, [again, deadline].into_iter().flatten().min());
    };
    set(&mut status, RESTORE_INCOMPLETE, true, &reason, now);
    match job_end(job, now) {
        CleanUp::Stop(job) => {
            status.phase = Some(phase::restore_session(&status));
            Plan {
                step: Step::Stop(job),
                status,
            }
        }
        CleanUp::Wait(left) => wait(status, Some(left)),
        CleanUp::Done => end(world, status, &reason, now),
    }
}

/// Why a Job is over that did not say so itself: had its executor begun, nobody knows how far it
/// came.
fn broken_off(world: &World, reason: &str, status: &RestoreSessionStatus) -> String {
    match status.components.is_empty() {
        true => progress::with_obstacle(reason.to_owned(), &status.conditions),
        false => format!("{reason}; {}: restore again", left_behind(world)),
    }
}

/// What a restore leaves in its target that was ended in the middle.
fn left_behind(world: &World) -> &'static str {
    let spec = &world.session.spec;
    let named = spec.addon.iter().flat_map(|addon| &addon.tasks);
    let known = world
        .addon
        .iter()
        .flat_map(|addon| &addon.spec.restore_tasks);
    let functions = named.filter_map(|task| {
        let found = known.clone().find(|known| known.name == task.name)?;
        Some(found.function.as_str())
    });
    let functions: Vec<&str> = functions.collect();
    // Its client commits nothing by itself: a transaction ends with who began it.
    let whole = |function: &&str| *function == "postgres-restore" || is_for_manifests(function);
    match !functions.is_empty() && functions.iter().all(whole) {
        true => "each database of the target is as it was before or restored as a whole",
        false => "the target may hold a part of the restore",
    }
}

/// Why the Job has to be stopped, if it has. Each reason still holds when the Job is gone.
fn reason_to_stop(world: &World, status: &RestoreSessionStatus, now: Timestamp) -> Option<String> {
    let incomplete = condition::find(&status.conditions, RESTORE_INCOMPLETE.type_);
    if let Some(incomplete) = incomplete.filter(|found| found.status == ConditionStatus::True) {
        return Some(incomplete.message.clone());
    }
    let over = status
        .restore_deadline
        .as_ref()
        .is_some_and(|deadline| deadline.0 <= now);
    over.then(|| {
        let timeout = world
            .session
            .spec
            .restore_timeout
            .as_deref()
            .unwrap_or_default();
        let reason = format!("deadline exceeded: the restore took longer than {timeout}");
        broken_off(world, &reason, status)
    })
}

fn end(world: &World, status: RestoreSessionStatus, reason: &str, now: Timestamp) -> Plan {
    Plan {
        step: Step::Finish,
        status: finish::finish(status, world, reason, now),
    }
}

/// What a session that goes still has to do about its Job.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum CleanUp {
    /// Delete it.
    Stop(Box<Job>),
    /// Wait for its pods, so long at most.
    Wait(Duration),
    /// Nothing: it is gone, or its pods cannot be waited for any longer.
    Done,
}

/// What is left to do about the Job of a session that is being deleted.
pub(super) fn clean_up(world: &World, now: Timestamp) -> CleanUp {
    world
        .job
        .as_ref()
        .map_or(CleanUp::Done, |job| job_end(job, now))
}

fn job_end(job: &Job, now: Timestamp) -> CleanUp {
    let Some(since) = job.meta().deletion_timestamp.as_ref() else {
        return CleanUp::Stop(Box::new(job.clone()));
    };
    let waited = Duration::try_from(now.duration_since(since.0)).unwrap_or_default();
    match STOPPING_LIMIT.checked_sub(waited) {
        Some(left) if !left.is_zero() => CleanUp::Wait(left),
        _ => CleanUp::Done,
    }
}

#[cfg(test)]
mod tests;
