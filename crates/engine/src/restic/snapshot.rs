//! Snapshot files and trees: what a backup is called and which blobs it consists of.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::id::Id;
use super::index::{BlobIndex, BlobKind};
use super::open::Opened;
use super::rotation::Progress;
use super::{encode, files};
use crate::error::Cause;
use crate::{EngineError, Made, SnapshotInfo};

/// Snapshot files that are read at a time.
const READS: usize = 8;

/// A snapshot file. Fields that we neither need nor write are left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SnapshotFile {
    pub(super) time: Timestamp,
    pub(super) tree: Id,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) hostname: String,
    #[serde(default)]
    pub(super) username: String,
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(super) tags: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) program_version: String,
    /// The snapshot that this one took the place of: `restic tag` and `restic rewrite` write a new
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) original: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<Summary>,
    /// Ours: how far reading back has come. restic passes over it, and leaves it out of snapshots
    /// that it rewrites.
    #[serde(
        default,
        rename = "kubestashReadBack",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) read_back: Option<Progress>,
}

/// What a backup did, as newer versions of restic show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Summary {
    pub(super) backup_start: Timestamp,
    pub(super) backup_end: Timestamp,
    pub(super) files_new: u64,
    pub(super) files_changed: u64,
    pub(super) files_unmodified: u64,
    pub(super) dirs_new: u64,
    pub(super) dirs_changed: u64,
    pub(super) dirs_unmodified: u64,
    pub(super) data_blobs: i64,
    pub(super) tree_blobs: i64,
    pub(super) data_added: u64,
    pub(super) data_added_packed: u64,
    pub(super) total_files_processed: u64,
    pub(super) total_bytes_processed: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            backup_start: Timestamp::UNIX_EPOCH,
            backup_end: Timestamp::UNIX_EPOCH,
            files_new: 0,
            files_changed: 0,
            files_unmodified: 0,
            dirs_new: 0,
            dirs_changed: 0,
            dirs_unmodified: 0,
            data_blobs: 0,
            tree_blobs: 0,
            data_added: 0,
            data_added_packed: 0,
            total_files_processed: 0,
            total_bytes_processed: 0,
        }
    }
}

/// The bit by which restic, as Go does, marks the mode of a directory.
const DIRECTORY: u32 = 1 << 31;

/// A directory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tree {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) nodes: Vec<Node>,
}

/// An entry of a directory, as far as it matters to us. The order of the fields is restic's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) mode: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mtime: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) atime: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ctime: Option<Timestamp>,
    #[serde(default)]
    pub(super) uid: u32,
    #[serde(default)]
    pub(super) gid: u32,
    #[serde(default, skip_serializing_if = "is_zero_size")]
    pub(super) size: u64,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) content: Vec<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subtree: Option<Id>,
}

// serde wants references here.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero_size(value: &u64) -> bool {
    *value == 0
}

/// Go writes an empty list as `null`.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Tree {
    /// The texts of the trees on the way to one regular file, mode 0644; the last one is the root.
    pub(super) fn of_one_file(
        path: &str,
        time: Timestamp,
        size: u64,
        content: Vec<Id>,
    ) -> Result<Vec<Vec<u8>>, serde_json::Error> {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let node = |name: &str, kind: &str, mode| Node {
            name: name.to_owned(),
            kind: kind.to_owned(),
            mode,
            mtime: Some(time),
            atime: Some(time),
            ctime: Some(time),
            uid: 0,
            gid: 0,
            size: 0,
            content: Vec::new(),
            subtree: None,
        };
        let mut texts = vec![Self::text(Node {
            size,
            content,
            ..node(name, "file", 0o644)
        })?];
        for folder in folders.rsplit('/').filter(|folder| !folder.is_empty()) {
            let subtree = texts.last().map(|text| Id::of(text));
            texts.push(Self::text(Node {
                subtree,
                ..node(folder, "dir", DIRECTORY | 0o755)
            })?);
        }
        Ok(texts)
    }

    fn text(node: Node) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec(&Self { nodes: vec![node] })?;
        // As restic does; the id of the tree depends on it.
        text.push(b'\n');
        Ok(text)
    }
}

/// A snapshot that took the place of another one.
#[derive(Debug)]
pub(super) struct Successor {
    /// Id of the first one; `restic` hands it on each time.
    original: String,
    time: Timestamp,
    pub(super) id: Id,
}

impl Successor {
    /// Whether it took the place of the one whose id begins so.
    pub(super) fn replaces(&self, wanted: &str) -> bool {
        self.original.starts_with(wanted)
    }
}

impl Opened {
    /// Reads a snapshot file.
    pub(super) async fn snapshot(&self, id: &Id) -> Result<SnapshotFile, EngineError> {
        self.load(&format!("{}/{id}", files::SNAPSHOTS)).await
    }

    /// The one snapshot whose id begins so, or the newest of those that took its place.
    pub(super) async fn find_snapshot(&self, wanted: &str) -> Result<Id, EngineError> {
        let ids = self.list_ids(files::SNAPSHOTS).await?;
        if let Some(id) = resolve(&ids, wanted)? {
            return Ok(id);
        }
        let successors = self.successors(&ids).await?;
        successors
            .iter()
            .filter(|successor| successor.replaces(wanted))
            .max_by_key(|successor| (successor.time, successor.id))
            .map(|successor| successor.id)
            .ok_or_else(|| EngineError::SnapshotMissing {
                id: wanted.to_owned(),
                location: self.location.clone(),
            })
    }

    /// The snapshots among `ids` that took the place of another one.
    pub(super) async fn successors(&self, ids: &[Id]) -> Result<Vec<Successor>, EngineError> {
        let found = stream::iter(ids.to_vec())
            .map(|id| async move {
                match self.snapshot(&id).await {
                    Ok(file) => Ok(Some((file, id))),
                    // Forgotten meanwhile, or damaged: then it is not known to be one.
                    Err(EngineError::Storage(error)) if error.is_not_found() => Ok(None),
                    Err(EngineError::RepositoryDamaged { reason, .. }) => {
                        tracing::warn!(location = %self.location, reason, "a snapshot cannot be read");
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            })
            .buffer_unordered(READS)
            .try_collect::<Vec<_>>()
            .await?;
        let successor = |(file, id): (SnapshotFile, Id)| {
            let (original, time) = (file.original?.to_string(), file.time);
            Some(Successor { original, time, id })
        };
        Ok(found.into_iter().flatten().filter_map(successor).collect())
    }

    /// Reads a tree.
    pub(super) async fn tree(&self, index: &BlobIndex, id: &Id) -> Result<Tree, EngineError> {
        let damaged = |reason: String, source: Option<Cause>| EngineError::RepositoryDamaged {
            location: self.location.clone(),
            reason,
            source,
        };
        let missing = || {
            damaged(
                format!("no index names tree {id}; run `restic check`"),
                None,
            )
        };
        let unreadable = |source: Cause| damaged(format!("tree {id} cannot be read"), Some(source));
        let places = index.places(BlobKind::Tree, id);
        let first = places.first().ok_or_else(missing)?;
        let name = index
            .pack(first)
            .map(|pack| files::part_name(&pack.to_string(), first.offset, first.length))
            .ok_or_else(missing)?;
        let text = match self.cache.get(&name) {
            Some(stored) => encode::decode(&self.key, id, first.uncompressed_length, &stored)
                .map_err(|error| unreadable(Box::new(error)))?,
            None => {
                let (stored, text) = self.blob(index, BlobKind::Tree, id).await?;
                self.cache.put(name, &stored);
                text
            }
        };
        serde_json::from_slice(&text).map_err(|error| unreadable(Box::new(error)))
    }

    /// Reads a blob, wherever a good copy of it is: its stored form and its contents. A place is
    /// asked twice, because one wrong answer proves nothing.
    pub(super) async fn blob(
        &self,
        index: &BlobIndex,
        kind: BlobKind,
        id: &Id,
    ) -> Result<(Bytes, Vec<u8>), EngineError> {
        let damaged = |reason: String, source: Option<Cause>| EngineError::RepositoryDamaged {
            location: self.location.clone(),
            reason,
            source,
        };
        let mut failure = damaged(
            format!("no index names blob {id}; run `restic check`"),
            None,
        );
        for place in index.places(kind, id) {
            let Some(pack) = index.pack(&place) else {
                continue;
            };
            let path = files::pack_path(&self.directory, &pack);
            for _ in 0..2 {
                let (offset, length) = (u64::from(place.offset), u64::from(place.length));
                let stored = match self.store.read_range(&path, offset, length).await {
                    Err(error) if error.is_not_found() => {
                        failure =
                            damaged(format!("pack {pack} is missing; run `restic check`"), None);
                        continue;
                    }
                    stored => stored?,
                };
                match encode::decode(&self.key, id, place.uncompressed_length, &stored) {
                    Ok(text) => return Ok((stored, text)),
                    Err(error) => {
                        let reason = format!("blob {id} in pack {pack} is damaged");
                        failure = damaged(reason, Some(Box::new(error)));
                    }
                }
            }
        }
        Err(failure)
    }
}

/// The one id that begins so; at least eight digits are needed to be sure of the meaning.
pub(super) fn resolve(ids: &[Id], wanted: &str) -> Result<Option<Id>, EngineError> {
    let invalid = |reason: String| EngineError::InvalidRequest { reason };
    if !(8..=64).contains(&wanted.len())
        || !wanted
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(invalid(format!(
            "{wanted:?} is no snapshot id; give 8 to 64 hexadecimal digits"
        )));
    }
    if let Ok(id) = wanted.parse::<Id>() {
        return Ok(ids.contains(&id).then_some(id));
    }
    let mut found = ids.iter().filter(|id| id.to_string().starts_with(wanted));
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(invalid(format!(
            "several snapshots begin with {wanted}; give more digits"
        ))),
        (found, _) => Ok(found.copied()),
    }
}

impl SnapshotFile {
    /// What the outside wants to know of it.
    pub(super) fn info(self, id: &Id) -> SnapshotInfo {
        SnapshotInfo {
            id: id.to_string(),
            time: self.time,
            host: self.hostname,
            paths: self.paths,
            tags: self.tags,
            made: self.summary.map(|summary| Made {
                started: summary.backup_start,
                finished: summary.backup_end,
                data_added: summary.data_added,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_written_field_by_field_as_restic_writes_it() {
        let time: Timestamp = "2024-09-19T10:30:46Z".parse().unwrap();
        let id = Id::of(b"");
        let text = Tree::of_one_file("dumpfile.sql", time, 3, vec![id]).unwrap();
        let expected = format!(
            "{{\"nodes\":[{{\"name\":\"dumpfile.sql\",\"type\":\"file\",\"mode\":420,\"mtime\":\"2024-09-19T10:30:46Z\",\"atime\":\"2024-09-19T10:30:46Z\",\"ctime\":\"2024-09-19T10:30:46Z\",\"uid\":0,\"gid\":0,\"size\":3,\"content\":[\"{id}\"]}}]}}\n"
        );
        assert_eq!(text.len(), 1);
        assert_eq!(std::str::from_utf8(&text[0]).unwrap(), expected);
    }

    #[test]
    fn a_file_in_folders_has_a_tree_for_each_that_names_the_next() {
        let time: Timestamp = "2024-09-19T10:30:46Z".parse().unwrap();
        let texts = Tree::of_one_file("kubestash-tmp/manifest", time, 3, Vec::new()).unwrap();
        let trees: Vec<Tree> = texts
            .iter()
            .map(|text| serde_json::from_slice(text).unwrap())
            .collect();
        let (file, folder) = (&trees[0].nodes[0], &trees[1].nodes[0]);
        assert_eq!((file.name.as_str(), file.size), ("manifest", 3));
        assert_eq!(
            (folder.name.as_str(), folder.kind.as_str()),
            ("kubestash-tmp", "dir")
        );
        assert_eq!(folder.subtree, Some(Id::of(&texts[0])));
        assert_eq!(folder.mode, 2_147_484_141);
    }

    #[test]
    fn ids_are_found_by_their_beginning_if_it_is_long_enough_and_unique() {
        let ids = [Id::of(b"1"), Id::of(b"2")];
        let full = ids[0].to_string();
        assert_eq!(resolve(&ids, &full).unwrap(), Some(ids[0]));
        assert_eq!(resolve(&ids, &full[..8]).unwrap(), Some(ids[0]));
        assert_eq!(resolve(&ids, "00000000").unwrap(), None);
        assert!(resolve(&ids, &full[..7]).is_err());
        assert!(resolve(&ids, "latest-one").is_err());
    }
}
