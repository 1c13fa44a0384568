//! What a value is for ownership: a leaf, a map of things owned one by one, or a list whose items
//! have an identity.

use serde_json::Value;

use super::set::{Element, Scalar};
use crate::schema::node::{ListType, NodeRef};

/// A value by how it is owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A scalar, or a map or list that is owned as a whole.
    Leaf,
    Map,
    /// A list of type set or map.
    List,
}

/// The shape of a value; what the schema does not know is a tree of maps with leaves.
pub(super) fn of(value: &Value, node: Option<NodeRef<'_>>) -> Shape {
    match value {
        Value::Object(_) if node.is_some_and(|n| n.get().atomic) => Shape::Leaf,
        Value::Object(_) => Shape::Map,
        Value::Array(_) if node.is_some_and(|n| n.get().list_type != ListType::Atomic) => {
            Shape::List
        }
        _ => Shape::Leaf,
    }
}

/// The node of a field or map entry.
pub(super) fn field<'a>(node: Option<NodeRef<'a>>, name: &str) -> Option<NodeRef<'a>> {
    node.and_then(|n| n.field(name))
}

/// The node of a list's items.
pub(super) fn items(node: Option<NodeRef<'_>>) -> Option<NodeRef<'_>> {
    node.and_then(NodeRef::items)
}

/// The identity of an item of a list of type set or map; `Err` says why it has none.
pub(super) fn identity(item: &Value, list: NodeRef<'_>) -> Result<Element, String> {
    match &list.get().list_type {
        ListType::Map(keys) => {
            let Some(map) = item.as_object() else {
                let what = if item.is_null() {
                    "a null element"
                } else {
                    "non-map elements"
                };
                return Err(format!("associative list with keys may not have {what}"));
            };
            let mut identity: Vec<(String, Scalar)> = Vec::new();
            for key in keys {
                let default = || list.items()?.property(key)?.get().default.as_ref();
                match map.get(key).or_else(default) {
                    Some(value) => identity.push((key.clone(), Scalar::new(value))),
                    None => {
                        return Err(format!(
                            "associative list with keys has an element that omits key field \"{key}\" (and doesn't have default value)"
                        ));
                    }
                }
            }
            identity.sort();
            Ok(Element::Key(identity))
        }
        ListType::Set | ListType::Atomic => match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".into())
            }
            Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".into())
            }
            scalar => Ok(Element::Value(Scalar::new(scalar))),
        },
    }
}

/// The items of a list with their identities; those without one are left out.
pub(super) fn identified<'v>(list: &'v [Value], node: NodeRef<'_>) -> Vec<(Element, &'v Value)> {
    list.iter()
        .filter_map(|item| Some((identity(item, node).ok()?, item)))
        .collect()
}
