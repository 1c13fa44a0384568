//! What a restore says in its RestoreSession: pure.

use std::time::Duration;

use kubestash_api::conditions::restore_session::MANIFEST_RESTORED;
use kubestash_api::core::{
    RestoreComponentStatus, RestorePhase, RestoreSession, RestoreSessionStatus,
};
use kubestash_api::shared::Condition;
use kubestash_database::Role;
use kubestash_domain::{condition, format};

use crate::failure::Failure;

/// Whether an earlier attempt restored the component.
pub(super) fn is_done(session: &RestoreSession, component: &str) -> bool {
    let components = session.status.as_ref().map(|status| &status.components);
    components
        .and_then(|components| components.get(component))
        .is_some_and(|component| component.phase == Some(RestorePhase::Succeeded))
}

/// Whether the session still asks for what the operator has looked up.
///
/// # Errors
/// If it was edited since.
pub(crate) fn unedited(session: &RestoreSession) -> Result<(), Failure> {
    let observed = session
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    if observed.is_none() || observed == session.metadata.generation {
        return Ok(());
    }
    Err(Failure::permanent(
        "SessionEdited",
        "failed to restore: spec of the RestoreSession was changed after the restore had started; create another RestoreSession",
    ))
}

/// A component that works, or whose attempt failed: the operator says when it was the last one.
pub(super) fn running(failure: Option<&Failure>) -> RestoreComponentStatus {
    RestoreComponentStatus {
        phase: Some(RestorePhase::Running),
        error: failure.map(|failure| failure.message.clone()),
        ..RestoreComponentStatus::default()
    }
}

/// A component that is restored.
pub(super) fn succeeded(took: Duration, notes: Vec<String>) -> RestoreComponentStatus {
    RestoreComponentStatus {
        phase: Some(RestorePhase::Succeeded),
        duration: Some(format::go_duration(took)),
        notes,
        ..RestoreComponentStatus::default()
    }
}

/// The status with this component, and with what there is to say about manifests: a server-side
/// apply removes what it leaves out, so what other tasks have said is kept.
pub(super) fn with(
    session: &RestoreSession,
    component: &str,
    status: RestoreComponentStatus,
    said: Option<Condition>,
) -> RestoreSessionStatus {
    let before = session.status.clone().unwrap_or_default();
    let mut components = before.components;
    components.insert(component.to_owned(), status);
    let known = condition::find(&before.conditions, MANIFEST_RESTORED.type_).cloned();
    RestoreSessionStatus {
        components,
        conditions: said.or(known).into_iter().collect(),
        ..RestoreSessionStatus::default()
    }
}

/// What whoever restored a database has to know: what was not in the backup, and, of a Druid, what
/// it still has in its caches.
pub(super) fn notes(left_out: &[String], role: &Role) -> Vec<String> {
    let left_out = left_out.iter();
    let left_out = left_out.map(|what| format!("not in the backup: {what}"));
    let druid = matches!(role, Role::DruidMetadata { .. }).then(|| DRUID_NEXT.to_owned());
    left_out.chain(druid).collect()
}

/// What is to be done with a Druid whose metadata was restored (docs/databases.md, "Restoring a
/// Druid").
const DRUID_NEXT: &str = "Druid: if it ran during the restore, restart the coordinator and the overlord; restart the historicals with an empty segment cache, for a segment that was written anew under the same id is served from there; then resume supervisors and ingestion";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn session(status: Value) -> RestoreSession {
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
            "metadata": {"name": "r", "namespace": "demo", "generation": 2}, "spec": {}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn only_a_component_that_succeeded_is_done() {
        for (phase, done) in [("Succeeded", true), ("Running", false), ("Failed", false)] {
            let session = session(json!({"components": {"dump": {"phase": phase}}}));
            assert_eq!(is_done(&session, "dump"), done, "{phase}");
            assert!(!is_done(&session, "manifest"));
        }
    }

    #[test]
    fn an_edit_after_the_beginning_is_refused() {
        assert!(unedited(&session(json!({"observedGeneration": 2}))).is_ok());
        assert!(unedited(&session(json!({}))).is_ok());
        let failure = unedited(&session(json!({"observedGeneration": 1}))).unwrap_err();
        assert!(failure.permanent && failure.message.contains("create another"));
    }

    #[test]
    fn a_report_holds_its_component_and_those_of_other_tasks_and_nothing_else() {
        let session = session(json!({
            "phase": "Running", "totalComponents": 2,
            "components": {"manifest": {"phase": "Succeeded"}, "dump": {"phase": "Running", "error": "old"}},
        }));
        let written = |status| serde_json::to_value(with(&session, "dump", status, None)).unwrap();
        assert_eq!(
            written(succeeded(Duration::from_millis(1500), Vec::new())),
            json!({"components": {"dump": {"phase": "Succeeded", "duration": "1.5s"}, "manifest": {"phase": "Succeeded"}}})
        );
        let failure = Failure::transient("X", "no");
        assert_eq!(
            written(running(Some(&failure)))["components"]["dump"],
            json!({"phase": "Running", "error": "no"})
        );
        assert_eq!(
            written(running(None))["components"]["dump"],
            json!({"phase": "Running"})
        );
    }

    #[test]
    fn who_restored_is_told_what_was_not_in_the_backup_and_of_a_druid_what_to_do_now() {
        let left_out = ["users".to_owned()];
        assert_eq!(notes(&left_out, &Role::Plain), ["not in the backup: users"]);
        let druid = Role::DruidMetadata {
            linked_db: "druid".into(),
        };
        let notes = notes(&[], &druid);
        assert_eq!(notes.len(), 1);
        for words in ["empty segment cache", "resume supervisors"] {
            assert!(notes[0].contains(words), "{notes:?}");
        }
    }
}
