//! Conditions and phase of a database, as KubeDB's documentation orders them. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kubestash_api::kubedb::DatabaseStatus;
use kubestash_api::shared::{Condition, ConditionStatus};

/// Work on the database has begun.
pub(crate) const PROVISIONING_STARTED: &str = "ProvisioningStarted";
/// The server process runs.
pub(crate) const REPLICA_READY: &str = "ReplicaReady";
/// The server takes connections.
pub(crate) const ACCEPTING_CONNECTION: &str = "AcceptingConnection";
/// A restore into the database has begun, or ended: True if well.
pub(crate) const DATA_RESTORED: &str = "DataRestored";
/// All is well now.
pub(crate) const READY: &str = "Ready";
/// It was ready once.
pub(crate) const PROVISIONED: &str = "Provisioned";
/// Only the metadata store of a Druid runs here.
pub(crate) const METADATA_STORE_ONLY: &str = "MetadataStoreOnly";

/// What is known about one aspect.
pub(crate) struct Fact {
    pub(crate) type_: &'static str,
    pub(crate) holds: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Fact {
    pub(crate) fn new(
        type_: &'static str,
        holds: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            type_,
            holds,
            reason,
            message: message.into(),
        }
    }
}

/// The status after `facts` became known at `now`. What did not change keeps its time, so that an unchanged world
/// gives an equal status.
pub(crate) fn next(
    old: Option<&DatabaseStatus>,
    facts: &[Fact],
    generation: Option<i64>,
    now: Timestamp,
) -> DatabaseStatus {
    let mut status = old.cloned().unwrap_or_default();
    for fact in facts {
        let holds = ConditionStatus::from(fact.holds);
        let new = Condition {
            type_: fact.type_.to_owned(),
            status: holds,
            reason: fact.reason.to_owned(),
            message: fact.message.clone(),
            last_transition_time: Time(now),
            observed_generation: generation,
            severity: None,
        };
        match status
            .conditions
            .iter_mut()
            .find(|condition| condition.type_ == fact.type_)
        {
            Some(known)
                if known.status == holds
                    && known.reason == new.reason
                    && known.message == new.message =>
            {
                known.observed_generation = generation;
            }
            Some(known) => *known = new,
            None => status.conditions.push(new),
        }
    }
    status.observed_generation = generation;
    status.phase = Some(phase(&status).to_owned());
    status
}

/// The phase that follows from the conditions.
fn phase(status: &DatabaseStatus) -> &'static str {
    let is = |type_: &str, holds: ConditionStatus| {
        status
            .conditions
            .iter()
            .any(|condition| condition.type_ == type_ && condition.status == holds)
    };
    if is(DATA_RESTORED, ConditionStatus::False) {
        "NotReady"
    } else if !is(PROVISIONED, ConditionStatus::True) {
        "Provisioning"
    } else if is(ACCEPTING_CONNECTION, ConditionStatus::False) {
        "NotReady"
    } else if is(REPLICA_READY, ConditionStatus::False) || is(READY, ConditionStatus::False) {
        "Critical"
    } else {
        "Ready"
    }
}

/// Whether a condition holds.
pub(crate) fn holds(status: Option<&DatabaseStatus>, type_: &str) -> bool {
    status.is_some_and(|status| {
        status
            .conditions
            .iter()
            .any(|condition| condition.type_ == type_ && condition.status == ConditionStatus::True)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(entries: &[(&'static str, bool)]) -> Vec<Fact> {
        entries
            .iter()
            .map(|(type_, holds)| Fact::new(type_, *holds, "Because", "text"))
            .collect()
    }

    #[test]
    fn the_phase_follows_from_the_conditions() {
        let cases: [(&[(&'static str, bool)], &str); 7] = [
            (&[], "Provisioning"),
            (
                &[(PROVISIONING_STARTED, true), (REPLICA_READY, true)],
                "Provisioning",
            ),
            (
                &[
                    (ACCEPTING_CONNECTION, true),
                    (READY, true),
                    (PROVISIONED, true),
                ],
                "Ready",
            ),
            (
                &[(ACCEPTING_CONNECTION, false), (PROVISIONED, true)],
                "NotReady",
            ),
            (&[(ACCEPTING_CONNECTION, false)], "Provisioning"),
            (&[(REPLICA_READY, false), (PROVISIONED, true)], "Critical"),
            (
                &[(DATA_RESTORED, false), (READY, true), (PROVISIONED, true)],
                "NotReady",
            ),
        ];
        for (entries, expected) in cases {
            let status = next(None, &facts(entries), Some(1), Timestamp::UNIX_EPOCH);
            assert_eq!(status.phase.as_deref(), Some(expected), "{entries:?}");
        }
    }

    #[test]
    fn an_unchanged_world_gives_an_equal_status() {
        let known = facts(&[(READY, true), (PROVISIONED, true)]);
        let first = next(None, &known, Some(1), Timestamp::UNIX_EPOCH);
        let later = next(
            Some(&first),
            &known,
            Some(1),
            Timestamp::from_second(99).unwrap(),
        );
        assert_eq!(first, later);
    }
}
