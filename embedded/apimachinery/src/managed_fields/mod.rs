//! Field ownership: `metadata.managedFields`, server-side apply and its conflicts.
//!
//! Invariant: nothing is touched when nothing changed; an apply repeated gives an object equal to
//! the live one, so that the server can keep its resourceVersion.
//!
//! ```text
//!             live ───────────┐                         managedFields of live
//!                             ├─ merge ─► merged ─ prune ─► new object
//!   configuration ─┬──────────┘                     ▲           │
//!                  └─ field set ─► what the manager owns now    │
//!                                                               ▼
//!                                    compare(live, new) ─► what changed ─► conflicts with the others' sets
//! ```

mod apply;
mod compare;
mod conflict;
mod entries;
mod field_set;
mod last_applied;
mod merge;
mod remove;
mod serialize;
mod set;
mod shape;
mod typed;
mod update;

pub use apply::apply;
pub use conflict::{Conflict, conflict_message};
use jiff::Timestamp;
use set::{Element, Set};
pub use update::update;

use crate::status::Status;

/// Who writes, through what, when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// Field manager: the query parameter, or for updates without it the User-Agent up to the
    /// first `/` ([`default_manager`]).
    pub manager: &'a str,
    /// `apiVersion` of the request.
    pub api_version: &'a str,
    /// Subresource, such as `status`; empty for the object itself.
    pub subresource: &'a str,
    /// Whether the resource has a status subresource: then the object itself cannot be used to
    /// write the status.
    pub has_status: bool,
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
    fn from(error: ApplyError) -> Self {
        match &error {
            ApplyError::Conflicts(conflicts) => conflict::status(conflicts),
            // Kubernetes has no reason for it and answers 500.
            ApplyError::NotTyped { .. } => Status {
                code: 500,
                reason: "",
                message: error.to_string(),
                details: None,
                continue_token: None,
            },
            ApplyError::HasManagedFields => Status::bad_request(error.to_string()),
        }
    }
}

/// The field manager of a request without `fieldManager`: the User-Agent's part before the first
/// `/`.
pub fn default_manager(user_agent: &str) -> &str {
    const MAX: usize = 128;
    let name = user_agent.split('/').next().unwrap_or_default();
    let end = (0..=name.len().min(MAX))
        .rev()
        .find(|i| name.is_char_boundary(*i))
        .unwrap_or_default();
    &name[..end]
}

impl Writer<'_> {
    /// The fields that this writer cannot write, whatever it sends.
    fn reset_fields(&self) -> Set {
        let names: &[&str] = match (self.subresource, self.has_status) {
            ("status", _) => &["spec"],
            ("", true) => &["status"],
            _ => &[],
        };
        Set::of_fields(names)
    }
}

/// Fields that belong to the server, and those that say which object it is: nobody owns them.
fn strip_system_fields(set: &Set) -> Set {
    const METADATA: [&str; 8] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let mut strip = Set::of_fields(&["apiVersion", "kind", "metadata"]);
    for name in METADATA {
        strip.insert(&[Element::field("metadata"), Element::field(name)]);
    }
    set.difference(&strip)
}

#[cfg(test)]
mod tests;
