//! Whether a session may start: pure.

use kube::{Resource, ResourceExt};
use kubestash_api::{
    conditions,
    core::{BackupConfiguration, BackupSession, InvokerPhase},
};
use kubestash_core::condition;

use super::world::{World, age, is_finished};

/// Whether a session may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may.
    Start,
    /// Not now: the one it replaces has to end first.
    Wait,
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
    match running(world) {
        None => Verdict::Start,
        Some(_) if replaces => Verdict::Wait,
        Some(running) => skip(format!(
            "BackupSession {running} of the same session is still running"
        )),
    }
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
        .is_some_and(|status| !status.conditions.is_empty())
}

/// The sibling that is in the way: one that is not finished and is older, or has started.
fn running(world: &World) -> Option<String> {
    let own = age(&world.session);
    let sibling = world
        .siblings
        .iter()
        .filter(|sibling| !is_finished(sibling) && (age(sibling) < own || has_started(sibling)))
        .min_by_key(|sibling| age(sibling));
    sibling
        .map(|sibling| sibling.name_any())
        .or_else(|| world.overtaken_by.clone())
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
