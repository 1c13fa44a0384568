//! Jobs for what is inside a volume, which the operator itself cannot mount: prepare a `local`
//! storage, clean it, remove a repository or a snapshot from it.
//!
//! ```text
//!   Work ──build (pure)──► ServiceAccount, Role, RoleBinding, Job ──run──► Outcome ──discard──► nothing left
//! ```
//!
//! Invariant: such a Job may read exactly the objects it works on and change none; what it did is
//! known by how it ended. Everything it needs has the Job's name and is removed together with it. A
//! Job that is asked what the volume holds, or what it left there, may write its answer into one
//! ConfigMap, made for it beforehand.

mod build;
mod run;

use std::collections::BTreeMap;

pub(crate) use build::volume_of;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use kubestash_api::labels;
use kubestash_api::storage::BackupStorage;
use kubestash_domain::name;
pub(crate) use run::{LAST_REGARD, Progress, discard, left, persist, report};

use crate::jobs::Access;

/// The API group of what such Jobs read.
pub(crate) const STORAGE_GROUP: &str = "storage.kubestash.com";

/// What a Job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Write `metadata.yaml` of a BackupStorage.
    InitStorage,
    /// Remove everything of a BackupStorage that is ours.
    CleanStorage,
    /// Remove the directory of a Repository.
    CleanRepository,
    /// Forget a Snapshot's data, prune, and remove its YAML.
    CleanSnapshot,
}

impl Task {
    /// Whether the Job tells what the volume holds, or what it left there.
    fn reports(self) -> bool {
        match self {
            Self::InitStorage | Self::CleanStorage | Self::CleanRepository => true,
            Self::CleanSnapshot => false,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::InitStorage => "init",
            Self::CleanStorage | Self::CleanRepository | Self::CleanSnapshot => "cleanup",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::InitStorage | Self::CleanStorage => "BackupStorage",
            Self::CleanRepository => "Repository",
            Self::CleanSnapshot => "Snapshot",
        }
    }

    fn component(self) -> &'static str {
        match self {
            Self::InitStorage => labels::component::INITIALIZER,
            Self::CleanStorage | Self::CleanRepository | Self::CleanSnapshot => {
                labels::component::CLEANER
            }
        }
    }

    fn arguments(self, namespace: &str, name: &str) -> (&'static str, Vec<String>) {
        let (word, prefix) = match self {
            Self::InitStorage => ("storage-init", "storage-"),
            Self::CleanStorage => ("storage-cleanup", "storage-"),
            Self::CleanRepository => ("repository-cleanup", ""),
            Self::CleanSnapshot => ("snapshot-cleanup", ""),
        };
        (
            word,
            vec![
                format!("--{prefix}namespace={namespace}"),
                format!("--{prefix}name={name}"),
            ],
        )
    }
}

/// A Job to run.
#[derive(Debug, Clone)]
pub(crate) struct Work<'a> {
    /// What it does.
    pub task: Task,
    /// Namespace of the object it is about, and of the Job.
    pub namespace: &'a str,
    /// Name of the object it is about.
    pub name: &'a str,
    /// The storage whose volume is mounted.
    pub storage: &'a BackupStorage,
    /// What it may read.
    pub access: Access,
    /// The object it goes with. None for an object that is being deleted: the garbage collector
    /// would end the Job.
    pub owner: Option<OwnerReference>,
}

impl Work<'_> {
    /// Name of the Job.
    #[must_use]
    pub(crate) fn job_name(&self) -> String {
        job_name(self.task, self.name)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        [
            (labels::MANAGED_BY, labels::MANAGED_BY_KUBESTASH),
            (labels::COMPONENT, self.task.component()),
            (labels::INVOKER_KIND, self.task.kind()),
            (labels::INVOKER_NAME, self.name),
            (labels::INVOKER_NAMESPACE, self.namespace),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), label_value(value)))
        .collect()
    }

    fn is_for(&self, job: &Job) -> bool {
        job.labels().get(labels::INVOKER_KIND).map(String::as_str) == Some(self.task.kind())
            && job.labels().get(labels::INVOKER_NAME) == Some(&label_value(self.name))
    }
}

/// The kind of object that a Job of ours, or a pod of it, was made for.
pub(crate) fn invoker_kind<K: Resource>(object: &K) -> Option<&str> {
    let kind = object.meta().labels.as_ref()?.get(labels::INVOKER_KIND);
    kind.map(String::as_str)
}

/// The name of the Job that a pod belongs to.
pub(crate) fn job_of(pod: &Pod) -> Option<&str> {
    let mut owners = pod.owner_references().iter();
    owners
        .find(|owner| owner.kind == Job::kind(&()))
        .map(|owner| owner.name.as_str())
}

/// Name of the Job of `task` for the object `name`.
#[must_use]
pub(crate) fn job_name(task: Task, name: &str) -> String {
    name::prefixed(task.prefix(), name, name::MAX_NAME)
}

/// Names of objects may be longer than values of labels.
fn label_value(text: &str) -> String {
    text.get(..text.len().min(name::MAX_NAME))
        .unwrap_or(text)
        .trim_end_matches(['-', '.', '_'])
        .to_owned()
}
