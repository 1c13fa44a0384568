//! Structural defaulting: absent fields get their default, nulls that may not be null go first.

use serde_json::Value;

use super::node::NodeRef;

/// Applies defaults below (not to) `value`. Idempotent.
pub(super) fn apply(value: &mut Value, node: NodeRef<'_>) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| !value.is_null() || keeps_null(node, name));
            for (name, id) in &node.get().properties {
                let property = node.at(*id).get();
                let Some(default) = &property.default else {
                    continue;
                };
                let absent = match map.get(name) {
                    None => true,
                    Some(present) => present.is_null() && !property.nullable,
                };
                if absent {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in map.iter_mut() {
                let Some(field) = node.field(name) else {
                    continue;
                };
                fill_null(value, field);
                apply(value, field);
            }
        }
        Value::Array(items) => {
            let Some(item) = node.items() else { return };
            for value in items {
                fill_null(value, item);
                apply(value, item);
            }
        }
        _ => {}
    }
}

/// A null stays if the schema allows it, knows nothing about it, or has a default to put in its
/// place.
fn keeps_null(node: NodeRef<'_>, name: &str) -> bool {
    match node.field(name) {
        Some(field) => field.get().nullable || field.get().default.is_some() || is_free(field),
        None => true,
    }
}

/// Free JSON: null is a value like any other.
fn is_free(node: NodeRef<'_>) -> bool {
    let node = node.get();
    node.preserve_unknown && node.kind == super::node::Type::Any
}

fn fill_null(value: &mut Value, node: NodeRef<'_>) {
    let node = node.get();
    if let (Value::Null, false, Some(default)) = (&*value, node.nullable, &node.default) {
        *value = default.clone();
    }
}
