//! Rows of Jobs.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, builtin, human, list, name, text};

pub(super) fn cells(job: &Value, now: Timestamp) -> Vec<Value> {
    let succeeded = job["status"]["succeeded"].as_i64().unwrap_or_default();
    let parallelism = job["spec"]["parallelism"].as_i64().unwrap_or_default();
    let completions = match job["spec"]["completions"].as_i64() {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    };
    let (start, end) = (
        text(job, "/status/startTime"),
        text(job, "/status/completionTime"),
    );
    let duration = match (start, end) {
        ("", _) => String::new(),
        (start, "") => human::since(start, now),
        (start, end) => human::between(start, end).unwrap_or_default(),
    };
    let containers = list(job, "/spec/template/spec/containers");
    let column = |field: &str| {
        Value::from(
            containers
                .iter()
                .map(|c| text(c, field))
                .collect::<Vec<_>>()
                .join(","),
        )
    };
    vec![
        name(job),
        status(job).into(),
        completions.into(),
        duration.into(),
        age(job, now),
        column("/name"),
        column("/image"),
        builtin::selector(&job["spec"]["selector"]),
    ]
}

fn status(job: &Value) -> &'static str {
    let has = |kind: &str| {
        list(job, "/status/conditions")
            .iter()
            .any(|c| c["type"] == kind && c["status"] == "True")
    };
    match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if !text(job, "/metadata/deletionTimestamp").is_empty() => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () => "Running",
    }
}
