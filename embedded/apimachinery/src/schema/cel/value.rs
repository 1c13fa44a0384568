//! JSON to CEL, guided by the schema: it decides which type a value has and which fields a rule can
//! see.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::parser::Parser;
use kube_cel::cel::{Context, Value};
use serde_json::{Number, Value as Json};

use crate::schema::node::{Node, NodeRef, Type};
use crate::schema::validation::format::{Kind, go_duration};

/// The names of CEL's types.
pub(super) const TYPE_NAMES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "uint",
];

/// Name of a value's type, as `type()` gives it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Bytes(_) => "bytes",
        Value::Float(_) => "double",
        Value::Int(_) => "int",
        Value::UInt(_) => "uint",
        Value::List(_) => "list",
        Value::Map(_) => "map",
        Value::String(_) => "string",
        Value::Null => "null_type",
        Value::Duration(_) => "google.protobuf.Duration",
        Value::Timestamp(_) => "google.protobuf.Timestamp",
        Value::Function(..) | Value::Opaque(_) => "type",
    }
}

/// Converts a value; without a node it is unknown to the schema.
pub(super) fn convert(value: &Json, node: Option<NodeRef<'_>>) -> Value {
    let schema = node.map(NodeRef::get);
    match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => number(n, schema.map_or(Type::Any, |s| s.kind)),
        Json::String(text) => string(text, schema),
        Json::Array(items) => {
            let item = node.and_then(NodeRef::items);
            Value::List(Arc::new(items.iter().map(|v| convert(v, item)).collect()))
        }
        Json::Object(map) => {
            let mut fields = HashMap::with_capacity(map.len());
            for (name, value) in map {
                if let Some((key, value)) = entry(name, value, node) {
                    fields.insert(Key::String(Arc::new(key)), value);
                }
            }
            Value::Map(Map {
                map: Arc::new(fields),
            })
        }
    }
}

/// A field as rules see it; `None` if they do not see it.
fn entry(name: &str, value: &Json, node: Option<NodeRef<'_>>) -> Option<(String, Value)> {
    let node = node?;
    if node.get().embedded && name == "metadata" {
        return Some((name.to_string(), metadata(value)));
    }
    if let Some(property) = node.property(name) {
        // A null field counts as absent unless the schema allows null.
        let absent = value.is_null() && !property.get().nullable;
        return (!absent).then(|| (escape(name), convert(value, Some(property))));
    }
    match node.field(name) {
        Some(field) => Some((name.to_string(), convert(value, Some(field)))),
        None if node.get().embedded && matches!(name, "apiVersion" | "kind") => {
            Some((name.to_string(), convert(value, None)))
        }
        None => None,
    }
}

/// Of metadata, rules see the name and what it is generated from.
fn metadata(value: &Json) -> Value {
    let visible = ["name", "generateName"].into_iter().filter_map(|name| {
        let text = value.get(name)?.as_str()?;
        Some((Key::from(name), Value::String(Arc::new(text.to_string()))))
    });
    Value::Map(Map {
        map: Arc::new(visible.collect()),
    })
}

fn number(number: &Number, kind: Type) -> Value {
    match (kind, number.as_i64(), number.as_f64()) {
        (Type::Number, _, Some(float)) => Value::Float(float),
        (_, Some(int), _) => Value::Int(int),
        (Type::Integer | Type::IntOrString, None, Some(float)) if float.fract() == 0.0 => {
            Value::Int(float as i64)
        }
        (_, None, Some(float)) => Value::Float(float),
        (_, None, None) => Value::Null,
    }
}

fn string(text: &str, schema: Option<&Node>) -> Value {
    let format = schema
        .and_then(|s| s.rules.as_ref()?.format.as_ref())
        .map(|f| f.kind());
    let special = match format {
        Some(Kind::DateTime) => call("timestamp", text),
        Some(Kind::Date) => call("timestamp", &format!("{text}T00:00:00Z")),
        Some(Kind::Duration) => {
            go_duration(text).and_then(|nanos| call("duration", &format!("{nanos}ns")))
        }
        Some(Kind::Byte) => STANDARD
            .decode(text)
            .ok()
            .map(|bytes| Value::Bytes(Arc::new(bytes))),
        _ => None,
    };
    special.unwrap_or_else(|| Value::String(Arc::new(text.to_string())))
}

/// Has CEL itself make the value, so that its time types are exactly its own.
fn call(function: &str, text: &str) -> Option<Value> {
    let expression = Parser::new().parse(&format!("{function}(text)")).ok()?;
    let mut context = Context::default();
    context.add_variable_from_value("text", text.to_string());
    Value::resolve(&expression, &context).ok()
}

const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A field's name as rules write it.
pub(super) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

impl Type {
    /// The schema type that findings about a rule show as the value.
    pub(super) fn cel_name(self) -> &'static str {
        if self == Type::IntOrString {
            ""
        } else {
            self.name()
        }
    }
}
