//! Before a backup: what it will rely on is looked at, and what is broken is put right.
//!
//! ```text
//!   index ─► packs: all there, in their size? ─► a part read back and hashed ─► repair, if need be
//! ```
//! No lock is held here: what looks broken is looked at again under the exclusive lock before
//! anything is done about it ([`repair`]). After that the stream may begin: a chunk that is stored
//! in what is broken does not count as stored, and is written anew.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::id::Id;
use super::index::{BlobIndex, BlobKind, KnownPack, Sizes};
use super::open::{Opened, run_blocking};
use super::rotation::{self, Progress};
use super::snapshot::SnapshotFile;
use super::{files, inspect, repair};
use crate::{CancellationToken, EngineError, ReadBack};

/// Packs read at a time.
const READS: usize = 3;
/// Bytes of a pack that are read at a time.
const PIECE: u64 = 8 << 20;
/// Packs at a time that are looked at because the listing does not show them as they should be.
const LOOKS: usize = 4;

/// What was found out for the next backup.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// How much the user wants to be read.
    pub(super) wish: ReadBack,
    /// What the next snapshot says of reading back.
    pub(super) progress: Progress,
    /// Packs that must not count, because they could not be taken out of the index yet.
    pub(super) excluded: HashSet<Id>,
    /// What was broken, and what became of it.
    pub(super) damage: Vec<String>,
    pub(super) packs_read: u64,
    pub(super) bytes_read: u64,
}

/// Looks at what the next backup will rely on, and repairs it. What was found out is kept for that
/// backup.
pub(super) async fn prepare(
    opened: &Arc<Opened>,
    wish: ReadBack,
    cancel: &CancellationToken,
) -> Result<(), EngineError> {
    let prepared = look(opened, wish, cancel).await?;
    *opened
        .prepared
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(prepared);
    Ok(())
}

/// Looks at what a backup will rely on, and repairs it.
pub(super) async fn look(
    opened: &Arc<Opened>,
    wish: ReadBack,
    cancel: &CancellationToken,
) -> Result<Prepared, EngineError> {
    tokio::select! {
        prepared = look_and_repair(opened, wish, cancel) => prepared,
        () = cancel.cancelled() => Err(EngineError::Cancelled),
    }
}

async fn look_and_repair(
    opened: &Arc<Opened>,
    wish: ReadBack,
    cancel: &CancellationToken,
) -> Result<Prepared, EngineError> {
    let now = Timestamp::now();
    let (index, sizes) = BlobIndex::load_with_sizes(opened).await?;
    let mut broken = broken_by_size(opened, index.packs(), &sizes).await?;
    let snapshots = inspect::readable(opened).await?;
    let before = rotation::newest(
        snapshots
            .iter()
            .filter_map(|(_, snapshot)| snapshot.read_back),
        now,
    );
    let packs: Vec<KnownPack> = index
        .packs()
        .filter(|pack| !broken.contains_key(&pack.id))
        .copied()
        .collect();
    let newest = snapshots
        .iter()
        .map(|(_, snapshot)| snapshot)
        .max_by_key(|snapshot| snapshot.time);
    let (needed, mut gaps) = match newest {
        Some(newest) => packs_of(opened, &index, newest).await?,
        None => (HashSet::new(), false),
    };
    gaps |= snapshots
        .iter()
        .any(|(_, snapshot)| !index.contains(BlobKind::Tree, &snapshot.tree));
    // An index file may be lost while the packs that it named are there.
    let index_lost = gaps && sizes.keys().any(|id| !index.knows(id));
    let plan = rotation::plan(&packs, &needed, before.as_ref(), now, &wish);
    let bytes_read = plan.packs.iter().map(|pack| pack.size).sum();
    let packs_read = plan.packs.len() as u64;
    broken.extend(read_back(opened, plan.packs).await?);

    let mut prepared = Prepared {
        wish,
        progress: rotation::progress(before.as_ref(), now, &wish, plan.everything),
        excluded: HashSet::new(),
        damage: Vec::new(),
        packs_read,
        bytes_read,
    };
    if !broken.is_empty() || !index.unusable.is_empty() || index_lost {
        for reason in broken.values() {
            tracing::error!(location = %opened.location, reason, "the repository is damaged");
        }
        let suspects: HashSet<Id> = broken.keys().copied().collect();
        // Whatever the index says of them afterwards.
        prepared.excluded.clone_from(&suspects);
        match repair::repair(opened, &suspects, index_lost, cancel).await {
            Ok(damage) => prepared.damage = damage,
            // Somebody is at work for long. What is broken does not count all the same; the next
            // backup repairs it.
            Err(error @ EngineError::Locked { .. }) => {
                tracing::warn!(location = %opened.location, %error, "the repository cannot be repaired yet");
                prepared.damage.extend(broken.into_values());
                prepared
                    .damage
                    .extend(index.unusable.into_iter().map(|file| file.reason));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(prepared)
}

/// The packs that are missing or have another size than the index says, each with a sentence about
/// it.
pub(super) async fn broken_by_size(
    opened: &Arc<Opened>,
    packs: impl Iterator<Item = &KnownPack>,
    sizes: &Sizes,
) -> Result<BTreeMap<Id, String>, EngineError> {
    let differing: Vec<KnownPack> = packs
        .filter(|pack| sizes.get(&pack.id) != Some(&pack.size))
        .copied()
        .collect();
    let mut looks = stream::iter(differing.into_iter().map(|pack| {
        let listed = sizes.get(&pack.id).copied();
        async move {
            if listed.is_some() {
                // Some storages list other sizes than they store.
                return Ok(wrong_size(opened, &pack)
                    .await?
                    .map(|reason| (pack.id, reason)));
            }
            // A listing may lack what is there.
            let path = files::pack_path(&opened.directory, &pack.id);
            let is_there = opened.store.exists(&path).await?;
            Ok::<_, EngineError>(
                (!is_there).then(|| (pack.id, format!("pack {} is missing", pack.id))),
            )
        }
    }))
    .buffer_unordered(LOOKS);
    let mut broken = BTreeMap::new();
    while let Some(found) = looks.next().await {
        broken.extend(found?);
    }
    Ok(broken)
}

/// What is wrong with a pack that is listed with another size than the index says, if something is.
async fn wrong_size(opened: &Arc<Opened>, pack: &KnownPack) -> Result<Option<String>, EngineError> {
    let path = files::pack_path(&opened.directory, &pack.id);
    let content = match opened.store.read(&path).await {
        Err(error) if error.is_not_found() => {
            return Ok(Some(format!("pack {} is missing", pack.id)));
        }
        content => content?,
    };
    let size = content.len() as u64;
    let id = run_blocking("hash a pack", move || Ok(Id::of(&content))).await?;
    let what = match size.cmp(&pack.size) {
        _ if id == pack.id => return Ok(None),
        Ordering::Less => "is cut off",
        Ordering::Equal => "is damaged",
        Ordering::Greater => "is too long",
    };
    Ok(Some(format!(
        "pack {} {what}: {size} bytes instead of {}",
        pack.id, pack.size
    )))
}

/// Reads packs and compares them with their names; the ones that differ, each with a sentence about
/// it.
pub(super) async fn read_back(
    opened: &Arc<Opened>,
    packs: Vec<KnownPack>,
) -> Result<BTreeMap<Id, String>, EngineError> {
    let mut reads = stream::iter(packs.into_iter().map(|pack| async move {
        // One wrong answer proves nothing.
        let mut reason = String::new();
        for _ in 0..2 {
            reason = match hash(opened, &pack).await {
                Ok(id) if id == pack.id => return Ok(None),
                Ok(_) => format!(
                    "pack {} is damaged: the SHA-256 of its contents is not its name",
                    pack.id
                ),
                Err(EngineError::Storage(error)) if error.is_not_found() => {
                    format!("pack {} is missing", pack.id)
                }
                Err(error) => return Err(error),
            };
        }
        Ok(Some((pack.id, reason)))
    }))
    .buffer_unordered(READS);
    let mut broken = BTreeMap::new();
    while let Some(found) = reads.next().await {
        broken.extend(found?);
    }
    Ok(broken)
}

/// The hash of a pack as it is stored.
async fn hash(opened: &Arc<Opened>, pack: &KnownPack) -> Result<Id, EngineError> {
    let path = files::pack_path(&opened.directory, &pack.id);
    let mut hasher = Sha256::new();
    let mut offset = 0;
    while offset < pack.size {
        let length = PIECE.min(pack.size - offset);
        let piece = opened.store.read_range(&path, offset, length).await?;
        offset += length;
        hasher = run_blocking("hash a pack", move || {
            hasher.update(&piece);
            Ok(hasher)
        })
        .await?;
    }
    Ok(Id::finish(hasher))
}

/// The packs that a snapshot needs, as far as its trees can be read, and whether the index lacks
/// some of them.
async fn packs_of(
    opened: &Opened,
    index: &BlobIndex,
    snapshot: &SnapshotFile,
) -> Result<(HashSet<Id>, bool), EngineError> {
    let (mut packs, mut gaps) = (HashSet::new(), false);
    let mut trees = vec![snapshot.tree];
    let mut seen = HashSet::new();
    let mut need = |kind, id: &Id| match index.find(kind, id).and_then(|place| index.pack(&place)) {
        Some(pack) => {
            packs.insert(pack);
        }
        None => gaps = true,
    };
    while let Some(id) = trees.pop() {
        if !seen.insert(id) {
            continue;
        }
        need(BlobKind::Tree, &id);
        let tree = match opened.tree(index, &id).await {
            Err(error) if error.is_damage() => continue,
            tree => tree?,
        };
        for node in tree.nodes {
            node.content.iter().for_each(|id| need(BlobKind::Data, id));
            trees.extend(node.subtree);
        }
    }
    Ok((packs, gaps))
}
