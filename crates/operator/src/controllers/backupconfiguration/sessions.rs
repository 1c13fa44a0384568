//! The sessions of a configuration: their schedule, and the BackupSessions that are due. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use kubestash_api::addons::{Addon, TaskExecutor};
use kubestash_api::conditions::session::{INITIAL_BACKUP_TRIGGERED, SCHEDULER_ENSURED};
use kubestash_api::core::{
    BackupConfiguration, BackupSession, BackupSessionPhase, BackupSessionSpec, Session,
};
use kubestash_api::labels;
use kubestash_api::shared::{Driver, SessionStatus, TypedLocalObjectReference};
use kubestash_domain::catalog::{self, Direction};
use kubestash_domain::schedule::Schedule;
use kubestash_domain::{condition, format, name};

use super::obstacle::Obstacle;
use crate::session::schedule::{Cursor, Due, Missed, due};

/// What all sessions of a configuration depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The configuration.
    pub configuration: &'a BackupConfiguration,
    /// Whether sessions can be made now.
    pub ready: bool,
    /// Whether the target waits to be filled by a restore.
    pub awaits_restore: bool,
    /// The BackupSessions of the configuration, if it was necessary to look.
    pub made: Option<&'a [BackupSession]>,
    /// The time.
    pub now: Timestamp,
}

/// What to do about one session.
#[derive(Debug, Clone, Default)]
pub(super) struct SessionPlan {
    /// Its entry in the status.
    pub status: SessionStatus,
    /// BackupSessions to make.
    pub start: Vec<BackupSession>,
    /// When to look again.
    pub wake: Option<Timestamp>,
    /// A run that could not be made in time.
    pub missed: Option<Missed>,
}

/// What keeps a session from the schedule.
pub(super) fn obstacle(
    session: &Session,
    addons: &BTreeMap<String, Arc<Addon>>,
    functions: &BTreeSet<String>,
) -> Option<Obstacle> {
    let fault = |reason, message: String| {
        Some(Obstacle::fault(
            reason,
            format!("session {:?}: {message}", session.name),
        ))
    };
    let schedule = session
        .scheduler
        .as_ref()
        .map_or("", |scheduler| scheduler.schedule.as_str());
    if let Err(error) = Schedule::parse(schedule) {
        return fault(error.kind(), error.to_string());
    }
    let delay = session
        .retry_config
        .as_ref()
        .and_then(|retry| retry.delay.as_deref());
    for (field, text) in [
        ("backupTimeout", session.backup_timeout.as_deref()),
        ("retryConfig.delay", delay),
    ] {
        if let Some(Err(error)) = text
            .filter(|text| !text.is_empty())
            .map(format::parse_go_duration)
        {
            return fault("InvalidDuration", format!("{field}: {error}"));
        }
    }
    if session
        .hooks
        .as_ref()
        .is_some_and(|hooks| !hooks.pre_backup.is_empty() || !hooks.post_backup.is_empty())
    {
        return fault(
            "HooksNotSupported",
            "hooks are not run by this version: remove hooks, or do without".to_owned(),
        );
    }
    let info = session.addon.as_ref()?;
    let Some(addon) = addons.get(&info.name) else {
        let name = &info.name;
        return fault(
            "AddonNotFound",
            format!("Addon {name:?} does not exist: install it, or correct addon.name"),
        );
    };
    info.tasks.iter().find_map(|reference| {
        let task = match catalog::find_task(addon, Direction::Backup, &reference.name) {
            Ok(found) => found.task,
            Err(error) => return fault(error.kind(), error.to_string()),
        };
        let elsewhere = !matches!(task.executor, None | Some(TaskExecutor::Job));
        if elsewhere || !matches!(task.driver, None | Some(Driver::Restic)) {
            let message = format!(
                "task {:?} is not run by a Job with restic, which is all that is supported",
                task.name
            );
            return fault("TaskNotSupported", message);
        }
        if !functions.contains(&task.function) {
            let (function, task) = (&task.function, &task.name);
            return fault(
                "FunctionNotFound",
                format!("Function {function:?} of task {task:?} does not exist: install it"),
            );
        }
        None
    })
}

/// The tasks of a session that were named by a known wrong name, each with the name that was meant.
pub(super) fn aliases(
    session: &Session,
    addons: &BTreeMap<String, Arc<Addon>>,
) -> Vec<(String, &'static str)> {
    let Some((info, addon)) = session
        .addon
        .as_ref()
        .and_then(|info| Some((info, addons.get(&info.name)?)))
    else {
        return Vec::new();
    };
    let meant = |name: &str| {
        catalog::find_task(addon, Direction::Backup, name)
            .ok()?
            .meant
    };
    let tasks = info.tasks.iter();
    tasks
        .filter_map(|task| Some((task.name.clone(), meant(&task.name)?)))
        .collect()
}

/// Decides about one session, whose entry in the status is `before`.
pub(super) fn plan(
    session: &Session,
    before: Option<&SessionStatus>,
    obstacle: Option<&Obstacle>,
    around: Surroundings<'_>,
) -> SessionPlan {
    let mut status = SessionStatus {
        name: session.name.clone(),
        ..before.cloned().unwrap_or_default()
    };
    let message = obstacle.map_or("Scheduler has been ensured successfully.", |obstacle| {
        obstacle.message.as_str()
    });
    let holds = obstacle.is_none();
    condition::set(
        &mut status.conditions,
        condition::new(SCHEDULER_ENSURED, holds, message, around.now),
    );
    let mut plan = SessionPlan::default();
    if holds {
        let due = scheduled(session, &status, around);
        status.next_schedule = due.next.map(|next| next.to_string());
        plan.wake = due.next.filter(|_| due.wake);
        plan.missed = due.missed;
        plan.start.extend(
            due.run
                .map(|at| backup_session(around.configuration, session, at)),
        );
        if wants_initial_backup(session, &status, around) {
            if !was_started(session, around) {
                plan.start
                    .push(backup_session(around.configuration, session, around.now));
            }
            let message = "Initial backup has been triggered successfully.";
            condition::set(
                &mut status.conditions,
                condition::new(INITIAL_BACKUP_TRIGGERED, true, message, around.now),
            );
        }
    }
    plan.status = status;
    plan
}

fn is_suspended(session: &Session, configuration: &BackupConfiguration) -> bool {
    configuration.spec.paused == Some(true)
        || session
            .scheduler
            .as_ref()
            .is_some_and(|scheduler| scheduler.suspend == Some(true))
}

fn scheduled(session: &Session, status: &SessionStatus, around: Surroundings<'_>) -> Due {
    let Some(scheduler) = &session.scheduler else {
        return Due::default();
    };
    let Ok(schedule) = Schedule::parse(&scheduler.schedule) else {
        return Due::default();
    };
    let deadline = scheduler
        .starting_deadline_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    let cursor = Cursor {
        next: status
            .next_schedule
            .as_deref()
            .and_then(|next| next.parse().ok()),
        suspended: is_suspended(session, around.configuration),
        ready: around.ready,
        starting_deadline: deadline.map(Duration::from_secs),
    };
    due(&schedule, cursor, around.now)
}

/// Whether the session has yet to make its first backup, and may. It needs to be known what was
/// made already.
pub(super) fn wants_initial_backup(
    session: &Session,
    status: &SessionStatus,
    around: Surroundings<'_>,
) -> bool {
    around.ready
        && around.made.is_some()
        && !around.awaits_restore
        && !is_suspended(session, around.configuration)
        && !condition::is_true(&status.conditions, INITIAL_BACKUP_TRIGGERED.type_)
}

/// Whether a run of this session was made by us and not skipped: the condition that says so may
/// have been lost in a crash between two writes.
fn was_started(session: &Session, around: Surroundings<'_>) -> bool {
    around.made.into_iter().flatten().any(|made| {
        made.spec.session == session.name
            && made.labels().contains_key(labels::MANAGED_BY)
            && is_owned_by(made, around.configuration)
            && made.status.as_ref().and_then(|status| status.phase)
                != Some(BackupSessionPhase::Skipped)
    })
}

/// Whether a BackupSession belongs to this very configuration, not to an earlier one of its name.
#[must_use]
pub(crate) fn is_owned_by(session: &BackupSession, configuration: &BackupConfiguration) -> bool {
    session
        .owner_references()
        .iter()
        .any(|owner| Some(&owner.uid) == configuration.meta().uid.as_ref())
}

/// The BackupSession of a run: `at` is the scheduled second, or now for one that was not scheduled.
#[must_use]
pub(crate) fn backup_session(
    configuration: &BackupConfiguration,
    session: &Session,
    at: Timestamp,
) -> BackupSession {
    let retry_left = session.retry_config.as_ref().map(|retry| retry.max_retry);
    new_backup_session(configuration, session, at, retry_left)
}

/// The same with a given number of further tries.
#[must_use]
pub(crate) fn new_backup_session(
    configuration: &BackupConfiguration,
    session: &Session,
    at: Timestamp,
    retry_left: Option<i32>,
) -> BackupSession {
    let (invoker, namespace) = (
        configuration.name_any(),
        configuration.namespace().unwrap_or_default(),
    );
    let mut object = BackupSession::new(
        &name::backup_session(&invoker, &session.name, at.as_second()),
        BackupSessionSpec {
            backup_timeout: session.backup_timeout.clone(),
            invoker: Some(TypedLocalObjectReference {
                api_group: Some(BackupConfiguration::group(&()).into_owned()),
                kind: BackupConfiguration::kind(&()).into_owned(),
                name: invoker.clone(),
            }),
            retry_left,
            session: session.name.clone(),
        },
    );
    object.metadata.namespace = Some(namespace.clone());
    object.metadata.owner_references = Some(vec![owner(configuration)]);
    object.metadata.finalizers = Some(vec![labels::CLEANUP_FINALIZER.to_owned()]);
    object.metadata.labels = Some(session_labels(configuration, &session.name));
    object
}

/// Labels of the sessions of a configuration, by which they are listed.
#[must_use]
pub(crate) fn session_labels(
    configuration: &BackupConfiguration,
    session: &str,
) -> BTreeMap<String, String> {
    let (invoker, namespace) = (
        configuration.name_any(),
        configuration.namespace().unwrap_or_default(),
    );
    [
        (labels::MANAGED_BY, labels::MANAGED_BY_KUBESTASH),
        (
            labels::INVOKER_KIND,
            BackupConfiguration::kind(&()).as_ref(),
        ),
        (labels::INVOKER_NAME, invoker.as_str()),
        (labels::INVOKER_NAMESPACE, namespace.as_str()),
        (labels::SESSION_NAME, session),
    ]
    // A label's value has at most 63 bytes; a longer name is cut as the names of objects are.
    .map(|(key, value)| (key.to_owned(), name::join(&[value])))
    .into()
}

/// The reference by which a session goes when its configuration goes.
#[must_use]
pub(crate) fn owner(configuration: &BackupConfiguration) -> OwnerReference {
    OwnerReference {
        api_version: BackupConfiguration::api_version(&()).into_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: BackupConfiguration::kind(&()).into_owned(),
        name: configuration.name_any(),
        uid: configuration.uid().unwrap_or_default(),
    }
}
