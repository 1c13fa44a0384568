//! Errors that point at a field, worded as Kubernetes words them.
//!
//! Invariant: `Display` is byte for byte what `kubectl` users know, `path: <kind>: <bad value>:
//! <detail>`.

use std::fmt;

use serde_json::Value;

use crate::gofmt;

/// What is wrong with a field; [`ErrorKind::reason`] is the reason of `status.details.causes[]`.
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

impl ErrorKind {
    /// The machine-readable reason of a cause in a Status.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    /// Whether the value itself is left out of the message.
    fn hides_value(self) -> bool {
        matches!(
            self,
            Self::Required | Self::Forbidden | Self::TooLong | Self::Internal
        )
    }
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

impl FieldError {
    /// A value that must be given is not.
    pub fn required(path: impl ToString, detail: impl Into<String>) -> Self {
        Self {
            path: path.to_string(),
            kind: ErrorKind::Required,
            bad_value: None,
            detail: detail.into(),
        }
    }

    /// A value that is malformed.
    pub fn invalid(
        path: impl ToString,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            path: path.to_string(),
            kind: ErrorKind::Invalid,
            bad_value: Some(value.into()),
            detail: detail.into(),
        }
    }

    /// A value of the wrong type; `found` is the name of the type found.
    pub fn type_invalid(path: impl ToString, found: &str, detail: impl Into<String>) -> Self {
        Self {
            path: path.to_string(),
            kind: ErrorKind::TypeInvalid,
            bad_value: Some(found.into()),
            detail: detail.into(),
        }
    }

    /// A value that is not one of those allowed.
    pub fn not_supported<S: AsRef<str>>(
        path: impl ToString,
        value: impl Into<Value>,
        supported: &[S],
    ) -> Self {
        let quoted: Vec<String> = supported.iter().map(|s| gofmt::quote(s.as_ref())).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Self {
            path: path.to_string(),
            kind: ErrorKind::NotSupported,
            bad_value: Some(value.into()),
            detail,
        }
    }

    /// A value that is given twice where it must be unique.
    pub fn duplicate(path: impl ToString, value: impl Into<Value>) -> Self {
        Self {
            path: path.to_string(),
            kind: ErrorKind::Duplicate,
            bad_value: Some(value.into()),
            detail: String::new(),
        }
    }

    /// A field that may not be set here, or not in this way.
    pub fn forbidden(path: impl ToString, detail: impl Into<String>) -> Self {
        Self {
            path: path.to_string(),
            kind: ErrorKind::Forbidden,
            bad_value: None,
            detail: detail.into(),
        }
    }

    /// A string with more than `max` bytes.
    pub fn too_long(path: impl ToString, max: u64) -> Self {
        Self {
            path: path.to_string(),
            kind: ErrorKind::TooLong,
            bad_value: None,
            detail: format!("may not be more than {max} bytes"),
        }
    }

    /// A list or map with more than `max` entries.
    pub fn too_many(path: impl ToString, actual: u64, max: u64) -> Self {
        Self {
            path: path.to_string(),
            kind: ErrorKind::TooMany,
            bad_value: Some(actual.into()),
            detail: format!("must have at most {max} items"),
        }
    }

    /// The message without the path: what a cause in a Status carries.
    pub fn body(&self) -> String {
        let words = self.kind.words();
        let mut out = match &self.bad_value {
            Some(value) if !self.kind.hides_value() => match value {
                Value::Null => format!("{words}: \"null\""),
                Value::String(text) => format!("{words}: {}", gofmt::quote(text)),
                other => format!("{words}: {}", gofmt::syntax(other)),
            },
            _ => words.to_string(),
        };
        if !self.detail.is_empty() {
            out.push_str(": ");
            out.push_str(&self.detail);
        }
        out
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "<nil>"
        } else {
            &self.path
        };
        write!(f, "{path}: {}", self.body())
    }
}

impl std::error::Error for FieldError {}

/// A path in an object, built on the way down without allocating; it is written out only for an
/// error.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Segment<'a> {
    Root,
    Child(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// The object itself.
    pub const ROOT: Path<'static> = Path {
        parent: None,
        segment: Segment::Root,
    };

    /// A field: `.name`.
    pub fn child(&'a self, name: &'a str) -> Path<'a> {
        Path {
            parent: Some(self),
            segment: Segment::Child(name),
        }
    }

    /// An item of a list: `[3]`.
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path {
            parent: Some(self),
            segment: Segment::Index(index),
        }
    }

    /// An entry of a map: `[key]`.
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path {
            parent: Some(self),
            segment: Segment::Key(key),
        }
    }

    /// Whether this is the object itself.
    pub fn is_root(&self) -> bool {
        matches!(self.segment, Segment::Root)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Child(name) if self.parent.is_none_or(Path::is_root) => f.write_str(name),
            Segment::Child(name) => write!(f, ".{name}"),
            Segment::Index(index) => write!(f, "[{index}]"),
            Segment::Key(key) => write!(f, "[{key}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_read_as_those_of_kubernetes() {
        let root = Path::ROOT;
        let spec = root.child("spec");
        let list = spec.child("backends");
        let item = list.index(2);
        let labels = spec.child("labels");
        let cases = [
            (
                FieldError::required(spec.child("provider"), ""),
                "spec.provider: Required value",
            ),
            (
                FieldError::required(item.child("name"), "must be set"),
                "spec.backends[2].name: Required value: must be set",
            ),
            (
                FieldError::not_supported(spec.child("p"), "x", &["a", "b"]),
                r#"spec.p: Unsupported value: "x": supported values: "a", "b""#,
            ),
            (
                FieldError::type_invalid(
                    spec.child("x"),
                    "string",
                    r#"spec.x in body must be of type integer: "string""#,
                ),
                r#"spec.x: Invalid value: "string": spec.x in body must be of type integer: "string""#,
            ),
            (
                FieldError::duplicate(labels.key("a/b"), json!({"k": "v"})),
                r#"spec.labels[a/b]: Duplicate value: map[string]interface {}{"k":"v"}"#,
            ),
            (FieldError::forbidden("spec", "no"), "spec: Forbidden: no"),
            (
                FieldError::too_long("spec", 63),
                "spec: Too long: may not be more than 63 bytes",
            ),
            (
                FieldError::too_many("spec", 3, 2),
                "spec: Too many: 3: must have at most 2 items",
            ),
            (
                FieldError::invalid("", Value::Null, "why"),
                r#"<nil>: Invalid value: "null": why"#,
            ),
            (
                FieldError::invalid("a", 5, "why"),
                "a: Invalid value: 5: why",
            ),
        ];
        for (error, want) in cases {
            assert_eq!(error.to_string(), want);
        }
    }
}
