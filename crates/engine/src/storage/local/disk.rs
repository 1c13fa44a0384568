//! Files that are there after a power cut, once they were acknowledged.
//!
//! A file is written beside its place, synced and moved there, then its directory is synced.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;

use crate::machine;
use crate::storage::Entry;

/// What the names of unfinished files hold. `restic` and we ignore such files in listings.
pub(super) const TEMPORARY: &str = "-tmp-";
/// An unfinished file that was not touched for so long belongs to nobody any more.
pub(super) const ABANDONED: Duration = Duration::from_secs(3600);

/// What follows [`TEMPORARY`] in a name that no other writer uses; it says who writes.
pub(super) fn unique() -> String {
    format!("{}-{:016x}", machine::writer(), rand::random::<u64>())
}

/// Whether an unfinished file belongs to nobody any more: its writer was killed on this machine, or
/// it was not touched for long.
fn is_abandoned(name: &str, metadata: &fs::Metadata) -> bool {
    let writer = name
        .rsplit_once(TEMPORARY)
        .and_then(|(_, unique)| unique.rsplit_once('-'));
    if writer.is_some_and(|(writer, _)| machine::is_dead_writer(writer)) {
        return true;
    }
    let age = metadata
        .modified()
        .ok()
        .and_then(|time| SystemTime::now().duration_since(time).ok());
    age.is_some_and(|age| age > ABANDONED)
}

pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Creates a directory and its parents, readable by us only, and makes the entries durable.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
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

pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
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
pub(super) fn write_file(path: &Path, parts: &[Bytes]) -> io::Result<()> {
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
pub(super) fn write_beside(path: &Path, parts: &[Bytes]) -> io::Result<PathBuf> {
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

pub(super) fn write_atomically(path: &Path, parts: &[Bytes]) -> io::Result<()> {
    let temporary = write_beside(path, parts)?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })?;
    sync_parent(path)
}

/// The entries of a directory with valid UTF-8 names; none if it is missing.
pub(super) fn read_directory(path: &Path) -> io::Result<Vec<(String, fs::DirEntry)>> {
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

pub(super) fn walk(directory: &Path, path: &str, entries: &mut Vec<Entry>) -> io::Result<()> {
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

pub(super) fn find_temporary(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for (name, entry) in read_directory(directory)? {
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_missing(&error) => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            find_temporary(&entry.path(), found)?;
        } else if name.contains(TEMPORARY) && is_abandoned(&name, &metadata) {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// The same without looking into directories, in which others may keep other things.
pub(super) fn find_temporary_beside(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for (name, entry) in read_directory(directory)? {
        if !name.contains(TEMPORARY) {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() && is_abandoned(&name, &metadata) => {
                found.push(entry.path());
            }
            Ok(_) => {}
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes files and makes that durable; counts the ones that were there.
pub(super) fn remove_files(paths: &[PathBuf]) -> io::Result<u64> {
    let mut removed = 0;
    let mut touched: BTreeMap<Option<&Path>, &Path> = BTreeMap::new();
    for path in paths {
        match fs::remove_file(path) {
            Ok(()) => {
                removed += 1;
                touched.insert(path.parent(), path);
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    touched.values().try_for_each(|path| sync_parent(path))?;
    Ok(removed)
}

/// Removes a directory that is empty, and says whether it did.
pub(super) fn remove_if_empty(path: &Path) -> io::Result<bool> {
    match fs::remove_dir(path) {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if is_missing(&error) => Ok(false),
        // Somebody wrote something new into it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes unfinished files and empty directories that are `ours`, and directories that become
/// empty by that, but not `directory` itself. Says whether anything was removed.
pub(super) fn sweep(
    directory: &Path,
    path: &str,
    ours: &impl Fn(&str) -> bool,
) -> io::Result<bool> {
    let mut swept = false;
    for (name, entry) in read_directory(directory)? {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{}/{name}", path.trim_end_matches('/'))
        };
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) if is_missing(&error) => continue,
            Err(error) => return Err(error),
        };
        if kind.is_dir() {
            let inside = sweep(&entry.path(), &path, ours)?;
            if inside || ours(&format!("{path}/")) {
                swept |= remove_if_empty(&entry.path())?;
            }
        } else if kind.is_file() && name.contains(TEMPORARY) && ours(&path) {
            swept |= remove_files(&[entry.path()])? > 0;
        }
    }
    Ok(swept)
}

/// Removes what is in a directory, not the directory; counts the finished files.
pub(super) fn remove_tree(directory: &Path) -> io::Result<u64> {
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
