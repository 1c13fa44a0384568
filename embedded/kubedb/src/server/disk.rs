//! Steps on the file system, each with an error that names the path.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::{KubedbError, identity};

/// Does something that may block, elsewhere.
pub(crate) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KubedbError> + Send + 'static,
) -> Result<T, KubedbError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime shuts down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Gives a path to the user that servers run as.
pub(super) fn own(path: &Path, user: &'static str) -> Result<(), KubedbError> {
    match identity::of_servers(user) {
        Some(user) => chown(path, Some(user.uid), Some(user.gid)).map_err(KubedbError::disk(path)),
        None => Ok(()),
    }
}

/// Makes a directory and its parents, with these permissions.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), KubedbError> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(KubedbError::disk(path))
}

pub(crate) fn remove_dir(path: &Path) -> Result<(), KubedbError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(KubedbError::disk(path)(error))
        }
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), KubedbError> {
    let partial = path.with_extension("partial");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&partial)
        .map_err(KubedbError::disk(&partial))?;
    // The mode above is cut by the umask, and stays what it was if a crash has left the file.
    file.set_permissions(fs::Permissions::from_mode(mode))
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all())
        .map_err(KubedbError::disk(&partial))?;
    fs::rename(&partial, path).map_err(KubedbError::disk(path))
}

pub(super) fn sync(path: &Path) -> Result<(), KubedbError> {
    fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(KubedbError::disk(path))
}

/// Syncs everything below a directory. Many at once, because the file system then does it for all
/// of them in one go: one after the other takes twenty times as long.
pub(super) fn sync_dir(dir: &Path) -> Result<(), KubedbError> {
    let mut paths = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        next += 1;
        if path.is_dir() {
            let entries = fs::read_dir(&path).map_err(KubedbError::disk(&path))?;
            paths.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    std::thread::scope(|scope| {
        let sync_all = |part: &[PathBuf]| part.iter().try_for_each(|path| sync_if_there(path));
        let parts = paths.chunks(paths.len().div_ceil(16));
        let running: Vec<_> = parts
            .map(|part| scope.spawn(move || sync_all(part)))
            .collect();
        running.into_iter().try_for_each(|part| match part.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// A file that the server has removed meanwhile needs no sync; its sockets and pipes have none.
fn sync_if_there(path: &Path) -> Result<(), KubedbError> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() || meta.is_dir() => {}
        _ => return Ok(()),
    }
    match sync(path) {
        Err(_) if !path.exists() => Ok(()),
        other => other,
    }
}

/// Copies a directory with owners and permissions, without following links.
pub(super) fn copy_dir(from: &Path, to: &Path, user: &'static str) -> Result<(), KubedbError> {
    fs::create_dir(to).map_err(KubedbError::disk(to))?;
    for entry in fs::read_dir(from).map_err(KubedbError::disk(from))? {
        let entry = entry.map_err(KubedbError::disk(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(KubedbError::disk(&source))?;
        if kind.is_dir() {
            copy_dir(&source, &target, user)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(KubedbError::disk(&target))?;
            own(&target, user)?;
        }
    }
    let permissions = fs::metadata(from)
        .map_err(KubedbError::disk(from))?
        .permissions();
    fs::set_permissions(to, permissions).map_err(KubedbError::disk(to))?;
    own(to, user)
}
