//! The Job that does the work of a session: what it runs, what it may do, and how it stands. All of it is pure,
//! `run.rs` and `sweep.rs` aside.
//!
//! ```text
//!   tasks.rs     the addon's tasks and their Functions ─────────┐
//!   template.rs  the user's settings, from scheduler and addon ─┤
//!   pod.rs       image, volumes, order ─────────────────────────┴─► Job
//!   manifest.rs  the objects of a database that it reads or makes
//!   rbac.rs      the objects the Job works on ─► ServiceAccount, Roles, RoleBindings
//!   run.rs       Job and rights made, and taken away
//!   sweep.rs     rights that outlived their Job taken away
//!   outcome.rs   Job + pods ─► running, succeeded, failed why, stuck why
//! ```
//!
//! A backup's and a restore's Job are built from the same parts; what differs is who asks and for which objects.

pub mod manifest;
pub mod outcome;
pub mod pod;
pub mod rbac;
pub mod run;
pub mod sweep;
pub mod tasks;
pub mod template;

pub use outcome::{Outcome, judge};
pub use pod::{Task, Work};
pub use rbac::{Access, Holder, Rbac};
pub use tasks::{DeadlineExceeded, TaskError};
