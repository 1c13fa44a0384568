//! What is to be done for a configuration: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use kubestash_api::addons::Addon;
use kubestash_api::conditions::invoker::VALIDATION_PASSED;
use kubestash_api::conditions::{self};
use kubestash_api::core::{
    BackupConfiguration, BackupConfigurationStatus, BackupSession, InvokerPhase, Session,
};
use kubestash_api::shared::{ConditionStatus, RepositoryDeletionPolicy, ResourceFoundStatus};
use kubestash_api::storage::{Repository, RepositorySpec};
use kubestash_domain::{condition, phase};

use super::obstacle::Obstacle;
use super::repositories::{self, Wanted};
use super::sessions::{self, SessionPlan, Surroundings};
use super::target::TargetState;
use super::{backends, health};
use crate::runtime::events::Notice;
use crate::validation::{self, Others, sentence};

/// Everything a decision depends on.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    /// The configuration.
    pub configuration: Arc<BackupConfiguration>,
    /// What it is validated against.
    pub others: Others,
    /// What it refers to in other namespaces and nobody has allowed.
    pub refusals: Vec<validation::Violation>,
    /// The target; none if the configuration has none.
    pub target: Option<TargetState>,
    /// The Addons that it names, as far as they exist.
    pub addons: BTreeMap<String, Arc<Addon>>,
    /// Names of the Functions there are.
    pub functions: BTreeSet<String>,
    /// What there is to say about runs that failed.
    pub complaint: Option<String>,
    /// What else is in the way: a password that is missing or wrong, or a refusal of the API
    /// server.
    pub outside: Option<Obstacle>,
    /// Its BackupSessions, looked up only while a session has yet to make its first backup.
    pub made: Option<Vec<BackupSession>>,
}

/// What to do.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// Repositories to make or to bring up to date.
    pub repositories: Vec<DesiredRepository>,
    /// BackupSessions to make before the status is written, because the status says that they were
    /// made.
    pub start: Vec<BackupSession>,
    /// The status.
    pub status: BackupConfigurationStatus,
    /// When to look again.
    pub wake: Option<Timestamp>,
    /// What the user has to know.
    pub notices: Vec<Notice>,
    /// Whether everything that was told before is past.
    pub recovered: bool,
}

/// A Repository as the configuration wants it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DesiredRepository {
    /// Its name.
    pub name: String,
    /// What it is made with.
    pub spec: RepositorySpec,
    /// What happens to it with the configuration; without a policy its own `deletionPolicy` is the
    /// user's.
    pub policy: Option<RepositoryDeletionPolicy>,
    /// The Repository there is.
    pub live: Option<Repository>,
}

/// Decides what to do for a configuration that is not being deleted.
#[must_use]
pub(super) fn decide(world: &World, now: Timestamp) -> Plan {
    let configuration = world.configuration.as_ref();
    let namespace = configuration.namespace().unwrap_or_default();
    let generation = configuration.meta().generation;
    let before = configuration.status.clone().unwrap_or_default();

    let mut violations = validation::backup_configuration(configuration, &world.others);
    violations.extend(world.refusals.iter().cloned());
    let backends: Vec<_> = configuration
        .spec
        .backends
        .iter()
        .map(|backend| backends::judge(backend, &world.others, &namespace))
        .collect();
    let wanted = repositories::wanted(configuration);
    let live = repositories::by_name(&world.others.repositories, &namespace);
    let session_obstacles: Vec<_> = configuration
        .spec
        .sessions
        .iter()
        .map(|session| sessions::obstacle(session, &world.addons, &world.functions))
        .collect();

    let obstacle = invalid(&violations)
        .or_else(|| target_obstacle(world))
        .or_else(|| backends.iter().find_map(|backend| backend.obstacle.clone()))
        .or_else(|| session_obstacles.iter().flatten().next().cloned())
        .or_else(|| world.outside.clone());
    // What the status says already: a session is only made when whoever looks at it will find the
    // configuration Ready.
    let ready = obstacle.is_none() && before.phase == Some(InvokerPhase::Ready);
    let around = Surroundings {
        configuration,
        ready,
        awaits_restore: world
            .target
            .as_ref()
            .is_some_and(|target| target.awaits_restore),
        made: world.made.as_deref(),
        now,
    };
    let session_plans: Vec<SessionPlan> = configuration
        .spec
        .sessions
        .iter()
        .zip(&session_obstacles)
        .map(|(session, obstacle)| {
            let before = before
                .sessions
                .iter()
                .find(|entry| entry.name == session.name);
            sessions::plan(session, before, obstacle.as_ref(), around)
        })
        .collect();

    let mut status = BackupConfigurationStatus {
        backends: backends
            .iter()
            .map(|backend| backend.status.clone())
            .collect(),
        conditions: before.conditions,
        dependencies: dependencies(world),
        observed_generation: generation,
        phase: None,
        repositories: wanted
            .iter()
            .map(|wanted| repositories::status(wanted, live.get(&wanted.name).copied()))
            .collect(),
        sessions: session_plans
            .iter()
            .map(|plan| plan.status.clone())
            .collect(),
        target_found: Some(world.target.as_ref().is_none_or(TargetState::found)),
    };
    let validation = if violations.is_empty() {
        condition::new(
            VALIDATION_PASSED,
            true,
            "Validation has been passed successfully.",
            now,
        )
    } else {
        condition::new(VALIDATION_PASSED, false, sentence(&violations), now)
    };
    condition::set(&mut status.conditions, validation);
    let phase = match phase::backup_configuration(&configuration.spec, &status) {
        InvokerPhase::Ready if world.outside.is_some() => InvokerPhase::NotReady,
        phase => phase,
    };
    status.phase = Some(phase);
    set_ready(
        &mut status,
        phase,
        obstacle.as_ref(),
        world.complaint.as_deref(),
        configuration,
        now,
    );

    let usable = |wanted: &&Wanted| {
        violations.is_empty()
            && backends
                .iter()
                .any(|backend| backend.status.name == wanted.backend && backend.obstacle.is_none())
    };
    Plan {
        repositories: wanted
            .iter()
            .filter(usable)
            .map(|wanted| DesiredRepository {
                name: wanted.name.clone(),
                spec: wanted.spec.clone(),
                policy: wanted.policy,
                live: live.get(&wanted.name).map(|live| (*live).clone()),
            })
            .collect(),
        start: session_plans
            .iter()
            .flat_map(|plan| plan.start.clone())
            .collect(),
        wake: session_plans.iter().filter_map(|plan| plan.wake).min(),
        notices: notices(world, obstacle.as_ref(), &session_plans),
        recovered: obstacle.is_none(),
        status,
    }
}

/// Whether it has to be known which BackupSessions there are.
#[must_use]
pub(super) fn needs_sessions(configuration: &BackupConfiguration) -> bool {
    let Some(status) = &configuration.status else {
        return false;
    };
    status.phase == Some(InvokerPhase::Ready)
        && configuration.spec.sessions.iter().any(|session| {
            let entry = status
                .sessions
                .iter()
                .find(|entry| entry.name == session.name);
            !entry.is_some_and(|entry| {
                condition::is_true(
                    &entry.conditions,
                    conditions::session::INITIAL_BACKUP_TRIGGERED.type_,
                )
            })
        })
}

fn invalid(violations: &[validation::Violation]) -> Option<Obstacle> {
    (!violations.is_empty())
        .then(|| Obstacle::fault(VALIDATION_PASSED.false_reason, sentence(violations)))
}

fn target_obstacle(world: &World) -> Option<Obstacle> {
    let missing = world.target.as_ref()?.missing.as_ref()?;
    Some(Obstacle::fault(
        "TargetNotFound",
        format!("the target is missing: {missing}"),
    ))
}

fn dependencies(world: &World) -> Vec<ResourceFoundStatus> {
    let mut dependencies: Vec<ResourceFoundStatus> = Vec::new();
    for addon in world
        .configuration
        .spec
        .sessions
        .iter()
        .filter_map(|session| session.addon.as_ref())
    {
        if addon.name.is_empty()
            || dependencies
                .iter()
                .any(|earlier| earlier.name == addon.name)
        {
            continue;
        }
        dependencies.push(ResourceFoundStatus {
            found: Some(world.addons.contains_key(&addon.name)),
            kind: Some(Addon::kind(&()).into_owned()),
            name: addon.name.clone(),
            ..ResourceFoundStatus::default()
        });
    }
    dependencies
}

fn set_ready(
    status: &mut BackupConfigurationStatus,
    phase: InvokerPhase,
    obstacle: Option<&Obstacle>,
    complaint: Option<&str>,
    configuration: &BackupConfiguration,
    now: Timestamp,
) {
    let is_ready = phase == InvokerPhase::Ready;
    let (holds, reason, message) = match obstacle {
        Some(obstacle) => (
            obstacle.status(),
            obstacle.reason,
            obstacle.message.as_str(),
        ),
        None => (
            ConditionStatus::from(is_ready),
            complaint
                .filter(|_| is_ready)
                .map_or(phase.as_str(), |_| health::BACKUPS_FAIL),
            complaint.unwrap_or_else(|| scheduled(configuration)),
        ),
    };
    let generation = configuration.meta().generation;
    condition::set(
        &mut status.conditions,
        condition::ready(holds, reason, message, generation, now),
    );
}

/// What happens with a configuration that nothing keeps from making backups.
fn scheduled(configuration: &BackupConfiguration) -> &'static str {
    let suspended = |session: &Session| {
        session
            .scheduler
            .as_ref()
            .is_some_and(|scheduler| scheduler.suspend == Some(true))
    };
    let sessions = &configuration.spec.sessions;
    if configuration.spec.paused == Some(true) {
        "Backups are paused: none is started until spec.paused is false."
    } else if sessions.iter().all(suspended) {
        "Backups are suspended: none is started until scheduler.suspend of a session is false."
    } else if sessions.iter().any(suspended) {
        "Backups are scheduled, but for the sessions whose scheduler.suspend is true."
    } else {
        "Backups are scheduled."
    }
}

fn notices(world: &World, obstacle: Option<&Obstacle>, plans: &[SessionPlan]) -> Vec<Notice> {
    let mut notices: Vec<_> = obstacle
        .filter(|obstacle| obstacle.is_fault)
        .map(|obstacle| {
            Notice::warning(
                obstacle.reason,
                format!("no backup is started: {}", obstacle.message),
            )
        })
        .into_iter()
        .collect();
    for plan in plans {
        if let Some(missed) = plan.missed {
            notices.push(Notice::warning(
                "MissedSchedule",
                format!(
                    "the run of session {:?} due at {} was not started: it is {} s late, more than startingDeadlineSeconds",
                    plan.status.name,
                    missed.due,
                    missed.late.as_secs()
                ),
            ));
        }
    }
    for session in &world.configuration.spec.sessions {
        for (name, meant) in sessions::aliases(session, &world.addons) {
            notices.push(Notice::warning(
                "TaskAlias",
                format!(
                    "session {:?}: there is no task {name:?}, {meant:?} is run in its place: write that",
                    session.name
                ),
            ));
        }
        let settings = session
            .addon
            .as_ref()
            .and_then(|addon| addon.container_runtime_settings.as_ref());
        if settings.is_some_and(|settings| settings.nice.is_some() || settings.ionice.is_some()) {
            notices.push(Notice::warning(
                "SettingIgnored",
                format!(
                    "session {:?}: nice and ionice of addon.containerRuntimeSettings have no effect in this version",
                    session.name
                ),
            ));
        }
        let policy = session
            .scheduler
            .as_ref()
            .and_then(|scheduler| scheduler.concurrency_policy.as_deref());
        if policy == Some("Allow") {
            notices.push(Notice::normal(
                "ConcurrencyPolicy",
                format!(
                    "session {:?}: concurrencyPolicy Allow acts as Forbid, because two runs must not write one repository",
                    session.name
                ),
            ));
        }
    }
    notices
}

#[cfg(test)]
mod tests;
