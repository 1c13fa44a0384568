//! Strategic merge patch: a merge patch that knows which lists are maps in disguise.
//!
//! | directive | meaning |
//! |---|---|
//! | `$patch: replace` | the map, or the list it is an item of, becomes the patch |
//! | `$patch: delete` | the map becomes empty; of a list the items with its merge key go |
//! | `$patch: merge` | as if nothing were said |
//! | `$retainKeys: […]` | of the map only these fields stay |
//! | `$deleteFromPrimitiveList/f: […]` | these values leave the list `f` |
//! | `$setElementOrder/f: […]` | the list `f` is brought into this order |

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::PatchError;
use super::order::{self, Identity};
use crate::schema::Schema;
use crate::schema::node::{NodeRef, PatchStrategy};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

type Result<T> = std::result::Result<T, PatchError>;

/// Applies a strategic merge patch; merge keys come from the built-in kind's schema
/// ([`Schema::builtin`]). Custom resources do not take this patch type: answer 415
/// ([`crate::Status::unsupported_media_type`]).
///
/// # Errors
/// [`PatchError::Malformed`] or [`PatchError::Strategic`].
pub fn strategic_merge(target: &Value, patch: &Value, schema: &Schema) -> Result<Value> {
    let (Some(target), Some(patch)) = (target.as_object(), patch.as_object()) else {
        return Err(PatchError::Malformed(
            "a strategic merge patch must be an object".into(),
        ));
    };
    merge_map(target, patch, Some(schema.root())).map(Value::Object)
}

fn merge_map(
    target: &Map<String, Value>,
    patch: &Map<String, Value>,
    node: Option<NodeRef<'_>>,
) -> Result<Map<String, Value>> {
    match directive(patch)? {
        Some(Directive::Replace) => return Ok(without(patch, PATCH)),
        Some(Directive::Delete) => return Ok(Map::new()),
        Some(Directive::Merge) | None => {}
    }
    let mut result = target.clone();
    retain_keys(&mut result, patch)?;
    let mut done: Vec<&str> = Vec::new();
    for (key, order) in patch {
        if let Some(field) = key.strip_prefix(SET_ORDER) {
            ordered_list(&mut result, field, patch, order, node)?;
            done.push(field);
        }
    }
    for (key, value) in patch {
        if key == PATCH
            || key == RETAIN_KEYS
            || key.starts_with(SET_ORDER)
            || done.contains(&key.as_str())
        {
            continue;
        }
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            delete_from(&mut result, field, value)?;
            continue;
        }
        if value.is_null() {
            result.remove(key);
            continue;
        }
        let field = node.and_then(|n| n.field(key));
        let merged = match (result.get(key), value) {
            (None, new) => without_directives(new),
            (Some(Value::Object(old)), Value::Object(new)) => {
                Value::Object(merge_map(old, new, field)?)
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                Value::Array(merge_list(old, new, field)?)
            }
            (Some(_), new) => new.clone(),
        };
        result.insert(key.clone(), merged);
    }
    Ok(result)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Replace,
    Delete,
    Merge,
}

fn directive(patch: &Map<String, Value>) -> Result<Option<Directive>> {
    match patch.get(PATCH) {
        None => Ok(None),
        Some(value) => match value.as_str() {
            Some("replace") => Ok(Some(Directive::Replace)),
            Some("delete") => Ok(Some(Directive::Delete)),
            Some("merge") => Ok(Some(Directive::Merge)),
            _ => Err(PatchError::Strategic(format!(
                "unknown patch type found in the patch: {value}"
            ))),
        },
    }
}

fn retain_keys(target: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<()> {
    let Some(keys) = patch.get(RETAIN_KEYS) else {
        return Ok(());
    };
    let Some(keys) = keys.as_array() else {
        return Err(PatchError::Strategic(
            "invalid patch format of retainKeys: it must be a list".into(),
        ));
    };
    let retained = |name: &str| keys.iter().any(|key| key == name);
    if patch
        .iter()
        .any(|(name, value)| !name.starts_with('$') && !value.is_null() && !retained(name))
    {
        return Err(PatchError::Strategic(
            "patch content doesn't match retainKeys list".into(),
        ));
    }
    target.retain(|name, _| retained(name));
    Ok(())
}

fn delete_from(target: &mut Map<String, Value>, field: &str, values: &Value) -> Result<()> {
    let Some(values) = values.as_array() else {
        return Err(PatchError::Strategic(
            "invalid patch format of primitive list: it must be a list".into(),
        ));
    };
    if let Some(Value::Array(list)) = target.get_mut(field) {
        let values: HashSet<&Value> = values.iter().collect();
        list.retain(|item| !values.contains(item));
    }
    Ok(())
}

/// Merges a list whose order the patch gives.
fn ordered_list(
    target: &mut Map<String, Value>,
    field: &str,
    patch: &Map<String, Value>,
    wanted: &Value,
    node: Option<NodeRef<'_>>,
) -> Result<()> {
    let malformed = |what: &str| {
        PatchError::Strategic(format!(
            "invalid patch format of setElementOrder list: {what}"
        ))
    };
    let wanted = wanted
        .as_array()
        .ok_or_else(|| malformed("it must be a list"))?;
    let list_node = node.and_then(|n| n.field(field));
    let identity = Identity::new(merge_key(list_node));
    let items = match patch.get(field) {
        None | Some(Value::Null) => None,
        Some(Value::Array(items)) => Some(items),
        Some(_) => return Err(malformed("the field it is about must be a list")),
    };
    if let Some(items) = items {
        let named: Vec<&Value> = items.iter().filter(|i| i.get(PATCH).is_none()).collect();
        if !order::follows(&named, wanted, &identity) {
            return Err(PatchError::Strategic(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                Value::Array(items.clone()),
                Value::Array(wanted.clone())
            )));
        }
    }
    let original = target.get(field).and_then(Value::as_array).cloned();
    let merged = match (&original, items) {
        (None, None) => return Ok(()),
        (Some(original), None) => original.clone(),
        (None, Some(items)) => match without_directives(&Value::Array(items.clone())) {
            Value::Array(items) => items,
            _ => Vec::new(),
        },
        (Some(original), Some(items)) => merge_list(original, items, list_node)?,
    };
    let sorted = order::arrange(
        merged,
        wanted,
        original.as_deref().unwrap_or_default(),
        &identity,
    );
    target.insert(field.to_string(), Value::Array(sorted));
    Ok(())
}

fn merge_list(target: &[Value], patch: &[Value], node: Option<NodeRef<'_>>) -> Result<Vec<Value>> {
    let strategy: Option<&PatchStrategy> = node.map(|n| &n.get().patch);
    if !strategy.is_some_and(|s| s.merge) {
        return Ok(patch.to_vec());
    }
    if !target.iter().chain(patch).any(Value::is_object) {
        let mut seen: HashSet<&Value> = target.iter().collect();
        let mut merged = target.to_vec();
        merged.extend(patch.iter().filter(|item| seen.insert(*item)).cloned());
        return Ok(order::arrange(merged, patch, target, &Identity::new(None)));
    }
    let Some(key) = merge_key(node) else {
        return Err(PatchError::Strategic(
            "cannot merge lists of objects without a merge key".into(),
        ));
    };
    merge_objects(target, patch, key, node)
}

fn merge_objects(
    target: &[Value],
    patch: &[Value],
    key: &str,
    node: Option<NodeRef<'_>>,
) -> Result<Vec<Value>> {
    let item_node = node.and_then(NodeRef::items);
    let mut plain: Vec<Value> = Vec::new();
    let mut deleted: HashSet<&Value> = HashSet::new();
    let mut replace = false;
    for item in patch {
        let Some(map) = item.as_object() else {
            return Err(PatchError::Strategic(format!(
                "an item of a list merged by {key} must be an object, not {item}"
            )));
        };
        let special = directive(map)?;
        if special == Some(Directive::Replace) {
            replace = true;
            let rest = without(map, PATCH);
            if !rest.is_empty() {
                plain.push(Value::Object(rest));
            }
            continue;
        }
        let Some(identity) = map.get(key) else {
            return Err(PatchError::Strategic(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        };
        match special {
            Some(Directive::Delete) => drop(deleted.insert(identity)),
            _ => plain.push(Value::Object(without(map, PATCH))),
        }
    }
    if replace {
        return Ok(plain.iter().map(without_directives).collect());
    }
    let mut merged: Vec<Value> = target
        .iter()
        .filter(|item| {
            item.get(key)
                .is_none_or(|identity| !deleted.contains(identity))
        })
        .cloned()
        .collect();
    // Where the items stand, looked up: a list may have as many as fit into a request.
    let mut places: HashMap<Value, usize> = HashMap::new();
    for (index, item) in merged.iter().enumerate() {
        if let Some(identity) = item.get(key) {
            places.entry(identity.clone()).or_insert(index);
        }
    }
    for item in &plain {
        let Some(identity) = item.get(key) else {
            continue;
        };
        let existing = places
            .get(identity)
            .and_then(|index| merged.get_mut(*index));
        match (existing, item) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                *old = merge_map(old, new, item_node)?
            }
            _ => {
                places.entry(identity.clone()).or_insert(merged.len());
                merged.push(without_directives(item));
            }
        }
    }
    Ok(order::arrange(
        merged,
        &plain,
        target,
        &Identity::new(Some(key)),
    ))
}

fn merge_key<'a>(node: Option<NodeRef<'a>>) -> Option<&'a str> {
    node.and_then(|n| n.get().patch.merge_key.as_deref())
}

fn without(map: &Map<String, Value>, key: &str) -> Map<String, Value> {
    map.iter()
        .filter(|(name, _)| *name != key)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What a patch adds where there was nothing: its directives mean nothing there, its nulls and
/// deletions are done.
fn without_directives(patch: &Value) -> Value {
    match patch {
        Value::Object(map) => {
            let fields = map
                .iter()
                .filter(|(name, value)| !name.starts_with('$') && !value.is_null());
            Value::Object(
                fields
                    .map(|(name, value)| (name.clone(), without_directives(value)))
                    .collect(),
            )
        }
        Value::Array(items) => {
            let kept = items
                .iter()
                .filter(|item| item.get(PATCH).is_none_or(|d| d != "delete"));
            Value::Array(kept.map(without_directives).collect())
        }
        other => other.clone(),
    }
}
