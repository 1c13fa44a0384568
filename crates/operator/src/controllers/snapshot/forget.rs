//! Taking a Snapshot down, with its data if its policy says so.
//!
//! Invariant: one forget at a time for each Repository, for all of its Snapshots that are due: one
//! prune, not many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use kubestash_api::conditions::READY;
use kubestash_api::conditions::snapshot::BACKUP_INCOMPLETE;
use kubestash_api::labels;
use kubestash_api::shared::{Condition, DeletionPolicy};
use kubestash_api::storage::{BackupStorage, Repository, Snapshot, SnapshotPhase};
use kubestash_backend::{SnapshotData, encryption_password, forget};
use kubestash_domain::condition;
use kubestash_engine::OpenOptions;
use serde::Serialize;

use super::deletion::{Step, World, next};
use super::{MANAGER, SnapshotError, holder, repository_in};
use crate::consent::check;
use crate::context::Context;
use crate::controllers::backupsession::is_finished;
use crate::controllers::repository::{snapshots_of, storage_in};
use crate::controllers::takedown::{self, Done, TakenDown};
use crate::jobs::Access;
use crate::jobs::volume::{self, STORAGE_GROUP, Task, Work};
use crate::runtime::apply::{self, ApplyError, Manager, Owns};
use crate::runtime::attempt::Fingerprint;
use crate::runtime::events::Notice;
use crate::runtime::failure::Failure;
use crate::runtime::finalizer;
use crate::stores::StoreError;
use crate::validation::sentence;

/// How often a Snapshot that a session removes is looked at; the session's end wakes it sooner.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Name of the Job that removes a Snapshot's data from a volume.
pub(super) fn job_name(snapshot: &Snapshot) -> String {
    volume::job_name(Task::CleanSnapshot, &snapshot.name_any())
}

/// Does the next step of the deletion.
pub(super) async fn remove(
    ctx: &Context,
    snapshot: &Arc<Snapshot>,
) -> Result<Action, SnapshotError> {
    let api = ctx.api(&snapshot.namespace().unwrap_or_default());
    let due = finalizer::still_due(&api, snapshot.as_ref(), labels::CLEANUP_FINALIZER).await?;
    let Some(snapshot) = &due.map(Arc::new) else {
        return Ok(Action::await_change());
    };
    if let Some(session) = removing_session(ctx, snapshot) {
        tracing::debug!(
            snapshot = snapshot.name_any(),
            session,
            "a session removes this Snapshot"
        );
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    let repository = repository_in(ctx, snapshot);
    let storage = repository
        .as_ref()
        .and_then(|repository| storage_in(ctx, repository));
    let wipes = snapshot.spec.deletion_policy == DeletionPolicy::WipeOut;
    let reachable = match &storage {
        Some(storage) if wipes => ctx.stores.open_or_last(ctx, storage).await.is_ok(),
        _ => false,
    };
    let world = World {
        snapshot,
        repository: repository.as_deref(),
        storage: storage.as_deref(),
        reachable,
        terminating: ctx.is_terminating(&snapshot.namespace().unwrap_or_default()),
    };
    let mut step = next(&world);
    if matches!(step, Step::ForgetObjects | Step::ForgetVolume) && !world.terminating {
        let refusals = repository
            .as_deref()
            .map(|repository| check::repository(ctx, repository, None))
            .unwrap_or_default();
        if !refusals.is_empty() {
            step = Step::Blocked(Failure::new("ReferenceNotAllowed", sentence(&refusals)));
        }
    }
    match (step, repository, storage) {
        (Step::ForgetObjects, Some(repository), Some(storage)) => {
            say_it_goes(ctx, snapshot).await?;
            forget_objects(ctx, snapshot, &repository, &storage).await
        }
        (Step::ForgetVolume, Some(repository), Some(storage)) => {
            say_it_goes(ctx, snapshot).await?;
            forget_volume(ctx, snapshot, &repository, &storage).await
        }
        (Step::Blocked(failure), ..) => {
            takedown::blocked(ctx, snapshot.as_ref(), &failure).await?;
            Ok(Action::await_change())
        }
        (Step::Release(notice), ..) => {
            takedown::release(ctx, snapshot.as_ref(), notice).await?;
            Ok(Action::await_change())
        }
        // Neither is decided without them.
        (Step::ForgetObjects | Step::ForgetVolume, ..) => Ok(Action::await_change()),
    }
}

/// The session whose Job removes the Snapshot as its retention policy says; none once that is over.
/// Then what it has begun is finished here.
fn removing_session(ctx: &Context, snapshot: &Snapshot) -> Option<String> {
    let session = snapshot.annotations().get(labels::REMOVED_BY)?;
    let namespace = snapshot.namespace().unwrap_or_default();
    let found = ctx.watches.backup_sessions.get(&namespace, session)?;
    (!is_finished(&found)).then(|| session.clone())
}

/// Whatever becomes of its data, it can no longer be restored: that is said before any of it goes.
async fn say_it_goes(ctx: &Context, snapshot: &Snapshot) -> Result<(), ApplyError> {
    let before = snapshot.conditions().iter();
    let ours = [READY, BACKUP_INCOMPLETE.type_];
    let ours = before.filter(|condition| ours.contains(&condition.type_.as_str()));
    let mut conditions: Vec<_> = ours.cloned().collect();
    let message = "its data is being removed: it was deleted with deletionPolicy WipeOut";
    let goes = condition::new(BACKUP_INCOMPLETE, true, message, Timestamp::now());
    condition::set(&mut conditions, goes);
    let told = Told {
        phase: Some(SnapshotPhase::Failed),
        conditions,
    };
    let api = ctx.api::<Snapshot>(&snapshot.namespace().unwrap_or_default());
    apply::status(&api, snapshot, &told, Owns::Given, MANAGER).await?;
    Ok(())
}

#[derive(Serialize)]
pub(crate) struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<SnapshotPhase>,
    conditions: Vec<Condition>,
}

impl TakenDown for Snapshot {
    const MANAGER: Manager = MANAGER;
    const OWNS: Owns = Owns::Given;
    type Status = Told;

    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default()
    }

    fn with(&self, ready: Condition) -> Told {
        // Everything that was said before, or the API server takes it back.
        let wipes = self.spec.deletion_policy == DeletionPolicy::WipeOut;
        let said = |condition: &&Condition| {
            condition.type_ == READY || (wipes && condition.type_ == BACKUP_INCOMPLETE.type_)
        };
        let mut conditions: Vec<_> = self.conditions().iter().filter(said).cloned().collect();
        condition::set(&mut conditions, ready);
        let gone = condition::has(&conditions, BACKUP_INCOMPLETE.type_);
        Told {
            phase: gone.then_some(SnapshotPhase::Failed),
            conditions,
        }
    }
}

/// All Snapshots of the Repository whose data is to be forgotten.
fn due(ctx: &Context, repository: &Repository) -> Vec<Arc<Snapshot>> {
    let mut due = snapshots_of(ctx, repository);
    due.retain(|snapshot| {
        snapshot.meta().deletion_timestamp.is_some()
            && snapshot.spec.deletion_policy == DeletionPolicy::WipeOut
            && removing_session(ctx, snapshot).is_none()
            && finalizer::has(snapshot.as_ref(), labels::CLEANUP_FINALIZER)
    });
    due
}

async fn forget_objects(
    ctx: &Context,
    snapshot: &Arc<Snapshot>,
    repository: &Repository,
    storage: &BackupStorage,
) -> Result<Action, SnapshotError> {
    let uid = snapshot.uid().unwrap_or_default();
    let fingerprint = Fingerprint {
        generation: snapshot.metadata.generation,
        secret_version: encryption_version(ctx, repository),
        content: format!("{:?}", storage.metadata.generation),
    };
    let last = ctx.attempts.last(&uid);
    if let Some(wait) = last
        .as_ref()
        .and_then(|last| last.wait(&fingerprint, Instant::now()))
    {
        return Ok(Action::requeue(wait));
    }
    let _one_at_a_time = ctx.locks.hold(&repository.uid().unwrap_or_default()).await;
    let due = due(ctx, repository);
    if !due.iter().any(|other| other.uid() == snapshot.uid()) {
        // Another one's turn has taken this one along.
        return Ok(Action::await_change());
    }
    for other in &due {
        say_it_goes(ctx, other).await?;
    }
    match forget_all(ctx, repository, storage, &due).await {
        Ok(()) => {
            for snapshot in &due {
                takedown::release(ctx, snapshot.as_ref(), None).await?;
            }
            Ok(Action::await_change())
        }
        Err(error) if error.is_bucket_missing() => {
            for snapshot in &due {
                let notice = Notice::normal("NothingToWipe", takedown::BUCKET_GONE);
                takedown::release(ctx, snapshot.as_ref(), Some(notice)).await?;
            }
            Ok(Action::await_change())
        }
        Err(StoreError::Api(error)) => Err(error.into()),
        Err(error) => {
            let last = last.as_ref();
            Ok(takedown::failed(ctx, snapshot.as_ref(), last, fingerprint, &error).await?)
        }
    }
}

pub(crate) fn encryption_secret(repository: &Repository) -> Option<(String, String)> {
    let reference = repository.spec.encryption_secret.as_ref()?;
    let namespace = repository.namespace().unwrap_or_default();
    Some((
        reference.namespace_or(&namespace).to_owned(),
        reference.name.clone(),
    ))
}

fn encryption_version(ctx: &Context, repository: &Repository) -> Option<String> {
    let (namespace, name) = encryption_secret(repository)?;
    ctx.watches
        .secrets
        .get(&namespace, &name)?
        .resource_version()
}

async fn forget_all(
    ctx: &Context,
    repository: &Repository,
    storage: &BackupStorage,
    snapshots: &[Arc<Snapshot>],
) -> Result<(), StoreError> {
    let backend = ctx.stores.open_or_last(ctx, storage).await?;
    let (namespace, name) = encryption_secret(repository).unwrap_or_default();
    let secret = match name.as_str() {
        "" => None,
        name => apply::get(&ctx.api::<Secret>(&namespace), name).await?,
    };
    let data: Vec<_> = snapshots
        .iter()
        .map(|snapshot| SnapshotData::of(snapshot))
        .collect();
    let options = OpenOptions::new(holder::operator(ctx, repository));
    forget(
        &backend,
        &repository.spec.path,
        &data,
        || encryption_password(&namespace, &name, secret.as_ref()),
        &options,
        &ctx.shutdown,
    )
    .await?;
    tracing::info!(
        repository = repository.name_any(),
        snapshots = snapshots.len(),
        "removed the data of Snapshots"
    );
    Ok(())
}

async fn forget_volume(
    ctx: &Context,
    snapshot: &Arc<Snapshot>,
    repository: &Repository,
    storage: &BackupStorage,
) -> Result<Action, SnapshotError> {
    let (namespace, name) = (
        snapshot.namespace().unwrap_or_default(),
        snapshot.name_any(),
    );
    let mut access = Access::default();
    access.one(&namespace, STORAGE_GROUP, "snapshots", &["get"], &name);
    access.one(
        &namespace,
        STORAGE_GROUP,
        "repositories",
        &["get"],
        &repository.name_any(),
    );
    let storage_namespace = storage.namespace().unwrap_or_default();
    access.one(
        &storage_namespace,
        STORAGE_GROUP,
        "backupstorages",
        &["get"],
        &storage.name_any(),
    );
    if let Some((namespace, name)) = encryption_secret(repository) {
        access.one(&namespace, "", "secrets", &["get"], &name);
    }
    let work = Work {
        task: Task::CleanSnapshot,
        namespace: &namespace,
        name: &name,
        storage,
        access,
        owner: None,
    };
    if let Done::NotYet(action) = takedown::by_job(ctx, snapshot.as_ref(), &work).await? {
        return Ok(action);
    }
    takedown::release(ctx, snapshot.as_ref(), None).await?;
    Ok(Action::await_change())
}
