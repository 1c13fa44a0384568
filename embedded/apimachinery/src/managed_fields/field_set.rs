//! The paths that an object says something about.

use serde_json::Value;

use super::set::{Element, Set};
use super::shape::{self, Shape};
use crate::schema::node::NodeRef;

/// Every leaf, every item of a list with identities, every entry of a map.
pub(super) fn of(value: &Value, node: Option<NodeRef<'_>>) -> Set {
    let mut set = Set::default();
    walk(value, node, &mut Vec::new(), &mut set);
    set
}

fn walk(value: &Value, node: Option<NodeRef<'_>>, path: &mut Vec<Element>, set: &mut Set) {
    match (shape::of(value, node), value) {
        (Shape::Map, Value::Object(map)) => {
            for (name, value) in map {
                path.push(Element::field(name));
                walk(value, shape::field(node, name), path, set);
                let empty =
                    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
                let declared = node.is_some_and(|n| n.property(name).is_some());
                if empty || !declared {
                    set.insert(path);
                }
                path.pop();
            }
        }
        (Shape::List, Value::Array(items)) => {
            let Some(list) = node else { return };
            for (element, item) in shape::identified(items, list) {
                path.push(element);
                walk(item, shape::items(node), path, set);
                set.insert(path);
                path.pop();
            }
        }
        _ => set.insert(path),
    }
}

/// Adds every declared field below which the set has something: prune needs them as paths of their
/// own.
pub(super) fn with_named_fields(set: &Set, node: Option<NodeRef<'_>>) -> Set {
    let mut members = set.members.clone();
    for element in set.children.keys() {
        if let Element::Field(name) = element
            && node.is_some_and(|n| n.property(name).is_some())
        {
            members.insert(element.clone());
        }
    }
    let children = set.children.iter().map(|(element, child)| {
        let child_node = match element {
            Element::Field(name) => shape::field(node, name),
            Element::Key(_) => shape::items(node),
            Element::Value(_) | Element::Index(_) => None,
        };
        (element.clone(), with_named_fields(child, child_node))
    });
    Set {
        members,
        children: children.collect(),
    }
}
