//! `spec.versions` of a CRD.

use serde_json::Value;

use super::{list, printer, schema_node, structural, text};
use crate::field::{FieldError, Path};
use crate::schema::{Schema, cel, validation};
use crate::syntax::{self, Use};

/// Checks every version.
pub(super) fn check(spec: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let versions = list(spec, "versions");
    let path = path.child("versions");
    let mut names: Vec<&str> = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let name = text(version, "name");
        let at = path.index(index);
        let problems = syntax::dns_1035_label(name, Use::Name);
        if !problems.is_empty() {
            errors.push(FieldError::invalid(
                at.child("name"),
                name,
                problems.join(","),
            ));
        }
        names.push(name);
        check_schema(version, &at, errors);
        printer::scale(version, &at, errors);
        printer::columns(version, &at, errors);
        printer::selectable_fields(version, &at, errors);
    }
    let shown = || Value::from(names.iter().map(|n| Value::from(*n)).collect::<Vec<_>>());
    if names
        .iter()
        .enumerate()
        .any(|(i, name)| names[..i].contains(name))
    {
        errors.push(FieldError::invalid(
            path,
            shown(),
            "must contain unique version names",
        ));
    }
    if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
        errors.push(FieldError::invalid(
            path,
            shown(),
            "must have exactly one version marked as storage version",
        ));
    }
}

fn check_schema(version: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("schema");
    let path = path.child("openAPIV3Schema");
    let schema = &version["schema"]["openAPIV3Schema"];
    if !schema.is_object() {
        errors.push(FieldError::required(path, "schemas are required"));
        return;
    }
    if schema["nullable"] == true {
        errors.push(FieldError::forbidden(
            path.child("nullable"),
            "nullable cannot be true at the root",
        ));
    }
    let before = errors.len();
    schema_node::check(schema, &path, schema_node::Context::default(), errors);
    if errors.len() > before {
        return;
    }
    structural::check(schema, &path, errors);
    if errors.len() > before {
        return;
    }
    // Rules and patterns are only worth compiling in a schema that is sound otherwise.
    match Schema::compile(schema) {
        Err(crate::schema::SchemaError::NotStructural(mut error)) => {
            error.path = if error.path.is_empty() {
                path.to_string()
            } else {
                format!("{path}.{}", error.path)
            };
            errors.push(*error);
        }
        Ok(compiled) => {
            validation::check_defaults(compiled.root(), &path, errors);
            cel::check_costs(compiled.root(), &path, errors);
        }
    }
}
