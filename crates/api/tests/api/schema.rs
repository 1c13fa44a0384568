//! Walks over the schemas of the generated CustomResourceDefinitions.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

/// A schema, or a part of one.
pub(crate) type Schema = Map<String, Value>;

/// The schema of the definition's first version.
pub(crate) fn root(crd: &CustomResourceDefinition) -> Schema {
    let schema = crd.spec.versions[0]
        .schema
        .as_ref()
        .unwrap()
        .open_api_v3_schema
        .as_ref()
        .unwrap();
    match serde_json::to_value(schema).unwrap() {
        Value::Object(schema) => schema,
        other => panic!("the schema of {} is {other}", crd.spec.names.kind),
    }
}

/// The fields of a schema.
pub(crate) fn properties(schema: &Schema) -> impl Iterator<Item = (&str, &Schema)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, property)| (name.as_str(), property.as_object().unwrap()))
}

/// The schema under a keyword such as `items`.
pub(crate) fn below<'a>(schema: &'a Schema, keyword: &str) -> Option<&'a Schema> {
    schema.get(keyword).and_then(Value::as_object)
}

/// The text of a keyword; empty without it.
pub(crate) fn text<'a>(schema: &'a Schema, keyword: &str) -> &'a str {
    schema
        .get(keyword)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether a keyword is `true`.
pub(crate) fn is(schema: &Schema, keyword: &str) -> bool {
    schema.get(keyword) == Some(&Value::Bool(true))
}
