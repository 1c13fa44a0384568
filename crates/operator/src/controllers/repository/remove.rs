//! Taking a Repository down.

use std::sync::Arc;
use std::time::Instant;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use kubestash_api::labels;
use kubestash_api::shared::{Condition, RepositoryPhase};
use kubestash_api::storage::{BackupStorage, Repository, RepositoryStatus, Snapshot};
use kubestash_domain::condition;

use super::deletion::{Step, World, next};
use super::{MANAGER, RepositoryError, snapshots_of, storage_in};
use crate::context::Context;
use crate::controllers::takedown::{self, Done, TakenDown};
use crate::jobs::Access;
use crate::jobs::volume::{self, STORAGE_GROUP, Task, Work};
use crate::runtime::apply::{self, Manager, Owns};
use crate::runtime::attempt::Fingerprint;
use crate::runtime::events::Notice;
use crate::runtime::finalizer;
use crate::stores::StoreError;

/// Name of the Job that removes a Repository's directory from a volume.
pub(super) fn job_name(repository: &Repository) -> String {
    volume::job_name(Task::CleanRepository, &repository.name_any())
}

/// Does the next step of the deletion.
pub(super) async fn remove(
    ctx: &Context,
    repository: &Arc<Repository>,
) -> Result<Action, RepositoryError> {
    let namespace = repository.namespace().unwrap_or_default();
    let api = ctx.api(&namespace);
    let due = finalizer::still_due(&api, repository.as_ref(), labels::CLEANUP_FINALIZER).await?;
    let Some(repository) = &due.map(Arc::new) else {
        return Ok(Action::await_change());
    };
    let snapshots = snapshots_of(ctx, repository);
    let storage = storage_in(ctx, repository);
    let reachable = match &storage {
        Some(storage) => ctx.stores.open_or_last(ctx, storage).await.is_ok(),
        None => false,
    };
    let world = World {
        repository,
        snapshots: snapshots.len(),
        storage: storage.as_deref(),
        repositories: &ctx.watches.repositories.list(),
        reachable,
        terminating: ctx.is_terminating(&namespace),
    };
    match (next(&world), storage) {
        (Step::DeleteSnapshots(waiting), _) => {
            for snapshot in &snapshots {
                apply::delete(&ctx.api::<Snapshot>(&namespace), snapshot.as_ref()).await?;
            }
            takedown::tell(ctx, repository.as_ref(), "Deleting", &waiting).await?;
            Ok(Action::await_change())
        }
        (Step::WipeObjects, Some(storage)) => wipe_objects(ctx, repository, &storage).await,
        (Step::WipeVolume, Some(storage)) => wipe_volume(ctx, repository, &storage).await,
        (Step::Blocked(failure), _) => {
            takedown::blocked(ctx, repository.as_ref(), &failure).await?;
            Ok(Action::await_change())
        }
        (Step::Release(notice), _) => release(ctx, repository, notice).await,
        // Neither is decided without a storage.
        (Step::WipeObjects | Step::WipeVolume, None) => Ok(Action::await_change()),
    }
}

impl TakenDown for Repository {
    const MANAGER: Manager = MANAGER;
    const OWNS: Owns = Owns::All;
    type Status = RepositoryStatus;

    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default()
    }

    fn with(&self, ready: Condition) -> RepositoryStatus {
        let mut status = self.status.clone().unwrap_or_default();
        condition::set(&mut status.conditions, ready);
        status.phase = Some(RepositoryPhase::NotReady);
        status
    }
}

async fn release(
    ctx: &Context,
    repository: &Repository,
    notice: Option<Notice>,
) -> Result<Action, RepositoryError> {
    takedown::release(ctx, repository, notice).await?;
    Ok(Action::await_change())
}

async fn wipe_objects(
    ctx: &Context,
    repository: &Repository,
    storage: &BackupStorage,
) -> Result<Action, RepositoryError> {
    let uid = repository.uid().unwrap_or_default();
    let fingerprint = Fingerprint {
        generation: repository.metadata.generation,
        content: format!("wipe {:?}", storage.metadata.generation),
        ..Fingerprint::default()
    };
    let last = ctx
        .attempts
        .last(&uid)
        .filter(|last| last.fingerprint == fingerprint);
    if let Some(wait) = last
        .as_ref()
        .and_then(|last| last.wait(&fingerprint, Instant::now()))
    {
        return Ok(Action::requeue(wait));
    }
    let error: StoreError = match ctx.stores.open_or_last(ctx, storage).await {
        Ok(backend) => match backend.wipe_repository(&repository.spec.path).await {
            Ok(wiped) => {
                tracing::info!(
                    name = repository.name_any(),
                    removed = wiped.removed,
                    left = wiped.left.count,
                    "removed all data of a Repository"
                );
                return release(ctx, repository, takedown::left_behind(&wiped.left)).await;
            }
            Err(error) => error.into(),
        },
        Err(StoreError::Api(error)) => return Err(error.into()),
        Err(error) => error,
    };
    if error.is_bucket_missing() {
        let notice = Notice::normal("NothingToWipe", takedown::BUCKET_GONE);
        return release(ctx, repository, Some(notice)).await;
    }
    Ok(takedown::failed(ctx, repository, last.as_ref(), fingerprint, &error).await?)
}

async fn wipe_volume(
    ctx: &Context,
    repository: &Repository,
    storage: &BackupStorage,
) -> Result<Action, RepositoryError> {
    let (namespace, name) = (
        repository.namespace().unwrap_or_default(),
        repository.name_any(),
    );
    let mut access = Access::default();
    access.one(&namespace, STORAGE_GROUP, "repositories", &["get"], &name);
    let report = job_name(repository);
    access.one(&namespace, "", "configmaps", &["get", "patch"], &report);
    let storage_namespace = storage.namespace().unwrap_or_default();
    access.one(
        &storage_namespace,
        STORAGE_GROUP,
        "backupstorages",
        &["get"],
        &storage.name_any(),
    );
    let work = Work {
        task: Task::CleanRepository,
        namespace: &namespace,
        name: &name,
        storage,
        access,
        owner: None,
    };
    match takedown::by_job(ctx, repository, &work).await? {
        Done::Yes(left) => release(ctx, repository, takedown::left_behind(&left)).await,
        Done::NotYet(action) => Ok(action),
    }
}
