//! The bridge from client-side apply: for the manager `kubectl`, what the annotation says was
//! applied last is its own.

use serde_json::{Map, Value};

use super::compare::compare;
use super::field_set;
use super::set::Set;
use crate::schema::Schema;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The field manager whose applies take over from client-side apply.
pub(super) const KUBECTL: &str = "kubectl";

/// The fields that client-side apply set last and that still are as it set them; `None` without the
/// annotation.
pub(super) fn still_applied(live: &Value, api_version: &str, schema: &Schema) -> Option<Set> {
    let applied: Value = serde_json::from_str(annotation(live)?).ok()?;
    if applied["apiVersion"] != api_version {
        return None;
    }
    let comparison = compare(&applied, live, schema.root());
    let fields = field_set::of(&applied, Some(schema.root()));
    Some(
        fields
            .difference(&comparison.modified)
            .difference(&comparison.added)
            .difference(&comparison.removed),
    )
}

/// Keeps the annotation in step with what is applied now, if the object has one.
pub(super) fn refresh(object: &mut Value, config: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(annotations) = config
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(ANNOTATION);
    }
    let text = format!("{}\n", sorted(&config));
    object["metadata"]["annotations"][ANNOTATION] = text.into();
}

fn annotation(object: &Value) -> Option<&str> {
    let annotations = object.get("metadata")?.get("annotations")?;
    annotations
        .get(ANNOTATION)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// With sorted keys, as kubectl writes it.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(name, _)| name.as_str());
            Value::Object(
                entries
                    .into_iter()
                    .map(|(name, value)| (name.clone(), sorted(value)))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
