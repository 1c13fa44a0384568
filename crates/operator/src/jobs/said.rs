//! What the executor says in the conditions of its session, and what becomes of that when it is
//! gone: pure.

use jiff::Timestamp;
use kubestash_api::conditions::executor::{SNAPSHOTS_DATED_IN_FUTURE, WAITING};
use kubestash_api::shared::{Condition, ConditionStatus};
use kubestash_domain::condition;

/// Whether a condition is the executor's to say. The operator must not say it again: it could not
/// be taken back then.
pub(crate) fn is_the_executors(condition: &Condition) -> bool {
    condition.type_ == SNAPSHOTS_DATED_IN_FUTURE.type_
        || (condition.type_ == WAITING.type_ && condition.status == ConditionStatus::True)
}

/// An executor that was killed while it waited does not wait any more.
pub(crate) fn nobody_waits(conditions: &mut Vec<Condition>, now: Timestamp) {
    if condition::is_true(conditions, WAITING.type_) {
        let over = condition::new(WAITING, false, "The Job has ended.", now);
        condition::set(conditions, over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_executor_waited_for_is_taken_back_by_the_operator() {
        let now = Timestamp::UNIX_EPOCH;
        let mut conditions = vec![condition::new(WAITING, true, "a lock", now)];
        assert!(is_the_executors(&conditions[0]));
        nobody_waits(&mut conditions, now);
        assert_eq!(conditions[0].status, ConditionStatus::False);
        assert!(!is_the_executors(&conditions[0]));
        let mut none = Vec::new();
        nobody_waits(&mut none, now);
        assert!(none.is_empty());
    }
}
