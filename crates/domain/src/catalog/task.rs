//! From the task a session names to the words of a command line.

use std::fmt;

use kubestash_api::addons::{Addon, Function, Task};
use kubestash_api::shared::TaskReference;
use serde_json::Value;

use super::CatalogError;
use super::parameters::DEFAULT_ARGS;
use crate::variables::{Variables, expand};

/// The parameter with flags for the client.
const ARGS: &str = "args";

/// Whether a task saves or brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Tasks of a BackupConfiguration.
    Backup,
    /// Tasks of a RestoreSession.
    Restore,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
        })
    }
}

/// Names that guides tell users to write although no catalog has them, and what is meant.
const ALIASES: [(Direction, &str, &str); 2] = [
    (
        Direction::Backup,
        "pg-metadata-storage-backup",
        "postgres-metadata-storage-backup",
    ),
    (
        Direction::Backup,
        "postgres-metadata-storage-restore",
        "postgres-metadata-storage-backup",
    ),
];

/// A task of an addon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoundTask<'a> {
    /// The task.
    pub task: &'a Task,
    /// The name that was meant, if the one given is a known wrong one: worth a warning.
    pub meant: Option<&'static str>,
}

/// Finds a task by name, also by the wrong names that guides use.
///
/// # Errors
/// If the addon has no such task in this direction; the error lists those it has.
pub fn find_task<'a>(
    addon: &'a Addon,
    direction: Direction,
    name: &str,
) -> Result<FoundTask<'a>, CatalogError> {
    let tasks = match direction {
        Direction::Backup => &addon.spec.backup_tasks,
        Direction::Restore => &addon.spec.restore_tasks,
    };
    let find = |name: &str| tasks.iter().find(|task| task.name == name);
    if let Some(task) = find(name) {
        return Ok(FoundTask { task, meant: None });
    }
    let alias = ALIASES
        .iter()
        .find(|(of, wrong, _)| *of == direction && *wrong == name);
    if let Some((meant, task)) = alias.and_then(|(_, _, meant)| Some((*meant, find(meant)?))) {
        return Ok(FoundTask {
            task,
            meant: Some(meant),
        });
    }
    let available: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    Err(CatalogError::UnknownTask {
        addon: addon.metadata.name.clone().unwrap_or_default(),
        task: name.to_owned(),
        direction,
        available: if available.is_empty() {
            "none".to_owned()
        } else {
            available.join(", ")
        },
    })
}

/// The variables of a Function: `builtin` ones, then the task's parameters (what the user gives
/// wins over the default), then the user's `variables`. Which ones there may be,
/// [`super::check_parameters`] says.
///
/// # Errors
/// If a required parameter has no value, or a value is not a single word or takes its value from
/// another object.
pub fn variables(
    task: &Task,
    reference: &TaskReference,
    builtin: Variables,
) -> Result<Variables, CatalogError> {
    let mut variables = builtin;
    for parameter in &task.parameters {
        match (
            &parameter.default,
            reference.params.contains_key(&parameter.name),
        ) {
            (Some(default), false) => {
                if parameter.name == ARGS {
                    variables.insert(DEFAULT_ARGS.to_owned(), true.to_string());
                }
                variables.insert(parameter.name.clone(), default.clone());
            }
            (None, false) if parameter.required == Some(true) => {
                return Err(CatalogError::ParameterMissing {
                    task: task.name.clone(),
                    parameter: parameter.name.clone(),
                });
            }
            _ => {}
        }
    }
    for (name, value) in &reference.params {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => {
                return Err(CatalogError::ParameterType {
                    task: task.name.clone(),
                    parameter: name.clone(),
                });
            }
        };
        variables.insert(name.clone(), value);
    }
    for variable in &reference.variables {
        if variable.value_from.is_some() {
            return Err(CatalogError::VariableSource {
                task: task.name.clone(),
                variable: variable.name.clone(),
            });
        }
        if variable.name == ARGS {
            variables.remove(DEFAULT_ARGS);
        }
        variables.insert(
            variable.name.clone(),
            variable.value.clone().unwrap_or_default(),
        );
    }
    Ok(variables)
}

/// The arguments of a Function, each one word whatever its value holds.
///
/// # Errors
/// If an argument needs a variable that is neither given nor has a default.
pub fn render_args(
    function: &Function,
    variables: &Variables,
) -> Result<Vec<String>, CatalogError> {
    function
        .spec
        .args
        .iter()
        .map(|arg| {
            expand(arg, variables).map_err(|source| CatalogError::Render {
                function: function.metadata.name.clone().unwrap_or_default(),
                source,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource};
    use serde_json::json;

    use super::*;
    use crate::catalog::{addons, functions};

    fn druid() -> Addon {
        addons()
            .into_iter()
            .find(|addon| addon.metadata.name.as_deref() == Some("druid-addon"))
            .unwrap()
    }

    fn reference(params: Value) -> TaskReference {
        serde_json::from_value(json!({"name": "mysql-metadata-storage-backup", "params": params}))
            .unwrap()
    }

    #[test]
    fn the_tutorials_task_renders_the_documented_arguments() {
        let druid = druid();
        let found = find_task(&druid, Direction::Backup, "mysql-metadata-storage-backup").unwrap();
        assert_eq!(found.meant, None);
        let builtin = [("namespace", "demo"), ("backupSession", "s-1")];
        let builtin: Variables = builtin
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let given = variables(
            found.task,
            &reference(json!({"databases": "druid"})),
            builtin,
        )
        .unwrap();
        let function = functions("image")
            .into_iter()
            .find(|f| f.metadata.name.as_deref() == Some("mysql-backup"));
        assert_eq!(
            render_args(&function.unwrap(), &given).unwrap(),
            [
                "backup",
                "--namespace=demo",
                "--backupsession=s-1",
                "--enable-cache=true",
                "--scratch-dir=/kubestash-tmp",
                "--verify=sample",
                "--verify-period=7d",
                "--wait-timeout=300",
                "--mysql-args=--set-gtid-purged=OFF --ignore-table=druid.druid_config",
                "--db-version=",
                "--databases=druid",
                "--default-args=true",
            ]
        );
        // What the user gives is never taken for the default, even if it reads the same.
        let args = found.task.parameters.iter().find(|one| one.name == "args");
        let same = args.unwrap().default.clone();
        let given = reference(json!({"args": same}));
        let given = variables(found.task, &given, Variables::default()).unwrap();
        assert_eq!(given.get(DEFAULT_ARGS), None);
    }

    #[test]
    fn every_task_of_the_catalog_has_its_function_and_all_its_arguments_render() {
        let functions = functions("image");
        for addon in addons() {
            for task in addon
                .spec
                .backup_tasks
                .iter()
                .chain(&addon.spec.restore_tasks)
            {
                let function = functions
                    .iter()
                    .find(|function| function.metadata.name.as_deref() == Some(&task.function))
                    .unwrap();
                let variables =
                    variables(task, &TaskReference::default(), Variables::new()).unwrap();
                render_args(function, &variables).unwrap();
            }
        }
    }

    #[test]
    fn an_unknown_task_is_refused_with_those_there_are() {
        let druid = druid();
        let error = find_task(&druid, Direction::Backup, "logical-backup").unwrap_err();
        assert_eq!(error.kind(), "UnknownTask");
        assert!(
            error.to_string().contains("mysql-metadata-storage-backup"),
            "{error}"
        );
        assert!(find_task(&druid, Direction::Restore, "mysql-metadata-storage-backup").is_err());
    }

    #[test]
    fn the_guides_wrong_names_find_the_task_they_mean() {
        let mut addon = druid();
        addon.spec.backup_tasks.push(Task {
            name: "postgres-metadata-storage-backup".to_owned(),
            ..Task::default()
        });
        for wrong in [
            "pg-metadata-storage-backup",
            "postgres-metadata-storage-restore",
        ] {
            let found = find_task(&addon, Direction::Backup, wrong).unwrap();
            assert_eq!(found.task.name, "postgres-metadata-storage-backup");
            assert_eq!(found.meant, Some("postgres-metadata-storage-backup"));
        }
    }

    #[test]
    fn what_the_user_gives_wins_and_what_cannot_be_a_word_is_refused() {
        let druid = druid();
        let task = &druid.spec.backup_tasks[0];
        let given = variables(
            task,
            &reference(json!({"args": "", "waitTimeout": 5, "own": "x y"})),
            Variables::new(),
        )
        .unwrap();
        assert_eq!(given["args"], "");
        assert_eq!(given["waitTimeout"], "5");
        assert_eq!(given["own"], "x y");

        let mut with_variable = reference(json!({"databases": "a"}));
        with_variable.variables.push(EnvVar {
            name: "databases".into(),
            value: Some("b".into()),
            value_from: None,
        });
        assert_eq!(
            variables(task, &with_variable, Variables::new()).unwrap()["databases"],
            "b"
        );

        let error = variables(
            task,
            &reference(json!({"databases": ["a"]})),
            Variables::new(),
        )
        .unwrap_err();
        assert_eq!(error.kind(), "InvalidParameter");
        with_variable.variables[0].value_from = Some(EnvVarSource::default());
        assert_eq!(
            variables(task, &with_variable, Variables::new())
                .unwrap_err()
                .kind(),
            "InvalidVariable"
        );

        let mut needy = task.clone();
        needy
            .parameters
            .push(kubestash_api::shared::ParameterDefinition {
                name: "paths".into(),
                required: Some(true),
                ..Default::default()
            });
        let error = variables(&needy, &TaskReference::default(), Variables::new()).unwrap_err();
        assert_eq!(error.kind(), "ParameterMissing");
        assert!(error.to_string().contains("\"paths\""));
    }
}
