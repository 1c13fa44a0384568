//! Conflicts, as kubectl shows them.

use serde_json::{Value, json};

use super::entries::Identity;
use super::set::Set;
use crate::gofmt::quote;
use crate::status::Status;

/// One field owned by another manager.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The other manager, described as kubectl shows it: `"kubectl-client-side-apply" using v1`.
    pub manager: String,
    /// Path such as `.spec.replicas` or `.spec.containers[name="c"].image`.
    pub field: String,
}

/// The conflicts with a manager that owns these fields.
pub(super) fn with(manager: &Identity, fields: &Set) -> Vec<Conflict> {
    let described = describe(manager);
    fields
        .paths()
        .into_iter()
        .map(|field| Conflict {
            manager: described.clone(),
            field,
        })
        .collect()
}

fn describe(manager: &Identity) -> String {
    let mut text = quote(&manager.manager);
    if !manager.subresource.is_empty() {
        text.push_str(&format!(
            " with subresource {}",
            quote(&manager.subresource)
        ));
    }
    if !manager.applied {
        text.push_str(&format!(" using {}", manager.api_version));
    }
    text
}

/// `Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .spec.x`.
pub fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        return format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            only.manager, only.field
        );
    }
    let mut managers: Vec<&str> = conflicts.iter().map(|c| c.manager.as_str()).collect();
    managers.sort_unstable();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        let fields = conflicts.iter().filter(|c| c.manager == manager);
        lines.extend(fields.map(|conflict| format!("- {}", conflict.field)));
    }
    format!(
        "Apply failed with {} conflicts: {}",
        conflicts.len(),
        lines.join("\n")
    )
}

/// The refusal.
pub(super) fn status(conflicts: &[Conflict]) -> Status {
    let cause = |conflict: &Conflict| -> Value {
        let message = format!("conflict with {}", conflict.manager);
        json!({"reason": "FieldManagerConflict", "message": message, "field": conflict.field})
    };
    let causes: Vec<Value> = conflicts.iter().map(cause).collect();
    Status {
        code: 409,
        reason: "Conflict",
        message: conflict_message(conflicts),
        details: Some(json!({"causes": causes})),
        continue_token: None,
    }
}
