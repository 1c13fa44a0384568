//! What is restored: the Snapshot, and the tasks that bring its components back. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kubestash_api::core::{RestoreDataSource, RestoreSession};
use kubestash_api::shared::{ResourceFoundStatus, TaskReference};
use kubestash_api::storage::{Snapshot, SnapshotPhase};
use kubestash_domain::catalog::{self, Direction};
use kubestash_domain::{manifest, phase};

use super::world::{World, data_namespace, data_source, has_begun};
use crate::jobs::manifest::is_for_manifests;
use crate::validation::sentence;

/// Why a restore cannot begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Something is not there that may be about to be made.
    NotYet(String),
    /// It is being made.
    InTheMaking(String),
    /// It cannot work as it is written.
    Never(String),
}

impl Obstacle {
    /// The sentence.
    pub(super) fn into_reason(self) -> String {
        match self {
            NotYet(reason) | InTheMaking(reason) | Never(reason) => reason,
        }
    }
}

use Obstacle::{InTheMaking, Never, NotYet};

/// What was looked up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Data {
    /// The Snapshot.
    pub snapshot: Snapshot,
    /// The tasks to run, each with the component that it restores.
    pub tasks: Vec<(TaskReference, &'static str)>,
}

impl Data {
    /// How many components are restored.
    pub(super) fn total(&self) -> i32 {
        let mut components: Vec<_> = self.tasks.iter().map(|(_, component)| *component).collect();
        components.sort_unstable();
        components.dedup();
        i32::try_from(components.len()).unwrap_or(i32::MAX)
    }

    /// Whether manifests are restored, so that the target need not be there yet.
    pub(super) fn makes_target(&self) -> bool {
        self.tasks
            .iter()
            .any(|(_, component)| *component == manifest::COMPONENT)
    }

    /// Whether data is restored.
    pub(super) fn has_data(&self) -> bool {
        self.tasks
            .iter()
            .any(|(_, component)| *component != manifest::COMPONENT)
    }
}

/// The component that a Function restores.
fn component_of(function: &str) -> &'static str {
    if is_for_manifests(function) {
        manifest::COMPONENT
    } else {
        "dump"
    }
}

/// Looks up what the session asks for. `pinned` is the Snapshot that was found when the restore
/// began.
pub(super) fn resolve(world: &World, pinned: Option<&str>) -> Result<Data, Obstacle> {
    let session = &world.session;
    let hooks = session.spec.hooks.as_ref();
    if hooks.is_some_and(|hooks| !hooks.pre_restore.is_empty() || !hooks.post_restore.is_empty()) {
        return Err(Never(
            "spec.hooks: hooks are not run by this version: remove them, or do without".to_owned(),
        ));
    }
    let snapshot = snapshot(world, pinned)?;
    readable(world)?;
    let tasks = tasks(world, &snapshot)?;
    let data = Data { snapshot, tasks };
    let named = session.spec.target.as_ref();
    if named.is_none_or(|target| target.name.is_empty()) && !data.makes_target() {
        return Err(Never(
            "spec.target is missing: name the object to restore into".to_owned(),
        ));
    }
    if !world.refusals.is_empty() {
        // It may be that somebody is about to allow it.
        return Err(NotYet(sentence(&world.refusals)));
    }
    if let Some(namespace) = world
        .namespaces_missing
        .first()
        .filter(|_| data.makes_target())
    {
        return Err(NotYet(format!(
            "spec.manifestOptions: namespace {namespace}, into which the manifests are restored, does not exist or is being deleted: create it (kubectl create namespace {namespace}), or name another one in restoreNamespace"
        )));
    }
    Ok(data)
}

/// The Snapshot that the session asks for, if it can be told already.
pub(super) fn found(world: &World) -> Option<Snapshot> {
    let pinned = pinned(&world.session).filter(|_| has_begun(&world.session));
    snapshot(world, pinned).ok()
}

fn snapshot(world: &World, pinned: Option<&str>) -> Result<Snapshot, Obstacle> {
    let source = data_source(&world.session);
    let namespace = data_namespace(&world.session);
    if let Some(name) = pinned {
        return named(world, name, &namespace);
    }
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let asked = given(&source.snapshot);
    let by_time = source.pitr.is_some() || asked.as_deref() == Some(RestoreDataSource::LATEST);
    let repository = given(&source.repository);
    match (by_time, asked, repository) {
        (true, _, None) => Err(Never(
            "spec.dataSource.repository is missing: name the Repository to take the newest Snapshot of".to_owned(),
        )),
        (true, _, Some(repository)) => newest(world, &source, &repository, &namespace),
        (false, None, _) => Err(Never(
            "spec.dataSource.snapshot is missing: name a Snapshot, or 'latest' for the newest of the repository".to_owned(),
        )),
        (false, Some(name), repository) => {
            let found = named(world, &name, &namespace)?;
            match repository {
                Some(repository) if repository != found.spec.repository => Err(Never(format!(
                    "spec.dataSource.snapshot: Snapshot {namespace}/{name} is of Repository {}, not of {repository}",
                    found.spec.repository
                ))),
                _ => Ok(found),
            }
        }
    }
}

fn named(world: &World, name: &str, namespace: &str) -> Result<Snapshot, Obstacle> {
    let found = world
        .snapshots
        .iter()
        .find(|snapshot| snapshot.name_any() == name);
    let found = found.ok_or_else(|| {
        NotYet(format!(
            "spec.dataSource.snapshot: Snapshot {namespace}/{name} does not exist; kubectl get snapshots.storage.kubestash.com -n {namespace} lists those there are"
        ))
    })?;
    match phase_of(found) {
        Some(SnapshotPhase::Succeeded) => Ok(found.clone()),
        phase => Err(Never(format!(
            "spec.dataSource.snapshot: Snapshot {namespace}/{name} is {}, and only one that has Succeeded can be restored",
            phase.map_or_else(|| "without a phase".to_owned(), |phase| phase.to_string())
        ))),
    }
}

fn newest(
    world: &World,
    source: &RestoreDataSource,
    repository: &str,
    namespace: &str,
) -> Result<Snapshot, Obstacle> {
    if world.repository.is_none() {
        return Err(no_repository(repository, namespace));
    }
    let limit = source.pitr.as_ref().and_then(|pitr| {
        let at = pitr.target_time.as_ref()?.0;
        Some((at, pitr.exclusive.unwrap_or_default()))
    });
    let in_time = |snapshot: &&Snapshot| match limit {
        None => true,
        Some((at, exclusive)) => {
            taken(snapshot).is_some_and(|taken| taken < at || (taken == at && !exclusive))
        }
    };
    let of_repository = |snapshot: &&Snapshot| snapshot.spec.repository == repository;
    let found = world
        .snapshots
        .iter()
        .filter(of_repository)
        .filter(|snapshot| phase_of(snapshot) == Some(SnapshotPhase::Succeeded))
        .filter(in_time)
        .max_by_key(|snapshot| {
            (
                // What is dated in the future was made under a wrong clock: it is only taken if
                // there is nothing else.
                taken(snapshot).is_none_or(|taken| taken <= world.now),
                taken(snapshot),
                snapshot.spec.snapshot_id.clone(),
                snapshot.name_any(),
            )
        });
    found.cloned().ok_or_else(|| {
        let in_the_making = world
            .snapshots
            .iter()
            .filter(of_repository)
            .filter(in_time)
            .find(|snapshot| !phase_of(snapshot).is_some_and(phase::snapshot_completed));
        if let Some(made) = in_the_making {
            return InTheMaking(format!(
                "spec.dataSource: Repository {namespace}/{repository} has no Snapshot that has Succeeded yet, and {} is being created",
                made.name_any()
            ));
        }
        let before = limit.map(|(at, _)| format!(" up to {at}")).unwrap_or_default();
        Never(format!(
            "spec.dataSource: Repository {namespace}/{repository} has no Snapshot that has Succeeded{before}, among {}; create a backup first",
            world.snapshots.iter().filter(of_repository).count()
        ))
    })
}

/// Says which Snapshots were not taken for the newest, because they are dated in the future.
pub(super) fn left_out(world: &World) -> Option<String> {
    let source = data_source(&world.session);
    let by_time =
        source.pitr.is_some() || source.snapshot.as_deref() == Some(RestoreDataSource::LATEST);
    let repository = source.repository.filter(|_| by_time)?;
    let ahead = world.snapshots.iter().filter(|snapshot| {
        snapshot.spec.repository == repository
            && phase_of(snapshot) == Some(SnapshotPhase::Succeeded)
            && taken(snapshot).is_some_and(|taken| taken > world.now)
    });
    let names: Vec<_> = ahead.map(ResourceExt::name_any).collect();
    (!names.is_empty()).then(|| {
        format!(
            "Dated in the future, so created under a wrong clock and not considered the newest: {}; to restore one, name it.",
            names.join(", ")
        )
    })
}

fn no_repository(name: &str, namespace: &str) -> Obstacle {
    NotYet(format!(
        "spec.dataSource.repository: Repository {namespace}/{name} does not exist; kubectl get repositories.storage.kubestash.com -n {namespace} lists those there are; name the namespace of another one in spec.dataSource.namespace"
    ))
}

fn phase_of(snapshot: &Snapshot) -> Option<SnapshotPhase> {
    snapshot.status.as_ref().and_then(|status| status.phase)
}

fn taken(snapshot: &Snapshot) -> Option<Timestamp> {
    let taken = snapshot
        .status
        .as_ref()
        .and_then(|status| status.snapshot_time.as_ref());
    taken
        .or(snapshot.metadata.creation_timestamp.as_ref())
        .map(|time| time.0)
}

/// Whether the data can be reached from here.
fn readable(world: &World) -> Result<(), Obstacle> {
    let namespace = data_namespace(&world.session);
    let Some(repository) = &world.repository else {
        let name = world
            .snapshots
            .first()
            .map(|snapshot| snapshot.spec.repository.clone());
        return Err(no_repository(&name.unwrap_or_default(), &namespace));
    };
    let Some(storage) = &world.storage else {
        return Err(NotYet(format!(
            "the BackupStorage of Repository {namespace}/{} does not exist: create it again, with its Secret",
            repository.name_any()
        )));
    };
    if world.storage_allowed {
        return Ok(());
    }
    Err(Never(format!(
        "BackupStorage {}/{} does not allow its use from namespace {}: let its owner extend spec.usagePolicy.allowedNamespaces",
        storage.namespace().unwrap_or_default(),
        storage.name_any(),
        world.namespace()
    )))
}

fn tasks(
    world: &World,
    snapshot: &Snapshot,
) -> Result<Vec<(TaskReference, &'static str)>, Obstacle> {
    let nothing = Default::default();
    let info = world.session.spec.addon.as_ref().unwrap_or(&nothing);
    if info.name.is_empty() || info.tasks.is_empty() {
        return Err(Never(
            "spec.addon: name an Addon and at least one of its restore tasks".to_owned(),
        ));
    }
    let addon = world.addon.as_ref().ok_or_else(|| {
        NotYet(format!(
            "spec.addon.name: Addon {:?} does not exist; kubectl get addons lists those there are",
            info.name
        ))
    })?;
    let wanted = data_source(&world.session).components;
    let held = snapshot.status.as_ref().map(|status| &status.components);
    let holds = |name: &str| held.is_some_and(|held| held.contains_key(name));
    let lacks = |name: &str| {
        let all: Vec<_> = held
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        Never(format!(
            "Snapshot {} has no component {name:?}; it has {}",
            snapshot.name_any(),
            if all.is_empty() {
                "none".to_owned()
            } else {
                all.join(", ")
            }
        ))
    };
    if let Some(unknown) = wanted.iter().find(|name| !holds(name)) {
        return Err(lacks(unknown));
    }
    let mut tasks = Vec::new();
    for task in &info.tasks {
        let found = catalog::find_task(addon, Direction::Restore, &task.name)
            .map_err(|error| Never(format!("spec.addon.tasks: {error}")))?;
        let component = component_of(&found.task.function);
        if !wanted.is_empty() && !wanted.iter().any(|name| name == component) {
            continue;
        }
        if !holds(component) {
            return Err(lacks(component));
        }
        tasks.push((task.clone(), component));
    }
    // What is restored into comes before what is restored, whatever the order in which they are
    // written.
    tasks.sort_by_key(|(_, component)| *component != manifest::COMPONENT);
    if tasks.is_empty() {
        return Err(Never(format!(
            "none of spec.addon.tasks restores a component of spec.dataSource.components ({})",
            wanted.join(", ")
        )));
    }
    Ok(tasks)
}

/// What the session depends on, for its status.
pub(super) fn dependencies(world: &World, found: Option<&Snapshot>) -> Vec<ResourceFoundStatus> {
    let session: &Arc<RestoreSession> = &world.session;
    let name = found
        .map(ResourceExt::name_any)
        .or(data_source(session).snapshot);
    let mut dependencies = vec![ResourceFoundStatus {
        found: Some(found.is_some()),
        kind: Some("Snapshot".to_owned()),
        name: name.unwrap_or_default(),
        namespace: Some(data_namespace(session)),
        ..ResourceFoundStatus::default()
    }];
    if let Some(addon) = &session.spec.addon {
        dependencies.push(ResourceFoundStatus {
            found: Some(world.addon.is_some()),
            kind: Some("Addon".to_owned()),
            name: addon.name.clone(),
            ..ResourceFoundStatus::default()
        });
    }
    dependencies
}

/// The Snapshot that was found when the restore began.
pub(super) fn pinned(session: &RestoreSession) -> Option<&str> {
    let status = session.status.as_ref()?;
    let snapshot = status
        .dependencies
        .iter()
        .find(|found| found.kind.as_deref() == Some("Snapshot") && found.found == Some(true))?;
    Some(&snapshot.name)
}
