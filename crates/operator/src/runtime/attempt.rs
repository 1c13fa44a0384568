//! When to try again what a bucket or a Job refused: pure, apart from the memory.
//!
//! Every change wakes a reconciler, also those it makes itself; a dead endpoint must not be asked
//! each time. So the last attempt for an object is remembered: as long as what it depends on is the
//! same, it is repeated only after a delay that doubles.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::runtime::controller::backoff;
use crate::runtime::failure::Failure;

/// How long something that works is trusted before it is looked at again.
pub(crate) const RECHECK: Duration = Duration::from_secs(600);
/// How many looks at something that worked may fail before it counts as broken.
const PATIENCE: u32 = 3;

/// What an attempt depends on: with another one the last attempt is worthless.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// The generation of the object.
    pub(crate) generation: Option<i64>,
    /// The resourceVersion of the Secret it uses.
    pub(crate) secret_version: Option<String>,
    /// Whatever else it depends on. A change of this alone does not shake the trust in what
    /// worked.
    pub(crate) content: String,
}

impl Fingerprint {
    fn same_access(&self, other: &Self) -> bool {
        self.generation == other.generation && self.secret_version == other.secret_version
    }
}

/// The last attempt.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) at: Instant,
    /// Consecutive failures.
    pub(crate) failures: u32,
    pub(crate) failure: Option<Failure>,
    /// Whether an earlier attempt with the same access succeeded.
    pub(crate) worked: bool,
}

impl Attempt {
    /// How long until the next attempt; `None` when it is due.
    pub(crate) fn wait(&self, fingerprint: &Fingerprint, now: Instant) -> Option<Duration> {
        if self.fingerprint != *fingerprint {
            return None;
        }
        let delay = match self.failure {
            None => RECHECK,
            Some(_) => backoff(self.failures.saturating_sub(1)),
        };
        delay
            .checked_sub(now.duration_since(self.at))
            .filter(|left| !left.is_zero())
    }

    /// What counts: the failure, unless a storage that worked may just have had a bad moment.
    pub(crate) fn verdict(&self) -> Option<&Failure> {
        self.failure
            .as_ref()
            .filter(|_| !self.worked || self.failures >= PATIENCE)
    }

    /// The memory of an attempt after `before`.
    pub(crate) fn after(
        before: Option<&Self>,
        fingerprint: Fingerprint,
        failure: Option<Failure>,
        at: Instant,
    ) -> Self {
        let before = before.filter(|before| before.fingerprint.same_access(&fingerprint));
        let failures = if failure.is_some() {
            before.map_or(0, |before| before.failures) + 1
        } else {
            0
        };
        let worked = failure.is_none() || before.is_some_and(|before| before.worked);
        Self {
            fingerprint,
            at,
            failures,
            failure,
            worked,
        }
    }
}

/// The last attempt for each object, by uid.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<String, Attempt>>);

impl Attempts {
    pub(crate) fn last(&self, uid: &str) -> Option<Attempt> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)
            .cloned()
    }

    pub(crate) fn remember(&self, uid: &str, attempt: Attempt) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(uid.to_owned(), attempt);
    }

    pub(crate) fn forget(&self, uid: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(generation: i64, secret: &str) -> Fingerprint {
        Fingerprint {
            generation: Some(generation),
            secret_version: Some(secret.to_owned()),
            content: String::new(),
        }
    }

    fn failure() -> Failure {
        Failure {
            kind: "BucketMissing".to_owned(),
            message: "create it".to_owned(),
        }
    }

    #[test]
    fn a_failure_is_tried_again_after_a_delay_that_doubles() {
        let start = Instant::now();
        let mut attempt = Attempt::after(None, fingerprint(1, "1"), Some(failure()), start);
        for seconds in [1, 2, 4, 8] {
            assert_eq!(
                attempt.wait(&fingerprint(1, "1"), start),
                Some(Duration::from_secs(seconds))
            );
            assert_eq!(
                attempt.wait(&fingerprint(1, "1"), start + Duration::from_secs(seconds)),
                None
            );
            attempt = Attempt::after(Some(&attempt), fingerprint(1, "1"), Some(failure()), start);
        }
    }

    #[test]
    fn a_change_of_spec_or_secret_is_tried_at_once() {
        let start = Instant::now();
        for failure in [None, Some(failure())] {
            let attempt = Attempt::after(None, fingerprint(1, "1"), failure, start);
            assert!(attempt.wait(&fingerprint(1, "1"), start).is_some());
            assert_eq!(attempt.wait(&fingerprint(2, "1"), start), None);
            assert_eq!(attempt.wait(&fingerprint(1, "2"), start), None);
        }
    }

    #[test]
    fn one_bad_moment_does_not_break_a_storage_that_worked() {
        let start = Instant::now();
        let print = || fingerprint(1, "1");
        let good = Attempt::after(None, print(), None, start);
        let one = Attempt::after(Some(&good), print(), Some(failure()), start);
        let two = Attempt::after(Some(&one), print(), Some(failure()), start);
        let three = Attempt::after(Some(&two), print(), Some(failure()), start);
        assert_eq!((one.verdict(), two.verdict()), (None, None));
        assert_eq!(three.verdict(), Some(&failure()));
        assert_eq!(
            Attempt::after(Some(&three), print(), None, start).verdict(),
            None
        );
        // One that never worked gets no such grace, nor one whose spec changed.
        assert_eq!(
            Attempt::after(None, print(), Some(failure()), start).verdict(),
            Some(&failure())
        );
        let changed = Attempt::after(Some(&good), fingerprint(2, "1"), Some(failure()), start);
        assert_eq!(changed.verdict(), Some(&failure()));
        // What else it depends on is no reason for distrust, but one to try again.
        let content = Fingerprint {
            content: "r".to_owned(),
            ..print()
        };
        assert_eq!(good.wait(&content, start), None);
        assert_eq!(
            Attempt::after(Some(&good), content, Some(failure()), start).verdict(),
            None
        );
    }
}
