//! The three client-side patch formats: JSON patch, JSON merge patch, strategic merge patch.
//!
//! Invariant: a failed patch leaves no trace: the functions take the target by reference and return a new document.

use crate::schema::Schema;
use crate::status::Status;
use serde_json::Value;

/// Why a patch cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The patch is not a document of its kind.
    #[error("failed to read the patch: {0}")]
    Malformed(String),
    /// An operation of a JSON patch does not fit the object.
    #[error("{0}")]
    JsonPatch(String),
    /// A strategic merge patch does not fit the kind.
    #[error("{0}")]
    Strategic(String),
}

impl PatchError {
    /// Stable category of the error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "PatchMalformed",
            Self::JsonPatch(_) => "JsonPatchFailed",
            Self::Strategic(_) => "StrategicMergeFailed",
        }
    }
}

impl From<PatchError> for Status {
    fn from(_error: PatchError) -> Self {
        todo!()
    }
}

/// Applies an RFC 6902 JSON patch (an array of operations).
///
/// # Errors
/// [`PatchError::Malformed`] or [`PatchError::JsonPatch`].
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let _ = (target, patch);
    todo!()
}

/// Applies an RFC 7386 merge patch.
///
/// # Errors
/// [`PatchError::Malformed`] when the patch is not an object.
pub fn merge_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let _ = (target, patch);
    todo!()
}

/// Applies a strategic merge patch; merge keys come from the built-in kind's schema ([`Schema::builtin`]).
/// Custom resources do not take this patch type: answer 415 ([`Status::unsupported_media_type`]).
///
/// # Errors
/// [`PatchError::Malformed`] or [`PatchError::Strategic`].
pub fn strategic_merge(
    target: &Value,
    patch: &Value,
    schema: &Schema,
) -> Result<Value, PatchError> {
    let _ = (target, patch, schema);
    todo!()
}
