//! Taking a BackupStorage down.

use std::sync::Arc;
use std::time::Instant;

use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use kubestash_api::labels;
use kubestash_api::shared::Condition;
use kubestash_api::storage::{BackupStorage, BackupStoragePhase, BackupStorageStatus, Repository};
use kubestash_domain::condition;

use super::deletion::{Step, World, next};
use super::{BackupStorageError, MANAGER, repositories_of, set_up};
use crate::context::Context;
use crate::controllers::takedown::{self, Done, TakenDown};
use crate::jobs::volume::Task;
use crate::runtime::apply::{self, Manager, Owns};
use crate::runtime::attempt::Fingerprint;
use crate::runtime::events::Notice;
use crate::runtime::finalizer;
use crate::stores::StoreError;

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
        all_repositories: &ctx.watches.repositories.list(),
        reachable: !super::is_local(storage) && ctx.stores.open_or_last(ctx, storage).await.is_ok(),
        terminating: ctx.is_terminating(&namespace),
    };
    match next(&world) {
        Step::DeleteRepositories(waiting) => {
            for repository in &repositories {
                let api: Api<Repository> = ctx.api(&repository.namespace().unwrap_or_default());
                apply::delete(&api, repository.as_ref()).await?;
            }
            takedown::tell(ctx, storage.as_ref(), "Deleting", &waiting).await?;
            Ok(Action::await_change())
        }
        Step::WipeObjects => wipe_objects(ctx, storage).await,
        Step::WipeVolume => wipe_volume(ctx, storage).await,
        Step::Blocked(failure) => {
            takedown::blocked(ctx, storage.as_ref(), &failure).await?;
            Ok(Action::await_change())
        }
        Step::Release(notice) => release(ctx, storage, notice).await,
    }
}

impl TakenDown for BackupStorage {
    const MANAGER: Manager = MANAGER;
    const OWNS: Owns = Owns::All;
    type Status = BackupStorageStatus;

    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default()
    }

    fn with(&self, ready: Condition) -> BackupStorageStatus {
        let mut status = self.status.clone().unwrap_or_default();
        condition::set(&mut status.conditions, ready);
        status.phase = Some(BackupStoragePhase::NotReady);
        status
    }
}

async fn release(
    ctx: &Context,
    storage: &BackupStorage,
    notice: Option<Notice>,
) -> Result<Action, BackupStorageError> {
    takedown::release(ctx, storage, notice).await?;
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
        Ok(backend) => match backend.wipe_all().await {
            Ok(wiped) => {
                tracing::info!(
                    name = storage.name_any(),
                    removed = wiped.removed,
                    left = wiped.left.count,
                    "removed all data of a BackupStorage"
                );
                return release(ctx, storage, takedown::left_behind(&wiped.left)).await;
            }
            Err(error) => error.into(),
        },
        Err(StoreError::Api(error)) => return Err(error.into()),
        Err(error) => error,
    };
    if error.is_bucket_missing() {
        let notice = Notice::normal("NothingToWipe", takedown::BUCKET_GONE);
        return release(ctx, storage, Some(notice)).await;
    }
    Ok(takedown::failed(ctx, storage.as_ref(), last.as_ref(), fingerprint, &error).await?)
}

async fn wipe_volume(
    ctx: &Context,
    storage: &Arc<BackupStorage>,
) -> Result<Action, BackupStorageError> {
    let (namespace, name) = (storage.namespace().unwrap_or_default(), storage.name_any());
    let work = set_up::work(Task::CleanStorage, storage, &namespace, &name);
    match takedown::by_job(ctx, storage.as_ref(), &work).await? {
        Done::Yes(left) => release(ctx, storage, takedown::left_behind(&left)).await,
        Done::NotYet(action) => Ok(action),
    }
}
