//! Retention: at the end of a session, the Snapshots that its policies let go are removed with
//! their data.
//!
//! ```text
//!   policy + Snapshots ─► select ─► mark WipeOut, delete, Failed ─► forget, one prune ─► let the object go
//!   (reads)              (pure)     (held by its finalizer)
//! ```
//! Invariants: before its data goes a Snapshot is being deleted and no longer says Succeeded, so
//! that whoever looks in between knows; its object goes last, so that what a killed attempt left is
//! found: by the next attempt of the same session, or, once that is over, by the operator.
//! Snapshots in work are never touched. Each repository has its own result in
//! `BackupSession.status.retentionPolicy`.

mod select;

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kube::ResourceExt;
use kubestash_api::conditions::executor::SNAPSHOTS_DATED_IN_FUTURE;
use kubestash_api::conditions::snapshot::BACKUP_INCOMPLETE;
use kubestash_api::core::{
    BackupConfiguration, BackupSession, RetentionPolicyApplyPhase, RetentionPolicyApplyStatus,
};
use kubestash_api::labels;
use kubestash_api::shared::{Condition, ObjectReference, RepositoryInfo};
use kubestash_api::storage::{RetentionPolicy, Snapshot, SnapshotPhase};
use kubestash_backend::{SnapshotData, forget};
use kubestash_domain::condition;
use kubestash_engine::{CancellationToken, EngineError, Repository as _};
use serde_json::json;

use crate::backup::uid_tag;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::store::{Store, snapshots_of};

/// Field manager of what is said about a Snapshot that goes: its executor's words stay.
const MANAGER: &str = "kubestash-executor-retention";
/// So many names are told at most.
const SHOWN: usize = 5;
/// How long somebody else's lock is waited for: the session is not over before retention is.
const LOCK_WAIT: Duration = Duration::from_secs(600);

/// Applies the policy of each of the session's repositories, and reports.
///
/// # Errors
/// Only if the result cannot be reported; a policy that could not be applied is in the report.
pub async fn apply(
    cluster: &Cluster,
    session: &BackupSession,
    configuration: &BackupConfiguration,
    stores: &[(RepositoryInfo, Result<Store, Failure>)],
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let applied = join_all(stores.iter().map(|(info, store)| async move {
        let policy = policy_of(configuration, info);
        let applied = one(cluster, session, policy.as_ref(), info, store, cancel).await;
        // Why a storage cannot be reached is said once, by the backup.
        if let (Err(failure), Ok(_)) = (&applied, store) {
            tracing::error!("{}: retention: {failure}", info.name);
        }
        (info, policy, applied)
    }))
    .await;
    let in_future: Vec<String> = applied
        .iter()
        .flat_map(|(.., applied)| applied.iter().flatten().cloned())
        .collect();
    let entries: Vec<_> = applied
        .into_iter()
        .map(|(info, policy, applied)| RetentionPolicyApplyStatus {
            phase: Some(match applied {
                Ok(_) => RetentionPolicyApplyPhase::Applied,
                Err(_) => RetentionPolicyApplyPhase::FailedToApply,
            }),
            error: applied.err().map(|failure| failure.message),
            ref_: policy,
            repository: info.name.clone(),
        })
        .collect();
    let conditions: Vec<_> = told(&in_future, Timestamp::now()).into_iter().collect();
    let status = json!({ "retentionPolicy": entries, "conditions": conditions });
    cluster.apply_status(session, &status).await?;
    Ok(())
}

/// What there is to say about Snapshots that are dated in the future.
fn told(in_future: &[String], now: Timestamp) -> Option<Condition> {
    if in_future.is_empty() {
        return None;
    }
    let mut names = in_future[..in_future.len().min(SHOWN)].join(", ");
    if in_future.len() > SHOWN {
        names.push_str(&format!(" and {} more", in_future.len() - SHOWN));
    }
    let message = format!(
        "these Snapshots are dated in the future, so the clock was wrong when they were created, or is now ({now:.0}): {names}; the retention policy neither counts nor removes them until then: set the clock, or delete those that are not needed"
    );
    tracing::warn!("retention: {message}");
    Some(condition::new(
        SNAPSHOTS_DATED_IN_FUTURE,
        true,
        message,
        now,
    ))
}

/// The policy of a repository's backend, with its namespace.
fn policy_of(
    configuration: &BackupConfiguration,
    info: &RepositoryInfo,
) -> Option<ObjectReference> {
    let namespace = configuration.namespace().unwrap_or_default();
    let policy = configuration
        .spec
        .backend(&info.backend)?
        .retention_policy
        .as_ref()?;
    Some(ObjectReference::new(
        &policy.name,
        policy.namespace_or(&namespace),
    ))
}

/// Applies one policy; returns the names of the Snapshots that are dated in the future.
async fn one(
    cluster: &Cluster,
    session: &BackupSession,
    policy: Option<&ObjectReference>,
    info: &RepositoryInfo,
    store: &Result<Store, Failure>,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Failure> {
    let Some(policy) = policy else {
        return Ok(Vec::new());
    };
    let namespace = session.namespace().unwrap_or_default();
    let named_by = format!("backends[].retentionPolicy of backend {:?}", info.backend);
    let policy: RetentionPolicy = cluster
        .get(policy.namespace_or(&namespace), &policy.name, &named_by)
        .await?;
    let rules = select::rules(&policy.spec)?;
    let mut snapshots = snapshots_of(cluster, &namespace, &info.name).await?;
    snapshots.retain(|snapshot| snapshot.spec.session == session.spec.session);
    let own = session.name_any();
    let (begun, snapshots): (Vec<_>, Vec<_>) = snapshots
        .into_iter()
        .partition(|snapshot| is_begun(snapshot, &own));
    let selected = select::select(&rules, snapshots, &own, Timestamp::now());
    let stale: Vec<_> = begun.into_iter().chain(selected.stale).collect();
    if stale.is_empty() {
        tracing::info!("{}: retention: nothing to remove", info.name);
        return Ok(selected.in_future);
    }
    let store = store.clone()?;
    let count = stale.len();
    remove(cluster, &store, &own, stale, cancel).await?;
    tracing::info!(
        "{}: retention: removed {count} Snapshots with their data",
        info.name
    );
    Ok(selected.in_future)
}

/// Whether an earlier attempt of this session has begun to remove the Snapshot.
fn is_begun(snapshot: &Snapshot, session: &str) -> bool {
    let by = snapshot.annotations().get(labels::REMOVED_BY);
    snapshot.metadata.deletion_timestamp.is_some() && by.is_some_and(|by| by == session)
}

/// Removes Snapshots of one repository, with their data, oldest first.
///
/// # Errors
/// If something of it fails; it can be repeated.
async fn remove(
    cluster: &Cluster,
    store: &Store,
    session: &str,
    stale: Vec<Snapshot>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let mut marked = Vec::new();
    for snapshot in stale {
        marked.extend(mark(cluster, session, snapshot).await?);
    }
    let mut data: Vec<SnapshotData> = marked.iter().map(SnapshotData::of).collect();
    add_unrecorded(store, &marked, &mut data).await;
    let mut wrong_secret = None;
    let password = || {
        store.password().map_err(|failure| {
            wrong_secret = Some(failure);
            EngineError::Cancelled.into()
        })
    };
    let mut options = store.options().clone();
    options.lock_wait = LOCK_WAIT;
    let forgotten = forget(
        &store.backend,
        store.directory(),
        &data,
        password,
        &options,
        cancel,
    )
    .await;
    if let Err(error) = forgotten {
        return Err(wrong_secret.unwrap_or_else(|| store.explain(error)));
    }
    for snapshot in &marked {
        let freed = json!({"metadata": {"finalizers": finalizers(snapshot)}});
        cluster.merge(snapshot, freed).await?;
    }
    Ok(())
}

/// The finalizers that others have set.
fn finalizers(snapshot: &Snapshot) -> Vec<&str> {
    let all = snapshot.finalizers().iter().map(String::as_str);
    all.filter(|name| *name != labels::CLEANUP_FINALIZER)
        .collect()
}

/// Deletes a Snapshot, whose finalizer holds it until its data is gone, and says so in its status.
/// The data that an earlier attempt has recorded stays in the returned object, for that is what is
/// removed.
async fn mark(
    cluster: &Cluster,
    session: &str,
    snapshot: Snapshot,
) -> Result<Option<Snapshot>, Failure> {
    let snapshot = if snapshot.metadata.deletion_timestamp.is_some() {
        snapshot
    } else {
        let mut held = finalizers(&snapshot);
        held.push(labels::CLEANUP_FINALIZER);
        let mark = json!({
            "metadata": {"annotations": {labels::REMOVED_BY: session}, "finalizers": held},
            "spec": {"deletionPolicy": "WipeOut"},
        });
        let Some(marked) = cluster.merge(&snapshot, mark).await? else {
            return Ok(None);
        };
        cluster.delete(&marked).await?;
        marked
    };
    let incomplete = condition::new(
        BACKUP_INCOMPLETE,
        true,
        "its data is being removed: the retention policy lets it go",
        Timestamp::now(),
    );
    let status = json!({"phase": SnapshotPhase::Failed, "conditions": [incomplete]});
    match cluster.apply_status_as(&snapshot, &status, MANAGER).await {
        Err(error) if error.is_gone() => Ok(None),
        other => {
            other?;
            Ok(Some(snapshot))
        }
    }
}

/// Adds restic snapshots that an attempt stored and was killed before it could record them. Only
/// looked for behind Snapshots that did not succeed; what cannot be looked into is left, with a
/// word in the log.
async fn add_unrecorded(store: &Store, snapshots: &[Snapshot], data: &mut [SnapshotData]) {
    for (snapshot, data) in snapshots.iter().zip(data) {
        let components = snapshot.status.iter().flat_map(|status| &status.components);
        let unrecorded: Vec<&String> = components
            .filter(|(_, component)| component.restic_stats.is_empty())
            .filter_map(|(_, component)| component.path.as_ref())
            .collect();
        let Some(uid) = snapshot.uid() else { continue };
        for path in unrecorded {
            match find_tagged(store, path, &uid_tag(&uid)).await {
                Ok(ids) if ids.is_empty() => {}
                Ok(ids) => data.ids.entry(path.clone()).or_default().extend(ids),
                Err(failure) => tracing::warn!(
                    "{}: cannot look for data that Snapshot {} may have left: {failure}",
                    store.name(),
                    snapshot.name_any()
                ),
            }
        }
    }
}

async fn find_tagged(store: &Store, path: &str, tag: &str) -> Result<Vec<String>, Failure> {
    let password = store.password()?;
    let opened = store
        .backend
        .open_repository(store.directory(), path, &password, store.options().clone())
        .await;
    let repository = match opened {
        Err(kubestash_backend::BackendError::Engine(EngineError::RepositoryMissing { .. })) => {
            return Ok(Vec::new());
        }
        opened => opened.map_err(|error| store.explain(error))?,
    };
    let snapshots = repository.snapshots().await?;
    let tagged = snapshots
        .into_iter()
        .filter(|info| info.tags.iter().any(|own| own == tag));
    Ok(tagged.map(|info| info.id).collect())
}
