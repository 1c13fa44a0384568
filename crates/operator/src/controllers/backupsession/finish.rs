//! The end of a session: its history, its final status, and its next try. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt};
use kubestash_api::conditions::READY;
use kubestash_api::conditions::backup_session::{
    BACKUP_EXECUTOR_ENSURED, BACKUP_SKIPPED, HAS_WARNINGS, SESSION_HISTORY_CLEANED,
};
use kubestash_api::conditions::completion::METRICS_PUSHED;
use kubestash_api::conditions::executor::WAITING;
use kubestash_api::core::{
    BackupSession, BackupSessionPhase, BackupSessionStatus, RetentionPolicyApplyPhase,
    RetentionPolicyApplyStatus,
};
use kubestash_api::shared::{ConditionStatus, ObjectReference, RetryConfig};
use kubestash_api::storage::SnapshotPhase;
use kubestash_domain::{condition, format, phase};

use super::snapshots;
use super::world::{World, age, is_finished};
use crate::controllers::backupconfiguration::sessions::new_backup_session;
use crate::controllers::snapshot::warnings_of;
use crate::jobs::nobody_waits;

/// How many skipped sessions stay at least: they say why nothing happened.
const SKIPPED_HISTORY: usize = 3;

/// The finished sessions that are more than `sessionHistoryLimit`, oldest first. The session itself
/// counts as finished. Skipped ones are counted apart, so that they push out none that made a
/// backup.
pub(super) fn beyond_history(world: &World, itself: BackupSessionPhase) -> Vec<Arc<BackupSession>> {
    let limit = world.entry().map_or(1, |entry| entry.session_history_limit);
    let limit = usize::try_from(limit).unwrap_or_default();
    let skipped = |session: &BackupSession| {
        let phase = session.status.as_ref().and_then(|status| status.phase);
        let phase = if session.uid() == world.session.uid() {
            Some(itself)
        } else {
            phase
        };
        phase == Some(BackupSessionPhase::Skipped)
    };
    let mut finished: Vec<_> = world
        .siblings
        .iter()
        .filter(|sibling| is_finished(sibling) && sibling.meta().deletion_timestamp.is_none())
        .filter(|sibling| !awaits_retry(sibling))
        .cloned()
        .collect();
    finished.push(Arc::clone(&world.session));
    finished.sort_by_key(|session| std::cmp::Reverse(age(session)));
    let (skipped, ran): (Vec<_>, Vec<_>) =
        finished.into_iter().partition(|session| skipped(session));
    let mut beyond: Vec<_> = ran
        .into_iter()
        .skip(limit)
        .chain(skipped.into_iter().skip(limit.max(SKIPPED_HISTORY)))
        .collect();
    // Whatever the limit says, a session that is just ending stays: its result would never be seen.
    beyond.retain(|session| session.uid() != world.session.uid());
    beyond.sort_by_key(|session| age(session));
    beyond
}

/// Whether a failed session has yet to be tried again.
pub(super) fn awaits_retry(session: &BackupSession) -> bool {
    let status = session.status.as_ref();
    status.is_some_and(|status| status.next_retry.is_some() && status.retried != Some(true))
}

/// Writes the last conditions, the phase and the duration into `status`. `history_error` says why
/// old sessions could not be deleted.
pub(super) fn finish(
    mut status: BackupSessionStatus,
    world: &World,
    history_error: Option<&str>,
    now: Timestamp,
) -> BackupSessionStatus {
    nobody_waits(&mut status.conditions, now);
    if let Some(warnings) = warnings(world) {
        let found = condition::new(HAS_WARNINGS, true, warnings, now);
        condition::set(&mut status.conditions, found);
    }
    condition::set(
        &mut status.conditions,
        condition::new(
            SESSION_HISTORY_CLEANED,
            history_error.is_none(),
            history_error.unwrap_or_default(),
            now,
        ),
    );
    condition::set(
        &mut status.conditions,
        condition::new(METRICS_PUSHED, true, condition::NO_METRICS, now),
    );
    let phase = phase::backup_session(&status);
    status.phase = Some(phase);
    let took = world
        .created()
        .and_then(|created| Duration::try_from(now.duration_since(created)).ok());
    if phase != BackupSessionPhase::Skipped {
        status.duration = Some(format::go_duration_seconds(took.unwrap_or_default()));
    }
    // Events do not last; whoever looks at the session later finds the reason here.
    let ready = match phase {
        BackupSessionPhase::Failed => Some((
            ConditionStatus::False,
            "BackupFailed",
            failure(world, &status),
        )),
        BackupSessionPhase::Succeeded => Some((
            ConditionStatus::True,
            "Succeeded",
            "The backup has succeeded.".to_owned(),
        )),
        // Only if it has said that it waits: that it was skipped, and why, it says already.
        _ if condition::has(&status.conditions, READY) => Some((
            ConditionStatus::False,
            "Skipped",
            skipped(&status).to_owned(),
        )),
        _ => None,
    };
    if let Some((holds, reason, message)) = ready {
        let generation = world.session.meta().generation;
        let ready = condition::ready(holds, reason, message, generation, now);
        condition::set(&mut status.conditions, ready);
    }
    if phase == BackupSessionPhase::Failed {
        status.next_retry = next_retry(world, now).map(Time);
    }
    status
}

/// What the Snapshots warn of, each once.
fn warnings(world: &World) -> Option<String> {
    let snapshots = world.snapshots.values();
    let found: BTreeSet<_> = snapshots.filter_map(warnings_of).collect();
    let found: Vec<_> = found.into_iter().collect();
    (!found.is_empty()).then(|| found.join("; "))
}

fn skipped(status: &BackupSessionStatus) -> &str {
    let skipped = condition::find(&status.conditions, BACKUP_SKIPPED.type_);
    skipped.map_or("", |skipped| &skipped.message)
}

/// Conditions that do not say why a session failed: one says what the phase says, the other that
/// nobody waits.
const SAYS_LITTLE: [&str; 2] = [READY, WAITING.type_];

/// Why a session failed, in a sentence: what its Snapshots say is more than that they failed.
fn failure(world: &World, status: &BackupSessionStatus) -> String {
    let broken = status.conditions.iter().any(|found| {
        found.status == ConditionStatus::False && !SAYS_LITTLE.contains(&&*found.type_)
    });
    let snapshot = world
        .snapshots
        .iter()
        .filter(|_| !broken)
        .find_map(|(repository, snapshot)| {
            (snapshots::phase_of(snapshot) == SnapshotPhase::Failed).then(|| {
                format!(
                    "Repository {repository}: {}",
                    snapshots::why_failed(snapshot)
                )
            })
        });
    let gone = || {
        let deleted = status
            .snapshots
            .iter()
            .find(|entry| !broken && !world.snapshots.contains_key(&entry.repository))?;
        Some(format!(
            "Snapshot {} was deleted before the session ended",
            deleted.name
        ))
    };
    let why = snapshot
        .or_else(gone)
        .or_else(|| phase::backup_session_failure(status))
        .unwrap_or_default();
    let stored = phase::session_snapshots(&status.snapshots) == SnapshotPhase::Succeeded;
    match stored {
        true => format!("{why} (the backup itself is stored and can be restored)"),
        false => why,
    }
}

fn next_retry(world: &World, now: Timestamp) -> Option<Timestamp> {
    let retry = world.entry()?.retry_config.as_ref()?;
    if world.session.spec.retry_left.unwrap_or_default() < 1 {
        return None;
    }
    let next = now.checked_add(delay(retry)).ok()?;
    Timestamp::from_second(next.as_second()).ok()
}

/// How long after a failure it is tried again.
fn delay(retry: &RetryConfig) -> Duration {
    let delay = retry
        .delay
        .as_deref()
        .and_then(|delay| format::parse_go_duration(delay).ok())
        .unwrap_or_default();
    // A name holds whole seconds, and the try must not have the failed one's.
    delay.max(Duration::from_secs(1))
}

/// What to do about the next try of a failed session.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Retry {
    /// There is none, or it was made.
    Nothing,
    /// It is not due yet.
    Later(Duration),
    /// Make this one, then say that it was made.
    Now(Box<BackupSession>),
}

/// Decides about the next try. It is named with the second it was planned for, so it cannot be made
/// twice.
pub(super) fn retry(world: &World, now: Timestamp) -> Retry {
    let status = world.session.status.as_ref();
    let Some(planned) = status
        .and_then(|status| status.next_retry.as_ref())
        .map(|time| time.0)
    else {
        return Retry::Nothing;
    };
    let (Some(configuration), Some(entry)) = (&world.configuration, world.entry()) else {
        return Retry::Nothing;
    };
    if !awaits_retry(&world.session) || configuration.spec.paused == Some(true) {
        return Retry::Nothing;
    }
    // Planned further ahead than it ever is: the clock was set back, and it is not waited for to
    // catch up.
    let longest = entry.retry_config.as_ref().map_or(Duration::MAX, delay);
    if let Ok(wait) = Duration::try_from(planned.duration_since(now))
        && !wait.is_zero()
        && wait <= longest
    {
        return Retry::Later(wait);
    }
    let left = world
        .session
        .spec
        .retry_left
        .unwrap_or_default()
        .saturating_sub(1);
    Retry::Now(Box::new(new_backup_session(
        configuration,
        entry,
        planned,
        Some(left.max(0)),
    )))
}

/// What is known about retention, completed for an executor that ended without saying it for each
/// repository: it was killed, or should not have succeeded.
pub(super) fn retention(
    world: &World,
    executor_succeeded: bool,
) -> Vec<RetentionPolicyApplyStatus> {
    let mut applied = world
        .session
        .status
        .as_ref()
        .map(|status| status.retention_policy.clone())
        .unwrap_or_default();
    let status = world.session.status.as_ref();
    let launched = status.is_some_and(|status| {
        condition::is_true(&status.conditions, BACKUP_EXECUTOR_ENSURED.type_)
    });
    if !executor_succeeded && !launched {
        return applied;
    }
    let namespace = world.namespace();
    for info in world.targets() {
        let done = applied
            .iter_mut()
            .find(|entry| entry.repository == info.name);
        let unfinished = |phase: Option<RetentionPolicyApplyPhase>| {
            !matches!(
                phase,
                Some(RetentionPolicyApplyPhase::Applied | RetentionPolicyApplyPhase::FailedToApply)
            )
        };
        let policy = policy(world, &info.backend, &namespace);
        if !executor_succeeded && done.is_none() && policy.is_none() {
            continue;
        }
        let error = Some(if executor_succeeded {
            "the executor ended without applying the retention policy".to_owned()
        } else {
            "the Job ended before the retention policy was applied; the next session applies it, and what this one had started to remove is removed now".to_owned()
        });
        match done {
            Some(entry) if unfinished(entry.phase) => {
                entry.phase = Some(RetentionPolicyApplyPhase::FailedToApply);
                entry.error = error;
            }
            Some(_) => {}
            None => applied.push(RetentionPolicyApplyStatus {
                error,
                phase: Some(RetentionPolicyApplyPhase::FailedToApply),
                ref_: policy,
                repository: info.name.clone(),
            }),
        }
    }
    applied
}

fn policy(world: &World, backend: &str, namespace: &str) -> Option<ObjectReference> {
    let policy = world
        .configuration
        .as_ref()?
        .spec
        .backend(backend)?
        .retention_policy
        .as_ref()?;
    Some(ObjectReference::new(
        &policy.name,
        policy.namespace_or(namespace),
    ))
}
