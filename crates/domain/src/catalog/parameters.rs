//! Which parameters a task takes: the one place that knows.
//!
//! A parameter is known if the Addon's task declares it or a text of its Function refers to it, be
//! the two ours, the original's or a user's. Every other one would be ignored, and what the user
//! asked for would not be done.

use std::collections::BTreeSet;

use kubestash_api::addons::{Function, Task};
use kubestash_api::shared::TaskReference;
use serde_json::Value;

use super::CatalogError;
use crate::nearest::nearest;
use crate::variables::names;

/// The variables that the operator fills in for every Function; a user who could set them would
/// turn a task against another session.
pub const BUILTIN: [&str; 7] = [
    "namespace",
    "backupSession",
    "restoreSession",
    "snapshot",
    "invokerKind",
    "invokerName",
    DEFAULT_ARGS,
];

/// The variable that says, with `true`, that the parameter `args` has the task's default.
pub(super) const DEFAULT_ARGS: &str = "defaultArgs";

/// The parameters that `task` takes when `function` runs it.
pub fn parameters(task: &Task, function: &Function) -> BTreeSet<String> {
    let declared = task
        .parameters
        .iter()
        .map(|parameter| parameter.name.clone());
    let mut known: BTreeSet<String> = declared.collect();
    for arg in &function.spec.args {
        let variables = names(&Value::from(arg.as_str())).into_iter();
        known.extend(variables.filter(|name| !BUILTIN.contains(&name.as_str())));
    }
    known
}

/// Whether every parameter and variable that `reference` gives is one that the task takes.
///
/// # Errors
/// [`CatalogError::UnknownParameter`] for the first one that is not.
pub fn check_parameters(
    task: &Task,
    function: &Function,
    reference: &TaskReference,
) -> Result<(), CatalogError> {
    let known = parameters(task, function);
    let given = reference.params.keys().map(|name| ("params", name));
    let variables = reference.variables.iter();
    let given = given.chain(variables.map(|variable| ("variables", &variable.name)));
    let unknown = given.into_iter().find(|(_, name)| !known.contains(*name));
    let Some((field, name)) = unknown else {
        return Ok(());
    };
    Err(CatalogError::UnknownParameter {
        task: task.name.clone(),
        parameter: name.clone(),
        field,
        nearest: nearest(name, known.iter().map(String::as_str)).map(str::to_owned),
        known: match known.is_empty() {
            true => "none".to_owned(),
            false => known.into_iter().collect::<Vec<_>>().join(", "),
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::{addons, functions};

    fn check(addon: &str, task: &str, reference: Value) -> Result<(), CatalogError> {
        let addons = addons();
        let functions = functions("image");
        let named = |name: &Option<String>, wanted: &str| name.as_deref() == Some(wanted);
        let addon = addons
            .iter()
            .find(|found| named(&found.metadata.name, addon));
        let spec = &addon.unwrap().spec;
        let mut tasks = spec.backup_tasks.iter().chain(&spec.restore_tasks);
        let task = tasks.find(|found| found.name == task).unwrap();
        let mut functions = functions.iter();
        let function = functions.find(|found| named(&found.metadata.name, &task.function));
        let reference: TaskReference = serde_json::from_value(reference).unwrap();
        check_parameters(task, function.unwrap(), &reference)
    }

    #[test]
    fn every_parameter_that_the_public_catalog_documents_is_known() {
        let cases: [(&str, &str, &[&str]); 11] = [
            (
                "druid-addon",
                "mysql-metadata-storage-backup",
                &["args", "databases"],
            ),
            (
                "druid-addon",
                "postgres-metadata-storage-backup",
                &["args", "backupCmd", "user"],
            ),
            ("druid-addon", "mysql-metadata-storage-restore", &["args"]),
            (
                "druid-addon",
                "postgres-metadata-storage-restore",
                &["args", "user"],
            ),
            ("mysql-addon", "logical-backup", &["args", "databases"]),
            ("mysql-addon", "logical-backup-restore", &["args"]),
            ("mariadb-addon", "logical-backup", &["args"]),
            ("mariadb-addon", "logical-backup-restore", &["args"]),
            (
                "postgres-addon",
                "logical-backup",
                &["args", "backupCmd", "user"],
            ),
            (
                "postgres-addon",
                "logical-backup-restore",
                &["args", "user"],
            ),
            ("druid-addon", "manifest-backup", &[]),
        ];
        for (addon, task, parameters) in cases {
            for name in parameters.iter().chain(&["enableCache", "scratchDir"]) {
                let given = json!({"name": task, "params": {*name: "x"}});
                assert_eq!(check(addon, task, given), Ok(()), "{addon} {task} {name}");
                let given = json!({"name": task, "variables": [{"name": name, "value": "x"}]});
                assert_eq!(check(addon, task, given), Ok(()), "{addon} {task} {name}");
            }
        }
        // Of the Function, though the task does not declare it.
        let given =
            json!({"name": "logical-backup", "params": {"waitTimeout": 5, "dbVersion": "8"}});
        assert_eq!(check("mysql-addon", "logical-backup", given), Ok(()));
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_name_with_the_known_ones() {
        let (addon, task) = ("mysql-addon", "logical-backup");
        let cases = [
            (
                json!({"params": {"args": "-q", "database": "shop"}}),
                "\"database\" (did you mean databases?)",
            ),
            (
                json!({"params": {"Databases": "shop"}}),
                "(did you mean databases?)",
            ),
            (json!({"params": {"arg": ""}}), "(did you mean args?)"),
            (json!({"params": {"paths": "/"}}), "no parameter \"paths\";"),
            (
                json!({"variables": [{"name": "database", "value": "x"}]}),
                "addon.tasks[].variables",
            ),
            // Those are the operator's own.
            (
                json!({"params": {"namespace": "kube-system"}}),
                "no parameter \"namespace\"",
            ),
            (
                json!({"params": {"backupSession": "other"}}),
                "no parameter \"backupSession\"",
            ),
        ];
        for (mut reference, words) in cases {
            reference["name"] = json!(task);
            let error = check(addon, task, reference).unwrap_err();
            assert_eq!(error.kind(), "UnknownParameter");
            assert!(error.to_string().contains(words), "{error}");
            for known in [
                "args",
                "databases",
                "enableCache",
                "scratchDir",
                "waitTimeout",
            ] {
                assert!(error.to_string().contains(known), "{error}");
            }
        }
        // MariaDB's task has none of that name: it selects databases in its args.
        let given = json!({"name": task, "params": {"databases": "shop"}});
        let error = check("mariadb-addon", task, given).unwrap_err();
        assert!(error.to_string().contains("it takes args,"), "{error}");
    }

    #[test]
    fn a_users_own_addon_and_function_say_which_parameters_there_are() {
        let task: Task = serde_json::from_value(json!({"name": "t", "function": "f",
            "parameters": [{"name": "declared"}]}))
        .unwrap();
        let function: Function = serde_json::from_value(json!({
            "apiVersion": "addons.kubestash.com/v1alpha1", "kind": "Function",
            "metadata": {"name": "f"},
            "spec": {"args": ["--x=${used:=${fallback:=}}", "--y=${#counted}", "$${escaped}", "--n=${namespace:=}"]},
        }))
        .unwrap();
        let known: Vec<_> = parameters(&task, &function).into_iter().collect();
        assert_eq!(known, ["counted", "declared", "fallback", "used"]);
    }
}
