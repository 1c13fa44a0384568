//! Everything that a decision about a session depends on.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use kubestash_api::addons::{Addon, Function};
use kubestash_api::core::{BackupConfiguration, BackupSession, BackupSessionPhase, Session};
use kubestash_api::shared::RepositoryInfo;
use kubestash_api::storage::{BackupStorage, Repository, Snapshot};
use kubestash_domain::manifest::Item;
use kubestash_domain::name;

use super::source::Source;
use crate::config::JobEnvironment;
use crate::jobs::Told;
use crate::session::queue::Turn;
use crate::validation::Violation;

/// What was read for a session.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    /// The session, as the API server has it now.
    pub session: Arc<BackupSession>,
    /// Its configuration, as the API server has it now.
    pub configuration: Option<BackupConfiguration>,
    /// The other BackupSessions of the same session of the same configuration.
    pub siblings: Vec<Arc<BackupSession>>,
    /// Whether another session has been let through before this one, although its status does not
    /// show it yet.
    pub overtaken_by: Option<String>,
    /// Whether it is its turn.
    pub turn: Turn,
    /// An object that has the name of one that the session needs, and belongs to something else.
    pub in_the_way: Option<String>,
    /// The Repositories that the session names, by name.
    pub repositories: BTreeMap<String, Repository>,
    /// The storages of those Repositories, by name of the Repository.
    pub storages: BTreeMap<String, Arc<BackupStorage>>,
    /// The session's Snapshots, by name of the Repository, as the API server has them now.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// All Snapshots in those Repositories, each with its session: retention may remove them, and
    /// whether such a session has ended says whether a lock that its Job left is stale.
    pub old_snapshots: Vec<(String, String)>,
    /// The Addon that the session names.
    pub addon: Option<Arc<Addon>>,
    /// The Functions there are, by name.
    pub functions: BTreeMap<String, Arc<Function>>,
    /// Where the data comes from.
    pub source: Source,
    /// The objects whose manifests are backed up, if a task does that.
    pub manifests: Vec<Item>,
    /// What it would use in other namespaces and nobody has allowed.
    pub refusals: Vec<Violation>,
    /// The session's Job, as the API server has it now.
    pub job: Option<Job>,
    /// The pods of that Job.
    pub pods: Vec<Pod>,
    /// What Events tell about a Job that does not start.
    pub told: Vec<Told>,
    /// The image of Jobs.
    pub image: String,
    /// What is passed on to Jobs.
    pub environment: JobEnvironment,
}

impl World {
    /// The namespace of the session, its configuration, its Repositories and its Job.
    pub(super) fn namespace(&self) -> String {
        self.session.namespace().unwrap_or_default()
    }

    /// What the configuration says about this session.
    pub(super) fn entry(&self) -> Option<&Session> {
        self.configuration
            .as_ref()?
            .spec
            .session(&self.session.spec.session)
    }

    /// The repositories that the session writes to, as the configuration has them.
    pub(super) fn targets(&self) -> &[RepositoryInfo] {
        self.entry().map_or(&[], |entry| &entry.repositories)
    }

    /// When the session was made.
    pub(super) fn created(&self) -> Option<Timestamp> {
        self.session
            .meta()
            .creation_timestamp
            .as_ref()
            .map(|time| time.0)
    }
}

/// Name of the Snapshot of `session` in `repository`.
pub(super) fn snapshot_name(session: &BackupSession, repository: &str) -> String {
    name::snapshot(repository, &session.name_any())
}

/// Whether a session has ended, however it did.
pub(crate) fn is_finished(session: &BackupSession) -> bool {
    matches!(
        session.status.as_ref().and_then(|status| status.phase),
        Some(
            BackupSessionPhase::Succeeded
                | BackupSessionPhase::Failed
                | BackupSessionPhase::Skipped
        )
    )
}

/// What sessions are ordered by: when they were made, then their name.
pub(super) fn age(session: &BackupSession) -> (Option<Timestamp>, String) {
    (
        session
            .meta()
            .creation_timestamp
            .as_ref()
            .map(|time| time.0),
        session.name_any(),
    )
}
