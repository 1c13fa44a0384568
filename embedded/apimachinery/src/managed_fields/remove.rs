//! Taking a set of paths out of an object.

use serde_json::Value;

use super::set::{Element, Set};
use super::shape::{self, Shape};
use crate::schema::node::NodeRef;

/// The object without the paths; `None` when nothing is left of it.
pub(super) fn remove(value: &Value, paths: &Set, node: Option<NodeRef<'_>>) -> Option<Value> {
    match (shape::of(value, node), value) {
        (Shape::Map, Value::Object(map)) => {
            let kept = map.iter().filter_map(|(name, value)| {
                let rest = without(
                    value,
                    &Element::field(name),
                    paths,
                    shape::field(node, name),
                )?;
                Some((name.clone(), rest))
            });
            let kept: serde_json::Map<String, Value> = kept.collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (Shape::List, Value::Array(items)) => {
            let list = node?;
            let kept = items
                .iter()
                .filter_map(|item| match shape::identity(item, list) {
                    Ok(element) => without(item, &element, paths, list.items()),
                    Err(_) => Some(item.clone()),
                });
            let kept: Vec<Value> = kept.collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        (_, Value::Object(_) | Value::Array(_)) => None,
        _ => Some(value.clone()),
    }
}

fn without(
    value: &Value,
    element: &Element,
    paths: &Set,
    node: Option<NodeRef<'_>>,
) -> Option<Value> {
    if paths.members.contains(element) {
        return None;
    }
    match paths.children.get(element) {
        Some(inner) => remove(value, inner, node),
        None => Some(value.clone()),
    }
}
