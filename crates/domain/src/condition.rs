//! Reading and setting conditions.
//!
//! Invariants of a list of conditions: one entry for each type; an entry keeps its place when it
//! changes; the time of an entry is that of its last change of any kind, also of reason or message
//! alone. Setting what is already there changes nothing, so a reconciler may set all it knows each
//! time without causing a write.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kubestash_api::conditions::{ConditionType, READY};
use kubestash_api::shared::{Condition, ConditionStatus};

/// What `MetricsPushed` says as long as there are no metrics. The condition itself is needed: it
/// says that a session is over.
pub const NO_METRICS: &str = "No metrics are configured: there was nothing to push.";

/// The condition of a type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether there is a condition of a type, whatever it says.
#[must_use]
pub fn has(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some()
}

/// Whether there is a condition of a type and it holds. Absent is neither true nor false.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// Whether there is a condition of a type and it does not hold. Absent is neither true nor false.
#[must_use]
pub fn is_false(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::False)
}

/// A condition that holds or not, with the reason that goes with it.
#[must_use]
pub fn new(
    type_: ConditionType,
    holds: bool,
    message: impl Into<String>,
    now: Timestamp,
) -> Condition {
    Condition {
        last_transition_time: Time(now),
        message: message.into(),
        observed_generation: None,
        reason: type_.reason(holds).to_owned(),
        severity: None,
        status: holds.into(),
        type_: type_.type_.to_owned(),
    }
}

/// The condition `Ready`, which every kind may have. The reason is one word, such as the phase.
#[must_use]
pub fn ready(
    status: ConditionStatus,
    reason: impl Into<String>,
    message: impl Into<String>,
    observed_generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    Condition {
        last_transition_time: Time(now),
        message: message.into(),
        observed_generation,
        reason: reason.into(),
        severity: None,
        status,
        type_: READY.to_owned(),
    }
}

/// Sets a condition and tells whether the list has changed.
///
/// An entry that says the same already stays as it is, time included; one that is about a newer
/// generation stays too. A condition of a new type goes to the end, except `Ready`, which goes to
/// the front: the last condition of a session is the one that says that the session is over.
pub fn set(conditions: &mut Vec<Condition>, condition: Condition) -> bool {
    let Some(current) = conditions
        .iter_mut()
        .find(|current| current.type_ == condition.type_)
    else {
        let place = if condition.type_ == READY {
            0
        } else {
            conditions.len()
        };
        conditions.insert(place, condition);
        return true;
    };
    if says_the_same(current, &condition) || is_older(&condition, current) {
        return false;
    }
    *current = condition;
    true
}

/// Removes the condition of a type and tells whether there was one.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| condition.type_ != type_);
    conditions.len() != before
}

/// A condition without a generation says nothing about it, so it cannot differ there.
fn says_the_same(current: &Condition, new: &Condition) -> bool {
    current.status == new.status
        && current.reason == new.reason
        && current.message == new.message
        && (generation(new) <= 0 || generation(new) == generation(current))
}

fn is_older(new: &Condition, current: &Condition) -> bool {
    generation(new) > 0 && generation(new) < generation(current)
}

fn generation(condition: &Condition) -> i64 {
    condition.observed_generation.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use kubestash_api::conditions::backup_storage::{BACKEND_INITIALIZED, BACKEND_SECRET_FOUND};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn generation_of(generation: i64, mut condition: Condition) -> Condition {
        condition.observed_generation = Some(generation);
        condition
    }

    #[test]
    fn an_absent_condition_is_neither_true_nor_false() {
        let mut conditions = Vec::new();
        let type_ = BACKEND_INITIALIZED.type_;
        assert!(
            !has(&conditions, type_)
                && !is_true(&conditions, type_)
                && !is_false(&conditions, type_)
        );
        set(&mut conditions, new(BACKEND_INITIALIZED, true, "", at(1)));
        assert!(
            has(&conditions, type_) && is_true(&conditions, type_) && !is_false(&conditions, type_)
        );
        set(&mut conditions, new(BACKEND_INITIALIZED, false, "", at(1)));
        assert!(
            has(&conditions, type_) && !is_true(&conditions, type_) && is_false(&conditions, type_)
        );
        conditions[0].status = ConditionStatus::Unknown;
        assert!(
            has(&conditions, type_)
                && !is_true(&conditions, type_)
                && !is_false(&conditions, type_)
        );
    }

    #[test]
    fn setting_a_condition_follows_the_table() {
        let current = || generation_of(3, new(BACKEND_INITIALIZED, true, "done", at(1)));
        let with = |holds, message: &str, generation| {
            generation_of(generation, new(BACKEND_INITIALIZED, holds, message, at(9)))
        };
        let reason = |reason: &str| Condition {
            reason: reason.to_owned(),
            ..with(true, "done", 3)
        };
        let without_generation = |message| new(BACKEND_INITIALIZED, true, message, at(9));
        for (case, condition, changes) in [
            ("the same", with(true, "done", 3), false),
            (
                "the same without a generation",
                without_generation("done"),
                false,
            ),
            ("the same with generation 0", with(true, "done", 0), false),
            ("another status", with(false, "done", 3), true),
            ("only another message", with(true, "done again", 3), true),
            ("only another reason", reason("Other"), true),
            ("only a newer generation", with(true, "done", 4), true),
            (
                "something else about an older generation",
                with(false, "failed", 2),
                false,
            ),
            (
                "something else without a generation",
                without_generation("done again"),
                true,
            ),
        ] {
            let mut conditions = vec![current(), new(BACKEND_SECRET_FOUND, true, "", at(1))];
            let expected = if changes {
                condition.clone()
            } else {
                current()
            };
            assert_eq!(set(&mut conditions, condition), changes, "{case}");
            assert_eq!(conditions[0], expected, "{case}");
            assert_eq!(conditions.len(), 2, "{case}");
        }
    }

    #[test]
    fn new_types_are_appended_and_ready_leads() {
        let mut conditions = Vec::new();
        assert!(set(
            &mut conditions,
            new(BACKEND_SECRET_FOUND, true, "", at(1))
        ));
        assert!(set(
            &mut conditions,
            new(BACKEND_INITIALIZED, true, "", at(1))
        ));
        assert!(set(
            &mut conditions,
            ready(ConditionStatus::True, "Ready", "", Some(1), at(1))
        ));
        let types = |conditions: &[Condition]| {
            conditions
                .iter()
                .map(|c| c.type_.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            types(&conditions),
            ["Ready", "BackendSecretFound", "BackendInitialized"]
        );
        assert!(set(
            &mut conditions,
            new(BACKEND_SECRET_FOUND, false, "gone", at(2))
        ));
        assert_eq!(
            types(&conditions),
            ["Ready", "BackendSecretFound", "BackendInitialized"]
        );
        assert!(remove(&mut conditions, "Ready"));
        assert!(!remove(&mut conditions, "Ready"));
        assert_eq!(
            types(&conditions),
            ["BackendSecretFound", "BackendInitialized"]
        );
    }
}
