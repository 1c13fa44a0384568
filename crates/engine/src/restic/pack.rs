//! Pack files: many blobs in one file, with a directory of them at its end.
//!
//! ```text
//!   blob │ blob │ … │ encrypted header │ length of the encrypted header (4 bytes)
//! ```
//! The header has one entry for each blob: kind (1 byte), stored length (4), for compressed ones
//! the length of the contents (4), and the id (32). Numbers are little-endian.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::crypto::{OVERHEAD, RepoKey};
use super::encode::EncodedBlob;
use super::files;
use super::id::Id;
use super::index::{BlobKind, IndexBlob, IndexPack};
use super::open::Opened;
use crate::EngineError;
use crate::error::Cause;

/// A pack that has reached this size is finished: restic's own default.
pub(super) const PACK_SIZE: usize = 16 << 20;
/// No pack holds more blobs, so that its header stays small.
const MOST_BLOBS: usize = 8192;

/// Length of the number at the end.
const LENGTH: usize = 4;
/// Read of a pack's end at first: the headers of most packs fit.
const TAIL: u64 = 16 << 10;

/// Length of the header's entry of a blob.
fn entry_size(is_compressed: bool) -> usize {
    if is_compressed { 41 } else { 37 }
}

/// Length of all that comes behind these blobs in their pack.
pub(super) fn header_size(blobs: &[IndexBlob]) -> u64 {
    let entries: usize = blobs
        .iter()
        .map(|blob| entry_size(blob.uncompressed_length.is_some()))
        .sum();
    (entries + OVERHEAD + LENGTH) as u64
}

/// A header does not say where the blobs of its pack are.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the header of a pack: {0}")]
struct InvalidHeader(&'static str);

/// The blobs that a decrypted header lists.
fn blobs_of(mut header: &[u8]) -> Result<Vec<IndexBlob>, InvalidHeader> {
    let cut = InvalidHeader("it is cut off");
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).ok();
    let mut blobs = Vec::new();
    let mut offset = 0_u32;
    while let Some(&first) = header.first() {
        let (kind, is_compressed) = match first {
            0 => (BlobKind::Data, false),
            1 => (BlobKind::Tree, false),
            2 => (BlobKind::Data, true),
            3 => (BlobKind::Tree, true),
            _ => return Err(InvalidHeader("it lists a blob of an unknown kind")),
        };
        let Some((entry, rest)) = header.split_at_checked(entry_size(is_compressed)) else {
            return Err(cut);
        };
        header = rest;
        let (numbers, id) = entry[1..].split_at(entry.len() - 33);
        let (Some(length), Ok(id)) = (number(&numbers[..4]), id.try_into()) else {
            return Err(cut);
        };
        blobs.push(IndexBlob {
            id: Id::from_bytes(id),
            kind,
            offset,
            length,
            uncompressed_length: number(&numbers[4..]),
        });
        offset = offset
            .checked_add(length)
            .ok_or(InvalidHeader("its blobs are too long"))?;
    }
    Ok(blobs)
}

/// Reads the header of a pack, which lists the same blobs as an index does.
pub(super) async fn read_header(
    opened: &Opened,
    id: &Id,
    size: u64,
) -> Result<IndexPack, EngineError> {
    let path = files::pack_path(&opened.directory, id);
    let damaged = |source: Cause| EngineError::FileDamaged {
        location: opened.location.clone(),
        file: format!("{}/{id}", files::DATA),
        reason: "its header cannot be read".to_owned(),
        permanent: true,
        source: Some(source),
    };
    let too_short = || damaged(Box::new(InvalidHeader("the pack is too short")));
    let length = size.min(TAIL);
    let mut tail = opened
        .store
        .read_range(&path, size - length, length)
        .await?;
    let Some((_, length)) = tail.split_last_chunk::<LENGTH>() else {
        return Err(too_short());
    };
    let length = u32::from_le_bytes(*length) as usize;
    if tail.len() < length + LENGTH {
        let length = (length + LENGTH) as u64;
        let offset = size.checked_sub(length).ok_or_else(too_short)?;
        tail = opened.store.read_range(&path, offset, length).await?;
    }
    let header = tail
        .len()
        .checked_sub(length + LENGTH)
        .and_then(|start| tail.get(start..start + length))
        .ok_or_else(too_short)?;
    let text = opened
        .key
        .decrypt(header)
        .map_err(|error| damaged(Box::new(error)))?;
    let pack = IndexPack {
        id: *id,
        blobs: blobs_of(&text).map_err(|error| damaged(Box::new(error)))?,
    };
    if pack.size() == size {
        Ok(pack)
    } else {
        Err(damaged(Box::new(InvalidHeader(
            "the pack has another size",
        ))))
    }
}

/// A pack that is being filled.
#[derive(Debug)]
pub(super) struct Pack {
    kind: BlobKind,
    parts: Vec<Bytes>,
    blobs: Vec<IndexBlob>,
    size: usize,
}

/// A finished pack.
#[derive(Debug)]
pub(super) struct SealedPack {
    /// What its index entry says.
    pub(super) index: IndexPack,
    /// The file, in pieces.
    pub(super) parts: Vec<Bytes>,
}

impl Pack {
    /// An empty pack for one kind of blob.
    pub(super) fn new(kind: BlobKind) -> Self {
        Self {
            kind,
            parts: Vec::new(),
            blobs: Vec::new(),
            size: 0,
        }
    }

    /// Appends a blob.
    pub(super) fn add(&mut self, blob: EncodedBlob) -> Result<(), Cause> {
        self.blobs.push(IndexBlob {
            id: blob.id,
            kind: self.kind,
            offset: u32::try_from(self.size)?,
            length: u32::try_from(blob.stored.len())?,
            uncompressed_length: blob.compressed.then_some(blob.content_length),
        });
        self.size += blob.stored.len();
        self.parts.push(blob.stored);
        Ok(())
    }

    /// Whether it is time to finish it.
    pub(super) fn is_full(&self) -> bool {
        self.size >= PACK_SIZE || self.blobs.len() >= MOST_BLOBS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Appends the header and names the pack.
    pub(super) fn seal(mut self, key: &RepoKey) -> Result<SealedPack, Cause> {
        let mut header = Vec::with_capacity(self.blobs.len() * entry_size(true));
        for blob in &self.blobs {
            let kind = match (blob.kind, blob.uncompressed_length) {
                (BlobKind::Data, None) => 0,
                (BlobKind::Tree, None) => 1,
                (BlobKind::Data, Some(_)) => 2,
                (BlobKind::Tree, Some(_)) => 3,
            };
            header.push(kind);
            header.extend_from_slice(&blob.length.to_le_bytes());
            if let Some(length) = blob.uncompressed_length {
                header.extend_from_slice(&length.to_le_bytes());
            }
            header.extend_from_slice(blob.id.as_bytes());
        }
        let mut header = key.encrypt(&header)?;
        let length = u32::try_from(header.len())?;
        header.extend_from_slice(&length.to_le_bytes());
        self.parts.push(Bytes::from(header));
        let mut hasher = Sha256::new();
        for part in &self.parts {
            hasher.update(part);
        }
        Ok(SealedPack {
            index: IndexPack {
                id: Id::finish(hasher),
                blobs: self.blobs,
            },
            parts: self.parts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restic::encode::encode;

    #[test]
    fn the_header_lists_every_blob_where_it_is() {
        let key = RepoKey::generate();
        let mut pack = Pack::new(BlobKind::Data);
        let contents = [vec![b'a'; 5000], (0..=255).collect(), b"z".to_vec()];
        for content in &contents {
            pack.add(encode(&key, true, Id::of(content), content).unwrap())
                .unwrap();
        }
        let sealed = pack.seal(&key).unwrap();
        let file = sealed.parts.concat();
        assert_eq!(Id::of(&file), sealed.index.id);
        let (rest, length) = file.split_at(file.len() - 4);
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        let header = key.decrypt(&rest[rest.len() - length..]).unwrap();
        assert_eq!(header.len(), 41 + 37 + 37);
        assert_eq!(header[0], 2);
        assert_eq!(header[41], 0);
        assert_eq!(blobs_of(&header).unwrap(), sealed.index.blobs);
        assert_eq!(sealed.index.size(), file.len() as u64);
        assert!(blobs_of(&header[..header.len() - 1]).is_err());
        assert!(blobs_of(&[9; 41]).is_err());
        for (blob, content) in sealed.index.blobs.iter().zip(&contents) {
            let stored = &file[blob.offset as usize..][..blob.length as usize];
            let decoded =
                crate::restic::encode::decode(&key, &blob.id, blob.uncompressed_length, stored);
            assert_eq!(&decoded.unwrap(), content);
        }
    }
}
