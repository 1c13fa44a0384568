//! The schemas against the rules that a real API server has for structural schemas.
//!
//! The rules are those of the Kubernetes documentation of CustomResourceDefinitions ("Specifying a
//! structural schema" and the fields a schema may not use), and of its limits.

use serde_json::Value;

use crate::schema::{Schema, below, is, properties, text};

/// What a schema may say here; everything else is refused by the API server or dropped without a
/// word.
const ALLOWED: &[&str] = &[
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "description",
    "enum",
    "example",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// What a schema may not say under `allOf`, `anyOf`, `oneOf` and `not`.
const FORBIDDEN_IN_LOGIC: &[&str] = &[
    "additionalProperties",
    "default",
    "description",
    "nullable",
    "title",
    "type",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
];

#[test]
fn every_schema_is_structural() {
    let mut faults = Vec::new();
    for crd in kubestash_api::crds()
        .iter()
        .chain(&kubestash_api::foreign_crds())
    {
        let root = crate::schema::root(crd);
        let kind = crd.spec.names.kind.as_str();
        if text(&root, "type") != "object" {
            faults.push(format!("{kind}: the root is no object"));
        }
        if is(&root, "x-kubernetes-preserve-unknown-fields") {
            faults.push(format!("{kind}: the root keeps unknown fields"));
        }
        check(&root, kind, &mut faults);
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn our_schemas_keep_unknown_fields_only_where_anything_may_stand() {
    fn walk(schema: &Schema, path: &str, found: &mut Vec<String>) {
        if is(schema, "x-kubernetes-preserve-unknown-fields") {
            found.push(path.rsplit('.').next().unwrap().to_owned());
        }
        for (name, property) in properties(schema) {
            walk(property, &format!("{path}.{name}"), found);
        }
        for keyword in ["items", "additionalProperties"] {
            if let Some(inner) = below(schema, keyword) {
                walk(inner, path, found);
            }
        }
    }
    for crd in kubestash_api::crds() {
        let mut found = Vec::new();
        walk(&crate::schema::root(&crd), &crd.spec.names.kind, &mut found);
        found.retain(|name| name != "params" && name != "query");
        assert!(found.is_empty(), "{}: {found:?}", crd.spec.names.kind);
    }
}

#[test]
fn every_field_of_ours_is_described_and_the_definition_can_be_stored() {
    for crd in kubestash_api::crds()
        .iter()
        .chain(&kubestash_api::foreign_crds())
    {
        let root = crate::schema::root(crd);
        for half in ["spec", "status"] {
            for (name, field) in root["properties"]
                .get(half)
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(properties)
            {
                assert!(
                    !text(field, "description").is_empty(),
                    "{} {half}.{name}",
                    crd.spec.names.kind
                );
            }
        }
        assert!(
            !text(&root, "description").starts_with("Auto-generated"),
            "{}",
            crd.spec.names.kind
        );
        // etcd refuses more than 1.5 MiB in one request; managed fields come on top of the object.
        let size = serde_json::to_vec(crd).unwrap().len();
        assert!(size < 700_000, "{} has {size} bytes", crd.spec.names.kind);
    }
}

fn check(schema: &Schema, path: &str, faults: &mut Vec<String>) {
    let mut fault = |what: &str| faults.push(format!("{path}: {what}"));
    for keyword in schema
        .keys()
        .filter(|keyword| !ALLOWED.contains(&keyword.as_str()))
    {
        fault(&format!("{keyword} is not allowed"));
    }
    let type_ = text(schema, "type");
    let untyped = is(schema, "x-kubernetes-int-or-string")
        || is(schema, "x-kubernetes-preserve-unknown-fields");
    match type_ {
        "object" | "array" | "string" | "integer" | "number" | "boolean" => {
            if is(schema, "x-kubernetes-int-or-string") {
                fault("an int-or-string has no type");
            }
        }
        "" if untyped => {}
        other => fault(&format!("{other:?} is no type")),
    }
    if schema.contains_key("properties") && schema.contains_key("additionalProperties") {
        fault("has both properties and additionalProperties");
    }
    if type_ != "object"
        && (schema.contains_key("properties") || schema.contains_key("additionalProperties"))
    {
        fault("has properties but is no object");
    }
    if type_ == "array" && below(schema, "items").is_none() {
        fault("is an array without one schema for its items");
    }
    if is(schema, "uniqueItems") {
        fault("has unique items");
    }
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        fault("has additionalProperties: false");
    }
    check_merge(schema, &mut fault);
    check_required(schema, &mut fault);
    check_default(schema, &mut fault);
    check_rules(schema, &mut fault);
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for part in schema
            .get(keyword)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            check_logic(
                part.as_object().unwrap(),
                schema,
                is(schema, "x-kubernetes-int-or-string"),
                &mut fault,
            );
        }
    }
    for (name, property) in properties(schema) {
        check(property, &format!("{path}.{name}"), faults);
    }
    for (keyword, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = below(schema, keyword) {
            check(inner, &format!("{path}{suffix}"), faults);
        }
    }
}

/// `list-type` stands on arrays and `map-type` on objects; the keys of a map-like list are required
/// or have a default.
fn check_merge(schema: &Schema, fault: &mut dyn FnMut(&str)) {
    let type_ = text(schema, "type");
    let list = text(schema, "x-kubernetes-list-type");
    if !list.is_empty() && type_ != "array" {
        fault("has a list-type but is no array");
    }
    if !text(schema, "x-kubernetes-map-type").is_empty() && type_ != "object" {
        fault("has a map-type but is no object");
    }
    let keys = schema
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array);
    if (list == "map") != keys.is_some_and(|keys| !keys.is_empty()) {
        fault("a list of type map has keys, and only such a list");
    }
    for key in keys.into_iter().flatten() {
        let item = below(schema, "items").unwrap();
        let required = item
            .get("required")
            .and_then(Value::as_array)
            .is_some_and(|names| names.contains(key));
        let property = item["properties"].get(key.as_str().unwrap());
        if !property.is_some_and(|property| required || property.get("default").is_some()) {
            fault(&format!(
                "the key {key} of the list is neither required nor has it a default"
            ));
        }
    }
}

fn check_required(schema: &Schema, fault: &mut dyn FnMut(&str)) {
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if !properties(schema).any(|(property, _)| Some(property) == name.as_str()) {
            fault(&format!("{name} is required but no field"));
        }
    }
}

/// A default must itself be valid, and nothing of it may be pruned.
fn check_default(schema: &Schema, fault: &mut dyn FnMut(&str)) {
    if let Some(default) = schema.get("default")
        && let Err(what) = fits(default, schema)
    {
        fault(&format!("the default does not fit: {what}"));
    }
}

fn fits(value: &Value, schema: &Schema) -> Result<(), String> {
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        return Err(format!("{value} is none of the values"));
    }
    match (text(schema, "type"), value) {
        ("object", Value::Object(object)) => {
            for name in schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                if !object.contains_key(name.as_str().unwrap()) {
                    return Err(format!("{name} is missing"));
                }
            }
            object.iter().try_for_each(|(name, inner)| {
                let property = properties(schema).find(|(property, _)| property == name);
                let (_, property) = property.ok_or_else(|| format!("{name} would be pruned"))?;
                fits(inner, property)
            })
        }
        ("string", Value::String(_))
        | ("boolean", Value::Bool(_))
        | ("integer" | "number", Value::Number(_)) => Ok(()),
        (type_, value) => Err(format!("{value} is no {type_}")),
    }
}

fn check_rules(schema: &Schema, fault: &mut dyn FnMut(&str)) {
    for rule in schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let message = rule["message"].as_str().unwrap_or_default();
        if message.is_empty()
            || message.contains('\n')
            || message.contains("  ")
            || message.len() > 2048
        {
            fault(&format!(
                "the rule {} has no proper message: {message:?}",
                rule["rule"]
            ));
        }
        if let Some(path) = rule["fieldPath"].as_str() {
            let mut at = Some(schema);
            for name in path.trim_start_matches('.').split('.') {
                at = at
                    .and_then(|at| properties(at).find(|(property, _)| *property == name))
                    .map(|(_, inner)| inner);
            }
            if at.is_none() || !path.starts_with('.') {
                fault(&format!(
                    "the rule {} points to {path}, which is no field",
                    rule["rule"]
                ));
            }
        }
    }
}

/// Under logic only validation may stand, and every field named there must be a field of the schema
/// itself.
fn check_logic(
    part: &Schema,
    structure: &Schema,
    int_or_string: bool,
    fault: &mut dyn FnMut(&str),
) {
    for keyword in part
        .keys()
        .filter(|keyword| FORBIDDEN_IN_LOGIC.contains(&keyword.as_str()))
    {
        if !(keyword == "type" && int_or_string) {
            fault(&format!("{keyword} stands under logic"));
        }
    }
    for (name, inner) in properties(part) {
        match properties(structure).find(|(property, _)| *property == name) {
            Some((_, property)) => check_logic(
                inner,
                property,
                is(property, "x-kubernetes-int-or-string"),
                fault,
            ),
            None => fault(&format!("{name} stands under logic only")),
        }
    }
}
