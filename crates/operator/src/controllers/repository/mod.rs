//! Repository: its file in the bucket, a status that sums up its Snapshots, and its end as its
//! policy says.
//!
//! ```text
//!   BackupStorage ──readiness (pure)──┐
//!   Snapshots ────────────────────────┼─► decide (pure) ─► status
//!   repository.yaml ◄── set up ───────┘
//! ```
//!
//! In a volume the operator can write nothing; there the first session's Job writes
//! `repository.yaml`.

mod decide;
pub(crate) mod deletion;
mod readiness;
mod remove;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use kubestash_api::conditions::repository::{
    DATA_INTACT, DIRECTORY_NESTED, REPOSITORY_INITIALIZED,
};
use kubestash_api::labels;
use kubestash_api::storage::{BackupStorage, Repository, Snapshot};
use kubestash_domain::condition;

use self::decide::Outcome;
use crate::consent::check;
use crate::context::Context;
use crate::controllers::backupstorage::{is_local, storage_of};
use crate::jobs::volume::invoker_kind;
use crate::runtime::apply::{self, ApplyError, Manager, Owns};
use crate::runtime::attempt::{Attempt, Fingerprint};
use crate::runtime::controller::{Controller, Reason};
use crate::runtime::events::Notice;
use crate::runtime::failure::Failure;
use crate::runtime::finalizer;
use crate::runtime::watch::references;
use crate::stores::StoreError;
use crate::validation::sentence;

const MANAGER: Manager = Manager("kubestash-repository");
/// When to look again at what another Repository stands in the way of.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Why a Repository could not be reconciled. What its bucket says is no such error, it is told in
/// the conditions.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepositoryError {
    /// The API server refused or did not answer.
    #[error(transparent)]
    Api(#[from] ApplyError),
}

impl Reason for RepositoryError {
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

/// Runs the controller of Repositories until the operator stops.
pub(crate) async fn controller(ctx: Arc<Context>) {
    let watches = ctx.watches.clone();
    let by_storage = watches.repositories.clone();
    let by_secret = watches.repositories.clone();
    let by_job = watches.repositories.clone();
    Controller::new("repository", Arc::clone(&ctx), &watches.repositories)
        .on(&watches.snapshots, repository_of)
        .on(
            &watches.secrets,
            move |secret: &PartialObjectMeta<Secret>| {
                // The owner of a Secret in another namespace may have let its Repositories in, or
                // shut them out.
                let names = |repository: &Repository| {
                    let own = repository.namespace().unwrap_or_default();
                    let owner = secret.namespace().unwrap_or_default();
                    let encrypted = repository.spec.encryption_secret.as_ref();
                    owner != own
                        && encrypted.is_some_and(|found| {
                            found.name == secret.name_any() && found.namespace_or(&own) == owner
                        })
                };
                references(by_secret.select(names))
            },
        )
        .on(&watches.backup_storages, move |storage| {
            let own = ObjectRef::from_obj(storage);
            let inside = |repository: &Repository| storage_of(repository).as_ref() == Some(&own);
            references(by_storage.select(inside))
        })
        .on(&watches.jobs, move |job| {
            if invoker_kind(job) != Some(Repository::kind(&()).as_ref()) {
                return Vec::new();
            }
            let (namespace, name) = (job.namespace(), job.name_any());
            let has_job = |repository: &Repository| {
                repository.namespace() == namespace && remove::job_name(repository) == name
            };
            references(by_job.select(has_job))
        })
        .run(reconcile)
        .await;
}

/// The Repository that a Snapshot is in.
pub(crate) fn repository_of(snapshot: &Snapshot) -> Option<ObjectRef<Repository>> {
    let name = Some(&snapshot.spec.repository).filter(|name| !name.is_empty())?;
    Some(ObjectRef::new(name).within(&snapshot.namespace().unwrap_or_default()))
}

pub(crate) fn snapshots_of(ctx: &Context, repository: &Repository) -> Vec<Arc<Snapshot>> {
    let (namespace, name) = (repository.namespace(), repository.name_any());
    ctx.watches
        .snapshots
        .select(|snapshot| snapshot.spec.repository == name && snapshot.namespace() == namespace)
}

pub(crate) fn storage_in(ctx: &Context, repository: &Repository) -> Option<Arc<BackupStorage>> {
    ctx.watches
        .backup_storages
        .store()
        .get(&storage_of(repository)?)
}

async fn reconcile(
    repository: Arc<Repository>,
    ctx: Arc<Context>,
) -> Result<Action, RepositoryError> {
    if repository.meta().deletion_timestamp.is_some() {
        return remove::remove(&ctx, &repository).await;
    }
    if repository.spec.paused == Some(true) {
        return Ok(Action::await_change());
    }
    let namespace = repository.namespace().unwrap_or_default();
    finalizer::ensure(
        &ctx.api(&namespace),
        repository.as_ref(),
        labels::CLEANUP_FINALIZER,
    )
    .await?;
    let storage = storage_in(&ctx, &repository);
    let repositories = ctx.watches.repositories.list();
    let nested = readiness::nested(&repository, &repositories);
    let refusals = check::repository(&ctx, &repository, None);
    let refused = (!refusals.is_empty())
        .then(|| Outcome::Failed(Failure::new("ReferenceNotAllowed", sentence(&refusals))));
    let obstacle = readiness::obstacle(
        &repository,
        storage.as_deref(),
        &repositories,
        &ctx.namespace_labels(&namespace),
    )
    .or(refused);
    let (outcome, again) = match (obstacle, &storage) {
        (None, Some(storage)) => set_up(&ctx, &repository, storage).await?,
        (Some(obstacle), _) => {
            let again = waits_for_another(&obstacle).then_some(LOOK_AGAIN);
            (obstacle, again)
        }
        (None, None) => return Ok(Action::await_change()),
    };
    let now = Timestamp::now();
    let mut status = decide::status(&repository, &snapshots_of(&ctx, &repository), &outcome, now);
    if let Some(nested) = &nested {
        let told = condition::new(DIRECTORY_NESTED, true, nested, now);
        condition::set(&mut status.conditions, told);
    } else {
        condition::remove(&mut status.conditions, DIRECTORY_NESTED.type_);
    }
    apply::status(
        &ctx.api(&namespace),
        repository.as_ref(),
        &status,
        Owns::All,
        MANAGER,
    )
    .await?;
    let damage = decide::damage(&status);
    match &outcome {
        Outcome::Initialized => match &nested {
            Some(nested) => {
                let notice = Notice::warning(readiness::NESTED, nested);
                ctx.events.tell(repository.as_ref(), &notice).await;
            }
            None if damage.is_none() => ctx.events.recovered(repository.as_ref()),
            None => {}
        },
        Outcome::Waiting(failure) | Outcome::Failed(failure) => {
            ctx.events
                .tell(
                    repository.as_ref(),
                    &Notice::warning(&failure.kind, &failure.message),
                )
                .await;
        }
    }
    if let Some(damage) = damage {
        let notice = Notice::warning(DATA_INTACT.false_reason, damage);
        ctx.events.tell(repository.as_ref(), &notice).await;
    }
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// Whether it is another Repository that stands in the way: no event tells when that goes.
fn waits_for_another(obstacle: &Outcome) -> bool {
    matches!(obstacle, Outcome::Failed(failure) if matches!(failure.kind.as_str(), readiness::NESTED | readiness::TAKEN))
}

/// Writes `repository.yaml`, if this generation of the Repository has not been written.
async fn set_up(
    ctx: &Context,
    repository: &Repository,
    storage: &BackupStorage,
) -> Result<(Outcome, Option<Duration>), RepositoryError> {
    if decide::is_current(repository) || is_local(storage) {
        return Ok((Outcome::Initialized, None));
    }
    let uid = repository.uid().unwrap_or_default();
    let fingerprint = Fingerprint {
        generation: repository.metadata.generation,
        secret_version: None,
        // Another state of the storage is worth another attempt.
        content: format!("{:?} {:?}", storage.uid(), storage.metadata.generation),
    };
    let last = ctx.attempts.last(&uid);
    if let Some(last) = &last
        && let Some(wait) = last.wait(&fingerprint, Instant::now())
    {
        let outcome = last
            .failure
            .clone()
            .map_or(Outcome::Initialized, Outcome::Failed);
        return Ok((outcome, Some(wait)));
    }
    let failure = match write(ctx, repository, storage).await {
        Ok(()) => None,
        Err(StoreError::Api(error)) => return Err(error.into()),
        Err(error) => Some(Failure::of(error.kind(), &error, told(repository))),
    };
    let attempt = Attempt::after(last.as_ref(), fingerprint.clone(), failure, Instant::now());
    let outcome = attempt
        .failure
        .clone()
        .map_or(Outcome::Initialized, Outcome::Failed);
    let again = attempt
        .wait(&fingerprint, Instant::now())
        .filter(|_| attempt.failure.is_some());
    ctx.attempts.remember(&uid, attempt);
    Ok((outcome, again))
}

fn told(repository: &Repository) -> Option<&str> {
    let status = repository.status.as_ref()?;
    Some(&condition::find(&status.conditions, REPOSITORY_INITIALIZED.type_)?.message)
}

async fn write(
    ctx: &Context,
    repository: &Repository,
    storage: &BackupStorage,
) -> Result<(), StoreError> {
    let backend = ctx.stores.open(ctx, storage).await?;
    Ok(backend.write_repository(&stored(repository)).await?)
}

/// A Repository as it is stored: without what only this cluster knows of it.
fn stored(repository: &Repository) -> Repository {
    Repository {
        metadata: ObjectMeta {
            name: repository.metadata.name.clone(),
            namespace: repository.metadata.namespace.clone(),
            labels: repository.metadata.labels.clone(),
            annotations: repository.metadata.annotations.clone(),
            creation_timestamp: repository.metadata.creation_timestamp.clone(),
            ..ObjectMeta::default()
        },
        spec: repository.spec.clone(),
        status: None,
    }
}
