//! The objects of a Job for a volume: pure.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVar, PodSpec as CorePodSpec, PodTemplateSpec as CorePodTemplate,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kubestash_api::shared::{ObjectMetadata, PodSpec, PodTemplateSpec, RuntimeSettings};
use kubestash_api::storage::BackupStorage;
use kubestash_domain::layout;

use super::{Work, label_value};
use crate::config::JobEnvironment;
use crate::jobs::Holder;
use crate::jobs::rbac::{self, Rbac};
use crate::jobs::template::{customise_container, customise_pod};

/// A node that is full or a volume that is busy may be free again a moment later.
const BACKOFF_LIMIT: i32 = 2;
/// A safety net: the operator removes a finished Job itself.
const TTL_SECONDS: i32 = 24 * 3600;
const CONTAINER: &str = "kubestash";

/// The volume of a `local` storage and its mount, as every Job mounts it.
#[must_use]
pub(crate) fn volume_of(storage: &BackupStorage) -> Option<(Volume, VolumeMount)> {
    let local = storage.spec.storage.as_ref()?.local.as_ref()?;
    let name = storage.name_any();
    let volume_name = label_value(&name.replace('.', "-"));
    let mount = VolumeMount {
        name: volume_name.clone(),
        mount_path: layout::local_mount_path(
            &name,
            local.mount_path.as_deref().unwrap_or_default(),
        ),
        sub_path: local.sub_path.clone().filter(|path| !path.is_empty()),
        ..VolumeMount::default()
    };
    Some((local.volume.to_pod_volume(&volume_name), mount))
}

pub(super) fn build_job(work: &Work<'_>, image: &str, environment: &JobEnvironment) -> Job {
    let settings = work.storage.spec.runtime_settings.as_ref();
    let template = template_of(settings);
    let (word, args) = work.task.arguments(work.namespace, work.name);
    let (volume, mount) = volume_of(work.storage).unzip();
    let env = environment.variables().map(|(name, value)| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    });
    let mut container = Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        command: Some(["kubestash", "execute", word].map(str::to_owned).to_vec()),
        args: Some(args),
        env: Some(env.collect()),
        volume_mounts: Some(mount.into_iter().collect()),
        // What the program says last is the reason of its end.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    };
    customise_container(
        &mut container,
        &template,
        &[settings.and_then(|settings| settings.container.as_ref())],
    );
    let account = template
        .spec
        .service_account_name
        .clone()
        .unwrap_or_else(|| work.job_name());
    let mut pod = CorePodTemplate {
        metadata: Some(ObjectMeta {
            labels: Some(work.labels()),
            ..ObjectMeta::default()
        }),
        spec: Some(CorePodSpec {
            restart_policy: Some("Never".to_owned()),
            service_account_name: Some(account),
            containers: vec![container],
            volumes: Some(volume.into_iter().collect()),
            ..CorePodSpec::default()
        }),
    };
    customise_pod(&mut pod, &template);
    Job {
        metadata: ObjectMeta {
            name: Some(work.job_name()),
            namespace: Some(work.namespace.to_owned()),
            labels: Some(work.labels()),
            owner_references: work.owner.clone().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(BACKOFF_LIMIT),
            ttl_seconds_after_finished: Some(TTL_SECONDS),
            template: pod,
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The storage's runtime settings as a pod template.
fn template_of(settings: Option<&RuntimeSettings>) -> PodTemplateSpec {
    let pod = settings
        .and_then(|settings| settings.pod.clone())
        .unwrap_or_default();
    PodTemplateSpec {
        metadata: ObjectMetadata {
            annotations: pod.pod_annotations,
            labels: pod.pod_labels,
        },
        spec: PodSpec {
            affinity: pod.affinity,
            automount_service_account_token: pod.automount_service_account_token,
            enable_service_links: pod.enable_service_links,
            image_pull_secrets: pod.image_pull_secrets,
            node_name: pod.node_name,
            node_selector: pod.node_selector,
            priority: pod.priority,
            priority_class_name: pod.priority_class_name,
            runtime_class_name: pod.runtime_class_name,
            scheduler_name: pod.scheduler_name,
            security_context: pod.security_context,
            service_account_name: pod.service_account_name,
            tolerations: pod.tolerations,
            topology_spread_constraints: pod.topology_spread_constraints,
            ..PodSpec::default()
        },
        ..PodTemplateSpec::default()
    }
}

/// The empty ConfigMap that the Job writes its answer into.
pub(super) fn build_report(work: &Work<'_>) -> Option<ConfigMap> {
    work.task.reports().then(|| ConfigMap {
        metadata: ObjectMeta {
            name: Some(work.job_name()),
            namespace: Some(work.namespace.to_owned()),
            labels: Some(work.labels()),
            owner_references: work.owner.clone().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    })
}

pub(super) fn build_rbac(work: &Work<'_>) -> Rbac {
    let settings = work.storage.spec.runtime_settings.as_ref();
    let own_account =
        settings.and_then(|settings| settings.pod.as_ref()?.service_account_name.as_deref());
    let nobody = OwnerReference::default();
    let labels = work.labels();
    let holder = Holder {
        name: &work.job_name(),
        namespace: work.namespace,
        own_account,
        owner: work.owner.as_ref().unwrap_or(&nobody),
        labels: &labels,
    };
    let mut built = rbac::build(holder, &work.access);
    if work.owner.is_none() {
        let metadata = built
            .account
            .iter_mut()
            .map(|account| &mut account.metadata);
        let metadata = metadata.chain(built.roles.iter_mut().map(|role| &mut role.metadata));
        for metadata in metadata.chain(
            built
                .bindings
                .iter_mut()
                .map(|binding| &mut binding.metadata),
        ) {
            metadata.owner_references = None;
        }
    }
    built
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jobs::Access;
    use crate::jobs::volume::{Task, job_name};

    fn storage() -> BackupStorage {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "vol.one", "namespace": "demo"},
            "spec": {
                "storage": {"provider": "local", "local": {
                    "mountPath": "/data", "subPath": "kubestash", "persistentVolumeClaim": {"claimName": "pvc"}}},
                "runtimeSettings": {
                    "pod": {"securityContext": {"fsGroup": 65534}, "nodeSelector": {"disk": "fast"}},
                    "container": {"resources": {"limits": {"memory": "64Mi"}}},
                },
            },
        }))
        .unwrap()
    }

    fn work(task: Task, storage: &BackupStorage) -> Work<'_> {
        let mut access = Access::default();
        access.one(
            "demo",
            "storage.kubestash.com",
            "backupstorages",
            &["get"],
            "vol.one",
        );
        Work {
            task,
            namespace: "demo",
            name: "vol.one",
            storage,
            access,
            owner: None,
        }
    }

    #[test]
    fn the_job_mounts_the_volume_and_runs_our_program() {
        let storage = storage();
        let environment = JobEnvironment::default();
        let job = build_job(
            &work(Task::InitStorage, &storage),
            "kubestash:1",
            &environment,
        );
        let job = serde_json::to_value(job).unwrap();
        assert_eq!(job["metadata"]["name"], "init-vol.one");
        assert_eq!(
            job["metadata"]["labels"]["app.kubernetes.io/component"],
            "kubestash-initializer"
        );
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["serviceAccountName"], "init-vol.one");
        assert_eq!(pod["restartPolicy"], "Never");
        assert_eq!(pod["nodeSelector"], json!({"disk": "fast"}));
        assert_eq!(pod["securityContext"], json!({"fsGroup": 65534}));
        assert_eq!(
            pod["volumes"],
            json!([{"name": "vol-one", "persistentVolumeClaim": {"claimName": "pvc"}}])
        );
        let container = &pod["containers"][0];
        assert_eq!(
            container["command"],
            json!(["kubestash", "execute", "storage-init"])
        );
        assert_eq!(
            container["args"],
            json!(["--storage-namespace=demo", "--storage-name=vol.one"])
        );
        assert_eq!(
            container["volumeMounts"],
            json!([{"name": "vol-one", "mountPath": "/vol.one/data", "subPath": "kubestash"}])
        );
        assert_eq!(
            container["resources"],
            json!({"limits": {"memory": "64Mi"}})
        );
    }

    #[test]
    fn each_task_has_its_word_and_arguments() {
        let cases = [
            (
                Task::CleanStorage,
                "cleanup-x",
                "storage-cleanup",
                "--storage-name=x",
            ),
            (
                Task::CleanRepository,
                "cleanup-x",
                "repository-cleanup",
                "--name=x",
            ),
            (
                Task::CleanSnapshot,
                "cleanup-x",
                "snapshot-cleanup",
                "--name=x",
            ),
        ];
        for (task, job, word, name) in cases {
            let (found, args) = task.arguments("demo", "x");
            assert_eq!(
                (job_name(task, "x").as_str(), found, args[1].as_str()),
                (job, word, name)
            );
        }
    }

    #[test]
    fn what_belongs_to_an_object_that_goes_has_no_owner() {
        let storage = storage();
        let rbac = build_rbac(&work(Task::CleanStorage, &storage));
        assert_eq!(rbac.account.unwrap().metadata.owner_references, None);
        assert_eq!(rbac.roles[0].metadata.owner_references, None);
        let rule = &rbac.roles[0].rules.as_ref().unwrap()[0];
        assert_eq!(rule.resource_names, Some(vec!["vol.one".to_owned()]));
        assert_eq!(rule.verbs, ["get"]);
    }
}
