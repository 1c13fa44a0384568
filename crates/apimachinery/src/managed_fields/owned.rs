//! Which fields an object holds, and which differ between two.

use super::element::{Owned, field_node, is_declared, item_key, item_node, owned};
use super::set::{FieldSet, field};
use crate::schema::node::NodeRef;
use serde_json::{Map, Value};

/// The fields that a configuration owns by holding them.
pub(super) fn fields_of(value: &Value, node: Option<NodeRef<'_>>) -> FieldSet {
    let mut set = FieldSet::default();
    match (owned(value, node), value) {
        (Owned::Fields, Value::Object(map)) => {
            for (name, value) in map {
                let below_node = field_node(node, name);
                let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if is_empty || owned(value, below_node) == Owned::Whole || !is_declared(node, name)
                {
                    set.insert(field(name));
                }
                set.insert_below(field(name), fields_of(value, below_node));
            }
        }
        (Owned::Items, Value::Array(items)) => {
            for item in items {
                let key = item_key(item, node);
                set.insert(key.clone());
                set.insert_below(key, fields_of(item, item_node(node)));
            }
        }
        _ => {}
    }
    set
}

/// How one object differs from another.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Fields that are new or have another value.
    pub(super) changed: FieldSet,
    /// Fields that are gone.
    pub(super) removed: FieldSet,
}

/// Compares two values of the same schema; null is the same as absent.
pub(super) fn compare(old: &Value, new: &Value, node: Option<NodeRef<'_>>) -> Difference {
    let mut difference = Difference::default();
    match (owned(old, node), owned(new, node)) {
        (Owned::Fields, Owned::Fields) => {
            let empty = Map::new();
            let (old, new) = (
                old.as_object().unwrap_or(&empty),
                new.as_object().unwrap_or(&empty),
            );
            for name in old
                .keys()
                .chain(new.keys().filter(|name| !old.contains_key(*name)))
            {
                let pair = (present(old.get(name)), present(new.get(name)));
                let whole = !is_declared(node, name);
                difference.entry(field(name), pair, field_node(node, name), whole);
            }
        }
        (Owned::Items, Owned::Items) => {
            let (old, new) = (keyed(old, node), keyed(new, node));
            let added = new
                .iter()
                .filter(|(key, _)| !old.iter().any(|(known, _)| known == key));
            for (key, _) in old.iter().chain(added) {
                let find =
                    |list: &[(String, &'_ Value)]| list.iter().position(|(known, _)| known == key);
                let pair = (
                    find(&old).map(|at| old[at].1),
                    find(&new).map(|at| new[at].1),
                );
                difference.entry(key.clone(), pair, item_node(node), true);
            }
        }
        _ => {}
    }
    difference
}

impl Difference {
    /// Records one field or item. `whole`: the element itself is owned too, when it comes or goes.
    fn entry(
        &mut self,
        key: String,
        pair: (Option<&Value>, Option<&Value>),
        node: Option<NodeRef<'_>>,
        whole: bool,
    ) {
        match pair {
            (None, None) => {}
            (None, Some(new)) => add(&mut self.changed, key, new, node, whole),
            (Some(old), None) => add(&mut self.removed, key, old, node, whole),
            (Some(old), Some(new)) => {
                let kinds = (owned(old, node), owned(new, node));
                if kinds.0 == kinds.1 && kinds.0 != Owned::Whole {
                    let below = compare(old, new, node);
                    self.changed.insert_below(key.clone(), below.changed);
                    self.removed.insert_below(key, below.removed);
                } else if old != new {
                    if kinds.0 != Owned::Whole {
                        self.removed.insert_below(key.clone(), fields_of(old, node));
                    }
                    add(&mut self.changed, key, new, node, false);
                }
            }
        }
    }
}

/// Adds a field that is there as a whole.
fn add(set: &mut FieldSet, key: String, value: &Value, node: Option<NodeRef<'_>>, whole: bool) {
    let is_empty = value.as_object().is_some_and(Map::is_empty);
    if whole || is_empty || owned(value, node) == Owned::Whole {
        set.insert(key.clone());
    }
    set.insert_below(key, fields_of(value, node));
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn keyed<'a>(list: &'a Value, node: Option<NodeRef<'_>>) -> Vec<(String, &'a Value)> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|item| (item_key(item, node), item))
        .collect()
}
