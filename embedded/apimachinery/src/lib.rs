//! The rules of the Kubernetes API as pure functions: schemas, patches, field ownership, selectors,
//! tables.
//!
//! Everything here works on `serde_json::Value`, does no I/O, reads no clock and draws no random
//! numbers: whatever changes from call to call (`now`, a UID, a random name suffix) is an argument.
//! The embedded API server stores, watches and serves; what an object *means* is decided here.
//!
//! ```text
//!   create, replace:  body ── decode::json ──► Value ── Schema::prune ──► unknown ── decode::field_validation
//!   patch:            live ── patch::{json_patch, merge_patch, strategic_merge}, then prune as above
//!   apply:            live + configuration ── managed_fields::apply
//!                               │
//!                Schema::apply_defaults + strategy::apply_defaults
//!                               │
//!                managed_fields::update           (not for apply)
//!                               │
//!                mutating admission, then strategy::prepare_for_{create,update}
//!                               │
//!                Schema::validate + strategy::validate_{create,update} ──► FieldError… ── Status::invalid
//!                               │
//!                validating admission, store ──► table::render / openapi / selector on the way out
//! ```

pub mod decode;
pub mod field;
mod gofmt;
pub mod managed_fields;
pub mod openapi;
pub mod patch;
pub mod resource;
pub mod schema;
pub mod selector;
pub mod status;
pub mod strategy;
mod syntax;
pub mod table;
mod time;

pub use field::{ErrorKind, FieldError};
pub use resource::ResourceInfo;
pub use schema::Schema;
pub use status::Status;
