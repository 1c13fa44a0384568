//! Phase of BackupConfiguration.

use kubestash_api::conditions::invoker::VALIDATION_PASSED;
use kubestash_api::conditions::session::SCHEDULER_ENSURED;
use kubestash_api::core::{BackupConfigurationSpec, BackupConfigurationStatus, InvokerPhase};

use crate::condition::{is_false, is_true};

/// Phase of a BackupConfiguration: valid, target found, every backend usable, every session on the
/// schedule.
///
/// Mended: backends and sessions are matched by name, so a left-over entry of a removed one neither
/// stands in for a new one nor blocks; a backend whose readiness is not known is not ready; without
/// any backend or session nothing is ready.
#[must_use]
pub fn backup_configuration(
    spec: &BackupConfigurationSpec,
    status: &BackupConfigurationStatus,
) -> InvokerPhase {
    if is_false(&status.conditions, VALIDATION_PASSED.type_) {
        InvokerPhase::Invalid
    } else if status.target_found == Some(true)
        && backends_ready(spec, status)
        && sessions_scheduled(spec, status)
    {
        InvokerPhase::Ready
    } else {
        InvokerPhase::NotReady
    }
}

fn backends_ready(spec: &BackupConfigurationSpec, status: &BackupConfigurationStatus) -> bool {
    let ready = |name: &str| {
        status
            .backends
            .iter()
            .any(|backend| backend.name == name && backend.ready == Some(true))
    };
    !spec.backends.is_empty() && spec.backends.iter().all(|backend| ready(&backend.name))
}

fn sessions_scheduled(spec: &BackupConfigurationSpec, status: &BackupConfigurationStatus) -> bool {
    let scheduled = |name: &str| {
        let mut sessions = status
            .sessions
            .iter()
            .filter(|session| session.name == name);
        sessions.any(|session| is_true(&session.conditions, SCHEDULER_ENSURED.type_))
    };
    !spec.sessions.is_empty() && spec.sessions.iter().all(|session| scheduled(&session.name))
}

#[cfg(test)]
mod tests {
    use InvokerPhase::{Invalid, NotReady, Ready};
    use kubestash_api::core::Session;
    use kubestash_api::shared::{BackendReference, BackendStatus, ConditionStatus, SessionStatus};

    use super::super::cases::{False, True, Unknown, conditions};
    use super::*;

    fn spec(backends: &[&str], sessions: &[&str]) -> BackupConfigurationSpec {
        let backend = |name: &&str| BackendReference {
            name: (*name).to_owned(),
            ..BackendReference::default()
        };
        let session = |name: &&str| Session {
            name: (*name).to_owned(),
            ..Session::default()
        };
        BackupConfigurationSpec {
            backends: backends.iter().map(backend).collect(),
            sessions: sessions.iter().map(session).collect(),
            ..BackupConfigurationSpec::default()
        }
    }

    fn backend(name: &str, ready: Option<bool>) -> BackendStatus {
        BackendStatus {
            name: name.to_owned(),
            ready,
            ..BackendStatus::default()
        }
    }

    fn session(name: &str, scheduled: Option<ConditionStatus>) -> SessionStatus {
        let entries: Vec<_> = scheduled
            .into_iter()
            .map(|status| (SCHEDULER_ENSURED, status))
            .collect();
        SessionStatus {
            name: name.to_owned(),
            conditions: conditions(&entries),
            next_schedule: None,
        }
    }

    fn status(
        backends: Vec<BackendStatus>,
        sessions: Vec<SessionStatus>,
    ) -> BackupConfigurationStatus {
        BackupConfigurationStatus {
            backends,
            sessions,
            target_found: Some(true),
            conditions: conditions(&[(VALIDATION_PASSED, True)]),
            ..BackupConfigurationStatus::default()
        }
    }

    fn good() -> BackupConfigurationStatus {
        status(
            vec![backend("gcs", Some(true))],
            vec![session("frequent", Some(True))],
        )
    }

    #[test]
    fn a_backup_configuration_follows_the_table() {
        let invalid = |validation| BackupConfigurationStatus {
            conditions: conditions(&[(VALIDATION_PASSED, validation)]),
            ..good()
        };
        let target = |target_found| BackupConfigurationStatus {
            target_found,
            ..good()
        };
        let scheduled = || vec![session("frequent", Some(True))];
        let usable = || vec![backend("gcs", Some(true))];
        for (case, status, expected) in [
            ("validation failed", invalid(False), Invalid),
            ("all good", good(), Ready),
            ("validation unknown", invalid(Unknown), Ready),
            (
                "not validated",
                BackupConfigurationStatus {
                    conditions: vec![],
                    ..good()
                },
                Ready,
            ),
            ("no target", target(Some(false)), NotReady),
            ("target unknown", target(None), NotReady),
            (
                "backend not ready",
                status(vec![backend("gcs", Some(false))], scheduled()),
                NotReady,
            ),
            (
                "backend unknown",
                status(vec![backend("gcs", None)], scheduled()),
                NotReady,
            ),
            ("backend missing", status(vec![], scheduled()), NotReady),
            (
                "session not scheduled",
                status(usable(), vec![session("frequent", Some(False))]),
                NotReady,
            ),
            (
                "session unknown",
                status(usable(), vec![session("frequent", None)]),
                NotReady,
            ),
            ("session missing", status(usable(), vec![]), NotReady),
            (
                "another backend of the same number",
                status(vec![backend("s3", Some(true))], scheduled()),
                NotReady,
            ),
            (
                "another session of the same number",
                status(usable(), vec![session("old", Some(True))]),
                NotReady,
            ),
            (
                "left-over entries",
                status(
                    vec![backend("old", Some(false)), backend("gcs", Some(true))],
                    vec![session("frequent", Some(True)), session("old", None)],
                ),
                Ready,
            ),
        ] {
            assert_eq!(
                backup_configuration(&spec(&["gcs"], &["frequent"]), &status),
                expected,
                "{case}"
            );
        }
    }

    #[test]
    fn nothing_is_ready_without_backends_or_sessions() {
        assert_eq!(
            backup_configuration(&spec(&[], &["frequent"]), &good()),
            NotReady
        );
        assert_eq!(
            backup_configuration(&spec(&["gcs"], &[]), &good()),
            NotReady
        );
        let nameless = status(
            vec![backend("", Some(true))],
            vec![session("frequent", Some(True))],
        );
        assert_eq!(
            backup_configuration(&spec(&[""], &["frequent"]), &nameless),
            Ready
        );
    }
}
