//! What every reconciler is given: the client, the stores, the Events, and the operator's settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use kubestash_api::addons::{Addon, Function};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::{BackupBlueprint, BackupConfiguration, BackupSession, RestoreSession};
use kubestash_api::kubedb::Druid;
use kubestash_api::labels;
use kubestash_api::storage::{BackupStorage, Repository, RetentionPolicy, Snapshot};
use tokio_util::sync::CancellationToken;

use crate::config::JobEnvironment;
use crate::consent::Key;
use crate::runtime::attempt::Attempts;
use crate::runtime::events::Events;
use crate::runtime::locks::Locks;
use crate::runtime::watch::{Driver, Watch};
use crate::session::queue::Queue;
use crate::stores::Stores;

/// The world as all controllers see it, and the means to change it.
pub(crate) struct Context {
    /// The API client.
    pub client: Client,
    /// The operator's own namespace.
    pub namespace: String,
    /// The image of the Jobs.
    pub image: String,
    /// Environment passed on to Jobs.
    pub environment: JobEnvironment,
    /// Where refusals are told.
    pub events: Arc<Events>,
    /// The stores.
    pub watches: Watches,
    /// The open stores of the BackupStorages.
    pub stores: Stores,
    /// The last attempts at what a bucket or a Job refused.
    pub(crate) attempts: Attempts,
    /// The key of what authors were found to have the right to refer to.
    pub(crate) grants: Arc<Key>,
    /// The ServiceAccount that the operator runs as, if it does.
    pub(crate) account: Option<String>,
    /// One at a time for each Repository.
    pub(crate) locks: Locks,
    /// Which sessions may begin.
    pub queue: Queue,
    /// Fires when the operator stops.
    pub shutdown: CancellationToken,
}

impl Context {
    /// The API of a namespaced kind.
    pub(crate) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The labels of a namespace; none when it is unknown.
    #[must_use]
    pub(crate) fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.watches
            .namespaces
            .get("", namespace)
            .map(|found| found.labels().clone())
            .unwrap_or_default()
    }

    /// Whether nothing can be created in `namespace` any more: it is being deleted, or gone.
    #[must_use]
    pub(crate) fn is_terminating(&self, namespace: &str) -> bool {
        self.watches
            .namespaces
            .get("", namespace)
            .is_none_or(|found| found.meta().deletion_timestamp.is_some())
    }
}

/// One watch for each kind the operator reads.
#[derive(Clone)]
#[allow(missing_docs, reason = "the fields are named after the kinds")]
pub(crate) struct Watches {
    pub backup_storages: Watch<BackupStorage>,
    pub retention_policies: Watch<RetentionPolicy>,
    pub repositories: Watch<Repository>,
    pub snapshots: Watch<Snapshot>,
    pub backup_configurations: Watch<BackupConfiguration>,
    pub backup_sessions: Watch<BackupSession>,
    pub restore_sessions: Watch<RestoreSession>,
    pub backup_blueprints: Watch<BackupBlueprint>,
    pub addons: Watch<Addon>,
    pub functions: Watch<Function>,
    pub namespaces: Watch<Namespace>,
    /// Metadata only: a Secret's content is read when it is needed, and never kept.
    pub secrets: Watch<PartialObjectMeta<Secret>>,
    /// Only those with our managed-by label.
    pub jobs: Watch<Job>,
    /// Only those with our managed-by label.
    pub pods: Watch<Pod>,
    /// A foreign kind: its CRD may be missing, so nothing waits for it.
    pub app_bindings: Watch<AppBinding>,
    /// A foreign kind as well: that it waits for its first restore holds back its first backup.
    pub druids: Watch<Druid>,
}

impl Watches {
    /// Starts all watches.
    #[must_use]
    pub(crate) fn start(driver: &Driver) -> Self {
        let all = watcher::Config::default;
        let ours = || {
            all().labels(&format!(
                "{}={}",
                labels::MANAGED_BY,
                labels::MANAGED_BY_KUBESTASH
            ))
        };
        Self {
            backup_storages: Watch::start(driver, all()),
            retention_policies: Watch::start(driver, all()),
            repositories: Watch::start(driver, all()),
            snapshots: Watch::start(driver, all()),
            backup_configurations: Watch::start(driver, all()),
            backup_sessions: Watch::start(driver, all()),
            restore_sessions: Watch::start(driver, all()),
            backup_blueprints: Watch::start(driver, all()),
            addons: Watch::start(driver, all()),
            functions: Watch::start(driver, all()),
            namespaces: Watch::start(driver, all()),
            secrets: Watch::metadata(driver, all()),
            jobs: Watch::start(driver, ours()),
            pods: Watch::start(driver, ours()),
            app_bindings: Watch::start(driver, all()),
            druids: Watch::start(driver, all()),
        }
    }

    /// Waits until every store of our own and of Kubernetes' kinds is filled.
    pub(crate) async fn ready(&self) {
        tokio::join!(
            self.backup_storages.ready(),
            self.retention_policies.ready(),
            self.repositories.ready(),
            self.snapshots.ready(),
            self.backup_configurations.ready(),
            self.backup_sessions.ready(),
            self.restore_sessions.ready(),
            self.backup_blueprints.ready(),
            self.addons.ready(),
            self.functions.ready(),
            self.namespaces.ready(),
            self.secrets.ready(),
            self.jobs.ready(),
            self.pods.ready(),
        );
    }
}
