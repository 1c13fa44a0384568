//! The two Event APIs, core/v1 and events.k8s.io/v1, are two spellings of the same objects. They
//! are stored as core/v1, and read and written in either.

use serde_json::{Map, Value};

/// The `apiVersion` of the newer spelling.
pub(crate) const EVENTS_V1: &str = "events.k8s.io/v1";

/// Field names: core/v1, events.k8s.io/v1.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// From the stored core/v1 form to events.k8s.io/v1.
pub(crate) fn to_events_v1(event: Value) -> Value {
    rename(event, EVENTS_V1, |name| {
        RENAMED
            .iter()
            .find(|(core, _)| *core == name)
            .map(|(_, new)| *new)
    })
}

/// From events.k8s.io/v1 to the stored core/v1 form.
pub(crate) fn to_core(event: Value) -> Value {
    rename(event, "v1", |name| {
        RENAMED
            .iter()
            .find(|(_, new)| *new == name)
            .map(|(core, _)| *core)
    })
}

fn rename(
    event: Value,
    api_version: &str,
    new_name: impl Fn(&str) -> Option<&'static str>,
) -> Value {
    let Value::Object(fields) = event else {
        return event;
    };
    let mut renamed = Map::with_capacity(fields.len());
    for (name, value) in fields {
        match new_name(&name) {
            Some(new_name) => renamed.insert(new_name.to_owned(), value),
            None => renamed.insert(name, value),
        };
    }
    renamed.insert("apiVersion".to_owned(), api_version.into());
    Value::Object(renamed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_the_same_after_the_way_there_and_back() {
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod"}, "message": "m", "reason": "r", "source": {"component": "c"},
            "firstTimestamp": null, "count": 2, "type": "Normal", "reportingComponent": "c", "reportingInstance": "i",
        });
        let new = to_events_v1(core.clone());
        assert_eq!(new["note"], "m");
        assert_eq!(new["regarding"]["kind"], "Pod");
        assert_eq!(new["reportingController"], "c");
        assert_eq!(new["deprecatedCount"], 2);
        assert_eq!(new["apiVersion"], EVENTS_V1);
        assert!(new.get("message").is_none());
        assert_eq!(to_core(new), core);
    }
}
