//! An API server and a provider, each test its own.
#![allow(dead_code, unreachable_pub)]

use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Client, Resource};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::{DatabaseStatus, Druid, MariaDB, MySQL, Postgres};
use kubestash_apiserver::testing::TestServer;
use kubestash_kubedb::{KubedbConfig, KubedbError};
use mysql_async::prelude::Queryable;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub const BINARY: &str = env!("CARGO_BIN_EXE_kubedb-under-test");
/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Kinds of these tests.
pub trait Object:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + serde::Serialize
    + DeserializeOwned
    + Clone
    + std::fmt::Debug
    + Send
    + 'static
{
}
impl<K> Object for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + serde::Serialize
        + DeserializeOwned
        + Clone
        + std::fmt::Debug
        + Send
        + 'static
{
}

/// What these tests ask every kind.
pub trait Database {
    fn status(&self) -> Option<&DatabaseStatus>;
}

macro_rules! database {
    ($($kind:ty),+) => {$(
        impl Database for $kind {
            fn status(&self) -> Option<&DatabaseStatus> {
                self.status.as_ref()
            }
        }
    )+};
}
database!(Druid, MariaDB, MySQL, Postgres);

pub struct Cluster {
    pub server: TestServer,
    pub client: Client,
}

impl Cluster {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .try_init();
        let server = TestServer::start().await.unwrap();
        let kubeconfig = serde_json::from_value(server.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        // Only what the provider looks at: every definition costs time.
        let kinds = [
            "AppBinding",
            "Druid",
            "MariaDB",
            "MySQL",
            "Postgres",
            "RestoreSession",
        ];
        let all = kubestash_api::crds()
            .into_iter()
            .chain(kubestash_api::foreign_crds());
        for crd in all.filter(|crd| kinds.contains(&crd.spec.names.kind.as_str())) {
            crds.create(&PostParams::default(), &crd).await.unwrap();
        }
        for name in ["demo", "dev"] {
            let object: Namespace =
                serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            Api::all(client.clone())
                .create(&PostParams::default(), &object)
                .await
                .unwrap();
        }
        Self { server, client }
    }

    pub fn config(&self) -> KubedbConfig {
        KubedbConfig::new(
            self.client.clone(),
            self.server.directory().join("data"),
            BINARY,
        )
    }

    pub fn provider(&self) -> RunningProvider {
        RunningProvider::start(self.config())
    }

    /// A provider that finds PostgreSQL only, and so spends no time on the others.
    pub fn postgres_provider(&self) -> RunningProvider {
        let mut config = self.config();
        config.search_path = self.server.directory().display().to_string();
        RunningProvider::start(config)
    }

    pub fn api<K: Object>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), "demo")
    }

    pub async fn create<K: Object>(&self, name: &str, spec: Value) -> K {
        self.create_with(json!({"name": name}), spec).await
    }

    pub async fn create_with<K: Object>(&self, metadata: Value, spec: Value) -> K {
        let object = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": metadata, "spec": spec});
        let object: K = serde_json::from_value(object).unwrap();
        self.api()
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    pub async fn until<K: Object>(
        &self,
        name: &str,
        what: &str,
        condition: impl Condition<K>,
    ) -> Option<K> {
        self.until_in(&self.api(), name, what, condition).await
    }

    pub async fn until_in<K: Object>(
        &self,
        api: &Api<K>,
        name: &str,
        what: &str,
        condition: impl Condition<K>,
    ) -> Option<K> {
        match tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, condition)).await {
            Ok(result) => result.unwrap(),
            Err(_) => {
                let object = serde_json::to_value(api.get_opt(name).await.unwrap()).unwrap();
                panic!("{name} never came to {what}: {object:#}");
            }
        }
    }

    pub async fn in_phase<K: Object + Database>(&self, name: &str, phase: &'static str) -> K {
        self.until(name, phase, move |object: Option<&K>| {
            in_phase(object.and_then(Database::status), phase)
        })
        .await
        .unwrap()
    }

    pub async fn druid_in_phase(&self, name: &str, phase: &'static str) -> Druid {
        self.in_phase(name, phase).await
    }

    pub async fn mysql_in_phase(&self, name: &str, phase: &'static str) -> MySQL {
        self.in_phase(name, phase).await
    }

    /// Waits for an Event on an object that says this. Unlike a phase, it is not missed when it has
    /// passed.
    pub async fn told(&self, kind: &str, name: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        let says = |event: &Event| {
            let object = &event.involved_object;
            (object.kind.as_deref(), object.name.as_deref()) == (Some(kind), Some(name))
                && [&event.reason, &event.message]
                    .into_iter()
                    .flatten()
                    .any(|it| it.contains(text))
        };
        loop {
            let events = self.api::<Event>().list(&ListParams::default()).await;
            if events.unwrap().items.iter().any(says) {
                return;
            }
            assert!(Instant::now() < deadline, "no Event on {name} says {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes the object of a file under `examples/`.
    pub async fn create_example(&self, yaml: &str) {
        let object: DynamicObject = serde_saphyr::from_str(yaml).unwrap();
        let types = object.types.clone().unwrap();
        let kind = GroupVersionKind::try_from(&types).unwrap();
        let plural = match types.kind.as_str() {
            "Postgres" => "postgreses".to_owned(),
            other => format!("{}s", other.to_ascii_lowercase()),
        };
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "demo", &resource);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    pub async fn is_gone<K: Object>(&self, name: &str) {
        self.until::<K>(name, "its removal", |object: Option<&K>| object.is_none())
            .await;
    }

    /// Connects to a database as a backup does: through its AppBinding.
    pub async fn connect(&self, binding: &str) -> mysql_async::Conn {
        self.try_connect(binding).await.unwrap()
    }

    pub async fn try_connect(&self, binding: &str) -> mysql_async::Result<mysql_async::Conn> {
        let (port, username, password) = self.access(binding).await;
        mysql(port, &username, Some(&password)).await
    }

    /// Port, user name and password of the server that an AppBinding leads to.
    pub async fn access(&self, binding: &str) -> (u16, String, String) {
        let binding = self.api::<AppBinding>().get(binding).await.unwrap();
        let secret = self
            .api::<Secret>()
            .get(&binding.spec.secret.unwrap().name)
            .await
            .unwrap()
            .data
            .unwrap();
        let text = |key: &str| String::from_utf8(secret[key].0.clone()).unwrap();
        let port = port_of(binding.spec.client_config.url.as_deref().unwrap());
        (port, text("username"), text("password"))
    }

    /// Runs one statement in a database of a PostgreSQL server, reached as a backup does; the rows'
    /// first column.
    pub async fn pg_query(&self, binding: &str, database: &str, sql: &str) -> Vec<String> {
        self.try_pg_query(binding, database, sql).await.unwrap()
    }

    pub async fn try_pg_query(
        &self,
        binding: &str,
        database: &str,
        sql: &str,
    ) -> Result<Vec<String>, tokio_postgres::Error> {
        let (port, username, password) = self.access(binding).await;
        let client = postgres(port, &username, Some(&password), database).await?;
        let messages = client.simple_query(sql).await?;
        let column = |message: &tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        Ok(messages.iter().filter_map(column).collect())
    }

    pub async fn query(&self, binding: &str, sql: &str) -> Vec<String> {
        let mut connection = self.connect(binding).await;
        let rows = connection.query(sql).await.unwrap();
        connection.disconnect().await.unwrap();
        rows
    }

    /// Process ids of this cluster's database servers.
    pub fn servers(&self) -> Vec<u32> {
        // They see their data at a fixed path, so the directory that tells clusters apart is the
        // one of their mounts.
        let directory = self
            .server
            .directory()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let ours = |entry: std::fs::DirEntry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line);
            let is_server = line.contains("--datadir=/kubestash-database/data")
                || line.contains("hba_file=/kubestash-database/pg_hba.conf");
            let mounts = std::fs::read_to_string(entry.path().join("mountinfo")).ok()?;
            (is_server && mounts.contains(&directory)).then_some(pid)
        };
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| ours(entry.ok()?))
            .collect()
    }

    pub async fn await_servers(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.servers().len() != count {
            assert!(
                Instant::now() < deadline,
                "{:?} instead of {count}",
                self.servers()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Name and version of every object of a kind.
    pub async fn versions<K: Object>(&self) -> Vec<(String, Option<String>)> {
        use kube::ResourceExt;
        let list = self.api::<K>().list(&ListParams::default()).await.unwrap();
        list.items
            .iter()
            .map(|item| (item.name_any(), item.resource_version()))
            .collect()
    }

    pub async fn names<K: Object>(&self) -> Vec<String> {
        let list = self.api::<K>().list(&ListParams::default()).await.unwrap();
        list.items.iter().map(kube::ResourceExt::name_any).collect()
    }
}

pub fn port_of(url: &str) -> u16 {
    let mysql = url.strip_prefix("tcp(127.0.0.1:");
    let mysql = mysql.and_then(|rest| rest.strip_suffix(")/"));
    let postgres = url.strip_prefix("postgresql://127.0.0.1:");
    let postgres = postgres.and_then(|rest| rest.strip_suffix('/'));
    mysql.or(postgres).unwrap().parse().unwrap()
}

/// Logs in to a MySQL-compatible server.
pub async fn mysql(
    port: u16,
    username: &str,
    password: Option<&str>,
) -> mysql_async::Result<mysql_async::Conn> {
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(username))
        .pass(password)
        .prefer_socket(false);
    mysql_async::Conn::new(options).await
}

/// Logs in to a PostgreSQL server.
pub async fn postgres(
    port: u16,
    username: &str,
    password: Option<&str>,
    database: &str,
) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user(username)
        .dbname(database);
    if let Some(password) = password {
        config.password(password);
    }
    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Files below a directory, and process arguments and environments, that hold these bytes.
pub fn traces_of(needle: &[u8], dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let holds = |path: &std::path::Path| {
        std::fs::read(path)
            .is_ok_and(|content| content.windows(needle.len()).any(|it| it == needle))
    };
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => dirs.push(entry.path()),
                _ if holds(&entry.path()) => found.push(entry.path()),
                _ => {}
            }
        }
    }
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let files = ["cmdline", "environ"].map(|name| entry.path().join(name));
        found.extend(files.into_iter().filter(|path| holds(path)));
    }
    found
}

/// Ends a process as hard as it goes.
pub fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}
pub fn in_phase(status: Option<&DatabaseStatus>, phase: &str) -> bool {
    status.and_then(|status| status.phase.as_deref()) == Some(phase)
}

/// The reason and message of a condition, if it is there.
pub fn condition(status: Option<&DatabaseStatus>, kind: &str) -> Option<(bool, String, String)> {
    let condition = status?
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    let holds = condition.status == kubestash_api::shared::ConditionStatus::True;
    Some((holds, condition.reason.clone(), condition.message.clone()))
}

/// A provider in the background, on a runtime of its own, so that it can be taken away as by `kill
/// -9`.
pub struct RunningProvider {
    stop: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
    task: Option<tokio::task::JoinHandle<Result<(), KubedbError>>>,
}

impl RunningProvider {
    pub fn start(config: KubedbConfig) -> Self {
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let task = runtime.spawn(kubestash_kubedb::run(config, stop.clone()));
        Self {
            stop,
            runtime: Some(runtime),
            task: Some(task),
        }
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap().unwrap();
    }

    pub fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for RunningProvider {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
