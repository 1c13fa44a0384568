//! The phase of every kind, as a function of its spec and of the facts in its status.
//!
//! Invariants: a phase is never stored state, it follows from the rest of the status at any time;
//! what is done stays done, because a final phase follows only from facts that do not change any
//! more.
//!
//! The rules are those of the API that we are compatible with, row by row (`docs/compatibility.md`,
//! "Phases"). Where its rules went wrong ours do not; each function says so under "Mended".

mod backup_session;
mod damage;
mod derived;
mod invoker;
mod restore_session;
mod snapshot;
mod storage;
mod verification;

pub use backup_session::{
    backup_session, backup_session_completed, backup_session_failure, session_snapshots,
};
pub use damage::{LaterLook, later_look};
pub use derived::{
    RepositoryContent, component_bytes, repository_content, snapshot_bytes, snapshot_integrity,
    snapshot_size,
};
pub use invoker::backup_configuration;
use kubestash_api::conditions::READY;
use kubestash_api::conditions::backup_session::{
    BACKUP_SKIPPED, POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED,
    SNAPSHOT_CLEANUP_INCOMPLETE,
};
use kubestash_api::conditions::executor::{SNAPSHOTS_DATED_IN_FUTURE, WAITING};
use kubestash_api::conditions::restore_session::RESTORE_INCOMPLETE;
use kubestash_api::conditions::snapshot::BACKUP_INCOMPLETE;
use kubestash_api::conditions::verification_session::BACKUP_VERIFICATION_SKIPPED;
use kubestash_api::shared::{Condition, ConditionStatus};
pub use restore_session::{
    restore_components, restore_components_completed, restore_session, restore_session_completed,
    restore_session_failure,
};
pub use snapshot::{snapshot, snapshot_completed, snapshot_components};
pub use storage::{backup_storage, repository};
pub use verification::backup_verification_session;

/// Conditions that say that something is wrong, or not done, when they hold.
const GOOD_WHEN_FALSE: [&str; 8] = [
    BACKUP_INCOMPLETE.type_,
    BACKUP_SKIPPED.type_,
    BACKUP_VERIFICATION_SKIPPED.type_,
    POD_HAS_BEEN_IN_PENDING_STATE_FOR_LONGER_THAN_EXPECTED.type_,
    RESTORE_INCOMPLETE.type_,
    SNAPSHOT_CLEANUP_INCOMPLETE.type_,
    SNAPSHOTS_DATED_IN_FUTURE.type_,
    WAITING.type_,
];

/// What the first condition that does not hold, and should, says.
///
/// `Ready` is left out: it says what the phase says, and the phase is what is being explained. A
/// condition without a message still tells something: its type and reason.
fn first_failure(conditions: &[Condition]) -> Option<String> {
    let explains = |condition: &&Condition| {
        condition.status == ConditionStatus::False
            && condition.type_ != READY
            && !GOOD_WHEN_FALSE.contains(&condition.type_.as_str())
    };
    conditions.iter().find(explains).map(explanation)
}

fn explanation(condition: &Condition) -> String {
    match (condition.message.as_str(), condition.reason.as_str()) {
        ("", "") => format!("{} is {}", condition.type_, condition.status),
        ("", reason) => format!("{} is {}: {reason}", condition.type_, condition.status),
        (message, _) => message.to_owned(),
    }
}

#[cfg(test)]
mod cases {
    //! Builders of the facts that the tables of cases are made of.

    pub(super) use ConditionStatus::{False, True, Unknown};
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kubestash_api::conditions::ConditionType;
    use kubestash_api::shared::{Condition, ConditionStatus};

    pub(super) fn conditions(entries: &[(ConditionType, ConditionStatus)]) -> Vec<Condition> {
        entries
            .iter()
            .map(|(type_, status)| condition(type_.type_, *status, ""))
            .collect()
    }

    pub(super) fn condition(type_: &str, status: ConditionStatus, message: &str) -> Condition {
        Condition {
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            message: message.to_owned(),
            observed_generation: None,
            reason: String::new(),
            severity: None,
            status,
            type_: type_.to_owned(),
        }
    }
}
