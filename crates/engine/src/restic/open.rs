//! Opening a repository, and making a new one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rustic_core::repofile::{ConfigFile, KeyFile};
use rustic_core::{ConfigOptions, Credentials, KeyOptions};
use tokio::task::spawn_blocking;

use super::OpenOptions;
use super::backend::{self, Backend};
use super::crypto::RepoKey;
use super::files::{self, FileCache};
use super::id::Id;
use super::prepare::Prepared;
use crate::error::Cause;
use crate::{EngineError, ObjectStore, Secret, StorageError};

/// Cost of the key derivation of new keys: 32 MiB and about a tenth of a second, as restic's own.
const SCRYPT_N: u32 = 1 << 15;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// Length of the salt of new keys.
const SALT: usize = 64;
/// A key file that asks for more memory than this (512 MiB) was not written for us.
const MOST_SCRYPT_BLOCKS: u64 = 1 << 22;

/// Pauses before each time that a config is read that does not decrypt.
const CONFIG_READS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// An opened repository.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) store: ObjectStore,
    pub(super) directory: String,
    /// Store and directory in words.
    pub(super) location: String,
    pub(super) key: RepoKey,
    pub(super) config: ConfigFile,
    /// The file that `config` came from.
    pub(super) config_file: Bytes,
    /// Whether the format knows compression.
    pub(super) compress: bool,
    pub(super) options: OpenOptions,
    pub(super) cache: Arc<FileCache>,
    /// What was found out for the next backup.
    pub(super) prepared: Arc<Mutex<Option<Prepared>>>,
}

/// Opens the repository in `directory`.
pub(super) async fn open(
    store: &ObjectStore,
    directory: &str,
    password: &Secret,
    options: OpenOptions,
) -> Result<Opened, EngineError> {
    let directory = directory.trim_matches('/').to_owned();
    let location = location(store, &directory);
    let config_path = files::path(&directory, files::CONFIG);
    let keys_path = files::path(&directory, files::KEYS);
    let (config_file, keys) =
        tokio::join!(read_config(store, &config_path), store.list(&keys_path));
    let config_file = match config_file {
        Err(error) if error.is_not_found() => {
            return Err(EngineError::RepositoryMissing { location });
        }
        other => other?,
    };
    let mut keys = keys?;
    let mut search = Search::default();
    // The keys may have been listed before the config was read: whoever made the repository in
    // between wrote its key first. So nobody is turned away before a second look.
    for look in 0..2 {
        if look > 0 {
            keys = store.list(&keys_path).await?;
        }
        for entry in &keys {
            let Some(id) = files::id_of(&entry.path) else {
                continue;
            };
            let name = format!("{}/{id}", files::KEYS);
            if search.tried.contains(&name) {
                continue;
            }
            let file = match files::read_named(store, &directory, &location, &name).await {
                // Of somebody who made the repository a moment later than another one; if it is
                // still listed at the second look, it is lost.
                Err(EngineError::Storage(error)) if error.is_not_found() => {
                    search.missing = Some(name);
                    continue;
                }
                Err(error @ EngineError::FileDamaged { .. }) => {
                    search.tried.insert(name);
                    search.damaged.get_or_insert(error);
                    continue;
                }
                file => file?,
            };
            search.tried.insert(name.clone());
            search.missing.take_if(|missing| *missing == name);
            let Some(key) = try_key(file, password.clone()).await? else {
                continue;
            };
            let Some((config_file, json)) =
                decrypt_config(store, &config_path, &key, &config_file).await?
            else {
                // A crashed initialisation may have left a key that fits the password but nothing
                // else.
                search.without_config = Some(name);
                continue;
            };
            return opened(
                store,
                directory,
                location,
                key,
                (config_file, &json),
                options,
            );
        }
    }
    Err(search.failure(location, &config_file))
}

/// What the key files of a repository that does not open have to say.
#[derive(Default)]
struct Search {
    /// Names of the key files that were looked at.
    tried: HashSet<String>,
    /// The first one that is damaged.
    damaged: Option<EngineError>,
    /// One that is listed and not there.
    missing: Option<String>,
    /// One that opens with the password, while the config does not decrypt with it.
    without_config: Option<String>,
}

impl Search {
    /// Why the repository does not open. The password is only wrong if no key file is damaged and
    /// none opens with it.
    fn failure(self, location: String, config: &[u8]) -> EngineError {
        if let Some(error) = self.damaged {
            return error;
        }
        let damaged = |file: String, reason: String, permanent| EngineError::FileDamaged {
            location: location.clone(),
            file,
            reason,
            permanent,
            source: None,
        };
        if let Some(file) = self.missing {
            let reason = "it is listed and cannot be read; put a copy of it back";
            return damaged(file, reason.to_owned(), false);
        }
        if let Some(key) = self.without_config {
            let reason = format!(
                "the password opens {key}, but the file does not decrypt with the key in it; put a copy of it back, such as an older version of the object"
            );
            return damaged(files::CONFIG.to_owned(), reason, !files::is_no_file(config));
        }
        if self.tried.is_empty() {
            return EngineError::RepositoryDamaged {
                location,
                reason: "it has no key file; restore its keys/".to_owned(),
                source: None,
            };
        }
        EngineError::WrongPassword { location }
    }
}

/// Reads the config. That it is not there is believed when it is said twice.
async fn read_config(store: &ObjectStore, path: &str) -> Result<Bytes, StorageError> {
    match store.read(path).await {
        Err(error) if error.is_not_found() => store.read(path).await,
        other => other,
    }
}

/// The config and its text, if the key fits. It has no hash in its name, so it is read again before
/// it counts as damaged.
async fn decrypt_config(
    store: &ObjectStore,
    path: &str,
    key: &RepoKey,
    first: &Bytes,
) -> Result<Option<(Bytes, Vec<u8>)>, EngineError> {
    if let Ok(json) = files::unseal(key, first) {
        return Ok(Some((first.clone(), json)));
    }
    for pause in CONFIG_READS {
        tokio::time::sleep(pause).await;
        let again = store.read(path).await?;
        if let Ok(json) = files::unseal(key, &again) {
            return Ok(Some((again, json)));
        }
        if again == *first && !files::is_no_file(&again) {
            break;
        }
    }
    Ok(None)
}

/// A repository whose config is read.
fn opened(
    store: &ObjectStore,
    directory: String,
    location: String,
    key: RepoKey,
    (config_file, json): (Bytes, &[u8]),
    options: OpenOptions,
) -> Result<Opened, EngineError> {
    let damaged = |reason: String, source: Option<Cause>| EngineError::RepositoryDamaged {
        location: location.clone(),
        reason,
        source,
    };
    let config: ConfigFile = serde_json::from_slice(json).map_err(|error| {
        damaged(
            "its config cannot be read".to_owned(),
            Some(Box::new(error)),
        )
    })?;
    let compress = match config.version {
        1 => false,
        2 => true,
        other => {
            let reason = format!("format version {other} is not known; use version 2");
            return Err(damaged(reason, None));
        }
    };
    Ok(Opened {
        store: store.clone(),
        directory,
        location,
        key,
        config,
        config_file,
        compress,
        options,
        cache: Arc::default(),
        prepared: Arc::default(),
    })
}

/// Makes a repository in `directory`, which has none, and opens it.
pub(super) async fn init(
    store: &ObjectStore,
    directory: &str,
    password: &Secret,
    options: OpenOptions,
) -> Result<Opened, EngineError> {
    let directory = directory.trim_matches('/').to_owned();
    let location = location(store, &directory);
    if password.is_empty() {
        return Err(EngineError::InvalidRequest {
            reason: "the repository password is empty; set one".to_owned(),
        });
    }
    // An initialisation that crashed leaves a key at most. Anything more is a repository that lost
    // its config, and a new one would lock its contents away for good.
    let mut left_key = None;
    for entry in store.list(&directory).await? {
        let name = entry
            .path
            .strip_prefix(&directory)
            .unwrap_or(&entry.path)
            .trim_start_matches('/');
        let kind = name.split('/').next().unwrap_or_default();
        if name == files::CONFIG {
            // Somebody else has just made it.
            return open(store, &directory, password, options).await;
        }
        if [files::SNAPSHOTS, files::INDEX, files::DATA].contains(&kind) {
            return Err(EngineError::RepositoryDamaged {
                location,
                reason: "it has data but no config file; restore the config, or move the data away"
                    .to_owned(),
                source: None,
            });
        }
        if kind == files::KEYS && left_key.is_none() {
            left_key = match files::read_named(store, &directory, &location, name).await {
                // Whatever it was: a key of our own is written beside it.
                Err(error) if error.is_damage() => None,
                file => try_key(file?, password.clone()).await?,
            };
        }
    }
    let backend = Backend::new(store, &directory, &location, &Arc::default());
    let (key, new_file) = match left_key {
        Some(key) => (key, None),
        None => {
            let key = RepoKey::generate();
            let file = new_key_file(&key, password, &options).await?;
            let path = files::path(&directory, &format!("{}/{}", files::KEYS, Id::of(&file)));
            store.write(&path, file, None).await?;
            (key, Some(path))
        }
    };
    if let Err(error) = write_config(backend, &key, location).await
        && !store
            .exists(&files::path(&directory, files::CONFIG))
            .await?
    {
        return Err(error);
    }
    let opened = open(store, &directory, password, options).await?;
    if let Some(path) = new_file
        && files::unseal(&key, &opened.config_file).is_err()
    {
        // Somebody else was faster. A key that opens with the password but fits nothing makes
        // restic believe that the repository is damaged.
        store.delete(&path).await?;
    }
    Ok(opened)
}

/// Lets rustic choose the chunker's polynomial and write the config, which completes the
/// repository.
async fn write_config(
    backend: Backend,
    key: &RepoKey,
    location: String,
) -> Result<(), EngineError> {
    let key = backend::master_key(key)?;
    run_blocking("initialise the repository", move || {
        let rustic = backend::rustic(backend)?;
        rustic
            .repository
            .init(
                &Credentials::Masterkey(key),
                &KeyOptions::default(),
                &ConfigOptions::default(),
            )
            .map(|_| ())
            .map_err(|error| {
                rustic
                    .failures
                    .explain("initialise the repository", &location, &error)
            })
    })
    .await
}

/// Runs blocking work on tokio's pool.
pub(super) async fn run_blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(EngineError::Internal {
            what: what.to_owned(),
            source: Some(Box::new(error)),
        }),
    }
}

fn location(store: &ObjectStore, directory: &str) -> String {
    format!("{}, directory {directory}", store.place())
}

/// The master key in a key file, if the password opens it.
async fn try_key(file: Bytes, password: Secret) -> Result<Option<RepoKey>, EngineError> {
    run_blocking("derive the key from the password", move || {
        // A file that is no key file opens with nothing, like a key with another password.
        let Ok(key_file) = serde_json::from_slice::<KeyFile>(&file) else {
            return Ok(None);
        };
        let blocks = u64::from(key_file.n) * u64::from(key_file.r);
        if key_file.kdf != "scrypt"
            || !key_file.n.is_power_of_two()
            || !(1..=MOST_SCRYPT_BLOCKS).contains(&blocks)
        {
            return Ok(None);
        }
        let Some(derived) = derive(&key_file, &password) else {
            return Ok(None);
        };
        Ok(derived
            .decrypt(&key_file.data)
            .ok()
            .and_then(|json| RepoKey::from_json(&zeroize::Zeroizing::new(json)).ok()))
    })
    .await
}

/// The key that the password and the parameters of a key file give.
fn derive(key_file: &KeyFile, password: &Secret) -> Option<RepoKey> {
    let derived = key_file.kdf_key(&password.expose()).ok()?;
    let (encrypt, k, r) = derived.to_keys();
    let [encrypt, k, r] = [encrypt, k, r].map(zeroize::Zeroizing::new);
    RepoKey::from_parts(&encrypt, &k, &r).ok()
}

async fn new_key_file(
    key: &RepoKey,
    password: &Secret,
    options: &OpenOptions,
) -> Result<Bytes, EngineError> {
    let (key, password) = (key.clone(), password.clone());
    let host = options.owner.name().to_owned();
    run_blocking("create the repository's key file", move || {
        let internal = |source: Cause| EngineError::Internal {
            what: "create the repository's key file".to_owned(),
            source: Some(source),
        };
        let mut key_file = KeyFile {
            hostname: Some(host),
            username: Some("kubestash".to_owned()),
            created: Some(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC)),
            kdf: "scrypt".to_owned(),
            n: SCRYPT_N,
            r: SCRYPT_R,
            p: SCRYPT_P,
            data: Vec::new(),
            salt: vec![0; SALT],
        };
        rand::Rng::fill_bytes(&mut rand::rng(), &mut key_file.salt);
        let derived = derive(&key_file, &password)
            .ok_or_else(|| internal("the key derivation failed".into()))?;
        let json = key.to_json().map_err(|e| internal(Box::new(e)))?;
        key_file.data = derived.encrypt(&json).map_err(|e| internal(Box::new(e)))?;
        serde_json::to_vec(&key_file)
            .map(Bytes::from)
            .map_err(|e| internal(Box::new(e)))
    })
    .await
}
