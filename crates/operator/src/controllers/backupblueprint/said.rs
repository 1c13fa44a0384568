//! What the owner of a target has to know beside refusals: backups that end, edits that do not
//! stay, and where the objects are. Pure, apart from the memory of what was applied.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use kubestash_api::core::{BackupBlueprint, BackupConfiguration};
use kubestash_api::labels;
use kubestash_api::shared::RepositoryDeletionPolicy;
use serde_json::{Value, json};

use super::decide::{Desired, Target};
use crate::runtime::events::Notice;

/// What was applied for a target last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Last {
    /// Namespace and name of the configuration.
    name: String,
    /// What was asked for.
    digest: u64,
}

impl Last {
    fn of(desired: &Desired) -> Self {
        Self {
            name: full_name(&desired.object),
            digest: digest(&desired.object),
        }
    }
}

/// What this process has applied for each target, by the uid of the annotated object. It is only
/// needed to tell an edit from a change of blueprint or annotations; without it nothing is told,
/// and everything else is as it was.
#[derive(Debug, Default)]
pub(super) struct Applied(Mutex<HashMap<String, Last>>);

/// What became of a configuration since it was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// Nothing that is known.
    Nothing,
    /// Somebody has edited it: the same is asked for as before.
    Edited,
    /// Somebody has deleted it: the same is asked for as before.
    Deleted,
}

impl Applied {
    /// Remembers what is asked for, once it is so.
    pub(super) fn remember(&self, uid: &str, desired: &Desired) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(uid.to_owned(), Last::of(desired));
    }

    /// What must have happened if `desired` has to be written now.
    pub(super) fn since(&self, uid: &str, desired: &Desired) -> Since {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (known.get(uid) == Some(&Last::of(desired)), &desired.live) {
            (false, _) => Since::Nothing,
            (true, Some(_)) => Since::Edited,
            (true, None) => Since::Deleted,
        }
    }

    /// Nothing is asked for any more.
    pub(super) fn forget(&self, uid: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(uid);
    }
}

fn digest(object: &BackupConfiguration) -> u64 {
    let mut hasher = DefaultHasher::new();
    json!({ "labels": object.labels(), "spec": object.spec })
        .to_string()
        .hash(&mut hasher);
    hasher.finish()
}

fn full_name(object: &BackupConfiguration) -> String {
    format!(
        "{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

fn follows(target: &Target) -> String {
    let blueprint = target.request.as_ref().map_or_else(String::new, |request| {
        format!(
            "BackupBlueprint {}/{} and ",
            request.namespace, request.blueprint
        )
    });
    format!(
        "{blueprint}the annotations of {} {}/{}",
        target.reference.kind(),
        target.reference.namespace_or(&target.namespace),
        target.reference.name
    )
}

/// Told on a configuration that was edited by hand.
pub(super) fn reverted(desired: &Desired, target: &Target) -> Notice {
    let changed = desired
        .live
        .as_deref()
        .map(|live| changed(live, &desired.object))
        .unwrap_or_default();
    Notice::warning(
        "EditReverted",
        format!(
            "{changed} was edited here and is set back: this BackupConfiguration follows {}; edit those. \
             Only spec.paused can be set here",
            follows(target)
        ),
    )
}

/// The fields that differ.
fn changed(live: &BackupConfiguration, desired: &BackupConfiguration) -> String {
    let field = |spec: &Value, name: &str| spec[name].clone();
    let (is, wanted) = (json!(live.spec), json!(desired.spec));
    let mut fields: Vec<_> = ["target", "backends", "sessions"]
        .into_iter()
        .filter(|name| field(&is, name) != field(&wanted, name))
        .map(|name| format!("spec.{name}"))
        .collect();
    if fields.is_empty() {
        fields.push("metadata.labels".to_owned());
    }
    fields.join(", ")
}

/// Told on a target whose configuration was deleted by hand.
pub(super) fn created_again(desired: &Desired, target: &Target) -> Notice {
    Notice::warning(
        "BackupConfigurationCreatedAgain",
        format!(
            "BackupConfiguration {} was deleted and is created again, because it follows {}: to end the backups, remove \
             the annotation {}",
            full_name(&desired.object),
            follows(target),
            labels::BLUEPRINT_NAME
        ),
    )
}

/// Told on a target whose configuration is in another namespace.
pub(super) fn elsewhere(desired: &Desired, target: &Target) -> Option<Notice> {
    let namespace = desired.object.namespace().unwrap_or_default();
    (namespace != target.reference.namespace_or(&target.namespace)).then(|| {
        Notice::normal(
            "BackedUpFromAnotherNamespace",
            format!(
                "BackupConfiguration {} backs this up. It, its BackupSessions, Repositories and Snapshots are in the \
                 namespace {namespace}: kubectl get backupsessions -n {namespace}",
                full_name(&desired.object)
            ),
        )
    })
}

/// Why a configuration is not wanted any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The annotation is gone.
    NotAsked,
    /// The configuration of the target is in another namespace now.
    Moved(String),
    /// The blueprint was deleted, with `deletionPolicy: OnDelete`.
    BlueprintDeleted(String),
}

impl End {
    /// The end that the deletion of `blueprint` is.
    pub(super) fn of(blueprint: &BackupBlueprint) -> Self {
        let namespace = blueprint.namespace().unwrap_or_default();
        Self::BlueprintDeleted(format!("{namespace}/{}", blueprint.name_any()))
    }
}

/// Told on a target whose configuration is deleted.
pub(super) fn ended(configuration: &BackupConfiguration, end: &End) -> Notice {
    let name = full_name(configuration);
    let (reason, note) = match end {
        End::NotAsked => (
            "BackupsEnded",
            format!(
                "no more backups: BackupConfiguration {name} is deleted, because the annotation {} was removed",
                labels::BLUEPRINT_NAME
            ),
        ),
        End::Moved(namespace) => (
            "BackupConfigurationMoved",
            format!(
                "BackupConfiguration {name} is deleted, because the blueprint puts it into the namespace {namespace} now"
            ),
        ),
        End::BlueprintDeleted(blueprint) => (
            "BackupsEnded",
            format!(
                "no more backups: BackupConfiguration {name} is deleted, because BackupBlueprint {blueprint} was deleted \
                 and has deletionPolicy OnDelete"
            ),
        ),
    };
    Notice::warning(reason, format!("{note}. {}", what_stays(configuration)))
}

fn what_stays(configuration: &BackupConfiguration) -> String {
    let repositories = configuration
        .spec
        .sessions
        .iter()
        .flat_map(|session| &session.repositories);
    let gone: Vec<_> = repositories
        .filter_map(|info| match info.deletion_policy? {
            RepositoryDeletionPolicy::Retain => None,
            RepositoryDeletionPolicy::Delete => Some(format!("{} (its data stays)", info.name)),
            RepositoryDeletionPolicy::WipeOut => Some(format!("{} and its data", info.name)),
        })
        .collect();
    match gone.is_empty() {
        true => "Its Repositories, Snapshots and data stay".to_owned(),
        false => format!(
            "Deleted with it, according to its deletionPolicy: Repository {}",
            gone.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kubestash_api::shared::TypedObjectReference;

    use super::*;
    use crate::controllers::backupblueprint::request::Request;

    fn target() -> Target {
        Target {
            kind: "AppBinding".to_owned(),
            name: "d".to_owned(),
            namespace: "demo".to_owned(),
            reference: TypedObjectReference::new("kubedb.com", "Druid", "d", "demo"),
            request: Some(Request {
                blueprint: "b".to_owned(),
                namespace: "vault".to_owned(),
                sessions: None,
                variables: Default::default(),
            }),
            deleting: false,
        }
    }

    fn configuration(namespace: &str, schedule: &str, policy: Option<&str>) -> BackupConfiguration {
        let mut repository = json!({"name": "repo", "backend": "x", "directory": "/d"});
        if let Some(policy) = policy {
            repository["deletionPolicy"] = json!(policy);
        }
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": "c", "namespace": namespace},
            "spec": {"sessions": [{"name": "s", "scheduler": {"schedule": schedule, "jobTemplate": {}}, "repositories": [repository]}]},
        }))
        .unwrap()
    }

    fn desired(schedule: &str, live: Option<&str>) -> Desired {
        Desired {
            object: configuration("vault", schedule, None),
            live: live.map(|schedule| Arc::new(configuration("vault", schedule, None))),
        }
    }

    #[test]
    fn an_edit_is_told_from_a_change_of_what_is_asked_for() {
        let applied = Applied::default();
        let daily = || desired("@daily", Some("@hourly"));
        assert_eq!(
            applied.since("u", &daily()),
            Since::Nothing,
            "after a start"
        );
        applied.remember("u", &daily());
        assert_eq!(applied.since("u", &daily()), Since::Edited);
        assert_eq!(applied.since("other", &daily()), Since::Nothing);
        let weekly = desired("@weekly", Some("@daily"));
        assert_eq!(
            applied.since("u", &weekly),
            Since::Nothing,
            "the blueprint changed"
        );
        applied.remember("u", &weekly);
        assert_eq!(
            applied.since("u", &desired("@weekly", None)),
            Since::Deleted
        );
        applied.forget("u");
        assert_eq!(
            applied.since("u", &desired("@weekly", None)),
            Since::Nothing
        );
    }

    #[test]
    fn who_edits_or_deletes_a_generated_configuration_learns_what_it_follows() {
        let edited = reverted(&desired("@daily", Some("@hourly")), &target()).note;
        assert_eq!(
            edited,
            "spec.sessions was edited here and is set back: this BackupConfiguration follows BackupBlueprint vault/b and \
             the annotations of Druid demo/d; edit those. Only spec.paused can be set here"
        );
        let again = created_again(&desired("@daily", None), &target()).note;
        assert!(
            again.contains("vault/c was deleted") && again.contains("blueprint.kubestash.com/name"),
            "{again}"
        );
    }

    #[test]
    fn a_configuration_in_another_namespace_is_told_where_it_is() {
        let note = elsewhere(&desired("@daily", None), &target()).unwrap().note;
        assert!(
            note.contains("BackupConfiguration vault/c") && note.contains("-n vault"),
            "{note}"
        );
        let beside = Desired {
            object: configuration("demo", "@daily", None),
            live: None,
        };
        assert_eq!(elsewhere(&beside, &target()), None);
    }

    #[test]
    fn the_end_of_backups_says_why_and_what_stays() {
        let blueprint = End::BlueprintDeleted("vault/b".to_owned());
        for (end, policy, why, stays) in [
            (
                &End::NotAsked,
                None,
                "annotation blueprint.kubestash.com/name was removed",
                "data stay",
            ),
            (
                &End::NotAsked,
                Some("Retain"),
                "was removed",
                "Repositories, Snapshots and data stay",
            ),
            (
                &End::Moved("new".to_owned()),
                None,
                "the namespace new",
                "data stay",
            ),
            (
                &blueprint,
                Some("Delete"),
                "BackupBlueprint vault/b was deleted",
                "repo (its data stays)",
            ),
            (&blueprint, Some("WipeOut"), "OnDelete", "repo and its data"),
        ] {
            let note = ended(&configuration("vault", "@daily", policy), end).note;
            assert!(note.contains(why) && note.contains(stays), "{note}");
        }
    }
}
