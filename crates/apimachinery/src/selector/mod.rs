//! Label and field selectors.
//!
//! Invariant: an empty selector matches everything.

use crate::status::Status;
use serde_json::{Map, Value};

/// Why a selector is refused; the texts are those of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The label selector cannot be parsed.
    #[error("unable to parse requirement: {0}")]
    Label(String),
    /// The field selector cannot be parsed.
    #[error("{0}")]
    Field(String),
    /// The field cannot be selected on.
    #[error("field label not supported: {0}")]
    UnsupportedField(String),
}

impl SelectorError {
    /// Stable category of the error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Label(_) => "LabelSelectorInvalid",
            Self::Field(_) => "FieldSelectorInvalid",
            Self::UnsupportedField(_) => "FieldSelectorUnsupported",
        }
    }
}

impl From<SelectorError> for Status {
    fn from(error: SelectorError) -> Self {
        Status::bad_request(error.to_string())
    }
}

/// A compiled label selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {}

impl LabelSelector {
    /// Parses the query parameter: `a=b,c!=d,e in (f,g),h notin (i),j,!k`, `a>1`.
    ///
    /// # Errors
    /// [`SelectorError::Label`].
    pub fn parse(selector: &str) -> Result<Self, SelectorError> {
        let _ = selector;
        todo!()
    }
    /// Compiles a LabelSelector object (`matchLabels`, `matchExpressions`). `{}` matches everything, null nothing.
    ///
    /// # Errors
    /// [`SelectorError::Label`].
    pub fn from_object(selector: &Value) -> Result<Self, SelectorError> {
        let _ = selector;
        todo!()
    }
    /// Whether labels (`metadata.labels`, absent means none) match.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let _ = labels;
        todo!()
    }
    /// Whether an object's labels match.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(
            object
                .pointer("/metadata/labels")
                .and_then(Value::as_object),
        )
    }
    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}

/// A compiled field selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {}

impl FieldSelector {
    /// Parses the query parameter: `metadata.name=x,status.phase!=Running`. `supported` are the fields besides
    /// `metadata.name` and `metadata.namespace`: [`supported_fields`] or a CRD's `selectableFields`.
    ///
    /// # Errors
    /// [`SelectorError::Field`] or [`SelectorError::UnsupportedField`].
    pub fn parse(selector: &str, supported: &[String]) -> Result<Self, SelectorError> {
        let _ = (selector, supported);
        todo!()
    }
    /// Whether an object matches; an absent field is the empty string.
    pub fn matches(&self, object: &Value) -> bool {
        let _ = object;
        todo!()
    }
    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// The value demanded of `metadata.name`, if it demands one: such a list or watch is of one object.
    pub fn name(&self) -> Option<&str> {
        todo!()
    }
}

/// Fields of a built-in kind that can be selected on, besides name and namespace.
pub fn supported_fields(group: &str, kind: &str) -> Vec<String> {
    let _ = (group, kind);
    todo!()
}
