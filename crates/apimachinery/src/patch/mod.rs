//! The three client-side patch formats: JSON patch, JSON merge patch, strategic merge patch.
//!
//! Invariant: a failed patch leaves no trace: the functions take the target by reference and return a new document.

mod order;
mod strategic;

pub use strategic::strategic_merge;

use crate::status::Status;
use serde_json::Value;

/// Why a patch cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The patch is not a document of its kind.
    #[error("failed to read the patch: {0}")]
    Malformed(String),
    /// An operation of a JSON patch does not fit the object.
    #[error("failed to apply the JSON patch: {0}")]
    JsonPatch(#[source] json_patch::PatchError),
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
            PatchError::Strategic(why) => Status::bad_request(why.clone()),
        }
    }
}

/// Applies an RFC 6902 JSON patch (an array of operations).
///
/// # Errors
/// [`PatchError::Malformed`] or [`PatchError::JsonPatch`].
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|e| PatchError::Malformed(e.to_string()))?;
    let mut result = target.clone();
    json_patch::patch(&mut result, &operations).map_err(PatchError::JsonPatch)?;
    Ok(result)
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
