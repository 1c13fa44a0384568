//! A stage for executor tests: a real API server, a real MariaDB with Druid's metadata, a volume as
//! storage.
#![allow(dead_code, unreachable_pub)] // Each test binary uses a part of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use kubestash_api::core::BackupSession;
use kubestash_api::storage::Snapshot;
use kubestash_apiserver::testing::TestServer;
use kubestash_backend::{Environment, LocalRoot};
use kubestash_engine::CancellationToken;
use kubestash_executor::failure::Failure;
use kubestash_executor::settings::Settings;
use serde_json::{Value, json};

#[path = "../../../database/tests/support/mod.rs"]
mod mariadb;
#[allow(unused_imports)] // Not every test binary has a MySQL.
pub use mariadb::oracle::{OracleMySql, Version};
#[allow(unused_imports)]
pub use mariadb::vendors::Server;
pub use mariadb::{MariaDb, ROOT_PASSWORD};
mod process;
#[allow(unused_imports)] // Not every test binary starts processes.
pub use process::{Process, executor_process, seeded};

/// Password of the repositories: a canary to search for.
pub const RESTIC_PASSWORD: &str = "canary-restic-Pa55";

pub const STORAGE: &str = "storage.kubestash.com/v1alpha1";
pub const CORE: &str = "core.kubestash.com/v1alpha1";

/// Everything a backup needs.
pub struct Stage {
    pub server: TestServer,
    pub admin: Client,
    pub database: MariaDb,
    pub volume: tempfile::TempDir,
    pub scratch: tempfile::TempDir,
    repositories: Vec<String>,
}

pub async fn client(kubeconfig: Value) -> Client {
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

impl Stage {
    /// A stage whose session writes into these repositories.
    pub async fn new(repositories: &[&str]) -> Self {
        // Another test of this process may have been faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (server, database) = tokio::join!(TestServer::start(), MariaDb::start());
        let server = server.unwrap();
        let admin = client(server.kubeconfig()).await;
        let stage = Self {
            server,
            admin,
            database,
            volume: tempfile::tempdir().unwrap(),
            scratch: tempfile::tempdir().unwrap(),
            repositories: repositories.iter().map(|name| (*name).to_owned()).collect(),
        };
        stage.database.fill_druid("druid", 500).await;
        stage.install().await;
        stage
    }

    async fn install(&self) {
        let crds = [kubestash_api::crds(), kubestash_api::foreign_crds()].concat();
        let api: Api<CustomResourceDefinition> = Api::all(self.admin.clone());
        for crd in &crds {
            api.create(&PostParams::default(), crd).await.unwrap();
        }
        self.create("v1", "Namespace", json!({"metadata": {"name": "demo"}}))
            .await;
        self.access().await;
        let secret = |name: &str, data: Value| json!({"metadata": {"name": name, "namespace": "demo"}, "stringData": data});
        self.create(
            "v1",
            "Secret",
            secret(
                "encrypt-secret",
                json!({"RESTIC_PASSWORD": RESTIC_PASSWORD}),
            ),
        )
        .await;
        let login = json!({"username": "root", "password": ROOT_PASSWORD});
        self.create(
            "v1",
            "Secret",
            secret("sample-druid-mysql-metadata-auth", login),
        )
        .await;
        self.create(
            "appcatalog.appscode.com/v1alpha1",
            "AppBinding",
            json!({
                "metadata": {"name": "sample-druid-mysql-metadata", "namespace": "demo"},
                "spec": {
                    "type": "kubedb.com/mysql", "version": "8.0.36",
                    "clientConfig": {"url": format!("tcp(127.0.0.1:{})/", self.database.port)},
                    "secret": {"name": "sample-druid-mysql-metadata-auth"},
                },
            }),
        )
        .await;
        self.create("kubedb.com/v1alpha2", "Druid", json!({
            "metadata": {"name": "sample-druid", "namespace": "demo"}, "spec": {"version": "30.0.0"},
        }))
        .await;
        self.create(STORAGE, "BackupStorage", json!({
            "metadata": {"name": "volume", "namespace": "demo"},
            "spec": {"storage": {"provider": "local", "local": {"mountPath": "/data", "hostPath": {"path": "/unused"}}}},
        }))
        .await;
        self.create(
            STORAGE,
            "RetentionPolicy",
            json!({
                "metadata": {"name": "keep", "namespace": "demo"},
                "spec": {"successfulSnapshots": {"last": 2}, "failedSnapshots": {"last": 1}},
            }),
        )
        .await;
        let repositories: Vec<Value> = self
            .repositories
            .iter()
            .map(|name| {
                json!({
                    "name": name, "backend": "volume-backend", "directory": format!("/{name}"),
                    "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"},
                })
            })
            .collect();
        self.create(CORE, "BackupConfiguration", json!({
            "metadata": {"name": "appbinding-sample-druid", "namespace": "demo"},
            "spec": {
                "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
                "backends": [{
                    "name": "volume-backend", "storageRef": {"name": "volume", "namespace": "demo"},
                    "retentionPolicy": {"name": "keep", "namespace": "demo"},
                }],
                "sessions": [{
                    "name": "frequent-backup", "sessionHistoryLimit": 3, "scheduler": {"schedule": "*/5 * * * *", "jobTemplate": {"backoffLimit": 1}},
                    "repositories": repositories,
                    "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-backup"}]},
                }],
            },
        }))
        .await;
        for name in &self.repositories {
            self.create(STORAGE, "Repository", json!({
                "metadata": {"name": name, "namespace": "demo"},
                "spec": {
                    "path": format!("/{name}"), "storageRef": {"name": "volume", "namespace": "demo"},
                    "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
                    "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"},
                },
            }))
            .await;
        }
    }

    /// The ServiceAccount of the executor, with the verbs that the operator grants and no others.
    async fn access(&self) {
        let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        self.create(
            "v1",
            "ServiceAccount",
            json!({"metadata": {"name": "executor", "namespace": "demo"}}),
        )
        .await;
        self.create("rbac.authorization.k8s.io/v1", "Role", json!({
            "metadata": {"name": "executor", "namespace": "demo"},
            "rules": [
                rule("core.kubestash.com", &["backupsessions", "backupconfigurations"], &["get"]),
                rule("core.kubestash.com", &["restoresessions"], &["get", "list"]),
                rule("core.kubestash.com", &["backupsessions/status", "restoresessions/status"], &["get", "patch"]),
                rule("storage.kubestash.com", &["snapshots"], &["list", "get", "patch", "delete"]),
                rule("storage.kubestash.com", &["snapshots/status"], &["get", "patch"]),
                rule("storage.kubestash.com", &["repositories", "backupstorages", "retentionpolicies"], &["get"]),
                rule("appcatalog.appscode.com", &["appbindings"], &["get"]),
                rule("kubedb.com", &["druids"], &["get"]),
                rule("", &["secrets"], &["get"]),
                rule("", &["configmaps"], &["get", "patch"]),
            ],
        }))
        .await;
        self.create("rbac.authorization.k8s.io/v1", "RoleBinding", json!({
            "metadata": {"name": "executor", "namespace": "demo"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "executor"},
            "subjects": [{"kind": "ServiceAccount", "name": "executor", "namespace": "demo"}],
        }))
        .await;
    }

    pub fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match kind {
            "Namespace" => Api::all_with(self.admin.clone(), &resource),
            _ => Api::namespaced_with(self.admin.clone(), "demo", &resource),
        }
    }

    pub async fn create(&self, api_version: &str, kind: &str, mut object: Value) {
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let created = self
            .api(api_version, kind)
            .create(&PostParams::default(), &object)
            .await;
        created.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }

    pub async fn merge(&self, api_version: &str, kind: &str, name: &str, patch: Value) {
        let api = self.api(api_version, kind);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Makes a BackupSession and its Snapshots, as the operator does before it makes the Job.
    pub async fn session(&self, name: &str) {
        self.create(CORE, "BackupSession", json!({
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {
                "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": "appbinding-sample-druid"},
                "session": "frequent-backup",
            },
        }))
        .await;
        let app = json!({"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"});
        let mut listed = Vec::new();
        for repository in &self.repositories {
            let snapshot = snapshot_name(repository, name);
            self.create(STORAGE, "Snapshot", json!({
                "metadata": {
                    "name": snapshot, "namespace": "demo", "finalizers": ["kubestash.com/cleanup"],
                    "labels": {"kubestash.com/repo-name": repository, "kubestash.com/app-ref-kind": "Druid"},
                    "annotations": {"kubedb.com/db-version": "30.0.0"},
                },
                "spec": {
                    "appRef": app, "backupSession": name, "deletionPolicy": "Delete", "repository": repository,
                    "session": "frequent-backup", "snapshotID": "01J84XBGGY0JKG7JKTRCGV3HYM", "type": "FullBackup", "version": "v1",
                },
            }))
            .await;
            self.status(
                STORAGE,
                "Snapshot",
                &snapshot,
                json!({"phase": "Pending", "totalComponents": 1}),
            )
            .await;
            listed.push(json!({"name": snapshot, "phase": "Pending", "repository": repository, "appRef": app}));
        }
        self.status(
            CORE,
            "BackupSession",
            name,
            json!({"snapshots": listed, "totalSnapshots": listed.len()}),
        )
        .await;
    }

    /// Merges into a status as the operator.
    pub async fn status(&self, api_version: &str, kind: &str, name: &str, status: Value) {
        let api = self.api(api_version, kind);
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    pub fn settings(&self) -> Settings {
        Settings {
            environment: Environment::default(),
            local_root: LocalRoot::At(self.volume.path().to_owned()),
        }
    }

    /// The client of the executor's ServiceAccount.
    pub async fn executor(&self) -> Client {
        client(self.executor_kubeconfig()).await
    }

    pub fn executor_kubeconfig(&self) -> Value {
        let token = self
            .server
            .service_account_token("demo", "executor")
            .unwrap();
        self.server.kubeconfig_for(&token)
    }

    /// The arguments of the session's container.
    pub fn args(&self, session: &str, more: &[&str]) -> Vec<String> {
        let mut args: Vec<String> = [
            "mysql-backup",
            "backup",
            "--namespace=demo",
            &format!("--backupsession={session}"),
            "--enable-cache=true",
            &format!("--scratch-dir={}", self.scratch.path().display()),
            "--wait-timeout=20",
            "--mysql-args=--set-gtid-purged=OFF --ignore-table=druid.druid_config",
            "--db-version=",
            "--databases=",
            "--task-name=mysql-metadata-storage-backup",
            "--last-task",
        ]
        .iter()
        .map(|arg| (*arg).to_owned())
        .collect();
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    }

    /// Runs the session's container in this process and returns its failures.
    pub async fn execute(&self, session: &str, more: &[&str]) -> Vec<Failure> {
        let cancel = CancellationToken::new();
        let client = self.executor().await;
        kubestash_executor::run(client, &self.settings(), &self.args(session, more), &cancel).await
    }

    /// Makes a session and runs it, expecting success.
    pub async fn back_up(&self, session: &str) {
        self.session(session).await;
        assert_eq!(self.execute(session, &[]).await, []);
    }

    pub async fn snapshot(&self, repository: &str, session: &str) -> Option<Snapshot> {
        let api: Api<Snapshot> = Api::namespaced(self.admin.clone(), "demo");
        api.get_opt(&snapshot_name(repository, session))
            .await
            .unwrap()
    }

    /// Names and phases of all Snapshots.
    pub async fn snapshots(&self) -> Vec<String> {
        let api: Api<Snapshot> = Api::namespaced(self.admin.clone(), "demo");
        let all = api.list(&Default::default()).await.unwrap();
        let said = |snapshot: &Snapshot| {
            let phase = snapshot.status.as_ref().and_then(|status| status.phase);
            format!("{} {phase:?}", snapshot.metadata.name.as_ref().unwrap())
        };
        all.items.iter().map(said).collect()
    }

    /// Every Snapshot that says Succeeded has its data, at this moment.
    pub async fn assert_true(&self, repository: &str) {
        let api: Api<Snapshot> = Api::namespaced(self.admin.clone(), "demo");
        let all = api.list(&Default::default()).await.unwrap();
        let stored: Vec<Value> = self
            .restic_snapshots(repository)
            .into_iter()
            .map(|info| info["id"].clone())
            .collect();
        for snapshot in all.items {
            let status = serde_json::to_value(&snapshot.status).unwrap();
            if status["phase"] == "Succeeded" {
                let id = &status["components"]["dump"]["resticStats"][0]["id"];
                assert!(
                    stored.contains(id),
                    "{:?} {status:#}",
                    snapshot.metadata.name
                );
            }
        }
    }

    /// The component `dump` of a Snapshot, as JSON.
    pub async fn dump(&self, repository: &str, session: &str) -> Value {
        let snapshot = self.snapshot(repository, session).await.unwrap();
        serde_json::to_value(snapshot.status.unwrap()).unwrap()["components"]["dump"].clone()
    }

    pub async fn backup_session(&self, name: &str) -> BackupSession {
        Api::namespaced(self.admin.clone(), "demo")
            .get(name)
            .await
            .unwrap()
    }

    /// Folder of the restic repository.
    pub fn restic_dir(&self, repository: &str) -> PathBuf {
        self.volume
            .path()
            .join(repository)
            .join("repository/v1/frequent-backup/dump")
    }

    pub fn snapshot_file(&self, repository: &str, session: &str) -> PathBuf {
        let name = format!("{}.yaml", snapshot_name(repository, session));
        self.volume
            .path()
            .join(repository)
            .join("snapshots")
            .join(name)
    }

    /// Runs the real restic client, expecting success.
    pub fn restic(&self, repository: &str, args: &[&str]) -> Output {
        let output = Command::new("restic")
            .arg("--no-cache")
            .arg("-r")
            .arg(self.restic_dir(repository))
            .args(args)
            .env("RESTIC_PASSWORD", RESTIC_PASSWORD)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "restic {args:?}: {said}");
        output
    }

    /// Ids and tags of all restic snapshots.
    pub fn restic_snapshots(&self, repository: &str) -> Vec<Value> {
        let output = self.restic(repository, &["snapshots", "--json", "--no-lock"]);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

pub fn snapshot_name(repository: &str, session: &str) -> String {
    kubestash_domain::name::snapshot(repository, session)
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .is_ok(),
        "{what}"
    );
}

/// All files below a folder, with their contents.
pub fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if let Ok(content) = std::fs::read(&path) {
            found.push((path, content));
        }
    }
    found
}
