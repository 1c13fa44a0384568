//! Storing a stream.
//!
//! ```text
//!   blocking thread        blocking pool           async task
//!   read, cut, hash   ──►  compress, encrypt  ──►  pack, upload ──► index ──► snapshot
//!        └ known chunks are only counted
//! ```
//! Memory: a chunk has 1 MiB on average and 8 MiB at most; [`AHEAD`] of them are between the stages,
//! one pack is being filled and [`UPLOADS`] are on their way: about 50 MiB, however long the stream.
//!
//! The snapshot file is written last, when all packs and index files are durable, and only if the
//! stream ended well, nobody cancelled and our lock is still ours. In any other case the packs that
//! no index names yet are removed again.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use super::{
    chunker::{Chunker, Sizes},
    encode::{EncodedBlob, encode},
    files,
    id::Id,
    index::{BlobIndex, BlobKind, IndexFile, IndexPack},
    lock::{Lock, Mode},
    open::{Opened, run_blocking},
    pack::Pack,
    snapshot::{SnapshotFile, Summary, Tree},
};
use crate::{
    BackupRequest, BackupSummary, ByteSource, CancellationToken, EngineError, StorageError,
    error::Cause,
};

/// Chunks between reading and packing.
const AHEAD: usize = 4;
/// Packs on their way to the storage.
const UPLOADS: usize = 2;
/// Time for tidying up after a failed backup.
const UNDO: Duration = Duration::from_secs(30);
/// An index file is written when this many new blobs wait for one.
const BLOBS_PER_INDEX: usize = 40_000;

/// Stores a stream as a new snapshot.
///
/// The work is a task of its own: a caller that goes away cancels it, but what has to be put in order
/// then is still put in order, under the lock.
pub(super) async fn backup(
    opened: &Arc<Opened>,
    request: BackupRequest,
    source: ByteSource,
    cancel: CancellationToken,
) -> Result<BackupSummary, EngineError> {
    validate(&request)?;
    let cancel = cancel.child_token();
    let _cancelled_on_drop = cancel.clone().drop_guard();
    let work = tokio::spawn(run(Arc::clone(opened), request, source, cancel));
    work.await
        .map_err(|error| internal("back up the stream", error))?
}

async fn run(
    opened: Arc<Opened>,
    request: BackupRequest,
    source: ByteSource,
    cancel: CancellationToken,
) -> Result<BackupSummary, EngineError> {
    let started = Timestamp::now();
    let lock = Lock::acquire(&opened, Mode::Shared, &cancel).await?;
    let mut upload = Upload::new(&opened);
    let lock_lost = || EngineError::LockLost {
        location: opened.location.clone(),
        source: None,
    };
    let stored = tokio::select! {
        stored = store(&opened, &mut upload, &request, source, started, &cancel) => stored,
        () = cancel.cancelled() => Err(EngineError::Cancelled),
        () = lock.lost().cancelled() => Err(lock_lost()),
    };
    let result = match stored {
        // The last moment to turn back: committing is not interrupted.
        Ok(_) if cancel.is_cancelled() => Err(EngineError::Cancelled),
        Ok(_) if lock.lost().is_cancelled() => Err(lock_lost()),
        Ok(snapshot) => upload.commit(snapshot).await,
        Err(error) => Err(error),
    };
    if result.is_err() && tokio::time::timeout(UNDO, upload.undo()).await.is_err() {
        tracing::warn!(
            location = %opened.location,
            "failed to remove all packs of a failed backup in time; the next prune does it"
        );
    }
    lock.release().await;
    result
}

fn validate(request: &BackupRequest) -> Result<(), EngineError> {
    let name = &request.file_name;
    if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
        return Err(EngineError::InvalidRequest {
            reason: format!("{name:?} is no file name; give one without slashes"),
        });
    }
    Ok(())
}

fn internal(what: &str, source: impl Into<Cause>) -> EngineError {
    EngineError::Internal {
        what: what.to_owned(),
        source: Some(source.into()),
    }
}

/// What was read of the stream.
struct Read {
    /// The chunks, in order.
    content: Vec<Id>,
    size: u64,
}

type Encoding = JoinHandle<Result<EncodedBlob, Cause>>;

/// Stores everything but the snapshot file, and returns what that is to say.
async fn store(
    opened: &Arc<Opened>,
    upload: &mut Upload,
    request: &BackupRequest,
    source: ByteSource,
    started: Timestamp,
    cancel: &CancellationToken,
) -> Result<SnapshotFile, EngineError> {
    let index = Arc::new(BlobIndex::load(opened).await?);
    let (sender, mut encodings) = mpsc::channel::<Encoding>(AHEAD);
    let reading = {
        let (opened, index, cancel) = (Arc::clone(opened), Arc::clone(&index), cancel.clone());
        run_blocking("read the stream", move || {
            read(&opened, &index, source, &sender, &cancel)
        })
    };
    let packing = async {
        while let Some(encoding) = encodings.recv().await {
            let blob = encoding
                .await
                .map_err(|error| internal("compress and encrypt", error))?
                .map_err(|error| internal("compress and encrypt", error))?;
            upload.add(BlobKind::Data, blob).await?;
        }
        Ok::<_, EngineError>(upload)
    };
    // If one side fails, the other one is of no use any more.
    let (read, upload) = tokio::try_join!(reading, packing)?;

    let tree = Tree::of_one_file(&request.file_name, request.time, read.size, read.content)
        .map_err(|error| internal("describe the stored file", error))?;
    let tree_id = Id::of(&tree);
    if !index.contains(BlobKind::Tree, &tree_id) {
        let blob = encode(&opened.key, opened.compress, tree_id, &tree)
            .map_err(|error| internal("encode the stored file's description", error))?;
        upload.add(BlobKind::Tree, blob).await?;
    }
    upload.finish().await?;

    Ok(SnapshotFile {
        time: request.time,
        tree: tree_id,
        paths: vec![format!("/{}", request.file_name)],
        hostname: request.host.clone(),
        username: String::new(),
        tags: request.tags.clone(),
        program_version: concat!("kubestash ", env!("CARGO_PKG_VERSION")).to_owned(),
        summary: Some(Summary {
            backup_start: started,
            backup_end: Timestamp::now(),
            files_new: 1,
            data_blobs: upload.data_blobs,
            tree_blobs: upload.tree_blobs,
            data_added: upload.added,
            data_added_packed: upload.added_packed,
            total_files_processed: 1,
            total_bytes_processed: read.size,
            ..Summary::default()
        }),
    })
}

/// Reads the stream to its end and hands on the chunks that are new. Runs on a blocking thread.
fn read(
    opened: &Arc<Opened>,
    index: &BlobIndex,
    source: ByteSource,
    encodings: &mpsc::Sender<Encoding>,
    cancel: &CancellationToken,
) -> Result<Read, EngineError> {
    let polynomial = opened
        .config
        .poly()
        .map_err(|error| EngineError::RepositoryDamaged {
            location: opened.location.clone(),
            reason: "its config has no usable chunker polynomial".to_owned(),
            source: Some(super::backend::said(&error)),
        })?;
    let mut chunker = Chunker::new(source, polynomial, Sizes::of(&opened.config));
    let runtime = tokio::runtime::Handle::current();
    let mut new = HashSet::new();
    let mut read = Read {
        content: Vec::new(),
        size: 0,
    };
    loop {
        if cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let chunk = chunker
            .next()
            .map_err(|source| EngineError::StreamFailed { source })?;
        let Some(chunk) = chunk else {
            return Ok(read);
        };
        let id = Id::of(&chunk);
        read.content.push(id);
        read.size += chunk.len() as u64;
        if index.contains(BlobKind::Data, &id) || !new.insert(id) {
            continue;
        }
        let opened = Arc::clone(opened);
        let encoding =
            runtime.spawn_blocking(move || encode(&opened.key, opened.compress, id, &chunk));
        if encodings.blocking_send(encoding).is_err() {
            // The packing side failed and tells why.
            return Err(EngineError::Cancelled);
        }
    }
}

/// What has become durable.
enum Arrival {
    Pack(IndexPack),
    Index,
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
struct Upload {
    opened: Arc<Opened>,
    data: Pack,
    trees: Pack,
    /// What is on its way. Never aborted: a write that was begun may arrive whatever we do.
    uploads: JoinSet<Result<Arrival, Failure>>,
    /// Packs that may have reached the storage and that no index can name.
    unindexed: Vec<Id>,
    /// Packs that are durable and wait for an index file.
    durable: Vec<IndexPack>,
    data_blobs: i64,
    tree_blobs: i64,
    added: u64,
    added_packed: u64,
}

impl Upload {
    fn new(opened: &Arc<Opened>) -> Self {
        Self {
            opened: Arc::clone(opened),
            data: Pack::new(BlobKind::Data),
            trees: Pack::new(BlobKind::Tree),
            uploads: JoinSet::new(),
            unindexed: Vec::new(),
            durable: Vec::new(),
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
    async fn add(&mut self, kind: BlobKind, blob: EncodedBlob) -> Result<(), EngineError> {
        match kind {
            BlobKind::Data => self.data_blobs += 1,
            BlobKind::Tree => self.tree_blobs += 1,
        }
        self.added += u64::from(blob.content_length);
        self.added_packed += blob.stored.len() as u64;
        let pack = self.pack(kind);
        pack.add(blob)
            .map_err(|error| internal("fill a pack", error))?;
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
                .map_err(|error| internal("seal a pack", error))
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
        match arrival.map_err(|error| internal("upload", error))? {
            Ok(Arrival::Pack(pack)) => self.durable.push(pack),
            Ok(Arrival::Index) => {}
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

    /// Starts to name the durable packs in an index file. From here on they must stay: an index that
    /// names what is not there would make later backups believe that their data is stored.
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
                Ok(_) => Ok(Arrival::Index),
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
    async fn finish(&mut self) -> Result<(), EngineError> {
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

    /// Writes the snapshot file. If that fails, makes sure that it is not there.
    async fn commit(&self, snapshot: SnapshotFile) -> Result<BackupSummary, EngineError> {
        let opened = &self.opened;
        let (id, content) = files::seal(&opened.key, opened.compress, &snapshot)
            .map_err(|error| internal("encode the snapshot", error))?;
        let path = opened.path_of(files::SNAPSHOTS, &id);
        if let Err(error) = opened.store.write(&path, content, None).await {
            // It may have arrived although the answer did not.
            if let Err(error) = opened.store.delete(&path).await {
                tracing::warn!(path, %error, "failed to remove a snapshot that may have been written");
            }
            return Err(error.into());
        }
        let summary = snapshot.summary.unwrap_or_default();
        Ok(BackupSummary {
            snapshot_id: id.to_string(),
            bytes_processed: summary.total_bytes_processed,
            data_added: summary.data_added,
            data_added_packed: summary.data_added_packed,
            started: summary.backup_start,
            finished: Timestamp::now(),
        })
    }

    /// Removes what was uploaded in vain. Only this process knows these packs, so nobody needs them.
    async fn undo(&mut self) {
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
