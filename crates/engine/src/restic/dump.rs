//! Reading a stored stream back, and making sure beforehand that it can be.
//!
//! Neighbouring blobs of one pack are read together. [`READS`] reads run ahead of the consumer,
//! each of at most [`READ_SIZE`] bytes of contents (one blob may be bigger): about 40 MiB in all.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::id::Id;
use super::index::{BlobIndex, BlobKind, Location};
use super::lock::{Lock, Mode};
use super::open::{Opened, run_blocking};
use super::snapshot::Node;
use super::{encode, files, prepare};
use crate::{CancellationToken, CheckDepth, EngineError, SnapshotVerification};

/// Reads that run ahead of the consumer.
const READS: usize = 3;
/// Contents that are read together.
const READ_SIZE: u64 = 8 << 20;

/// Neighbouring blobs of one pack.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    pack: Id,
    offset: u32,
    length: u32,
    /// Length of the contents.
    content_length: u64,
    blobs: Vec<(Id, Location)>,
}

/// Writes a file of a snapshot to `sink`.
pub(super) async fn dump(
    opened: &Arc<Opened>,
    id: &str,
    file: &str,
    sink: Box<dyn Write + Send>,
    cancel: CancellationToken,
) -> Result<u64, EngineError> {
    let lock = Lock::acquire(opened, Mode::Shared, &cancel).await?;
    let result = tokio::select! {
        result = copy(opened, id, file, sink) => result,
        () = cancel.cancelled() => Err(EngineError::Cancelled),
        () = lock.lost().cancelled() => Err(EngineError::LockLost {
            location: opened.location.clone(),
            source: None,
        }),
    };
    lock.release().await;
    result
}

async fn copy(
    opened: &Arc<Opened>,
    id: &str,
    file: &str,
    mut sink: Box<dyn Write + Send>,
) -> Result<u64, EngineError> {
    let mut index = BlobIndex::load(opened).await?;
    let (node, spans) = locate(opened, &mut index, id, file).await?;
    let (sender, mut pieces) = mpsc::channel::<Vec<Vec<u8>>>(1);
    let writing = run_blocking("hand on the restored stream", move || {
        let mut written = 0;
        while let Some(piece) = pieces.blocking_recv() {
            for content in piece {
                sink.write_all(&content)
                    .map_err(|source| EngineError::SinkFailed { source })?;
                written += content.len() as u64;
            }
        }
        sink.flush()
            .map_err(|source| EngineError::SinkFailed { source })?;
        Ok(written)
    });
    let reading = async move {
        let mut reads = stream::iter(spans)
            .map(|span| read(opened, &index, span))
            .buffered(READS);
        while let Some(piece) = reads.next().await {
            if sender.send(piece?).await.is_err() {
                // The writing side failed and tells why.
                return Ok(());
            }
        }
        Ok(())
    };
    let ((), written) = tokio::try_join!(reading, writing)?;
    if written == node.size || node.size == 0 {
        Ok(written)
    } else {
        Err(EngineError::RepositoryDamaged {
            location: opened.location.clone(),
            reason: format!(
                "{file} in snapshot {id} should have {} bytes, but has {written}",
                node.size
            ),
            source: None,
        })
    }
}

/// Whether everything that a file needs is there.
pub(super) async fn verify(
    opened: &Arc<Opened>,
    id: &str,
    file: &str,
    depth: CheckDepth,
) -> Result<SnapshotVerification, EngineError> {
    let lock = Lock::acquire(opened, Mode::Shared, &CancellationToken::new()).await?;
    let result = examine(opened, id, file, depth).await;
    lock.release().await;
    result
}

async fn examine(
    opened: &Arc<Opened>,
    id: &str,
    file: &str,
    depth: CheckDepth,
) -> Result<SnapshotVerification, EngineError> {
    opened.cache.clear();
    let (mut index, sizes) = BlobIndex::load_with_sizes(opened).await?;
    let broken = prepare::broken_by_size(opened, index.packs(), &sizes).await?;
    // What is stored a second time is not lost with its first pack.
    index.exclude(&broken.keys().copied().collect());
    let mut verification = SnapshotVerification::default();
    let (node, spans) = match locate(opened, &mut index, id, file).await {
        Err(EngineError::RepositoryDamaged { reason, .. }) => {
            // Which of the broken packs it needs can only be said if the index is whole.
            verification.errors.extend(broken.into_values());
            if verification.errors.is_empty() {
                verification.errors.push(reason);
            }
            return Ok(verification);
        }
        located => located?,
    };
    verification.size = node.size;
    verification.packs = spans
        .iter()
        .map(|span| span.pack)
        .collect::<HashSet<_>>()
        .len() as u64;
    if depth == CheckDepth::ReadData && verification.errors.is_empty() {
        let mut reads = stream::iter(spans)
            .map(|span| read(opened, &index, span))
            .buffer_unordered(READS);
        while let Some(piece) = reads.next().await {
            match piece {
                Ok(_) => {}
                Err(EngineError::RepositoryDamaged { reason, .. }) => {
                    verification.errors.push(reason);
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(verification)
}

/// The entry of a file in a snapshot, and what to read for it. If the index lacks something, packs
/// that no index names may have it.
async fn locate(
    opened: &Opened,
    index: &mut BlobIndex,
    id: &str,
    file: &str,
) -> Result<(Node, Vec<Span>), EngineError> {
    let first = attempt(opened, index, id, file).await;
    match first {
        Err(EngineError::RepositoryDamaged { .. }) => {}
        located => return located,
    }
    index.recover(opened).await?;
    attempt(opened, index, id, file).await
}

async fn attempt(
    opened: &Opened,
    index: &BlobIndex,
    id: &str,
    file: &str,
) -> Result<(Node, Vec<Span>), EngineError> {
    let node = find(opened, index, id, file).await?;
    let spans = plan(opened, index, &node)?;
    Ok((node, spans))
}

/// The entry of a file in a snapshot.
async fn find(
    opened: &Opened,
    index: &BlobIndex,
    id: &str,
    file: &str,
) -> Result<Node, EngineError> {
    let snapshot_id = opened.find_snapshot(id).await?;
    let snapshot = opened.snapshot(&snapshot_id).await?;
    let missing = || EngineError::FileMissing {
        file: file.to_owned(),
        id: snapshot_id.to_string(),
        location: opened.location.clone(),
    };
    let parts: Vec<String> = file
        .split('/')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let mut tree_id = snapshot.tree;
    for (depth, part) in parts.iter().enumerate() {
        let tree = opened.tree(index, &tree_id).await?;
        let node = tree
            .nodes
            .into_iter()
            .find(|node| node.name == *part)
            .ok_or_else(missing)?;
        if depth + 1 == parts.len() {
            return if node.kind == "file" {
                Ok(node)
            } else {
                Err(missing())
            };
        }
        tree_id = node.subtree.ok_or_else(missing)?;
    }
    Err(missing())
}

/// What to read, in the order of the contents.
fn plan(opened: &Opened, index: &BlobIndex, node: &Node) -> Result<Vec<Span>, EngineError> {
    let mut spans: Vec<Span> = Vec::new();
    for id in &node.content {
        let found = index
            .find(BlobKind::Data, id)
            .and_then(|location| Some((location, index.pack(&location)?)));
        let Some((location, pack)) = found else {
            return Err(EngineError::RepositoryDamaged {
                location: opened.location.clone(),
                reason: format!("no index names blob {id}; run `restic check`"),
                source: None,
            });
        };
        let content_length = u64::from(location.content_length());
        match spans.last_mut() {
            Some(span)
                if span.pack == pack
                    && span.offset.checked_add(span.length) == Some(location.offset)
                    && span.content_length + content_length <= READ_SIZE =>
            {
                span.length += location.length;
                span.content_length += content_length;
                span.blobs.push((*id, location));
            }
            _ => spans.push(Span {
                pack,
                offset: location.offset,
                length: location.length,
                content_length,
                blobs: vec![(*id, location)],
            }),
        }
    }
    Ok(spans)
}

/// Reads and decodes neighbouring blobs. If something is wrong with them, each is read on its own,
/// from wherever a good copy of it is.
async fn read(
    opened: &Arc<Opened>,
    index: &BlobIndex,
    span: Span,
) -> Result<Vec<Vec<u8>>, EngineError> {
    let ids: Vec<Id> = span.blobs.iter().map(|(id, _)| *id).collect();
    match read_together(opened, span).await {
        Err(error) if error.is_damage() => {}
        contents => return contents,
    }
    let mut contents = Vec::with_capacity(ids.len());
    for id in ids {
        contents.push(opened.blob(index, BlobKind::Data, &id).await?.1);
    }
    Ok(contents)
}

async fn read_together(opened: &Arc<Opened>, span: Span) -> Result<Vec<Vec<u8>>, EngineError> {
    let path = files::pack_path(&opened.directory, &span.pack);
    let stored = opened
        .store
        .read_range(&path, u64::from(span.offset), u64::from(span.length))
        .await?;
    let opened = Arc::clone(opened);
    run_blocking("decode blobs", move || {
        span.blobs
            .iter()
            .map(|(id, location)| {
                let start = (location.offset - span.offset) as usize;
                let stored: Bytes = stored.slice(start..start + location.length as usize);
                encode::decode(&opened.key, id, location.uncompressed_length, &stored).map_err(
                    |error| EngineError::RepositoryDamaged {
                        location: opened.location.clone(),
                        reason: format!("blob {id} in pack {} is damaged", span.pack),
                        source: Some(Box::new(error)),
                    },
                )
            })
            .collect()
    })
    .await
}
