//! From the schemas that the derives give to the structural schemas that an API server takes.
//!
//! Invariants: a field that is absent is absent and never `null`; a type of Kubernetes keeps its real structure in our
//! schemas but not its prose, which for one pod template alone is more than a client-side `kubectl apply` can store in
//! an annotation.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

const KEEP_UNKNOWN: &str = "x-kubernetes-preserve-unknown-fields";

/// The structural schema of a kind.
///
/// The derive macro of kube could make it too. It reads the whole schema anew at each of its levels, which takes
/// seconds for ours; this takes one pass.
pub(crate) fn structural<K: JsonSchema>() -> Option<JSONSchemaProps> {
    let generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator();
    let mut schema = generator.into_root_schema_for::<K>();
    let root = schema.as_object_mut()?;
    root.remove("title");
    // The API server knows the schema of the metadata, and takes no other.
    root.get_mut("properties")?
        .as_object_mut()?
        .remove("metadata");
    root.get_mut("required")?
        .as_array_mut()?
        .retain(|name| name != "metadata");
    restructure(root);
    serde_json::from_value(schema.to_value()).ok()
}

/// Rewrites what the derives say and an API server does not take, here and below.
fn restructure(schema: &mut Map<String, Value>) {
    unite_with_null(schema);
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = unwrapped(description);
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let Some(only) = types.pop() {
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    // A flattened map of anything, beside fields with names of their own.
    if schema.contains_key("properties")
        && schema.get("additionalProperties") == Some(&Value::Bool(true))
    {
        schema.remove("additionalProperties");
        schema.insert(KEEP_UNKNOWN.to_owned(), Value::Bool(true));
    }
    subschemas(schema, &mut |subschema| {
        if let Value::Object(subschema) = subschema {
            restructure(subschema);
        }
    });
}

/// The text of a doc comment with one line for each paragraph; who shows it knows better where to break lines.
fn unwrapped(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.lines().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// An optional field is "this schema or null" to the derive. What remains is this schema, with the words about the field.
fn unite_with_null(schema: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.get("anyOf") else {
        return;
    };
    let is_null = |choice: &Value| choice.get("type").is_some_and(|name| name == "null");
    let (null, rest): (Vec<_>, Vec<_>) = choices.iter().cloned().partition(is_null);
    if let ([_], [Value::Object(inner)]) = (null.as_slice(), rest.as_slice()) {
        let mut united = inner.clone();
        schema.remove("anyOf");
        united.append(schema);
        *schema = united;
    }
}

/// Visits each schema directly below a schema. Fields may have the names of keywords, so this is the only place that
/// looks into keywords.
fn subschemas(schema: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Value)) {
    for (keyword, value) in schema.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                properties.values_mut().for_each(&mut *visit)
            }
            ("items" | "additionalProperties", inner) => visit(inner),
            ("allOf" | "anyOf" | "oneOf", Value::Array(choices)) => {
                choices.iter_mut().for_each(&mut *visit)
            }
            _ => {}
        }
    }
}

/// Removes the descriptions below a field whose type is Kubernetes'; the field's own description stays.
pub(crate) fn terse(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        subschemas(object, &mut strip);
    }
}

/// Like [`terse`], for a struct of ours all of whose fields are of Kubernetes' types: their descriptions stay as well.
pub(crate) fn terse_fields(schema: &mut Schema) {
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields
            .values_mut()
            .filter_map(Value::as_object_mut)
            .for_each(|field| subschemas(field, &mut strip));
    }
}

fn strip(schema: &mut Value) {
    if let Value::Object(object) = schema {
        object.remove("description");
        subschemas(object, &mut strip);
    }
}

/// Schema of a field that takes any JSON object.
pub(crate) fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Schema of a number without a stated width, as Go's `int` has it.
pub(crate) fn integer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer" })
}

/// Schema of bytes, written in base64.
pub(crate) fn bytes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "byte" })
}
