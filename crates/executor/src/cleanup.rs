//! The Jobs of `local` storages: a volume can only be reached from a pod, so what the operator does
//! by itself in a bucket is done here, asked for by the operator, one object for each Job.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kubestash_api::conditions::backup_storage::BACKEND_INITIALIZED;
use kubestash_api::config::BackendMeta;
use kubestash_api::labels;
use kubestash_api::shared::ConditionStatus;
use kubestash_api::storage::{BackupStorage, Repository, Snapshot, StorageRepository};
use kubestash_backend::{
    Backend, LEFT_KEY, Left, REPORT_KEY, REPORT_LIMIT, SnapshotData, StoredRepository, forget, pack,
};
use kubestash_domain::name;
use kubestash_engine::{CancellationToken, EngineError};
use serde_json::json;

use crate::arguments::Object;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::store::{self, Store};

/// Makes a volume ready: it is there, can be written, holds nothing of others, says what it is, and
/// what it holds.
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
    let adopted = backend.adopt(!was_set_up(&storage)).await?;
    let found = report(cluster, &backend, object, adopted.metadata.as_ref()).await?;
    if let Some(foreign) = adopted.foreign_metadata {
        tracing::warn!("{foreign}");
    } else if adopted.metadata.is_none() {
        // What is there already was written by somebody who knows more.
        let version = env!("CARGO_PKG_VERSION");
        let metadata = BackendMeta::new(Time(Timestamp::now()), version, found);
        backend.write_metadata(&metadata).await?;
    }
    tracing::info!("the storage at {} is ready", backend.store().place());
    Ok(())
}

/// Whether the storage has been in use, so that what is there now is no reason to refuse it.
fn was_set_up(storage: &BackupStorage) -> bool {
    let conditions = storage.status.iter().flat_map(|status| &status.conditions);
    storage.annotations().contains_key(labels::READ_BACK)
        || conditions.into_iter().any(|condition| {
            condition.type_ == BACKEND_INITIALIZED.type_
                && condition.status == ConditionStatus::True
        })
}

/// Tells the operator what the volume holds, if it has made the ConfigMap for that, and returns it
/// in short.
async fn report(
    cluster: &Cluster,
    backend: &Backend,
    object: &Object,
    metadata: Option<&BackendMeta>,
) -> Result<Vec<StorageRepository>, Failure> {
    let name = name::prefixed("init", &object.name, name::MAX_NAME);
    let Some(report) = cluster.find::<ConfigMap>(&object.namespace, &name).await? else {
        return Ok(Vec::new());
    };
    let found = backend.stored_repositories(metadata).await?;
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

/// Tells the operator what was left in a volume, if it has made the ConfigMap for that.
async fn report_left(cluster: &Cluster, object: &Object, left: &Left) -> Result<(), Failure> {
    let Some(told) = left.told() else {
        return Ok(());
    };
    tracing::warn!("{told}");
    let name = job_name(object);
    if let Some(report) = cluster.find::<ConfigMap>(&object.namespace, &name).await? {
        let left = serde_json::to_vec(left)
            .map_err(|error| Failure::transient("Internal", error.to_string()))?;
        let content = json!({"binaryData": {LEFT_KEY: ByteString(left)}});
        cluster.merge(&report, content).await?;
    }
    Ok(())
}

/// Removes everything of a storage that is ours; what is not stays and is told.
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
    let wiped = backend.wipe_all().await?;
    tracing::info!(
        "removed {} files of {}",
        wiped.removed,
        backend.store().place()
    );
    report_left(cluster, object, &wiped.left).await
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

/// Removes the data of a Repository, and nothing else in its directory. The object itself is the
/// operator's.
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
    let wiped = store.backend.wipe_repository(store.directory()).await?;
    tracing::info!(
        "removed {} files of Repository {}/{}",
        wiped.removed,
        object.namespace,
        object.name
    );
    store.backend.drop_from_metadata(store.directory()).await?;
    report_left(cluster, object, &wiped.left).await
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
