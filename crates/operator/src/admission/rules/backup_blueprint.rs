//! BackupBlueprint: a template is there, and the blueprint's namespace may use the storages it names.

use kube::ResourceExt;
use kubestash_api::core::BackupBlueprint;
use kubestash_core::catalog::Direction;

use super::{
    Others, Violation, backup_configuration::storage_usage, task_parameters::task_parameters,
};

/// Judges a BackupBlueprint. What its variables may make of it is judged when they are filled in.
#[must_use]
pub fn backup_blueprint(object: &BackupBlueprint, others: &Others) -> Vec<Violation> {
    let namespace = object.namespace().unwrap_or_default();
    let Some(template) = &object.spec.backup_configuration_template else {
        return vec![Violation::new(
            "spec.backupConfigurationTemplate",
            "backupConfigurationTemplate can not be empty: give the backends and sessions of the BackupConfigurations to make",
        )];
    };
    let judge = |(index, backend): (usize, &kubestash_api::shared::BackendReference)| {
        let field = format!("spec.backupConfigurationTemplate.backends[{index}].storageRef");
        storage_usage(&field, backend.storage_ref.as_ref()?, &namespace, others)
    };
    let mut violations: Vec<_> = template
        .backends
        .iter()
        .enumerate()
        .filter_map(judge)
        .collect();
    for (index, session) in template.sessions.iter().enumerate() {
        let field = format!("spec.backupConfigurationTemplate.sessions[{index}].addon");
        violations.extend(
            session
                .addon
                .iter()
                .flat_map(|info| task_parameters(&field, info, Direction::Backup, others)),
        );
    }
    violations
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn blueprint(spec: Value) -> BackupBlueprint {
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupBlueprint",
            "metadata": {"name": "b", "namespace": "demo"}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn a_blueprint_needs_a_template_and_storages_it_may_use() {
        let storage = serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "s", "namespace": "vault"}, "spec": {},
        }))
        .unwrap();
        let others = Others {
            storages: vec![Arc::new(storage)],
            ..Others::default()
        };
        let template =
            |backend: Value| json!({"backupConfigurationTemplate": {"backends": [backend]}});
        let cases = [
            (json!({}), vec!["spec.backupConfigurationTemplate"]),
            (
                template(json!({"name": "x", "storageRef": {"name": "s", "namespace": "vault"}})),
                vec!["spec.backupConfigurationTemplate.backends[0].storageRef"],
            ),
            // Not there yet, or named by a variable.
            (
                template(
                    json!({"name": "x", "storageRef": {"name": "${storage}", "namespace": "vault"}}),
                ),
                vec![],
            ),
            // The default one will be taken.
            (template(json!({"name": "x"})), vec![]),
        ];
        for (spec, expected) in cases {
            let violations = backup_blueprint(&blueprint(spec.clone()), &others);
            let fields: Vec<_> = violations
                .iter()
                .map(|violation| violation.field.as_str())
                .collect();
            assert_eq!(fields, expected, "{spec}");
        }
    }
}
