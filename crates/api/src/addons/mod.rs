//! Kinds of `addons.kubestash.com`: the cluster-wide catalog of what can be backed up, and by which
//! program.

mod addon;
mod function;

pub use addon::{Addon, AddonSpec, Task, TaskExecutor, VolumeTemplate};
pub use function::{Function, FunctionSpec};
