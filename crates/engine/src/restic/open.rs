//! Opening a repository, and making a new one.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use rustic_core::{
    ConfigOptions, Credentials, KeyOptions,
    repofile::{ConfigFile, KeyFile},
};
use tokio::task::spawn_blocking;

use super::{
    OpenOptions,
    backend::{self, Backend},
    crypto::RepoKey,
    files::{self, FileCache},
    id::Id,
};
use crate::{EngineError, ObjectStore, Secret, error::Cause};

/// Cost of the key derivation of new keys: 32 MiB and about a tenth of a second, as restic's own.
const SCRYPT_N: u32 = 1 << 15;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// Length of the salt of new keys.
const SALT: usize = 64;
/// A key file that asks for more memory than this (512 MiB) was not written for us.
const MOST_SCRYPT_BLOCKS: u64 = 1 << 22;

/// An opened repository.
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
    let (config_file, keys) = tokio::join!(store.read(&config_path), store.list(&keys_path));
    let config_file = match config_file {
        Err(error) if error.is_not_found() => {
            return Err(EngineError::RepositoryMissing { location });
        }
        other => other?,
    };
    let damaged = |reason: &str, source: Option<Cause>| EngineError::RepositoryDamaged {
        location: location.clone(),
        reason: reason.to_owned(),
        source,
    };
    let mut tried = HashSet::new();
    let mut keys = keys?;
    // The keys may have been listed before the config was read: whoever made the repository in
    // between wrote its key first. So nobody is turned away before a second look.
    for look in 0..2 {
        if look > 0 {
            keys = store.list(&keys_path).await?;
        }
        for entry in &keys {
            if files::id_of(&entry.path).is_none() || !tried.insert(entry.path.clone()) {
                continue;
            }
            let file = match store.read(&entry.path).await {
                // Of somebody who made the repository a moment later than another one.
                Err(error) if error.is_not_found() => continue,
                file => file?,
            };
            let Some(key) = try_key(file, password.clone()).await? else {
                continue;
            };
            // A crashed initialisation may have left a key that fits the password but nothing else.
            let Ok(json) = files::unseal(&key, &config_file) else {
                continue;
            };
            let config: ConfigFile = serde_json::from_slice(&json)
                .map_err(|error| damaged("its config cannot be read", Some(Box::new(error))))?;
            let compress = match config.version {
                1 => false,
                2 => true,
                other => {
                    let reason = format!("format version {other} is not known; use version 2");
                    return Err(damaged(&reason, None));
                }
            };
            return Ok(Opened {
                store: store.clone(),
                directory,
                location,
                key,
                config,
                config_file,
                compress,
                options,
                cache: Arc::default(),
            });
        }
    }
    if tried.is_empty() {
        return Err(damaged("it has no key file; restore its keys/", None));
    }
    Err(EngineError::WrongPassword { location })
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
            left_key = match store.read(&entry.path).await {
                Err(error) if error.is_not_found() => None,
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
        // Somebody else was faster. A key that opens with the password but fits nothing makes restic
        // believe that the repository is damaged.
        store.delete(&path).await?;
    }
    Ok(opened)
}

/// Lets rustic choose the chunker's polynomial and write the config, which completes the repository.
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
    run_blocking("make the repository's key file", move || {
        let internal = |source: Cause| EngineError::Internal {
            what: "make the repository's key file".to_owned(),
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
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut key_file.salt);
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
