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

mod admission;
mod config;
mod consent;
mod context;
mod controllers;
mod jobs;
mod run;
mod runtime;
mod session;
mod stores;
mod validation;

pub use admission::{AdmissionError, CertificateError};
pub use config::{
    JobEnvironment, OperatorConfig, STORAGE_EMULATOR_HOST, WebhookAddress, WebhookConfig,
};
pub use consent::KeyError;
pub use run::{RunError, run};
pub use runtime::leader::LeaderError;
pub use session::queue::MAX_SESSIONS;
