//! An API server, an operator and a GCS emulator, each test its own.
// Every test program uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod gcs;

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use kubestash_apiserver::testing::TestServer;
use kubestash_operator::{JobEnvironment, OperatorConfig, RunError, WebhookAddress, WebhookConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::gcs::GcsEmulator;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const NAMESPACE: &str = "demo";

/// A kind that tests use.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Serialize
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
}
impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + Debug
        + Send
        + Sync
        + 'static
{
}

pub struct World {
    pub server: TestServer,
    pub client: Client,
    pub gcs: GcsEmulator,
    operator: Option<(CancellationToken, JoinHandle<Result<(), RunError>>)>,
}

impl World {
    /// A cluster with our kinds, the namespace `demo`, and a running operator with its webhook.
    pub async fn start() -> Self {
        let mut world = Self::without_operator().await;
        world.start_operator().await;
        world
    }

    pub async fn without_operator() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let (server, gcs) = tokio::join!(TestServer::start(), GcsEmulator::start());
        let server = server.unwrap();
        let kubeconfig = serde_json::from_value(server.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        let world = Self {
            server,
            client,
            gcs,
            operator: None,
        };
        world.install_kinds().await;
        world.make_namespace(NAMESPACE).await;
        world
    }

    async fn install_kinds(&self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let crds: Vec<_> = kubestash_api::crds()
            .into_iter()
            .chain(kubestash_api::foreign_crds())
            .collect();
        for crd in &crds {
            api.create(&PostParams::default(), crd).await.unwrap();
        }
        for crd in &crds {
            let name = crd.name_any();
            let established = await_condition(api.clone(), &name, is_crd_established());
            tokio::time::timeout(PATIENCE, established)
                .await
                .unwrap()
                .unwrap();
        }
    }

    /// The Addons and Functions.
    pub async fn catalog(&self) {
        for addon in kubestash_domain::catalog::addons() {
            let api = Api::<kubestash_api::addons::Addon>::all(self.client.clone());
            api.create(&PostParams::default(), &addon).await.unwrap();
        }
        for function in kubestash_domain::catalog::functions("image") {
            let api = Api::<kubestash_api::addons::Function>::all(self.client.clone());
            api.create(&PostParams::default(), &function).await.unwrap();
        }
    }

    pub async fn make_namespace(&self, name: &str) {
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        Api::all(self.client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }

    /// The configuration of an operator with its webhook, and what tells that it is ready.
    pub fn config(&self) -> (OperatorConfig, oneshot::Receiver<()>) {
        let (ready, is_ready) = oneshot::channel();
        let config = OperatorConfig {
            client: self.client.clone(),
            namespace: "default".to_owned(),
            image: "kubestash.test/own".to_owned(),
            environment: JobEnvironment {
                storage_emulator_host: Some(self.gcs.endpoint.clone()),
                ..JobEnvironment::default()
            },
            webhook: Some(WebhookConfig {
                listen: ([127, 0, 0, 1], 0).into(),
                address: WebhookAddress::Url {
                    host: "127.0.0.1".to_owned(),
                },
                cert_dir: None,
            }),
            max_sessions: kubestash_operator::MAX_SESSIONS,
            leader_election: false,
            ready: Some(ready),
        };
        (config, is_ready)
    }

    pub async fn start_operator(&mut self) {
        let (config, is_ready) = self.config();
        let stop = CancellationToken::new();
        let task = tokio::spawn(kubestash_operator::run(config, stop.clone()));
        self.operator = Some((stop, task));
        tokio::time::timeout(PATIENCE, is_ready)
            .await
            .expect("the operator is not ready")
            .unwrap();
    }

    pub async fn stop_operator(&mut self) {
        let Some((stop, task)) = self.operator.take() else {
            return;
        };
        stop.cancel();
        tokio::time::timeout(PATIENCE, task)
            .await
            .expect("the operator does not stop")
            .unwrap()
            .unwrap();
    }

    pub async fn stop(mut self) {
        self.stop_operator().await;
        self.server.stop().await;
    }

    pub fn api<K: Kind>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub async fn try_create<K: Kind>(&self, object: Value) -> Result<K, String> {
        let object: K = serde_json::from_value(object).unwrap();
        let namespace = object.namespace().unwrap_or_else(|| NAMESPACE.to_owned());
        self.api(&namespace)
            .create(&PostParams::default(), &object)
            .await
            .map_err(|error| error.to_string())
    }

    pub async fn create<K: Kind>(&self, object: Value) -> K {
        self.try_create(object).await.unwrap()
    }

    pub async fn merge<K: Kind>(&self, name: &str, patch: Value) -> K {
        self.api::<K>(NAMESPACE)
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap()
    }

    pub async fn delete<K: Kind>(&self, name: &str) {
        self.api::<K>(NAMESPACE)
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until the object is as `wanted` says, and returns it.
    pub async fn until<K: Kind>(&self, name: &str, what: &str, wanted: impl Fn(&K) -> bool) -> K {
        let mut last = None;
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut changes = watcher::watcher(self.api::<K>(NAMESPACE), config).boxed();
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(event) = changes.next().await {
                if let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event
                {
                    if wanted(&object) {
                        return Some(object);
                    }
                    last = Some(object);
                }
            }
            None
        })
        .await;
        match found {
            Ok(Some(object)) => object,
            _ => panic!("{} {name} is never {what}: {last:#?}", K::kind(&())),
        }
    }

    pub async fn until_gone<K: Kind>(&self, name: &str) {
        let mut changes = watcher::watch_object(self.api::<K>(NAMESPACE), name).boxed();
        let mut last = None;
        let gone = tokio::time::timeout(PATIENCE, async {
            while let Some(object) = changes.next().await {
                match object {
                    Ok(None) => return,
                    Ok(object) => last = object,
                    Err(_) => {}
                }
            }
        })
        .await;
        assert!(
            gone.is_ok(),
            "{} {name} does not go: {last:#?}",
            K::kind(&())
        );
    }

    /// Reasons and notes of all Events about an object.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events = self
            .api::<Event>(NAMESPACE)
            .list(&Default::default())
            .await
            .unwrap();
        let about = |event: &Event| {
            event
                .regarding
                .as_ref()
                .and_then(|object| object.name.as_deref())
                == Some(name)
        };
        let words = |event: Event| {
            (
                event.reason.unwrap_or_default(),
                event.note.unwrap_or_default(),
            )
        };
        events.items.into_iter().filter(about).map(words).collect()
    }

    /// Waits for an Event of that reason about an object, and returns its note.
    pub async fn event(&self, name: &str, reason: &str) -> String {
        let mut changes =
            watcher::watcher(self.api::<Event>(NAMESPACE), watcher::Config::default()).boxed();
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(event) = changes.next().await {
                if let Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = event
                    && event.reason.as_deref() == Some(reason)
                    && event
                        .regarding
                        .as_ref()
                        .and_then(|object| object.name.as_deref())
                        == Some(name)
                {
                    return event.note.unwrap_or_default();
                }
            }
            String::new()
        })
        .await;
        match found {
            Ok(note) => note,
            Err(_) => panic!(
                "no Event {reason} about {name}: {:?}",
                self.events(name).await
            ),
        }
    }

    pub async fn make_secret(&self, name: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE},
            "stringData": {"GOOGLE_PROJECT_ID": "p", "GOOGLE_SERVICE_ACCOUNT_JSON_KEY": "{\"canary\": \"c4n4ry\"}"},
        });
        self.create::<Secret>(secret).await;
    }
}

/// The tutorial's BackupStorage.
pub fn gcs_storage(name: &str, prefix: &str, policy: &str) -> Value {
    json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "storage": {"provider": "gcs", "gcs": {"bucket": gcs::BUCKET, "prefix": prefix, "secretName": "gcs-secret"}},
            "usagePolicy": {"allowedNamespaces": {"from": "All"}},
            "default": true,
            "deletionPolicy": policy,
        },
    })
}

pub fn repository(name: &str, policy: &str) -> Value {
    json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": NAMESPACE},
            "storageRef": {"name": "gcs-storage", "namespace": NAMESPACE},
            "path": format!("/{name}"), "deletionPolicy": policy,
            "encryptionSecret": {"name": "encrypt-secret", "namespace": NAMESPACE},
        },
    })
}
