//! What differs between two versions of an object, path by path.

use std::collections::BTreeMap;

use serde_json::Value;

use super::set::{Element, Set};
use super::shape::{self, Shape};
use crate::schema::node::NodeRef;

/// The three ways to differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Comparison {
    pub(super) added: Set,
    pub(super) modified: Set,
    pub(super) removed: Set,
}

impl Comparison {
    /// Leaves fields out of account.
    pub(super) fn without(&self, fields: &Set) -> Self {
        Self {
            added: self.added.recursive_difference(fields),
            modified: self.modified.recursive_difference(fields),
            removed: self.removed.recursive_difference(fields),
        }
    }
}

/// Compares two objects of one kind.
pub(super) fn compare(old: &Value, new: &Value, node: NodeRef<'_>) -> Comparison {
    let mut comparison = Comparison::default();
    walk(
        Some(old),
        Some(new),
        Some(node),
        &mut Vec::new(),
        &mut comparison,
    );
    comparison
}

fn walk(
    old: Option<&Value>,
    new: Option<&Value>,
    node: Option<NodeRef<'_>>,
    path: &mut Vec<Element>,
    comparison: &mut Comparison,
) {
    let shapes = (
        old.map(|v| shape::of(v, node)),
        new.map(|v| shape::of(v, node)),
    );
    let is_empty = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    };
    let both_empty = is_empty(old) && is_empty(new);
    let descend = match shapes {
        (Some(a), Some(b)) if a == b => a,
        (Some(only), None) | (None, Some(only)) => only,
        _ => Shape::Leaf,
    };
    match descend {
        Shape::Map if !both_empty => maps(old, new, node, path, comparison),
        Shape::List if !both_empty => lists(old, new, node, path, comparison),
        _ => {}
    }
    match (old, new) {
        (None, Some(_)) => comparison.added.insert(path),
        (Some(_), None) => comparison.removed.insert(path),
        (Some(a), Some(b)) if (descend == Shape::Leaf || both_empty) && a != b => {
            comparison.modified.insert(path)
        }
        _ => {}
    }
}

fn maps(
    old: Option<&Value>,
    new: Option<&Value>,
    node: Option<NodeRef<'_>>,
    path: &mut Vec<Element>,
    comparison: &mut Comparison,
) {
    let names = |value: Option<&Value>| -> Vec<String> {
        value
            .and_then(Value::as_object)
            .map(|m| m.keys().cloned().collect())
            .unwrap_or_default()
    };
    let mut all = names(old);
    all.extend(
        names(new)
            .into_iter()
            .filter(|name| old.and_then(|o| o.get(name)).is_none()),
    );
    for name in all {
        path.push(Element::field(&name));
        let (old, new) = (
            old.and_then(|o| o.get(&name)),
            new.and_then(|n| n.get(&name)),
        );
        walk(old, new, shape::field(node, &name), path, comparison);
        path.pop();
    }
}

fn lists<'v>(
    old: Option<&'v Value>,
    new: Option<&'v Value>,
    node: Option<NodeRef<'_>>,
    path: &mut Vec<Element>,
    comparison: &mut Comparison,
) {
    let Some(list) = node else { return };
    // Before and after of each item, looked up: a list may have as many as fit into a request.
    let mut items: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    let identified = |value: Option<&'v Value>| {
        let items = value
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        shape::identified(items, list)
    };
    for (element, item) in identified(old) {
        items.entry(element).or_default().0.push(item);
    }
    for (element, item) in identified(new) {
        items.entry(element).or_default().1.push(item);
    }
    for (element, (before, after)) in &items {
        path.push(element.clone());
        match (before.as_slice(), after.as_slice()) {
            // Items that are there more than once are compared as one thing.
            ([_, _, ..], [_, _, ..]) => {
                if before != after {
                    comparison.modified.insert(path);
                }
            }
            ([_, _, ..], rest) => {
                if let Some(only) = rest.first() {
                    walk(None, Some(only), shape::items(node), path, comparison);
                }
                comparison.removed.insert(path);
            }
            (rest, [_, _, ..]) => {
                if let Some(only) = rest.first() {
                    walk(Some(only), None, shape::items(node), path, comparison);
                }
                comparison.added.insert(path);
            }
            (before, after) => {
                walk(
                    before.first().copied(),
                    after.first().copied(),
                    shape::items(node),
                    path,
                    comparison,
                );
            }
        }
        path.pop();
    }
}
