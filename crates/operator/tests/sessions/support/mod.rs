//! A cluster for one test: API server, operator, the kinds and the catalog, and a stand-in for the
//! node.
#![allow(dead_code, unreachable_pub)]

pub mod node;

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions;
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Client, Resource, ResourceExt};
use kubestash_api::addons::{Addon, Function};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::{BackupBlueprint, BackupConfiguration, BackupSession};
use kubestash_api::kubedb::Druid;
use kubestash_api::storage::{BackupStorage, RetentionPolicy};
use kubestash_apiserver::testing::TestServer;
use kubestash_operator::{JobEnvironment, OperatorConfig, WebhookAddress, WebhookConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const IMAGE: &str = "kubestash.test/own";
pub const NAMESPACE: &str = "demo";

pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

pub struct Cluster {
    pub server: TestServer,
    pub client: Client,
    /// How many sessions its operators let work at once.
    pub max_sessions: usize,
}

impl Cluster {
    /// An API server with all kinds, the catalog and the namespace `demo`.
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = TestServer::start().await.unwrap();
        let kubeconfig = serde_json::from_value(server.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        let cluster = Self {
            server,
            client,
            max_sessions: kubestash_operator::MAX_SESSIONS,
        };
        let all = kubestash_api::crds()
            .into_iter()
            .chain(kubestash_api::foreign_crds());
        let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
        for definition in all {
            definitions
                .create(&PostParams::default(), &definition)
                .await
                .unwrap();
            let served = conditions::is_crd_established();
            await_condition(definitions.clone(), &definition.name_any(), served)
                .await
                .unwrap();
        }
        for addon in kubestash_domain::catalog::addons() {
            Api::<Addon>::all(cluster.client.clone())
                .create(&PostParams::default(), &addon)
                .await
                .unwrap();
        }
        for function in kubestash_domain::catalog::functions(IMAGE) {
            Api::<Function>::all(cluster.client.clone())
                .create(&PostParams::default(), &function)
                .await
                .unwrap();
        }
        cluster.namespace(NAMESPACE).await;
        cluster
    }

    pub async fn namespace(&self, name: &str) {
        let object: Namespace = from(json!({"metadata": {"name": name}}));
        Api::all(self.client.clone())
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// Starts an operator, and returns when it is ready.
    pub async fn operator(&self) -> Operator {
        self.operator_with(None).await
    }

    /// The same with its admission webhook.
    pub async fn operator_with_webhook(&self) -> Operator {
        let webhook = WebhookConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            address: WebhookAddress::Url {
                host: "127.0.0.1".to_owned(),
            },
            cert_dir: None,
        };
        self.operator_with(Some(webhook)).await
    }

    async fn operator_with(&self, webhook: Option<WebhookConfig>) -> Operator {
        let stop = CancellationToken::new();
        let (sender, ready) = tokio::sync::oneshot::channel();
        let config = OperatorConfig {
            client: self.client.clone(),
            // Not the tenants': the key of grants lies there.
            namespace: "kubestash".to_owned(),
            image: IMAGE.to_owned(),
            environment: JobEnvironment::default(),
            webhook,
            max_sessions: self.max_sessions,
            leader_election: false,
            ready: Some(sender),
        };
        let task = tokio::spawn(kubestash_operator::run(config, stop.clone()));
        ready.await.unwrap();
        Operator {
            stop,
            task: Some(task),
        }
    }

    pub fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub async fn create<K: Kind>(&self, object: Value) -> K {
        let object: K = from(object);
        let namespace = object.namespace().unwrap_or_else(|| NAMESPACE.to_owned());
        let api = Api::namespaced(self.client.clone(), &namespace);
        api.create(&PostParams::default(), &object).await.unwrap()
    }

    pub async fn merge<K: Kind>(&self, name: &str, patch: Value) -> K {
        self.api()
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap()
    }

    pub async fn delete<K: Kind>(&self, name: &str) {
        self.api::<K>()
            .delete(name, &Default::default())
            .await
            .unwrap();
    }

    pub async fn list<K: Kind>(&self) -> Vec<K> {
        self.api::<K>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
    }

    /// Waits for a condition of an object.
    pub async fn until<K: Kind>(
        &self,
        name: &str,
        what: &str,
        condition: impl Condition<K>,
    ) -> Option<K> {
        let waiting = Box::pin(await_condition(self.api::<K>(), name, condition));
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(result) => result.unwrap(),
            Err(_) => panic!(
                "{name} never came to {what}: {:#?}\n{:#?}",
                self.api::<K>().get_opt(name).await,
                self.notes().await
            ),
        }
    }

    pub async fn gone<K: Kind>(&self, name: &str) {
        self.until(name, "its end", |found: Option<&K>| found.is_none())
            .await;
    }

    /// Waits until a look at the whole cluster finds something.
    pub async fn eventually<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        look: impl Fn() -> F,
    ) -> T {
        let watching = async {
            // Every change of a session or Event is a reason to look again; the pause only bounds
            // the rate.
            let mut pause = tokio::time::interval(Duration::from_millis(20));
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                pause.tick().await;
            }
        };
        match tokio::time::timeout(PATIENCE, watching).await {
            Ok(found) => found,
            Err(_) => panic!("{what} never came: {:#?}", self.notes().await),
        }
    }

    /// Waits until a session has ended, and returns it.
    pub async fn ended(&self, name: &str) -> BackupSession {
        let ended = |found: Option<&BackupSession>| {
            let phase = found.and_then(|found| found.status.as_ref()?.phase);
            phase.is_some_and(kubestash_domain::phase::backup_session_completed)
        };
        self.until(name, "its end", ended).await.unwrap()
    }

    /// Waits until so many sessions have ended, and returns all of them, oldest first.
    pub async fn sessions_ended(&self, count: usize) -> Vec<BackupSession> {
        self.eventually("enough sessions", || async {
            let sessions = self.list::<BackupSession>().await;
            let ended = sessions.iter().filter(|found| {
                let phase = found.status.as_ref().and_then(|status| status.phase);
                phase.is_some_and(kubestash_domain::phase::backup_session_completed)
            });
            (ended.count() >= count).then_some(sessions)
        })
        .await
    }

    /// Reasons and notes of all Events about an object of a kind.
    pub async fn notes_about(&self, kind: &str, name: &str) -> Vec<(String, String)> {
        let events = self.list::<Event>().await;
        events
            .into_iter()
            .filter(|event| {
                let about = event.regarding.clone().unwrap_or_default();
                about.kind.as_deref() == Some(kind) && about.name.as_deref() == Some(name)
            })
            .map(|event| {
                (
                    event.reason.unwrap_or_default(),
                    event.note.unwrap_or_default(),
                )
            })
            .collect()
    }

    async fn notes(&self) -> Vec<String> {
        let events = self.list::<Event>().await;
        events
            .into_iter()
            .map(|event| {
                let about = event.regarding.unwrap_or_default();
                format!(
                    "{:?} {:?}: {:?} {:?}",
                    about.kind, about.name, event.reason, event.note
                )
            })
            .collect()
    }

    /// Waits for an Event with this reason about an object, and returns its note.
    pub async fn told(&self, kind: &str, name: &str, reason: &str) -> String {
        self.eventually(
            &format!("the Event {reason} about {kind} {name}"),
            || async {
                let notes = self.notes_about(kind, name).await;
                notes
                    .into_iter()
                    .find(|(found, _)| found == reason)
                    .map(|(_, note)| note)
            },
        )
        .await
    }

    /// The storage of the tutorial's name, in a volume so that no bucket is needed, the tutorial's
    /// policy, and the password.
    pub async fn backends(&self) {
        self.create::<Secret>(json!({
            "metadata": {"name": "encrypt-secret", "namespace": NAMESPACE},
            "stringData": {"RESTIC_PASSWORD": "changeit"},
        }))
        .await;
        self.create::<BackupStorage>(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": "gcs-storage", "namespace": NAMESPACE},
            "spec": {
                "storage": {"provider": "local", "local": {"mountPath": "/data", "emptyDir": {}}},
                "usagePolicy": {"allowedNamespaces": {"from": "All"}},
                "default": true, "deletionPolicy": "Delete",
            },
        }))
        .await;
        self.create::<RetentionPolicy>(yaml(include_str!(
            "../../../../../examples/retentionpolicy.yaml"
        )))
        .await;
    }

    /// A Druid from its manifest, with what KubeDB makes for it.
    pub async fn druid(&self, manifest: &str) -> Druid {
        let druid: Druid = self.create(yaml(manifest)).await;
        let (name, metadata) = (
            druid.name_any(),
            format!("{}-mysql-metadata", druid.name_any()),
        );
        let owner = json!([{"apiVersion": "kubedb.com/v1alpha2", "kind": "Druid", "name": name,
            "uid": druid.uid(), "controller": true, "blockOwnerDeletion": true}]);
        self.create::<AppBinding>(json!({
            "apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
            "metadata": {"name": metadata, "namespace": NAMESPACE, "ownerReferences": owner},
            "spec": {"type": "kubedb.com/mysql", "version": "8.0.35", "secret": {"name": format!("{metadata}-auth")},
                "clientConfig": {"url": "tcp(127.0.0.1:3306)/"},
                "appRef": {"apiGroup": "kubedb.com", "kind": "MySQL", "name": metadata, "namespace": NAMESPACE}},
        }))
        .await;
        self.create::<AppBinding>(json!({
            "apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
            "metadata": {"name": name, "namespace": NAMESPACE, "annotations": druid.annotations(),
                "ownerReferences": owner},
            "spec": {"type": "kubedb.com/druid", "version": druid.spec.version,
                "secret": {"name": format!("{name}-auth")}, "clientConfig": {"url": "http://127.0.0.1:8888"},
                "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": name, "namespace": NAMESPACE}},
        }))
        .await;
        druid
    }

    /// The tutorial's first part up to the running backup: backends, default blueprint, annotated
    /// Druid.
    pub async fn tutorial(&self) {
        self.backends().await;
        self.create::<BackupBlueprint>(default_blueprint()).await;
        self.druid(SAMPLE_DRUID).await;
    }

    pub async fn configuration_ready(&self, name: &str) -> BackupConfiguration {
        let ready = |found: Option<&BackupConfiguration>| {
            found
                .and_then(|found| found.status.as_ref()?.phase)
                .is_some_and(|phase| phase.as_str() == "Ready")
        };
        self.until(name, "Ready", ready).await.unwrap()
    }
}

pub const SAMPLE_DRUID: &str = include_str!("../../../../../examples/sample-druid.yaml");
pub const SAMPLE_DRUID_2: &str = include_str!("../../../../../examples/sample-druid-2.yaml");
pub const CONFIGURATION: &str = "appbinding-sample-druid";

pub fn default_blueprint() -> Value {
    yaml(include_str!(
        "../../../../../examples/default-backupblueprint.yaml"
    ))
}

pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

pub fn from<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// A running operator; it stops when it is stopped or dropped.
pub struct Operator {
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<Result<(), kubestash_operator::RunError>>>,
}

impl Operator {
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap().unwrap();
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
