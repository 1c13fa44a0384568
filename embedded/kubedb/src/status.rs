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
/// A restore into the database has begun and not ended.
pub(crate) const DATA_RESTORE_STARTED: &str = "DataRestoreStarted";
/// A restore into the database has ended: True if well.
pub(crate) const DATA_RESTORED: &str = "DataRestored";
/// All is well now.
pub(crate) const READY: &str = "Ready";
/// It was ready once.
pub(crate) const PROVISIONED: &str = "Provisioned";
/// The database is stopped because its object says so.
pub(crate) const HALTED: &str = "Halted";
/// A server process on this machine stands for the database.
pub(crate) const EMBEDDED_SERVER: &str = "EmbeddedServer";
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

/// A change of the conditions.
pub(crate) enum Change {
    /// This is so.
    With(Fact),
    /// Nothing is known about this any more.
    Without(&'static str),
}

impl From<Fact> for Change {
    fn from(fact: Fact) -> Self {
        Self::With(fact)
    }
}

/// What follows when everything runs: ready, and provisioned unless an initial restore is still
/// awaited.
pub(crate) fn ready(awaited: bool, text: &str) -> Vec<Change> {
    if awaited {
        let why = "Everything runs; the initial restore is awaited: create a RestoreSession, or set \
                   spec.init.initialized to true.";
        return vec![Fact::new(READY, false, "InitialRestoreAwaited", why).into()];
    }
    let provisioned = "It has been provisioned.";
    vec![
        Fact::new(READY, true, "AllReplicasReady", text).into(),
        Fact::new(
            PROVISIONED,
            true,
            "DatabaseSuccessfullyProvisioned",
            provisioned,
        )
        .into(),
    ]
}

/// The status after `changes` at `now`. What did not change keeps its time, so that an unchanged
/// world gives an equal status.
pub(crate) fn next(
    old: Option<&DatabaseStatus>,
    changes: &[Change],
    generation: Option<i64>,
    now: Timestamp,
) -> DatabaseStatus {
    let mut status = old.cloned().unwrap_or_default();
    for change in changes {
        match change {
            Change::With(fact) => note(&mut status.conditions, fact, generation, now),
            Change::Without(type_) => status.conditions.retain(|known| known.type_ != *type_),
        }
    }
    status.observed_generation = generation;
    status.phase = Some(phase(&status).to_owned());
    status
}

fn note(conditions: &mut Vec<Condition>, fact: &Fact, generation: Option<i64>, now: Timestamp) {
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
    match conditions
        .iter_mut()
        .find(|known| known.type_ == fact.type_)
    {
        Some(known)
            if known.status == holds
                && known.reason == new.reason
                && known.message == new.message =>
        {
            known.observed_generation = generation;
        }
        Some(known) => *known = new,
        None => conditions.push(new),
    }
}

/// The phase that follows from the conditions: the first rule that applies.
fn phase(status: &DatabaseStatus) -> &'static str {
    let is = |type_: &str, holds: ConditionStatus| {
        status
            .conditions
            .iter()
            .any(|condition| condition.type_ == type_ && condition.status == holds)
    };
    let (yes, no) = (ConditionStatus::True, ConditionStatus::False);
    if is(HALTED, yes) {
        "Halted"
    } else if is(DATA_RESTORE_STARTED, yes) {
        "DataRestoring"
    } else if is(DATA_RESTORED, no) {
        "NotReady"
    } else if !is(PROVISIONED, yes) {
        "Provisioning"
    } else if is(ACCEPTING_CONNECTION, no) {
        "NotReady"
    } else if is(REPLICA_READY, no) || is(READY, no) {
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

    fn facts(entries: &[(&'static str, bool)]) -> Vec<Change> {
        entries
            .iter()
            .map(|(type_, holds)| Fact::new(type_, *holds, "Because", "text").into())
            .collect()
    }

    #[test]
    fn the_phase_follows_from_the_conditions() {
        let cases: [(&[(&'static str, bool)], &str); 10] = [
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
            (&[(DATA_RESTORED, true), (READY, true)], "Provisioning"),
            (
                &[
                    (DATA_RESTORE_STARTED, true),
                    (READY, true),
                    (PROVISIONED, true),
                ],
                "DataRestoring",
            ),
            (&[(HALTED, true), (PROVISIONED, true)], "Halted"),
        ];
        for (entries, expected) in cases {
            let status = next(None, &facts(entries), Some(1), Timestamp::UNIX_EPOCH);
            assert_eq!(status.phase.as_deref(), Some(expected), "{entries:?}");
        }
    }

    #[test]
    fn what_is_not_known_any_more_goes() {
        let status = next(None, &facts(&[(HALTED, true)]), None, Timestamp::UNIX_EPOCH);
        let status = next(
            Some(&status),
            &[Change::Without(HALTED)],
            None,
            Timestamp::UNIX_EPOCH,
        );
        assert!(status.conditions.is_empty());
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
