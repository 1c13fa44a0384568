//! Setting a storage up: asked for, tried, and tried again with patience.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt};
use kubestash_api::conditions::backup_storage::BACKEND_INITIALIZED;
use kubestash_api::config::BackendMeta;
use kubestash_api::storage::{BackupStorage, Repository, StorageRepository};
use kubestash_backend::{Adopted, Backend, unpack};
use kubestash_domain::{condition, layout};

use super::decide::{Outcome, Synced};
use super::{BackupStorageError, read_back};
use crate::context::Context;
use crate::jobs::Access;
use crate::jobs::volume::{self, Progress, Task, Work};
use crate::runtime::apply::ApplyError;
use crate::runtime::attempt::{Attempt, Fingerprint};
use crate::runtime::controller::Reason;
use crate::runtime::events::Notice;
use crate::runtime::failure::Failure;
use crate::stores::StoreError;

/// How setting up went, and when to look again.
pub(super) struct SetUp {
    pub(super) outcome: Outcome,
    pub(super) synced: Vec<Synced>,
    pub(super) again: Option<Duration>,
    /// What there is to say although it is set up.
    pub(super) notice: Option<Notice>,
}

impl SetUp {
    /// An outcome that only a change can change.
    pub(super) fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            synced: Vec::new(),
            again: None,
            notice: None,
        }
    }
}

/// The operator's version, as `metadata.yaml` tells it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What was told last about a storage that is not set up.
fn told(storage: &BackupStorage) -> Option<&str> {
    let status = storage.status.as_ref()?;
    let condition = condition::find(&status.conditions, BACKEND_INITIALIZED.type_)?;
    Some(&condition.message)
}

/// Sets an object store up, if that is due.
pub(super) async fn object_store(
    ctx: &Context,
    storage: &Arc<BackupStorage>,
    repositories: &[Arc<Repository>],
) -> Result<SetUp, BackupStorageError> {
    let uid = storage.uid().unwrap_or_default();
    let contents = contents(storage, repositories);
    let fingerprint = Fingerprint {
        generation: storage.metadata.generation,
        secret_version: super::secret_name(storage)
            .and_then(|name| {
                ctx.watches
                    .secrets
                    .get(&storage.namespace().unwrap_or_default(), &name)
            })
            .and_then(|secret| secret.resource_version()),
        content: contents
            .iter()
            .map(|entry| format!("{:?} {} {:?}\n", entry.namespace, entry.name, entry.path))
            .collect(),
    };
    let last = ctx.attempts.last(&uid);
    if let Some(last) = &last
        && let Some(wait) = last.wait(&fingerprint, Instant::now())
    {
        let outcome = last
            .verdict()
            .cloned()
            .map_or(Outcome::Initialized, Outcome::Failed);
        return Ok(SetUp {
            outcome,
            synced: Vec::new(),
            again: Some(wait),
            notice: None,
        });
    }
    let (failure, attempted) = match attempt(ctx, storage, &contents).await {
        Ok(attempted) => (None, attempted),
        Err(AttemptError::Api(error)) => return Err(error.into()),
        Err(AttemptError::Store(error)) => (
            Some(Failure::of(error.kind(), &error, told(storage))),
            Attempted::default(),
        ),
    };
    if let Some(failure) = &failure {
        tracing::warn!(
            namespace = ?storage.namespace(), name = storage.name_any(), kind = failure.kind, error = failure.message,
            "failed to set up a BackupStorage"
        );
    }
    let attempt = Attempt::after(last.as_ref(), fingerprint.clone(), failure, Instant::now());
    let outcome = attempt
        .verdict()
        .cloned()
        .map_or(Outcome::Initialized, Outcome::Failed);
    let again = attempt.wait(&fingerprint, Instant::now());
    ctx.attempts.remember(&uid, attempt);
    Ok(SetUp {
        outcome,
        synced: attempted.synced,
        again,
        notice: attempted.notice,
    })
}

/// What an attempt that succeeded brought.
#[derive(Default)]
struct Attempted {
    synced: Vec<Synced>,
    notice: Option<Notice>,
}

enum AttemptError {
    Api(ApplyError),
    Store(StoreError),
}

impl<E: Into<StoreError>> From<E> for AttemptError {
    fn from(error: E) -> Self {
        match error.into() {
            StoreError::Api(error) => Self::Api(error),
            error @ StoreError::Backend(_) => Self::Store(error),
        }
    }
}

async fn attempt(
    ctx: &Context,
    storage: &Arc<BackupStorage>,
    contents: &[StorageRepository],
) -> Result<Attempted, AttemptError> {
    let backend = ctx.stores.open(ctx, storage).await?;
    backend.probe().await?;
    let is_first = read_back::is_due(storage);
    let Adopted {
        metadata,
        foreign_metadata,
    } = backend.adopt(is_first).await?;
    let synced = if is_first {
        let synced = read_back::from_bucket(ctx, storage, &backend, metadata.as_ref()).await?;
        read_back::mark(ctx, storage).await?;
        synced
    } else {
        Vec::new()
    };
    let notice = foreign_metadata.map(|told| Notice::warning("ForeignContent", told));
    // What was read back a moment ago is neither in the store of Repositories nor in the status
    // yet; the next attempt lists it.
    if synced.is_empty() && notice.is_none() {
        describe(&backend, metadata, contents).await?;
    }
    Ok(Attempted { synced, notice })
}

/// What `metadata.yaml` says that the storage holds: its Repositories, and what could not be read
/// back from it. Data of which no object could be made must not be forgotten for that.
fn contents(storage: &BackupStorage, repositories: &[Arc<Repository>]) -> Vec<StorageRepository> {
    let mut contents: Vec<_> = repositories
        .iter()
        .map(|repository| entry(repository))
        .collect();
    let lost = storage
        .status
        .iter()
        .flat_map(|status| &status.repositories)
        .filter(|entry| is_lost(entry, repositories))
        .map(|entry| StorageRepository {
            error: None,
            synced: None,
            ..entry.clone()
        });
    contents.extend(lost);
    contents
}

/// Whether a repository could not be read back, and nobody has put another one in its place.
pub(super) fn is_lost(entry: &StorageRepository, repositories: &[Arc<Repository>]) -> bool {
    let path = entry.path.as_deref().unwrap_or_default();
    entry.synced == Some(false)
        && !repositories
            .iter()
            .any(|repository| layout::same_directory(&repository.spec.path, path))
}

/// Writes `metadata.yaml`, unless it says already what the storage holds.
async fn describe(
    backend: &Backend,
    before: Option<BackendMeta>,
    contents: &[StorageRepository],
) -> Result<(), StoreError> {
    let key = |entry: &StorageRepository| {
        (
            entry.namespace.clone(),
            entry.name.clone(),
            entry.path.clone(),
        )
    };
    let same = before.as_ref().is_some_and(|meta| {
        meta.repositories
            .iter()
            .map(key)
            .eq(contents.iter().map(key))
    });
    if same {
        return Ok(());
    }
    let mut meta = BackendMeta::new(Time(jiff::Timestamp::now()), VERSION, contents.to_vec());
    if let Some(created) = before.and_then(|before| before.creation_timestamp) {
        meta.creation_timestamp = Some(created);
    }
    Ok(backend.write_metadata(&meta).await?)
}

fn entry(repository: &Repository) -> StorageRepository {
    StorageRepository {
        name: repository.name_any(),
        namespace: repository.namespace(),
        path: Some(repository.spec.path.clone()),
        size: repository
            .status
            .as_ref()
            .and_then(|status| status.size.clone()),
        ..StorageRepository::default()
    }
}

/// Names of the Jobs that a storage can have.
pub(super) fn job_names(storage: &BackupStorage) -> [String; 2] {
    let name = storage.name_any();
    [Task::InitStorage, Task::CleanStorage].map(|task| volume::job_name(task, &name))
}

/// The Job of a `local` storage.
pub(super) fn work<'a>(
    task: Task,
    storage: &'a BackupStorage,
    namespace: &'a str,
    name: &'a str,
) -> Work<'a> {
    let mut access = Access::default();
    access.one(
        namespace,
        volume::STORAGE_GROUP,
        "backupstorages",
        &["get"],
        name,
    );
    let report = volume::job_name(task, name);
    access.one(namespace, "", "configmaps", &["get", "patch"], &report);
    let owner = match task {
        Task::InitStorage => storage.controller_owner_ref(&()),
        _ => None,
    };
    Work {
        task,
        namespace,
        name,
        storage,
        access,
        owner,
    }
}

/// Whether this generation of a `local` storage is set up.
fn is_current(storage: &BackupStorage) -> bool {
    let conditions = storage
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    condition::find(conditions, BACKEND_INITIALIZED.type_).is_some_and(|condition| {
        condition::is_true(conditions, BACKEND_INITIALIZED.type_)
            && condition.observed_generation == storage.metadata.generation
    })
}

/// Has a Job set a volume up, if that is due.
pub(super) async fn volume(
    ctx: &Context,
    storage: &Arc<BackupStorage>,
) -> Result<SetUp, BackupStorageError> {
    if is_current(storage) {
        return Ok(SetUp::of(Outcome::Initialized));
    }
    let (namespace, name) = (storage.namespace().unwrap_or_default(), storage.name_any());
    let work = work(Task::InitStorage, storage, &namespace, &name);
    let uid = storage.uid().unwrap_or_default();
    let (progress, again) = volume::persist(ctx, &uid, storage.metadata.generation, &work).await?;
    let mut synced = Vec::new();
    let outcome = match progress {
        Progress::Done if read_back::is_due(storage) => {
            let report = volume::report(ctx, &work).await?;
            let Some(stored) = report.and_then(|packed| unpack(&packed).ok()) else {
                // Somebody has deleted it, or the Job is of a version that made none.
                volume::discard(ctx, &work).await?;
                let doing = "what the volume holds is looked at again".to_owned();
                return Ok(SetUp {
                    again: Some(volume::LAST_REGARD),
                    ..SetUp::of(Outcome::Working(doing))
                });
            };
            synced = read_back::from_report(ctx, storage, stored).await?;
            read_back::mark(ctx, storage).await?;
            Outcome::Initialized
        }
        Progress::Done => Outcome::Initialized,
        Progress::Working(doing) => Outcome::Working(doing),
        Progress::Failed(failure) | Progress::Hindered(failure) => Outcome::Failed(failure),
    };
    Ok(SetUp {
        outcome,
        synced,
        again,
        notice: None,
    })
}

/// Removes the Job of a storage that is set up.
pub(super) async fn discard_job(ctx: &Context, storage: &BackupStorage) -> Result<(), ApplyError> {
    if !super::is_local(storage) || !is_current(storage) {
        // The status that says so comes back as an event, and then the Job is not needed any more.
        return Ok(());
    }
    let (namespace, name) = (storage.namespace().unwrap_or_default(), storage.name_any());
    volume::discard(ctx, &work(Task::InitStorage, storage, &namespace, &name)).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_could_not_be_read_back_stays_in_metadata_yaml_until_another_one_has_its_place() {
        let storage: BackupStorage = serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "s", "namespace": "demo"}, "spec": {},
            "status": {"repositories": [
                {"name": "back", "namespace": "demo", "path": "back", "synced": true},
                {"name": "lost", "namespace": "gone", "path": "/lost", "synced": false, "error": "why"},
                {"name": "broken", "path": "broken", "synced": false, "error": "why"},
            ]},
        }))
        .unwrap();
        let repository = |name: &str, path: &str| -> Arc<Repository> {
            Arc::new(
                serde_json::from_value(json!({
                    "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
                    "metadata": {"name": name, "namespace": "demo"}, "spec": {"path": path},
                }))
                .unwrap(),
            )
        };
        let named = |repositories: &[Arc<Repository>]| -> Vec<String> {
            let contents = contents(&storage, repositories);
            assert!(
                contents
                    .iter()
                    .all(|entry| entry.error.is_none() && entry.synced.is_none())
            );
            contents.into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(
            named(&[repository("back", "back")]),
            ["back", "lost", "broken"]
        );
        let replaced = [repository("back", "back"), repository("mine", "/broken/")];
        assert_eq!(named(&replaced), ["back", "mine", "lost"]);
    }
}
