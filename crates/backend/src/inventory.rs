//! What a storage tells about its repositories, for the time when the cluster has lost them.
//!
//! ```text
//!   repository.yaml ─┐
//!   snapshots/*.yaml ┼─► StoredRepository ─► the operator makes the objects anew
//!   what is broken  ─┘     └─ pack ─► one object of the API server ─► unpack   (from a volume, by a Job)
//! ```
//! Invariant: a file that cannot be read is told, and hinders no other one. What `metadata.yaml`
//! names and is not there is told as well.

use std::io::Read as _;

use futures::{StreamExt, stream};
use kubestash_api::config::BackendMeta;
use kubestash_api::storage::{Repository, Snapshot, StorageRepository};
use kubestash_domain::layout;
use kubestash_engine::StorageError;
use kubestash_engine::storage::Entry;
use serde::{Deserialize, Serialize};

use crate::{Backend, BackendError};

/// Key of the ConfigMap by which a Job hands over what it found in a volume.
pub const REPORT_KEY: &str = "repositories";
/// Most bytes of that: a ConfigMap holds 1 MiB.
pub const REPORT_LIMIT: usize = 900 << 10;
/// Files read at a time: a repository may have thousands.
const READS: usize = 8;
/// Largest file of an object that is read. No API server stores a larger object (etcd: 1.5 MiB).
const LARGEST_FILE: u64 = 1536 << 10;
/// Larger ones are left out first, if not all fit into a report: a Snapshot has a few kilobytes.
const LARGE: usize = 64 << 10;
/// Higher levels gain little on text that is alike, and cost much.
const LEVEL: i32 = 9;
/// Most bytes that an inventory unpacks to. What packs well may be an attack or an accident.
const MAX_UNPACKED: u64 = 256 << 20;

/// One repository as its storage tells of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredRepository {
    /// Where it lies, below the storage's prefix.
    pub directory: String,
    /// The Repository object; none if its file is broken, which `errors` then says.
    pub repository: Option<Repository>,
    /// Its Snapshots, in the order of their names.
    pub snapshots: Vec<Snapshot>,
    /// What could not be read, each with the file and the reason.
    pub errors: Vec<String>,
    /// What `metadata.yaml` says about one that is not there, or whose file is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<StorageRepository>,
}

impl Backend {
    /// Everything that the storage tells about its repositories, and those that `metadata` names
    /// and are not there.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn stored_repositories(
        &self,
        metadata: Option<&BackendMeta>,
    ) -> Result<Vec<StoredRepository>, BackendError> {
        let mut all = Vec::new();
        for directory in self.repository_directories().await? {
            all.push(self.stored_repository(&directory).await?);
        }
        let named = metadata.map(|metadata| metadata.repositories.as_slice());
        for entry in named.unwrap_or_default() {
            // Without a path it is only a name, which may be of any of them.
            let Some(path) = &entry.path else {
                continue;
            };
            let found = all
                .iter_mut()
                .find(|found| layout::same_directory(&found.directory, path));
            match found {
                Some(found) if found.repository.is_none() => found.named = Some(entry.clone()),
                Some(_) => {}
                None => all.push(self.missing(entry, path)),
            }
        }
        Ok(all)
    }

    fn missing(&self, entry: &StorageRepository, path: &str) -> StoredRepository {
        StoredRepository {
            directory: layout::repository_dir(path),
            errors: vec![format!(
                "{} names Repository {} with the directory {path:?}, and there is no {} in {}; mount or bring back what \
                 holds it, or remove the entry if it was removed on purpose",
                layout::METADATA_FILE,
                entry.name,
                layout::repository_file(path),
                self.store().place()
            )],
            named: Some(entry.clone()),
            ..StoredRepository::default()
        }
    }

    /// Reads what there is about the repository in `directory`. A broken file is told in the
    /// answer.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn stored_repository(
        &self,
        directory: &str,
    ) -> Result<StoredRepository, BackendError> {
        let mut stored = StoredRepository {
            directory: directory.to_owned(),
            ..StoredRepository::default()
        };
        let file = layout::repository_file(directory);
        let size = self.store().size(&file).await?;
        if let Some(size) = size.filter(|size| *size > LARGEST_FILE) {
            stored.errors.push(self.too_large(&file, size));
            return Ok(stored);
        }
        let read = self.read_repository(directory).await;
        match self.readable(&file, read, &mut stored.errors).await? {
            Some(Some(repository)) => stored.repository = Some(repository),
            Some(None) => stored.errors.push(format!("{file} no longer exists")),
            None => {}
        }
        if stored.repository.is_none() {
            return Ok(stored);
        }
        let files = self.snapshot_files(directory).await?;
        let (files, large): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|entry| entry.size <= LARGEST_FILE);
        for entry in large {
            stored.errors.push(self.too_large(&entry.path, entry.size));
        }
        let read = |entry: Entry| async move {
            let read = self.read_snapshot(&entry.path).await;
            (entry.path, read)
        };
        let mut reads = stream::iter(files.into_iter().map(read)).buffered(READS);
        while let Some((path, read)) = reads.next().await {
            // None was removed between the listing and this look at it.
            if let Some(Some(snapshot)) = self.readable(&path, read, &mut stored.errors).await? {
                stored.snapshots.push(snapshot);
            }
        }
        Ok(stored)
    }

    fn too_large(&self, path: &str, size: u64) -> String {
        format!(
            "failed to read {path} in {}: it has {size} bytes, which is more than an API server accepts as one object; make it smaller",
            self.store().place()
        )
    }

    /// The content of a file; none if it is broken, which is added to `errors`.
    async fn readable<T>(
        &self,
        path: &str,
        read: Result<T, BackendError>,
        errors: &mut Vec<String>,
    ) -> Result<Option<T>, BackendError> {
        match read {
            Ok(content) => Ok(Some(content)),
            Err(error @ BackendError::InvalidFile { .. }) => {
                errors.push(error.to_string());
                Ok(None)
            }
            // One file in an archive, or with rights of its own. If nothing else is allowed either,
            // it is the credentials, and nothing may be taken for missing.
            Err(error @ BackendError::Storage(StorageError::AccessDenied { .. })) => {
                self.store().list_names("").await?;
                if self.store().exists(path).await.is_ok() {
                    errors.push(error.to_string());
                    Ok(None)
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// Packs repositories into at most `limit` bytes. If they are too many, the oldest Snapshots of
/// each are left out, which its `errors` then say.
///
/// # Errors
/// If they cannot be packed, or not even without their Snapshots.
pub fn pack(
    mut repositories: Vec<StoredRepository>,
    limit: usize,
) -> Result<Vec<u8>, BackendError> {
    let fail = |reason: String| BackendError::Serialize {
        path: "what the storage holds".to_owned(),
        reason,
    };
    let mut said: Vec<usize> = repositories
        .iter()
        .map(|found| found.errors.len())
        .collect();
    let mut left_out = vec![0; repositories.len()];
    let mut has_large = true;
    loop {
        let json = serde_json::to_vec(&repositories).map_err(|error| fail(error.to_string()))?;
        let packed = zstd::bulk::compress(&json, LEVEL).map_err(|error| fail(error.to_string()))?;
        if packed.len() <= limit && json.len() as u64 <= MAX_UNPACKED {
            return Ok(packed);
        }
        // One that is out of all proportion must not cost the others.
        if std::mem::take(&mut has_large) {
            for (index, found) in repositories.iter_mut().enumerate() {
                drop_large(found);
                said[index] = found.errors.len();
            }
            continue;
        }
        if repositories.iter().all(|found| found.snapshots.is_empty()) {
            return Err(fail(format!(
                "{} repositories do not fit into {limit} bytes",
                repositories.len()
            )));
        }
        for (index, found) in repositories.iter_mut().enumerate() {
            left_out[index] += drop_older_half(&mut found.snapshots);
            found.errors.truncate(said[index]);
            if left_out[index] > 0 {
                found.errors.push(format!(
                    "its {} oldest Snapshots are too many to bring back; their data stays where it is",
                    left_out[index]
                ));
            }
        }
    }
}

/// Removes Snapshots that are far larger than others are, and says which.
fn drop_large(found: &mut StoredRepository) {
    let size = |snapshot: &Snapshot| serde_json::to_vec(snapshot).map_or(0, |json| json.len());
    let (large, others): (Vec<_>, Vec<_>) = std::mem::take(&mut found.snapshots)
        .into_iter()
        .partition(|snapshot| size(snapshot) > LARGE);
    found.snapshots = others;
    found.errors.extend(large.iter().map(|snapshot| {
        format!(
            "Snapshot {} has {} bytes, which is more than an API server accepts; make its file smaller",
            snapshot.metadata.name.as_deref().unwrap_or_default(),
            size(snapshot)
        )
    }));
}

/// Removes the older half of the Snapshots and says how many that were.
fn drop_older_half(snapshots: &mut Vec<Snapshot>) -> usize {
    let time = |snapshot: &Snapshot| {
        let status = snapshot.status.as_ref();
        let made = status.and_then(|status| status.snapshot_time.clone());
        made.or_else(|| snapshot.metadata.creation_timestamp.clone())
            .map(|time| time.0)
    };
    snapshots.sort_by_key(|snapshot| std::cmp::Reverse(time(snapshot)));
    let dropped = snapshots.len().div_ceil(2);
    snapshots.truncate(snapshots.len() - dropped);
    dropped
}

/// Reads what [`pack`] made.
///
/// # Errors
/// If it is something else.
pub fn unpack(packed: &[u8]) -> Result<Vec<StoredRepository>, BackendError> {
    let fail = |reason: String| BackendError::InvalidFile {
        path: "what the storage holds".to_owned(),
        place: "the Job's report".to_owned(),
        reason,
    };
    let mut json = Vec::new();
    zstd::stream::Decoder::new(packed)
        .and_then(|decoder| decoder.take(MAX_UNPACKED).read_to_end(&mut json))
        .map_err(|error| fail(error.to_string()))?;
    serde_json::from_slice(&json).map_err(|error| fail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(number: usize) -> Snapshot {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": format!("snapshot-{number:04}"), "namespace": "demo"},
            "spec": {"repository": "r", "session": "s", "snapshotID": format!("{:026}", number * 7919)},
            "status": {"snapshotTime": format!("2024-09-19T{:02}:{:02}:00Z", number / 60, number % 60)},
        }))
        .unwrap()
    }

    fn stored(snapshots: usize) -> StoredRepository {
        StoredRepository {
            directory: "r".to_owned(),
            repository: serde_json::from_value(json!({
                "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
                "metadata": {"name": "r", "namespace": "demo"}, "spec": {"path": "r"},
            }))
            .unwrap(),
            snapshots: (0..snapshots).map(snapshot).collect(),
            errors: vec!["r/snapshots/broken.yaml is broken".to_owned()],
            named: None,
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_unchanged() {
        let all = vec![stored(3), StoredRepository::default()];
        let packed = pack(all.clone(), 10_000).unwrap();
        assert_eq!(unpack(&packed).unwrap(), all);
        assert!(unpack(b"something else").is_err());
    }

    #[test]
    fn one_huge_snapshot_does_not_cost_the_others() {
        let mut huge = stored(20);
        // What does not pack.
        let noise: Vec<String> = (0..20_000_u64)
            .map(|number| format!("{:x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .collect();
        huge.snapshots[7].metadata.annotations =
            Some([("noise".to_owned(), noise.concat())].into());
        let packed = pack(vec![huge, stored(5)], 60_000).unwrap();
        let found = unpack(&packed).unwrap();
        assert_eq!(found[0].snapshots.len(), 19);
        assert!(
            found[0].errors[1].contains("snapshot-0007"),
            "{:?}",
            found[0].errors
        );
        assert_eq!((found[1].snapshots.len(), found[1].errors.len()), (5, 1));
    }

    #[test]
    fn what_does_not_fit_leaves_out_the_oldest_snapshots_and_says_so() {
        let all = vec![stored(800), stored(1)];
        let limit = pack(all.clone(), usize::MAX).unwrap().len() / 2;
        let packed = pack(all, limit).unwrap();
        assert!(packed.len() <= limit);
        let found = unpack(&packed).unwrap();
        let kept = found[0].snapshots.len();
        assert!((1..800).contains(&kept), "{kept}");
        assert_eq!(found[0].snapshots[0], snapshot(799));
        let last = found[0].errors.last().unwrap();
        assert!(last.contains(&(800 - kept).to_string()), "{last}");
        assert_eq!(found[0].errors.len(), 2);
        assert_eq!(
            pack(vec![stored(1)], 10).unwrap_err().kind(),
            "SerializeFailed"
        );
    }
}
