//! From a durable restic snapshot to a Snapshot that says Succeeded.

use std::time::Instant;

use jiff::Timestamp;
use kubestash_api::storage::{Snapshot, SnapshotStatus};
use kubestash_engine::{CancellationToken, Repository, ResticRepository};

use super::report::{self, Stored};
use super::task::Task;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::store::Store;

/// What one repository is finished with.
pub(super) struct Finish<'a> {
    /// The API server.
    pub(super) cluster: &'a Cluster,
    /// The Snapshot as it was read.
    pub(super) snapshot: &'a Snapshot,
    /// What is stored.
    pub(super) task: Task<'a>,
    /// Path of the component.
    pub(super) path: &'a str,
    /// The Repository and its storage.
    pub(super) store: &'a Store,
    /// The restic repository.
    pub(super) repository: &'a ResticRepository,
}

impl Finish<'_> {
    /// Uploads the Snapshot's file, and reports. What nobody has looked at since it was stored is
    /// looked at.
    ///
    /// # Errors
    /// If one of these fails; the data stays, and the next attempt finds it.
    pub(super) async fn all(
        &self,
        stored: Stored,
        surplus: Vec<String>,
        started: Instant,
    ) -> Result<(), Failure> {
        let examined = match &stored.examined {
            Some(examined) => examined.clone(),
            None => self.repository.examine().await?,
        };
        for sentence in &examined.damage {
            tracing::error!("{}: damage: {sentence}", self.repository.location());
        }
        if let Some(end) = examined.recovered() {
            tracing::info!("{}: {end}", self.repository.location());
        }
        for damaged in &examined.damaged_snapshots {
            tracing::error!(
                "{}: restic snapshot {} can no longer be restored as a whole: {}",
                self.repository.location(),
                damaged.id,
                damaged.reason
            );
        }
        let component = report::component(
            self.path,
            &self.task.host_path(),
            &stored,
            &examined,
            started.elapsed(),
        );
        let status = report::stored(self.snapshot, self.task.component(), component);
        self.publish(status).await?;
        self.forget(surplus).await;
        Ok(())
    }

    /// Uploads and reports what an earlier attempt has recorded of its component.
    ///
    /// # Errors
    /// If one of these fails.
    pub(super) async fn publish_recorded(&self) -> Result<(), Failure> {
        let recorded = self.snapshot.status.as_ref();
        let component = recorded.and_then(|status| status.components.get(self.task.component()));
        let component = component.cloned().unwrap_or_default();
        self.publish(report::stored(
            self.snapshot,
            self.task.component(),
            component,
        ))
        .await
    }

    async fn publish(&self, status: SnapshotStatus) -> Result<(), Failure> {
        if !report::is_complete(self.snapshot, &status) {
            // Other tasks have yet to make their parts; the last one publishes.
            self.cluster.apply_status(self.snapshot, &status).await?;
            return Ok(());
        }
        let succeeded = report::published(self.snapshot, status, Timestamp::now());
        self.upload(&succeeded).await?;
        self.cluster.apply_status(self.snapshot, &succeeded).await?;
        Ok(())
    }

    async fn upload(&self, status: &SnapshotStatus) -> Result<(), Failure> {
        let directory = self.store.directory();
        // Into a bucket the operator writes the Repository's file; a volume is only reached from
        // here.
        if self.store.is_volume
            && self
                .store
                .backend
                .read_repository(directory)
                .await
                .ok()
                .flatten()
                .is_none()
        {
            self.store
                .backend
                .write_repository(&self.store.repository)
                .await?;
            self.store
                .backend
                .name_in_metadata(&self.store.repository)
                .await?;
        }
        let file = report::file_of(self.snapshot, status);
        Ok(self.store.backend.write_snapshot(directory, &file).await?)
    }

    /// Removes restic snapshots that attempts at the same time have made twice. What fails here is
    /// tried again when the Snapshot goes.
    async fn forget(&self, surplus: Vec<String>) {
        if surplus.is_empty() {
            return;
        }
        if let Err(error) = self
            .repository
            .forget(surplus, CancellationToken::new())
            .await
        {
            tracing::warn!(
                "failed to remove a second copy at {}: {error}",
                self.repository.location()
            );
        }
    }
}
