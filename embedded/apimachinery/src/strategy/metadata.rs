//! The rules of `metadata`.

use serde_json::{Map, Value};

use crate::field::{FieldError, Path};
use crate::syntax::{self, Use};

type NameRule = fn(&str, Use) -> Vec<String>;

const MAX_ANNOTATIONS: usize = 256 * 1024;
const IMMUTABLE: &str = "field is immutable";

/// Checks the metadata of a new object whose name is complete.
pub(crate) fn validate(
    metadata: &Map<String, Value>,
    namespaced: bool,
    name_rule: NameRule,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    names(metadata, namespaced, name_rule, path, errors);
    decorations(metadata, path, errors);
    finalizers(metadata, path, errors);
}

/// Checks the metadata of an embedded resource, which needs no name.
pub(crate) fn validate_embedded(
    metadata: &Map<String, Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if let Some(name) = text(metadata, "name") {
        push_all(
            errors,
            path.child("name"),
            name,
            syntax::path_segment(name, Use::Name),
        );
    }
    decorations(metadata, path, errors);
    finalizers(metadata, path, errors);
}

/// Checks the metadata of a changed object.
pub(crate) fn validate_update(
    metadata: &Map<String, Value>,
    old: &Map<String, Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if old.contains_key("deletionTimestamp") {
        let before = strings(old, "finalizers");
        let mut extra: Vec<&str> = strings(metadata, "finalizers")
            .into_iter()
            .filter(|f| !before.contains(f))
            .collect();
        if !extra.is_empty() {
            extra.sort_unstable();
            let shown: Vec<String> = extra.iter().map(|f| format!("{f:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            errors.push(FieldError::forbidden(path.child("finalizers"), detail));
        }
    }
    let empty =
        |metadata| items(metadata, "finalizers").any(|f| f.as_str().is_none_or(str::is_empty));
    if empty(metadata) && !empty(old) {
        push_all(
            errors,
            path.child("finalizers"),
            "",
            syntax::qualified_name(""),
        );
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        if metadata.get(field) != old.get(field) {
            let value = metadata.get(field).cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(path.child(field), value, IMMUTABLE));
        }
    }
    decorations(metadata, path, errors);
}

/// Checks labels, as `metadata.labels` and `matchLabels` have them.
pub(crate) fn labels(labels: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for (key, value) in labels {
        push_all(errors, *path, key, syntax::qualified_name(key));
        if let Some(value) = value.as_str() {
            push_all(errors, *path, value, syntax::label_value(value));
        }
    }
}

fn names(
    metadata: &Map<String, Value>,
    namespaced: bool,
    name_rule: NameRule,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if let Some(prefix) = text(metadata, "generateName") {
        push_all(
            errors,
            path.child("generateName"),
            prefix,
            name_rule(prefix, Use::Prefix),
        );
    }
    match text(metadata, "name") {
        None => errors.push(FieldError::required(
            path.child("name"),
            "name or generateName is required",
        )),
        Some(name) => push_all(errors, path.child("name"), name, name_rule(name, Use::Name)),
    }
    match (namespaced, text(metadata, "namespace")) {
        (true, None) => errors.push(FieldError::required(path.child("namespace"), "")),
        (true, Some(namespace)) => {
            push_all(
                errors,
                path.child("namespace"),
                namespace,
                syntax::dns_label(namespace, Use::Name),
            );
        }
        (false, Some(_)) => errors.push(FieldError::forbidden(
            path.child("namespace"),
            "not allowed on this type",
        )),
        (false, None) => {}
    }
}

fn decorations(metadata: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(map) = metadata.get("labels").and_then(Value::as_object) {
        labels(map, &path.child("labels"), errors);
    }
    if let Some(map) = metadata.get("annotations").and_then(Value::as_object) {
        let path = path.child("annotations");
        for key in map.keys() {
            push_all(
                errors,
                path,
                key,
                syntax::qualified_name(&key.to_lowercase()),
            );
        }
        let size: usize = map
            .iter()
            .map(|(k, v)| k.len() + v.as_str().map_or(0, str::len))
            .sum();
        if size > MAX_ANNOTATIONS {
            errors.push(FieldError::too_long(path, MAX_ANNOTATIONS as u64));
        }
    }
    if let Some(list) = metadata.get("ownerReferences").and_then(Value::as_array) {
        owners(list, &path.child("ownerReferences"), errors);
    }
}

fn owners(list: &[Value], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut controller: Option<String> = None;
    for owner in list {
        let field = |name: &str| owner.get(name).and_then(Value::as_str).unwrap_or_default();
        let version = field("apiVersion").rsplit('/').next().unwrap_or_default();
        for (name, empty, what) in [
            ("apiVersion", version.is_empty(), "version"),
            ("kind", field("kind").is_empty(), "kind"),
            ("name", field("name").is_empty(), "name"),
            ("uid", field("uid").is_empty(), "uid"),
        ] {
            if empty {
                errors.push(FieldError::invalid(
                    path.child(name),
                    field(name),
                    format!("{what} must not be empty"),
                ));
            }
        }
        if field("apiVersion") == "v1" && field("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(*path, owner.clone(), detail));
        }
        if owner
            .get("controller")
            .and_then(Value::as_bool)
            .unwrap_or_default()
        {
            let this = format!("{}/{}", field("kind"), field("name"));
            match &controller {
                None => controller = Some(this),
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    errors.push(FieldError::invalid(
                        *path,
                        Value::Array(list.to_vec()),
                        detail,
                    ));
                }
            }
        }
    }
}

fn finalizers(metadata: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("finalizers");
    // A null is an empty string to Go, and an empty finalizer would be one that nobody removes.
    let finalizers: Vec<&str> = items(metadata, "finalizers")
        .map(|item| item.as_str().unwrap_or_default())
        .collect();
    for finalizer in &finalizers {
        push_all(errors, path, finalizer, syntax::qualified_name(finalizer));
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        let list = metadata.get("finalizers").cloned().unwrap_or(Value::Null);
        errors.push(FieldError::invalid(
            path,
            list,
            "finalizer foregroundDeletion and orphan cannot be both set",
        ));
    }
}

fn push_all(errors: &mut Vec<FieldError>, path: Path<'_>, value: &str, problems: Vec<String>) {
    errors.extend(
        problems
            .into_iter()
            .map(|problem| FieldError::invalid(path, value, problem)),
    );
}

fn text<'v>(map: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    map.get(name)
        .and_then(Value::as_str)
        .filter(|t| !t.is_empty())
}

fn strings<'v>(map: &'v Map<String, Value>, name: &str) -> Vec<&'v str> {
    items(map, name).filter_map(Value::as_str).collect()
}

fn items<'v>(map: &'v Map<String, Value>, name: &str) -> impl Iterator<Item = &'v Value> {
    map.get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
