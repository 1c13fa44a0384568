//! The rules of kubestash as pure functions: names, phases, schedule, retention, variables,
//! formats.
//!
//! Nothing in this crate does I/O or reads a clock: what a rule needs is an argument. Each module
//! is one rule of `docs/compatibility.md`, and each is covered by tables of cases.

pub mod args;
pub mod catalog;
pub mod condition;
pub mod format;
pub mod layout;
pub mod lock_holder;
pub mod manifest;
pub mod name;
pub mod nearest;
pub mod period;
pub mod phase;
pub mod retention;
pub mod schedule;
pub mod target;
pub mod usage;
pub mod variables;
