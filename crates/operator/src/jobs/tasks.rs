//! From the tasks that a session names to what its Job runs: pure, and the same for backups and
//! restores.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use kubestash_api::addons::{self, Addon, Function};
use kubestash_api::shared::{AddonInfo, TaskReference};
use kubestash_domain::catalog::{self, CatalogError, Direction};
use kubestash_domain::variables::Variables;

use super::pod::Task;

/// Tasks that cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// The Addon is missing.
    #[error("Addon {0:?} does not exist")]
    Addon(String),
    /// The Function of a task is missing.
    #[error(
        "Function {function:?} of task {task:?} does not exist: install it (kubestash catalog)"
    )]
    Function {
        /// The task.
        task: String,
        /// The Function.
        function: String,
    },
    /// A task cannot be run as it is written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A volume has no counterpart in a pod.
    #[error("volume {0:?} has a claim template: claims are not created here, name an existing one")]
    ClaimTemplate(String),
}

/// What the tasks of a session need.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Resolved {
    /// The tasks, in order.
    pub tasks: Vec<Task>,
    /// The volumes that they declare.
    pub volumes: Vec<Volume>,
    /// Mounts that every container has.
    pub mounts: Vec<VolumeMount>,
}

/// Looks up the tasks of `info` in its Addon, and fills in the arguments of their Functions.
/// `builtin` are the variables that every Function can use.
///
/// # Errors
/// When Addon, task or Function is missing, or a parameter or a volume cannot be used.
pub(crate) fn resolve(
    info: &AddonInfo,
    direction: Direction,
    addon: Option<&Addon>,
    functions: &BTreeMap<String, Arc<Function>>,
    builtin: &Variables,
) -> Result<Resolved, TaskError> {
    let addon = addon.ok_or_else(|| TaskError::Addon(info.name.clone()))?;
    let mut resolved = Resolved::default();
    for reference in &info.tasks {
        let task = catalog::find_task(addon, direction, &reference.name)?.task;
        let missing = || TaskError::Function {
            task: task.name.clone(),
            function: task.function.clone(),
        };
        let function = functions.get(&task.function).ok_or_else(missing)?;
        catalog::check_parameters(task, function, reference)?;
        let variables = catalog::variables(task, reference, builtin.clone())?;
        let mounts = task
            .volume_mounts
            .iter()
            .chain(&function.spec.volume_mounts);
        resolved.volumes.extend(volumes(task, reference)?);
        let target = reference.target_volumes.iter();
        resolved
            .mounts
            .extend(target.flat_map(|volumes| volumes.volume_mounts.clone()));
        resolved.tasks.push(Task {
            name: task.name.clone(),
            function: task.function.clone(),
            args: catalog::render_args(function, &variables)?,
            mounts: mounts.cloned().collect(),
            settings: function.spec.runtime_settings.clone(),
        });
    }
    Ok(resolved)
}

/// The volumes of a task, with the user's sources in place of the addon's.
fn volumes(task: &addons::Task, reference: &TaskReference) -> Result<Vec<Volume>, TaskError> {
    let mut volumes = Vec::new();
    for declared in &task.volume_template {
        let own = reference
            .addon_volumes
            .iter()
            .find(|own| own.name == declared.name);
        let source = own
            .and_then(|own| own.source.as_ref())
            .or(declared.source.as_ref());
        let Some(source) = source else { continue };
        if source.volume_claim_template.is_some() {
            return Err(TaskError::ClaimTemplate(declared.name.clone()));
        }
        volumes.push(source.volume.to_pod_volume(&declared.name));
    }
    let target = reference
        .target_volumes
        .iter()
        .flat_map(|volumes| &volumes.volumes);
    volumes.extend(target.map(kubestash_api::shared::Volume::to_pod_volume));
    Ok(volumes)
}

/// The time for a session was over before its Job began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deadline exceeded")]
pub(crate) struct DeadlineExceeded;

/// `activeDeadlineSeconds` of a Job: the sooner of what the user gives and what is left until the
/// session's deadline.
///
/// # Errors
/// When nothing is left.
pub(crate) fn active_deadline(
    given: Option<i64>,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<i64>, DeadlineExceeded> {
    let left = match deadline {
        None => None,
        // A whole second at least: Kubernetes knows no less, and zero would mean at once.
        Some(deadline) if deadline > now => Some((deadline.as_second() - now.as_second()).max(1)),
        Some(_) => return Err(DeadlineExceeded),
    };
    Ok(match (given, left) {
        (Some(given), Some(left)) => Some(given.min(left)),
        (given, left) => given.or(left),
    })
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use serde_json::{Value, json};

    use super::*;

    fn resolved(info: Value) -> Result<Resolved, TaskError> {
        let info: AddonInfo = serde_json::from_value(info).unwrap();
        let addons = catalog::addons();
        let addon = addons.iter().find(|addon| addon.name_any() == info.name);
        let functions = catalog::functions("image")
            .into_iter()
            .map(|function| (function.name_any(), Arc::new(function)))
            .collect();
        resolve(
            &info,
            Direction::Backup,
            addon,
            &functions,
            &Variables::new(),
        )
    }

    fn info(task: Value) -> Value {
        json!({"name": "druid-addon", "tasks": [task]})
    }

    #[test]
    fn a_users_volume_takes_the_place_of_the_addons() {
        let task = json!({"name": "mysql-metadata-storage-backup",
            "addonVolumes": [{"name": "kubestash-tmp-volume",
                "source": {"persistentVolumeClaim": {"claimName": "big"}}}],
            "targetVolumes": {"volumes": [{"name": "data", "emptyDir": {}}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}]}});
        let resolved = resolved(info(task)).unwrap();
        let volumes = serde_json::to_value(&resolved.volumes).unwrap();
        assert_eq!(
            volumes,
            json!([{"name": "kubestash-tmp-volume", "persistentVolumeClaim": {"claimName": "big"}},
                {"name": "data", "emptyDir": {}}])
        );
        assert_eq!(resolved.mounts[0].mount_path, "/data");
        assert_eq!(resolved.tasks[0].mounts[0].mount_path, "/kubestash-tmp");
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        let template = json!({"name": "mysql-metadata-storage-backup", "addonVolumes": [
            {"name": "kubestash-tmp-volume", "source": {"volumeClaimTemplate": {"spec": {}}}}]});
        let unknown =
            json!({"name": "mysql-metadata-storage-backup", "params": {"database": "druid"}});
        let list =
            json!({"name": "mysql-metadata-storage-backup", "params": {"databases": ["druid"]}});
        let cases = [
            (
                json!({"name": "no-addon", "tasks": []}),
                "Addon \"no-addon\" does not exist",
            ),
            (info(json!({"name": "no-task"})), "no-task"),
            (info(template), "kubestash-tmp-volume"),
            (info(list), "databases"),
            (
                info(unknown),
                "no parameter \"database\" (did you mean databases?)",
            ),
        ];
        for (info, text) in cases {
            let error = resolved(info).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn the_sooner_deadline_counts() {
        let now = Timestamp::from_second(1000).unwrap();
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        assert_eq!(active_deadline(None, None, now), Ok(None));
        assert_eq!(active_deadline(Some(60), None, now), Ok(Some(60)));
        assert_eq!(active_deadline(None, at(1030), now), Ok(Some(30)));
        assert_eq!(active_deadline(Some(60), at(1030), now), Ok(Some(30)));
        assert_eq!(active_deadline(Some(10), at(1030), now), Ok(Some(10)));
        assert_eq!(
            active_deadline(Some(10), at(1000), now),
            Err(DeadlineExceeded)
        );
    }
}
