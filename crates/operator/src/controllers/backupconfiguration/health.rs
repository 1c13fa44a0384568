//! Whether the runs of a configuration's sessions succeed: pure.
//!
//! A configuration stays Ready while its backups fail, or no further one would be tried; but it
//! says so.

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use kubestash_api::conditions::READY;
use kubestash_api::core::{BackupConfiguration, BackupSession, BackupSessionPhase, Session};
use kubestash_api::storage::{Snapshot, SnapshotPhase};
use kubestash_domain::condition;

use super::sessions::is_owned_by;

/// Reason of the condition `Ready` while backups fail.
pub(super) const BACKUPS_FAIL: &str = "BackupsFail";

/// What there is to say about sessions whose last run failed; nothing if there are none.
pub(super) fn complaint(
    configuration: &BackupConfiguration,
    sessions: &[Arc<BackupSession>],
    snapshots: &[Arc<Snapshot>],
) -> Option<String> {
    let failing: Vec<_> = configuration
        .spec
        .sessions
        .iter()
        .filter_map(|session| of_one(configuration, session, sessions, snapshots))
        .collect();
    (!failing.is_empty()).then(|| {
        format!(
            "Backups are scheduled, but the last one failed: {}",
            failing.join("; ")
        )
    })
}

fn of_one(
    configuration: &BackupConfiguration,
    session: &Session,
    sessions: &[Arc<BackupSession>],
    snapshots: &[Arc<Snapshot>],
) -> Option<String> {
    let phase = |made: &BackupSession| made.status.as_ref().and_then(|status| status.phase);
    let last = sessions
        .iter()
        .filter(|made| made.spec.session == session.name && is_owned_by(made, configuration))
        .filter(|made| {
            matches!(
                phase(made),
                Some(BackupSessionPhase::Succeeded | BackupSessionPhase::Failed)
            )
        })
        .max_by_key(|made| (created(made.as_ref()), made.name_any()))?;
    if phase(last) != Some(BackupSessionPhase::Failed) {
        return None;
    }
    let conditions = last
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    let why = condition::find(conditions, READY).map_or("", |ready| &ready.message);
    let good = snapshots
        .iter()
        .filter(|snapshot| snapshot.namespace() == configuration.namespace())
        .filter(|snapshot| {
            let repositories = &session.repositories;
            snapshot.spec.session == session.name
                && repositories
                    .iter()
                    .any(|info| info.name == snapshot.spec.repository)
                && snapshot.meta().deletion_timestamp.is_none()
        })
        .filter(|snapshot| {
            let status = snapshot.status.as_ref();
            status.and_then(|status| status.phase) == Some(SnapshotPhase::Succeeded)
        })
        .filter_map(|snapshot| Some((created(snapshot.as_ref())?, snapshot.name_any())))
        .max();
    let good = good.map_or_else(
        || "no backup of it has succeeded yet".to_owned(),
        |(at, name)| format!("the last one that succeeded is Snapshot {name} of {at:.0}"),
    );
    Some(format!(
        "session {:?}, BackupSession {}: {why} ({good})",
        session.name,
        last.name_any()
    ))
}

fn created<K: Resource>(object: &K) -> Option<Timestamp> {
    let created = object.meta().creation_timestamp.as_ref();
    created.map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn configuration() -> BackupConfiguration {
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": "c", "namespace": "demo", "uid": "c"},
            "spec": {"sessions": [{"name": "frequent", "repositories": [{"name": "r", "backend": "b", "directory": "/r"}]}]},
        }))
        .unwrap()
    }

    fn run(minute: u32, phase: &str) -> Arc<BackupSession> {
        let session: Value = json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
            "metadata": {"name": format!("run-{minute}"), "namespace": "demo",
                "creationTimestamp": format!("2024-09-19T10:{minute:02}:00Z"),
                "ownerReferences": [{"apiVersion": "x/v1", "kind": "BackupConfiguration", "name": "c", "uid": "c"}]},
            "spec": {"session": "frequent"},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "False", "reason": "BackupFailed",
                "message": "no server", "lastTransitionTime": "2024-09-19T10:30:46Z"}]},
        });
        Arc::new(serde_json::from_value(session).unwrap())
    }

    fn snapshot(phase: &str) -> Arc<Snapshot> {
        let snapshot = json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": "good", "namespace": "demo", "creationTimestamp": "2024-09-19T09:00:00Z"},
            "spec": {"repository": "r", "session": "frequent"}, "status": {"phase": phase},
        });
        Arc::new(serde_json::from_value(snapshot).unwrap())
    }

    #[test]
    fn a_configuration_complains_as_long_as_its_last_run_failed_and_names_what_can_be_restored() {
        let said = |runs: &[Arc<BackupSession>], snapshots: &[Arc<Snapshot>]| {
            complaint(&configuration(), runs, snapshots)
        };
        assert_eq!(said(&[], &[]), None);
        assert_eq!(said(&[run(1, "Failed"), run(2, "Succeeded")], &[]), None);
        let failing = [
            run(1, "Succeeded"),
            run(2, "Failed"),
            run(3, "Running"),
            run(4, "Skipped"),
        ];
        let text = said(&failing, &[snapshot("Failed")]).unwrap();
        for words in [
            "frequent",
            "run-2",
            "no server",
            "no backup of it has succeeded yet",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let text = said(&failing, &[snapshot("Succeeded")]).unwrap();
        assert!(
            text.contains("Snapshot good of 2024-09-19T09:00:00Z"),
            "{text}"
        );
    }
}
