//! What the API server does to an object of each kind on its way in: defaults, preparation,
//! validation.
//!
//! Custom resources go through the same functions: for them only the rules of `metadata`, `status`
//! and `generation` apply, the rest is their schema's.

mod config;
mod defaults;
mod event;
mod job;
pub(crate) mod metadata;
mod pod;
mod prepare;
mod rbac;
mod service;
mod volume;
mod webhook;

pub use defaults::apply_defaults;
use jiff::Timestamp;
pub use prepare::{prepare_for_create, prepare_for_update};
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::ResourceInfo;
use crate::syntax::{self, Use};

/// What a new object gets from the server.
#[derive(Debug, Clone, Copy)]
pub struct NewObject<'a> {
    /// `metadata.uid`.
    pub uid: &'a str,
    /// `metadata.creationTimestamp`.
    pub now: Timestamp,
    /// Five characters of [`NAME_ALPHABET`], used if the name is generated.
    pub name_suffix: &'a str,
}

/// The characters of generated name suffixes (no vowels, no look-alikes).
pub const NAME_ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The part of an object that a request writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The object itself; its status is kept when there is a status subresource.
    Main,
    /// Only the status.
    Status,
}

/// All that is wrong with a new object besides its schema.
pub fn validate_create(resource: &ResourceInfo, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = Path::ROOT;
    if let Some(metadata) = object.get("metadata").and_then(Value::as_object) {
        let rule = name_rule(resource);
        metadata::validate(
            metadata,
            resource.namespaced,
            rule,
            &root.child("metadata"),
            &mut errors,
        );
    }
    validate_kind(resource, object, &mut errors);
    errors
}

/// All that is wrong with a change besides the schema: metadata rules, immutable fields.
pub fn validate_update(
    resource: &ResourceInfo,
    object: &Value,
    old: &Value,
    part: Part,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = Path::ROOT;
    if let (Some(new), Some(old)) = (metadata_of(object), metadata_of(old)) {
        metadata::validate_update(new, old, &root.child("metadata"), &mut errors);
    }
    if part == Part::Status {
        return errors;
    }
    validate_kind(resource, object, &mut errors);
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "ConfigMap" | "Secret") => config::validate_update(object, old, &mut errors),
        ("", "PersistentVolumeClaim") => volume::validate_claim_update(object, old, &mut errors),
        ("", "Pod") => pod::validate_update(object, old, &mut errors),
        ("batch", "Job") => job::validate_update(object, old, &mut errors),
        (rbac::GROUP, "RoleBinding" | "ClusterRoleBinding") => {
            rbac::validate_binding_update(object, old, &mut errors)
        }
        _ => {}
    }
    errors
}

fn validate_kind(resource: &ResourceInfo, object: &Value, errors: &mut Vec<FieldError>) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "ConfigMap") => config::validate_config_map(object, errors),
        ("", "Secret") => config::validate_secret(object, errors),
        ("", "Event") | ("events.k8s.io", "Event") => event::validate(resource, object, errors),
        ("", "PersistentVolume") => volume::validate_volume(object, errors),
        ("", "PersistentVolumeClaim") => volume::validate_claim(object, errors),
        ("", "Pod") => pod::validate(object, errors),
        ("", "Service") => service::validate(object, errors),
        ("admissionregistration.k8s.io", _) => webhook::validate(object, errors),
        ("batch", "Job") => job::validate(object, errors),
        (rbac::GROUP, "Role" | "ClusterRole") => rbac::validate_role(resource, object, errors),
        (rbac::GROUP, "RoleBinding" | "ClusterRoleBinding") => {
            rbac::validate_binding(resource, object, errors)
        }
        _ => {}
    }
}

fn name_rule(resource: &ResourceInfo) -> fn(&str, Use) -> Vec<String> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => syntax::dns_label,
        ("", "Service") => syntax::dns_1035_label,
        (rbac::GROUP, _) => syntax::path_segment,
        _ => syntax::dns_subdomain,
    }
}

fn metadata_of(object: &Value) -> Option<&serde_json::Map<String, Value>> {
    object.get("metadata").and_then(Value::as_object)
}

/// A text field; absent is empty.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A list; absent is empty.
fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Reports a number that must not be negative.
fn not_negative(value: &Value, name: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(number) = value.get(name).and_then(Value::as_i64).filter(|n| *n < 0) {
        errors.push(FieldError::invalid(
            path.child(name),
            number,
            "must be greater than or equal to 0",
        ));
    }
}

/// Reports a field that changed though it must not.
fn immutable(
    new: Option<&Value>,
    old: Option<&Value>,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let given = |value: Option<&Value>| value.filter(|v| !v.is_null()).cloned();
    if given(new) != given(old) {
        errors.push(FieldError::invalid(
            path,
            new.cloned().unwrap_or(Value::Null),
            "field is immutable",
        ));
    }
}

#[cfg(test)]
mod tests;
