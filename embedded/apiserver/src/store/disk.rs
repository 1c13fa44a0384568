//! The files: one redb database for all objects but Secrets, and one for Secrets alone, so that a
//! copy of the data directory without `secrets.redb` holds no secret value.
//!
//! Invariant: when [`Disk::commit`] returns `Ok`, every row of the batch is on disk (fsync), and
//! with it the highest revision given out, so that revisions never go backwards, not even after a
//! crash.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::error::StoreError;
use super::key::Key;
use super::object::Object;
use super::presence::{self, Presence};

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
    presence: Presence,
    objects: Area,
    secrets: Area,
}

impl Disk {
    /// Opens the files in `dir`, or creates them if there is no cluster yet.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let presence = presence::find(dir)?;
        let disk = Self {
            presence,
            objects: Area::open(dir.join(presence::OBJECTS))?,
            secrets: Area::open(dir.join(presence::SECRETS))?,
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
        let of_objects = self.objects.load(&mut objects)?;
        if self.presence == Presence::Whole && of_objects.is_none() {
            // Every cluster has its namespaces: a database without a table is another one.
            return Err(self.objects.damaged("it has never held an object"));
        }
        let of_secrets = self.secrets.load(&mut objects)?;
        Ok((of_objects.max(of_secrets).unwrap_or_default(), objects))
    }

    /// Makes a batch durable. When the objects cannot be written, nothing is; when only the Secrets
    /// cannot, the objects are. The two results are for the rows of `secrets` and for all
    /// others.
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
        let mut database = open_database(&path)?;
        let mut area = Self {
            path,
            database: None,
        };
        // The files are small, and what is damaged must be known before anything is built on it.
        let checked = area.guarded(|| database.check_integrity())?;
        match checked {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(file = %area.path.display(), "the store was repaired");
            }
            Err(error) => return Err(area.damaged(&error.to_string())),
        }
        area.database = Some(database);
        Ok(area)
    }

    /// Reads all rows; the revision is `None` if nothing was ever written.
    fn load(&self, objects: &mut Vec<Object>) -> Result<Option<u64>, StoreError> {
        let Some(database) = &self.database else {
            return Err(StoreError::Closed);
        };
        self.guarded(|| self.rows(database, objects))?
    }

    fn rows(
        &self,
        database: &Database,
        objects: &mut Vec<Object>,
    ) -> Result<Option<u64>, StoreError> {
        let failed = |source: redb::Error| self.damaged(&source.to_string());
        let read = database.begin_read().map_err(|e| failed(e.into()))?;
        let meta = match read.open_table(META) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        let revision = meta
            .get(REVISION)
            .map_err(|e| failed(e.into()))?
            .map_or(0, |row| row.value());
        let table = read.open_table(OBJECTS).map_err(|e| failed(e.into()))?;
        for row in table.iter().map_err(|e| failed(e.into()))? {
            let (key, json) = row.map_err(|e| failed(e.into()))?;
            let Some(parsed) = Key::decode(key.value()) else {
                return Err(self.damaged(&format!("{:?} is no key", key.value())));
            };
            let json = Bytes::copy_from_slice(json.value());
            let object = Object::from_json(parsed, json)
                .map_err(|error| self.damaged(&format!("{}: {error}", key.value())))?;
            objects.push(object);
        }
        Ok(Some(revision))
    }

    /// Commits, and after an I/O error reopens the file: redb refuses all work on a handle that
    /// failed once. Should the failed transaction turn out to be on disk after all, it counts
    /// as done.
    fn commit(&mut self, revision: u64, rows: &[&Row]) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_database(&self.path)?,
        };
        match self.guarded(|| write(&database, revision, rows))? {
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
                Err(StoreError::Commit {
                    path: self.path.clone(),
                    source: Arc::new(error),
                })
            }
        }
    }

    /// Runs what reads pages: a damaged one can make redb panic, which must end neither the server
    /// nor its writer without a word about the file.
    fn guarded<T>(&self, work: impl FnOnce() -> T) -> Result<T, StoreError> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            let why = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            self.damaged(why.unwrap_or("a page cannot be read"))
        })
    }

    fn damaged(&self, why: &str) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            why: why.to_owned(),
        }
    }
}

fn open_database(path: &Path) -> Result<Database, StoreError> {
    let failed = |source: Arc<dyn std::error::Error + Send + Sync>| StoreError::Open {
        path: path.to_owned(),
        source,
    };
    let damaged = |why: String| StoreError::Damaged {
        path: path.to_owned(),
        why,
    };
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| failed(Arc::new(e)))?;
    let backend = FileBackend::new(file).map_err(|e| failed(Arc::new(e)))?;
    let opened = catch_unwind(AssertUnwindSafe(|| {
        Database::builder()
            .set_cache_size(PAGE_CACHE_BYTES)
            .create_with_backend(backend)
    }));
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(redb::DatabaseError::Storage(redb::StorageError::Io(error))))
            if error.kind() != std::io::ErrorKind::InvalidData =>
        {
            Err(failed(Arc::new(error)))
        }
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("its pages cannot be read".to_owned())),
    }
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
