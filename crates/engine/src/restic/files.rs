//! The files of a repository: their names, and reading and writing the JSON in them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::crypto::RepoKey;
use super::id::Id;
use super::open::Opened;
use crate::error::Cause;
use crate::{EngineError, ObjectStore};

/// The file that makes a directory a repository.
pub(super) const CONFIG: &str = "config";
/// Directory of key files.
pub(super) const KEYS: &str = "keys";
/// Directory of snapshot files.
pub(super) const SNAPSHOTS: &str = "snapshots";
/// Directory of index files.
pub(super) const INDEX: &str = "index";
/// Directory of pack files, in 256 subdirectories.
pub(super) const DATA: &str = "data";
/// Directory of lock files.
pub(super) const LOCKS: &str = "locks";

/// First byte of JSON that is compressed: it is neither `{` nor `[`.
const COMPRESSED: u8 = 2;
/// Level of compression, restic's default.
pub(super) const LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;
/// Most bytes of small files kept in memory.
const CACHE_LIMIT: usize = 24 << 20;

/// Pauses before each time that a file is read whose contents are not what its name says.
const READS: [Duration; 4] = [
    Duration::ZERO,
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// The path of a file or directory of the repository in `directory`.
pub(super) fn path(directory: &str, name: &str) -> String {
    match directory.trim_matches('/') {
        "" => name.to_owned(),
        directory => format!("{directory}/{name}"),
    }
}

/// The path of a pack.
pub(super) fn pack_path(directory: &str, id: &Id) -> String {
    let id = id.to_string();
    let subdirectory = id.get(..2).unwrap_or_default();
    path(directory, &format!("{DATA}/{subdirectory}/{id}"))
}

/// The id that a path ends in, if it does.
pub(super) fn id_of(path: &str) -> Option<Id> {
    path.rsplit('/').next()?.parse().ok()
}

/// The name under which a part of a pack is cached.
pub(super) fn part_name(pack: &str, offset: u32, length: u32) -> String {
    format!("{DATA}/{pack}@{offset}+{length}")
}

/// Whether this is what a proxy or an overloaded server answers in place of a file.
pub(super) fn is_no_file(content: &[u8]) -> bool {
    content.is_empty() || content.starts_with(b"<")
}

/// Reads a file that is named by the hash of its contents, and compares the two.
///
/// One wrong answer proves nothing. The file is damaged when the same contents came twice, or when
/// none of several answers was right.
pub(super) async fn read_named(
    store: &ObjectStore,
    directory: &str,
    location: &str,
    name: &str,
) -> Result<Bytes, EngineError> {
    let path = path(directory, name);
    let id = id_of(name);
    let mut last: Option<Bytes> = None;
    let mut missing = false;
    let mut permanent = false;
    for pause in READS {
        tokio::time::sleep(pause).await;
        let content = match store.read(&path).await {
            Err(error) if error.is_not_found() && !missing => {
                missing = true;
                continue;
            }
            content => content?,
        };
        if id.is_none_or(|id| Id::of(&content) == id) {
            return Ok(content);
        }
        permanent = !is_no_file(&content) && last.as_ref() == Some(&content);
        if permanent {
            break;
        }
        tracing::warn!(
            location,
            file = name,
            "read contents that do not fit the name, reading again"
        );
        last = Some(content);
    }
    Err(EngineError::FileDamaged {
        location: location.to_owned(),
        file: name.to_owned(),
        reason:
            "the SHA-256 of its contents is not its name; put a copy of it back if there is one"
                .to_owned(),
        permanent,
        source: None,
    })
}

/// Encrypts JSON, compressed if the format allows it; returns the file's id and contents.
pub(super) fn seal<T: Serialize>(
    key: &RepoKey,
    compress: bool,
    value: &T,
) -> Result<(Id, Bytes), Cause> {
    let json = serde_json::to_vec(value)?;
    let text = if compress {
        let mut text = vec![COMPRESSED];
        zstd::stream::copy_encode(json.as_slice(), &mut text, LEVEL)?;
        text
    } else {
        json
    };
    let sealed = key.encrypt(&text)?;
    Ok((Id::of(&sealed), Bytes::from(sealed)))
}

/// The JSON text of a file.
pub(super) fn unseal(key: &RepoKey, data: &[u8]) -> Result<Vec<u8>, Cause> {
    let text = key.decrypt(data)?;
    match text.split_first() {
        Some((&COMPRESSED, compressed)) => Ok(zstd::stream::decode_all(compressed)?),
        Some((b'{' | b'[', _)) => Ok(text),
        _ => Err("its contents have an unknown form".into()),
    }
}

/// Files that never change once written, kept after they were read: a session asks for the same
/// index several times.
#[derive(Debug, Default)]
pub(super) struct FileCache {
    state: Mutex<CacheState>,
}

#[derive(Debug, Default)]
struct CacheState {
    files: HashMap<String, Bytes>,
    size: usize,
}

impl FileCache {
    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.locked().files.get(key).cloned()
    }

    /// Keeps the contents, as long as there is room.
    pub(super) fn put(&self, key: String, content: &Bytes) {
        let mut state = self.locked();
        let size = key.len() + content.len();
        if state.size + size <= CACHE_LIMIT && state.files.insert(key, content.clone()).is_none() {
            state.size += size;
        }
    }

    /// Forgets all, so that a check looks at what is really stored.
    pub(super) fn clear(&self) {
        *self.locked() = CacheState::default();
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, CacheState> {
        // A map of immutable bytes is sound even if a holder of the lock panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    /// Reads a file that never changes.
    pub(super) async fn read_cached(&self, name: &str) -> Result<Bytes, EngineError> {
        if let Some(content) = self.cache.get(name) {
            return Ok(content);
        }
        let content = self.read_named(name).await?;
        self.cache.put(name.to_owned(), &content);
        Ok(content)
    }

    /// Reads a file from the storage and compares its contents with its name.
    pub(super) async fn read_named(&self, name: &str) -> Result<Bytes, EngineError> {
        read_named(&self.store, &self.directory, &self.location, name).await
    }

    /// Reads and decodes a JSON file of the repository, e.g. `index/<id>`.
    pub(super) async fn load<T: DeserializeOwned>(&self, name: &str) -> Result<T, EngineError> {
        let content = self.read_cached(name).await?;
        let damaged = |source: Cause| EngineError::FileDamaged {
            location: self.location.clone(),
            file: name.to_owned(),
            reason: "it cannot be decoded".to_owned(),
            permanent: true,
            source: Some(source),
        };
        let json = unseal(&self.key, &content).map_err(damaged)?;
        serde_json::from_slice(&json).map_err(|error| damaged(Box::new(error)))
    }

    /// Encodes and writes a JSON file into one of the directories and returns its id.
    pub(super) async fn save<T: Serialize>(
        &self,
        kind: &str,
        value: &T,
    ) -> Result<Id, EngineError> {
        let (id, content) =
            seal(&self.key, self.compress, value).map_err(|source| EngineError::Internal {
                what: format!("encode a file for {kind}/"),
                source: Some(source),
            })?;
        self.store
            .write(&self.path_of(kind, &id), content, None)
            .await?;
        Ok(id)
    }

    /// The path of a file in one of the flat directories.
    pub(super) fn path_of(&self, kind: &str, id: &Id) -> String {
        path(&self.directory, &format!("{kind}/{id}"))
    }

    /// Ids of the files in one of the flat directories.
    pub(super) async fn list_ids(&self, kind: &str) -> Result<Vec<Id>, EngineError> {
        let entries = self.store.list(&path(&self.directory, kind)).await?;
        Ok(entries
            .iter()
            .filter_map(|entry| id_of(&entry.path))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_survives_sealing_with_and_without_compression() {
        let key = RepoKey::generate();
        for compress in [false, true] {
            let (id, content) = seal(&key, compress, &serde_json::json!({"a": [1, 2]})).unwrap();
            assert_eq!(id, Id::of(&content));
            assert_eq!(unseal(&key, &content).unwrap(), br#"{"a":[1,2]}"#);
        }
    }

    #[test]
    fn paths_are_those_of_restic() {
        let id = Id::of(b"");
        assert_eq!(path("/a/b/", CONFIG), "a/b/config");
        assert_eq!(path("", CONFIG), "config");
        assert_eq!(pack_path("r", &id), format!("r/data/e3/{id}"));
        assert_eq!(id_of(&pack_path("r", &id)), Some(id));
        assert_eq!(id_of("r/locks/readme"), None);
    }
}
