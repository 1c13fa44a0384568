//! Small adjustments of generated schemas.
//!
//! Invariant: a type of Kubernetes keeps its real structure in our schemas, but not its prose. The prose of one pod
//! template alone is larger than what a client-side `kubectl apply` can store in an annotation.

use schemars::Schema;
use serde_json::{Map, Value};

/// Removes the descriptions below a field whose type is Kubernetes'; the field's own description stays.
pub(crate) fn terse(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        object
            .iter_mut()
            .for_each(|(keyword, value)| strip_keyword(keyword, value));
    }
}

/// Like [`terse`], for a struct of ours all of whose fields are of Kubernetes' types: their descriptions stay as well.
pub(crate) fn terse_fields(schema: &mut Schema) {
    let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for field in fields.values_mut().filter_map(Value::as_object_mut) {
        field
            .iter_mut()
            .for_each(|(keyword, value)| strip_keyword(keyword, value));
    }
}

/// Strips every schema under one keyword of a schema.
fn strip_keyword(keyword: &str, value: &mut Value) {
    match (keyword, value) {
        ("properties", Value::Object(properties)) => properties.values_mut().for_each(strip),
        ("items" | "additionalProperties", schema) => strip(schema),
        ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => schemas.iter_mut().for_each(strip),
        _ => {}
    }
}

fn strip(schema: &mut Value) {
    if let Value::Object(object) = schema {
        object.remove("description");
        object
            .iter_mut()
            .for_each(|(keyword, value)| strip_keyword(keyword, value));
    }
}

/// Schema of a field that takes any JSON object.
pub(crate) fn free_form(_: &mut schemars::SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Schema of a number without a stated width, as Go's `int` has it.
pub(crate) fn integer(_: &mut schemars::SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "integer" })
}

/// Removes a keyword from a schema and everything below it, without touching fields of that name.
pub(crate) fn remove_keyword(schema: &mut Map<String, Value>, unwanted: &str) {
    schema.remove(unwanted);
    for (keyword, value) in schema.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for property in properties.values_mut().filter_map(Value::as_object_mut) {
                    remove_keyword(property, unwanted);
                }
            }
            ("items" | "additionalProperties", Value::Object(inner)) => {
                remove_keyword(inner, unwanted)
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(inner)) => {
                for schema in inner.iter_mut().filter_map(Value::as_object_mut) {
                    remove_keyword(schema, unwanted);
                }
            }
            _ => {}
        }
    }
}

/// Schema of bytes, written in base64.
pub(crate) fn bytes(_: &mut schemars::SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string", "format": "byte" })
}
