//! One at a time for each key, in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Locks by key, such as the uid of a Repository.
#[derive(Default)]
pub(crate) struct Locks(Mutex<HashMap<String, Arc<AsyncMutex<()>>>>);

impl Locks {
    /// Waits until nobody holds `key`, and holds it until the guard is dropped.
    pub(crate) async fn hold(&self, key: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(key.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_key_is_held_by_one_at_a_time_and_forgotten_afterwards() {
        let locks = Locks::default();
        let first = locks.hold("a").await;
        assert!(locks.hold("a").now_or_never().is_none());
        assert!(locks.hold("b").now_or_never().is_some());
        drop(first);
        assert!(locks.hold("a").now_or_never().is_some());
    }
}
