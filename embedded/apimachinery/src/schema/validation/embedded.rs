//! Embedded resources say which kind they are.

use serde_json::{Map, Value};

use crate::field::{FieldError, Path};
use crate::schema::node::NodeRef;
use crate::strategy::metadata;

/// Checks every `x-kubernetes-embedded-resource` below (not at) the root.
pub(super) fn check(
    value: &Value,
    node: NodeRef<'_>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    match value {
        Value::Object(map) => {
            if node.get().embedded && !path.is_root() {
                resource(map, path, errors);
            }
            for (name, value) in map {
                if let Some(field) = node.field(name) {
                    check(value, field, &path.child(name), errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(item_node) = node.items() else {
                return;
            };
            for (index, item) in items.iter().enumerate() {
                check(item, item_node, &path.index(index), errors);
            }
        }
        _ => {}
    }
}

fn resource(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for field in ["apiVersion", "kind"] {
        match map.get(field) {
            None => errors.push(FieldError::required(path.child(field), "must not be empty")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(
                    path.child(field),
                    "",
                    "must not be empty",
                ));
            }
            Some(Value::String(_)) => {}
            Some(other) => errors.push(FieldError::invalid(
                path.child(field),
                other.clone(),
                "must be a string",
            )),
        }
    }
    if let Some(metadata) = map.get("metadata").and_then(Value::as_object) {
        metadata::validate_embedded(metadata, &path.child("metadata"), errors);
    }
}
