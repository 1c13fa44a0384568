//! What becomes of a deleted configuration's sessions and Repositories: pure.
//!
//! Without a policy, and with `Retain`, a Repository stays with its Snapshots and data. With
//! `Delete` and `WipeOut` it goes, but not before the sessions that might write to it, and not
//! while another configuration uses it.

use std::sync::Arc;

use kube::{Resource, ResourceExt};
use kubestash_api::core::{BackupConfiguration, BackupSession};
use kubestash_api::shared::{DeletionPolicy, RepositoryDeletionPolicy};
use kubestash_api::storage::Repository;

use super::repositories::{self, target_reference};

/// Everything a decision depends on.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    /// The configuration that is being deleted.
    pub configuration: Arc<BackupConfiguration>,
    /// The other configurations of its namespace.
    pub siblings: Vec<Arc<BackupConfiguration>>,
    /// The Repositories of its namespace.
    pub repositories: Vec<Arc<Repository>>,
    /// Its BackupSessions.
    pub sessions: Vec<Arc<BackupSession>>,
}

/// What to do next.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Plan {
    /// BackupSessions to delete.
    pub sessions: Vec<Arc<BackupSession>>,
    /// Repositories to delete, each with what becomes of its data.
    pub repositories: Vec<(Arc<Repository>, DeletionPolicy)>,
    /// Whether the configuration can go now; otherwise the end of its sessions wakes us.
    pub release: bool,
}

/// Decides the next step.
pub(super) fn decide(world: &World) -> Plan {
    let doomed = doomed(world);
    if doomed.is_empty() {
        // The garbage collector deletes the sessions, which the configuration owns.
        return Plan {
            release: true,
            ..Plan::default()
        };
    }
    if !world.sessions.is_empty() {
        let sessions = world
            .sessions
            .iter()
            .filter(|session| session.meta().deletion_timestamp.is_none());
        return Plan {
            sessions: sessions.cloned().collect(),
            ..Plan::default()
        };
    }
    Plan {
        repositories: doomed,
        release: true,
        ..Plan::default()
    }
}

fn doomed(world: &World) -> Vec<(Arc<Repository>, DeletionPolicy)> {
    let configuration = world.configuration.as_ref();
    let namespace = configuration.namespace().unwrap_or_default();
    let target = target_reference(configuration);
    repositories::wanted(configuration)
        .iter()
        .filter_map(|wanted| {
            let policy = match wanted.policy? {
                RepositoryDeletionPolicy::Delete => DeletionPolicy::Delete,
                RepositoryDeletionPolicy::WipeOut => DeletionPolicy::WipeOut,
                RepositoryDeletionPolicy::Retain => return None,
            };
            let live = world
                .repositories
                .iter()
                .find(|live| live.name_any() == wanted.name)?;
            let ours = live
                .spec
                .app_ref
                .as_ref()
                .is_some_and(|other| other.same_object(&target, &namespace));
            (ours && !is_shared(world, &wanted.name)).then(|| (Arc::clone(live), policy))
        })
        .collect()
}

fn is_shared(world: &World, repository: &str) -> bool {
    world
        .siblings
        .iter()
        .filter(|sibling| {
            sibling.meta().deletion_timestamp.is_none()
                && sibling.meta().uid != world.configuration.meta().uid
        })
        .flat_map(|sibling| &sibling.spec.sessions)
        .flat_map(|session| &session.repositories)
        .any(|info| info.name == repository)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn from<K: serde::de::DeserializeOwned>(value: Value) -> Arc<K> {
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn configuration(uid: &str, policy: Option<&str>) -> Arc<BackupConfiguration> {
        let mut repository = json!({"name": "repo", "backend": "b", "directory": "/d"});
        if let Some(policy) = policy {
            repository["deletionPolicy"] = json!(policy);
        }
        from(
            json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": uid, "namespace": "demo", "uid": uid},
            "spec": {
                "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "d"},
                "sessions": [{"name": "s", "repositories": [repository]}],
            }}),
        )
    }

    fn repository(target: &str) -> Arc<Repository> {
        from(
            json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": "repo", "namespace": "demo"},
            "spec": {"appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": target, "namespace": "demo"}}}),
        )
    }

    fn session() -> Arc<BackupSession> {
        from(
            json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
            "metadata": {"name": "s-1", "namespace": "demo"}, "spec": {"session": "s"}}),
        )
    }

    fn world(policy: Option<&str>) -> World {
        World {
            configuration: configuration("a", policy),
            repositories: vec![repository("d")],
            ..World::default()
        }
    }

    #[test]
    fn each_policy_does_what_it_says_and_without_one_everything_stays() {
        let cases = [
            (None, None),
            (Some("Retain"), None),
            (Some("Delete"), Some(DeletionPolicy::Delete)),
            (Some("WipeOut"), Some(DeletionPolicy::WipeOut)),
        ];
        for (policy, expected) in cases {
            let plan = decide(&world(policy));
            let found = plan.repositories.first().map(|(_, policy)| *policy);
            assert_eq!(found, expected, "{policy:?}");
            assert!(plan.release);
        }
    }

    #[test]
    fn sessions_go_before_the_repositories_they_write_to() {
        let busy = World {
            sessions: vec![session()],
            ..world(Some("WipeOut"))
        };
        let plan = decide(&busy);
        assert_eq!(plan.sessions.len(), 1);
        assert!(plan.repositories.is_empty() && !plan.release);
    }

    #[test]
    fn a_repository_of_another_target_or_with_another_user_is_left_alone() {
        let foreign = World {
            repositories: vec![repository("other")],
            ..world(Some("WipeOut"))
        };
        let shared = World {
            siblings: vec![configuration("b", None)],
            ..world(Some("WipeOut"))
        };
        for world in [foreign, shared] {
            let plan = decide(&world);
            assert!(plan.repositories.is_empty() && plan.release);
        }
    }
}
