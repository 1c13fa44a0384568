//! What is special about writing CustomResourceDefinitions: their status is settled in the same
//! write, so that the resources of an acknowledged definition are served at once.

use jiff::Timestamp;
use kubestash_apimachinery::{FieldError, schema};
use serde_json::{Value, json};

use super::catalogue::APIEXTENSIONS;
use super::{Target, rfc3339};
use crate::app::App;

/// Keeps a definition until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether a request is about a CustomResourceDefinition.
pub(crate) fn is(target: &Target) -> bool {
    target.served.is(APIEXTENSIONS, "customresourcedefinitions")
}

/// All that is wrong with a definition.
pub(crate) fn check(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let Some(old) = old else {
        return schema::check_crd(new);
    };
    let mut errors = schema::check_crd_update(new, old);
    // What is as it was has been checked before; the schemas take long.
    if new["spec"] != old["spec"] {
        errors.extend(schema::check_changed_crd(new, old));
    }
    errors
}

/// Settles the names and conditions of a definition.
pub(crate) fn set_status(app: &App, crd: &mut Value, now: Timestamp) {
    let name = crd["metadata"]["name"].as_str().unwrap_or_default();
    let taken = app.catalogue().taken_beside(name);
    let mut status = schema::crd_status(crd, &taken, now);
    // A definition that is going keeps saying so.
    let terminating = crd["status"]["conditions"]
        .as_array()
        .and_then(|conditions| conditions.iter().find(|one| one["type"] == "Terminating"))
        .cloned();
    if let (Some(terminating), Some(conditions)) =
        (terminating, status["conditions"].as_array_mut())
        && !conditions.iter().any(|one| one["type"] == "Terminating")
    {
        conditions.push(terminating);
    }
    crd["status"] = status;
}

/// Marks a definition as going: the finalizer that keeps it, and the condition.
pub(crate) fn mark_terminating(crd: &mut Value, finalizers: &mut Vec<String>, now: Timestamp) {
    if !finalizers.iter().any(|one| one == CLEANUP_FINALIZER) {
        finalizers.push(CLEANUP_FINALIZER.to_owned());
    }
    let condition = json!({
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": rfc3339(now),
        "reason": "InstanceDeletionPending",
        "message": "the objects of this definition are about to be deleted",
    });
    match crd["status"]["conditions"].as_array_mut() {
        Some(conditions) => {
            conditions.retain(|one| one["type"] != "Terminating");
            conditions.push(condition);
        }
        None => crd["status"]["conditions"] = json!([condition]),
    }
}
