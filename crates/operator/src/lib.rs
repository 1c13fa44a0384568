//! The operator: reconcilers, scheduler and admission webhook.
//!
//! It speaks only the Kubernetes API and does not know whether a cluster or the embedded substrate
//! answers.
//!
//! ```text
//!            watch.rs: one watch and one store for each kind, shared by everyone
//!                 │ touched objects
//!                 ▼
//!  controller.rs: which object is due?  ──► reconcile(object, ctx)
//!                                              │  dereference  all reads: stores first, API calls where it matters
//!                                              │  decide       pure: (&World, now) -> Plan
//!                                              ▼  apply        apply.rs, events.rs, finalizer.rs
//!                                           Kubernetes API, object store
//! ```
//!
//! # The rules of every reconciler
//!
//! * **Level-triggered and idempotent.** An activation carries no input but the name of the object;
//!   what to do follows from the world alone. Running it twice does nothing the second time.
//! * **Writes nothing when nothing changed.** All writes go through [`apply`], which compares
//!   first. An idle operator makes no write at all.
//! * **`dereference` → `decide` → `apply`.** Each kind has a folder with `mod.rs`
//!   (`controller(ctx)` and the `reconcile` that strings the three together), `dereference.rs`,
//!   `decide.rs` (pure, with the tests) and `apply.rs`, as far as it needs them.
//! * **Errors** have a stable [`controller::Reason::kind`]. The frame logs them, tells them once as
//!   an Event on the object, and tries again with exponential backoff; a reconciler adds the
//!   condition that says the same.
//! * **No polling.** `Action::await_change()` unless time itself is the cause (a deadline, the next
//!   schedule).
//! * **A malformed object never stops a watch**: [`watch`] leaves it out, and tells it as an Event
//!   on the object.

pub mod admission;
pub mod apply;
pub mod backupconfiguration;
pub mod backupsession;
pub mod backupstorage;
pub mod blueprint;
pub mod consent;
pub mod context;
pub mod controller;
pub mod events;
pub mod failure;
pub mod finalizer;
pub mod job;
pub mod repository;
pub mod restoresession;
pub mod schedule;
pub mod snapshot;
pub mod stores;
pub mod volume_job;
pub mod watch;

mod attempt;
mod config;
mod leader;
mod locks;
mod queue;
mod run;
mod takedown;
mod unlock;

pub use config::{
    JobEnvironment, OperatorConfig, STORAGE_EMULATOR_HOST, WebhookAddress, WebhookConfig,
};
pub use leader::LeaderError;
pub use queue::{MAX_SESSIONS, Queue};
pub use run::{RunError, run};
