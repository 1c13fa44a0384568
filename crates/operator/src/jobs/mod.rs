//! The Job that does the work of a session: what it runs, what it may do, and how it stands. All of
//! it is pure, `run.rs`, `sweep.rs` and `told.rs` aside.
//!
//! ```text
//!   tasks.rs     the addon's tasks and their Functions ─────────┐
//!   template.rs  the user's settings, from scheduler and addon ─┤
//!   pod.rs       image, volumes, order ─────────────────────────┴─► Job
//!   manifest.rs  the objects of a database that it reads or makes
//!   rbac.rs      the objects the Job works on ─► ServiceAccount, Roles, RoleBindings
//!   run.rs       Job and rights made, and taken away
//!   sweep.rs     rights that outlived their Job taken away
//!   said.rs      what the executor says on its session
//!   outcome.rs   Job + pods + Events ─► starting (why not yet), running, succeeded, failed why, stuck why
//!   obstacle.rs  what keeps a pod from starting;  told.rs reads its Events
//!   progress.rs  how that is told in the conditions of a session
//! ```
//!
//! A backup's and a restore's Job are built from the same parts; what differs is who asks and for
//! which objects.

pub(crate) mod manifest;
mod obstacle;
pub(crate) mod outcome;
pub(crate) mod pod;
pub(crate) mod progress;
pub(crate) mod rbac;
pub(crate) mod run;
mod said;
pub(crate) mod sweep;
pub(crate) mod tasks;
pub(crate) mod template;
pub(crate) mod told;
pub(crate) mod volume;

pub(crate) use outcome::{Outcome, judge};
pub(crate) use pod::{Task, Work};
pub(crate) use rbac::{Access, Holder, Rbac};
pub(crate) use said::{is_the_executors, nobody_waits};
pub(crate) use tasks::{DeadlineExceeded, TaskError};
pub(crate) use told::Told;
