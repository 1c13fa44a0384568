//! The names of a custom resource.

use serde_json::Value;

use super::{list, text};
use crate::field::{FieldError, Path};
use crate::syntax::{self, Use};

/// Checks `spec.names` (all four must be given) or `status.acceptedNames` (none need be).
pub(super) fn check(names: &Value, path: &Path<'_>, required: bool, errors: &mut Vec<FieldError>) {
    for field in ["plural", "singular", "kind", "listKind"] {
        if required && text(names, field).is_empty() {
            errors.push(FieldError::required(path.child(field), ""));
        }
    }
    for field in ["plural", "singular"] {
        let name = text(names, field);
        let problems = syntax::dns_1035_label(name, Use::Name);
        if !name.is_empty() && !problems.is_empty() {
            errors.push(FieldError::invalid(
                path.child(field),
                name,
                problems.join(","),
            ));
        }
    }
    for field in ["kind", "listKind"] {
        let name = text(names, field);
        let problems = syntax::dns_1035_label(&name.to_lowercase(), Use::Name);
        if !name.is_empty() && !problems.is_empty() {
            let detail = format!(
                "may have mixed case, but should otherwise match: {}",
                problems.join(",")
            );
            errors.push(FieldError::invalid(path.child(field), name, detail));
        }
    }
    let kind = text(names, "kind");
    if !kind.is_empty() && kind == text(names, "listKind") {
        errors.push(FieldError::invalid(
            path.child("listKind"),
            kind,
            "kind and listKind may not be the same",
        ));
    }
    for field in ["shortNames", "categories"] {
        let path = path.child(field);
        for (index, name) in list(names, field)
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
        {
            let problems = syntax::dns_1035_label(name, Use::Name);
            if !problems.is_empty() {
                errors.push(FieldError::invalid(
                    path.index(index),
                    name,
                    problems.join(","),
                ));
            }
        }
    }
}
