//! A controller's list of what to look at: each entry once, failures again after a while.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// The list.
pub(super) struct Queue<K> {
    ready: BTreeSet<K>,
    delayed: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

impl<K: Ord + Hash + Clone> Queue<K> {
    pub(super) fn new() -> Self {
        Self {
            ready: BTreeSet::new(),
            delayed: HashMap::new(),
            failures: HashMap::new(),
        }
    }

    /// To be looked at now.
    pub(super) fn add(&mut self, key: K) {
        self.delayed.remove(&key);
        self.ready.insert(key);
    }

    /// The next one to look at.
    pub(super) fn take(&mut self) -> Option<K> {
        let now = Instant::now();
        let due: Vec<K> = self
            .delayed
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.add(key);
        }
        self.ready.pop_first()
    }

    /// It was dealt with.
    pub(super) fn done(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// It could not be dealt with: later again, each time later.
    pub(super) fn retry(&mut self, key: K) {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let delay = FIRST_DELAY
            .saturating_mul(1 << (*failures).min(10))
            .min(LONGEST_DELAY);
        *failures = failures.saturating_add(1);
        self.delayed.insert(key, Instant::now() + delay);
    }

    /// Waits until something that was put off is due; for ever if there is none.
    pub(super) async fn due(&self) {
        match self.delayed.values().min() {
            Some(at) => tokio::time::sleep_until(*at).await,
            None => std::future::pending().await,
        }
    }
}
