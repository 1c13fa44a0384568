//! An applied configuration must fit its schema: otherwise nobody could say who owns what.

use super::ApplyError;
use super::element::{allows_unknown, item_key};
use crate::schema::node::{ListType, NodeRef};
use serde_json::Value;
use std::collections::BTreeSet;

/// Checks that every field is declared, and that items of keyed lists are told apart by their keys.
pub(super) fn check(config: &Value, node: NodeRef<'_>) -> Result<(), ApplyError> {
    let mut problems = Vec::new();
    walk(config, node, "", &mut problems);
    if problems.is_empty() {
        return Ok(());
    }
    let text = |pointer: &str| {
        config
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let object = format!(
        "{}/{}; {}, Kind={}",
        text("/metadata/namespace"),
        text("/metadata/name"),
        text("/apiVersion"),
        text("/kind")
    );
    let why = match &problems[..] {
        [only] => only.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    Err(ApplyError::NotTyped { object, why })
}

fn walk(value: &Value, node: NodeRef<'_>, path: &str, problems: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = format!("{path}.{name}");
                match node.field(name) {
                    Some(below) => walk(value, below, &path, problems),
                    None if allows_unknown(node) || is_type_meta(node, name) => {}
                    None => problems.push(format!("{path}: field not declared in schema")),
                }
            }
        }
        Value::Array(items) => {
            let Some(below) = node.items() else { return };
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                if node.get().list_type != ListType::Atomic
                    && !seen.insert(item_key(item, Some(node)))
                {
                    problems.push(format!(
                        "{path}: duplicate entries for key {}",
                        item_key(item, Some(node))
                    ));
                }
                walk(item, below, &format!("{path}[{index}]"), problems);
            }
        }
        _ => {}
    }
}

/// `apiVersion`, `kind` and `metadata` belong to every object.
fn is_type_meta(node: NodeRef<'_>, name: &str) -> bool {
    node.get().embedded && matches!(name, "apiVersion" | "kind" | "metadata")
}
