//! The embedded node: Jobs, pods as local processes, and the supervisor that ends them.
//!
//! ```text
//!   API server ──watch──► job controller ──creates──► Pod
//!       ▲                                              │ watch
//!       │ status                                       ▼
//!       └────────────── pod worker (one per Pod) ─ spawn ─► supervisor ─► init ─► process
//!                                                          (our binary, re-executed twice)
//! ```
//!
//! The crate knows no kind of kubestash: it speaks the Kubernetes API through a [`kube::Client`]
//! and runs the pods of that API as processes of this machine. Invariants:
//!
//! * everything is level-triggered: a restart reads the objects again and carries on from what they
//!   say;
//! * nothing is written when nothing has changed;
//! * no process outlives the program that started it, even if that is ended by `kill -9`
//!   ([`supervisor`]).

mod claim;
mod config;
mod events;
mod job_controller;
mod kubelet;
mod refused;
mod run;
pub mod supervisor;

pub use config::NodeConfig;
pub use refused::spoken;
pub use run::{NodeError, run};
