//! One folder for each kind that is reconciled: `mod.rs` has the controller and its `reconcile`,
//! `dereference.rs` all reads, `decide.rs` what follows from them (pure), `apply.rs` all writes.

pub(crate) mod backupblueprint;
pub(crate) mod backupconfiguration;
pub(crate) mod backupsession;
pub(crate) mod backupstorage;
pub(crate) mod repository;
pub(crate) mod restoresession;
pub(crate) mod snapshot;
pub(crate) mod takedown;
