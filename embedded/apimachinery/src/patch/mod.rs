//! The three client-side patch formats: JSON patch, JSON merge patch, strategic merge patch.
//!
//! Invariant: a failed patch leaves no trace: the functions take the target by reference and return
//! a new document.

mod json;
mod order;
mod strategic;

pub use json::{MAX_DEPTH, json_patch};
use serde_json::Value;
pub use strategic::strategic_merge;

use crate::status::Status;

/// Why a patch cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The patch is not a document of its kind.
    #[error("failed to read the patch: {0}")]
    Malformed(String),
    /// An operation of a JSON patch does not fit the object.
    #[error("failed to apply the JSON patch: {0}")]
    JsonPatch(#[source] json_patch::PatchError),
    /// A JSON patch has more operations than are taken.
    #[error("failed to apply the JSON patch: it has {0} operations, more than the {max} allowed", max = json::MAX_OPERATIONS)]
    TooManyOperations(usize),
    /// A JSON patch asks for more than it may; sent in parts, it can be applied.
    #[error("failed to apply the JSON patch: {0}; send it in parts")]
    TooMuch(String),
    /// A strategic merge patch does not fit the kind.
    #[error("failed to apply the strategic merge patch: {0}")]
    Strategic(String),
}

impl PatchError {
    /// Stable category of the error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "PatchMalformed",
            Self::JsonPatch(_) => "JsonPatchFailed",
            Self::TooManyOperations(_) => "JsonPatchTooManyOperations",
            Self::TooMuch(_) => "JsonPatchTooMuch",
            Self::Strategic(_) => "StrategicMergeFailed",
        }
    }
}

impl From<PatchError> for Status {
    fn from(error: PatchError) -> Self {
        match &error {
            PatchError::Malformed(why) => {
                Status::bad_request(format!("error decoding patch: {why}"))
            }
            PatchError::JsonPatch(why) => Status::unprocessable_patch(&why.to_string()),
            PatchError::TooManyOperations(count) => Status::entity_too_large(&format!(
                "The allowed maximum operations in a JSON patch is {}, got {count}",
                json::MAX_OPERATIONS
            )),
            PatchError::TooMuch(_) => Status::unprocessable_patch(&error.to_string()),
            PatchError::Strategic(why) => Status::bad_request(why.clone()),
        }
    }
}

/// Applies an RFC 7386 merge patch.
///
/// # Errors
/// [`PatchError::Malformed`] when the patch is not an object.
pub fn merge_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed(
            "a merge patch must be an object".into(),
        ));
    }
    let mut result = target.clone();
    json_patch::merge(&mut result, patch);
    Ok(result)
}

#[cfg(test)]
mod tests;
