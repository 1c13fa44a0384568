//! BackupBlueprint: a template is there, and the blueprint's namespace may use the storages it
//! names.

use kube::ResourceExt;
use kubestash_api::core::BackupBlueprint;
use kubestash_domain::catalog::Direction;

use super::backup_configuration::storage_usage;
use super::task_parameters::task_parameters;
use super::{Others, Violation, directories, names};

/// Judges a BackupBlueprint; `before` is what it was, if it is not new. What its variables may make
/// of it is judged when they are filled in.
#[must_use]
pub(crate) fn backup_blueprint(
    object: &BackupBlueprint,
    before: Option<&BackupBlueprint>,
    others: &Others,
) -> Vec<Violation> {
    let namespace = object.namespace().unwrap_or_default();
    let Some(template) = &object.spec.backup_configuration_template else {
        return vec![Violation::new(
            "spec.backupConfigurationTemplate",
            "backupConfigurationTemplate can not be empty: give the backends and sessions of the BackupConfigurations to create",
        )];
    };
    let judge = |(index, backend): (usize, &kubestash_api::shared::BackendReference)| {
        let field = format!("spec.backupConfigurationTemplate.backends[{index}].storageRef");
        storage_usage(&field, backend.storage_ref.as_ref()?, &namespace, others)
    };
    let path = "spec.backupConfigurationTemplate";
    let usage = template.backends.iter().enumerate().filter_map(judge);
    let earlier = before
        .and_then(|before| before.spec.backup_configuration_template.as_ref())
        .map(|template| template.sessions.as_slice())
        .unwrap_or_default();
    let directories =
        directories::of_template(path, &template.backends, &template.sessions, earlier);
    let names = names::violations(path, None, &template.sessions);
    let addons = template.sessions.iter().enumerate();
    let parameters = addons.flat_map(|(index, session)| {
        let field = format!("{path}.sessions[{index}].addon");
        let info = session.addon.iter();
        info.flat_map(move |info| task_parameters(&field, info, Direction::Backup, others))
    });
    usage
        .chain(names)
        .chain(directories)
        .chain(parameters)
        .collect()
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
        let directories = |repositories: &[(&str, &str)]| {
            let repositories: Vec<_> = repositories
                .iter()
                .map(|(name, directory)| json!({"name": name, "backend": "x", "directory": directory}))
                .collect();
            json!({"backupConfigurationTemplate": {
                "backends": [{"name": "x", "storageRef": {"name": "other"}}],
                "sessions": [{"name": "s", "repositories": repositories}],
            }})
        };
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
            (
                json!({"backupConfigurationTemplate": {"backends": [{"name": "x"}], "sessions": [
                    {"name": "Session_A", "repositories": [{"name": "My Repo", "backend": "x", "directory": "/d"}]},
                    {"name": "${s}", "repositories": [{"name": "${repoName}", "backend": "x", "directory": "/d"}]}]}}),
                vec![
                    "spec.backupConfigurationTemplate.sessions[0].name",
                    "spec.backupConfigurationTemplate.sessions[0].repositories[0].name",
                ],
            ),
            // The default one will be taken.
            (template(json!({"name": "x"})), vec![]),
            (
                directories(&[
                    ("a", "/"),
                    ("b", "${namespace}/${targetName}"),
                    ("c", "x/../y"),
                ]),
                vec![
                    "spec.backupConfigurationTemplate.sessions[0].repositories[0].directory",
                    "spec.backupConfigurationTemplate.sessions[0].repositories[2].directory",
                ],
            ),
            (
                directories(&[
                    ("a", "demo"),
                    ("b", "demo/b"),
                    ("c", "${x}"),
                    ("d", "demo2"),
                ]),
                vec!["spec.backupConfigurationTemplate.sessions[0].repositories[1].directory"],
            ),
        ];
        for (spec, expected) in cases {
            let violations = backup_blueprint(&blueprint(spec.clone()), None, &others);
            let fields: Vec<_> = violations
                .iter()
                .map(|violation| violation.field.as_str())
                .collect();
            assert_eq!(fields, expected, "{spec}");
        }
        // One that was there before goes on.
        let old = blueprint(directories(&[("a", "/")]));
        assert_eq!(backup_blueprint(&old, Some(&old), &others), []);
    }
}
