//! Manifests: the Kubernetes objects of a database, and how they come back under other names or
//! elsewhere.
//!
//! ```text
//!   database object ─► inventory  which objects belong to it
//!                         │
//!        the objects ─► clean ─► document  the bytes that are backed up
//!                                   │
//!   RestoreSession's options ─► placement ─► rewrite  the objects as they are made anew
//!                                   └► target  where the data of the same Snapshot goes
//! ```
//! The inventory without the objects' contents is written on the Snapshot, so that whoever prepares
//! a restore knows the names of all objects, and can give rights to exactly these, without a look
//! at the data (`docs/compatibility.md`, "Manifests").

mod choice;
mod clean;
mod document;
mod inventory;
mod kind;
mod overlay;
mod placement;
mod rewrite;
mod target;

pub use clean::clean;
pub use document::{Document, DocumentError};
pub use inventory::{Item, Member, Part, dependencies, inventory, members};
pub use kind::{DatabaseKind, GROUP};
pub use overlay::overlay;
pub use placement::{Placement, place};
pub use rewrite::{Rewrite, belongs_to_another, rewrite};
use serde_json::Value;
pub use target::effective_target;

/// Annotation of a Snapshot: the inventory of its component `manifest`.
pub const INVENTORY_ANNOTATION: &str = "manifest.kubestash.com/objects";
/// Component of a Snapshot that holds manifests.
pub const COMPONENT: &str = "manifest";
/// Path of the document in its restic repository.
pub const FILE: &str = "kubestash-tmp/manifest";

/// Text at a path of keys; none if it is missing, empty or no text.
fn text<'a>(object: &'a Value, path: &[&str]) -> Option<&'a str> {
    let mut found = object;
    for key in path {
        found = found.get(key)?;
    }
    found.as_str().filter(|text| !text.is_empty())
}

/// Whether the value at a path of keys is `true`.
fn is_set(object: &Value, path: &[&str]) -> bool {
    let mut found = object;
    for key in path {
        found = &found[*key];
    }
    *found == Value::Bool(true)
}

#[cfg(test)]
mod tests;
