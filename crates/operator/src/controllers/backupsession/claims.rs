//! Who was let through first, for the moment until the stores show it.
//!
//! Two sessions made in the same second would each find that the other has not started. The claim
//! is taken in the instant of starting, and forgotten a little later, when the status of the
//! session says the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kubestash_api::core::BackupSession;

/// Much longer than any watch takes to show a change.
const LASTS: Duration = Duration::from_secs(10);

/// Claims on sessions of configurations.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<Key, Claim>>);

type Key = (String, String, String);

#[derive(Debug, Clone)]
struct Claim {
    uid: String,
    name: String,
    since: Instant,
}

fn key(session: &BackupSession) -> Key {
    let invoker = session
        .spec
        .invoker
        .as_ref()
        .map(|invoker| invoker.name.clone())
        .unwrap_or_default();
    (
        session.namespace().unwrap_or_default(),
        invoker,
        session.spec.session.clone(),
    )
}

impl Claims {
    /// Name of another session that was let through just now.
    pub(super) fn holder(&self, session: &BackupSession) -> Option<String> {
        let claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = claims.get(&key(session))?;
        (Some(&claim.uid) != session.uid().as_ref() && claim.since.elapsed() < LASTS)
            .then(|| claim.name.clone())
    }

    /// Lets a session through, unless another one was just now.
    pub(super) fn take(&self, session: &BackupSession) -> bool {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.retain(|_, claim| claim.since.elapsed() < LASTS);
        let uid = session.uid().unwrap_or_default();
        let claim = Claim {
            uid: uid.clone(),
            name: session.name_any(),
            since: Instant::now(),
        };
        claims.entry(key(session)).or_insert(claim).uid == uid
    }

    /// Forgets what a session claimed, because it has ended.
    pub(super) fn release(&self, session: &BackupSession) {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.retain(|_, claim| Some(&claim.uid) != session.uid().as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str, of: &str) -> BackupSession {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
            "metadata": {"name": name, "namespace": "demo", "uid": name},
            "spec": {"session": of, "invoker": {"kind": "BackupConfiguration", "name": "c"}},
        }))
        .unwrap()
    }

    #[test]
    fn of_two_sessions_that_start_at_once_one_is_let_through() {
        let claims = Claims::default();
        let (one, two, other) = (
            session("one", "s"),
            session("two", "s"),
            session("other", "t"),
        );
        assert!(claims.take(&one));
        assert!(claims.take(&one), "again is no harm");
        assert!(!claims.take(&two));
        assert!(
            claims.take(&other),
            "another session of the configuration is not concerned"
        );
        assert_eq!(claims.holder(&two).as_deref(), Some("one"));
        assert_eq!(claims.holder(&one), None);
        claims.release(&one);
        assert!(claims.take(&two));
    }
}
