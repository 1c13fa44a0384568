//! Putting an applied configuration into an object, and taking out what is no longer applied.

use super::element::{Owned, field_node, item_key, item_node, owned};
use super::set::{FieldSet, field};
use crate::schema::node::NodeRef;
use serde_json::{Map, Value};

/// The object with the configuration laid over it. A null in the configuration removes the field.
pub(super) fn merge(live: &Value, config: &Value, node: Option<NodeRef<'_>>) -> Value {
    match (owned(live, node), owned(config, node), live, config) {
        (Owned::Fields, Owned::Fields, Value::Object(live), Value::Object(config)) => {
            let mut merged = live.clone();
            for (name, value) in config {
                if value.is_null() {
                    merged.remove(name);
                    continue;
                }
                let below = field_node(node, name);
                let value = match live.get(name) {
                    Some(known) => merge(known, value, below),
                    None => without_nulls(value, below),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Owned::Items, Owned::Items, Value::Array(live), Value::Array(config)) => {
            let mut merged = live.clone();
            let mut keys: Vec<String> = live.iter().map(|item| item_key(item, node)).collect();
            for item in config {
                let key = item_key(item, node);
                match keys.iter().position(|known| *known == key) {
                    Some(at) => merged[at] = merge(&merged[at], item, item_node(node)),
                    None => {
                        merged.push(without_nulls(item, item_node(node)));
                        keys.push(key);
                    }
                }
            }
            Value::Array(merged)
        }
        _ => without_nulls(config, node),
    }
}

/// The value without null fields, where fields are owned one by one.
fn without_nulls(value: &Value, node: Option<NodeRef<'_>>) -> Value {
    match (owned(value, node), value) {
        (Owned::Fields, Value::Object(map)) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            let kept = kept
                .map(|(name, value)| (name.clone(), without_nulls(value, field_node(node, name))));
            Value::Object(kept.collect())
        }
        (Owned::Items, Value::Array(items)) => Value::Array(
            items
                .iter()
                .map(|item| without_nulls(item, item_node(node)))
                .collect(),
        ),
        _ => value.clone(),
    }
}

/// Removes what was applied before, is not applied now, and belongs to nobody else.
pub(super) fn prune(
    value: &mut Value,
    node: Option<NodeRef<'_>>,
    before: &FieldSet,
    wanted: &FieldSet,
) {
    match (owned(value, node), value) {
        (Owned::Fields, Value::Object(map)) => prune_fields(map, node, before, wanted, true),
        (Owned::Items, Value::Array(items)) => {
            items.retain(|item| {
                let key = item_key(item, node);
                !before.touches(&key) || wanted.touches(&key)
            });
            for item in items {
                let key = item_key(item, node);
                if let Some(below) = before.below(&key) {
                    let empty = FieldSet::default();
                    prune(
                        item,
                        item_node(node),
                        below,
                        wanted.below(&key).unwrap_or(&empty),
                    );
                }
            }
        }
        _ => {}
    }
}

/// The same for the whole object, whose metadata always stays.
pub(super) fn prune_object(
    object: &mut Value,
    node: NodeRef<'_>,
    before: &FieldSet,
    wanted: &FieldSet,
) {
    if let Value::Object(map) = object {
        prune_fields(map, Some(node), before, wanted, false);
    }
}

fn prune_fields(
    map: &mut Map<String, Value>,
    node: Option<NodeRef<'_>>,
    before: &FieldSet,
    wanted: &FieldSet,
    is_inner: bool,
) {
    let empty = FieldSet::default();
    for key in before.keys() {
        let Some(name) = key.strip_prefix("f:") else {
            continue;
        };
        let stays = wanted.touches(key) || (!is_inner && key == &field("metadata"));
        if !stays {
            // preserve_order is on: a plain remove would swap the last field into its place.
            map.shift_remove(name);
        } else if let (Some(value), Some(below)) = (map.get_mut(name), before.below(key)) {
            prune(
                value,
                field_node(node, name),
                below,
                wanted.below(key).unwrap_or(&empty),
            );
        }
    }
}
