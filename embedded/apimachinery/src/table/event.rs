//! Rows of Events, in both their APIs.

use jiff::Timestamp;
use serde_json::Value;

use super::{human, text};

pub(super) fn cells(event: &Value, now: Timestamp) -> Vec<Value> {
    let either = |core: &str, new: &str| match text(event, core) {
        "" => text(event, new).to_string(),
        found => found.to_string(),
    };
    let since = |time: String| human::since(&time, now);
    let first_time = either("/firstTimestamp", "/deprecatedFirstTimestamp");
    let first = since(if first_time.is_empty() {
        text(event, "/eventTime").into()
    } else {
        first_time
    });
    let last_time = either("/lastTimestamp", "/deprecatedLastTimestamp");
    let mut last = if last_time.is_empty() {
        first.clone()
    } else {
        since(last_time)
    };
    let number = |pointer: &str| event.pointer(pointer).and_then(Value::as_i64);
    let mut count = number("/count")
        .or_else(|| number("/deprecatedCount"))
        .filter(|c| *c > 0)
        .unwrap_or(1);
    if let Some(series) = event.get("series").filter(|s| s.is_object()) {
        last = since(text(series, "/lastObservedTime").into());
        count = series["count"].as_i64().unwrap_or_default();
    }
    let kind = either("/involvedObject/kind", "/regarding/kind").to_lowercase();
    let object = match either("/involvedObject/name", "/regarding/name") {
        name if name.is_empty() => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        last.into(),
        text(event, "/type").into(),
        text(event, "/reason").into(),
        object.into(),
        either("/involvedObject/fieldPath", "/regarding/fieldPath").into(),
        source(event).into(),
        either("/message", "/note").trim().into(),
        first.into(),
        count.into(),
        text(event, "/metadata/name").into(),
    ]
}

fn source(event: &Value) -> String {
    let first_of = |pointers: [&str; 4]| {
        pointers
            .into_iter()
            .map(|p| text(event, p))
            .find(|t| !t.is_empty())
            .unwrap_or_default()
    };
    let component = first_of([
        "/source/component",
        "/deprecatedSource/component",
        "/reportingComponent",
        "/reportingController",
    ]);
    let instance = first_of([
        "/source/host",
        "/deprecatedSource/host",
        "/reportingInstance",
        "",
    ]);
    if instance.is_empty() {
        component.to_string()
    } else {
        format!("{component}, {instance}")
    }
}
