//! A mounted volume as a store.
//!
//! An object is written to a temporary file beside its place, synced, renamed, and its directory is
//! synced: after a power cut there is the old object or the new one, and what was acknowledged is
//! there. Directories that become empty are removed by `remove_all` only.

mod disk;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::disk::{
    TEMPORARY, find_temporary, find_temporary_beside, is_missing, make_directory, read_directory,
    remove_files, remove_if_empty, remove_tree, sweep, sync_parent, unique, walk, write_atomically,
    write_beside, write_file,
};
use super::{Entry, StorageError};

/// A file system that answers nothing for so long has failed; a hanging NFS server is like that.
const NO_PROGRESS: Duration = Duration::from_secs(300);
/// Files deleted in one go: few enough to be gone long before that.
const DELETED_AT_ONCE: usize = 500;

/// A directory of a volume.
#[derive(Clone, Debug)]
pub(super) struct LocalStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The mount point. Never created by us.
    mount: PathBuf,
    /// Mount point and prefix.
    root: PathBuf,
    place: String,
}

impl LocalStore {
    pub(super) fn new(mount: &Path, prefix: &str, place: String) -> Self {
        Self {
            shared: Arc::new(Shared {
                mount: mount.to_owned(),
                root: mount.join(prefix),
                place,
            }),
        }
    }

    /// Runs blocking file access off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        action: String,
        work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let shared = Arc::clone(&self.shared);
        let work = tokio::task::spawn_blocking(move || work(&shared));
        let place = || self.shared.place.clone();
        match tokio::time::timeout(NO_PROGRESS, work).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(classify(action, place(), error)),
            Ok(Err(error)) => Err(StorageError::Failed {
                action,
                place: place(),
                source: Some(Box::new(error)),
            }),
            Err(_) => Err(StorageError::NoProgress {
                action,
                place: place(),
                seconds: NO_PROGRESS.as_secs(),
            }),
        }
    }

    pub(super) async fn probe(&self) -> Result<(), StorageError> {
        let checked = self
            .blocking("write a trial file".to_owned(), |shared| {
                if !shared.mount.is_dir() {
                    return Err(io::Error::from(io::ErrorKind::NotFound));
                }
                let path = shared.root.join(format!(".probe{TEMPORARY}{}", unique()));
                make_directory(&shared.root)?;
                // Of an earlier trial, or of a file beside the repositories, whose writer was
                // killed.
                let mut left = Vec::new();
                find_temporary_beside(&shared.root, &mut left)?;
                remove_files(&left)?;
                write_file(&path, &[Bytes::from_static(b"probe")])?;
                fs::remove_file(&path)
            })
            .await;
        match checked {
            Err(StorageError::NotFound { place, .. }) => Err(StorageError::BucketMissing {
                place,
                source: None,
            }),
            other => other,
        }
    }

    pub(super) async fn read(&self, path: &str) -> Result<Bytes, StorageError> {
        let wanted = path.to_owned();
        let result = self
            .blocking(format!("read {path}"), move |shared| {
                fs::read(shared.at(&wanted)?).map(Bytes::from)
            })
            .await;
        named(result, path)
    }

    pub(super) async fn read_range(
        &self,
        path: &str,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StorageError> {
        let wanted = path.to_owned();
        let result = self
            .blocking(format!("read {path}"), move |shared| {
                let mut file = File::open(shared.at(&wanted)?)?;
                file.seek(SeekFrom::Start(offset))?;
                let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
                file.take(length).read_to_end(&mut bytes)?;
                Ok(Bytes::from(bytes))
            })
            .await;
        named(result, path)
    }

    pub(super) async fn write(&self, path: &str, parts: Vec<Bytes>) -> Result<(), StorageError> {
        let wanted = path.to_owned();
        let result = self
            .blocking(format!("write {path}"), move |shared| {
                shared.require_mount()?;
                write_atomically(&shared.at(&wanted)?, &parts)
            })
            .await;
        match result {
            // Nothing but the mount point can be missing when writing.
            Err(StorageError::NotFound { place, .. }) => Err(StorageError::BucketMissing {
                place,
                source: None,
            }),
            other => other,
        }
    }

    /// Writes an object unless there is one; tells which of the two.
    pub(super) async fn create(&self, path: &str, content: Bytes) -> Result<bool, StorageError> {
        let wanted = path.to_owned();
        self.blocking(format!("create {path}"), move |shared| {
            shared.require_mount()?;
            let path = shared.at(&wanted)?;
            let temporary = write_beside(&path, &[content])?;
            let linked = fs::hard_link(&temporary, &path);
            // Best effort: a leftover is invisible and removed later.
            let _ = fs::remove_file(&temporary);
            match linked {
                Ok(()) => sync_parent(&path).map(|()| true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), StorageError> {
        let wanted = path.to_owned();
        let result = self
            .blocking(format!("delete {path}"), move |shared| {
                let path = shared.at(&wanted)?;
                fs::remove_file(&path)?;
                sync_parent(&path)
            })
            .await;
        ignore_missing(result)
    }

    pub(super) async fn exists(&self, path: &str) -> Result<bool, StorageError> {
        let wanted = path.to_owned();
        self.blocking(
            format!("look for {path}"),
            move |shared| match fs::metadata(shared.at(&wanted)?) {
                Ok(metadata) => Ok(metadata.is_file()),
                Err(error) if is_missing(&error) => Ok(false),
                Err(error) => Err(error),
            },
        )
        .await
    }

    pub(super) async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let wanted = path.to_owned();
        self.blocking(
            format!("look for {path}"),
            move |shared| match fs::metadata(shared.at(&wanted)?) {
                Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
                Err(error) if is_missing(&error) => Ok(None),
                Err(error) => Err(error),
            },
        )
        .await
    }

    pub(super) async fn delete_all(&self, paths: Vec<String>) -> Result<u64, StorageError> {
        let mut removed = 0;
        for paths in paths.chunks(DELETED_AT_ONCE) {
            let paths = paths.to_vec();
            removed += self
                .blocking(format!("delete {} files", paths.len()), move |shared| {
                    let full: io::Result<Vec<PathBuf>> =
                        paths.iter().map(|path| shared.at(path)).collect();
                    remove_files(&full?)
                })
                .await?;
        }
        Ok(removed)
    }

    pub(super) async fn sweep(
        &self,
        directory: &str,
        ours: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<(), StorageError> {
        let wanted = directory.to_owned();
        let action = format!("remove empty directories under {directory}/");
        self.blocking(action, move |shared| {
            let path = shared.at(&wanted)?;
            let swept = sweep(&path, &wanted, &ours)?;
            // The mount point is not ours, whatever is in it.
            if path != shared.mount && (swept || ours(&format!("{wanted}/"))) {
                remove_if_empty(&path)?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn list(&self, directory: &str) -> Result<Vec<Entry>, StorageError> {
        let wanted = directory.to_owned();
        self.blocking(format!("list {directory}/"), move |shared| {
            let mut entries = Vec::new();
            walk(&shared.at(&wanted)?, &wanted, &mut entries)?;
            Ok(entries)
        })
        .await
    }

    pub(super) async fn list_names(&self, directory: &str) -> Result<Vec<String>, StorageError> {
        let wanted = directory.to_owned();
        self.blocking(format!("list {directory}/"), move |shared| {
            let mut names = Vec::new();
            for (name, entry) in read_directory(&shared.at(&wanted)?)? {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => names.push(format!("{name}/")),
                    Ok(_) if name.contains(TEMPORARY) => {}
                    Ok(_) => names.push(name),
                    Err(error) if is_missing(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(names)
        })
        .await
    }

    pub(super) async fn remove_all(&self, directory: &str) -> Result<u64, StorageError> {
        let wanted = directory.to_owned();
        let action = format!("delete everything under {directory}/");
        self.blocking(action, move |shared| {
            let path = shared.at(&wanted)?;
            let removed = remove_tree(&path)?;
            // The prefix itself may go, the mount point stays.
            if path != shared.mount {
                remove_if_empty(&path)?;
            }
            Ok(removed)
        })
        .await
    }

    pub(super) async fn make_directories(&self, paths: &[String]) -> Result<(), StorageError> {
        let paths = paths.to_vec();
        self.blocking("create directories".to_owned(), move |shared| {
            shared.require_mount()?;
            paths
                .iter()
                .try_for_each(|path| make_directory(&shared.at(path)?))
        })
        .await
    }

    /// Removes the unfinished files that crashed writers left under a directory.
    pub(super) async fn remove_abandoned(&self, directory: &str) -> Result<u64, StorageError> {
        let wanted = directory.to_owned();
        let action = format!("remove unfinished files under {directory}/");
        self.blocking(action, move |shared| {
            let mut found = Vec::new();
            find_temporary(&shared.at(&wanted)?, &mut found)?;
            remove_files(&found)
        })
        .await
    }
}

impl Shared {
    /// The file system path of a store path. A part that would climb out is refused.
    fn at(&self, path: &str) -> io::Result<PathBuf> {
        let mut full = self.root.clone();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if part == "." || part == ".." || part.contains('\0') {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("path {path:?} has a part {part:?}"),
                ));
            }
            full.push(part);
        }
        Ok(full)
    }

    /// A missing mount must not be filled in: what is written there would be lost.
    fn require_mount(&self) -> io::Result<()> {
        if self.mount.is_dir() {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::NotFound))
        }
    }
}

fn classify(action: String, place: String, error: io::Error) -> StorageError {
    use io::ErrorKind::{
        FileTooLarge, InvalidInput, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    match error.kind() {
        _ if is_missing(&error) => StorageError::NotFound {
            path: String::new(),
            place,
        },
        PermissionDenied => StorageError::AccessDenied {
            action,
            place,
            source: Some(Box::new(error)),
        },
        StorageFull | QuotaExceeded | FileTooLarge => StorageError::StorageFull {
            action,
            place,
            source: Some(Box::new(error)),
        },
        ReadOnlyFilesystem => StorageError::ReadOnly {
            action,
            place,
            source: Some(Box::new(error)),
        },
        InvalidInput => StorageError::InvalidConfig {
            place,
            reason: format!("cannot {action}"),
            source: Some(Box::new(error)),
        },
        _ => StorageError::Failed {
            action,
            place,
            source: Some(Box::new(error)),
        },
    }
}

/// Fills in which object was not found.
fn named<T>(result: Result<T, StorageError>, path: &str) -> Result<T, StorageError> {
    match result {
        Err(StorageError::NotFound { place, .. }) => Err(StorageError::NotFound {
            path: path.to_owned(),
            place,
        }),
        other => other,
    }
}

fn ignore_missing(result: Result<(), StorageError>) -> Result<(), StorageError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
