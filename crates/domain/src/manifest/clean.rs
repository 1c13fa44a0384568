//! An object without what only its API server knows.

use serde_json::{Map, Value};

/// Annotations that are of no use in another cluster or under another name.
const DROPPED: [&str; 1] = ["kubectl.kubernetes.io/last-applied-configuration"];
/// What of `metadata` is kept.
const KEPT: [&str; 4] = ["name", "namespace", "labels", "annotations"];

/// The object as somebody would write it: without status, and of its metadata only names, labels
/// and annotations. Keys are sorted, so that the same object always gives the same bytes.
#[must_use]
pub fn clean(object: &Value) -> Value {
    let mut cleaned = Map::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        match key.as_str() {
            "status" => {}
            "metadata" => {
                cleaned.insert(key.clone(), metadata(value));
            }
            _ => {
                cleaned.insert(key.clone(), value.clone());
            }
        }
    }
    sorted(Value::Object(cleaned))
}

fn metadata(value: &Value) -> Value {
    let mut cleaned = Map::new();
    for key in KEPT {
        let Some(value) = value.get(key).filter(|value| !value.is_null()) else {
            continue;
        };
        let mut value = value.clone();
        if let Some(map) = value.as_object_mut() {
            map.retain(|key, _| !DROPPED.contains(&key.as_str()));
            if map.is_empty() {
                continue;
            }
        }
        cleaned.insert(key.to_owned(), value);
    }
    Value::Object(cleaned)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            let entries = entries.into_iter();
            Value::Object(entries.map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}
