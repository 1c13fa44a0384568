//! OpenAPI version 2: one document for everything, as far as version 2 can say it.

use serde_json::{Map, Value, json};

use super::definitions::REF_PREFIX;
use super::{Served, definitions, paths};

/// `/openapi/v2` as JSON.
pub fn v2(served: &[Served<'_>]) -> Value {
    let mut schemas = definitions::collect(served);
    for (name, schema) in &mut schemas {
        definitions::transform(schema, &adapt);
        // Any JSON at all, such as a default: clients that validate by this document must find no
        // type here.
        if name.ends_with(".apiextensions.v1.JSON")
            && let Some(schema) = schema.as_object_mut()
        {
            schema.remove("type");
        }
        let quantity = name.ends_with(".resource.Quantity");
        if quantity || name.ends_with(".intstr.IntOrString") {
            schema["type"] = "string".into();
            if !quantity {
                schema["format"] = "int-or-string".into();
            }
        }
    }
    let mut paths = paths::paths(served);
    for path in paths.values_mut().filter_map(Value::as_object_mut) {
        for (key, value) in path.iter_mut() {
            match key.as_str() {
                "parameters" => *value = parameters(value, None),
                _ => operation(value),
            }
        }
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "definitions": schemas
    })
}

/// Keywords that version 2 has not, or that clients of version 2 take for more than they are.
const DROPPED: [&str; 7] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "default",
    "nullable",
    "x-kubernetes-validations",
];

fn adapt(schema: &mut Map<String, Value>) {
    if let Some(Value::String(reference)) = schema.get_mut("$ref") {
        *reference = reference.replace(REF_PREFIX, "#/definitions/");
        return;
    }
    let nullable = schema.get("nullable") == Some(&Value::Bool(true));
    let free = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    for keyword in DROPPED {
        schema.remove(keyword);
    }
    if nullable || free {
        // What may hold more than is said cannot be described here without forbidding it.
        for keyword in [
            "type",
            "properties",
            "items",
            "additionalProperties",
            "required",
        ] {
            schema.remove(keyword);
        }
    }
    let is_array = schema.get("type").and_then(Value::as_str) == Some("array");
    if is_array && !schema.get("items").is_some_and(Value::is_object) {
        schema.insert("items".into(), json!({}));
    }
}

fn operation(operation: &mut Value) {
    let body = operation
        .as_object_mut()
        .and_then(|o| o.remove("requestBody"));
    operation["parameters"] = parameters(&operation["parameters"], body.as_ref());
    if let Some(body) = &body {
        let types = body["content"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| Value::from(name.as_str()));
        operation["consumes"] = types.collect();
    }
    operation["produces"] = json!(["application/json"]);
    for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        if let Some(content) = response.as_object_mut().and_then(|r| r.remove("content")) {
            response["schema"] = reference(&content);
        }
    }
}

fn reference(content: &Value) -> Value {
    let first = content.as_object().and_then(|c| c.values().next());
    let mut schema = first
        .map(|c| c["schema"].clone())
        .unwrap_or_else(|| json!({}));
    definitions::transform(&mut schema, &adapt);
    schema
}

fn parameters(parameters: &Value, body: Option<&Value>) -> Value {
    let mut flat: Vec<Value> = Vec::new();
    if let Some(body) = body {
        let required = body["required"] == true;
        flat.push(json!({"name": "body", "in": "body", "required": required, "schema": reference(&body["content"])}));
    }
    for parameter in parameters.as_array().into_iter().flatten() {
        let mut parameter = parameter.clone();
        if let Some(map) = parameter.as_object_mut() {
            let schema = map.remove("schema").unwrap_or_default();
            map.insert("type".into(), schema["type"].clone());
            map.insert("uniqueItems".into(), true.into());
        }
        flat.push(parameter);
    }
    flat.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ResourceInfo;

    #[test]
    fn references_stay_inside_the_document_and_nothing_of_version_three_is_left() {
        let builtins = ResourceInfo::builtins();
        let served: Vec<Served<'_>> = builtins
            .iter()
            .map(|info| Served { info, schema: None })
            .collect();
        let document = v2(&served);
        let text = document.to_string();
        assert!(!text.contains("#/components/schemas/") && !text.contains("requestBody"));
        for piece in text.split("\"$ref\":\"#/definitions/").skip(1) {
            let name = piece.split('"').next().unwrap();
            assert!(
                document["definitions"].get(name).is_some(),
                "no definition {name}"
            );
        }
        assert_eq!(
            document["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"],
            "string"
        );
    }
}
