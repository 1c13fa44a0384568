//! BackupStorage: set up, watched over, and at the end taken down as its policy says.
//!
//! ```text
//!   Secret ──┐                       ┌─► metadata.yaml, Repositories and Snapshots read back (once)
//!   bucket ──┼─ attempt ─► decide ───┼─► conditions, phase, total size
//!   Repositories ─┘   (status: pure) └─► an Event for each new obstacle
//! ```
//!
//! An object store is set up by the operator itself, a volume by a Job.

mod decide;
mod deletion;
mod emulator;
mod read_back;
mod remove;
mod set_up;

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use kubestash_api::labels;
use kubestash_api::storage::{Backend, BackupStorage, Provider, Repository};

use self::decide::{Outcome, SecretState, World};
pub(crate) use self::read_back::MANAGER as READ_BACK;
use crate::context::{Context, Watches};
use crate::jobs::volume::{invoker_kind, job_of};
use crate::runtime::apply::{self, ApplyError, Manager, Owns};
use crate::runtime::controller::{Controller, Reason};
use crate::runtime::events::Notice;
use crate::runtime::failure::Failure;
use crate::runtime::finalizer;
use crate::runtime::watch::references;

const MANAGER: Manager = Manager("kubestash-backupstorage");

/// Why a BackupStorage could not be reconciled. What its bucket says is no such error, it is told
/// in the conditions.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupStorageError {
    /// The API server refused or did not answer.
    #[error(transparent)]
    Api(#[from] ApplyError),
}

impl Reason for BackupStorageError {
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

/// Runs the controller of BackupStorages until the operator stops.
pub(crate) async fn controller(ctx: Arc<Context>) {
    let watches = ctx.watches.clone();
    let (by_secret, by_job, by_pod, by_namespace) = (
        watches.clone(),
        watches.clone(),
        watches.clone(),
        watches.clone(),
    );
    Controller::new("backupstorage", Arc::clone(&ctx), &watches.backup_storages)
        .on(&watches.repositories, storage_of)
        .on(&watches.secrets, move |secret| {
            let names = (secret.namespace(), Some(secret.name_any()));
            let uses =
                |storage: &BackupStorage| (storage.namespace(), secret_name(storage)) == names;
            references(by_secret.backup_storages.select(uses))
        })
        .on(&watches.jobs, move |job| {
            with_job(&by_job, job, &job.name_any())
        })
        // A pod that does not start says why before its Job says anything.
        .on(&watches.pods, move |pod| {
            let job = job_of(pod).unwrap_or_default();
            with_job(&by_pod, pod, job)
        })
        .on(&watches.namespaces, move |namespace| {
            // A namespace that goes changes what can still be done.
            let name = namespace
                .meta()
                .deletion_timestamp
                .as_ref()
                .map(|_| namespace.name_any());
            let inside = |storage: &BackupStorage| name.is_some() && storage.namespace() == name;
            references(by_namespace.backup_storages.select(inside))
        })
        .run(reconcile)
        .await;
}

/// The storages that a Job of this name is for. `object` is the Job, or its pod, which has the same
/// labels.
fn with_job<K: Resource<DynamicType = ()>>(
    watches: &Watches,
    object: &K,
    job: &str,
) -> Vec<ObjectRef<BackupStorage>> {
    if invoker_kind(object) != Some(BackupStorage::kind(&()).as_ref()) {
        return Vec::new();
    }
    let namespace = object.namespace();
    let has_job = |storage: &BackupStorage| {
        storage.namespace() == namespace
            && set_up::job_names(storage).iter().any(|name| name == job)
    };
    references(watches.backup_storages.select(has_job))
}

/// The storage that a Repository is in.
pub(crate) fn storage_of(repository: &Repository) -> Option<ObjectRef<BackupStorage>> {
    let reference = repository.spec.storage_ref.as_ref()?;
    let namespace = repository.namespace().unwrap_or_default();
    Some(ObjectRef::new(&reference.name).within(reference.namespace_or(&namespace)))
}

pub(crate) fn is_local(storage: &BackupStorage) -> bool {
    storage
        .spec
        .storage
        .as_ref()
        .and_then(Backend::known_provider)
        == Some(Provider::Local)
}

fn secret_name(storage: &BackupStorage) -> Option<String> {
    Some(storage.spec.storage.as_ref()?.secret_name()?.to_owned())
}

fn repositories_of(ctx: &Context, storage: &BackupStorage) -> Vec<Arc<Repository>> {
    let own = ObjectRef::from_obj(storage);
    let mut repositories = ctx
        .watches
        .repositories
        .select(|repository| storage_of(repository).as_ref() == Some(&own));
    repositories.sort_by_key(|repository| (repository.namespace(), repository.name_any()));
    repositories
}

async fn reconcile(
    storage: Arc<BackupStorage>,
    ctx: Arc<Context>,
) -> Result<Action, BackupStorageError> {
    if storage.meta().deletion_timestamp.is_some() {
        return remove::remove(&ctx, &storage).await;
    }
    let namespace = storage.namespace().unwrap_or_default();
    finalizer::ensure(
        &ctx.api(&namespace),
        storage.as_ref(),
        labels::CLEANUP_FINALIZER,
    )
    .await?;
    if let Some(notice) = emulator::notice(&storage, &ctx.environment) {
        ctx.events.tell(storage.as_ref(), &notice).await;
    }
    let secret = match secret_name(&storage) {
        None => SecretState::NotNamed,
        Some(name) if ctx.watches.secrets.get(&namespace, &name).is_some() => SecretState::Found,
        Some(_) => SecretState::Missing,
    };
    let repositories = repositories_of(&ctx, &storage);
    let set_up = if secret == SecretState::Missing {
        let missing = Failure::new(decide::SECRET_MISSING, decide::secret_missing(&storage));
        set_up::SetUp::of(Outcome::Failed(missing))
    } else if is_local(&storage) {
        set_up::volume(&ctx, &storage).await?
    } else {
        set_up::object_store(&ctx, &storage, &repositories).await?
    };
    let world = World {
        storage: &storage,
        secret,
        outcome: &set_up.outcome,
        repositories: &repositories,
        synced: &set_up.synced,
    };
    let status = decide::status(&world, Timestamp::now());
    apply::status(
        &ctx.api(&namespace),
        storage.as_ref(),
        &status,
        Owns::All,
        MANAGER,
    )
    .await?;
    match &set_up.outcome {
        Outcome::Initialized => {
            ctx.events.recovered(storage.as_ref());
            set_up::discard_job(&ctx, &storage).await?;
        }
        Outcome::Failed(failure) => {
            ctx.events
                .tell(
                    storage.as_ref(),
                    &Notice::warning(&failure.kind, &failure.message),
                )
                .await;
        }
        Outcome::Working(_) => {}
    }
    let incomplete = read_back::notice(&set_up.synced);
    for notice in incomplete.iter().chain(&set_up.notice) {
        ctx.events.tell(storage.as_ref(), notice).await;
    }
    Ok(set_up
        .again
        .map_or_else(Action::await_change, Action::requeue))
}
