//! Taking a Repository down.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use kubestash_api::{
    conditions::READY,
    labels,
    shared::{ConditionStatus, RepositoryPhase},
    storage::{BackupStorage, Repository, Snapshot},
};
use kubestash_backend::BackendError;
use kubestash_core::condition;
use kubestash_engine::StorageError;

use super::{
    MANAGER, RepositoryError,
    deletion::{Step, World, next},
    snapshots_of, storage_in,
};
use crate::{
    apply::{self, Owns},
    attempt::{Attempt, Fingerprint},
    context::Context,
    controller::Reason,
    events::Notice,
    failure::Failure,
    finalizer,
    job::Access,
    stores::StoreError,
    volume_job::{self, Progress, STORAGE_GROUP, Task, Work},
};

/// Name of the Job that removes a Repository's directory from a volume.
pub(super) fn job_name(repository: &Repository) -> String {
    volume_job::job_name(Task::CleanRepository, &repository.name_any())
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
            tell(ctx, repository, "Deleting", &waiting).await?;
            Ok(Action::await_change())
        }
        (Step::WipeObjects, Some(storage)) => wipe_objects(ctx, repository, &storage).await,
        (Step::WipeVolume, Some(storage)) => wipe_volume(ctx, repository, &storage).await,
        (Step::Blocked(failure), _) => {
            blocked(ctx, repository, &failure).await?;
            Ok(Action::await_change())
        }
        (Step::Release(notice), _) => release(ctx, repository, notice).await,
        // Neither is decided without a storage.
        (Step::WipeObjects | Step::WipeVolume, None) => Ok(Action::await_change()),
    }
}

/// Says in the status what the deletion waits for.
async fn tell(
    ctx: &Context,
    repository: &Repository,
    reason: &str,
    message: &str,
) -> Result<(), RepositoryError> {
    let mut status = repository.status.clone().unwrap_or_default();
    let generation = repository.metadata.generation;
    let waiting = condition::ready(
        ConditionStatus::False,
        reason,
        message,
        generation,
        Timestamp::now(),
    );
    condition::set(&mut status.conditions, waiting);
    status.phase = Some(RepositoryPhase::NotReady);
    let api = ctx.api(&repository.namespace().unwrap_or_default());
    apply::status(&api, repository, &status, Owns::All, MANAGER).await?;
    Ok(())
}

async fn blocked(
    ctx: &Context,
    repository: &Repository,
    failure: &Failure,
) -> Result<(), RepositoryError> {
    ctx.events
        .tell(
            repository,
            &Notice::warning(&failure.kind, &failure.message),
        )
        .await;
    tell(ctx, repository, &failure.kind, &failure.message).await
}

async fn release(
    ctx: &Context,
    repository: &Repository,
    notice: Option<Notice>,
) -> Result<Action, RepositoryError> {
    let namespace = repository.namespace().unwrap_or_default();
    if let Some(notice) = notice {
        // In a namespace that is being deleted the Event is refused; the log keeps the word.
        tracing::warn!(
            namespace,
            name = repository.name_any(),
            reason = notice.reason,
            note = notice.note,
            "a Repository is deleted"
        );
        ctx.events.tell(repository, &notice).await;
    }
    finalizer::remove(&ctx.api(&namespace), repository, labels::CLEANUP_FINALIZER).await?;
    ctx.attempts.forget(&repository.uid().unwrap_or_default());
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
        Ok(backend) => match backend.remove_repository(&repository.spec.path).await {
            Ok(removed) => {
                tracing::info!(
                    name = repository.name_any(),
                    removed,
                    "removed all data of a Repository"
                );
                return release(ctx, repository, None).await;
            }
            Err(BackendError::Storage(StorageError::BucketMissing { .. })) => {
                let note = "the bucket does not exist any more, so there was no data to remove";
                return release(ctx, repository, Some(Notice::normal("NothingToWipe", note))).await;
            }
            Err(error) => error.into(),
        },
        Err(StoreError::Api(error)) => return Err(error.into()),
        Err(error) => error,
    };
    let before = repository
        .status
        .as_ref()
        .and_then(|status| condition::find(&status.conditions, READY));
    let failure = Failure::of(
        error.kind(),
        &error,
        before.map(|condition| condition.message.as_str()),
    );
    let attempt = Attempt::after(
        last.as_ref(),
        fingerprint.clone(),
        Some(failure.clone()),
        Instant::now(),
    );
    let wait = attempt
        .wait(&fingerprint, Instant::now())
        .unwrap_or_default();
    ctx.attempts.remember(&uid, attempt);
    blocked(ctx, repository, &failure).await?;
    Ok(Action::requeue(wait))
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
    let uid = repository.uid().unwrap_or_default();
    let (progress, again) =
        volume_job::persist(ctx, &uid, repository.metadata.generation, &work).await?;
    match progress {
        Progress::Done => {
            volume_job::discard(ctx, &work).await?;
            return release(ctx, repository, None).await;
        }
        Progress::Failed(failure) => {
            let message = format!(
                "{}; the data could not be removed: mend the cause, or set spec.deletionPolicy to Delete to keep the data",
                failure.message
            );
            blocked(ctx, repository, &Failure::new(&failure.kind, message)).await?;
        }
        Progress::Working(doing) => tell(ctx, repository, "Deleting", &doing).await?,
    }
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}
