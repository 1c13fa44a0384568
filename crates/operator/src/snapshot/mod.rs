//! Snapshot: its phase, and its end as its policy says.
//!
//! Sessions make Snapshots, executors fill them. Here the phase is kept in line with what was reported, and the data is
//! forgotten when a Snapshot with `deletionPolicy: WipeOut` is deleted by somebody else than the retention of a session.

mod decide;
mod deletion;
mod forget;
pub(crate) mod holder;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::{
    Resource, ResourceExt,
    runtime::{controller::Action, reflector::ObjectRef},
};
use kubestash_api::{
    core::BackupSession,
    labels,
    shared::DeletionPolicy,
    storage::{Repository, Snapshot},
};

use self::decide::World;
use crate::{
    apply::{self, ApplyError, Manager, Owns},
    context::Context,
    controller::{Controller, Reason},
    finalizer,
    repository::repository_of,
    volume_job::invoker_kind,
    watch::references,
};

const MANAGER: Manager = Manager("kubestash-snapshot");
/// How long a Snapshot may be without the session that made it: one of both is seen first.
const ORPHAN_AGE: SignedDuration = SignedDuration::from_secs(60);

/// Why a Snapshot could not be reconciled. What its bucket says is no such error, it is told in the conditions.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The API server refused or did not answer.
    #[error(transparent)]
    Api(#[from] ApplyError),
}

impl Reason for SnapshotError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Api(error) => error.kind(),
        }
    }

    fn is_news(&self) -> bool {
        match self {
            Self::Api(error) => error.is_news(),
        }
    }
}

/// Runs the controller of Snapshots until the operator stops.
pub async fn controller(ctx: Arc<Context>) {
    let watches = ctx.watches.clone();
    let (by_repository, by_job) = (watches.snapshots.clone(), watches.snapshots.clone());
    Controller::new("snapshot", Arc::clone(&ctx), &watches.snapshots)
        .on(&watches.repositories, move |repository| {
            // Those that are shown are named there; the others only matter when the Repository goes.
            if repository.meta().deletion_timestamp.is_some() {
                let own = ObjectRef::from_obj(repository);
                let inside = |snapshot: &Snapshot| repository_of(snapshot).as_ref() == Some(&own);
                return references(by_repository.select(inside));
            }
            let namespace = repository.namespace().unwrap_or_default();
            let status = repository.status.as_ref();
            let recent = status.map(|status| status.recent_snapshots.as_slice());
            let named = recent.unwrap_or_default().iter();
            named
                .map(|recent| ObjectRef::new(&recent.name).within(&namespace))
                .collect()
        })
        .on(&watches.backup_sessions, move |session| {
            let namespace = session.namespace().unwrap_or_default();
            let snapshots = session.status.iter().flat_map(|status| &status.snapshots);
            let named = snapshots.map(|snapshot| ObjectRef::new(&snapshot.name).within(&namespace));
            named.collect::<Vec<_>>()
        })
        .on(&watches.jobs, move |job| {
            if invoker_kind(job) != Some(Snapshot::kind(&()).as_ref()) {
                return Vec::new();
            }
            let (namespace, name) = (job.namespace(), job.name_any());
            let has_job = |snapshot: &Snapshot| {
                snapshot.namespace() == namespace && forget::job_name(snapshot) == name
            };
            references(by_job.select(has_job))
        })
        .run(reconcile)
        .await;
}

pub(crate) fn repository_in(ctx: &Context, snapshot: &Snapshot) -> Option<Arc<Repository>> {
    ctx.watches
        .repositories
        .store()
        .get(&repository_of(snapshot)?)
}

async fn reconcile(snapshot: Arc<Snapshot>, ctx: Arc<Context>) -> Result<Action, SnapshotError> {
    if snapshot.meta().deletion_timestamp.is_some() {
        return forget::remove(&ctx, &snapshot).await;
    }
    if snapshot.spec.paused == Some(true) {
        return Ok(Action::await_change());
    }
    let namespace = snapshot.namespace().unwrap_or_default();
    let api = ctx.api::<Snapshot>(&namespace);
    // The retention of a session sets WipeOut, forgets the data and drops the finalizer: it must not come back.
    if snapshot.spec.deletion_policy == DeletionPolicy::Delete {
        finalizer::ensure(&api, snapshot.as_ref(), labels::CLEANUP_FINALIZER).await?;
    }
    let (orphaned, again) = orphaned(&ctx, &snapshot, Timestamp::now()).await?;
    let repository = repository_in(&ctx, &snapshot);
    let world = World {
        snapshot: &snapshot,
        repository: repository.as_deref(),
        orphaned,
    };
    let said = decide::say(&world, Timestamp::now());
    apply::status(&api, snapshot.as_ref(), &said, Owns::Given, MANAGER).await?;
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// Whether an unfinished Snapshot has lost its session; if it is too early to say, when to look again.
async fn orphaned(
    ctx: &Context,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<(bool, Option<std::time::Duration>), ApplyError> {
    let namespace = snapshot.namespace().unwrap_or_default();
    let session = &snapshot.spec.backup_session;
    let phase = snapshot.status.as_ref().and_then(|status| status.phase);
    if decide::is_completed(phase)
        || session.is_empty()
        || ctx
            .watches
            .backup_sessions
            .get(&namespace, session)
            .is_some()
    {
        return Ok((false, None));
    }
    let created = snapshot
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(now, |time| time.0);
    let left = ORPHAN_AGE - now.duration_since(created);
    if let Ok(left) = std::time::Duration::try_from(left)
        && !left.is_zero()
    {
        return Ok((false, Some(left)));
    }
    // The store may be behind: what ends a backup is asked for.
    let found = apply::get(&ctx.api::<BackupSession>(&namespace), session).await?;
    Ok((found.is_none(), None))
}
