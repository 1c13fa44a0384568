//! A session whose Job runs, and how it ends: pure.
//!
//! A Snapshot is declared failed only when nobody can report on it any more: the Job has ended, or
//! it was deleted and its pods are gone.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{Resource, ResourceExt};
use kubestash_api::conditions::backup_session::{
    BACKUP_EXECUTOR_ENSURED, POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED,
};
use kubestash_api::core::{BackupSessionPhase, BackupSessionStatus, SessionSnapshotStatus};
use kubestash_api::storage::SnapshotPhase;
use kubestash_domain::{condition, phase};

use super::decide::{Plan, Step, say, wait};
use super::world::World;
use super::{finish, skip, snapshots};
use crate::jobs::progress::{self, Progress};
use crate::jobs::{Outcome, judge};

/// How long the pods of a Job that is stopped may take to end.
const STOPPING_LIMIT: Duration = Duration::from_secs(90);

/// The end of a session's work.
pub(super) struct Ending {
    /// Why it ended.
    pub(super) reason: String,
    /// Whether we ended it, so that what the executor said last is not the reason.
    pub(super) forced: bool,
    /// Whether the executor says that all is well.
    pub(super) executor_succeeded: bool,
}

pub(super) fn watch(world: &World, mut status: BackupSessionStatus, now: Timestamp) -> Plan {
    status.snapshots = snapshots::list(world);
    let outcome = world
        .job
        .as_ref()
        .map(|job| judge(job, &world.pods, &world.told, now));
    let before = status.conditions.clone();
    let ended = |reason: &str, executor_succeeded| Ending {
        reason: progress::with_obstacle(reason.to_owned(), &before),
        forced: false,
        executor_succeeded,
    };
    let generation = world.session.meta().generation;
    let (Some(job), Some(outcome)) = (&world.job, outcome) else {
        let ending = match reason_to_stop(world, &status, now) {
            Some(reason) => Ending {
                reason,
                forced: true,
                executor_succeeded: false,
            },
            None => ended("the backup Job no longer exists", false),
        };
        return end(world, status, &ending, now);
    };
    let again = match outcome {
        Outcome::Succeeded => {
            return end(
                world,
                status,
                &ended("the executor ended without reporting its result", true),
                now,
            );
        }
        Outcome::Failed(reason) => return end(world, status, &ended(&reason, false), now),
        Outcome::Stuck(reason) => {
            let stuck = POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED;
            // The first reason counts: the pod goes with its Job, and would be missed next.
            if !condition::has(&status.conditions, stuck.type_) {
                condition::set(
                    &mut status.conditions,
                    condition::new(stuck, true, &reason, now),
                );
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
    let is_stored = |entry: &SessionSnapshotStatus| entry.phase == Some(SnapshotPhase::Succeeded);
    if !status.snapshots.is_empty() && status.snapshots.iter().all(is_stored) {
        let message =
            "The backup is stored and can be restored; the retention policy is being applied.";
        say(world, &mut status, "ApplyingRetention", message, now);
    }
    let Some(reason) = reason_to_stop(world, &status, now) else {
        let left = status
            .backup_deadline
            .as_ref()
            .and_then(|at| Duration::try_from(at.0.duration_since(now)).ok());
        // A moment late rather than a moment early.
        let left = left.map(|left| left + Duration::from_millis(10));
        return wait(status, [again, left].into_iter().flatten().min());
    };
    stop(world, job, status, reason, now)
}

/// Ends a Job, and waits until none of its pods can report any more.
fn stop(
    world: &World,
    job: &Job,
    mut status: BackupSessionStatus,
    reason: String,
    now: Timestamp,
) -> Plan {
    let Some(since) = job.meta().deletion_timestamp.as_ref() else {
        status.phase = Some(phase::backup_session(&status));
        return Plan {
            step: Step::Stop(Box::new(job.clone())),
            status,
        };
    };
    let waited = Duration::try_from(now.duration_since(since.0)).unwrap_or_default();
    match STOPPING_LIMIT.checked_sub(waited) {
        Some(left) if !left.is_zero() => wait(status, Some(left)),
        _ => end(
            world,
            status,
            &Ending {
                reason,
                forced: true,
                executor_succeeded: false,
            },
            now,
        ),
    }
}

/// Why the Job has to be stopped, if it has. Each reason still holds when the Job is gone.
fn reason_to_stop(world: &World, status: &BackupSessionStatus, now: Timestamp) -> Option<String> {
    let stuck = POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED.type_;
    if let Some(stuck) = condition::find(&status.conditions, stuck) {
        return Some(stuck.message.clone());
    }
    if let Some(deadline) = &status.backup_deadline
        && deadline.0 <= now
    {
        let timeout = world
            .session
            .spec
            .backup_timeout
            .as_deref()
            .unwrap_or_default();
        let reason = format!("deadline exceeded: the backup took longer than {timeout}");
        return Some(progress::with_obstacle(reason, &status.conditions));
    }
    skip::replaced_by(world)
}

/// Declares what is unfinished as failed; if nothing is, the session is finished.
pub(super) fn end(
    world: &World,
    mut status: BackupSessionStatus,
    ending: &Ending,
    now: Timestamp,
) -> Plan {
    let unfinished: Vec<_> = world
        .snapshots
        .values()
        .filter(|snapshot| snapshot.spec.backup_session == world.session.name_any())
        .filter(|snapshot| !snapshots::is_completed(snapshot))
        .map(|snapshot| {
            let declared = snapshots::declared_failed(snapshot, &ending.reason, ending.forced, now);
            (snapshot.clone(), declared)
        })
        .collect();
    status.snapshots = snapshots::list(world);
    if !unfinished.is_empty() {
        status.phase = Some(phase::backup_session(&status));
        return Plan {
            step: Step::Declare(unfinished),
            status,
        };
    }
    status.retention_policy = finish::retention(world, ending.executor_succeeded);
    let history = finish::beyond_history(world, BackupSessionPhase::Failed);
    Plan {
        step: Step::Finish(history),
        status,
    }
}

/// Whether the session's Job may have left locks: it was made, and did not come to its end by
/// itself.
pub(super) fn may_have_left_locks(world: &World, now: Timestamp) -> bool {
    let status = world.session.status.as_ref();
    let launched = status.is_some_and(|status| {
        condition::is_true(&status.conditions, BACKUP_EXECUTOR_ENSURED.type_)
    });
    let outcome = world
        .job
        .as_ref()
        .map(|job| judge(job, &world.pods, &world.told, now));
    launched && !matches!(outcome, Some(Outcome::Succeeded))
}

/// The next step of a session that is being deleted: its Job ends, its unfinished Snapshots have
/// failed; none once there is nothing left to do.
pub(super) fn clean_up(world: &World, now: Timestamp) -> Option<Step> {
    if let Some(job) = &world.job {
        let Some(since) = job.meta().deletion_timestamp.as_ref() else {
            return Some(Step::Stop(Box::new(job.clone())));
        };
        let waited = Duration::try_from(now.duration_since(since.0)).unwrap_or_default();
        if let Some(left) = STOPPING_LIMIT
            .checked_sub(waited)
            .filter(|left| !left.is_zero())
        {
            return Some(Step::Wait(Some(left)));
        }
    }
    let reason = "the BackupSession was deleted before it had ended";
    let unfinished: Vec<_> = world
        .snapshots
        .values()
        .filter(|snapshot| snapshot.spec.backup_session == world.session.name_any())
        .filter(|snapshot| {
            !snapshots::is_completed(snapshot) && snapshot.meta().deletion_timestamp.is_none()
        })
        .map(|snapshot| {
            (
                snapshot.clone(),
                snapshots::declared_failed(snapshot, reason, true, now),
            )
        })
        .collect();
    (!unfinished.is_empty()).then_some(Step::Declare(unfinished))
}
