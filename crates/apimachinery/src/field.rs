//! Errors that point at a field, worded as Kubernetes words them.
//!
//! Invariant: `Display` is byte for byte what `kubectl` users know, `path: <kind>: <bad value>: <detail>`.

use serde_json::Value;
use std::fmt;

/// What is wrong with a field; the names are the reasons of `status.details.causes[]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// `FieldValueNotFound`
    NotFound,
    /// `FieldValueRequired`
    Required,
    /// `FieldValueDuplicate`
    Duplicate,
    /// `FieldValueInvalid`
    Invalid,
    /// `FieldValueNotSupported`
    NotSupported,
    /// `FieldValueForbidden`
    Forbidden,
    /// `FieldValueTooLong`
    TooLong,
    /// `FieldValueTooMany`
    TooMany,
    /// `InternalError`
    Internal,
    /// `FieldValueTypeInvalid`
    TypeInvalid,
}

/// One finding about one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Path such as `spec.backends[0].name` or `metadata.labels[a/b]`; empty for the whole object.
    pub path: String,
    /// What is wrong.
    pub kind: ErrorKind,
    /// The value found there, if showing it helps.
    pub bad_value: Option<Value>,
    /// Why, in words; for [`ErrorKind::NotSupported`] the list of supported values.
    pub detail: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
