//! The Snapshots of a session: how they are made, and how those end that were not completed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{Resource, ResourceExt};
use kubestash_api::conditions::snapshot::BACKUP_INCOMPLETE;
use kubestash_api::core::SessionSnapshotStatus;
use kubestash_api::labels;
use kubestash_api::shared::DeletionPolicy;
use kubestash_api::storage::{
    Component, Repository, Snapshot, SnapshotPhase, SnapshotSpec, SnapshotStatus, snapshot_type,
    snapshot_version,
};
use kubestash_domain::{condition, name, phase};

use super::world::{World, snapshot_name};
use crate::controllers::backupconfiguration::target_reference;
use crate::jobs::manifest;

/// A Snapshot that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The Repository is about to be made.
    NotYet(String),
    /// It will not be possible.
    Never(String),
}

/// The Snapshots that are missing.
pub(super) fn missing(world: &World) -> Result<Vec<Snapshot>, Obstacle> {
    let mut missing = Vec::new();
    for info in world.targets() {
        let repository = usable(world, &info.name)?;
        match world.snapshots.get(&info.name) {
            None => missing.push(build(world, repository)),
            Some(found) if found.spec.backup_session == world.session.name_any() => {}
            Some(found) => {
                return Err(Obstacle::Never(format!(
                    "Snapshot {} exists and belongs to BackupSession {}; names of more than 63 bytes are cut, \
                     use shorter ones for repository and session",
                    found.name_any(),
                    found.spec.backup_session
                )));
            }
        }
    }
    Ok(missing)
}

fn usable<'a>(world: &'a World, name: &str) -> Result<&'a Repository, Obstacle> {
    let Some(repository) = world.repositories.get(name) else {
        return Err(Obstacle::NotYet(format!(
            "Repository {name} does not exist"
        )));
    };
    if repository.meta().deletion_timestamp.is_some() {
        return Err(Obstacle::Never(format!(
            "Repository {name} is being deleted"
        )));
    }
    let target = world.configuration.as_ref().map(target_reference);
    let same = repository.spec.app_ref.as_ref().zip(target.as_ref());
    if !same.is_some_and(|(theirs, ours)| theirs.same_object(ours, &world.namespace())) {
        return Err(Obstacle::Never(format!(
            "Repository {name} belongs to another target"
        )));
    }
    Ok(repository)
}

fn build(world: &World, repository: &Repository) -> Snapshot {
    let session = world.session.as_ref();
    let app_ref = repository.spec.app_ref.clone().unwrap_or_default();
    let mut snapshot = Snapshot::new(
        &snapshot_name(session, &repository.name_any()),
        SnapshotSpec {
            backup_session: session.name_any(),
            deletion_policy: DeletionPolicy::Delete,
            paused: None,
            repository: repository.name_any(),
            session: session.spec.session.clone(),
            // Given when it is made: it holds the time and randomness.
            snapshot_id: String::new(),
            type_: snapshot_type::FULL_BACKUP.to_owned(),
            version: snapshot_version::V1.to_owned(),
            app_ref: Some(app_ref.clone()),
        },
    );
    snapshot.metadata.namespace = Some(world.namespace());
    snapshot.metadata.finalizers = Some(vec![labels::CLEANUP_FINALIZER.to_owned()]);
    snapshot.metadata.owner_references = Some(vec![OwnerReference {
        api_version: Repository::api_version(&()).into_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: Repository::kind(&()).into_owned(),
        name: repository.name_any(),
        uid: repository.uid().unwrap_or_default(),
    }]);
    snapshot.metadata.labels = Some(
        [
            (labels::APP_REF_KIND, app_ref.kind()),
            (labels::APP_REF_NAME, app_ref.name.as_str()),
            (labels::APP_REF_NAMESPACE, app_ref.namespace_or("")),
            (labels::REPO_NAME, repository.name_any().as_str()),
        ]
        .map(|(key, value)| (key.to_owned(), name::join(&[value])))
        .into(),
    );
    let version = world.source.version.clone();
    let version = version.map(|version| (labels::DB_VERSION.to_owned(), version));
    let annotations: BTreeMap<_, _> = version
        .into_iter()
        .chain(manifest::annotation(&world.manifests))
        .collect();
    snapshot.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    snapshot
}

/// How many components each Snapshot will have: one for each distinct part that the tasks save.
pub(super) fn total_components(world: &World) -> i32 {
    let tasks = world
        .entry()
        .and_then(|entry| entry.addon.as_ref())
        .map_or(&[][..], |addon| &addon.tasks);
    let parts: BTreeSet<_> = tasks.iter().map(|task| component_of(&task.name)).collect();
    i32::try_from(parts.len()).unwrap_or(i32::MAX)
}

/// The component that a task saves: one of objects, or the dump of a database.
fn component_of(task: &str) -> &'static str {
    if manifest::is_for_manifests(task) {
        "manifest"
    } else {
        "dump"
    }
}

/// The status that a new Snapshot begins with.
pub(super) fn first_status(world: &World) -> SnapshotStatus {
    SnapshotStatus {
        phase: Some(SnapshotPhase::Pending),
        total_components: Some(total_components(world)),
        ..SnapshotStatus::default()
    }
}

/// The phase of a Snapshot, worked out from what was reported. The phase in its status is written
/// by a controller of its own, which may be a moment behind.
pub(super) fn phase_of(snapshot: &Snapshot) -> SnapshotPhase {
    snapshot
        .status
        .as_ref()
        .map_or(SnapshotPhase::Pending, phase::snapshot)
}

/// Whether a Snapshot has ended.
pub(super) fn is_completed(snapshot: &Snapshot) -> bool {
    phase::snapshot_completed(phase_of(snapshot))
}

/// What there is to say about a Snapshot whose executor is gone: its unfinished components have
/// failed. Why is what the executor said last, unless it was `forced` to end; else `reason`. Only
/// these fields are given; the others stay as the executor left them.
pub(super) fn declared_failed(
    snapshot: &Snapshot,
    reason: &str,
    forced: bool,
    now: Timestamp,
) -> SnapshotStatus {
    let before = snapshot.status.clone().unwrap_or_default();
    let error_of = |said: Option<String>| match said {
        Some(said) if forced => format!("{reason} (last error: {said})"),
        Some(said) => said,
        None => reason.to_owned(),
    };
    let components = before
        .components
        .iter()
        .filter(|(_, component)| component.phase != Some(SnapshotPhase::Succeeded))
        .map(|(name, component)| {
            let said = component.error.clone().filter(|error| !error.is_empty());
            let error = Some(error_of(said));
            (
                name.clone(),
                Component {
                    phase: Some(SnapshotPhase::Failed),
                    error,
                    ..Component::default()
                },
            )
        })
        .collect();
    let incomplete = condition::new(BACKUP_INCOMPLETE, true, error_of(last_error(snapshot)), now);
    let mut conditions = before
        .conditions
        .iter()
        .filter(|found| found.type_ == BACKUP_INCOMPLETE.type_)
        .cloned()
        .collect();
    condition::set(&mut conditions, incomplete);
    SnapshotStatus {
        components,
        conditions,
        phase: Some(SnapshotPhase::Failed),
        snapshot_time: before
            .snapshot_time
            .or_else(|| snapshot.meta().creation_timestamp.clone())
            .or(Some(Time(now))),
        // What this manager has said before has to be said again, or the API server removes it.
        total_components: before.total_components,
        ..SnapshotStatus::default()
    }
}

/// What the executor said last about a Snapshot that did not succeed.
pub(super) fn last_error(snapshot: &Snapshot) -> Option<String> {
    let components = &snapshot.status.as_ref()?.components;
    components
        .values()
        .find_map(|component| component.error.clone().filter(|error| !error.is_empty()))
}

/// The session's view of its Snapshots, in the order of its repositories. One that was deleted has
/// failed.
pub(super) fn list(world: &World) -> Vec<SessionSnapshotStatus> {
    let listed = world
        .session
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.snapshots);
    listed
        .iter()
        .map(|entry| {
            let found = world.snapshots.get(&entry.repository);
            let phase = found.map_or(SnapshotPhase::Failed, phase_of);
            SessionSnapshotStatus {
                phase: Some(phase),
                ..entry.clone()
            }
        })
        .collect()
}

/// The same list as it begins.
pub(super) fn first_list(world: &World) -> Vec<SessionSnapshotStatus> {
    let app_ref = world.configuration.as_ref().map(target_reference);
    world
        .targets()
        .iter()
        .map(|info| SessionSnapshotStatus {
            app_ref: app_ref.clone(),
            name: snapshot_name(&world.session, &info.name),
            phase: Some(SnapshotPhase::Pending),
            repository: info.name.clone(),
        })
        .collect()
}

/// Why a Snapshot failed, in a sentence.
pub(super) fn why_failed(snapshot: &Snapshot) -> String {
    let conditions = snapshot
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    let incomplete =
        condition::find(conditions, BACKUP_INCOMPLETE.type_).map(|found| found.message.clone());
    last_error(snapshot)
        .or(incomplete)
        .unwrap_or_else(|| "the backup is incomplete".to_owned())
}
