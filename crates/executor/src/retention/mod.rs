//! Retention: at the end of a session, the Snapshots that its policies let go are removed with their data.
//!
//! ```text
//!   policy + Snapshots ─► select ─► mark WipeOut ─► forget, one prune ─► remove files ─► remove objects
//!   (reads)              (pure)
//! ```
//! Invariants: a Snapshot is marked before its data goes, so that whoever looks in between knows that it
//! goes; its object is removed last, so that a killed attempt is found and repeated. Snapshots in work are
//! never touched. Each repository has its own result in `BackupSession.status.retentionPolicy`.

mod select;

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kube::ResourceExt;
use kubestash_api::core::{
    BackupConfiguration, BackupSession, RetentionPolicyApplyPhase, RetentionPolicyApplyStatus,
};
use kubestash_api::labels;
use kubestash_api::shared::{ObjectReference, RepositoryInfo};
use kubestash_api::storage::{RetentionPolicy, Snapshot};
use kubestash_backend::{SnapshotData, forget};
use kubestash_engine::{CancellationToken, EngineError, Repository as _};
use serde_json::json;

use crate::backup::uid_tag;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::store::{Store, snapshots_of};

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
    let entries = join_all(stores.iter().map(|(info, store)| async move {
        let policy = policy_of(configuration, info);
        let applied = one(cluster, session, policy.as_ref(), info, store, cancel).await;
        // Why a storage cannot be reached is said once, by the backup.
        if let (Err(failure), Ok(_)) = (&applied, store) {
            tracing::error!("{}: retention: {failure}", info.name);
        }
        RetentionPolicyApplyStatus {
            phase: Some(match applied {
                Ok(()) => RetentionPolicyApplyPhase::Applied,
                Err(_) => RetentionPolicyApplyPhase::FailedToApply,
            }),
            error: applied.err().map(|failure| failure.message),
            ref_: policy,
            repository: info.name.clone(),
        }
    }))
    .await;
    cluster
        .apply_status(session, &json!({ "retentionPolicy": entries }))
        .await?;
    Ok(())
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

async fn one(
    cluster: &Cluster,
    session: &BackupSession,
    policy: Option<&ObjectReference>,
    info: &RepositoryInfo,
    store: &Result<Store, Failure>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let Some(policy) = policy else { return Ok(()) };
    let namespace = session.namespace().unwrap_or_default();
    let named_by = format!("backends[].retentionPolicy of backend {:?}", info.backend);
    let policy: RetentionPolicy = cluster
        .get(policy.namespace_or(&namespace), &policy.name, &named_by)
        .await?;
    let rules = select::rules(&policy.spec)?;
    let mut snapshots = snapshots_of(cluster, &namespace, &info.name).await?;
    snapshots.retain(|snapshot| snapshot.spec.session == session.spec.session);
    let stale = select::stale(&rules, snapshots, Timestamp::now());
    if stale.is_empty() {
        tracing::info!("{}: retention: nothing to remove", info.name);
        return Ok(());
    }
    let store = store.clone()?;
    let count = stale.len();
    remove(cluster, &store, stale, cancel).await?;
    tracing::info!(
        "{}: retention: removed {count} Snapshots with their data",
        info.name
    );
    Ok(())
}

/// Removes Snapshots of one repository, with their data, oldest first.
///
/// # Errors
/// If something of it fails; it can be repeated.
async fn remove(
    cluster: &Cluster,
    store: &Store,
    stale: Vec<Snapshot>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let mark = json!({"spec": {"deletionPolicy": "WipeOut"}});
    let mut marked = Vec::new();
    for snapshot in stale {
        marked.extend(cluster.merge(&snapshot, mark.clone()).await?);
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
        let rest: Vec<&String> = snapshot
            .finalizers()
            .iter()
            .filter(|name| *name != labels::CLEANUP_FINALIZER)
            .collect();
        let freed = json!({"metadata": {"finalizers": rest}});
        if let Some(snapshot) = cluster.merge(snapshot, freed).await? {
            cluster.delete(&snapshot).await?;
        }
    }
    Ok(())
}

/// Adds restic snapshots that an attempt stored and was killed before it could record them. Only looked
/// for behind Snapshots that did not succeed; what cannot be looked into is left, with a word in the log.
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
