//! The Repositories of a configuration: which it wants, and how they stand. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kubestash_api::core::BackupConfiguration;
use kubestash_api::shared::{
    ConditionStatus, ObjectReference, RepositoryDeletionPolicy, RepositoryPhase,
    RepositoryStatusEntry, TypedObjectReference,
};
use kubestash_api::storage::{Repository, RepositorySpec};

/// What a configuration says about one of its Repositories; several sessions may name the same one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    /// Name of the Repository.
    pub name: String,
    /// Name of its backend.
    pub backend: String,
    /// What it is made with. The deletion policy counts only if `policy` gives one.
    pub spec: RepositorySpec,
    /// What happens to it when the configuration goes: the most careful of what its sessions say.
    pub policy: Option<RepositoryDeletionPolicy>,
    /// Whether a verifier checks its snapshots.
    pub verified: bool,
}

/// The target, as Repositories and Snapshots name it: a backup of the cluster's own objects has a
/// placeholder.
#[must_use]
pub(crate) fn target_reference(configuration: &BackupConfiguration) -> TypedObjectReference {
    let namespace = configuration.namespace().unwrap_or_default();
    match &configuration.spec.target {
        Some(target) => TypedObjectReference {
            namespace: Some(target.namespace_or(&namespace).to_owned()),
            ..target.clone()
        },
        None => TypedObjectReference {
            api_group: Some("na".to_owned()),
            kind: Some(String::new()),
            name: "na".to_owned(),
            namespace: None,
        },
    }
}

/// Every Repository that the configuration names, once, in the order of the sessions.
pub(super) fn wanted(configuration: &BackupConfiguration) -> Vec<Wanted> {
    let namespace = configuration.namespace().unwrap_or_default();
    let app_ref = target_reference(configuration);
    let mut wanted: Vec<Wanted> = Vec::new();
    for info in configuration
        .spec
        .sessions
        .iter()
        .flat_map(|session| &session.repositories)
    {
        if let Some(earlier) = wanted.iter_mut().find(|earlier| earlier.name == info.name) {
            earlier.policy = careful(earlier.policy, info.deletion_policy);
            earlier.verified |= info.backup_verifier.is_some();
            continue;
        }
        let storage = configuration
            .spec
            .backend(&info.backend)
            .and_then(|backend| backend.storage_ref.as_ref());
        wanted.push(Wanted {
            name: info.name.clone(),
            backend: info.backend.clone(),
            spec: RepositorySpec {
                app_ref: Some(app_ref.clone()),
                encryption_secret: info.encryption_secret.as_ref().map(|secret| {
                    ObjectReference::new(&secret.name, secret.namespace_or(&namespace))
                }),
                path: info.directory.clone(),
                storage_ref: storage.map(|storage| {
                    ObjectReference::new(&storage.name, storage.namespace_or(&namespace))
                }),
                ..RepositorySpec::default()
            },
            policy: info.deletion_policy,
            verified: info.backup_verifier.is_some(),
        });
    }
    wanted
}

/// The policy that keeps more. Without a policy everything is kept.
fn careful(
    one: Option<RepositoryDeletionPolicy>,
    other: Option<RepositoryDeletionPolicy>,
) -> Option<RepositoryDeletionPolicy> {
    use RepositoryDeletionPolicy::{Delete, Retain, WipeOut};
    match (one, other) {
        (None, _) | (_, None) => None,
        (Some(Retain), _) | (_, Some(Retain)) => Some(Retain),
        (Some(Delete), _) | (_, Some(Delete)) => Some(Delete),
        (Some(WipeOut), Some(WipeOut)) => Some(WipeOut),
    }
}

/// How a Repository stands, for the status of the configuration.
pub(super) fn status(wanted: &Wanted, live: Option<&Repository>) -> RepositoryStatusEntry {
    let status = live.and_then(|live| live.status.as_ref());
    let phase = status
        .and_then(|status| status.phase)
        .unwrap_or(RepositoryPhase::NotReady);
    let fault = || {
        let conditions = status.into_iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .find(|condition| condition.status == ConditionStatus::False)
    };
    let reason = match (live, phase) {
        (_, RepositoryPhase::Ready) => None,
        (None, _) => Some("it has not been created yet".to_owned()),
        (Some(_), _) => Some(fault().map_or_else(
            || "it has not been initialized yet".to_owned(),
            |found| found.message.clone(),
        )),
    };
    RepositoryStatusEntry {
        name: wanted.name.clone(),
        phase: Some(phase),
        reason,
        verification_configured: Some(wanted.verified),
    }
}

/// Repositories of a namespace by name.
pub(super) fn by_name<'a>(
    repositories: impl IntoIterator<Item = &'a std::sync::Arc<Repository>>,
    namespace: &str,
) -> BTreeMap<String, &'a Repository> {
    repositories
        .into_iter()
        .filter(|repository| repository.namespace().as_deref() == Some(namespace))
        .map(|repository| (repository.name_any(), repository.as_ref()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_policies_for_one_repository_the_one_that_keeps_more_counts() {
        use RepositoryDeletionPolicy::{Delete, Retain, WipeOut};
        let cases = [
            (None, Some(WipeOut), None),
            (Some(Delete), None, None),
            (Some(Retain), Some(WipeOut), Some(Retain)),
            (Some(WipeOut), Some(Delete), Some(Delete)),
            (Some(WipeOut), Some(WipeOut), Some(WipeOut)),
        ];
        for (one, other, expected) in cases {
            assert_eq!(careful(one, other), expected);
            assert_eq!(careful(other, one), expected);
        }
    }
}
