//! Merging a configuration into an object: the configuration's leaves win, nothing goes away.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::set::Element;
use super::shape::{self, Shape};
use crate::schema::node::NodeRef;

/// The live value with the configured one merged in.
pub(super) fn merge(live: &Value, config: &Value, node: Option<NodeRef<'_>>) -> Value {
    match (live, config) {
        (Value::Object(old), Value::Object(new)) if shape::of(config, node) == Shape::Map => {
            let mut merged = old.clone();
            for (name, value) in new {
                let value = match old.get(name) {
                    Some(old) => merge(old, value, shape::field(node, name)),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(old), Value::Array(new)) if shape::of(config, node) == Shape::List => {
            match node {
                Some(list) => Value::Array(merge_lists(old, new, list)),
                None => config.clone(),
            }
        }
        // Nothing said about a container is not the same as saying that it is empty.
        (Value::Object(old), Value::Null)
            if !old.is_empty() && shape::of(live, node) == Shape::Map =>
        {
            live.clone()
        }
        (Value::Array(old), Value::Null)
            if !old.is_empty() && shape::of(live, node) == Shape::List =>
        {
            live.clone()
        }
        _ => config.clone(),
    }
}

/// Items of both lists are merged and stand in the configuration's order; items only of the live
/// list stand where they stood between those.
fn merge_lists(live: &[Value], config: &[Value], list: NodeRef<'_>) -> Vec<Value> {
    let (live, config) = (
        shape::identified(live, list),
        shape::identified(config, list),
    );
    let (in_live, in_config) = (positions(&live), positions(&config));
    let mut shared = config
        .iter()
        .map(|(e, _)| e)
        .filter(|e| in_live.contains_key(e))
        .peekable();
    let mut merged = Vec::new();
    let mut taken: BTreeSet<&Element> = BTreeSet::new();
    let (mut left, mut right) = (0, 0);
    while left < live.len() || right < config.len() {
        if let (Some((mine, _)), Some((theirs, _))) = (live.get(left), config.get(right)) {
            let wanted_later =
                in_config.contains_key(mine) && shared.peek().is_some_and(|next| *next != mine);
            if mine != theirs && wanted_later {
                left += 1;
                continue;
            }
        }
        if let Some((mine, item)) = live.get(left) {
            if !in_config.contains_key(mine) {
                merged.push((*item).clone());
                left += 1;
                continue;
            }
            let now = config.get(right).is_some_and(|(theirs, _)| theirs == mine);
            if now || taken.contains(mine) {
                left += 1;
            }
        }
        if let Some((theirs, item)) = config.get(right) {
            let old = in_live.get(theirs).map(|index| live[*index].1);
            merged.push(old.map_or_else(|| (*item).clone(), |old| merge(old, item, list.items())));
            taken.insert(theirs);
            right += 1;
            if shared.peek().is_some_and(|next| *next == theirs) {
                shared.next();
            }
        }
    }
    merged
}

/// Where each item stands first.
fn positions<'e>(items: &'e [(Element, &Value)]) -> BTreeMap<&'e Element, usize> {
    let mut positions = BTreeMap::new();
    for (index, (element, _)) in items.iter().enumerate() {
        positions.entry(element).or_insert(index);
    }
    positions
}
