//! The Job of a session: one pod, one container for each task, in order.
//!
//! All tasks but the last are init containers, which Kubernetes runs one after the other; the last
//! one is the pod's container. So the tasks share the pod's volumes and nothing runs at the same
//! time.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PodSpec, PodTemplateSpec as CorePodTemplate, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kubestash_api::shared::{ContainerRuntimeSettings, PodTemplateSpec};
use kubestash_domain::name;

use super::template::{customise_container, customise_pod};
use crate::config::JobEnvironment;

/// Our program in our image, and the word that makes it do the work of a session.
const COMMAND: [&str; 2] = ["kubestash", "execute"];

/// The exit code by which our program says that trying again is of no use: a wrong password, bad
/// arguments.
pub(crate) const PERMANENT_FAILURE: i32 = 64;

/// One task of a session, ready to run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Task {
    /// Name of the task in the addon.
    pub name: String,
    /// Name of the Function that does it.
    pub function: String,
    /// The Function's arguments, without variables.
    pub args: Vec<String>,
    /// Mounts of the addon's task and of the Function.
    pub mounts: Vec<VolumeMount>,
    /// Settings that the Function has for its container.
    pub settings: Option<ContainerRuntimeSettings>,
}

/// Everything a Job is made from.
#[derive(Debug, Clone)]
pub(crate) struct Work<'a> {
    /// Name of the Job: that of the session.
    pub name: &'a str,
    /// Namespace of the Job.
    pub namespace: &'a str,
    /// The session.
    pub owner: &'a OwnerReference,
    /// Labels of Job and pod.
    pub labels: &'a BTreeMap<String, String>,
    /// The ServiceAccount of the pod.
    pub account: &'a str,
    /// The image of all containers.
    pub image: &'a str,
    /// What is passed on from the operator's environment.
    pub environment: &'a JobEnvironment,
    /// The tasks, in order.
    pub tasks: &'a [Task],
    /// Volumes of the tasks and of the storages.
    pub volumes: &'a [Volume],
    /// Mounts of every container: the storages that are volumes.
    pub mounts: &'a [VolumeMount],
    /// The user's settings of Job and pod.
    pub template: &'a PodTemplateSpec,
    /// The user's settings of the containers.
    pub settings: Option<&'a ContainerRuntimeSettings>,
    /// How often a failed pod is tried again.
    pub backoff_limit: i32,
    /// After how many seconds Kubernetes ends the Job.
    pub active_deadline: Option<i64>,
    /// After how many seconds Kubernetes deletes the finished Job.
    pub ttl: Option<i32>,
    /// Whether the Job is made without starting its pod.
    pub suspend: Option<bool>,
}

/// Builds the Job. With no task there is nothing to run, and the pod has no container; the caller
/// refuses that.
#[must_use]
pub(crate) fn build(work: &Work<'_>) -> Job {
    let mut containers: Vec<_> = work
        .tasks
        .iter()
        .enumerate()
        .map(|(index, task)| container(work, task, index))
        .collect();
    let last = containers.pop();
    let mut pod = CorePodTemplate {
        metadata: Some(ObjectMeta {
            labels: Some(work.labels.clone()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            restart_policy: Some("Never".to_owned()),
            service_account_name: Some(work.account.to_owned()),
            init_containers: (!containers.is_empty()).then_some(containers),
            containers: last.into_iter().collect(),
            volumes: Some(distinct(work.volumes)),
            ..PodSpec::default()
        }),
    };
    customise_pod(&mut pod, work.template);
    let controller = &work.template.controller;
    let mut labels = controller.labels.clone();
    labels.extend(work.labels.clone());
    Job {
        metadata: ObjectMeta {
            name: Some(work.name.to_owned()),
            namespace: Some(work.namespace.to_owned()),
            labels: Some(labels),
            annotations: (!controller.annotations.is_empty())
                .then(|| controller.annotations.clone()),
            owner_references: Some(vec![work.owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(work.backoff_limit),
            active_deadline_seconds: work.active_deadline,
            ttl_seconds_after_finished: work.ttl,
            suspend: work.suspend,
            pod_failure_policy: Some(no_second_try()),
            template: pod,
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// A permanent failure of any container ends the Job, whatever its backoff limit.
fn no_second_try() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "FailJob".to_owned(),
            on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                operator: "In".to_owned(),
                values: vec![PERMANENT_FAILURE],
                container_name: None,
            }),
            on_pod_conditions: None,
        }],
    }
}

fn container(work: &Work<'_>, task: &Task, index: usize) -> Container {
    let mut args = task.args.clone();
    args.push(format!("--task-name={}", task.name));
    if index + 1 == work.tasks.len() {
        args.push("--last-task".to_owned());
    }
    let mut mounts: Vec<VolumeMount> = Vec::new();
    for mount in task.mounts.iter().chain(work.mounts) {
        if !mounts
            .iter()
            .any(|earlier| earlier.mount_path == mount.mount_path)
        {
            mounts.push(mount.clone());
        }
    }
    let env = work.environment.variables().map(|(name, value)| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    });
    let mut container = Container {
        name: name::join(&[&task.name, &index.to_string()]),
        image: Some(work.image.to_owned()),
        command: Some(
            COMMAND
                .iter()
                .map(|word| (*word).to_owned())
                .chain([task.function.clone()])
                .collect(),
        ),
        args: Some(args),
        env: Some(env.collect()),
        volume_mounts: Some(mounts),
        // What the program says last is the reason of its end, also when it could not report it.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    };
    customise_container(
        &mut container,
        work.template,
        &[task.settings.as_ref(), work.settings],
    );
    container
}

/// One volume of each name: tasks that share a volume declare it both.
fn distinct(volumes: &[Volume]) -> Vec<Volume> {
    let mut distinct: Vec<Volume> = Vec::new();
    for volume in volumes {
        if !distinct.iter().any(|earlier| earlier.name == volume.name) {
            distinct.push(volume.clone());
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::jobs::template::merge;

    fn task(name: &str) -> Task {
        let mounts = vec![VolumeMount {
            name: "kubestash-tmp-volume".to_owned(),
            mount_path: "/kubestash-tmp".to_owned(),
            ..VolumeMount::default()
        }];
        Task {
            name: name.to_owned(),
            function: format!("{name}-function"),
            args: vec!["backup".to_owned(), "--namespace=demo".to_owned()],
            mounts,
            settings: None,
        }
    }

    fn job(tasks: &[Task], template: &PodTemplateSpec) -> Value {
        let environment = JobEnvironment::from_lookup(|name| {
            (name == "STORAGE_EMULATOR_HOST").then(|| "http://127.0.0.1:4443".to_owned())
        });
        let volumes = vec![
            Volume {
                name: "kubestash-tmp-volume".to_owned(),
                ..Volume::default()
            },
            Volume {
                name: "kubestash-tmp-volume".to_owned(),
                ..Volume::default()
            },
        ];
        let labels = BTreeMap::from([(
            "kubestash.com/session-name".to_owned(),
            "frequent".to_owned(),
        )]);
        let work = Work {
            name: "session-1",
            namespace: "demo",
            owner: &OwnerReference {
                name: "session-1".to_owned(),
                ..OwnerReference::default()
            },
            labels: &labels,
            account: "session-1",
            image: "kubestash:test",
            environment: &environment,
            tasks,
            volumes: &volumes,
            mounts: &[],
            template,
            settings: None,
            backoff_limit: 1,
            active_deadline: Some(60),
            ttl: None,
            suspend: None,
        };
        serde_json::to_value(build(&work)).unwrap()
    }

    fn template(value: Value) -> PodTemplateSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn one_task_is_the_pods_container() {
        let job = job(
            &[task("mysql-metadata-storage-backup")],
            &PodTemplateSpec::default(),
        );
        assert_eq!(job["spec"]["backoffLimit"], 1);
        assert_eq!(job["spec"]["activeDeadlineSeconds"], 60);
        assert_eq!(
            job["spec"]["podFailurePolicy"]["rules"],
            json!([{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [64]}}])
        );
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        assert_eq!(pod["serviceAccountName"], "session-1");
        assert_eq!(pod.get("initContainers"), None);
        assert_eq!(pod["volumes"].as_array().unwrap().len(), 1);
        let container = &pod["containers"][0];
        assert_eq!(container["name"], "mysql-metadata-storage-backup-0");
        assert_eq!(
            container["command"],
            json!([
                "kubestash",
                "execute",
                "mysql-metadata-storage-backup-function"
            ])
        );
        assert_eq!(
            container["args"],
            json!([
                "backup",
                "--namespace=demo",
                "--task-name=mysql-metadata-storage-backup",
                "--last-task"
            ])
        );
        assert_eq!(
            container["env"],
            json!([{"name": "STORAGE_EMULATOR_HOST", "value": "http://127.0.0.1:4443"}])
        );
    }

    #[test]
    fn several_tasks_run_in_order_and_only_the_last_one_is_told_that_it_is_the_last() {
        let job = job(
            &[task("first"), task("second"), task("third")],
            &PodTemplateSpec::default(),
        );
        let pod = &job["spec"]["template"]["spec"];
        let names: Vec<_> = pod["initContainers"]
            .as_array()
            .unwrap()
            .iter()
            .chain(pod["containers"].as_array().unwrap())
            .map(|container| {
                let last = container["args"]
                    .as_array()
                    .unwrap()
                    .contains(&json!("--last-task"));
                (container["name"].as_str().unwrap().to_owned(), last)
            })
            .collect();
        assert_eq!(
            names,
            [
                ("first-0".to_owned(), false),
                ("second-1".to_owned(), false),
                ("third-2".to_owned(), true)
            ]
        );
    }

    #[test]
    fn everything_the_user_says_about_the_pod_reaches_every_container() {
        let template = template(json!({
            "controller": {"labels": {"team": "a", "kubestash.com/session-name": "forged"}},
            "metadata": {"annotations": {"note": "x"}, "labels": {"kubestash.com/session-name": "forged"}},
            "spec": {
                "resources": {"limits": {"memory": "1Gi"}},
                "securityContext": {"runAsUser": 0},
                "containerSecurityContext": {"readOnlyRootFilesystem": true},
                "nodeSelector": {"disk": "ssd"},
                "env": [{"name": "A", "value": "1"}],
                "volumes": [{"name": "extra"}, {"name": "kubestash-tmp-volume", "emptyDir": {}}],
                "volumeMounts": [{"name": "extra", "mountPath": "/extra"}],
            },
        }));
        let job = job(&[task("first"), task("second")], &template);
        assert_eq!(job["metadata"]["labels"]["team"], "a");
        assert_eq!(
            job["metadata"]["labels"]["kubestash.com/session-name"],
            "frequent"
        );
        let pod = &job["spec"]["template"];
        assert_eq!(
            pod["metadata"]["labels"]["kubestash.com/session-name"],
            "frequent"
        );
        assert_eq!(pod["metadata"]["annotations"]["note"], "x");
        assert_eq!(pod["spec"]["nodeSelector"]["disk"], "ssd");
        assert_eq!(pod["spec"]["securityContext"]["runAsUser"], 0);
        assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 2);
        for container in [
            &pod["spec"]["initContainers"][0],
            &pod["spec"]["containers"][0],
        ] {
            assert_eq!(container["resources"]["limits"]["memory"], "1Gi");
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert_eq!(container["env"][1]["name"], "A");
            assert_eq!(container["volumeMounts"][1]["mountPath"], "/extra");
        }
    }

    #[test]
    fn the_addons_template_wins_over_the_schedulers_field_by_field() {
        let scheduler = template(json!({
            "metadata": {"labels": {"a": "scheduler", "b": "scheduler"}},
            "spec": {"nodeSelector": {"disk": "hdd"}, "serviceAccountName": "scheduler",
                "resources": {"limits": {"memory": "2Gi"}}},
        }));
        let addon = template(json!({
            "metadata": {"labels": {"a": "addon"}},
            "spec": {"serviceAccountName": "addon", "resources": {}},
        }));
        let merged = serde_json::to_value(merge(&addon, &scheduler)).unwrap();
        assert_eq!(
            merged["metadata"]["labels"],
            json!({"a": "addon", "b": "scheduler"})
        );
        assert_eq!(merged["spec"]["serviceAccountName"], "addon");
        assert_eq!(merged["spec"]["nodeSelector"]["disk"], "hdd");
        assert_eq!(merged["spec"]["resources"]["limits"]["memory"], "2Gi");
    }
}
