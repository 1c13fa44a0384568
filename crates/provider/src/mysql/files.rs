//! What a server has on disk: `<data dir>/databases/<namespace>/mysql-<name>/`.
//!
//! ```text
//!   databases/template-<version>/     an empty data directory, made once and copied for each server
//!   databases/<namespace>/mysql-<name>/
//!     data/          the server's; complete when it exists, since it is renamed into place
//!     tmp/           for sorting what does not fit into memory
//!     server.log     what the server says
//!     port           kept, so that the address in AppBindings survives a restart
//!     initialised    data and first settings are on disk; without it the server is set up again at its next start
//! ```
//!
//! The server sees this directory as [`HOME`], in a view of the file system of its own: the directories above it are
//! closed to other users, and the path of its socket is short.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use kubestash_node::supervisor::{Mount, MountSource, PrivateRoot};

use crate::ProviderError;
use crate::identity;

/// Where a server sees its directory.
pub(crate) const HOME: &str = "/kubestash-database";

/// Ports of servers: below the range from which the kernel takes ports for outgoing connections, so that the port of
/// a stopped server is rarely somebody else's when it starts again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The directory of one server.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    dir: PathBuf,
}

impl Files {
    pub(crate) fn of(data_dir: &Path, namespace: &str, name: &str) -> Self {
        let databases = data_dir.join("databases");
        Self {
            dir: databases.join(namespace).join(format!("mysql-{name}")),
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
    pub(crate) fn set_initialised(&self) -> Result<(), ProviderError> {
        write(&self.initialised(), b"", 0o644)
    }

    /// Makes the directories, and the data by copying the template if there is none yet.
    pub(crate) fn prepare(&self, template: &Path) -> Result<(), ProviderError> {
        make_dir(&self.dir, 0o755)?;
        make_dir(&self.dir.join(STAGING), 0o700)?;
        let tmp = self.dir.join("tmp");
        remove_dir(&tmp)?;
        make_dir(&tmp, 0o700)?;
        own(&tmp)?;
        if self.data().exists() && self.is_initialised() {
            return Ok(());
        }
        // What a crash cut short is made anew: nobody has been told yet that it is there.
        remove_dir(&self.data())?;
        let partial = self.dir.join("data.partial");
        remove_dir(&partial)?;
        copy_dir(template, &partial)?;
        fs::rename(&partial, self.data()).map_err(ProviderError::disk(self.data()))
    }

    /// Makes sure that the data and its place survive a power failure: a copy is in memory only at first.
    pub(crate) fn sync(&self) -> Result<(), ProviderError> {
        sync_dir(&self.data())?;
        sync(&self.dir)
    }

    /// The port of the server: the one it had, as long as nobody else took it, or a free one.
    pub(crate) fn port(&self) -> Result<u16, ProviderError> {
        let file = self.dir.join("port");
        let known = fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.trim().parse::<u16>().ok());
        if let Some(port) = known.filter(|port| is_free(*port)) {
            return Ok(port);
        }
        let port = free_port().map_err(ProviderError::disk(&file))?;
        write(&file, port.to_string().as_bytes(), 0o644)?;
        Ok(port)
    }

    /// Removes everything, data included.
    pub(crate) fn remove(&self) -> Result<(), ProviderError> {
        remove_dir(&self.dir)
    }
}

/// Gives a path to the user that servers run as.
pub(crate) fn own(path: &Path) -> Result<(), ProviderError> {
    match identity::of_servers() {
        Some(user) => {
            chown(path, Some(user.uid), Some(user.gid)).map_err(ProviderError::disk(path))
        }
        None => Ok(()),
    }
}

/// Makes a directory and its parents, with these permissions.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), ProviderError> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(ProviderError::disk(path))
}

pub(crate) fn remove_dir(path: &Path) -> Result<(), ProviderError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ProviderError::disk(path)(error))
        }
        _ => Ok(()),
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
pub(crate) fn make_staging(dir: &Path) -> Result<(), ProviderError> {
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

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), ProviderError> {
    let partial = path.with_extension("partial");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&partial)
        .map_err(ProviderError::disk(&partial))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(ProviderError::disk(&partial))?;
    fs::rename(&partial, path).map_err(ProviderError::disk(path))
}

fn sync(path: &Path) -> Result<(), ProviderError> {
    fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(ProviderError::disk(path))
}

/// Syncs everything below a directory. Many at once, because the file system then does it for all of them in one go:
/// one after the other takes twenty times as long.
fn sync_dir(dir: &Path) -> Result<(), ProviderError> {
    let mut paths = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        next += 1;
        if path.is_dir() {
            let entries = fs::read_dir(&path).map_err(ProviderError::disk(&path))?;
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
fn sync_if_there(path: &Path) -> Result<(), ProviderError> {
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
fn copy_dir(from: &Path, to: &Path) -> Result<(), ProviderError> {
    fs::create_dir(to).map_err(ProviderError::disk(to))?;
    for entry in fs::read_dir(from).map_err(ProviderError::disk(from))? {
        let entry = entry.map_err(ProviderError::disk(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(ProviderError::disk(&source))?;
        if kind.is_dir() {
            copy_dir(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(ProviderError::disk(&target))?;
            own(&target)?;
        }
    }
    let permissions = fs::metadata(from)
        .map_err(ProviderError::disk(from))?
        .permissions();
    fs::set_permissions(to, permissions).map_err(ProviderError::disk(to))?;
    own(to)
}
