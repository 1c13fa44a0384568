//! Pruning: what the schema does not know is removed, and told.

use serde_json::Value;

use super::node::{Additional, NodeRef};
use crate::field::Path;

const TYPE_META: [&str; 2] = ["apiVersion", "kind"];

/// Removes unknown fields and returns their paths, sorted. Idempotent.
pub(super) fn prune(value: &mut Value, node: NodeRef<'_>) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(value, Some(node), &Path::ROOT, &mut unknown);
    unknown.sort();
    unknown
}

fn walk(value: &mut Value, node: Option<NodeRef<'_>>, path: &Path<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                let path = path.child(name);
                let known = match node {
                    None => false,
                    Some(node) => is_known(node, name),
                };
                if !known {
                    unknown.push(path.to_string());
                    return false;
                }
                if let Some(field) = node.and_then(|n| n.field(name)) {
                    walk(value, Some(field), &path, unknown);
                }
                true
            });
        }
        Value::Array(items) => {
            let item_node = node.and_then(NodeRef::items);
            let free = node.is_some_and(|n| n.get().preserve_unknown);
            if item_node.is_none() && free {
                return;
            }
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, item_node, &path.index(index), unknown);
            }
        }
        _ => {}
    }
}

fn is_known(node: NodeRef<'_>, name: &str) -> bool {
    let schema = node.get();
    schema.preserve_unknown
        || schema.properties.contains_key(name)
        || matches!(schema.additional, Additional::Any | Additional::Of(_))
        || (schema.embedded && TYPE_META.contains(&name))
}
