//! Events, in both their APIs.

use serde_json::Value;

use super::text;
use crate::field::{FieldError, Path};
use crate::resource::ResourceInfo;

/// Checks an Event.
pub(super) fn validate(resource: &ResourceInfo, event: &Value, errors: &mut Vec<FieldError>) {
    let new_api = resource.group == "events.k8s.io";
    let subject = if new_api {
        "regarding"
    } else {
        "involvedObject"
    };
    let namespace = text(&event["metadata"], "namespace");
    let about = text(&event[subject], "namespace");
    // What is about a cluster-scoped object lives in `default`.
    let fits = about == namespace
        || (about.is_empty() && matches!(namespace, "" | "default" | "kube-system"));
    if !fits {
        let root = Path::ROOT;
        let path = root.child("involvedObject");
        errors.push(FieldError::invalid(
            path.child("namespace"),
            about,
            "does not match event.namespace",
        ));
    }
    if !new_api {
        return;
    }
    if text(event, "eventTime").is_empty() && event.get("deprecatedFirstTimestamp").is_none() {
        errors.push(FieldError::required("eventTime", ""));
        return;
    }
    if text(event, "eventTime").is_empty() {
        return;
    }
    for field in [
        "reportingController",
        "reportingInstance",
        "action",
        "reason",
    ] {
        if text(event, field).is_empty() {
            errors.push(FieldError::required(field, ""));
        }
    }
    for (field, shown, max) in [
        ("reportingInstance", "reportingInstance", 128),
        ("action", "action", 128),
        ("reason", "reason", 128),
        ("note", "message", 1024),
    ] {
        if text(event, field).len() > max {
            errors.push(FieldError::invalid(
                shown,
                "",
                format!("can have at most {max} characters"),
            ));
        }
    }
    if !matches!(text(event, "type"), "Normal" | "Warning") {
        errors.push(FieldError::invalid(
            "type",
            "",
            format!("has invalid value: {}", text(event, "type")),
        ));
    }
}
