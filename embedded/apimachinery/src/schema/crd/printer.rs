//! Printer columns, the scale subresource and selectable fields: whatever points into objects by a
//! path.

use serde_json::Value;

use super::{list, text};
use crate::field::{FieldError, Path};

const TYPES: &str = "boolean,date,integer,number,string";
const FORMATS: [&str; 10] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
    "binary",
    "",
];

/// Checks `additionalPrinterColumns`.
pub(super) fn columns(version: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("additionalPrinterColumns");
    for (index, column) in list(version, "additionalPrinterColumns").iter().enumerate() {
        let path = path.index(index);
        if text(column, "name").is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        }
        match text(column, "type") {
            "" => errors.push(FieldError::required(
                path.child("type"),
                format!("must be one of {TYPES}"),
            )),
            kind if TYPES.split(',').any(|t| t == kind) => {}
            kind => errors.push(FieldError::invalid(
                path.child("type"),
                kind,
                format!("must be one of {TYPES}"),
            )),
        }
        let format = text(column, "format");
        if !FORMATS.contains(&format) {
            let detail =
                "must be one of binary,byte,date,date-time,double,float,int32,int64,password";
            errors.push(FieldError::invalid(path.child("format"), format, detail));
        }
        match text(column, "jsonPath") {
            "" => errors.push(FieldError::required(path.child("JSONPath"), "")),
            json_path => simple_path(json_path, &path.child("JSONPath"), errors),
        }
    }
}

/// Checks `subresources.scale`.
pub(super) fn scale(version: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let Some(scale) = version
        .pointer("/subresources/scale")
        .filter(|s| s.is_object())
    else {
        return;
    };
    let path = path.child("subresources");
    for (field, shown, prefix) in [
        ("specReplicasPath", "scale.specReplicasPath", ".spec."),
        ("statusReplicasPath", "scale.statusReplicasPath", ".status."),
    ] {
        let path = path.child(shown);
        match text(scale, field) {
            "" => errors.push(FieldError::required(path, "")),
            given if !given.starts_with('.') => simple_path(given, &path, errors),
            given if !given.starts_with(prefix) => {
                let detail = format!(
                    "should be a json path under {}",
                    prefix.trim_end_matches('.')
                );
                errors.push(FieldError::invalid(path, given, detail));
            }
            _ => {}
        }
    }
}

/// Checks `selectableFields`: paths in dot notation to strings, booleans or integers outside
/// metadata.
pub(super) fn selectable_fields(version: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    const MAX: usize = 8;
    let fields = list(version, "selectableFields");
    let path = path.child("selectableFields");
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut seen: Vec<&str> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let path = path.index(index);
        let path = path.child("jsonPath");
        let given = text(field, "jsonPath");
        if given.is_empty() {
            errors.push(FieldError::required(path, ""));
            continue;
        }
        if given.starts_with(".metadata.") {
            errors.push(FieldError::invalid(
                path,
                given,
                "must not point to fields in metadata",
            ));
        } else {
            match type_at(schema, given) {
                None => {
                    errors.push(FieldError::invalid(
                        path,
                        given,
                        "is an invalid path: does not refer to a valid field",
                    ));
                    continue;
                }
                Some("string" | "boolean" | "integer") => {}
                Some(_) => {
                    let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
                    errors.push(FieldError::invalid(path, given, detail));
                }
            }
        }
        if seen.contains(&given) {
            errors.push(FieldError::duplicate(path, given));
        }
        seen.push(given);
    }
    if seen.len() > MAX {
        errors.push(FieldError::too_many(path, seen.len() as u64, MAX as u64));
    }
}

fn type_at<'s>(schema: &'s Value, path: &str) -> Option<&'s str> {
    let node = path
        .strip_prefix('.')?
        .split('.')
        .try_fold(schema, |node, name| node.get("properties")?.get(name))?;
    Some(text(node, "type"))
}

fn simple_path(json_path: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if !json_path.starts_with('.') {
        errors.push(FieldError::invalid(
            path,
            json_path,
            "must be a simple json path starting with .",
        ));
    }
}
