//! The index: which pack holds which blob.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::id::Id;
use super::open::Opened;
use super::{files, pack};
use crate::EngineError;

/// Index files read at a time.
const READS: usize = 8;

/// What a blob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BlobKind {
    /// Contents of files.
    Data,
    /// A directory.
    Tree,
}

/// An index file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct IndexFile {
    /// The packs it knows. Packs that rustic marked for deletion are not among them.
    #[serde(default)]
    pub(super) packs: Vec<IndexPack>,
}

/// One pack in an index file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct IndexPack {
    pub(super) id: Id,
    #[serde(default)]
    pub(super) blobs: Vec<IndexBlob>,
}

impl IndexPack {
    /// The size of the pack: its blobs and their header.
    pub(super) fn size(&self) -> u64 {
        let blobs: u64 = self.blobs.iter().map(|blob| u64::from(blob.length)).sum();
        blobs + pack::header_size(&self.blobs)
    }
}

/// One blob in a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexBlob {
    pub(super) id: Id,
    #[serde(rename = "type")]
    pub(super) kind: BlobKind,
    pub(super) offset: u32,
    pub(super) length: u32,
    /// Length before compression; absent if it is not compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uncompressed_length: Option<u32>,
}

/// Where a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// Position of the pack in [`BlobIndex::pack`].
    pack: u32,
    pub(super) offset: u32,
    /// Length as stored.
    pub(super) length: u32,
    pub(super) uncompressed_length: Option<u32>,
}

impl Location {
    /// Length of the contents.
    pub(super) fn content_length(&self) -> u32 {
        self.uncompressed_length
            .unwrap_or_else(|| self.length.saturating_sub(super::crypto::OVERHEAD as u32))
    }
}

/// A pack as an index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownPack {
    pub(super) id: Id,
    /// The size that its blobs and their header give.
    pub(super) size: u64,
    /// Whether it counts; what is missing or damaged does not.
    counts: bool,
}

impl KnownPack {
    pub(super) fn new(id: Id, size: u64) -> Self {
        Self {
            id,
            size,
            counts: true,
        }
    }
}

/// An index file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnusableFile {
    pub(super) id: Id,
    /// Why not.
    pub(super) reason: String,
}

/// All blobs of a repository.
#[derive(Debug, Default)]
pub(super) struct BlobIndex {
    packs: Vec<KnownPack>,
    numbers: HashMap<Id, u32>,
    data: HashMap<Id, Location>,
    trees: HashMap<Id, Location>,
    /// Further places of blobs that are stored more than once.
    copies: HashMap<Id, Vec<Location>>,
    /// Index files that cannot be used. The headers of the packs that no other one names stand in
    /// for them.
    pub(super) unusable: Vec<UnusableFile>,
    /// Packs that no index names and whose header cannot be read either.
    pub(super) headless: Vec<Id>,
}

/// Sizes of the packs that are in the storage.
pub(super) type Sizes = HashMap<Id, u64>;

/// Lists the packs that are in the storage.
pub(super) async fn sizes(opened: &Opened) -> Result<Sizes, EngineError> {
    let directory = files::path(&opened.directory, files::DATA);
    let entries = opened.store.list(&directory).await?;
    Ok(entries
        .into_iter()
        .filter_map(|entry| Some((files::id_of(&entry.path)?, entry.size)))
        .collect())
}

/// How often the index is listed anew because somebody replaced a file of it meanwhile.
const LISTINGS: usize = 3;

impl BlobIndex {
    /// Reads all index files.
    pub(super) async fn load(opened: &Opened) -> Result<Self, EngineError> {
        Ok(Self::load_beside(opened, async { Ok(()) }).await?.0)
    }

    /// Reads all index files and lists the packs. A pack is in the storage before an index names
    /// it, so the packs are listed after the index files.
    pub(super) async fn load_with_sizes(opened: &Opened) -> Result<(Self, Sizes), EngineError> {
        Self::load_beside(opened, sizes(opened)).await
    }

    /// Reads all index files, and does something else as soon as they are listed.
    async fn load_beside<T>(
        opened: &Opened,
        beside: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<(Self, T), EngineError> {
        let ids = opened.list_ids(files::INDEX).await?;
        let (index, beside) = tokio::join!(Self::read_all(opened, ids), beside);
        let mut index = index?;
        if !index.unusable.is_empty() {
            index.recover(opened).await?;
        }
        Ok((index, beside?))
    }

    async fn read_all(opened: &Opened, mut ids: Vec<Id>) -> Result<Self, EngineError> {
        for left in (0..LISTINGS).rev() {
            let mut index = Self::default();
            let mut replaced = false;
            let mut loads = stream::iter(ids.into_iter().map(|id| async move {
                (
                    id,
                    opened
                        .load::<IndexFile>(&format!("{}/{id}", files::INDEX))
                        .await,
                )
            }))
            .buffer_unordered(READS);
            while let Some((id, file)) = loads.next().await {
                match file {
                    Ok(file) => index.add(file),
                    Err(EngineError::Storage(error)) if error.is_not_found() && left > 0 => {
                        replaced = true
                    }
                    Err(error) if error.is_damage() => index.unusable.push(UnusableFile {
                        id,
                        reason: error.to_string(),
                    }),
                    Err(error) => return Err(error),
                }
            }
            drop(loads);
            if !replaced {
                return Ok(index);
            }
            ids = opened.list_ids(files::INDEX).await?;
        }
        Ok(Self::default())
    }

    /// Lets the headers of the packs that no index names stand in for index files that cannot be
    /// used or are lost.
    pub(super) async fn recover(&mut self, opened: &Opened) -> Result<(), EngineError> {
        for file in &self.unusable {
            tracing::error!(
                location = %opened.location, reason = file.reason,
                "an index file cannot be used; the headers of the packs that no other one names are read instead"
            );
        }
        let sizes = sizes(opened).await?;
        let (packs, headless) = headers(opened, &sizes, |id| self.numbers.contains_key(id)).await?;
        self.add(IndexFile { packs });
        self.headless = headless;
        Ok(())
    }

    fn add(&mut self, file: IndexFile) {
        for pack in file.packs {
            let number = self.packs.len() as u32;
            // Two index files may name the same pack.
            if *self.numbers.entry(pack.id).or_insert(number) != number {
                continue;
            }
            self.packs.push(KnownPack::new(pack.id, pack.size()));
            for blob in pack.blobs {
                let location = Location {
                    pack: number,
                    offset: blob.offset,
                    length: blob.length,
                    uncompressed_length: blob.uncompressed_length,
                };
                let blobs = match blob.kind {
                    BlobKind::Data => &mut self.data,
                    BlobKind::Tree => &mut self.trees,
                };
                match blobs.entry(blob.id) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(location);
                    }
                    Entry::Occupied(_) => self.copies.entry(blob.id).or_default().push(location),
                }
            }
        }
    }

    /// Lets packs no longer count: their blobs are found elsewhere, or not at all.
    pub(super) fn exclude(&mut self, gone: &HashSet<Id>) {
        if gone.is_empty() {
            return;
        }
        let Self {
            packs,
            data,
            trees,
            copies,
            ..
        } = self;
        let is_gone = |location: &Location| {
            packs
                .get(location.pack as usize)
                .is_some_and(|pack| gone.contains(&pack.id))
        };
        for places in copies.values_mut() {
            places.retain(|place| !is_gone(place));
        }
        for blobs in [data, trees] {
            blobs.retain(|id, location| {
                if is_gone(location) {
                    match copies.get_mut(id).and_then(Vec::pop) {
                        Some(place) => *location = place,
                        None => return false,
                    }
                }
                true
            });
        }
        for pack in packs.iter_mut().filter(|pack| gone.contains(&pack.id)) {
            pack.counts = false;
        }
    }

    /// Whether a pack is named.
    pub(super) fn knows(&self, pack: &Id) -> bool {
        self.numbers.contains_key(pack)
    }

    /// The packs that count.
    pub(super) fn packs(&self) -> impl Iterator<Item = &KnownPack> {
        self.packs.iter().filter(|pack| pack.counts)
    }

    /// Where a blob is.
    pub(super) fn find(&self, kind: BlobKind, id: &Id) -> Option<Location> {
        match kind {
            BlobKind::Data => self.data.get(id),
            BlobKind::Tree => self.trees.get(id),
        }
        .copied()
    }

    /// All places of a blob.
    pub(super) fn places(&self, kind: BlobKind, id: &Id) -> Vec<Location> {
        let first = self.find(kind, id);
        let others = self.copies.get(id).filter(|_| first.is_some());
        first
            .into_iter()
            .chain(others.into_iter().flatten().copied())
            .collect()
    }

    /// Whether there is such a blob.
    pub(super) fn contains(&self, kind: BlobKind, id: &Id) -> bool {
        self.find(kind, id).is_some()
    }

    /// Id of the pack of a location.
    pub(super) fn pack(&self, location: &Location) -> Option<Id> {
        self.known_pack(location).map(|pack| pack.id)
    }

    /// The pack of a location.
    pub(super) fn known_pack(&self, location: &Location) -> Option<KnownPack> {
        self.packs.get(location.pack as usize).copied()
    }
}

/// Reads the headers of all packs in the storage but the known ones. The second value names those
/// that have none that can be read.
pub(super) async fn headers(
    opened: &Opened,
    sizes: &Sizes,
    is_known: impl Fn(&Id) -> bool,
) -> Result<(Vec<IndexPack>, Vec<Id>), EngineError> {
    let mut unknown: Vec<(Id, u64)> = sizes.iter().map(|(id, size)| (*id, *size)).collect();
    unknown.retain(|(id, _)| !is_known(id));
    let mut reads = stream::iter(
        unknown
            .into_iter()
            .map(|(id, size)| async move { (id, pack::read_header(opened, &id, size).await) }),
    )
    .buffer_unordered(READS);
    let (mut packs, mut headless) = (Vec::new(), Vec::new());
    while let Some((id, header)) = reads.next().await {
        match header {
            Ok(header) => packs.push(header),
            Err(error) if error.is_damage() => headless.push(id),
            Err(error) => return Err(error),
        }
    }
    Ok((packs, headless))
}

#[cfg(test)]
mod tests;
