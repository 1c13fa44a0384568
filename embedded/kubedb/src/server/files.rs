//! What a server has on disk: `<data dir>/databases/<namespace>/<kind>-<name>/`.
//!
//! ```text
//!   databases/template-<product>-<version>/   an empty data directory, made once and copied for each server
//!   databases/<namespace>/<kind>-<name>/      such as mysql-sample, mariadb-sample, postgres-sample
//!     data/          the server's; complete when it exists, since it is renamed into place
//!     tmp/           for sorting what does not fit into memory
//!     server.log     what the server says
//!     port           kept, so that the address in AppBindings survives a restart
//!     initialised    data and first settings are on disk; without it the server is set up again at its next start
//! ```
//!
//! The server sees this directory as [`HOME`], in a view of the file system of its own: the
//! directories above it are closed to other users, and the path of its socket is short.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use kubestash_node::supervisor::{Mount, MountSource, PrivateRoot};

use super::Id;
use super::disk::{copy_dir, make_dir, own, remove_dir, sync, sync_dir, write};
use crate::KubedbError;

/// Where a server sees its directory.
pub(crate) const HOME: &str = "/kubestash-database";

/// Ports of servers: below the range from which the kernel takes ports for outgoing connections, so
/// that the port of a stopped server is rarely somebody else's when it starts again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The directory of one server.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    /// The user whose files they are.
    user: &'static str,
}

impl Files {
    pub(crate) fn of(data_dir: &Path, user: &'static str, id: &Id) -> Self {
        let databases = data_dir.join("databases");
        let own = format!("{}-{}", id.kind, id.name);
        Self {
            dir: databases.join(&id.namespace).join(own),
            user,
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    fn initialised(&self) -> PathBuf {
        self.dir.join("initialised")
    }

    /// What the server sees of the file system.
    pub(crate) fn view(&self, masked: &[PathBuf]) -> PrivateRoot {
        view(&self.dir, masked)
    }

    pub(crate) fn is_initialised(&self) -> bool {
        self.initialised().exists()
    }

    /// Marks the server as set up.
    pub(crate) fn set_initialised(&self) -> Result<(), KubedbError> {
        write(&self.initialised(), b"", 0o644)
    }

    /// Makes the directories and the files beside the data, and the data by copying the template if
    /// there is none yet.
    pub(crate) fn prepare(
        &self,
        template: &Path,
        beside: &[(&str, &str)],
    ) -> Result<(), KubedbError> {
        make_dir(&self.dir, 0o755)?;
        make_dir(&self.dir.join(STAGING), 0o700)?;
        let tmp = self.dir.join("tmp");
        remove_dir(&tmp)?;
        make_dir(&tmp, 0o700)?;
        own(&tmp, self.user)?;
        for (name, content) in beside {
            let path = self.dir.join(name);
            if fs::read(&path).ok().as_deref() != Some(content.as_bytes()) {
                write(&path, content.as_bytes(), 0o644)?;
            }
        }
        if self.data().exists() && self.is_initialised() {
            return Ok(());
        }
        // What a crash cut short is made anew: nobody has been told yet that it is there.
        remove_dir(&self.data())?;
        let partial = self.dir.join("data.partial");
        remove_dir(&partial)?;
        copy_dir(template, &partial, self.user)?;
        fs::rename(&partial, self.data()).map_err(KubedbError::disk(self.data()))
    }

    /// Makes sure that the data and its place survive a power failure: a copy is in memory only at
    /// first.
    pub(crate) fn sync(&self) -> Result<(), KubedbError> {
        sync_dir(&self.data())?;
        sync(&self.dir)
    }

    /// The port of the server: the one it had, as long as nobody else took it, or a free one.
    pub(crate) fn port(&self) -> Result<u16, KubedbError> {
        let file = self.dir.join("port");
        let known = fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.trim().parse::<u16>().ok());
        if let Some(port) = known.filter(|port| is_free(*port)) {
            return Ok(port);
        }
        let port = free_port().map_err(KubedbError::disk(&file))?;
        write(&file, port.to_string().as_bytes(), 0o644)?;
        Ok(port)
    }

    /// Removes everything, data included.
    pub(crate) fn remove(&self) -> Result<(), KubedbError> {
        remove_dir(&self.dir)
    }
}

/// Where views are built.
const STAGING: &str = ".root";

/// A view in which `dir`, which has to hold an empty directory `.root`, is at [`HOME`].
pub(crate) fn view(dir: &Path, masked: &[PathBuf]) -> PrivateRoot {
    PrivateRoot {
        staging: dir.join(STAGING),
        executable: None,
        masked: masked.to_vec(),
        mounts: vec![Mount {
            target: HOME.into(),
            source: MountSource::Path(dir.to_owned()),
            read_only: false,
        }],
    }
}

/// Makes the directory that a view of `dir` is built on.
pub(crate) fn make_staging(dir: &Path) -> Result<(), KubedbError> {
    make_dir(&dir.join(STAGING), 0o700)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// A port that nobody listens on.
fn free_port() -> std::io::Result<u16> {
    // Taken at random, so that two servers that look at the same time hardly find the same one.
    let candidates = (0..1000).map(|_| rand::random_range(PORTS));
    candidates
        .into_iter()
        .find(|port| is_free(*port))
        .ok_or_else(|| std::io::Error::other("no port of 20000 to 31999 is free on 127.0.0.1"))
}
