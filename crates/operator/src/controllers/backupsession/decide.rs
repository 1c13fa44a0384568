//! The next step of a session: pure.
//!
//! ```text
//!   Starting ──► Start: Snapshots ──► Launching ──► Launch: rights and Job ──► Running ──► Finish
//!      │ may not                         │ cannot                               │ stop ─► Stop: the Job's pods end
//!      └► Finish (Skipped)               └► Declare ─► Finish                   └ over ─► Declare what is unfinished
//! ```
//!
//! Each step ends with a write of the status, which brings the next one. What a step needs to know
//! of the one before is in the status, so any of them can be the first after a restart.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kubestash_api::conditions::READY;
use kubestash_api::conditions::backup_session::{
    BACKUP_EXECUTOR_ENSURED, BACKUP_SKIPPED, SNAPSHOTS_ENSURED,
};
use kubestash_api::core::{BackupSession, BackupSessionPhase, BackupSessionStatus, Session};
use kubestash_api::shared::ConditionStatus;
use kubestash_api::storage::{Snapshot, SnapshotStatus};
use kubestash_domain::{condition, format, phase};

use super::executor::{self, Executor};
use super::finish::{self, Retry};
use super::running::{Ending, end, watch};
use super::skip::{self, Verdict};
use super::snapshots::{self, Obstacle};
use super::world::{World, is_finished};
use crate::session::queue;
use crate::validation::sentence;

/// How long a session waits for objects that are about to be made.
pub(super) const GRACE: Duration = Duration::from_secs(60);
/// How often it looks again meanwhile; changes that can be seen wake it sooner.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has no Snapshots yet.
    Starting,
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
pub(super) fn stage(session: &BackupSession) -> Stage {
    if is_finished(session) {
        return Stage::Finished;
    }
    let conditions = session
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    let ensured = |type_: &str| {
        condition::find(conditions, type_).map(|found| found.status == ConditionStatus::True)
    };
    match (
        ensured(SNAPSHOTS_ENSURED.type_),
        ensured(BACKUP_EXECUTOR_ENSURED.type_),
    ) {
        (None, _) => Stage::Starting,
        (Some(true), None) => Stage::Launching,
        (Some(true), Some(true)) => Stage::Running,
        (Some(false), _) | (_, Some(false)) => Stage::Ending,
    }
}

/// The next step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Write the status, and look again when something changes or after this time.
    Wait(Option<Duration>),
    /// Make these Snapshots, each with this first status.
    Start(Vec<Snapshot>, Box<SnapshotStatus>),
    /// Make the Job.
    Launch(Box<Executor>),
    /// Delete the Job and wait for its pods to end.
    Stop(Box<Job>),
    /// Write these statuses of Snapshots that nobody works on any more.
    Declare(Vec<(Snapshot, SnapshotStatus)>),
    /// Delete these old sessions, and write the final status.
    Finish(Vec<Arc<BackupSession>>),
    /// Make the next try, and write that it was made.
    Retry(Box<BackupSession>),
}

/// A step, and the status that is written after it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// What to do.
    pub step: Step,
    /// What the status says then.
    pub status: BackupSessionStatus,
}

/// Decides the next step of a session that is not being deleted.
pub(super) fn decide(world: &World, now: Timestamp) -> Plan {
    let mut status = world.session.status.clone().unwrap_or_default();
    status.observed_generation = world.session.meta().generation;
    match stage(&world.session) {
        Stage::Starting => start(world, status, now),
        Stage::Launching => launch(world, status, now),
        Stage::Running => watch(world, status, now),
        Stage::Ending => {
            let reason = first_failure(&status);
            end(
                world,
                status,
                &Ending {
                    reason,
                    forced: true,
                    executor_succeeded: false,
                },
                now,
            )
        }
        Stage::Finished => match finish::retry(world, now) {
            Retry::Nothing => Plan {
                step: Step::Wait(None),
                status,
            },
            Retry::Later(wait) => Plan {
                step: Step::Wait(Some(wait)),
                status,
            },
            Retry::Now(next) => {
                status.retried = Some(true);
                Plan {
                    step: Step::Retry(next),
                    status,
                }
            }
        },
    }
}

pub(super) fn wait(mut status: BackupSessionStatus, again: Option<Duration>) -> Plan {
    status.phase = Some(phase::backup_session(&status));
    Plan {
        step: Step::Wait(again),
        status,
    }
}

fn start(world: &World, mut status: BackupSessionStatus, now: Timestamp) -> Plan {
    match skip::judge(world) {
        Verdict::Wait(other) => {
            let message =
                format!("waits until BackupSession {other} of the same session has ended");
            return wait_for(world, status, skip::WAITING_FOR_SESSION, &message, now);
        }
        Verdict::Skip(reason) => {
            condition::set(
                &mut status.conditions,
                condition::new(BACKUP_SKIPPED, true, &reason, now),
            );
            let history = finish::beyond_history(world, BackupSessionPhase::Skipped);
            return Plan {
                step: Step::Finish(history),
                status,
            };
        }
        Verdict::Start => {}
    }
    if let Some(message) = world.turn.message() {
        return wait_for(world, status, queue::QUEUED, &message, now);
    }
    let failed = |mut status: BackupSessionStatus, reason: &str| {
        condition::set(
            &mut status.conditions,
            condition::new(SNAPSHOTS_ENSURED, false, reason, now),
        );
        wait(status, None)
    };
    match deadline(world, now) {
        Ok(deadline) => status.backup_deadline = deadline.map(Time),
        Err(reason) => return failed(status, &reason),
    }
    match snapshots::missing(world) {
        Ok(missing) => {
            status.snapshots = snapshots::first_list(world);
            status.total_snapshots = i32::try_from(status.snapshots.len()).ok();
            let message = "Snapshots have been ensured successfully.";
            condition::set(
                &mut status.conditions,
                condition::new(SNAPSHOTS_ENSURED, true, message, now),
            );
            if condition::has(&status.conditions, READY) {
                let ready = "The backup has started.";
                say(world, &mut status, "Running", ready, now);
            }
            status.phase = Some(phase::backup_session(&status));
            Plan {
                step: Step::Start(missing, Box::new(snapshots::first_status(world))),
                status,
            }
        }
        Err(Obstacle::NotYet(_)) if has_grace(world, now) => wait(status, Some(LOOK_AGAIN)),
        Err(Obstacle::NotYet(reason) | Obstacle::Never(reason)) => failed(status, &reason),
    }
}

/// Says in the condition `Ready` of a session that has not ended what it is about.
pub(super) fn say(
    world: &World,
    status: &mut BackupSessionStatus,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let generation = world.session.meta().generation;
    let ready = condition::ready(ConditionStatus::Unknown, reason, message, generation, now);
    condition::set(&mut status.conditions, ready);
}

/// Says what is waited for. Every change of it wakes the session; it looks by itself too, for good
/// measure.
fn wait_for(
    world: &World,
    mut status: BackupSessionStatus,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Plan {
    say(world, &mut status, reason, message, now);
    wait(status, Some(queue::LOOK_AGAIN))
}

/// When the session has to be done; none if it may take any time. What it has waited for its turn
/// does not count.
fn deadline(world: &World, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let Some(timeout) = world
        .session
        .spec
        .backup_timeout
        .as_deref()
        .filter(|timeout| !timeout.is_empty())
    else {
        return Ok(None);
    };
    let timeout = format::parse_go_duration(timeout)
        .map_err(|error| format!("spec.backupTimeout: {error}"))?;
    let status = world.session.status.as_ref();
    let has_waited = status.is_some_and(|status| condition::has(&status.conditions, READY));
    let begun = if has_waited {
        Some(now)
    } else {
        world.created()
    };
    Ok(begun.and_then(|begun| begun.checked_add(timeout).ok()))
}

fn has_grace(world: &World, now: Timestamp) -> bool {
    let age = world
        .created()
        .and_then(|created| Duration::try_from(now.duration_since(created)).ok());
    // Created in the future: the clock was set back, and it is not waited for to catch up.
    age.is_some_and(|age| age < GRACE) || world.created().is_none() || is_a_little_ahead(world, now)
}

/// The API server's clock and ours may differ a little.
fn is_a_little_ahead(world: &World, now: Timestamp) -> bool {
    let ahead = world
        .created()
        .and_then(|created| Duration::try_from(created.duration_since(now)).ok());
    ahead.is_some_and(|ahead| ahead < GRACE)
}

fn launch(world: &World, mut status: BackupSessionStatus, now: Timestamp) -> Plan {
    let missing = world.source.missing();
    let is_held = !missing.is_empty() || !world.refusals.is_empty() || world.in_the_way.is_some();
    if is_held && has_grace(world, now) {
        return wait(status, Some(LOOK_AGAIN));
    }
    let nothing = Session::default();
    let built = match (world.entry(), missing.is_empty()) {
        _ if world.in_the_way.is_some() => Err(world.in_the_way.clone().unwrap_or_default()),
        (None, _) => Err(format!(
            "the configuration has no session {:?} any more",
            world.session.spec.session
        )),
        (_, false) => Err(format!(
            "the data cannot be reached: there is no {}",
            missing.join(" and no ")
        )),
        _ if !world.refusals.is_empty() => Err(sentence(&world.refusals)),
        (entry, true) => {
            let deadline = status.backup_deadline.as_ref().map(|time| time.0);
            executor::build(world, entry.unwrap_or(&nothing), deadline, now)
                .map_err(|error| crate::runtime::controller::full_text(&error))
        }
    };
    match built {
        Ok(executor) => {
            let message = "Backup Executor has been ensured successfully.";
            condition::set(
                &mut status.conditions,
                condition::new(BACKUP_EXECUTOR_ENSURED, true, message, now),
            );
            status.phase = Some(phase::backup_session(&status));
            Plan {
                step: Step::Launch(Box::new(executor)),
                status,
            }
        }
        Err(reason) => {
            condition::set(
                &mut status.conditions,
                condition::new(BACKUP_EXECUTOR_ENSURED, false, &reason, now),
            );
            wait(status, None)
        }
    }
}

fn first_failure(status: &BackupSessionStatus) -> String {
    [SNAPSHOTS_ENSURED, BACKUP_EXECUTOR_ENSURED]
        .iter()
        .filter_map(|type_| condition::find(&status.conditions, type_.type_))
        .find(|found| found.status != ConditionStatus::True)
        .map(|found| found.message.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
