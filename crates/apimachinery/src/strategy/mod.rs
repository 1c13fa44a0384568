//! What the API server does to an object of each kind on its way in: defaults, preparation, validation.
//!
//! Custom resources go through the same functions: for them only the rules of `metadata`, `status` and `generation`
//! apply, the rest is their schema's.

pub(crate) mod metadata;

use crate::field::FieldError;
use crate::resource::ResourceInfo;
use jiff::Timestamp;
use serde_json::Value;

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

/// Fills in the defaults of a built-in kind (nothing for others). Idempotent. Also used on what is read back.
pub fn apply_defaults(resource: &ResourceInfo, object: &mut Value) {
    let _ = (resource, object);
    todo!()
}

/// Makes a decoded object ready to be stored as new: name from generateName, system metadata set, status dropped
/// where it is a subresource, generation 1, kind-specific preparation (Secret stringData, Namespace finalizer, Job
/// selector and labels). `namespace` is the one of the URL; for a cluster-scoped resource it is `None`.
pub fn prepare_for_create(
    resource: &ResourceInfo,
    object: &mut Value,
    namespace: Option<&str>,
    new: &NewObject<'_>,
) {
    let _ = (resource, object, namespace, new);
    todo!()
}

/// All that is wrong with a new object besides its schema.
pub fn validate_create(resource: &ResourceInfo, object: &Value) -> Vec<FieldError> {
    let _ = (resource, object);
    todo!()
}

/// Makes a changed object ready to be stored: system metadata and the part not written are those of `old`,
/// `generation` rises when anything but metadata and status changed.
pub fn prepare_for_update(resource: &ResourceInfo, object: &mut Value, old: &Value, part: Part) {
    let _ = (resource, object, old, part);
    todo!()
}

/// All that is wrong with a change besides the schema: metadata rules, immutable fields.
pub fn validate_update(
    resource: &ResourceInfo,
    object: &Value,
    old: &Value,
    part: Part,
) -> Vec<FieldError> {
    let _ = (resource, object, old, part);
    todo!()
}
