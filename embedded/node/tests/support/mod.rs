//! An API server and a node, each test its own.
#![allow(dead_code, unreachable_pub)]

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ListParams, LogParams, PostParams};
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Client, ResourceExt};
use kubestash_apiserver::testing::TestServer;
use kubestash_node::{NodeConfig, NodeError};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub const BINARY: &str = env!("CARGO_BIN_EXE_node-under-test");
/// What the node under test calls its own image.
pub const IMAGE: &str = "kubestash.test/own";
/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of one node.
pub struct Cluster {
    pub server: TestServer,
    pub client: Client,
    pub namespace: String,
}

impl Cluster {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // For `RUST_LOG=kubestash_node=debug cargo test -- --nocapture`.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .try_init();
        let server = TestServer::start().await.unwrap();
        let client = client(&server).await;
        let namespace = "demo".to_owned();
        let object: Namespace =
            serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::all(client.clone())
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        Self {
            server,
            client,
            namespace,
        }
    }

    pub fn config(&self) -> NodeConfig {
        let mut config = NodeConfig::new(
            self.client.clone(),
            self.server.directory().join("data"),
            BINARY,
        );
        config.pods_dir = self.server.pods_dir().to_owned();
        config.own_images = vec![IMAGE.to_owned()];
        config.api_port = self.server.addr().port();
        config.ca_pem = self.server.ca_pem().to_owned();
        config
    }

    /// Starts the node; it stops when the result is stopped or dropped.
    pub fn node(&self) -> RunningNode {
        self.node_with(self.config())
    }

    /// The same with another configuration.
    pub fn node_with(&self, config: NodeConfig) -> RunningNode {
        let stop = CancellationToken::new();
        // A runtime of its own, so that it can be taken away as by `kill -9`.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let task = runtime.spawn(kubestash_node::run(config, stop.clone()));
        RunningNode {
            stop,
            runtime: Some(runtime),
            task: Some(task),
        }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn create<K>(&self, object: Value) -> K
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + serde::Serialize
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api()
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    /// Waits for a condition of an object.
    pub async fn until<K>(&self, name: &str, what: &str, condition: impl Condition<K>) -> Option<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + serde::de::DeserializeOwned
            + serde::Serialize
            + Clone
            + std::fmt::Debug
            + Send
            + 'static,
    {
        let waiting = await_condition(self.api::<K>(), name, condition);
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(result) => result.unwrap(),
            Err(_) => {
                let object = self.api::<K>().get_opt(name).await.unwrap();
                let object = serde_json::to_value(object).unwrap();
                panic!("{name} never came to {what}: {}", object["status"]);
            }
        }
    }

    pub async fn finished(&self, job: &str) -> Job {
        let done = |job: Option<&Job>| job.is_some_and(|job| outcome(job).is_some());
        self.until(job, "its end", done).await.unwrap()
    }

    pub async fn pods_of(&self, job: &str) -> Vec<Pod> {
        let selector = ListParams::default().labels(&format!("job-name={job}"));
        self.api::<Pod>().list(&selector).await.unwrap().items
    }

    pub async fn log_of(&self, pod: &Pod, container: &str) -> String {
        let params = LogParams {
            container: Some(container.to_owned()),
            ..LogParams::default()
        };
        self.api::<Pod>()
            .logs(&pod.name_any(), &params)
            .await
            .unwrap()
    }

    /// Runs a Job with one shell container to its end; its outcome and its log.
    pub async fn run_script(&self, name: &str, script: &str, pod: Value) -> (Job, String) {
        // Jobs and pods are large; on the heap the caller's future is not.
        Box::pin(self.create::<Job>(job(name, script, pod))).await;
        let job = Box::pin(self.finished(name)).await;
        let pods = Box::pin(self.pods_of(name)).await;
        let log = Box::pin(self.log_of(&pods[0], "main")).await;
        (job, log)
    }
}

pub async fn client(server: &TestServer) -> Client {
    let kubeconfig = serde_json::from_value(server.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

/// A node in the background.
pub struct RunningNode {
    stop: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
    task: Option<tokio::task::JoinHandle<Result<(), NodeError>>>,
}

impl RunningNode {
    /// Stops it as Ctrl-C does.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap().unwrap();
    }

    /// Takes it away without a word.
    pub fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// `Complete` or the reason of `Failed`.
pub fn outcome(job: &Job) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .filter(|condition| condition.status == "True")
        .find_map(|condition| match condition.type_.as_str() {
            "Complete" => Some("Complete".to_owned()),
            "Failed" => condition.reason.clone(),
            _ => None,
        })
}

/// A Job of one shell container; `pod` is merged into the pod's spec, `job` keys of it into the
/// Job's.
pub fn job(name: &str, script: &str, extra: Value) -> Value {
    let mut spec = json!({
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": IMAGE, "command": ["sh", "-c", script]}],
    });
    let mut job_spec = json!({"backoffLimit": 0});
    for (key, value) in extra.as_object().unwrap() {
        match key.strip_prefix("job.") {
            Some(key) => job_spec[key] = value.clone(),
            None if key == "main" => merge(&mut spec["containers"][0], value),
            None => spec[key] = value.clone(),
        }
    }
    job_spec["template"] = json!({"spec": spec});
    json!({"metadata": {"name": name}, "spec": job_spec})
}

fn merge(target: &mut Value, from: &Value) {
    for (key, value) in from.as_object().unwrap() {
        target[key] = value.clone();
    }
}

/// Process ids of the machine with this argument in their command line.
pub fn processes_with(marker: &str) -> Vec<u32> {
    let found = |entry: std::fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        line.split(|byte| *byte == 0)
            .any(|word| word == marker.as_bytes())
            .then_some(pid)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| found(entry.ok()?))
        .collect()
}

/// Waits until so many processes have the marker.
pub async fn await_processes(marker: &str, count: usize) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while processes_with(marker).len() != count {
        assert!(
            std::time::Instant::now() < deadline,
            "{:?} instead of {count}",
            processes_with(marker)
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A duration for `sleep` that no other process on the machine has.
pub fn marker() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .subsec_nanos();
    format!(
        "1000.{}{nanos}{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Waits until a path is gone.
pub async fn await_absence(path: &Path) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while path.exists() {
        assert!(
            std::time::Instant::now() < deadline,
            "{path:?} is still there"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
