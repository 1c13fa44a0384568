//! How a restore ended: pure.

use std::time::Duration;

use jiff::Timestamp;
use kube::Resource;
use kubestash_api::conditions::completion::METRICS_PUSHED;
use kubestash_api::conditions::restore_session::{RESTORE_EXECUTOR_ENSURED, RESTORE_INCOMPLETE};
use kubestash_api::core::{RestorePhase, RestoreSessionStatus};
use kubestash_api::shared::ConditionStatus;
use kubestash_domain::{condition, format, phase};

use super::world::World;
use crate::jobs::nobody_waits;

/// That it has succeeded, and what whoever wanted it has to know and to do now.
fn succeeded(status: &RestoreSessionStatus) -> String {
    let notes = status.components.values();
    let notes = notes.flat_map(|component| &component.notes);
    let notes: Vec<_> = notes.map(String::as_str).collect();
    match notes.is_empty() {
        true => "The restore has succeeded.".to_owned(),
        false => format!("The restore has succeeded. Note: {}.", notes.join("; ")),
    }
}

/// Writes how it ended into `status`: components that did not succeed have failed, for the reason
/// their executor gave, else for `reason`.
pub(super) fn finish(
    mut status: RestoreSessionStatus,
    world: &World,
    reason: &str,
    now: Timestamp,
) -> RestoreSessionStatus {
    let mut told = false;
    let mut unfinished = false;
    for component in status.components.values_mut() {
        if component.phase == Some(RestorePhase::Succeeded) {
            continue;
        }
        unfinished = true;
        component.phase = Some(RestorePhase::Failed);
        match &component.error {
            Some(error) if !error.is_empty() => told = true,
            _ => component.error = Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        }
    }
    let all = usize::try_from(status.total_components.unwrap_or_default()).unwrap_or_default();
    let launched = condition::is_true(&status.conditions, RESTORE_EXECUTOR_ENSURED.type_);
    let missing = launched && status.components.len() < all;
    if ((unfinished && !told) || missing) && !reason.is_empty() {
        condition::set(
            &mut status.conditions,
            condition::new(RESTORE_INCOMPLETE, true, reason, now),
        );
    }
    nobody_waits(&mut status.conditions, now);
    condition::set(
        &mut status.conditions,
        condition::new(METRICS_PUSHED, true, condition::NO_METRICS, now),
    );
    let phase = phase::restore_session(&status);
    status.phase = Some(phase);
    if phase == RestorePhase::Succeeded {
        // Also the target that was made on the way.
        status.target_found = Some(true);
    }
    let took = world
        .created()
        .and_then(|created| Duration::try_from(now.duration_since(created)).ok());
    status.duration = Some(format::go_duration_seconds(took.unwrap_or_default()));
    let message = match phase::restore_session_failure(&status) {
        Some(failure) if phase != RestorePhase::Succeeded => failure,
        _ => succeeded(&status),
    };
    let holds = if phase == RestorePhase::Succeeded {
        ConditionStatus::True
    } else {
        ConditionStatus::False
    };
    let generation = world.session.meta().generation;
    condition::set(
        &mut status.conditions,
        condition::ready(holds, phase.as_str(), message, generation, now),
    );
    status
}
