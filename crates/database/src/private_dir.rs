//! A folder of mode 0700 for files that only this process and its client may read.
//!
//! It is removed when the value is dropped: at the end, after an error, and when a task is
//! cancelled by a signal. Only `kill -9` leaves it, in a volume that goes with the pod.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::connection::Connection;

/// A folder that nobody else can look into.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    dir: tempfile::TempDir,
}

impl PrivateDir {
    /// Makes a folder inside `parent`.
    pub(crate) fn create_in(parent: &Path) -> io::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(".kubestash-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        Ok(Self { dir })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of mode 0600.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        let path = self.dir.path().join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(content)?;
        Ok(path)
    }
}

/// Where the certificates of a connection are, for a client that reads files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    /// Those that sign the server's.
    pub(crate) authority: Option<String>,
    /// The client's own.
    pub(crate) certificate: Option<String>,
    /// Its key.
    pub(crate) key: Option<String>,
}

impl CertificateFiles {
    /// Writes those that a connection has.
    pub(crate) fn write(dir: &PrivateDir, to: &Connection) -> io::Result<Self> {
        let Some(tls) = &to.tls else {
            return Ok(Self::default());
        };
        let write = |name: &str, content: &[u8]| {
            let path = dir.write(name, content)?;
            Ok::<_, io::Error>(Some(path.to_string_lossy().into_owned()))
        };
        let mut files = Self::default();
        if !tls.ca_bundle.is_empty() {
            files.authority = write("ca.pem", &tls.ca_bundle)?;
        }
        if let Some(identity) = &tls.identity {
            files.certificate = write("client.pem", &identity.certificate)?;
            files.key = write("client-key.pem", &identity.key)?;
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_for_this_user_only_and_gone_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let private = PrivateDir::create_in(parent.path()).unwrap();
        let file = private.write("client.cnf", b"x").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(private.path()), 0o700);
        assert_eq!(mode(&file), 0o600);
        drop(private);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
