//! The packs of a backup on their way to the storage, and what names them.
//!
//! The order is what keeps a repository sound whatever happens: a pack is named by an index file
//! only when it is durable, the snapshot is written only when all index files are, and a pack that
//! an index may name is never removed again.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::encode::EncodedBlob;
use super::files;
use super::id::Id;
use super::index::{BlobKind, IndexFile, IndexPack, KnownPack};
use super::open::{Opened, run_blocking};
use super::pack::Pack;
use super::snapshot::SnapshotFile;
use crate::{BackupSummary, EngineError, Examined, StorageError};

/// Packs on their way to the storage at a time.
const UPLOADS: usize = 2;
/// An index file is written when this many new blobs wait for one.
pub(super) const BLOBS_PER_INDEX: usize = 40_000;

/// What has become durable.
enum Arrival {
    Pack(IndexPack),
    Index(Id),
}

/// What has not.
struct Failure {
    error: EngineError,
    /// Packs that the file that failed would have named, if it is certain that it is not there.
    unindexed: Vec<Id>,
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self {
            error,
            unindexed: Vec::new(),
        }
    }
}

/// The packs of one backup on their way to the storage.
pub(super) struct Upload {
    opened: Arc<Opened>,
    data: Pack,
    trees: Pack,
    /// What is on its way. Never aborted: a write that was begun may arrive whatever we do.
    uploads: JoinSet<Result<Arrival, Failure>>,
    /// Packs that may have reached the storage and that no index can name.
    unindexed: Vec<Id>,
    /// Packs that are durable and wait for an index file.
    durable: Vec<IndexPack>,
    /// All packs that were written.
    pub(super) packs: Vec<KnownPack>,
    /// All index files that were written.
    pub(super) indexes: Vec<Id>,
    pub(super) data_blobs: i64,
    pub(super) tree_blobs: i64,
    pub(super) added: u64,
    pub(super) added_packed: u64,
}

impl Upload {
    pub(super) fn new(opened: &Arc<Opened>) -> Self {
        Self {
            opened: Arc::clone(opened),
            data: Pack::new(BlobKind::Data),
            trees: Pack::new(BlobKind::Tree),
            uploads: JoinSet::new(),
            unindexed: Vec::new(),
            durable: Vec::new(),
            packs: Vec::new(),
            indexes: Vec::new(),
            data_blobs: 0,
            tree_blobs: 0,
            added: 0,
            added_packed: 0,
        }
    }

    fn pack(&mut self, kind: BlobKind) -> &mut Pack {
        match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        }
    }

    /// Puts a blob into a pack and sends the pack off when it is full.
    pub(super) async fn add(
        &mut self,
        kind: BlobKind,
        blob: EncodedBlob,
    ) -> Result<(), EngineError> {
        match kind {
            BlobKind::Data => self.data_blobs += 1,
            BlobKind::Tree => self.tree_blobs += 1,
        }
        self.added += u64::from(blob.content_length);
        self.added_packed += blob.stored.len() as u64;
        let pack = self.pack(kind);
        pack.add(blob)
            .map_err(|error| EngineError::internal("fill a pack", error))?;
        if pack.is_full() {
            self.send(kind).await?;
        }
        Ok(())
    }

    /// Seals the current pack of a kind and starts its upload.
    async fn send(&mut self, kind: BlobKind) -> Result<(), EngineError> {
        while self.uploads.len() >= UPLOADS {
            self.arrived().await?;
        }
        let pack = std::mem::replace(self.pack(kind), Pack::new(kind));
        let opened = Arc::clone(&self.opened);
        let sealed = run_blocking("seal a pack", move || {
            pack.seal(&opened.key)
                .map_err(|error| EngineError::internal("seal a pack", error))
        })
        .await?;
        self.unindexed.push(sealed.index.id);
        let store = self.opened.store.clone();
        let path = files::pack_path(&self.opened.directory, &sealed.index.id);
        self.uploads.spawn(async move {
            let written = store.write_parts(&path, sealed.parts, None).await;
            written.map_err(EngineError::from)?;
            Ok(Arrival::Pack(sealed.index))
        });
        Ok(())
    }

    /// Waits for something to become durable.
    async fn arrived(&mut self) -> Result<(), EngineError> {
        let Some(arrival) = self.uploads.join_next().await else {
            return Ok(());
        };
        match arrival.map_err(|error| EngineError::internal("upload", error))? {
            Ok(Arrival::Pack(pack)) => {
                self.packs.push(KnownPack::new(pack.id, pack.size()));
                self.durable.push(pack);
            }
            Ok(Arrival::Index(id)) => self.indexes.push(id),
            Err(failure) => {
                self.unindexed.extend(failure.unindexed);
                return Err(failure.error);
            }
        }
        if self
            .durable
            .iter()
            .map(|pack| pack.blobs.len())
            .sum::<usize>()
            >= BLOBS_PER_INDEX
        {
            self.send_index();
        }
        Ok(())
    }

    /// Starts to name the durable packs in an index file. From here on they must stay: an index
    /// that names what is not there would make later backups believe that their data is stored.
    fn send_index(&mut self) {
        if self.durable.is_empty() {
            return;
        }
        let file = IndexFile {
            packs: std::mem::take(&mut self.durable),
        };
        let named: Vec<Id> = file.packs.iter().map(|pack| pack.id).collect();
        self.unindexed.retain(|id| !named.contains(id));
        let opened = Arc::clone(&self.opened);
        self.uploads.spawn(async move {
            match opened.save(files::INDEX, &file).await {
                Ok(id) => Ok(Arrival::Index(id)),
                // A full storage has certainly not taken it, and what is in vain should make room.
                Err(error @ EngineError::Storage(StorageError::StorageFull { .. })) => {
                    Err(Failure {
                        error,
                        unindexed: named,
                    })
                }
                Err(error) => Err(error.into()),
            }
        });
    }

    /// Sends off what is left and waits until all of it is durable and indexed.
    pub(super) async fn finish(&mut self) -> Result<(), EngineError> {
        for kind in [BlobKind::Data, BlobKind::Tree] {
            if !self.pack(kind).is_empty() {
                self.send(kind).await?;
            }
        }
        while !self.uploads.is_empty() {
            self.arrived().await?;
        }
        self.send_index();
        while !self.uploads.is_empty() {
            self.arrived().await?;
        }
        Ok(())
    }

    /// Writes the snapshot file and reads it back. If that fails, makes sure that it is not there.
    pub(super) async fn commit(
        &self,
        snapshot: SnapshotFile,
        examined: Examined,
    ) -> Result<BackupSummary, EngineError> {
        let opened = &self.opened;
        let (id, content) = files::seal(&opened.key, opened.compress, &snapshot)
            .map_err(|error| EngineError::internal("encode the snapshot", error))?;
        let name = format!("{}/{id}", files::SNAPSHOTS);
        let path = files::path(&opened.directory, &name);
        let written = async {
            opened.store.write(&path, content, None).await?;
            opened.read_named(&name).await
        };
        if let Err(error) = written.await {
            // It may have arrived although the answer did not.
            if let Err(error) = opened.store.delete(&path).await {
                tracing::warn!(path, %error, "failed to remove a snapshot that may have been written");
            }
            return Err(match error {
                error if error.is_damage() => EngineError::NotStored {
                    location: opened.location.clone(),
                    reason: error.to_string(),
                },
                error => error,
            });
        }
        let summary = snapshot.summary.unwrap_or_default();
        Ok(BackupSummary {
            snapshot_id: id.to_string(),
            bytes_processed: summary.total_bytes_processed,
            data_added: summary.data_added,
            data_added_packed: summary.data_added_packed,
            started: summary.backup_start,
            finished: Timestamp::now(),
            examined,
        })
    }

    /// Removes what was uploaded in vain. Only this process knows these packs, so nobody needs
    /// them.
    pub(super) async fn undo(&mut self) {
        while !self.uploads.is_empty() {
            // The error that matters was told already.
            let _ = self.arrived().await;
        }
        for id in self.unindexed.drain(..) {
            let path = files::pack_path(&self.opened.directory, &id);
            if let Err(error) = self.opened.store.delete(&path).await {
                tracing::warn!(
                    location = %self.opened.location, %error,
                    "failed to remove a pack of a failed backup; the next prune does it"
                );
                // The storage is in trouble: do not wait for each pack in turn.
                break;
            }
        }
    }
}
