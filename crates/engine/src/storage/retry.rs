//! Who is told that a storage does not answer and is asked again.
//!
//! The layer that retries is made once for each store and knows nothing of who uses it, so whoever
//! wants to say what it waits for listens to all stores of the process.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// A request to a storage that failed and is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageRetry {
    /// What was tried, such as `write`.
    pub operation: String,
    /// What went wrong; holds no address and no header.
    pub error: String,
    /// After how long it is tried again.
    pub after: Duration,
}

type Told = dyn Fn(&StorageRetry) + Send + Sync;

static LISTENERS: Mutex<Vec<Weak<Told>>> = Mutex::new(Vec::new());

/// Listens for as long as it is kept.
#[must_use]
pub struct RetryListener(
    #[allow(dead_code, reason = "kept alive, never called from here")] Arc<Told>,
);

/// Calls `told` for each request that is sent again, until the listener is dropped.
pub fn on_storage_retry(told: impl Fn(&StorageRetry) + Send + Sync + 'static) -> RetryListener {
    let told: Arc<Told> = Arc::new(told);
    let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
    listeners.retain(|listener| listener.strong_count() > 0);
    listeners.push(Arc::downgrade(&told));
    RetryListener(told)
}

pub(super) fn tell(retry: &StorageRetry) {
    let listeners: Vec<_> = {
        let listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().filter_map(Weak::upgrade).collect()
    };
    for listener in listeners {
        listener(retry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_hears_of_retries_until_it_is_dropped() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = Arc::clone(&heard);
        let listener = on_storage_retry(move |retry| hearing.lock().unwrap().push(retry.clone()));
        let retry = StorageRetry {
            operation: "a test writes".to_owned(),
            error: "connection refused".to_owned(),
            after: Duration::from_secs(1),
        };
        tell(&retry);
        drop(listener);
        tell(&retry);
        let heard = heard.lock().unwrap();
        // Other tests of this process may retry at the same time.
        let ours = heard.iter().filter(|heard| **heard == retry);
        assert_eq!(ours.count(), 1);
    }
}
