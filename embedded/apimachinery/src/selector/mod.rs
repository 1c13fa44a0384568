//! Label and field selectors.
//!
//! Invariant: an empty selector matches everything.

mod fields;
mod labels;
mod parse;

pub use fields::{FieldSelector, supported_fields};
pub use labels::LabelSelector;

use crate::status::Status;

/// Why a selector is refused; the texts are those of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The label selector cannot be parsed.
    #[error("{0}")]
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
