//! The locks that a session's Job left, because it was killed before it could give them back.
//!
//! Invariant: only locks of that one Job are removed, and only once nothing of it can write any
//! more. What cannot be reached now (a volume, a bucket that does not answer) is left: the next Job
//! that needs a lock finds out itself, and anybody else after half an hour, as restic does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kubestash_api::storage::{Repository, Snapshot};
use kubestash_backend::{BackendError, encryption_password};
use kubestash_domain::layout;
use kubestash_domain::lock_holder::LockHolder;
use kubestash_engine::{EngineError, LockOwner, OpenOptions};

use crate::context::Context;
use crate::controllers::backupstorage::is_local;
use crate::controllers::repository::storage_in;
use crate::controllers::snapshot::{encryption_secret, holder};
use crate::runtime::apply;
use crate::runtime::controller::full_text;
use crate::stores::StoreError;

/// A session does not wait longer for the locks of its Job: a bucket that is away must not keep it
/// from ending.
const LIMIT: Duration = Duration::from_secs(20);

/// The Job whose locks are looked for.
pub(crate) struct Left<'a> {
    /// Its namespace.
    pub(crate) namespace: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// The Job as the API server has it; none if it is gone.
    pub(crate) job: Option<&'a Job>,
    /// What it is called in locks, see [`LockHolder`].
    pub(crate) holder: String,
}

/// Paths of the components that a Snapshot has, or may have had when its Job was killed.
pub(crate) fn component_paths(snapshot: &Snapshot) -> BTreeSet<String> {
    let recorded = snapshot.status.iter().flat_map(|status| &status.components);
    let recorded = recorded.filter_map(|(_, component)| component.path.clone());
    let (version, session) = (&snapshot.spec.version, &snapshot.spec.session);
    let usual = ["dump", kubestash_domain::manifest::COMPONENT]
        .map(|component| layout::component_path(version, session, component));
    recorded.chain(usual).collect()
}

/// Removes what the Job left in these repositories.
pub(crate) async fn unlock(
    ctx: &Context,
    left: &Left<'_>,
    repositories: &[(Arc<Repository>, BTreeSet<String>)],
) {
    if !holder::is_over_in(ctx, left.namespace, left.name, left.job) {
        return;
    }
    for (repository, paths) in repositories {
        let removing = remove(ctx, left, repository, paths);
        let name = repository.name_any();
        match tokio::time::timeout(LIMIT, removing).await {
            Ok(Ok(0)) => {}
            Ok(Ok(removed)) => tracing::info!(
                namespace = left.namespace,
                job = left.name,
                repository = name,
                removed,
                "removed locks that a killed Job left"
            ),
            Ok(Err(error)) => tracing::warn!(
                namespace = left.namespace,
                job = left.name,
                repository = name,
                error = full_text(&error),
                "failed to look for locks that a killed Job left; they become stale after half an hour"
            ),
            Err(_) => tracing::warn!(
                namespace = left.namespace,
                job = left.name,
                repository = name,
                "the storage did not answer in time to look for locks that a killed Job left; they become stale after half an hour"
            ),
        }
    }
}

async fn remove(
    ctx: &Context,
    left: &Left<'_>,
    repository: &Repository,
    paths: &BTreeSet<String>,
) -> Result<u64, StoreError> {
    let Some(storage) = storage_in(ctx, repository).filter(|storage| !is_local(storage)) else {
        return Ok(0);
    };
    let backend = ctx.stores.open_or_last(ctx, &storage).await?;
    let mut removed = 0;
    for path in paths {
        let locks = layout::join(&[&layout::component_dir(&repository.spec.path, path), "locks"]);
        let found = backend.store().list(&locks).await;
        // Opening a repository is dear; there is mostly nothing to do.
        if found.map_err(BackendError::from)?.is_empty() {
            continue;
        }
        let (namespace, name) = encryption_secret(repository).unwrap_or_default();
        let secret = match name.as_str() {
            "" => None,
            name => apply::get(&ctx.api::<Secret>(&namespace), name).await?,
        };
        let password = encryption_password(&namespace, &name, secret.as_ref())?;
        let options = OpenOptions::new(asking(left, repository));
        let directory = &repository.spec.path;
        match backend
            .open_repository(directory, path, &password, options)
            .await
        {
            Ok(opened) => {
                let found = opened.remove_stale_locks().await;
                removed += found.map_err(BackendError::from)?;
            }
            Err(BackendError::Engine(EngineError::RepositoryMissing { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(removed)
}

/// Asks for nothing; knows that this one Job is over.
fn asking(left: &Left<'_>, repository: &Repository) -> LockOwner {
    let name = holder::own_name();
    let own = LockHolder::new(&name, repository.uid().unwrap_or_default());
    let over = left.holder.clone();
    LockOwner::new(name).with_gone_check(Arc::new(move |hostname| {
        std::future::ready(own.sees_gone(&hostname, |job| job == over)).boxed()
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn locks_are_looked_for_where_the_job_has_worked_or_may_have() {
        let snapshot: Snapshot = serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": "s"}, "spec": {"version": "v1", "session": "frequent"},
            "status": {"components": {"dump": {"path": "repository/v1/old/dump"}, "manifest": {}}},
        }))
        .unwrap();
        let paths: Vec<_> = component_paths(&snapshot).into_iter().collect();
        assert_eq!(
            paths,
            [
                "repository/v1/frequent/dump",
                "repository/v1/frequent/manifest",
                "repository/v1/old/dump"
            ]
        );
    }
}
