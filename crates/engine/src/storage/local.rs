//! A mounted volume as a store.
//!
//! An object is written to a temporary file beside its place, synced, renamed, and its directory is
//! synced: after a power cut there is the old object or the new one, and what was acknowledged is
//! there. Directories that become empty are removed by `remove_all` only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use jiff::Timestamp;

use super::{Entry, StorageError};

/// A file system that answers nothing for so long has failed; a hanging NFS server is like that.
const NO_PROGRESS: Duration = Duration::from_secs(300);
/// What the names of unfinished files hold. `restic` and we ignore such files in listings.
const TEMPORARY: &str = "-tmp-";
/// An unfinished file that was not touched for so long belongs to nobody any more.
const ABANDONED: Duration = Duration::from_secs(3600);

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
                match fs::remove_dir(&path) {
                    Ok(()) => sync_parent(&path)?,
                    Err(error) if is_missing(&error) => {}
                    // Somebody wrote something new into it meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(removed)
        })
        .await
    }

    pub(super) async fn make_directories(&self, paths: &[String]) -> Result<(), StorageError> {
        let paths = paths.to_vec();
        self.blocking("make directories".to_owned(), move |shared| {
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
            let mut removed = 0;
            for path in found {
                match fs::remove_file(&path) {
                    Ok(()) => removed += 1,
                    Err(error) if is_missing(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(removed)
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

/// A name that no other writer uses.
fn unique() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Creates a directory and its parents, readable by us only, and makes the entries durable.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    match File::open(parent) {
        Ok(directory) => match directory.sync_all() {
            // Some network file systems cannot sync a directory; then there is nothing more to do.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            other => other,
        },
        // Removed together with its last file.
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes and syncs one new file, and leaves nothing behind when that fails.
fn write_file(path: &Path, parts: &[Bytes]) -> io::Result<()> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()
    };
    write().inspect_err(|_| {
        // Best effort: the first error is the one to tell.
        let _ = fs::remove_file(path);
    })
}

/// Writes a temporary file beside `path`, whose directories are made if needed.
fn write_beside(path: &Path, parts: &[Bytes]) -> io::Result<PathBuf> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!("{TEMPORARY}{}", unique()));
    let temporary = PathBuf::from(temporary);
    match write_file(&temporary, parts) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                make_directory(parent)?;
            }
            write_file(&temporary, parts)?;
        }
        other => other?,
    }
    Ok(temporary)
}

fn write_atomically(path: &Path, parts: &[Bytes]) -> io::Result<()> {
    let temporary = write_beside(path, parts)?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })?;
    sync_parent(path)
}

/// The entries of a directory with valid UTF-8 names; none if it is missing.
fn read_directory(path: &Path) -> io::Result<Vec<(String, fs::DirEntry)>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut named = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Nothing of ours has such a name.
        if let Ok(name) = entry.file_name().into_string() {
            named.push((name, entry));
        }
    }
    Ok(named)
}

fn walk(directory: &Path, path: &str, entries: &mut Vec<Entry>) -> io::Result<()> {
    for (name, entry) in read_directory(directory)? {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{}/{name}", path.trim_end_matches('/'))
        };
        // A file may vanish between the listing and this look at it.
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_missing(&error) => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            walk(&entry.path(), &path, entries)?;
        } else if metadata.is_file() && !name.contains(TEMPORARY) {
            entries.push(Entry {
                path,
                size: metadata.len(),
                modified: metadata
                    .modified()
                    .ok()
                    .and_then(|time| Timestamp::try_from(time).ok()),
            });
        }
    }
    Ok(())
}

fn find_temporary(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for (name, entry) in read_directory(directory)? {
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_missing(&error) => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            find_temporary(&entry.path(), found)?;
        } else if name.contains(TEMPORARY)
            && metadata
                .modified()
                .ok()
                .and_then(|time| SystemTime::now().duration_since(time).ok())
                .is_some_and(|age| age > ABANDONED)
        {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Removes what is in a directory, not the directory; counts the finished files.
fn remove_tree(directory: &Path) -> io::Result<u64> {
    let mut removed = 0;
    for (name, entry) in read_directory(directory)? {
        let path = entry.path();
        let result = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            removed += remove_tree(&path)?;
            fs::remove_dir(&path)
        } else {
            removed += u64::from(!name.contains(TEMPORARY));
            fs::remove_file(&path)
        };
        match result {
            Err(error) if is_missing(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            other => other?,
        }
    }
    Ok(removed)
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
mod tests {
    use super::*;

    fn store(directory: &tempfile::TempDir) -> LocalStore {
        LocalStore::new(directory.path(), "some/prefix", "volume test".to_owned())
    }

    #[tokio::test]
    async fn what_was_written_is_read_listed_and_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        store.probe().await.unwrap();
        assert_eq!(store.list("").await.unwrap(), []);
        store
            .write("a/b/c", vec![Bytes::from_static(b"hello")])
            .await
            .unwrap();
        store
            .write("a/d", vec![Bytes::from_static(b"")])
            .await
            .unwrap();
        assert_eq!(store.read("a/b/c").await.unwrap(), "hello");
        assert_eq!(store.read_range("a/b/c", 1, 3).await.unwrap(), "ell");
        assert!(store.exists("a/d").await.unwrap());
        assert!(!store.exists("a/b").await.unwrap());
        let mut paths: Vec<_> = store
            .list("a")
            .await
            .unwrap()
            .into_iter()
            .map(|entry| (entry.path, entry.size))
            .collect();
        paths.sort();
        assert_eq!(paths, [("a/b/c".to_owned(), 5), ("a/d".to_owned(), 0)]);
        let mut names = store.list_names("a").await.unwrap();
        names.sort();
        assert_eq!(names, ["b/", "d"]);
        store.delete("a/d").await.unwrap();
        store.delete("a/d").await.unwrap();
        assert!(store.read("a/d").await.unwrap_err().is_not_found());
        assert_eq!(store.remove_all("").await.unwrap(), 1);
        assert!(directory.path().exists());
        assert!(!directory.path().join("some/prefix").exists());
    }

    #[tokio::test]
    async fn only_one_of_many_creates_an_object() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let attempts = (0..20).map(|number| store.create("r/config", Bytes::from(vec![number])));
        let made: Vec<_> = futures::future::try_join_all(attempts).await.unwrap();
        let winner = made.iter().position(|made| *made).unwrap();
        assert_eq!(made.iter().filter(|made| **made).count(), 1);
        assert_eq!(store.read("r/config").await.unwrap(), vec![winner as u8]);
        assert_eq!(
            fs::read_dir(directory.path().join("some/prefix/r"))
                .unwrap()
                .count(),
            1
        );
    }

    #[tokio::test]
    async fn a_missing_mount_is_reported_and_never_made() {
        let directory = tempfile::tempdir().unwrap();
        let mount = directory.path().join("not-mounted");
        let store = LocalStore::new(&mount, "", "volume test".to_owned());
        assert_eq!(store.probe().await.unwrap_err().kind(), "BucketMissing");
        let error = store
            .write("x", vec![Bytes::from_static(b"y")])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "BucketMissing");
        assert!(!mount.exists());
    }

    #[tokio::test]
    async fn no_path_leaves_the_prefix() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        assert!(
            store
                .write("../../escape", vec![Bytes::new()])
                .await
                .is_err()
        );
        assert!(store.read("a/../../x").await.is_err());
        assert!(!directory.path().join("escape").exists());
    }

    #[tokio::test]
    async fn unfinished_files_are_invisible_and_old_ones_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        store
            .write("data/00/pack", vec![Bytes::from_static(b"1")])
            .await
            .unwrap();
        let data = directory.path().join("some/prefix/data/00");
        let old = data.join("other-tmp-1");
        fs::write(&old, "half").unwrap();
        fs::write(data.join("other-tmp-2"), "half").unwrap();
        let long_ago = SystemTime::now() - ABANDONED * 2;
        File::options()
            .write(true)
            .open(&old)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        assert_eq!(store.list("").await.unwrap().len(), 1);
        assert_eq!(store.remove_abandoned("data").await.unwrap(), 1);
        assert!(!old.exists());
        assert!(data.join("other-tmp-2").exists());
    }
}
