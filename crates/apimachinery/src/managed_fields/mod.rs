// NOTE: the lead is writing this module since 17:43; helper of apimachinery please stay with patch and the rest.
//! Field ownership: `metadata.managedFields`, server-side apply and its conflicts.
//!
//! Invariant: nothing is touched when nothing changed; an apply repeated gives an object equal to the live one, so
//! that the server can keep its resourceVersion.

use crate::schema::Schema;
use crate::status::Status;
use jiff::Timestamp;
use serde_json::Value;

/// Who writes, through what, when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// Field manager: the query parameter, or for updates without it the User-Agent up to the first `/`
    /// ([`default_manager`]).
    pub manager: &'a str,
    /// `apiVersion` of the request.
    pub api_version: &'a str,
    /// Subresource, such as `status`; empty for the object itself.
    pub subresource: &'a str,
    /// Time of the request.
    pub now: Timestamp,
}

/// Why an apply is refused.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields that this apply would change.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration does not fit the schema.
    #[error("failed to create typed patch object ({object}): {why}")]
    NotTyped {
        /// `namespace/name; group/version, Kind=kind`.
        object: String,
        /// What does not fit, such as `.spec.foo: field not declared in schema`.
        why: String,
    },
    /// `metadata.managedFields` of the configuration must be empty.
    #[error("metadata.managedFields must be nil")]
    HasManagedFields,
}

impl ApplyError {
    /// Stable category of the error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conflicts(_) => "ApplyConflict",
            Self::NotTyped { .. } => "ApplyNotTyped",
            Self::HasManagedFields => "ApplyHasManagedFields",
        }
    }
}

impl From<ApplyError> for Status {
    fn from(_error: ApplyError) -> Self {
        todo!()
    }
}

/// One field owned by another manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager, described as kubectl shows it: `"kubectl-client-side-apply" using v1`.
    pub manager: String,
    /// Path such as `.spec.replicas` or `.spec.containers[name="c"].image`.
    pub field: String,
}

/// `Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .spec.x`.
pub fn conflict_message(conflicts: &[Conflict]) -> String {
    let _ = conflicts;
    todo!()
}

/// The field manager of a request without `fieldManager`: the User-Agent's part before the first `/`.
pub fn default_manager(user_agent: &str) -> &str {
    user_agent.split('/').next().unwrap_or_default()
}

/// Server-side apply: merges `config` into `live` and records what the manager now owns. Without `live` the
/// object is new. The result still has to be defaulted, prepared and validated, but [`update`] must not be called
/// for it: what defaulting and admission add belongs to nobody. When nothing changed the result equals `live`.
///
/// # Errors
/// [`ApplyError`]; conflicts only without `force`.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    writer: &Writer<'_>,
    force: bool,
    schema: &Schema,
) -> Result<Value, ApplyError> {
    let _ = (live, config, writer, force, schema);
    todo!()
}

/// Records ownership after a create, replace or patch: `new` is the complete new object after defaulting, as sent
/// (its own managedFields, if any, count: an explicitly empty entry list resets, absence keeps the live ones).
/// Sets `metadata.managedFields` of `new`.
pub fn update(live: Option<&Value>, new: &mut Value, writer: &Writer<'_>, schema: &Schema) {
    let _ = (live, new, writer, schema);
    todo!()
}
