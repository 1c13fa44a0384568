//! Which restore was let through first, for the moment until its status says so.
//!
//! Two restores made in the same second would each find that the other has not begun. The claim is
//! taken in the instant of beginning, and forgotten a little later, when the status of the session
//! says the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kubestash_api::core::RestoreSession;
use kubestash_api::shared::TypedObjectReference;

/// Much longer than any write takes to show.
const LASTS: Duration = Duration::from_secs(10);

/// Claims on targets.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<Option<TypedObjectReference>, Claim>>);

#[derive(Debug, Clone)]
struct Claim {
    uid: String,
    name: String,
    since: Instant,
}

impl Claims {
    /// Name of another restore that was let through just now.
    pub(super) fn holder(
        &self,
        target: Option<&TypedObjectReference>,
        session: &RestoreSession,
    ) -> Option<String> {
        let claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = claims.get(&target.cloned())?;
        (Some(&claim.uid) != session.uid().as_ref() && claim.since.elapsed() < LASTS)
            .then(|| claim.name.clone())
    }

    /// Lets a restore through, unless another one was just now.
    pub(super) fn take(
        &self,
        target: Option<&TypedObjectReference>,
        session: &RestoreSession,
    ) -> bool {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.retain(|_, claim| claim.since.elapsed() < LASTS);
        let uid = session.uid().unwrap_or_default();
        let claim = Claim {
            uid: uid.clone(),
            name: session.name_any(),
            since: Instant::now(),
        };
        claims.entry(target.cloned()).or_insert(claim).uid == uid
    }

    /// Forgets what a restore claimed, because it has ended.
    pub(super) fn release(&self, session: &RestoreSession) {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.retain(|_, claim| Some(&claim.uid) != session.uid().as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::target;
    use super::*;

    fn session(name: &str, of: &str, namespace: Option<&str>) -> RestoreSession {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
            "metadata": {"name": name, "namespace": "demo", "uid": name},
            "spec": {"target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": of, "namespace": namespace}},
        }))
        .unwrap()
    }

    #[test]
    fn of_two_restores_into_one_target_one_is_let_through() {
        let claims = Claims::default();
        let one = session("one", "druid", None);
        let two = session("two", "druid", Some("demo"));
        let other = session("other", "druid", Some("dev"));
        let take = |session| claims.take(target(session, None).as_ref(), session);
        let holder = |session| claims.holder(target(session, None).as_ref(), session);
        assert!(take(&one) && take(&one));
        assert!(!take(&two));
        assert!(take(&other));
        assert_eq!(holder(&two).as_deref(), Some("one"));
        assert_eq!(holder(&one), None);
        claims.release(&one);
        assert!(take(&two));
    }
}
