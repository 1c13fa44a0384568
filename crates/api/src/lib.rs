//! API types of kubestash: all kinds of the three groups, and the foreign kinds it reads.
//!
//! Everything here is data. The rules about the data (phases, names, retention, …) live in
//! `kubestash-domain`.
//!
//! ```text
//!   addons   Addon, Function                        cluster-wide catalog: what can be backed up, and by which program
//!   storage  BackupStorage, RetentionPolicy         where the data goes, how long it stays
//!            Repository ─owns→ Snapshot             one directory of a storage; one run into it
//!   core     BackupBlueprint ─makes→ BackupConfiguration ─makes→ BackupSession ─makes→ Snapshot
//!            BackupBatch, RestoreSession, HookTemplate, BackupVerifier, BackupVerificationSession
//!   foreign  appcatalog::AppBinding, kubedb::{Druid, MySQL, MariaDB, Postgres}
//! ```
//!
//! Conventions, the same for every type:
//! - A struct is named as its kind; `…Spec` and `…Status` are its two halves. Field names are the
//!   wire names in snake case.
//! - A field that may be absent is an `Option`, a list or map is empty when absent. A name that the
//!   validation rules insist on is a plain `String`, empty when absent. A field with a default in
//!   the schema has that default here too.
//! - Nothing is written as `null`, and a field that was absent stays absent, except the ones whose
//!   schema has a default.
//! - Doc comments are what `kubectl explain` shows, so they speak to the person who writes the
//!   manifest.
//!
//! The schemas, printer columns and validation rules are generated from these types ([`crds`]) and
//! are checked in as YAML under `deploy/crds/`.

// The derive of the validation rules (`KubeSchema`) repeats the struct, `pub` included, inside of a
// function.
#![allow(unreachable_pub)]
// Printer columns repeat their types, which this takes for repeated attributes.
#![allow(clippy::duplicated_attributes)]

#[macro_use]
mod string_enum;

mod crd;
mod schema;

pub mod addons;
pub mod appcatalog;
pub mod conditions;
pub mod config;
pub mod core;
pub mod kubedb;
pub mod labels;
pub mod shared;
pub mod storage;

pub use crd::{crds, definitions, foreign_crds};
