//! Jobs.

use serde_json::{Value, json};

use super::{immutable, metadata, not_negative, pod, text};
use crate::field::{FieldError, Path};
use crate::selector::LabelSelector;

/// Labels by which a Job knows its Pods: of old, and of now.
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

/// Gives a Job the selector and the pod labels that make its Pods its own.
pub(super) fn generate_selector(job: &mut Value) {
    if job["spec"]["manualSelector"] == true || !job["spec"].is_object() {
        return;
    }
    let (name, uid) = (
        job["metadata"]["name"].clone(),
        job["metadata"]["uid"].clone(),
    );
    let template = &mut job["spec"]["template"];
    if !template["metadata"]["labels"].is_object() {
        template["metadata"]["labels"] = json!({});
    }
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        for (keys, value) in [(NAME_LABELS, &name), (UID_LABELS, &uid)] {
            for key in keys {
                labels.entry(key).or_insert_with(|| value.clone());
            }
        }
    }
    job["spec"]["selector"]["matchLabels"][UID_LABELS[1]] = uid;
}

/// Checks a Job.
pub(super) fn validate(job: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::ROOT;
    let path = root.child("spec");
    let spec = &job["spec"];
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
    ] {
        not_negative(spec, field, &path, errors);
    }
    match text(spec, "completionMode") {
        "" | "NonIndexed" => {}
        "Indexed" if spec["completions"].is_null() => {
            errors.push(FieldError::required(
                path.child("completions"),
                "when completion mode is Indexed",
            ));
        }
        "Indexed" => {}
        other => {
            let path = path.child("completionMode");
            errors.push(FieldError::not_supported(
                path,
                other,
                &["Indexed", "NonIndexed"],
            ));
        }
    }
    template(spec, &path, errors);
    selector(job, &path, errors);
}

fn template(spec: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let template = path.child("template");
    let pod_path = template.child("spec");
    let pod_spec = &spec["template"]["spec"];
    if let Some(labels) = spec
        .pointer("/template/metadata/labels")
        .and_then(Value::as_object)
    {
        let metadata_path = template.child("metadata");
        metadata::labels(labels, &metadata_path.child("labels"), errors);
    }
    pod::validate_spec(pod_spec, &pod_path, errors);
    // A Job that restarts its Pods for ever would never end.
    match text(pod_spec, "restartPolicy") {
        "OnFailure" | "Never" => {}
        "" | "Always" => {
            let detail = "valid values: \"OnFailure\", \"Never\"";
            errors.push(FieldError::required(
                pod_path.child("restartPolicy"),
                detail,
            ));
        }
        other => {
            let known = ["Never", "OnFailure"];
            errors.push(FieldError::not_supported(
                pod_path.child("restartPolicy"),
                other,
                &known,
            ));
        }
    }
}

fn selector(job: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let spec = &job["spec"];
    let Some(selector) = spec.get("selector").filter(|s| s.is_object()) else {
        errors.push(FieldError::required(path.child("selector"), ""));
        return;
    };
    let labels = spec.pointer("/template/metadata/labels");
    match LabelSelector::from_object(selector) {
        Err(error) => errors.push(FieldError::invalid(
            path.child("selector"),
            selector.clone(),
            error.to_string(),
        )),
        Ok(selector) if !selector.matches(labels.and_then(Value::as_object)) => {
            let detail = "`selector` does not match template `labels`";
            let labels = labels.cloned().unwrap_or(Value::Null);
            let template = path.child("template");
            let metadata = template.child("metadata");
            errors.push(FieldError::invalid(
                metadata.child("labels"),
                labels,
                detail,
            ));
        }
        Ok(_) => {}
    }
}

/// Checks a change of a Job.
pub(super) fn validate_update(job: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::ROOT;
    let path = root.child("spec");
    let (new, before) = (&job["spec"], &old["spec"]);
    let elastic =
        text(new, "completionMode") == "Indexed" && new["completions"] == new["parallelism"];
    if !elastic {
        immutable(
            new.get("completions"),
            before.get("completions"),
            path.child("completions"),
            errors,
        );
    }
    for field in [
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        immutable(new.get(field), before.get(field), path.child(field), errors);
    }
    // Where it may run can still be said of a Job that was suspended before it ever started.
    let unstarted = before["suspend"] == true && old["status"].get("startTime").is_none();
    let mut template = before["template"].clone();
    if unstarted {
        for field in ["nodeSelector", "tolerations", "affinity", "schedulingGates"] {
            copy(&mut template["spec"], &new["template"]["spec"], field);
        }
        for field in ["labels", "annotations"] {
            copy(
                &mut template["metadata"],
                &new["template"]["metadata"],
                field,
            );
        }
    }
    immutable(
        new.get("template"),
        Some(&template),
        path.child("template"),
        errors,
    );
}

fn copy(to: &mut Value, from: &Value, field: &str) {
    let Some(map) = to.as_object_mut() else {
        return;
    };
    match from.get(field) {
        Some(value) => map.insert(field.into(), value.clone()),
        None => map.remove(field),
    };
}
