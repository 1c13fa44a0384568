//! The files: one redb database for all objects but Secrets, and one for Secrets alone, so that a copy
//! of the data directory without `secrets.redb` holds no secret value.
//!
//! Invariant: when [`Disk::commit`] returns `Ok`, every row of the batch is on disk (fsync), and with it
//! the highest revision given out, so that revisions never go backwards, not even after a crash.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::error::StoreError;
use super::key::Key;
use super::object::Object;

const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";
/// All objects are in memory already; redb needs only its inner pages.
const PAGE_CACHE_BYTES: usize = 2 * 1024 * 1024;

/// One row of a batch: the new bytes, or nothing for a deletion.
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) json: Option<Bytes>,
}

/// Both files.
pub(super) struct Disk {
    objects: Area,
    secrets: Area,
}

impl Disk {
    /// Opens or creates the files in `dir`.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let disk = Self {
            objects: Area::open(dir.join("objects.redb"))?,
            secrets: Area::open(dir.join("secrets.redb"))?,
        };
        // New files are in the directory only when that is on disk too.
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| StoreError::Open {
                path: dir.to_owned(),
                source: Arc::new(source),
            })?;
        Ok(disk)
    }

    /// Reads everything: the highest revision and all objects.
    pub(super) fn load(&self) -> Result<(u64, Vec<Object>), StoreError> {
        let mut objects = Vec::new();
        let revision = self
            .objects
            .load(&mut objects)?
            .max(self.secrets.load(&mut objects)?);
        Ok((revision, objects))
    }

    /// Makes a batch durable. When the objects cannot be written, nothing is; when only the Secrets cannot,
    /// the objects are. The two results are for the rows of `secrets` and for all others.
    pub(super) fn commit(&mut self, revision: u64, rows: &[Row]) -> Committed {
        let (secrets, objects): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| is_secret(&row.key));
        if !objects.is_empty()
            && let Err(error) = self.objects.commit(revision, &objects)
        {
            return Committed {
                objects: Err(error.clone()),
                secrets: Err(error),
            };
        }
        Committed {
            objects: Ok(()),
            secrets: if secrets.is_empty() {
                Ok(())
            } else {
                self.secrets.commit(revision, &secrets)
            },
        }
    }
}

/// Whether an object lives in the file of Secrets.
pub(super) fn is_secret(key: &Key) -> bool {
    key.resource.is("", "secrets")
}

/// What became durable.
pub(super) struct Committed {
    pub(super) objects: Result<(), StoreError>,
    pub(super) secrets: Result<(), StoreError>,
}

struct Area {
    path: PathBuf,
    database: Option<Database>,
}

impl Area {
    fn open(path: PathBuf) -> Result<Self, StoreError> {
        let database = Some(open_database(&path)?);
        Ok(Self { path, database })
    }

    fn load(&self, objects: &mut Vec<Object>) -> Result<u64, StoreError> {
        let Some(database) = &self.database else {
            return Err(StoreError::Closed);
        };
        let failed = |source: redb::Error| StoreError::Open {
            path: self.path.clone(),
            source: Arc::new(source),
        };
        let read = database.begin_read().map_err(|e| failed(e.into()))?;
        let meta = match read.open_table(META) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(0),
            Err(error) => return Err(failed(error.into())),
        };
        let revision = meta
            .get(REVISION)
            .map_err(|e| failed(e.into()))?
            .map_or(0, |row| row.value());
        let table = read.open_table(OBJECTS).map_err(|e| failed(e.into()))?;
        for row in table.iter().map_err(|e| failed(e.into()))? {
            let (key, json) = row.map_err(|e| failed(e.into()))?;
            let damaged = |source| StoreError::Damaged {
                key: key.value().to_owned(),
                source: Arc::new(source),
            };
            let Some(parsed) = Key::decode(key.value()) else {
                return Err(damaged(serde::de::Error::custom("not a key")));
            };
            let json = Bytes::copy_from_slice(json.value());
            objects.push(Object::from_json(parsed, json).map_err(damaged)?);
        }
        Ok(revision)
    }

    /// Commits, and after an I/O error reopens the file: redb refuses all work on a handle that failed once.
    /// Should the failed transaction turn out to be on disk after all, it counts as done.
    fn commit(&mut self, revision: u64, rows: &[&Row]) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_database(&self.path)?,
        };
        match write(&database, revision, rows) {
            Ok(()) => {
                self.database = Some(database);
                Ok(())
            }
            Err(error) => {
                drop(database);
                let database = open_database(&self.path)?;
                let landed = stored_revision(&database).is_ok_and(|stored| stored == revision);
                self.database = Some(database);
                if landed {
                    return Ok(());
                }
                Err(StoreError::Commit(Arc::new(error)))
            }
        }
    }
}

fn open_database(path: &Path) -> Result<Database, StoreError> {
    let failed = |source: Arc<dyn std::error::Error + Send + Sync>| StoreError::Open {
        path: path.to_owned(),
        source,
    };
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| failed(Arc::new(e)))?;
    Database::builder()
        .set_cache_size(PAGE_CACHE_BYTES)
        .create_with_backend(FileBackend::new(file).map_err(|e| failed(Arc::new(e)))?)
        .map_err(|e| failed(Arc::new(e)))
}

fn write(database: &Database, revision: u64, rows: &[&Row]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        for row in rows {
            let key = row.key.encode();
            match &row.json {
                Some(json) => drop(objects.insert(key.as_str(), json.as_ref())?),
                None => drop(objects.remove(key.as_str())?),
            }
        }
        transaction.open_table(META)?.insert(REVISION, revision)?;
    }
    transaction.commit()?;
    Ok(())
}

fn stored_revision(database: &Database) -> Result<u64, redb::Error> {
    let read = database.begin_read()?;
    let meta = read.open_table(META)?;
    let revision = meta.get(REVISION)?.map_or(0, |row| row.value());
    Ok(revision)
}
