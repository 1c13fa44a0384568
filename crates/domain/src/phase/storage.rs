//! Phases of BackupStorage and Repository.

use kubestash_api::conditions::backup_storage::{BACKEND_INITIALIZED, BACKEND_SECRET_FOUND};
use kubestash_api::conditions::repository::REPOSITORY_INITIALIZED;
use kubestash_api::shared::{Condition, RepositoryPhase};
use kubestash_api::storage::BackupStoragePhase;

use crate::condition::{has, is_true};

/// Phase of a BackupStorage: initialised, and its Secret is there if it needs one.
#[must_use]
pub fn backup_storage(conditions: &[Condition]) -> BackupStoragePhase {
    let secret = BACKEND_SECRET_FOUND.type_;
    let secret_ok = is_true(conditions, secret) || !has(conditions, secret);
    if is_true(conditions, BACKEND_INITIALIZED.type_) && secret_ok {
        BackupStoragePhase::Ready
    } else {
        BackupStoragePhase::NotReady
    }
}

/// Phase of a Repository: initialised or not.
#[must_use]
pub fn repository(conditions: &[Condition]) -> RepositoryPhase {
    if is_true(conditions, REPOSITORY_INITIALIZED.type_) {
        RepositoryPhase::Ready
    } else {
        RepositoryPhase::NotReady
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases::{False, True, Unknown, conditions};
    use super::*;

    #[test]
    fn a_backup_storage_follows_the_table() {
        use BackupStoragePhase::{NotReady, Ready};
        for (initialized, secret, phase) in [
            (Some(True), None, Ready),
            (Some(True), Some(True), Ready),
            (Some(True), Some(False), NotReady),
            (Some(True), Some(Unknown), NotReady),
            (Some(False), None, NotReady),
            (Some(False), Some(True), NotReady),
            (Some(Unknown), Some(True), NotReady),
            (None, Some(True), NotReady),
            (None, None, NotReady),
        ] {
            let entries = [
                (BACKEND_INITIALIZED, initialized),
                (BACKEND_SECRET_FOUND, secret),
            ];
            let entries: Vec<_> = entries
                .into_iter()
                .filter_map(|(type_, status)| Some((type_, status?)))
                .collect();
            assert_eq!(
                backup_storage(&conditions(&entries)),
                phase,
                "{initialized:?} {secret:?}"
            );
        }
    }

    #[test]
    fn a_repository_is_ready_when_it_is_initialised() {
        assert_eq!(
            repository(&conditions(&[(REPOSITORY_INITIALIZED, True)])),
            RepositoryPhase::Ready
        );
        for entries in [
            vec![],
            vec![(REPOSITORY_INITIALIZED, False)],
            vec![(REPOSITORY_INITIALIZED, Unknown)],
        ] {
            assert_eq!(repository(&conditions(&entries)), RepositoryPhase::NotReady);
        }
    }
}
