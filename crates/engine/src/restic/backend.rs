//! Our store as `rustic_core` wants to see a storage: blocking, by kind and id.
//!
//! Its errors are carried through rustic as sources; the last one is kept so that a failed
//! operation of rustic can be told as what it was: a storage that is full, say.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustic_core::repofile::MasterKey;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ReadBackend, Repository, RepositoryBackends,
    RepositoryOptions, RusticError, RusticResult, WriteBackend,
};
use tokio::runtime::Handle;

use super::crypto::RepoKey;
use super::files;
use super::open::Opened;
use crate::error::Cause;
use crate::{CancellationToken, EngineError, ObjectStore, StorageError};

/// The files of one repository for rustic.
pub(super) struct Backend {
    store: ObjectStore,
    directory: String,
    location: String,
    runtime: Handle,
    cache: Arc<files::FileCache>,
    /// The `config` file, once it is known: it never changes.
    config: Option<Bytes>,
    stop: CancellationToken,
    last_error: Arc<Mutex<Option<StorageError>>>,
    damage: Arc<Mutex<Option<EngineError>>>,
}

/// What rustic says, on one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

impl Backend {
    /// Must be called within a tokio runtime; the backend is then used outside of it.
    pub(super) fn new(
        store: &ObjectStore,
        directory: &str,
        location: &str,
        cache: &Arc<files::FileCache>,
    ) -> Self {
        Self {
            store: store.clone(),
            directory: directory.to_owned(),
            location: location.to_owned(),
            runtime: Handle::current(),
            cache: Arc::clone(cache),
            config: None,
            stop: CancellationToken::new(),
            last_error: Arc::default(),
            damage: Arc::default(),
        }
    }

    /// The backend of an opened repository.
    pub(super) fn of(opened: &Opened) -> Self {
        Self {
            config: Some(opened.config_file.clone()),
            ..Self::new(
                &opened.store,
                &opened.directory,
                &opened.location,
                &opened.cache,
            )
        }
    }

    /// With a token that makes all further access fail.
    pub(super) fn stopped_by(self, stop: &CancellationToken) -> Self {
        Self {
            stop: stop.clone(),
            ..self
        }
    }

    fn path(&self, kind: FileType, id: &Id) -> String {
        match kind {
            FileType::Config => files::path(&self.directory, files::CONFIG),
            FileType::Pack => {
                let id = id.to_hex();
                let id: &str = id.as_str();
                let subdirectory = id.get(..2).unwrap_or_default();
                files::path(
                    &self.directory,
                    &format!("{}/{subdirectory}/{id}", files::DATA),
                )
            }
            _ => files::path(&self.directory, &name(kind, id)),
        }
    }

    /// Waits for an access to the store. We are on a thread of rustic or of the blocking pool.
    fn wait<T>(&self, access: impl Future<Output = Result<T, StorageError>>) -> RusticResult<T> {
        if self.stop.is_cancelled() {
            return Err(RusticError::new(ErrorKind::Other, "stopped on request"));
        }
        self.runtime.block_on(access).map_err(|error| {
            let text = error.to_string();
            *self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(error);
            RusticError::with_source(ErrorKind::Backend, "storage access failed", Said(text))
        })
    }
}

impl Backend {
    /// Reads a file that is named by its hash, and remembers why it cannot be used.
    fn wait_named(&self, name: &str) -> RusticResult<Bytes> {
        let reading = files::read_named(&self.store, &self.directory, &self.location, name);
        let content = self.wait(async {
            match reading.await {
                Err(EngineError::Storage(error)) => Err(error),
                other => Ok(other),
            }
        })?;
        content.map_err(|error| {
            let text = error.to_string();
            *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            RusticError::with_source(ErrorKind::Repository, "a file is damaged", Said(text))
        })
    }
}

/// The name of a small file, as [`Opened::read_cached`] knows it.
fn name(kind: FileType, id: &Id) -> String {
    format!("{}/{}", kind.dirname(), id.to_hex().as_str())
}

impl ReadBackend for Backend {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        if kind == FileType::Config {
            let path = files::path(&self.directory, files::CONFIG);
            let there = self.config.is_some() || self.wait(self.store.exists(&path))?;
            return Ok(if there {
                vec![(Id::default(), 0)]
            } else {
                Vec::new()
            });
        }
        let directory = files::path(&self.directory, kind.dirname());
        let entries = self.wait(self.store.list(&directory))?;
        Ok(entries
            .iter()
            .filter_map(|entry| {
                // Anything else in these directories is not of the format; restic passes over it
                // too.
                let id = files::id_of(&entry.path)?.to_string().parse().ok()?;
                Some((id, u32::try_from(entry.size).unwrap_or(u32::MAX)))
            })
            .collect())
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        let path = self.path(kind, id);
        match (kind, &self.config) {
            (FileType::Config, Some(config)) => return Ok(config.clone()),
            (FileType::Index | FileType::Snapshot, _) => {}
            _ => return self.wait(self.store.read(&path)),
        }
        let name = name(kind, id);
        if let Some(content) = self.cache.get(&name) {
            return Ok(content);
        }
        let content = self.wait_named(&name)?;
        self.cache.put(name, &content);
        Ok(content)
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        let path = self.path(kind, id);
        let read = || {
            let (offset, length) = (u64::from(offset), u64::from(length));
            self.wait(self.store.read_range(&path, offset, length))
        };
        if !cacheable {
            return read();
        }
        let name = files::part_name(id.to_hex().as_str(), offset, length);
        if let Some(content) = self.cache.get(&name) {
            return Ok(content);
        }
        let content = read()?;
        self.cache.put(name, &content);
        Ok(content)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.path(kind, id)
    }
}

impl WriteBackend for Backend {
    fn create(&self) -> RusticResult<()> {
        let directories: Vec<_> = [
            files::KEYS,
            files::SNAPSHOTS,
            files::INDEX,
            files::DATA,
            files::LOCKS,
        ]
        .iter()
        .map(|name| files::path(&self.directory, name))
        .collect();
        self.wait(self.store.make_directories(&directories))
    }

    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        let path = self.path(kind, id);
        let parts = content.into_vec();
        if kind != FileType::Config {
            return self.wait(self.store.write_parts(&path, parts, None));
        }
        // Of two that initialise at once the second must not replace the first one's config: what
        // the first one writes would be lost. It opens the first one's repository instead.
        self.wait(self.store.create(&path, parts.concat().into()))
            .map(|_| ())
    }

    fn remove(&self, kind: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        self.wait(self.store.delete(&self.path(kind, id)))
    }
}

/// rustic's repository on a [`Backend`], not opened yet, and what to ask when it fails.
pub(super) struct Rustic {
    pub(super) repository: Repository<()>,
    pub(super) failures: Failures,
}

/// Turns rustic's errors into ours.
#[derive(Clone)]
pub(super) struct Failures {
    last_error: Arc<Mutex<Option<StorageError>>>,
    damage: Arc<Mutex<Option<EngineError>>>,
}

impl Failures {
    /// The storage error behind a failed operation, if there was one.
    pub(super) fn storage_error(&self) -> Option<StorageError> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Our error for a failed operation.
    pub(super) fn explain(&self, what: &str, location: &str, error: &RusticError) -> EngineError {
        let damage = self
            .damage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(damage) = damage {
            return damage;
        }
        match self.storage_error() {
            Some(StorageError::NotFound { path, place }) => EngineError::RepositoryDamaged {
                location: location.to_owned(),
                reason: format!("{path} is missing in {place}; run `restic check`"),
                source: None,
            },
            Some(error) => EngineError::Storage(error),
            None => EngineError::Internal {
                what: format!("{what} at {location}"),
                source: Some(said(error)),
            },
        }
    }
}

/// The words of rustic on one line.
pub(super) fn said(error: &RusticError) -> Cause {
    let text = error.display_log();
    Box::new(Said(text.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// Prepares rustic on a backend.
pub(super) fn rustic(backend: Backend) -> Result<Rustic, EngineError> {
    let failures = Failures {
        last_error: Arc::clone(&backend.last_error),
        damage: Arc::clone(&backend.damage),
    };
    let location = backend.location.clone();
    let backends = RepositoryBackends::new(Arc::new(backend), None);
    let options = RepositoryOptions::default().no_cache(true);
    let repository = Repository::new(&options, &backends)
        .map_err(|error| failures.explain("set up the repository", &location, &error))?;
    Ok(Rustic {
        repository,
        failures,
    })
}

/// A repository's key in rustic's form.
pub(super) fn master_key(key: &RepoKey) -> Result<MasterKey, EngineError> {
    let internal = |source: Cause| EngineError::Internal {
        what: "hand on the repository's key".to_owned(),
        source: Some(source),
    };
    let json = key.to_json().map_err(|e| internal(Box::new(e)))?;
    serde_json::from_slice(&json).map_err(|e| internal(Box::new(e)))
}
