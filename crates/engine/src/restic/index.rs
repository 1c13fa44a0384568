//! The index: which pack holds which blob.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{files, id::Id, open::Opened};
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

/// One blob in a pack.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// All blobs of a repository.
#[derive(Debug, Default)]
pub(super) struct BlobIndex {
    packs: Vec<Id>,
    data: HashMap<Id, Location>,
    trees: HashMap<Id, Location>,
}

impl BlobIndex {
    /// Reads all index files.
    pub(super) async fn load(opened: &Opened) -> Result<Self, EngineError> {
        let ids = opened.list_ids(files::INDEX).await?;
        let mut index = Self::default();
        let mut loads = stream::iter(ids.into_iter().map(|id| async move {
            opened
                .load::<IndexFile>(&format!("{}/{id}", files::INDEX))
                .await
        }))
        .buffer_unordered(READS);
        while let Some(file) = loads.try_next().await? {
            index.add(file);
        }
        Ok(index)
    }

    fn add(&mut self, file: IndexFile) {
        for pack in file.packs {
            let number = self.packs.len() as u32;
            self.packs.push(pack.id);
            for blob in pack.blobs {
                let location = Location {
                    pack: number,
                    offset: blob.offset,
                    length: blob.length,
                    uncompressed_length: blob.uncompressed_length,
                };
                // A blob may be in several packs; any of them will do.
                match blob.kind {
                    BlobKind::Data => self.data.entry(blob.id),
                    BlobKind::Tree => self.trees.entry(blob.id),
                }
                .or_insert(location);
            }
        }
    }

    /// Where a blob is.
    pub(super) fn find(&self, kind: BlobKind, id: &Id) -> Option<Location> {
        match kind {
            BlobKind::Data => self.data.get(id),
            BlobKind::Tree => self.trees.get(id),
        }
        .copied()
    }

    /// Whether there is such a blob.
    pub(super) fn contains(&self, kind: BlobKind, id: &Id) -> bool {
        self.find(kind, id).is_some()
    }

    /// Id of the pack of a location.
    pub(super) fn pack(&self, location: &Location) -> Option<Id> {
        self.packs.get(location.pack as usize).copied()
    }
}
