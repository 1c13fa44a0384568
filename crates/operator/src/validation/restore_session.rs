//! RestoreSession: its namespace may use the HookTemplates it names, and its tasks take their
//! parameters.

use kube::ResourceExt;
use kubestash_api::core::RestoreSession;
use kubestash_domain::catalog::Direction;

use super::backup_configuration::hook_usage;
use super::task_parameters::task_parameters;
use super::{Others, Violation};

/// Judges a RestoreSession. That it says what to restore from is in its schema.
#[must_use]
pub(crate) fn restore_session(object: &RestoreSession, others: &Others) -> Vec<Violation> {
    let namespace = object.namespace().unwrap_or_default();
    let mut violations: Vec<_> = object
        .spec
        .addon
        .iter()
        .flat_map(|info| task_parameters("spec.addon", info, Direction::Restore, others))
        .collect();
    let Some(hooks) = &object.spec.hooks else {
        return violations;
    };
    violations.extend(hook_usage(
        "spec.hooks.preRestore",
        &hooks.pre_restore,
        &namespace,
        others,
    ));
    violations.extend(hook_usage(
        "spec.hooks.postRestore",
        &hooks.post_restore,
        &namespace,
        others,
    ));
    violations
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_hook_template_of_another_namespace_must_allow_the_restore() {
        let template = |from: &str| {
            let template = json!({
                "apiVersion": "core.kubestash.com/v1alpha1", "kind": "HookTemplate",
                "metadata": {"name": "h", "namespace": "vault"},
                "spec": {"usagePolicy": {"allowedNamespaces": {"from": from}}},
            });
            Others {
                hook_templates: vec![Arc::new(serde_json::from_value(template).unwrap())],
                ..Others::default()
            }
        };
        let object: RestoreSession = serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
            "metadata": {"name": "r", "namespace": "demo"},
            "spec": {"hooks": {"postRestore": [{"name": "x", "hookTemplate": {"name": "h", "namespace": "vault"}}]}},
        }))
        .unwrap();
        assert_eq!(restore_session(&object, &template("All")), []);
        assert_eq!(restore_session(&object, &Others::default()), []);
        let violations = restore_session(&object, &template("Same"));
        assert_eq!(
            violations[0].field,
            "spec.hooks.postRestore[0].hookTemplate"
        );
    }
}
