//! Whether a session may start: pure.

use std::sync::Arc;

use kube::{Resource, ResourceExt};
use kubestash_api::conditions::executor::WAITING;
use kubestash_api::conditions::{self};
use kubestash_api::core::{BackupConfiguration, BackupSession, InvokerPhase};
use kubestash_api::shared::ConditionStatus;
use kubestash_domain::condition;

use super::world::{World, age, is_finished};

/// Reason of the condition `Ready` while a session waits for the one before it.
pub(super) const WAITING_FOR_SESSION: &str = "WaitingForSession";

/// Whether a session may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may.
    Start,
    /// Not now: this one has to end first.
    Wait(String),
    /// It never will, for this reason.
    Skip(String),
}

/// Judges a session that has not started.
pub(super) fn judge(world: &World) -> Verdict {
    let skip = |reason: String| Verdict::Skip(reason);
    let invoker = world.session.spec.invoker.as_ref();
    let kind = invoker.map_or("", |invoker| invoker.kind.as_str());
    if kind != BackupConfiguration::kind(&()) {
        return skip(format!(
            "spec.invoker has the kind {kind:?}: only BackupConfiguration can be run"
        ));
    }
    let name = invoker.map_or("", |invoker| invoker.name.as_str());
    let Some(configuration) = &world.configuration else {
        return skip(format!("BackupConfiguration {name} does not exist"));
    };
    if configuration.meta().deletion_timestamp.is_some() {
        return skip(format!("BackupConfiguration {name} is being deleted"));
    }
    let Some(entry) = world.entry() else {
        return skip(format!(
            "BackupConfiguration {name} has no session {:?}",
            world.session.spec.session
        ));
    };
    if configuration.spec.paused == Some(true) {
        return skip(format!(
            "BackupConfiguration {name} is paused; set spec.paused to false to resume"
        ));
    }
    if let Some(reason) = not_ready(configuration) {
        return skip(format!("BackupConfiguration {name} is not ready: {reason}"));
    }
    let replaces = replaces(
        entry
            .scheduler
            .as_ref()
            .and_then(|scheduler| scheduler.concurrency_policy.as_deref()),
    );
    if let Some(newer) = newer(world).filter(|_| replaces) {
        return skip(format!(
            "it is replaced by {newer} (concurrencyPolicy: Replace)"
        ));
    }
    let name = |session: &&Arc<BackupSession>| session.name_any();
    let running = running(world);
    let oldest = running.first().map(name);
    let Some(oldest) = oldest.or_else(|| world.overtaken_by.clone()) else {
        return Verdict::Start;
    };
    if replaces {
        return Verdict::Wait(oldest);
    }
    if let [running] = running[..]
        && (is_in_trouble(running) || has_waited(world))
    {
        return Verdict::Wait(oldest);
    }
    match running.iter().find(|running| says_it_waits(running)) {
        Some(waiting) => skip(format!(
            "BackupSession {} of the same session is still waiting for its turn",
            name(waiting)
        )),
        None => skip(format!(
            "BackupSession {oldest} of the same session is still running"
        )),
    }
}

/// Whether a session waits for a lock or for a storage that does not answer. It ends in time, so
/// the next one, which may do better, waits for it.
fn is_in_trouble(session: &BackupSession) -> bool {
    let status = session.status.as_ref();
    status.is_some_and(|status| condition::is_true(&status.conditions, WAITING.type_))
}

/// Whether a session has said that it waits, be it for its turn or for another one.
fn says_it_waits(session: &BackupSession) -> bool {
    let status = session.status.as_ref();
    let ready = status.and_then(|status| condition::find(&status.conditions, conditions::READY));
    ready.is_some_and(|ready| ready.status == ConditionStatus::Unknown) && !has_started(session)
}

/// Whether the session waits for the one before it already. Once it does, it does to the end.
fn has_waited(world: &World) -> bool {
    let status = world.session.status.as_ref();
    let ready = status.and_then(|status| condition::find(&status.conditions, conditions::READY));
    ready.is_some_and(|ready| ready.reason == WAITING_FOR_SESSION)
}

/// Why a session that has started must end early.
pub(super) fn replaced_by(world: &World) -> Option<String> {
    let entry = world.entry()?;
    let policy = entry
        .scheduler
        .as_ref()
        .and_then(|scheduler| scheduler.concurrency_policy.as_deref());
    let newer = newer(world).filter(|_| replaces(policy))?;
    Some(format!(
        "cancelled: it is replaced by BackupSession {newer} (concurrencyPolicy: Replace)"
    ))
}

fn replaces(policy: Option<&str>) -> bool {
    policy == Some("Replace")
}

fn not_ready(configuration: &BackupConfiguration) -> Option<String> {
    let status = configuration.status.as_ref();
    if status.and_then(|status| status.phase) == Some(InvokerPhase::Ready) {
        return None;
    }
    let ready = status.and_then(|status| condition::find(&status.conditions, conditions::READY));
    Some(ready.map_or_else(
        || "it has not been looked at yet".to_owned(),
        |ready| ready.message.clone(),
    ))
}

fn has_started(session: &BackupSession) -> bool {
    session
        .status
        .as_ref()
        // Why it waits is all that one says that has not started.
        .is_some_and(|status| {
            status
                .conditions
                .iter()
                .any(|c| c.type_ != conditions::READY)
        })
}

/// The siblings that are in the way, oldest first: those that are not finished and are older, or
/// have started.
fn running(world: &World) -> Vec<&Arc<BackupSession>> {
    let own = age(&world.session);
    let mut running: Vec<_> = world
        .siblings
        .iter()
        .filter(|sibling| !is_finished(sibling) && (age(sibling) < own || has_started(sibling)))
        .collect();
    running.sort_by_key(|sibling| age(sibling));
    running
}

/// A sibling that is waiting and was made later.
fn newer(world: &World) -> Option<String> {
    let own = age(&world.session);
    let sibling = world
        .siblings
        .iter()
        .filter(|sibling| {
            !is_finished(sibling)
                && !has_started(sibling)
                && sibling.meta().deletion_timestamp.is_none()
                && age(sibling) > own
        })
        .min_by_key(|sibling| age(sibling))?;
    Some(sibling.name_any())
}
