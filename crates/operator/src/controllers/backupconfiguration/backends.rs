//! Whether the backends of a configuration can be used: pure.

use kube::ResourceExt;
use kubestash_api::conditions;
use kubestash_api::shared::{
    BackendReference, BackendStatus, ConditionStatus, ObjectReference, RetentionPolicyStatus,
    StorageStatus,
};
use kubestash_api::storage::{BackupStorage, BackupStoragePhase};

use super::obstacle::Obstacle;
use crate::validation::Others;

/// A backend, judged.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    /// Its entry in the status.
    pub status: BackendStatus,
    /// What keeps it from being used.
    pub obstacle: Option<Obstacle>,
}

/// Judges one backend of a configuration in `namespace`. Whether that namespace may use what it
/// names is a rule of validation and not asked here.
pub(super) fn judge(backend: &BackendReference, others: &Others, namespace: &str) -> Judged {
    let (storage, storage_obstacle) = storage(backend.storage_ref.as_ref(), others, namespace);
    let (policy, policy_obstacle) = policy(backend.retention_policy.as_ref(), others, namespace);
    let obstacle = storage_obstacle.or(policy_obstacle);
    let status = BackendStatus {
        name: backend.name.clone(),
        ready: Some(obstacle.is_none()),
        retention_policy: Some(policy),
        storage: Some(storage),
    };
    Judged { status, obstacle }
}

fn storage(
    reference: Option<&ObjectReference>,
    others: &Others,
    namespace: &str,
) -> (StorageStatus, Option<Obstacle>) {
    let Some(reference) = reference else {
        // Said by the validation, with the field.
        return (
            StorageStatus::default(),
            Some(Obstacle::fault(
                "StorageReferenceMissing",
                "a backend has no storageRef",
            )),
        );
    };
    let owner = reference.namespace_or(namespace);
    let name = format!("{owner}/{}", reference.name);
    let found = others.storages.iter().find(|storage| {
        storage.name_any() == reference.name && storage.namespace().as_deref() == Some(owner)
    });
    let obstacle = match found {
        None => Some(Obstacle::fault(
            "BackupStorageNotFound",
            format!(
                "BackupStorage {name} does not exist: create it, or correct spec.backends[].storageRef"
            ),
        )),
        Some(storage) => unready(storage, &name),
    };
    let status = StorageStatus {
        phase: found.and_then(|storage| storage.status.as_ref()?.phase),
        reason: obstacle.as_ref().map(|obstacle| obstacle.message.clone()),
        ref_: Some(ObjectReference::new(&reference.name, owner)),
    };
    (status, obstacle)
}

fn unready(storage: &BackupStorage, name: &str) -> Option<Obstacle> {
    if storage.metadata.deletion_timestamp.is_some() {
        return Some(Obstacle::fault(
            "BackupStorageDeleted",
            format!("BackupStorage {name} is being deleted"),
        ));
    }
    let status = storage.status.as_ref();
    match status.and_then(|status| status.phase) {
        Some(BackupStoragePhase::Ready) => None,
        phase => {
            let fault = status
                .into_iter()
                .flat_map(|status| &status.conditions)
                .find(|condition| {
                    condition.status == ConditionStatus::False
                        && condition.type_ != conditions::READY
                });
            Some(match (fault, phase) {
                (Some(fault), _) => Obstacle::fault(
                    "BackupStorageNotReady",
                    format!("BackupStorage {name} is not ready: {}", fault.message),
                ),
                (None, _) => Obstacle::pending(
                    "BackupStorageNotReady",
                    format!("BackupStorage {name} is not initialized yet"),
                ),
            })
        }
    }
}

fn policy(
    reference: Option<&ObjectReference>,
    others: &Others,
    namespace: &str,
) -> (RetentionPolicyStatus, Option<Obstacle>) {
    let Some(reference) = reference else {
        let obstacle =
            Obstacle::fault("RetentionPolicyMissing", "a backend has no retentionPolicy");
        return (
            RetentionPolicyStatus {
                found: Some(false),
                ..RetentionPolicyStatus::default()
            },
            Some(obstacle),
        );
    };
    let owner = reference.namespace_or(namespace);
    let found = others.policies.iter().any(|policy| {
        policy.name_any() == reference.name && policy.namespace().as_deref() == Some(owner)
    });
    let obstacle = (!found).then(|| {
        Obstacle::fault(
            "RetentionPolicyNotFound",
            format!(
                "RetentionPolicy {owner}/{} does not exist: create it, or correct spec.backends[].retentionPolicy",
                reference.name
            ),
        )
    });
    let status = RetentionPolicyStatus {
        found: Some(found),
        reason: obstacle.as_ref().map(|obstacle| obstacle.message.clone()),
        ref_: Some(ObjectReference::new(&reference.name, owner)),
    };
    (status, obstacle)
}
