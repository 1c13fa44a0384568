//! The data directory: its layout, its permissions and its lock.
//!
//! ```text
//! <data dir>/               0700
//!   lock                    held while a server runs; holds its pid
//!   objects.redb            all objects but Secrets (0600)
//!   secrets.redb            Secrets (0600)
//!   pki/                    CA, signing key of tokens, admin token (0700, files 0600)
//!   pods/<uid>/<container>/<restart>.log    what the node writes, see [`crate::logs`]
//! ```
//!
//! Invariant: one directory is in use by one server at a time; the kernel drops the lock with the
//! process, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// What can go wrong with the data directory.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another server runs on it.
    #[error("data directory {} is in use by another kubestash (pid {pid}); stop it or choose another directory with --data-dir", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, `unknown` when it has not written it yet.
        pid: String,
    },
    /// A file or directory could not be made, read or written.
    #[error("failed to {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl DataDirError {
    /// A stable word for the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "DataDirInUse",
            Self::Io { .. } => "DataDirIo",
        }
    }
}

/// A locked data directory; dropping it gives it free.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if absent (0700) and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, DataDirError> {
        create_private_dir(path)?;
        let lock_path = path.join("lock");
        let failed = |action| {
            let path = lock_path.clone();
            move |source| DataDirError::Io {
                action,
                path,
                source,
            }
        };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only for the message; an unreadable pid does not change the refusal.
                let known = lock.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                return Err(DataDirError::InUse {
                    path: path.to_owned(),
                    pid: if known {
                        pid.trim().to_owned()
                    } else {
                        "unknown".to_owned()
                    },
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        lock.set_len(0)
            .and_then(|()| lock.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(lock, "{}", std::process::id()))
            .map_err(failed("write"))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where the output of containers lies.
    pub(crate) fn pods_dir(&self) -> PathBuf {
        self.path.join("pods")
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a directory that only the owner can enter.
pub(crate) fn create_private_dir(path: &Path) -> Result<(), DataDirError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
        .map_err(|source| DataDirError::Io {
            action: "create",
            path: path.to_owned(),
            source,
        })
}

/// Reads a file of `dir`, or makes it with what `generate` returns: 0600, whole or not at all, and
/// durable.
pub(crate) fn read_or_create<E>(
    dir: &Path,
    name: &str,
    generate: impl FnOnce() -> Result<Zeroizing<String>, E>,
) -> Result<Zeroizing<String>, E>
where
    E: From<DataDirError>,
{
    let path = dir.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => return Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(DataDirError::Io {
                action: "read",
                path,
                source,
            }
            .into());
        }
    }
    let text = generate()?;
    write_private(dir, name, &text)?;
    Ok(text)
}

/// Writes a file of `dir` by way of a temporary one and a rename, and syncs both file and
/// directory.
fn write_private(dir: &Path, name: &str, text: &str) -> Result<(), DataDirError> {
    let path = dir.join(name);
    let temporary = dir.join(format!(".{name}.new"));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| DataDirError::Io {
        action: "write",
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_on_the_same_directory_is_refused_and_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::lock(dir.path()).unwrap();
        let error = DataDir::lock(dir.path()).unwrap_err();
        assert_eq!(error.kind(), "DataDirInUse");
        let expected = format!("in use by another kubestash (pid {})", std::process::id());
        assert!(error.to_string().contains(&expected), "{error}");
        drop(first);
        DataDir::lock(dir.path()).unwrap();
    }

    #[test]
    fn private_files_are_made_once_and_only_the_owner_can_read_them() {
        let dir = tempfile::tempdir().unwrap();
        let generate = || Ok::<_, DataDirError>(Zeroizing::new("one".to_owned()));
        assert_eq!(*read_or_create(dir.path(), "f", generate).unwrap(), "one");
        let again = || Ok::<_, DataDirError>(Zeroizing::new("two".to_owned()));
        assert_eq!(*read_or_create(dir.path(), "f", again).unwrap(), "one");
        let mode = fs::metadata(dir.path().join("f"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
