//! What a server has on disk: `<data dir>/databases/<namespace>/<name>/`.
//!
//! ```text
//!   databases/template-<version>/     an empty data directory, made once and copied for each server
//!   databases/<namespace>/<name>/
//!     data/          the server's; complete when it exists, since it is renamed into place
//!     my.cnf         settings; no secrets
//!     port           kept, so that the address in AppBindings survives a restart
//!     initialised    the password is set; without it the server is set up again at its next start
//! ```

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use std::io::Write;

use crate::ProviderError;
use crate::identity;

/// The directory of one server.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    dir: PathBuf,
}

impl Files {
    pub(crate) fn of(data_dir: &Path, namespace: &str, name: &str) -> Self {
        Self {
            dir: data_dir.join("databases").join(namespace).join(name),
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// A short path: names of sockets are limited to 107 bytes.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("s")
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.dir.join("my.cnf")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    fn first_statements(&self) -> PathBuf {
        self.dir.join("init.sql")
    }

    fn initialised(&self) -> PathBuf {
        self.dir.join("initialised")
    }

    pub(crate) fn is_initialised(&self) -> bool {
        self.initialised().exists()
    }

    /// Marks the server as set up; from now on its users are its own business.
    pub(crate) fn set_initialised(&self) -> Result<(), ProviderError> {
        write(&self.initialised(), b"", 0o644, false)
    }

    /// Makes the directory and copies the template if there is no data yet.
    pub(crate) fn prepare(&self, template: &Path) -> Result<(), ProviderError> {
        make_dir(&self.dir, 0o711)?;
        own(&self.dir)?;
        if self.data().exists() {
            return Ok(());
        }
        // A copy that a crash cut short is made anew.
        let partial = self.dir.join("data.partial");
        remove_dir(&partial)?;
        copy_dir(template, &partial)?;
        fs::rename(&partial, self.data()).map_err(ProviderError::disk(self.data()))
    }

    /// The port of the server: the one it had, as long as nobody else took it, or a free one.
    pub(crate) fn port(&self) -> Result<u16, ProviderError> {
        let file = self.dir.join("port");
        let known = fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.trim().parse::<u16>().ok());
        if let Some(port) = known.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return Ok(port);
        }
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.map_err(ProviderError::disk(&file))?.port();
        write(&file, port.to_string().as_bytes(), 0o644, false)?;
        Ok(port)
    }

    /// Writes the settings for this start.
    pub(crate) fn write_settings(&self, port: u16) -> Result<(), ProviderError> {
        let settings = format!(
            "[mysqld]\n\
             datadir={data}\n\
             socket={socket}\n\
             pid-file={dir}/pid\n\
             bind-address=127.0.0.1\n\
             port={port}\n\
             skip-name-resolve\n\
             loose-skip-mysqlx\n\
             loose-performance-schema=OFF\n\
             character-set-server=utf8mb4\n\
             max-allowed-packet=1G\n\
             innodb-buffer-pool-size=32M\n\
             innodb-log-file-size=8M\n\
             innodb-flush-log-at-trx-commit=1\n\
             skip-log-bin\n",
            data = self.data().display(),
            socket = self.socket().display(),
            dir = self.dir.display(),
        );
        write(&self.settings(), settings.as_bytes(), 0o644, false)
    }

    /// Writes statements that the server runs when it starts, readable by it alone. Returns their file.
    pub(crate) fn write_first_statements(&self, sql: &str) -> Result<PathBuf, ProviderError> {
        let file = self.first_statements();
        write(&file, sql.as_bytes(), 0o600, true)?;
        Ok(file)
    }

    /// Removes them again: they hold the password.
    pub(crate) fn remove_first_statements(&self) -> Result<(), ProviderError> {
        match fs::remove_file(self.first_statements()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ProviderError::disk(self.first_statements())(error))
            }
            _ => Ok(()),
        }
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

fn write(path: &Path, content: &[u8], mode: u32, owned: bool) -> Result<(), ProviderError> {
    let partial = path.with_extension("partial");
    let _ = fs::remove_file(&partial);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&partial)
        .map_err(ProviderError::disk(&partial))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(ProviderError::disk(&partial))?;
    if owned {
        own(&partial)?;
    }
    fs::rename(&partial, path).map_err(ProviderError::disk(path))
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
