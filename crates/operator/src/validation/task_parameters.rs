//! Parameters of tasks: each has to be one that the task takes.
//!
//! Judged where the Addon, its task and the Function exist; otherwise the session says later what
//! is wrong. The names of parameters hold no variables, so those of a blueprint are judged like
//! others.

use kube::ResourceExt;
use kubestash_api::shared::AddonInfo;
use kubestash_domain::catalog::{self, Direction};

use super::{Others, Violation};

/// Judges the parameters of all tasks of `info`, which stands in `field`.
pub(super) fn task_parameters(
    field: &str,
    info: &AddonInfo,
    direction: Direction,
    others: &Others,
) -> Vec<Violation> {
    let mut addons = others.addons.iter();
    let Some(addon) = addons.find(|addon| addon.name_any() == info.name) else {
        return Vec::new();
    };
    let judge = |(index, reference): (usize, &kubestash_api::shared::TaskReference)| {
        let task = catalog::find_task(addon, direction, &reference.name)
            .ok()?
            .task;
        let mut functions = others.functions.iter();
        let function = functions.find(|function| function.name_any() == task.function)?;
        let error = catalog::check_parameters(task, function, reference).err()?;
        Some(Violation::new(
            format!("{field}.tasks[{index}]"),
            error.to_string(),
        ))
    };
    info.tasks.iter().enumerate().filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::{backup_blueprint, backup_configuration, restore_session};
    use super::*;

    fn catalog() -> Others {
        Others {
            addons: catalog::addons().into_iter().map(Arc::new).collect(),
            functions: catalog::functions("image")
                .into_iter()
                .map(Arc::new)
                .collect(),
            ..Others::default()
        }
    }

    fn addon(name: &str, task: &str, params: Value) -> Value {
        json!({"name": name, "tasks": [{"name": "other"}, {"name": task, "params": params}]})
    }

    fn found(violations: &[Violation]) -> Vec<String> {
        let about = |violation: &&Violation| violation.message.contains("no parameter");
        let found = violations.iter().filter(about);
        found.map(ToString::to_string).collect()
    }

    /// What is wrong with the parameters of an addon in each of the kinds that have one.
    fn judged(addon: &Value, restore: &Value, others: &Others) -> [Vec<String>; 3] {
        let sessions = json!([{"name": "s", "addon": addon}]);
        let configuration = json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": "c", "namespace": "demo"}, "spec": {"sessions": sessions},
        });
        let blueprint = json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupBlueprint",
            "metadata": {"name": "b", "namespace": "demo"},
            "spec": {"backupConfigurationTemplate": {"sessions": sessions}},
        });
        let restore = json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
            "metadata": {"name": "r", "namespace": "demo"}, "spec": {"addon": restore},
        });
        let parsed = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        [
            found(&backup_configuration(&parsed(&configuration), others)),
            found(&backup_blueprint(
                &serde_json::from_value(blueprint).unwrap(),
                None,
                others,
            )),
            found(&restore_session(
                &serde_json::from_value(restore).unwrap(),
                others,
            )),
        ]
    }

    #[test]
    fn a_parameter_that_the_task_does_not_take_is_refused_in_every_kind() {
        let backup = |params| addon("mysql-addon", "logical-backup", params);
        let restore = |params| addon("mysql-addon", "logical-backup-restore", params);
        let good = json!({"args": "--quick"});
        let found = judged(&backup(good.clone()), &restore(good.clone()), &catalog());
        assert_eq!(found, [vec![], vec![], vec![]] as [Vec<String>; 3]);

        let bad = json!({"database": "${database}"});
        let [configuration, blueprint, session] =
            judged(&backup(bad.clone()), &restore(bad.clone()), &catalog());
        let fields = [
            (configuration, "spec.sessions[0].addon.tasks[1]: "),
            (
                blueprint,
                "spec.backupConfigurationTemplate.sessions[0].addon.tasks[1]: ",
            ),
            (session, "spec.addon.tasks[1]: "),
        ];
        for (found, field) in fields {
            let [only] = found.as_slice() else {
                panic!("{field} {found:?}");
            };
            assert!(only.starts_with(field), "{only}");
            assert!(only.contains("it takes "), "{only}");
            assert!(only.contains(" args, "), "{only}");
        }

        // What is not there yet is not judged; a task of the other direction is none.
        let unjudged = [
            (backup(bad.clone()), Others::default()),
            (addon("none", "logical-backup", bad.clone()), catalog()),
            (addon("${addon}", "logical-backup", bad.clone()), catalog()),
            (addon("mysql-addon", "none", bad.clone()), catalog()),
            (
                backup(bad),
                Others {
                    functions: Vec::new(),
                    ..catalog()
                },
            ),
        ];
        for (backup, others) in unjudged {
            let found = judged(&backup, &restore(good.clone()), &others);
            assert_eq!(found, [vec![], vec![], vec![]] as [Vec<String>; 3]);
        }
    }
}
