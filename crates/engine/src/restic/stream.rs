//! Storing a stream.
//!
//! ```text
//!   blocking thread        blocking pool           async task
//!   read, cut, hash   ──►  compress, encrypt  ──►  pack, upload ──► index ──► snapshot
//!        └ known chunks are only counted
//! ```
//! Memory: a chunk has 1 MiB on average and 8 MiB at most; [`AHEAD`] of them are between the
//! stages, one pack is being filled and two are on their way ([`upload`](super::upload)): about 50
//! MiB, however long the stream.
//!
//! The snapshot file is written last, when all packs and index files are durable, and only if the
//! stream ended well, nobody cancelled and our lock is still ours. In any other case the packs that
//! no index names yet are removed again.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::chunker::{Chunker, Sizes};
use super::encode::{EncodedBlob, encode};
use super::id::Id;
use super::index::{BlobIndex, BlobKind};
use super::lock::{Lock, Mode};
use super::open::{Opened, run_blocking};
use super::prepare::{self, Prepared};
use super::snapshot::{SnapshotFile, Summary, Tree};
use super::upload::Upload;
use super::{repair, survey, written};
use crate::error::Cause;
use crate::{
    BackupRequest, BackupSummary, ByteSource, CancellationToken, EngineError, Examined, ReadBack,
};

/// Chunks between reading and packing.
const AHEAD: usize = 4;
/// Time for tidying up after a failed backup.
const UNDO: Duration = Duration::from_secs(30);

/// Stores a stream as a new snapshot.
///
/// The work is a task of its own: a caller that goes away cancels it, but what has to be put in
/// order then is still put in order, under the lock.
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
        .map_err(|error| EngineError::internal("back up the stream", error))?
}

async fn run(
    opened: Arc<Opened>,
    request: BackupRequest,
    source: ByteSource,
    cancel: CancellationToken,
) -> Result<BackupSummary, EngineError> {
    let started = Timestamp::now();
    let prepared = prepared(&opened, &cancel).await?;
    let lock = Lock::acquire(&opened, Mode::Shared, &cancel).await?;
    let mut upload = Upload::new(&opened);
    let mut broken = HashSet::new();
    let lock_lost = || EngineError::LockLost {
        location: opened.location.clone(),
        source: None,
    };
    let work = Work {
        opened: &opened,
        request: &request,
        prepared: &prepared,
        started,
    };
    let stored = tokio::select! {
        stored = work.store(&mut upload, source, &mut broken, &cancel) => stored,
        () = cancel.cancelled() => Err(EngineError::Cancelled),
        () = lock.lost().cancelled() => Err(lock_lost()),
    };
    let result = match stored {
        // The last moment to turn back: committing is not interrupted.
        Ok(_) if cancel.is_cancelled() => Err(EngineError::Cancelled),
        Ok(_) if lock.lost().is_cancelled() => Err(lock_lost()),
        Ok((snapshot, examined)) => upload.commit(snapshot, examined).await,
        Err(error) => Err(error),
    };
    if result.is_err() && tokio::time::timeout(UNDO, upload.undo()).await.is_err() {
        tracing::warn!(
            location = %opened.location,
            "failed to remove all packs of a failed backup in time; the next prune does it"
        );
    }
    lock.release().await;
    if !broken.is_empty()
        && let Err(error) = repair::repair(&opened, &broken, false, &cancel).await
    {
        tracing::warn!(location = %opened.location, %error, "the repository cannot be repaired yet");
    }
    result
}

/// What was found out for this backup, now or by [`prepare`](prepare::prepare) before.
async fn prepared(
    opened: &Arc<Opened>,
    cancel: &CancellationToken,
) -> Result<Prepared, EngineError> {
    let before = opened
        .prepared
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match before {
        Some(prepared) => Ok(prepared),
        None => prepare::look(opened, ReadBack::default(), cancel).await,
    }
}

fn validate(request: &BackupRequest) -> Result<(), EngineError> {
    let name = &request.file_name;
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if name.split('/').all(is_part) {
        return Ok(());
    }
    Err(EngineError::InvalidRequest {
        reason: format!("{name:?} is no file name; give one like folder/file"),
    })
}

/// What was read of the stream.
struct Read {
    /// The chunks, in order.
    content: Vec<Id>,
    size: u64,
}

type Encoding = JoinHandle<Result<EncodedBlob, Cause>>;

/// One backup at work.
struct Work<'a> {
    opened: &'a Arc<Opened>,
    request: &'a BackupRequest,
    prepared: &'a Prepared,
    started: Timestamp,
}

impl Work<'_> {
    /// Stores everything but the snapshot file, and returns what that is to say and what is known
    /// of the repository. Packs that turn out to be broken are added to `broken`.
    async fn store(
        &self,
        upload: &mut Upload,
        source: ByteSource,
        broken: &mut HashSet<Id>,
        cancel: &CancellationToken,
    ) -> Result<(SnapshotFile, Examined), EngineError> {
        let opened = self.opened;
        let mut damage = self.prepared.damage.clone();
        let index = self.index(&mut damage).await?;
        let (sender, encodings) = mpsc::channel::<Encoding>(AHEAD);
        let reading = {
            let (opened, index, cancel) = (Arc::clone(opened), Arc::clone(&index), cancel.clone());
            run_blocking("read the stream", move || {
                read(&opened, &index, source, &sender, &cancel)
            })
        };
        // If one side fails, the other one is of no use any more.
        let (read, ()) = tokio::try_join!(reading, pack(encodings, upload))?;
        let size = read.size;
        let trees = self.trees(upload, &index, &read).await?;
        upload.finish().await?;

        let verified =
            written::verify(opened, &index, upload, &read.content, &trees, self.prepared).await;
        let written = verified.map_err(|(error, packs)| {
            broken.extend(packs);
            error
        })?;
        let is_new = |id: &&Id| !index.contains(BlobKind::Data, id);
        let new_trees = trees
            .iter()
            .filter(|id| !index.contains(BlobKind::Tree, id));
        let added = read
            .content
            .iter()
            .filter(is_new)
            .chain(new_trees)
            .copied()
            .collect();
        let mut survey = survey::survey(opened, &index, added).await?;
        survey.add(&index, &read.content, &trees);
        survey.stats.total_size += upload.added_packed;
        survey.stats.total_uncompressed_size += upload.added;
        survey.stats.blob_count += (upload.data_blobs + upload.tree_blobs).unsigned_abs();
        let examined = Examined {
            packs_read: self.prepared.packs_read + written.packs_read,
            bytes_read: self.prepared.bytes_read + written.bytes_read,
            read_since: self.prepared.progress.read_since,
            damage,
            stats: survey.stats,
            damaged_snapshots: survey.damaged,
        };
        let root = trees.last().copied().unwrap_or_else(|| Id::of(b""));
        Ok((self.snapshot(upload, root, size), examined))
    }

    /// The index, without what is broken.
    async fn index(&self, damage: &mut Vec<String>) -> Result<Arc<BlobIndex>, EngineError> {
        let (mut index, sizes) = BlobIndex::load_with_sizes(self.opened).await?;
        let broken = prepare::broken_by_size(self.opened, index.packs(), &sizes).await?;
        let gone = broken
            .keys()
            .chain(&self.prepared.excluded)
            .copied()
            .collect();
        let known = damage.clone();
        damage.extend(
            broken
                .into_values()
                .filter(|reason| !known.contains(reason)),
        );
        index.exclude(&gone);
        Ok(Arc::new(index))
    }

    /// Stores the description of the file; returns the ids of its trees, the root last.
    async fn trees(
        &self,
        upload: &mut Upload,
        index: &BlobIndex,
        read: &Read,
    ) -> Result<Vec<Id>, EngineError> {
        let Self {
            opened, request, ..
        } = self;
        let content = read.content.clone();
        let trees = Tree::of_one_file(&request.file_name, request.time, read.size, content)
            .map_err(|error| EngineError::internal("describe the stored file", error))?;
        let mut ids = Vec::new();
        for tree in &trees {
            let id = Id::of(tree);
            ids.push(id);
            if index.contains(BlobKind::Tree, &id) {
                continue;
            }
            let blob = encode(&opened.key, opened.compress, id, tree).map_err(|error| {
                EngineError::internal("encode the stored file's description", error)
            })?;
            upload.add(BlobKind::Tree, blob).await?;
        }
        Ok(ids)
    }

    fn snapshot(&self, upload: &Upload, root: Id, size: u64) -> SnapshotFile {
        let request = self.request;
        SnapshotFile {
            time: request.time,
            tree: root,
            paths: vec![format!("/{}", request.file_name)],
            hostname: request.host.clone(),
            username: String::new(),
            tags: request.tags.clone(),
            program_version: concat!("kubestash ", env!("CARGO_PKG_VERSION")).to_owned(),
            original: None,
            summary: Some(Summary {
                backup_start: self.started,
                backup_end: Timestamp::now(),
                files_new: 1,
                data_blobs: upload.data_blobs,
                tree_blobs: upload.tree_blobs,
                data_added: upload.added,
                data_added_packed: upload.added_packed,
                total_files_processed: 1,
                total_bytes_processed: size,
                ..Summary::default()
            }),
            read_back: Some(self.prepared.progress),
        }
    }
}

/// Puts the chunks into packs as they come.
async fn pack(
    mut encodings: mpsc::Receiver<Encoding>,
    upload: &mut Upload,
) -> Result<(), EngineError> {
    while let Some(encoding) = encodings.recv().await {
        let blob = encoding
            .await
            .map_err(|error| EngineError::internal("compress and encrypt", error))?
            .map_err(|error| EngineError::internal("compress and encrypt", error))?;
        upload.add(BlobKind::Data, blob).await?;
    }
    Ok(())
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
