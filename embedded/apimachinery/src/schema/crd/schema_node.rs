//! What a CRD's schema may not contain, node by node.

use serde_json::Value;

use super::{list, text};
use crate::field::{FieldError, Path};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Where in the schema a node is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context {
    /// Inside a list whose items have no identity: `oldSelf` means nothing there.
    uncorrelated: bool,
}

/// Checks a node and everything below it.
pub(super) fn check(
    schema: &Value,
    path: &Path<'_>,
    context: Context,
    errors: &mut Vec<FieldError>,
) {
    forbidden_keywords(schema, path, errors);
    map_and_list_types(schema, path, errors);
    rules(schema, path, context, errors);
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let base = path.child("properties");
        for (name, property) in properties {
            check(property, &base.key(name), context, errors);
        }
    }
    if let Some(values) = schema.get("additionalProperties").filter(|a| a.is_object()) {
        check(values, &path.child("additionalProperties"), context, errors);
    }
    if let Some(items) = schema.get("items").filter(|i| i.is_object()) {
        let uncorrelated = context.uncorrelated || text(schema, "x-kubernetes-list-type") != "map";
        check(
            items,
            &path.child("items"),
            Context { uncorrelated },
            errors,
        );
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let base = path.child(keyword);
        for (index, branch) in list(schema, keyword).iter().enumerate() {
            check(branch, &base.index(index), context, errors);
        }
    }
    if let Some(not) = schema.get("not").filter(|n| n.is_object()) {
        check(not, &path.child("not"), context, errors);
    }
}

fn forbidden_keywords(schema: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(path.child("type"), detail));
    }
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(path.child("type"), kind, &TYPES));
    }
    for keyword in [
        "id",
        "additionalItems",
        "patternProperties",
        "definitions",
        "dependencies",
        "$ref",
    ] {
        if schema.get(keyword).is_some_and(|v| !v.is_null()) {
            errors.push(FieldError::forbidden(
                path.child(keyword),
                format!("{keyword} is not supported"),
            ));
        }
    }
    if schema.get("items").is_some_and(Value::is_array) {
        errors.push(FieldError::forbidden(
            path.child("items"),
            "items must be a schema object and not an array",
        ));
    }
    if schema["uniqueItems"] == true {
        let detail =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(path.child("uniqueItems"), detail));
    }
    let additional = schema.get("additionalProperties").unwrap_or(&Value::Null);
    let has_properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .is_some_and(|p| !p.is_empty());
    if additional == &Value::Bool(false) {
        let detail = "additionalProperties cannot be set to false";
        errors.push(FieldError::forbidden(
            path.child("additionalProperties"),
            detail,
        ));
    } else if has_properties && additional.is_object() {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(
            path.child("additionalProperties"),
            detail,
        ));
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(
            path,
            false,
            "must be true or undefined",
        ));
    }
}

fn map_and_list_types(schema: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let list_type = text(schema, "x-kubernetes-list-type");
    let map_type = text(schema, "x-kubernetes-map-type");
    for (given, keyword, wanted, values) in [
        (
            map_type,
            "x-kubernetes-map-type",
            "object",
            &["atomic", "granular"][..],
        ),
        (
            list_type,
            "x-kubernetes-list-type",
            "array",
            &["atomic", "set", "map"][..],
        ),
    ] {
        if given.is_empty() {
            continue;
        }
        if kind != wanted {
            let detail = format!("must be {wanted} if {keyword} is specified");
            errors.push(match kind {
                "" => FieldError::required(path.child("type"), detail),
                _ => FieldError::invalid(path.child("type"), kind, detail),
            });
        }
        if !values.contains(&given) {
            errors.push(FieldError::not_supported(
                path.child(keyword),
                given,
                values,
            ));
        }
    }
    let keys = list(schema, "x-kubernetes-list-map-keys");
    if !keys.is_empty() && list_type != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        let path = path.child("x-kubernetes-list-type");
        errors.push(match list_type {
            "" => FieldError::required(path, detail),
            _ => FieldError::invalid(path, list_type, detail),
        });
    }
    if matches!(list_type, "set" | "map") {
        let items = path.child("items");
        if schema["items"]["nullable"] == true {
            let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
            errors.push(FieldError::forbidden(items.child("nullable"), detail));
        }
        match list_type {
            "map" => list_map(schema, keys, path, errors),
            _ => list_set(&schema["items"], &items, errors),
        }
    }
}

fn list_set(items: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    const DETAIL: &str = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let list_type = text(items, "x-kubernetes-list-type");
    let map_type = text(items, "x-kubernetes-map-type");
    match text(items, "type") {
        "array" if !matches!(list_type, "" | "atomic") => {
            errors.push(FieldError::invalid(
                path.child("x-kubernetes-list-type"),
                list_type,
                DETAIL,
            ));
        }
        "object" if map_type != "atomic" => {
            errors.push(FieldError::invalid(
                path.child("x-kubernetes-map-type"),
                map_type,
                DETAIL,
            ));
        }
        _ => {}
    }
}

fn list_map(schema: &Value, keys: &[Value], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let items_path = path.child("items");
    let properties_path = items_path.child("properties");
    let keys_path = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(keys_path, detail));
    }
    let Some(items) = schema.get("items").filter(|i| i.is_object()) else {
        errors.push(FieldError::required(
            items_path,
            "must have a schema if x-kubernetes-list-type is map",
        ));
        return;
    };
    let kind = text(items, "type");
    if kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(items_path.child("type"), kind, detail));
        return;
    }
    let required = list(items, "required");
    for (index, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        if keys[..index].contains(key) {
            errors.push(FieldError::invalid(
                keys_path,
                keys.to_vec(),
                "must not contain duplicate entries",
            ));
        }
        let Some(property) = items["properties"].get(name) else {
            errors.push(FieldError::invalid(
                keys_path,
                keys.to_vec(),
                "entries must all be names of item properties",
            ));
            continue;
        };
        let at = properties_path.key(name);
        if matches!(text(property, "type"), "array" | "object") {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(
                at.child("type"),
                text(property, "type"),
                detail,
            ));
        }
        if !required.contains(key) && property.get("default").is_none() {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(at.child("default"), detail));
        }
        if property["nullable"] == true {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(at.child("nullable"), detail));
        }
    }
}

/// What can be said of rules without compiling them; the compiler says the rest.
fn rules(schema: &Value, path: &Path<'_>, context: Context, errors: &mut Vec<FieldError>) {
    let base = path.child("x-kubernetes-validations");
    for (index, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        let path = base.index(index);
        let (source, message) = (text(rule, "rule").trim(), text(rule, "message"));
        if !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid(
                path.child("message"),
                message,
                "message must be non-empty if specified",
            ));
        } else if message.trim().contains('\n') {
            errors.push(FieldError::invalid(
                path.child("message"),
                message,
                "message must not contain line breaks",
            ));
        } else if source.contains('\n') && message.is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(path.child("message"), detail));
        }
        let uses_old_self = mentions_old_self(source);
        if uses_old_self && context.uncorrelated {
            let detail = "oldSelf cannot be used on the uncorrelatable portion of the schema";
            errors.push(FieldError::invalid(path.child("rule"), source, detail));
        }
        if !uses_old_self && rule.get("optionalOldSelf").is_some_and(|v| !v.is_null()) {
            let detail = "may not be set if oldSelf is not used in rule";
            errors.push(FieldError::invalid(
                path.child("optionalOldSelf"),
                rule["optionalOldSelf"].clone(),
                detail,
            ));
        }
    }
}

fn mentions_old_self(rule: &str) -> bool {
    crate::schema::cel::uses_old_self(rule)
}
