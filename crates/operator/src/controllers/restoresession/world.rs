//! Everything that a decision about a restore depends on.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use kubestash_api::addons::{Addon, Function};
use kubestash_api::core::{ManifestOptions, RestoreDataSource, RestoreSession};
use kubestash_api::shared::TypedObjectReference;
use kubestash_api::storage::{BackupStorage, Repository, Snapshot};
use kubestash_domain::manifest::{Placement, effective_target};
use kubestash_domain::phase;

use crate::config::JobEnvironment;
use crate::controllers::backupsession::Source;
use crate::jobs::Told;
use crate::session::queue::Turn;
use crate::validation::Violation;

/// What was read for a restore.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    /// The session, as the API server has it now.
    pub session: Arc<RestoreSession>,
    /// The Snapshots that may be meant, as the API server has them now.
    pub snapshots: Vec<Snapshot>,
    /// The Repository of the data.
    pub repository: Option<Repository>,
    /// The storage of that Repository.
    pub storage: Option<Arc<BackupStorage>>,
    /// Whether that storage may be used from the session's namespace.
    pub storage_allowed: bool,
    /// The Addon that the session names.
    pub addon: Option<Arc<Addon>>,
    /// The Functions there are, by name.
    pub functions: BTreeMap<String, Arc<Function>>,
    /// The object that is restored into, with its namespace; none if nothing says which.
    pub target: Option<TypedObjectReference>,
    /// Where the manifests of the Snapshot go, if a task restores them.
    pub placements: Vec<Placement>,
    /// Namespaces that the manifests go to and that are not there, or are being deleted.
    pub namespaces_missing: Vec<String>,
    /// The way to the target's database.
    pub source: Source,
    /// Why the target cannot be restored into yet; none if it can.
    pub target_missing: Option<String>,
    /// Whether it is its turn.
    pub turn: Turn,
    /// An object that has the name of one that the session needs, and belongs to something else.
    pub in_the_way: Option<String>,
    /// When all this was read.
    pub now: Timestamp,
    /// Another restore that works on the target.
    pub rival: Option<String>,
    /// The target's BackupConfigurations that are not paused.
    pub backups: Vec<TypedObjectReference>,
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
    /// The namespace of the session and its Job.
    pub(super) fn namespace(&self) -> String {
        self.session.namespace().unwrap_or_default()
    }

    /// When the session was made.
    pub(super) fn created(&self) -> Option<Timestamp> {
        let created = self.session.meta().creation_timestamp.as_ref();
        created.map(|time| time.0)
    }
}

/// What to restore, as the session says.
pub(super) fn data_source(session: &RestoreSession) -> RestoreDataSource {
    session.spec.data_source.clone().unwrap_or_default()
}

/// The namespace of Repository and Snapshot.
pub(super) fn data_namespace(session: &RestoreSession) -> String {
    data_source(session)
        .namespace
        .filter(|namespace| !namespace.is_empty())
        .or_else(|| session.namespace())
        .unwrap_or_default()
}

/// The target, with its namespace: the one that the session names, else what its manifests make of
/// the one that `snapshot` was taken of.
pub(super) fn target(
    session: &RestoreSession,
    snapshot: Option<&Snapshot>,
) -> Option<TypedObjectReference> {
    let own = session.namespace().unwrap_or_default();
    if let Some(target) = &session.spec.target {
        return Some(TypedObjectReference {
            namespace: Some(target.namespace_or(&own).to_owned()),
            ..target.clone()
        });
    }
    let app = snapshot?.spec.app_ref.as_ref()?;
    Some(effective_target(app, &own, &options(session)))
}

/// What the session says about manifests.
pub(super) fn options(session: &RestoreSession) -> ManifestOptions {
    let options = session.spec.manifest_options.as_deref();
    options.cloned().unwrap_or_default()
}

/// Whether a restore has ended, however it did.
pub(crate) fn is_finished(session: &RestoreSession) -> bool {
    let phase = session.status.as_ref().and_then(|status| status.phase);
    phase.is_some_and(phase::restore_session_completed)
}

/// Whether it was that restore's turn: it has the target to itself until it ends.
pub(crate) fn has_begun(session: &RestoreSession) -> bool {
    let status = session.status.as_ref();
    status.is_some_and(|status| status.total_components.is_some())
}
