//! How the items of a list are told apart, and what kind of value a schema node holds.

use crate::schema::node::{Additional, ListType, NodeRef, Type};
use serde_json::{Map, Value};

/// How a value is owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owned {
    /// As a whole.
    Whole,
    /// Field by field.
    Fields,
    /// Item by item.
    Items,
}

/// How `value` is owned, given its schema; without one, maps by field and lists as a whole.
pub(super) fn owned(value: &Value, node: Option<NodeRef<'_>>) -> Owned {
    match value {
        Value::Object(_) if node.is_some_and(|node| node.get().atomic) => Owned::Whole,
        Value::Object(_) => Owned::Fields,
        Value::Array(items) => match node.map(|node| &node.get().list_type) {
            Some(ListType::Set) => Owned::Items,
            Some(ListType::Map(_)) if items.iter().all(Value::is_object) => Owned::Items,
            _ => Owned::Whole,
        },
        _ => Owned::Whole,
    }
}

/// Whether the schema declares the field by name, rather than as an entry of a map.
pub(super) fn is_declared(node: Option<NodeRef<'_>>, name: &str) -> bool {
    node.is_some_and(|node| node.property(name).is_some())
}

/// The schema of a field.
pub(super) fn field_node<'a>(node: Option<NodeRef<'a>>, name: &str) -> Option<NodeRef<'a>> {
    node?.field(name)
}

/// The schema of a list's items.
pub(super) fn item_node(node: Option<NodeRef<'_>>) -> Option<NodeRef<'_>> {
    node?.items()
}

/// Whether a field that the schema does not declare is allowed.
pub(super) fn allows_unknown(node: NodeRef<'_>) -> bool {
    let node = node.get();
    node.preserve_unknown
        || node.kind == Type::Any
        || !matches!(node.additional, Additional::Unsaid | Additional::Forbidden)
}

/// The element of an item of a list that is owned item by item.
pub(super) fn item_key(item: &Value, node: Option<NodeRef<'_>>) -> String {
    if let Some(ListType::Map(keys)) = node.map(|node| &node.get().list_type) {
        let item_node = item_node(node);
        let mut sorted: Vec<&String> = keys.iter().collect();
        sorted.sort();
        let pairs: Map<String, Value> = sorted
            .into_iter()
            .filter_map(|key| {
                let default = || item_node?.property(key)?.get().default.clone();
                Some((key.clone(), item.get(key).cloned().or_else(default)?))
            })
            .collect();
        return format!("k:{}", Value::Object(pairs));
    }
    format!("v:{item}")
}
