//! Taking a BackupStorage down.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use kube::{Api, ResourceExt, runtime::controller::Action};
use kubestash_api::{
    conditions::READY,
    labels,
    shared::ConditionStatus,
    storage::{BackupStorage, BackupStoragePhase, Repository},
};
use kubestash_backend::BackendError;
use kubestash_core::condition;
use kubestash_engine::StorageError;

use super::{
    BackupStorageError, MANAGER,
    deletion::{Step, World, next},
    repositories_of, set_up,
};
use crate::{
    apply::{self, Owns},
    attempt::{Attempt, Fingerprint},
    context::Context,
    controller::Reason,
    events::Notice,
    failure::Failure,
    finalizer,
    stores::StoreError,
    volume_job::{self, Progress, Task},
};

/// Does the next step of the deletion.
pub(super) async fn remove(
    ctx: &Context,
    storage: &Arc<BackupStorage>,
) -> Result<Action, BackupStorageError> {
    let namespace = storage.namespace().unwrap_or_default();
    let api = ctx.api(&namespace);
    let due = finalizer::still_due(&api, storage.as_ref(), labels::CLEANUP_FINALIZER).await?;
    let Some(storage) = &due.map(Arc::new) else {
        return Ok(Action::await_change());
    };
    let repositories = repositories_of(ctx, storage);
    let storages = ctx.watches.backup_storages.list();
    let world = World {
        storage,
        repositories: &repositories,
        storages: &storages,
        reachable: !super::is_local(storage) && ctx.stores.open_or_last(ctx, storage).await.is_ok(),
        terminating: ctx.is_terminating(&namespace),
    };
    match next(&world) {
        Step::DeleteRepositories(waiting) => {
            for repository in &repositories {
                let api: Api<Repository> = ctx.api(&repository.namespace().unwrap_or_default());
                apply::delete(&api, repository.as_ref()).await?;
            }
            tell(ctx, storage, "Deleting", &waiting).await?;
            Ok(Action::await_change())
        }
        Step::WipeObjects => wipe_objects(ctx, storage).await,
        Step::WipeVolume => wipe_volume(ctx, storage).await,
        Step::Blocked(failure) => {
            blocked(ctx, storage, &failure).await?;
            Ok(Action::await_change())
        }
        Step::Release(notice) => release(ctx, storage, notice).await,
    }
}

/// Says in the status what the deletion waits for.
async fn tell(
    ctx: &Context,
    storage: &BackupStorage,
    reason: &str,
    message: &str,
) -> Result<(), BackupStorageError> {
    let mut status = storage.status.clone().unwrap_or_default();
    let generation = storage.metadata.generation;
    let waiting = condition::ready(
        ConditionStatus::False,
        reason,
        message,
        generation,
        Timestamp::now(),
    );
    condition::set(&mut status.conditions, waiting);
    status.phase = Some(BackupStoragePhase::NotReady);
    let api = ctx.api(&storage.namespace().unwrap_or_default());
    apply::status(&api, storage, &status, Owns::All, MANAGER).await?;
    Ok(())
}

async fn blocked(
    ctx: &Context,
    storage: &BackupStorage,
    failure: &Failure,
) -> Result<(), BackupStorageError> {
    ctx.events
        .tell(storage, &Notice::warning(&failure.kind, &failure.message))
        .await;
    tell(ctx, storage, &failure.kind, &failure.message).await
}

async fn release(
    ctx: &Context,
    storage: &BackupStorage,
    notice: Option<Notice>,
) -> Result<Action, BackupStorageError> {
    let namespace = storage.namespace().unwrap_or_default();
    if let Some(notice) = notice {
        // In a namespace that is being deleted the Event is refused; the log keeps the word.
        tracing::warn!(
            namespace,
            name = storage.name_any(),
            reason = notice.reason,
            note = notice.note,
            "a BackupStorage is deleted"
        );
        ctx.events.tell(storage, &notice).await;
    }
    finalizer::remove(&ctx.api(&namespace), storage, labels::CLEANUP_FINALIZER).await?;
    let uid = storage.uid().unwrap_or_default();
    ctx.attempts.forget(&uid);
    ctx.stores.forget(&uid);
    Ok(Action::await_change())
}

async fn wipe_objects(
    ctx: &Context,
    storage: &Arc<BackupStorage>,
) -> Result<Action, BackupStorageError> {
    let uid = storage.uid().unwrap_or_default();
    let fingerprint = Fingerprint {
        generation: storage.metadata.generation,
        secret_version: None,
        content: "wipe".to_owned(),
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
        Ok(backend) => match backend.remove_all().await {
            Ok(removed) => {
                tracing::info!(
                    name = storage.name_any(),
                    removed,
                    "removed all data of a BackupStorage"
                );
                return release(ctx, storage, None).await;
            }
            Err(BackendError::Storage(StorageError::BucketMissing { .. })) => {
                let note = "the bucket does not exist any more, so there was no data to remove";
                return release(ctx, storage, Some(Notice::normal("NothingToWipe", note))).await;
            }
            Err(error) => error.into(),
        },
        Err(StoreError::Api(error)) => return Err(error.into()),
        Err(error) => error,
    };
    let failure = Failure::of(error.kind(), &error, ready_message(storage));
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
    blocked(ctx, storage, &failure).await?;
    Ok(Action::requeue(wait))
}

fn ready_message(storage: &BackupStorage) -> Option<&str> {
    Some(&condition::find(&storage.status.as_ref()?.conditions, READY)?.message)
}

async fn wipe_volume(
    ctx: &Context,
    storage: &Arc<BackupStorage>,
) -> Result<Action, BackupStorageError> {
    let (namespace, name) = (storage.namespace().unwrap_or_default(), storage.name_any());
    let work = set_up::work(Task::CleanStorage, storage, &namespace, &name);
    let uid = storage.uid().unwrap_or_default();
    let (progress, again) =
        volume_job::persist(ctx, &uid, storage.metadata.generation, &work).await?;
    match progress {
        Progress::Done => {
            volume_job::discard(ctx, &work).await?;
            return release(ctx, storage, None).await;
        }
        Progress::Failed(failure) => {
            let message = format!(
                "{}; the data could not be removed: mend the cause, or set spec.deletionPolicy to Delete to keep the data",
                failure.message
            );
            blocked(ctx, storage, &Failure::new(&failure.kind, message)).await?;
        }
        Progress::Working(doing) => tell(ctx, storage, "Deleting", &doing).await?,
    }
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}
