//! Whether a schema is structural: its shape is said outside of `allOf`, `anyOf`, `oneOf` and
//! `not`, and completely.

use serde_json::{Map, Value, json};

use super::{list, text};
use crate::field::{FieldError, Path};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Checks the schema of a version.
pub(super) fn check(schema: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let before = errors.len();
    shape(schema, Level::Root, path, errors);
    errors[before..].sort_by_key(ToString::to_string);
}

fn shape(schema: &Value, level: Level, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let set = |keyword: &str| schema.get(keyword) == Some(&Value::Bool(true));
    let embedded = set("x-kubernetes-embedded-resource");
    let int_or_string = set("x-kubernetes-int-or-string");
    let preserves = set("x-kubernetes-preserve-unknown-fields");
    let additional = schema.get("additionalProperties").filter(|a| !a.is_null());
    let properties = schema.get("properties").and_then(Value::as_object);

    if kind == "array" && !schema["items"].is_object() {
        errors.push(FieldError::required(
            path.child("items"),
            "must be specified",
        ));
    }
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            FieldError::required(path.child("type"), detail)
        } else {
            FieldError::invalid(path.child("type"), kind, detail)
        });
    } else if kind.is_empty() && !int_or_string && !preserves {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(path.child("type"), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(
            path.child("type"),
            kind,
            "must be object at the root",
        ));
    }
    if additional.is_some() && level == Level::Root {
        errors.push(FieldError::forbidden(
            path.child("additionalProperties"),
            "must not be used at the root",
        ));
    }
    if additional.is_some() && embedded {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(
            path.child("additionalProperties"),
            detail,
        ));
    }
    for (flag, keyword) in [
        (preserves, "x-kubernetes-preserve-unknown-fields"),
        (embedded, "x-kubernetes-embedded-resource"),
    ] {
        if int_or_string && flag {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(path.child(keyword), true, detail));
        }
    }
    if embedded && !preserves && properties.is_none_or(Map::is_empty) {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(path.child("properties"), detail));
    }
    if let Some(properties) = properties {
        resource_fields(properties, level, embedded, path, errors);
        let base = path.child("properties");
        for (name, property) in properties
            .iter()
            .filter(|(name, _)| level != Level::Root || *name != "metadata")
        {
            shape(property, Level::Field, &base.key(name), errors);
        }
    }
    if let Some(items) = schema.get("items").filter(|i| i.is_object()) {
        shape(items, Level::Item, &path.child("items"), errors);
    }
    if let Some(values) = additional.filter(|a| a.is_object()) {
        shape(
            values,
            Level::Field,
            &path.child("additionalProperties"),
            errors,
        );
    }
    logic(schema, schema, path, errors);
}

/// `apiVersion`, `kind` and `metadata` of a resource are what they are everywhere.
fn resource_fields(
    properties: &Map<String, Value>,
    level: Level,
    embedded: bool,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if level != Level::Root && !embedded {
        return;
    }
    let base = path.child("properties");
    for name in ["kind", "apiVersion"] {
        if let Some(property) = properties.get(name).filter(|p| text(p, "type") != "string") {
            errors.push(FieldError::invalid(
                base.key(name).child("type"),
                text(property, "type"),
                "must be string",
            ));
        }
    }
    let Some(metadata) = properties.get("metadata") else {
        return;
    };
    let path = base.key("metadata");
    if text(metadata, "type") != "object" {
        errors.push(FieldError::invalid(
            path.child("type"),
            text(metadata, "type"),
            "must be object",
        ));
    }
    let restricts_more = metadata
        .get("properties")
        .and_then(Value::as_object)
        .is_some_and(|p| {
            p.keys()
                .any(|name| !matches!(name.as_str(), "name" | "generateName"))
        });
    if level == Level::Root && restricts_more {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(path, detail));
    }
}

/// Logical branches may restrict values, not give shape; `structure` is the node that gives it.
fn logic(branch: &Value, structure: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let base = path.child(keyword);
        for (index, child) in list(branch, keyword).iter().enumerate() {
            if is_int_or_string_idiom(branch, structure, keyword, index) {
                continue;
            }
            nested(child, structure, &base.index(index), errors);
        }
    }
    if let Some(not) = branch.get("not").filter(|n| n.is_object()) {
        nested(not, structure, &path.child("not"), errors);
    }
}

/// The two ways in which `anyOf: [{type: integer}, {type: string}]` is allowed to give a type.
fn is_int_or_string_idiom(branch: &Value, structure: &Value, keyword: &str, index: usize) -> bool {
    let idiom = json!([{"type": "integer"}, {"type": "string"}]);
    if structure["x-kubernetes-int-or-string"] != true {
        return false;
    }
    let plain = keyword == "anyOf" && branch["anyOf"] == idiom;
    let wrapped = keyword == "allOf" && index == 0 && branch["allOf"][0]["anyOf"] == idiom;
    plain || wrapped
}

fn nested(branch: &Value, structure: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    const EMPTY: [&str; 4] = ["type", "title", "description", "x-kubernetes-list-map-keys"];
    const FALSE: [&str; 4] = [
        "nullable",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
    ];
    const UNDEFINED: [&str; 4] = [
        "additionalProperties",
        "default",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
    ];
    let given = |keyword: &str| {
        branch
            .get(keyword)
            .is_some_and(|v| !v.is_null() && v != "" && v != &json!([]))
    };
    for keyword in EMPTY.into_iter().filter(|k| given(k)) {
        errors.push(FieldError::forbidden(
            path.child(keyword),
            "must be empty to be structural",
        ));
    }
    for keyword in FALSE
        .into_iter()
        .filter(|k| branch.get(k) == Some(&Value::Bool(true)))
    {
        errors.push(FieldError::forbidden(
            path.child(keyword),
            "must be false to be structural",
        ));
    }
    for keyword in UNDEFINED.into_iter().filter(|k| given(k)) {
        errors.push(FieldError::forbidden(
            path.child(keyword),
            "must be undefined to be structural",
        ));
    }
    if given("x-kubernetes-validations") {
        errors.push(FieldError::forbidden(
            path.child("x-kubernetes-validations"),
            "must be empty to be structural",
        ));
    }
    let base = path.child("properties");
    for (name, child) in branch
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let path = base.key(name);
        if name == "metadata" {
            errors.push(FieldError::forbidden(
                path,
                "must not be specified in a nested context",
            ));
        }
        match structure["properties"].get(name).or_else(|| {
            structure
                .get("additionalProperties")
                .filter(|a| a.is_object())
        }) {
            Some(structure) => nested(child, structure, &path, errors),
            None => errors.push(FieldError::required(
                path,
                "because it is defined in a nested context",
            )),
        }
    }
    if let Some(child) = branch.get("items").filter(|i| i.is_object()) {
        let path = path.child("items");
        match structure.get("items").filter(|i| i.is_object()) {
            Some(structure) => nested(child, structure, &path, errors),
            None => errors.push(FieldError::required(
                path,
                "because it is defined in a nested context",
            )),
        }
    }
    logic(branch, structure, path, errors);
}
