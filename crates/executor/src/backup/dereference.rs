//! Everything a backup reads from the API server, before it does anything.
//!
//! What concerns one repository, or the database, fails for itself: a repository whose Secret is
//! missing does not stop the others.

use futures::future::join_all;
use kube::ResourceExt;
use kubestash_api::core::{BackupConfiguration, BackupSession, Session};
use kubestash_api::shared::RepositoryInfo;
use kubestash_api::storage::{Repository, Snapshot};
use kubestash_domain::manifest::Document;
use kubestash_domain::name;

use super::task::Task;
use crate::arguments::Backup;
use crate::cluster::Cluster;
use crate::database::{self, Database, Wanted};
use crate::failure::Failure;
use crate::manifest;
use crate::settings::Settings;
use crate::store::Store;

/// What a backup works on.
pub(super) struct World<'a> {
    /// The BackupSession.
    pub(super) session: BackupSession,
    /// Its BackupConfiguration.
    pub(super) configuration: BackupConfiguration,
    /// The repositories, in the session's order.
    pub(super) targets: Vec<Target>,
    /// What is backed up, or why it cannot be found.
    pub(super) source: Result<Source<'a>, Failure>,
}

/// Where the bytes of a backup come from.
pub(super) enum Source<'a> {
    /// A database is dumped.
    Dump(&'a Backup, Box<Database>),
    /// The manifests are here.
    Manifests(Document),
}

/// A repository that the session writes to.
pub(super) struct Target {
    /// What the session says about it.
    pub(super) info: RepositoryInfo,
    /// Its Snapshot, or why there is none.
    pub(super) snapshot: Result<Snapshot, Failure>,
    /// Its storage, or why it cannot be reached.
    pub(super) store: Result<Store, Failure>,
}

/// Reads everything.
///
/// # Errors
/// If the session itself, or what it is a run of, cannot be read.
pub(super) async fn dereference<'a>(
    cluster: &Cluster,
    settings: &Settings,
    task: Task<'a>,
) -> Result<World<'a>, Failure> {
    let namespace = &task.session().namespace;
    let session: BackupSession = cluster
        .get(namespace, &task.session().name, "--backupsession")
        .await?;
    let configuration = configuration(cluster, namespace, &session).await?;
    let entry = entry(&configuration, &session)?;
    let targets = join_all(
        entry
            .repositories
            .iter()
            .map(|info| target(cluster, settings, &session, info)),
    );
    let (targets, source) = tokio::join!(targets, source(cluster, &configuration, task));
    Ok(World {
        session,
        configuration,
        targets,
        source,
    })
}

async fn configuration(
    cluster: &Cluster,
    namespace: &str,
    session: &BackupSession,
) -> Result<BackupConfiguration, Failure> {
    let invoker = session.spec.invoker.as_ref();
    let name = invoker
        .map(|invoker| invoker.name.as_str())
        .filter(|name| !name.is_empty());
    match (invoker.map(|invoker| invoker.kind.as_str()), name) {
        (Some("BackupConfiguration"), Some(name)) => {
            let named_by = format!(
                "spec.invoker of BackupSession {namespace}/{}",
                session.name_any()
            );
            Ok(cluster.get(namespace, name, &named_by).await?)
        }
        _ => Err(Failure::permanent(
            "InvokerUnsupported",
            format!(
                "failed to start: spec.invoker of BackupSession {namespace}/{} is not a BackupConfiguration; create a BackupSession for one",
                session.name_any()
            ),
        )),
    }
}

fn entry<'a>(
    configuration: &'a BackupConfiguration,
    session: &BackupSession,
) -> Result<&'a Session, Failure> {
    configuration.spec.session(&session.spec.session).ok_or_else(|| {
        Failure::permanent(
            "SessionUnknown",
            format!(
                "failed to start: BackupConfiguration {} has no session {:?}; it was changed after the BackupSession was created",
                configuration.name_any(),
                session.spec.session
            ),
        )
    })
}

async fn target(
    cluster: &Cluster,
    settings: &Settings,
    session: &BackupSession,
    info: &RepositoryInfo,
) -> Target {
    let namespace = session.namespace().unwrap_or_default();
    let listed = session.status.as_ref().and_then(|status| {
        status
            .snapshots
            .iter()
            .find(|snapshot| snapshot.repository == info.name)
    });
    let snapshot_name = match listed {
        Some(listed) => listed.name.clone(),
        None => name::snapshot(&info.name, &session.name_any()),
    };
    let snapshot = async {
        let named_by = format!("BackupSession {namespace}/{}", session.name_any());
        let snapshot: Snapshot = cluster.get(&namespace, &snapshot_name, &named_by).await?;
        if snapshot.spec.backup_session == session.name_any() {
            return Ok(snapshot);
        }
        Err(Failure::permanent(
            "SnapshotForeign",
            format!(
                "failed to report: Snapshot {namespace}/{snapshot_name} belongs to BackupSession {:?}; shorten the names of repository and session, so that they stay apart",
                snapshot.spec.backup_session
            ),
        ))
    };
    let store = async {
        let named_by = format!("repositories[] of session {:?}", session.spec.session);
        let repository: Repository = cluster.get(&namespace, &info.name, &named_by).await?;
        Store::of(cluster, settings, repository, &session.name_any()).await
    };
    let (snapshot, store) = tokio::join!(snapshot, store);
    Target {
        info: info.clone(),
        snapshot,
        store,
    }
}

/// Follows the target to its database, or to the objects that belong to it.
async fn source<'a>(
    cluster: &Cluster,
    configuration: &BackupConfiguration,
    task: Task<'a>,
) -> Result<Source<'a>, Failure> {
    let namespace = configuration.namespace().unwrap_or_default();
    let named_by = format!(
        "spec.target of BackupConfiguration {namespace}/{}",
        configuration.name_any()
    );
    let target = configuration.spec.target.as_ref();
    match task {
        Task::Dump(backup) => {
            let wanted = Wanted {
                family: backup.family,
                user: &backup.user,
            };
            database::find(cluster, target, &namespace, &named_by, wanted)
                .await
                .map(|database| Source::Dump(backup, Box::new(database)))
        }
        Task::Manifests(_) => manifest::collect(cluster, target, &namespace, &named_by)
            .await
            .map(Source::Manifests),
    }
}
