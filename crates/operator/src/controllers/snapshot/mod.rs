//! Snapshot: its phase, and its end as its policy says.
//!
//! Sessions make Snapshots, executors fill them. Here the phase is kept in line with what was
//! reported, and the data is forgotten when a Snapshot with `deletionPolicy: WipeOut` is deleted by
//! somebody else than the retention of a session.

mod decide;
mod deletion;
mod forget;
pub(crate) mod holder;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use kubestash_api::conditions::snapshot::DATA_INTACT;
use kubestash_api::core::BackupSession;
use kubestash_api::labels;
use kubestash_api::shared::DeletionPolicy;
use kubestash_api::storage::{Repository, Snapshot, SnapshotPhase};
use kubestash_domain::phase;

use self::decide::World;
pub(crate) use self::decide::warnings_of;
pub(crate) use self::forget::encryption_secret;
use crate::context::Context;
use crate::controllers::backupsession::is_finished;
use crate::controllers::repository::{repository_of, snapshots_of};
use crate::jobs::volume::invoker_kind;
use crate::runtime::apply::{self, ApplyError, Manager, Owns};
use crate::runtime::controller::{Controller, Reason};
use crate::runtime::events::Notice;
use crate::runtime::finalizer;
use crate::runtime::watch::{Watch, references};

const MANAGER: Manager = Manager("kubestash-snapshot");
/// How long a Snapshot may be without the session that made it: one of both is seen first.
const ORPHAN_AGE: SignedDuration = SignedDuration::from_secs(60);

/// Why a Snapshot could not be reconciled. What its bucket says is no such error, it is told in the
/// conditions.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
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
pub(crate) async fn controller(ctx: Arc<Context>) {
    let watches = ctx.watches.clone();
    let (by_repository, by_job) = (watches.snapshots.clone(), watches.snapshots.clone());
    let by_remover = watches.snapshots.clone();
    let by_report = watches.snapshots.clone();
    Controller::new("snapshot", Arc::clone(&ctx), &watches.snapshots)
        .on(&watches.snapshots, move |snapshot| {
            reported_on(snapshot, &by_report)
        })
        .on(&watches.repositories, move |repository| {
            // Those that are shown are named there; the others only matter when the Repository
            // goes.
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
            let mut found: Vec<_> = named.collect();
            // What its retention has begun and not finished is finished once it is over.
            if is_finished(session) || session.meta().deletion_timestamp.is_some() {
                let name = session.name_any();
                let left = |snapshot: &Snapshot| {
                    snapshot.annotations().get(labels::REMOVED_BY) == Some(&name)
                        && snapshot.meta().deletion_timestamp.is_some()
                        && snapshot.namespace().as_deref() == Some(&namespace)
                };
                found.extend(references(by_remover.select(left)));
            }
            found
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
    // The retention of a session sets WipeOut, forgets the data and drops the finalizer: it must
    // not come back.
    if snapshot.spec.deletion_policy == DeletionPolicy::Delete {
        finalizer::ensure(&api, snapshot.as_ref(), labels::CLEANUP_FINALIZER).await?;
    }
    let (orphaned, again) = orphaned(&ctx, &snapshot, Timestamp::now()).await?;
    let repository = repository_in(&ctx, &snapshot);
    let beside = repository
        .as_deref()
        .map(|repository| snapshots_of(&ctx, repository))
        .unwrap_or_default();
    let world = World {
        snapshot: &snapshot,
        repository: repository.as_deref(),
        orphaned,
        later: phase::later_look(&snapshot, beside.iter().map(AsRef::as_ref)),
    };
    let said = decide::say(&world, Timestamp::now());
    apply::status(&api, snapshot.as_ref(), &said, Owns::Given, MANAGER).await?;
    match said.damage() {
        Some(damage) => {
            let notice = Notice::warning(DATA_INTACT.false_reason, damage);
            ctx.events.tell(snapshot.as_ref(), &notice).await;
        }
        None => ctx.events.recovered(snapshot.as_ref()),
    }
    if let (Some(repository), Some(found)) = (&repository, found_damage(&snapshot)) {
        let notice = Notice::warning("DamageFound", found);
        ctx.events.tell(repository.as_ref(), &notice).await;
    }
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// What the run that made the Snapshot found damaged in its repository, and what became of it.
fn found_damage(snapshot: &Snapshot) -> Option<String> {
    let status = snapshot.status.as_ref()?;
    let found: Vec<&str> = status
        .components
        .values()
        .flat_map(|component| &component.damage)
        .map(String::as_str)
        .collect();
    (!found.is_empty()).then(|| {
        format!(
            "found by the backup of Snapshot {}: {}",
            snapshot.name_any(),
            found.join("; ")
        )
    })
}

/// The Snapshots in the same Repository of which a run that has ended says something new: the
/// damaged ones, and those that were marked before.
fn reported_on(snapshot: &Snapshot, snapshots: &Watch<Snapshot>) -> Vec<ObjectRef<Snapshot>> {
    let Some(status) = &snapshot.status else {
        return Vec::new();
    };
    if status.phase != Some(SnapshotPhase::Succeeded) {
        return Vec::new();
    }
    let damaged: Vec<&str> = status
        .components
        .values()
        .flat_map(|component| &component.damaged_snapshots)
        .map(|damaged| damaged.id.as_str())
        .collect();
    let is_meant = |other: &Snapshot| {
        other.spec.repository == snapshot.spec.repository
            && other.namespace() == snapshot.namespace()
            && other.status.as_ref().is_some_and(|status| {
                let mut stats = status
                    .components
                    .values()
                    .flat_map(|component| &component.restic_stats);
                status.integrity == Some(false)
                    || stats.any(|stats| stats.id().is_some_and(|id| damaged.contains(&id)))
            })
    };
    references(snapshots.select(is_meant))
}

/// Whether an unfinished Snapshot has lost its session; if it is too early to say, when to look
/// again.
async fn orphaned(
    ctx: &Context,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<(bool, Option<std::time::Duration>), ApplyError> {
    let namespace = snapshot.namespace().unwrap_or_default();
    let session = &snapshot.spec.backup_session;
    let now_in = snapshot.status.as_ref().and_then(|status| status.phase);
    if decide::is_completed(now_in)
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
    // Created in the future: the clock was set back. It is not waited for to catch up.
    let left = (ORPHAN_AGE - now.duration_since(created)).min(ORPHAN_AGE);
    if let Ok(left) = std::time::Duration::try_from(left)
        && !left.is_zero()
    {
        return Ok((false, Some(left)));
    }
    // The store may be behind: what ends a backup is asked for.
    let found = apply::get(&ctx.api::<BackupSession>(&namespace), session).await?;
    Ok((found.is_none(), None))
}
