//! Forgetting snapshots and pruning what only they needed.
//!
//! Under an exclusive lock, so that files can be deleted at once. A crash at any point leaves a
//! sound repository: first the snapshots go, then new packs and a new index are written, then the
//! old index and the packs that nothing names any more are deleted.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use rustic_core::{Credentials, LimitOption, PruneOptions};

use super::backend::{self, Backend};
use super::id::Id;
use super::index::{self, BlobIndex, IndexPack};
use super::lock::{Lock, Mode};
use super::open::{Opened, run_blocking};
use super::{files, repair, snapshot, survey};
use crate::{CancellationToken, EngineError, ForgetReport, StorageError};

/// Removes snapshots and prunes once.
///
/// The work is a task of its own: the lock must outlive it, also when the caller goes away.
pub(super) async fn forget(
    opened: &Arc<Opened>,
    ids: Vec<String>,
    cancel: CancellationToken,
) -> Result<ForgetReport, EngineError> {
    let cancel = cancel.child_token();
    let _cancelled_on_drop = cancel.clone().drop_guard();
    let work = tokio::spawn(run(Arc::clone(opened), ids, cancel));
    work.await.map_err(|error| EngineError::Internal {
        what: "forget snapshots".to_owned(),
        source: Some(Box::new(error)),
    })?
}

async fn run(
    opened: Arc<Opened>,
    ids: Vec<String>,
    cancel: CancellationToken,
) -> Result<ForgetReport, EngineError> {
    let lock = Lock::acquire(&opened, Mode::Exclusive, &cancel).await?;
    let stop = cancel.child_token();
    let mut work = std::pin::pin!(locked(&opened, ids, &stop));
    let result = tokio::select! {
        result = &mut work => result,
        () = cancel.cancelled() => work.await.map_err(|_| EngineError::Cancelled),
        () = lock.lost().cancelled() => {
            stop.cancel();
            work.await.map_err(|_| EngineError::LockLost {
                location: opened.location.clone(),
                source: None,
            })
        }
    };
    opened.cache.clear();
    lock.release().await;
    result
}

async fn locked(
    opened: &Arc<Opened>,
    wanted: Vec<String>,
    stop: &CancellationToken,
) -> Result<ForgetReport, EngineError> {
    let existing = opened.list_ids(files::SNAPSHOTS).await?;
    let mut report = ForgetReport::default();
    let mut remove = BTreeSet::<Id>::new();
    for id in wanted {
        match snapshot::resolve(&existing, &id)? {
            Some(found) => {
                remove.insert(found);
            }
            None => report.missing.push(id),
        }
    }
    if !report.missing.is_empty() {
        // After `restic tag` or `restic rewrite` the data is held under another id.
        let wanted = report.missing.clone();
        for successor in opened.successors(&existing).await? {
            if wanted.iter().any(|wanted| successor.replaces(wanted)) {
                report.missing.retain(|wanted| !successor.replaces(wanted));
                remove.insert(successor.id);
            }
        }
    }
    let paths: Vec<_> = remove
        .iter()
        .map(|id| opened.path_of(files::SNAPSHOTS, id))
        .collect();
    repair::delete(opened, paths).await?;
    report.removed = remove.iter().map(Id::to_string).collect();
    report.unpruned = prune(opened, stop).await?;
    opened.store.remove_abandoned(&opened.directory).await?;
    Ok(report)
}

/// Removes what no snapshot needs; tells why it could not, if it could not. On a full storage only
/// whole packs are removed, as moving their contents together needs room first.
async fn prune(
    opened: &Arc<Opened>,
    stop: &CancellationToken,
) -> Result<Option<String>, EngineError> {
    let pruned = match prune_once(opened, LimitOption::Unlimited, stop).await {
        Err(EngineError::Storage(StorageError::StorageFull { .. })) => {
            prune_once(opened, LimitOption::Percentage(0), stop).await
        }
        other => other,
    };
    match pruned {
        Ok(()) => Ok(None),
        Err(error)
            if !stop.is_cancelled()
                && (error.is_damage() || matches!(error, EngineError::Internal { .. })) =>
        {
            tracing::warn!(location = %opened.location, %error, "the repository is damaged, only what is certainly not needed is removed");
            prune_damaged(opened).await
        }
        Err(error) => Err(error),
    }
}

/// Removes packs that no snapshot needs from a repository in which something is missing or damaged.
/// Nothing is moved. If a snapshot cannot be read, nobody knows what it needs, and everything
/// stays.
async fn prune_damaged(opened: &Arc<Opened>) -> Result<Option<String>, EngineError> {
    repair::locked(opened, &HashSet::new(), true).await?;
    opened.cache.clear();
    let survey = survey::survey(opened, &BlobIndex::load(opened).await?, HashSet::new()).await?;
    if survey.incomplete {
        let reason = survey.damaged.first().map(|found| found.reason.clone());
        let reason = format!(
            "what a damaged snapshot needs is not known, so no data is removed before that snapshot is: {}",
            reason.unwrap_or_default()
        );
        tracing::warn!(location = %opened.location, reason, "the repository was not pruned");
        return Ok(Some(reason));
    }
    let files = repair::IndexFiles::load(opened).await?;
    let is_used = |pack: &&IndexPack| {
        let mut blobs = pack.blobs.iter();
        blobs.any(|blob| survey.used.contains(&(blob.kind, blob.id)))
    };
    let used: HashSet<Id> = files.packs().filter(is_used).map(|pack| pack.id).collect();
    files.replace(opened, |id| !used.contains(id)).await?;
    let sizes = index::sizes(opened).await?;
    let unused = sizes.keys().filter(|id| !used.contains(id));
    let paths = unused
        .map(|id| files::pack_path(&opened.directory, id))
        .collect();
    repair::delete(opened, paths).await?;
    Ok(None)
}

/// Stops at the next access to the storage when told to.
async fn prune_once(
    opened: &Arc<Opened>,
    max_repack: LimitOption,
    stop: &CancellationToken,
) -> Result<(), EngineError> {
    let backend = Backend::of(opened).stopped_by(stop);
    let key = backend::master_key(&opened.key)?;
    let location = opened.location.clone();
    run_blocking("prune the repository", move || {
        let rustic = backend::rustic(backend)?;
        let mut options = PruneOptions::default();
        options.instant_delete = true;
        options.max_repack = max_repack;
        let prune = || {
            let repository = rustic.repository.open(&Credentials::Masterkey(key))?;
            let plan = repository.prune_plan(&options)?;
            repository.prune(&options, plan)
        };
        prune().map_err(|error| {
            rustic
                .failures
                .explain("prune the repository", &location, &error)
        })
    })
    .await
}
