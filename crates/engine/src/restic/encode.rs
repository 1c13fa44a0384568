//! Blobs in their stored form: compressed, encrypted, named by the hash of their contents.

use bytes::Bytes;

use super::crypto::{DecryptError, NONCE, OVERHEAD, RepoKey};
use super::files::LEVEL;
use super::id::Id;
use crate::error::Cause;

/// A blob, ready to be put into a pack.
#[derive(Clone, Debug)]
pub(super) struct EncodedBlob {
    pub(super) id: Id,
    /// Length of the contents.
    pub(super) content_length: u32,
    /// Whether the contents are compressed.
    pub(super) compressed: bool,
    /// The stored form.
    pub(super) stored: Bytes,
}

/// A stored blob is not what its id says.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    #[error("failed to decompress")]
    Decompress(#[source] std::io::Error),
    #[error("failed to verify: contents and id differ")]
    Mismatch,
}

/// Compresses and encrypts contents. What does not get smaller is stored as it is.
pub(super) fn encode(
    key: &RepoKey,
    compress: bool,
    id: Id,
    content: &[u8],
) -> Result<EncodedBlob, Cause> {
    let content_length = u32::try_from(content.len())?;
    let mut buffer = Vec::new();
    let mut compressed = false;
    if compress {
        let bound = zstd::zstd_safe::compress_bound(content.len());
        buffer.reserve_exact(bound + OVERHEAD);
        buffer.resize(NONCE + bound, 0);
        let length = zstd::bulk::compress_to_buffer(content, &mut buffer[NONCE..], LEVEL)?;
        compressed = length < content.len();
        buffer.truncate(NONCE + length);
    }
    if !compressed {
        buffer.clear();
        buffer.reserve_exact(content.len() + OVERHEAD);
        buffer.resize(NONCE, 0);
        buffer.extend_from_slice(content);
    }
    key.encrypt_in_place(&mut buffer)?;
    // Room for incompressible contents was reserved; the pack keeps the blob for a while.
    buffer.shrink_to_fit();
    Ok(EncodedBlob {
        id,
        content_length,
        compressed,
        stored: Bytes::from(buffer),
    })
}

/// The contents of a stored blob, compared with its id.
pub(super) fn decode(
    key: &RepoKey,
    id: &Id,
    uncompressed_length: Option<u32>,
    stored: &[u8],
) -> Result<Vec<u8>, DecodeError> {
    let text = key.decrypt(stored)?;
    let content = match uncompressed_length {
        Some(length) => {
            zstd::bulk::decompress(&text, length as usize).map_err(DecodeError::Decompress)?
        }
        None => text,
    };
    if Id::of(&content) == *id {
        Ok(content)
    } else {
        Err(DecodeError::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn blobs_survive_whether_they_compress_or_not() {
        let key = RepoKey::generate();
        let mut noise = vec![0; 100_000];
        rand::rng().fill_bytes(&mut noise);
        let text = b"INSERT INTO druid_segments VALUES (1);".repeat(1000);
        for (content, compress, compressed) in [
            (&text[..], true, true),
            (&text[..], false, false),
            (&noise[..], true, false),
            (&b""[..], true, false),
        ] {
            let blob = encode(&key, compress, Id::of(content), content).unwrap();
            assert_eq!(blob.compressed, compressed);
            assert!(blob.stored.len() <= content.len() + OVERHEAD);
            let length = blob.compressed.then_some(blob.content_length);
            assert_eq!(
                decode(&key, &blob.id, length, &blob.stored).unwrap(),
                content
            );
            assert!(decode(&key, &Id::of(b"other"), length, &blob.stored).is_err());
        }
    }
}
