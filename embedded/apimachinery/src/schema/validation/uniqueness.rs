//! Lists of type set have no item twice, lists of type map no key twice.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::field::{FieldError, Path};
use crate::schema::node::{ListType, NodeRef};

/// Whether anything is twice.
pub(super) fn is_broken(value: &Value, node: NodeRef<'_>) -> bool {
    let mut errors = Vec::new();
    check(value, node, &Path::ROOT, &mut errors);
    !errors.is_empty()
}

/// Reports each second appearance.
pub(super) fn check(
    value: &Value,
    node: NodeRef<'_>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(field) = node.property(name) {
                    check(value, field, &path.child(name), errors);
                } else if let Some(field) = node.field(name) {
                    check(value, field, &path.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            match &node.get().list_type {
                ListType::Atomic => {}
                ListType::Set => report(items.to_vec(), path, errors),
                ListType::Map(keys) => {
                    if let Some((index, item)) = items
                        .iter()
                        .enumerate()
                        .find(|(_, i)| !i.is_object() && !i.is_null())
                    {
                        let detail = "must be an object for an array of list-type map";
                        errors.push(FieldError::invalid(path.index(index), item.clone(), detail));
                        return;
                    }
                    report(
                        items.iter().map(|item| key_of(item, keys)).collect(),
                        path,
                        errors,
                    );
                }
            }
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

/// The identifying fields of an item of a list of type map.
fn key_of(item: &Value, keys: &[String]) -> Value {
    let present = keys
        .iter()
        .filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
    Value::Object(present.collect::<Map<_, _>>())
}

fn report(identities: Vec<Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut seen: HashMap<&Value, usize> = HashMap::with_capacity(identities.len());
    for (index, identity) in identities.iter().enumerate() {
        let times = seen.entry(identity).or_default();
        *times += 1;
        if *times == 2 {
            errors.push(FieldError::duplicate(path.index(index), identity.clone()));
        }
    }
}
