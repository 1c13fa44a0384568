//! The Jobs of `local` storages: a volume can only be reached from a pod, so what the operator does by
//! itself in a bucket is done here, asked for by the operator, one object for each Job.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kubestash_api::config::BackendMeta;
use kubestash_api::storage::{BackupStorage, Repository, Snapshot, StorageRepository};
use kubestash_backend::{
    Backend, BackendError, REPORT_KEY, REPORT_LIMIT, SnapshotData, StoredRepository, forget, pack,
};
use kubestash_core::name;
use kubestash_engine::{CancellationToken, EngineError};
use serde_json::json;

use crate::arguments::Object;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::store::{self, Store};

/// Makes a volume ready: it is there, can be written, says what it is, and what it holds.
///
/// # Errors
/// If not.
pub async fn init_storage(
    cluster: &Cluster,
    settings: &Settings,
    object: &Object,
) -> Result<(), Failure> {
    let storage = storage(cluster, object).await?;
    let (backend, _) = store::backend(cluster, settings, &storage).await?;
    backend.probe().await?;
    let found = report(cluster, &backend, object).await?;
    let metadata = match backend.read_metadata().await {
        // It only repeats what the storage holds, and is written anew.
        Err(BackendError::InvalidFile { .. }) => None,
        metadata => metadata?,
    };
    // What is there already was written by somebody who knows more.
    if metadata.is_none() {
        let version = env!("CARGO_PKG_VERSION");
        let metadata = BackendMeta::new(Time(Timestamp::now()), version, found);
        backend.write_metadata(&metadata).await?;
    }
    tracing::info!("the storage at {} is ready", backend.store().place());
    Ok(())
}

/// Tells the operator what the volume holds, if it has made the ConfigMap for that, and returns it in short.
async fn report(
    cluster: &Cluster,
    backend: &Backend,
    object: &Object,
) -> Result<Vec<StorageRepository>, Failure> {
    let name = name::prefixed("init", &object.name, name::MAX_NAME);
    let Some(report) = cluster.find::<ConfigMap>(&object.namespace, &name).await? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for directory in backend.repository_directories().await? {
        found.push(backend.stored_repository(&directory).await?);
    }
    let short = found.iter().filter_map(in_short).collect();
    let snapshots: usize = found.iter().map(|found| found.snapshots.len()).sum();
    tracing::info!(
        "found {} repositories with {snapshots} Snapshots",
        found.len()
    );
    let packed = tokio::task::spawn_blocking(|| pack(found, REPORT_LIMIT))
        .await
        .map_err(|error| Failure::transient("Internal", error.to_string()))??;
    let content = json!({"binaryData": {REPORT_KEY: ByteString(packed)}});
    cluster.merge(&report, content).await?;
    Ok(short)
}

fn in_short(found: &StoredRepository) -> Option<StorageRepository> {
    let repository = found.repository.as_ref()?;
    Some(StorageRepository {
        name: repository.name_any(),
        namespace: repository.namespace(),
        path: Some(found.directory.clone()),
        ..StorageRepository::default()
    })
}

/// Removes everything of a storage.
///
/// # Errors
/// If it cannot be removed.
pub async fn clean_storage(
    cluster: &Cluster,
    settings: &Settings,
    object: &Object,
) -> Result<(), Failure> {
    let storage = storage(cluster, object).await?;
    let (backend, _) = store::backend(cluster, settings, &storage).await?;
    let count = backend.remove_all().await?;
    tracing::info!("removed {count} files of {}", backend.store().place());
    Ok(())
}

/// Removes the data of one Snapshot. The object itself is the operator's.
///
/// # Errors
/// If it cannot be removed.
pub async fn clean_snapshot(
    cluster: &Cluster,
    settings: &Settings,
    object: &Object,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let snapshot: Snapshot = cluster
        .get(&object.namespace, &object.name, "--name")
        .await?;
    let named_by = format!(
        "spec.repository of Snapshot {}/{}",
        object.namespace, object.name
    );
    let repository: Repository = cluster
        .get(&object.namespace, &snapshot.spec.repository, &named_by)
        .await?;
    let store = Store::of(cluster, settings, repository, &job_name(object)).await?;
    let data = [SnapshotData::of(&snapshot)];
    let mut no_password = None;
    let password = || {
        store.password().map_err(|failure| {
            no_password = Some(failure);
            EngineError::Cancelled.into()
        })
    };
    forget(
        &store.backend,
        store.directory(),
        &data,
        password,
        store.options(),
        cancel,
    )
    .await
    .map_err(|error| no_password.unwrap_or_else(|| store.explain(error)))?;
    tracing::info!(
        "removed the data of Snapshot {}/{}",
        object.namespace,
        object.name
    );
    Ok(())
}

/// Removes the data of a Repository. The object itself is the operator's.
///
/// # Errors
/// If it cannot be removed.
pub async fn clean_repository(
    cluster: &Cluster,
    settings: &Settings,
    object: &Object,
) -> Result<(), Failure> {
    let repository: Repository = cluster
        .get(&object.namespace, &object.name, "--name")
        .await?;
    let store = Store::of(cluster, settings, repository, &job_name(object)).await?;
    let count = store.backend.remove_repository(store.directory()).await?;
    tracing::info!(
        "removed {count} files of Repository {}/{}",
        object.namespace,
        object.name
    );
    Ok(())
}

async fn storage(cluster: &Cluster, object: &Object) -> Result<BackupStorage, Failure> {
    Ok(cluster
        .get(&object.namespace, &object.name, "--storage-name")
        .await?)
}

/// The Job that the operator runs us in.
fn job_name(object: &Object) -> String {
    name::prefixed("cleanup", &object.name, name::MAX_NAME)
}
