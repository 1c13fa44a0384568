//! The status of a BackupStorage: pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use kubestash_api::conditions::ConditionType;
use kubestash_api::conditions::backup_storage::{BACKEND_INITIALIZED, BACKEND_SECRET_FOUND};
use kubestash_api::shared::Condition;
use kubestash_api::storage::{
    BackupStorage, BackupStoragePhase, BackupStorageStatus, Repository, StorageRepository,
};
use kubestash_domain::{condition, format, phase};

use super::set_up;
use crate::runtime::failure::Failure;

/// Said when a storage is set up; clients of this API know the sentence.
const INITIALIZED: &str = "Successfully initialized backend.";
const SECRET_FOUND: &str = "Backend secret exists.";

/// The word for a Secret that is not there.
pub(super) const SECRET_MISSING: &str = "StorageSecretMissing";

/// Whether the Secret that the storage names is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretState {
    /// It names none.
    NotNamed,
    /// It is there.
    Found,
    /// It is not.
    Missing,
}

/// How the last attempt to set the storage up went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is set up.
    Initialized,
    /// It cannot be, for this reason: a stable word, and a sentence.
    Failed(Failure),
    /// It still goes on.
    Working(String),
}

/// What was read back from the storage for one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Synced {
    pub(super) entry: StorageRepository,
}

/// Everything the status follows from.
pub(super) struct World<'a> {
    pub(super) storage: &'a BackupStorage,
    pub(super) secret: SecretState,
    pub(super) outcome: &'a Outcome,
    /// All Repositories of this storage.
    pub(super) repositories: &'a [std::sync::Arc<Repository>],
    /// What was read back in this run, if anything was.
    pub(super) synced: &'a [Synced],
}

/// The status that the world calls for.
pub(super) fn status(world: &World<'_>, now: Timestamp) -> BackupStorageStatus {
    let mut status = world.storage.status.clone().unwrap_or_default();
    let generation = world.storage.metadata.generation;
    match secret_condition(world, now) {
        Some(found) => condition::set(&mut status.conditions, found),
        None => condition::remove(&mut status.conditions, BACKEND_SECRET_FOUND.type_),
    };
    if let Some(initialized) = initialized_condition(world, &status.conditions, now) {
        condition::set(&mut status.conditions, initialized);
    }
    let phase = phase::backup_storage(&status.conditions);
    status.phase = Some(phase);
    condition::set(&mut status.conditions, ready_condition(world, phase, now));
    status.repositories = repositories(world, &status.repositories);
    status.total_size = total_size(&status.repositories);
    status.observed_generation = generation;
    status
}

fn secret_name(storage: &BackupStorage) -> &str {
    storage
        .spec
        .storage
        .as_ref()
        .and_then(|storage| storage.secret_name())
        .unwrap_or_default()
}

/// The sentence about a Secret that is not there.
pub(super) fn secret_missing(storage: &BackupStorage) -> String {
    format!(
        "Secret {}/{} does not exist: create it with the keys of the storage's provider; \
         the storage is set up as soon as it is there",
        storage.namespace().unwrap_or_default(),
        secret_name(storage)
    )
}

/// A condition of this generation of the storage.
fn state(
    world: &World<'_>,
    type_: ConditionType,
    holds: bool,
    message: String,
    now: Timestamp,
) -> Condition {
    let observed_generation = world.storage.metadata.generation;
    Condition {
        observed_generation,
        ..condition::new(type_, holds, message, now)
    }
}

fn secret_condition(world: &World<'_>, now: Timestamp) -> Option<Condition> {
    let holds = match world.secret {
        SecretState::NotNamed => return None,
        SecretState::Found => true,
        SecretState::Missing => false,
    };
    let message = if holds {
        SECRET_FOUND.to_owned()
    } else {
        secret_missing(world.storage)
    };
    Some(state(world, BACKEND_SECRET_FOUND, holds, message, now))
}

fn initialized_condition(
    world: &World<'_>,
    before: &[Condition],
    now: Timestamp,
) -> Option<Condition> {
    let make =
        |holds: bool, message: String| state(world, BACKEND_INITIALIZED, holds, message, now);
    match world.outcome {
        Outcome::Initialized => Some(make(true, INITIALIZED.to_owned())),
        // A storage that was set up is still set up when its Secret goes.
        Outcome::Failed(_) if world.secret == SecretState::Missing && is_initialized(before) => {
            None
        }
        Outcome::Failed(failure) => Some(make(false, failure.message.clone())),
        Outcome::Working(_) if condition::is_true(before, BACKEND_INITIALIZED.type_) => None,
        Outcome::Working(doing) => Some(make(false, doing.clone())),
    }
}

/// Whether the storage has been set up.
pub(super) fn is_initialized(conditions: &[Condition]) -> bool {
    condition::is_true(conditions, BACKEND_INITIALIZED.type_)
}

fn ready_condition(world: &World<'_>, phase: BackupStoragePhase, now: Timestamp) -> Condition {
    let (reason, message) = match (phase, world.outcome) {
        (BackupStoragePhase::Ready, _) => (phase.as_str().to_owned(), INITIALIZED.to_owned()),
        (BackupStoragePhase::NotReady, Outcome::Failed(failure)) => {
            (failure.kind.clone(), failure.message.clone())
        }
        (BackupStoragePhase::NotReady, Outcome::Working(doing)) => {
            ("Initializing".to_owned(), doing.clone())
        }
        (BackupStoragePhase::NotReady, Outcome::Initialized) => {
            (SECRET_MISSING.to_owned(), secret_missing(world.storage))
        }
    };
    let holds = (phase == BackupStoragePhase::Ready).into();
    condition::ready(
        holds,
        reason,
        message,
        world.storage.metadata.generation,
        now,
    )
}

/// One entry for each Repository object, and for each that could not be read back.
fn repositories(world: &World<'_>, before: &[StorageRepository]) -> Vec<StorageRepository> {
    let key = |entry: &StorageRepository| {
        (
            entry.namespace.clone().unwrap_or_default(),
            entry.name.clone(),
        )
    };
    let mut read_back: BTreeMap<_, _> = before
        .iter()
        .filter(|entry| entry.synced.is_some() || entry.error.is_some())
        .map(|entry| (key(entry), entry.clone()))
        .collect();
    read_back.extend(
        world
            .synced
            .iter()
            .map(|synced| (key(&synced.entry), synced.entry.clone())),
    );
    let mut entries: BTreeMap<_, _> = world
        .repositories
        .iter()
        .map(|repository| {
            let namespace = repository.namespace().unwrap_or_default();
            let key = (namespace.clone(), repository.name_any());
            let earlier = read_back.get(&key);
            let entry = StorageRepository {
                name: repository.name_any(),
                namespace: Some(namespace),
                path: Some(repository.spec.path.clone()),
                size: repository
                    .status
                    .as_ref()
                    .and_then(|status| status.size.clone()),
                synced: earlier.and_then(|entry| entry.synced),
                error: earlier.and_then(|entry| entry.error.clone()),
            };
            (key, entry)
        })
        .collect();
    for (key, entry) in read_back {
        // What was read back and deleted since is gone; what could not be read back stays to be
        // seen.
        let is_fresh = world.synced.iter().any(|synced| synced.entry == entry);
        if is_fresh || set_up::is_lost(&entry, world.repositories) {
            entries.entry(key).or_insert(entry);
        }
    }
    entries.into_values().collect()
}

fn total_size(repositories: &[StorageRepository]) -> Option<String> {
    if repositories.is_empty() {
        return None;
    }
    let bytes = |entry: &StorageRepository| format::parse_bytes(entry.size.as_deref()?).ok();
    Some(format::bytes(repositories.iter().filter_map(bytes).sum()))
}

#[cfg(test)]
mod tests;
