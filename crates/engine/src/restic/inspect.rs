//! Looking at a repository: is it sound, how big is it, what does it hold.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use rustic_core::{CheckOptions, Credentials};

use super::backend::{self, Backend};
use super::id::Id;
use super::index::BlobIndex;
use super::lock::{Lock, Mode};
use super::open::{Opened, run_blocking};
use super::snapshot::SnapshotFile;
use super::{files, prepare, survey};
use crate::{
    CancellationToken, CheckDepth, CheckReport, EngineError, Examined, RepositoryStats,
    SnapshotInfo,
};

/// Files read at a time.
const READS: usize = 8;

/// Checks the repository with rustic, under a shared lock: a prune in between would look like
/// damage.
pub(super) async fn check(
    opened: &Arc<Opened>,
    depth: CheckDepth,
) -> Result<CheckReport, EngineError> {
    let lock = Lock::acquire(opened, Mode::Shared, &CancellationToken::new()).await?;
    // What is in memory is no proof of what is stored.
    opened.cache.clear();
    let backend = Backend::of(opened);
    let key = backend::master_key(&opened.key);
    let location = opened.location.clone();
    let result = run_blocking("check the repository", move || {
        let rustic = backend::rustic(backend)?;
        let failures = rustic.failures;
        let options = CheckOptions::default().read_data(depth == CheckDepth::ReadData);
        let results = rustic
            .repository
            .open(&Credentials::Masterkey(key?))
            .and_then(|repository| repository.check(options));
        let mut report = CheckReport::default();
        match results {
            Ok(results) => {
                for (level, finding) in results.0 {
                    // The type of the level is not public; its name is all there is.
                    if format!("{level:?}") == "Error" {
                        report.errors.push(one_line(&finding.to_string()));
                    } else {
                        report.warnings.push(one_line(&finding.to_string()));
                    }
                }
            }
            // A snapshot that is missing or unreadable is damage too.
            Err(error) => report.errors.push(one_line(&error.display_log())),
        }
        match failures.storage_error() {
            // The storage failed in the middle: the findings say nothing about the repository.
            Some(error) if !error.is_not_found() => Err(error.into()),
            _ if report.errors.len() > MOST_FINDINGS => {
                let more = report.errors.len() - MOST_FINDINGS;
                report.errors.truncate(MOST_FINDINGS);
                report.errors.push(format!("and {more} more"));
                Ok(report)
            }
            _ => Ok(report),
        }
    })
    .await;
    lock.release().await;
    result.map_err(|error| match error {
        EngineError::Internal { what, source } => EngineError::Internal {
            what: format!("{what} at {location}"),
            source,
        },
        other => other,
    })
}

/// More findings than this are only counted.
const MOST_FINDINGS: usize = 50;

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All snapshots, oldest first.
pub(super) async fn snapshots(opened: &Arc<Opened>) -> Result<Vec<SnapshotInfo>, EngineError> {
    let mut snapshots: Vec<_> = readable(opened)
        .await?
        .into_iter()
        .map(|(id, snapshot)| snapshot.info(&id))
        .collect();
    snapshots.sort_by(|left, right| (left.time, &left.id).cmp(&(right.time, &right.id)));
    Ok(snapshots)
}

/// One snapshot.
pub(super) async fn snapshot(opened: &Opened, id: &str) -> Result<SnapshotInfo, EngineError> {
    let id = opened.find_snapshot(id).await?;
    Ok(opened.snapshot(&id).await?.info(&id))
}

/// All snapshots that can be read. Of one that cannot be, nothing else must depend; it is told in
/// the log.
pub(super) async fn readable(opened: &Arc<Opened>) -> Result<Vec<(Id, SnapshotFile)>, EngineError> {
    let mut readable = Vec::new();
    for (id, snapshot) in load_all(opened).await? {
        match snapshot {
            Ok(snapshot) => readable.push((id, snapshot)),
            Err(error) => {
                tracing::error!(location = %opened.location, snapshot = %id, %error, "going on without a snapshot that cannot be read");
            }
        }
    }
    Ok(readable)
}

/// All snapshots, or why one cannot be read.
pub(super) async fn load_all(
    opened: &Arc<Opened>,
) -> Result<Vec<(Id, Result<SnapshotFile, EngineError>)>, EngineError> {
    let ids = opened.list_ids(files::SNAPSHOTS).await?;
    stream::iter(ids.into_iter().map(|id| async move {
        match opened.snapshot(&id).await {
            // Forgotten meanwhile.
            Err(EngineError::Storage(error)) if error.is_not_found() => Ok(None),
            Err(error) if error.is_damage() => Ok(Some((id, Err(error)))),
            snapshot => Ok(Some((id, Ok(snapshot?)))),
        }
    }))
    .buffer_unordered(READS)
    .try_filter_map(|found| async move { Ok(found) })
    .try_collect()
    .await
}

/// Size of all blobs that snapshots refer to, each counted once.
pub(super) async fn stats(opened: &Arc<Opened>) -> Result<RepositoryStats, EngineError> {
    Ok(examine(opened).await?.stats)
}

/// What is stored, whether it is there, and which snapshots cannot be restored.
pub(super) async fn examine(opened: &Arc<Opened>) -> Result<Examined, EngineError> {
    let lock = Lock::acquire(opened, Mode::Shared, &CancellationToken::new()).await?;
    let result = locked(opened).await;
    lock.release().await;
    result
}

async fn locked(opened: &Arc<Opened>) -> Result<Examined, EngineError> {
    let (mut index, sizes) = BlobIndex::load_with_sizes(opened).await?;
    let broken = prepare::broken_by_size(opened, index.packs(), &sizes).await?;
    let mut damage: Vec<String> = broken.values().cloned().collect();
    damage.extend(index.unusable.iter().map(|file| file.reason.clone()));
    index.exclude(&broken.keys().copied().collect());
    let survey = survey::survey(opened, &index, HashSet::new()).await?;
    Ok(Examined {
        damage,
        stats: survey.stats,
        damaged_snapshots: survey.damaged,
        ..Examined::default()
    })
}
