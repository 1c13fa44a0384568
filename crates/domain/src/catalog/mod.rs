//! The catalog: which tasks an addon has, which Function runs each, and with which arguments.
//!
//! ```text
//! session.addon.tasks[] ──find_task──► Addon task ──► Function
//!         │ params, variables              │ defaults     │ args with ${…}
//!         └──────────────variables─────────┴──render_args─┴──► words of a command line
//! ```
//! Values become single words: nothing in a parameter can add an argument (`docs/compatibility.md`,
//! "Variables").

mod data;
mod parameters;
mod task;

pub use data::{addons, functions};
pub use parameters::{BUILTIN, check_parameters, parameters};
pub use task::{Direction, FoundTask, find_task, render_args, variables};
use thiserror::Error;

use crate::variables::VariableError;

/// A task that cannot be run as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CatalogError {
    /// The addon has no such task.
    #[error(
        "failed to find task {task:?} in Addon {addon:?}: {direction} tasks it has: {available}; name one of them in addon.tasks[].name"
    )]
    UnknownTask {
        /// Name of the Addon.
        addon: String,
        /// Name that was asked for.
        task: String,
        /// `backup` or `restore`.
        direction: Direction,
        /// What there is instead.
        available: String,
    },
    /// A parameter that the task does not take.
    #[error(
        "failed to run task {task:?}: it has no parameter {parameter:?}{}; it takes {known}; correct addon.tasks[].{field}",
        meant(.nearest)
    )]
    UnknownParameter {
        /// Name of the task.
        task: String,
        /// Name of the parameter.
        parameter: String,
        /// `params` or `variables`.
        field: &'static str,
        /// The known one that is spelled nearest to it.
        nearest: Option<String>,
        /// Those that there are.
        known: String,
    },
    /// A parameter that the task needs was not given.
    #[error(
        "failed to run task {task:?}: parameter {parameter:?} is required; set it in addon.tasks[].params"
    )]
    ParameterMissing {
        /// Name of the task.
        task: String,
        /// Name of the parameter.
        parameter: String,
    },
    /// A parameter that is a list or a map.
    #[error(
        "failed to read parameter {parameter:?} of task {task:?}: it must be a string, number or boolean"
    )]
    ParameterType {
        /// Name of the task.
        task: String,
        /// Name of the parameter.
        parameter: String,
    },
    /// A variable that refers to another object.
    #[error(
        "failed to read variable {variable:?} of task {task:?}: only `value` is supported in addon.tasks[].variables, not `valueFrom`"
    )]
    VariableSource {
        /// Name of the task.
        task: String,
        /// Name of the variable.
        variable: String,
    },
    /// The Function's text needs a variable that nobody gives.
    #[error("failed to render Function {function:?}")]
    Render {
        /// Name of the Function.
        function: String,
        /// The cause.
        #[source]
        source: VariableError,
    },
}

fn meant(nearest: &Option<String>) -> String {
    let hint = |name: &String| format!(" (did you mean {name}?)");
    nearest.as_ref().map_or_else(String::new, hint)
}

impl CatalogError {
    /// Stable name of the kind of error, for metrics and reasons.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownTask { .. } => "UnknownTask",
            Self::UnknownParameter { .. } => "UnknownParameter",
            Self::ParameterMissing { .. } => "ParameterMissing",
            Self::ParameterType { .. } => "InvalidParameter",
            Self::VariableSource { .. } => "InvalidVariable",
            Self::Render { source, .. } => source.kind(),
        }
    }
}
