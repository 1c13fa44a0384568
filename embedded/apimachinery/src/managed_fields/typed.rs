//! Whether a configuration fits its schema well enough to be applied.

use std::collections::BTreeSet;

use serde_json::Value;

use super::set::Element;
use super::shape;
use crate::schema::node::{Additional, ListType, NodeRef, Type};

const TYPE_META: [&str; 2] = ["apiVersion", "kind"];

/// What does not fit, each with its path: `.spec.foo: field not declared in schema`.
pub(super) fn check(value: &Value, node: NodeRef<'_>) -> Result<(), String> {
    let mut problems = Vec::new();
    walk(value, Some(node), "", &mut problems);
    match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!(
            "errors:\n{}",
            many.iter()
                .map(|p| format!("  {p}"))
                .collect::<Vec<_>>()
                .join("\n")
        )),
    }
}

fn walk(value: &Value, node: Option<NodeRef<'_>>, path: &str, problems: &mut Vec<String>) {
    let Some(node) = node else { return };
    let schema = node.get();
    if value.is_null() || (schema.kind == Type::Any && schema.properties.is_empty()) {
        return;
    }
    if let Some(expected) = mismatch(value, schema.kind) {
        let told = if path.is_empty() {
            expected
        } else {
            format!("{path}: {expected}")
        };
        problems.push(told);
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = format!("{path}{}", Element::field(name));
                let declared = schema.preserve_unknown
                    || matches!(schema.additional, Additional::Any | Additional::Of(_))
                    || schema.properties.contains_key(name)
                    || (schema.embedded && TYPE_META.contains(&name.as_str()));
                if declared {
                    walk(value, node.field(name), &path, problems);
                } else {
                    problems.push(format!("{path}: field not declared in schema"));
                }
            }
        }
        Value::Array(items) => list(items, node, path, problems),
        _ => {}
    }
}

fn list(items: &[Value], node: NodeRef<'_>, path: &str, problems: &mut Vec<String>) {
    let mut seen: BTreeSet<Element> = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let element = if node.get().list_type == ListType::Atomic {
            Element::Index(index)
        } else {
            match shape::identity(item, node) {
                Err(why) => {
                    problems.push(format!("{path}: element {index}: {why}"));
                    return;
                }
                Ok(element) => {
                    if seen.contains(&element) {
                        problems.push(format!("{path}: duplicate entries for key {element}"));
                    }
                    element
                }
            }
        };
        walk(item, node.items(), &format!("{path}{element}"), problems);
        seen.insert(element);
    }
}

fn mismatch(value: &Value, kind: Type) -> Option<String> {
    let (fits, expected) = match kind {
        Type::Any => (true, ""),
        Type::Object => (value.is_object(), "map"),
        Type::Array => (value.is_array(), "list"),
        Type::String => (value.is_string(), "string"),
        Type::Integer | Type::Number => (value.is_number(), "numeric (int or float)"),
        Type::Boolean => (value.is_boolean(), "boolean"),
        Type::IntOrString => (value.is_number() || value.is_string(), "any scalar"),
    };
    (!fits).then(|| {
        let got = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "list",
            Value::Object(_) => "map",
        };
        format!("expected {expected}, got {got}")
    })
}
