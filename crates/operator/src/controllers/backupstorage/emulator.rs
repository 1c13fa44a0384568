//! A word on storages that are not what they look like.

use kubestash_api::storage::{Backend, BackupStorage, Provider};

use crate::config::JobEnvironment;
use crate::runtime::events::Notice;

/// What to tell about a `gcs` storage while an emulator stands for Google.
pub(super) fn notice(storage: &BackupStorage, environment: &JobEnvironment) -> Option<Notice> {
    let host = environment.storage_emulator_host.as_ref()?;
    let provider = storage
        .spec
        .storage
        .as_ref()
        .and_then(Backend::known_provider)?;
    (provider == Provider::Gcs).then(|| {
        Notice::normal(
            "StorageEmulator",
            format!(
                "STORAGE_EMULATOR_HOST is set: backups go to the emulator at {host} instead of Google Cloud Storage, \
                 and no credentials are sent to it"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_gcs_storages_are_told_of_and_only_beside_an_emulator() {
        let storage = |backend| -> BackupStorage {
            serde_json::from_value(json!({
                "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
                "metadata": {"name": "s"}, "spec": {"storage": backend},
            }))
            .unwrap()
        };
        let gcs = storage(json!({"provider": "gcs", "gcs": {"bucket": "b"}}));
        let s3 = storage(json!({"provider": "s3", "s3": {"bucket": "b"}}));
        let emulator = JobEnvironment {
            storage_emulator_host: Some("http://127.0.0.1:1".to_owned()),
            ..Default::default()
        };
        assert!(
            notice(&gcs, &emulator)
                .unwrap()
                .note
                .contains("no credentials are sent")
        );
        assert_eq!(notice(&s3, &emulator), None);
        assert_eq!(notice(&gcs, &JobEnvironment::default()), None);
    }
}
