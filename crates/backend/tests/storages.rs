//! A backend on a real volume and on a real GCS emulator: where things lie, what is read back, what
//! removing removes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use std::{collections::BTreeMap, path::Path};

use k8s_openapi::{ByteString, api::core::v1::Secret as KubeSecret};
use kubestash_api::{
    config::BackendMeta,
    storage::{BackupStorage, Repository, Snapshot, StorageRepository},
};
use kubestash_backend::{
    Backend, BackendError, Environment, LocalRoot, SnapshotData, encryption_password, forget,
    resolve,
};
use kubestash_engine::{CancellationToken, ObjectStore, Repository as _, Secret};
use serde_json::{Value, json};
use support::{GcsEmulator, dump_text, options};

const COMPONENT: &str = "repository/v1/frequent-backup/dump";

/// The storage of the tutorial, with its trailing and leading slashes.
fn storage(spec: Value) -> BackupStorage {
    serde_json::from_value(json!({
        "apiVersion": "storage.kubestash.com/v1alpha1",
        "kind": "BackupStorage",
        "metadata": {"name": "gcs-storage", "namespace": "demo"},
        "spec": {"storage": spec, "deletionPolicy": "WipeOut"},
    }))
    .unwrap()
}

fn on_volume(root: &Path) -> Backend {
    let storage = storage(json!({
        "provider": "local",
        "local": {"mountPath": "/mnt/data", "hostPath": {"path": "/data"}},
    }));
    let root = LocalRoot::At(root.to_owned());
    Backend::open(&resolve(&storage, None, &Environment::default(), &root).unwrap()).unwrap()
}

fn in_bucket(emulator: &GcsEmulator) -> Backend {
    let storage = storage(json!({
        "provider": "gcs",
        "gcs": {"bucket": "demo", "prefix": "blueprint/", "secretName": "gcs-secret"},
    }));
    let secret = KubeSecret {
        data: Some(BTreeMap::from([(
            "GOOGLE_SERVICE_ACCOUNT_JSON_KEY".to_owned(),
            ByteString(b"{\"type\": \"service_account\"}".to_vec()),
        )])),
        ..KubeSecret::default()
    };
    let environment = Environment {
        storage_emulator_host: Some(emulator.endpoint.clone()),
    };
    let config = resolve(&storage, Some(&secret), &environment, &LocalRoot::InPod).unwrap();
    Backend::open(&config).unwrap()
}

fn repository(name: &str, path: &str) -> Repository {
    serde_json::from_value(json!({
        "apiVersion": "storage.kubestash.com/v1alpha1",
        "kind": "Repository",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"path": path, "storageRef": {"name": "gcs-storage", "namespace": "demo"}},
    }))
    .unwrap()
}

/// A Snapshot with one component for each given path; `flat` chooses the spelling of the stats.
fn snapshot(name: &str, ids: &[(&str, &str)], flat: bool) -> Snapshot {
    let components: serde_json::Map<String, Value> = ids
        .iter()
        .enumerate()
        .map(|(number, (path, id))| {
            let stats = if flat {
                json!({"id": id, "hostPath": "dumpfile.sql"})
            } else {
                json!({"summary": {"id": id, "hostPath": "dumpfile.sql"}})
            };
            let component = json!({"path": path, "driver": "Restic", "resticStats": [stats]});
            (format!("dump-{number}"), component)
        })
        .collect();
    serde_json::from_value(json!({
        "apiVersion": "storage.kubestash.com/v1alpha1",
        "kind": "Snapshot",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"snapshotID": "01J848", "type": "FullBackup", "repository": "default-blueprint",
                 "session": "frequent-backup", "backupSession": "s", "version": "v1"},
        "status": {"phase": "Succeeded", "components": components, "totalComponents": ids.len()},
    }))
    .unwrap()
}

async fn paths(store: &ObjectStore) -> Vec<String> {
    let entries = store.list("").await.unwrap();
    entries.into_iter().map(|entry| entry.path).collect()
}

/// Both kinds of storage; the emulator and the volume live as long as the value.
struct Storages {
    emulator: GcsEmulator,
    volume: tempfile::TempDir,
}

impl Storages {
    async fn start() -> Self {
        Self {
            emulator: GcsEmulator::start().await,
            volume: tempfile::tempdir().unwrap(),
        }
    }

    fn backends(&self) -> [Backend; 2] {
        [on_volume(self.volume.path()), in_bucket(&self.emulator)]
    }
}

#[tokio::test]
async fn objects_beside_the_data_lie_where_the_tutorial_finds_them_and_are_read_back() {
    let storages = Storages::start().await;
    for backend in storages.backends() {
        backend.probe().await.unwrap();
        assert_eq!(backend.read_metadata().await.unwrap(), None);
        assert_eq!(
            backend.repository_directories().await.unwrap(),
            Vec::<String>::new()
        );

        let entry = StorageRepository {
            name: "default-blueprint".to_owned(),
            ..StorageRepository::default()
        };
        let now = "2024-09-19T10:30:00Z".parse().unwrap();
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now);
        let metadata = BackendMeta::new(time, "v0.1.0", vec![entry]);
        backend.write_metadata(&metadata).await.unwrap();
        assert_eq!(backend.read_metadata().await.unwrap(), Some(metadata));

        let first = repository("default-blueprint", "/default-blueprint");
        let second = repository("customize-blueprint", "demo/sample-druid-2");
        backend.write_repository(&first).await.unwrap();
        backend.write_repository(&second).await.unwrap();
        let made = snapshot("snapshot-1", &[(COMPONENT, "aa")], false);
        backend
            .write_snapshot("/default-blueprint/", &made)
            .await
            .unwrap();
        assert_eq!(
            paths(backend.store()).await,
            [
                "default-blueprint/repository.yaml",
                "default-blueprint/snapshots/snapshot-1.yaml",
                "demo/sample-druid-2/repository.yaml",
                "metadata.yaml",
            ]
        );
        assert_eq!(
            backend.repository_directories().await.unwrap(),
            ["default-blueprint", "demo/sample-druid-2"]
        );
        let read = backend
            .read_repository("demo//sample-druid-2")
            .await
            .unwrap();
        assert_eq!(read, Some(second));
        let stored = backend
            .stored_repository("default-blueprint")
            .await
            .unwrap();
        assert_eq!(
            (stored.repository, stored.snapshots, stored.errors),
            (Some(first), vec![made], vec![])
        );
        let other = backend
            .stored_repository("demo/sample-druid-2")
            .await
            .unwrap();
        assert_eq!(other.snapshots, []);
        let nameless = Snapshot::default();
        assert!(backend.write_snapshot("x", &nameless).await.is_err());
    }
}

#[tokio::test]
async fn a_file_that_somebody_spoilt_is_named() {
    let volume = tempfile::tempdir().unwrap();
    let backend = on_volume(volume.path());
    for content in ["kind: [", "kind: 1\nmetadata: 2\n", "\u{0}"] {
        backend
            .store()
            .write("r/repository.yaml", content.into(), None)
            .await
            .unwrap();
        let error = backend.read_repository("r").await.unwrap_err();
        assert_eq!(error.kind(), "InvalidFile");
        assert!(error.to_string().contains("r/repository.yaml"), "{error}");
    }
}

async fn back_up(backend: &Backend, component: &str, content: &[u8]) -> String {
    let repository = backend
        .open_or_init(
            "/default-blueprint",
            component,
            &support::password(),
            options("job"),
        )
        .await
        .unwrap();
    support::back_up(&repository, content)
        .await
        .unwrap()
        .snapshot_id
}

#[tokio::test]
async fn forgetting_snapshots_removes_their_data_then_their_files_and_nothing_else() {
    const OTHER: &str = "repository/v1/daily/dump";
    let storages = Storages::start().await;
    for backend in storages.backends() {
        let keep = dump_text(1, 1_000_000);
        let drop = dump_text(2, 3_000_000);
        let kept = back_up(&backend, COMPONENT, &keep).await;
        let dropped = back_up(&backend, COMPONENT, &drop).await;
        let other = back_up(&backend, OTHER, &drop).await;
        let snapshots = [
            snapshot("kept", &[(COMPONENT, &kept)], false),
            snapshot("dropped-1", &[(COMPONENT, &dropped)], false),
            snapshot(
                "dropped-2",
                &[(OTHER, &other), ("repository/v1/gone/dump", &other)],
                true,
            ),
            snapshot("failed", &[], false),
        ];
        for snapshot in &snapshots {
            backend
                .write_snapshot("default-blueprint", snapshot)
                .await
                .unwrap();
        }
        let data: Vec<_> = snapshots[1..].iter().map(SnapshotData::of).collect();
        for _again in 0..2 {
            forget(
                &backend,
                "default-blueprint",
                &data,
                || Ok(support::password()),
                &options("job"),
                &CancellationToken::new(),
            )
            .await
            .unwrap();
        }
        let left: Vec<_> = paths(backend.store()).await;
        assert!(left.contains(&"default-blueprint/snapshots/kept.yaml".to_owned()));
        assert_eq!(
            left.iter().filter(|path| path.ends_with(".yaml")).count(),
            1,
            "{left:?}"
        );
        assert!(
            !left.iter().any(|path| path.contains("daily/dump/data")),
            "{left:?}"
        );
        let repository = backend
            .open_repository(
                "default-blueprint",
                COMPONENT,
                &support::password(),
                options("job"),
            )
            .await
            .unwrap();
        assert_eq!(repository.snapshots().await.unwrap().len(), 1);
        assert!(support::restored(&repository, &kept).await.unwrap() == keep);
        let size: u64 = backend
            .store()
            .list("")
            .await
            .unwrap()
            .iter()
            .map(|entry| entry.size)
            .sum();
        assert!(size < 1_000_000, "{size}");
    }
}

#[tokio::test]
async fn without_data_no_password_is_asked_for_and_with_a_wrong_one_nothing_is_removed() {
    let volume = tempfile::tempdir().unwrap();
    let backend = on_volume(volume.path());
    let id = back_up(&backend, COMPONENT, b"data").await;
    let failed = snapshot("failed", &[], false);
    let made = snapshot("made", &[(COMPONENT, &id)], false);
    for snapshot in [&failed, &made] {
        backend
            .write_snapshot("default-blueprint", snapshot)
            .await
            .unwrap();
    }
    let run = |snapshot: &Snapshot, password: Result<Secret, BackendError>| {
        let (backend, data) = (backend.clone(), [SnapshotData::of(snapshot)]);
        async move {
            let cancel = CancellationToken::new();
            forget(
                &backend,
                "default-blueprint",
                &data,
                || password,
                &options("job"),
                &cancel,
            )
            .await
        }
    };
    let no_secret = || encryption_password("demo", "encrypt-secret", None);
    run(&failed, no_secret()).await.unwrap();
    let error = run(&made, no_secret()).await.unwrap_err();
    assert_eq!(error.kind(), "EncryptionSecretInvalid");
    let error = run(&made, Ok(Secret::new("wrong"))).await.unwrap_err();
    assert_eq!(error.kind(), "WrongPassword");
    assert!(error.is_permanent());
    backend
        .write_repository(&repository("default-blueprint", "default-blueprint"))
        .await
        .unwrap();
    let left = backend
        .stored_repository("default-blueprint")
        .await
        .unwrap();
    assert_eq!(left.snapshots, [made]);
}

#[tokio::test]
async fn files_that_somebody_spoilt_hinder_no_other_and_are_told() {
    let storages = Storages::start().await;
    for backend in storages.backends() {
        let store = backend.store();
        let first = repository("one", "one");
        backend.write_repository(&first).await.unwrap();
        let good = snapshot("good", &[(COMPONENT, "aa")], false);
        backend.write_snapshot("one", &good).await.unwrap();
        for (name, content) in [
            (
                "cut",
                "apiVersion: storage.kubestash.com/v1alpha1\nkind: Snapshot\nmetadata: {",
            ),
            ("empty", ""),
            ("nameless", "spec: {repository: one}"),
            ("binary", "\u{0}\u{1}"),
        ] {
            let path = format!("one/snapshots/{name}.yaml");
            store.write(&path, content.into(), None).await.unwrap();
        }
        store
            .write("one/snapshots/readme.txt", "no Snapshot".into(), None)
            .await
            .unwrap();
        let stored = backend.stored_repository("one").await.unwrap();
        assert_eq!(stored.repository, Some(first));
        assert_eq!(stored.snapshots, [good]);
        assert_eq!(stored.errors.len(), 4, "{:?}", stored.errors);
        for (error, name) in stored
            .errors
            .iter()
            .zip(["binary", "cut", "empty", "nameless"])
        {
            assert!(
                error.contains(&format!("one/snapshots/{name}.yaml")),
                "{error}"
            );
        }

        store
            .write("two/repository.yaml", "{".into(), None)
            .await
            .unwrap();
        let stored = backend.stored_repository("two").await.unwrap();
        assert_eq!(stored.repository, None);
        assert!(
            stored.errors[0].contains("two/repository.yaml"),
            "{:?}",
            stored.errors
        );
    }
}

#[tokio::test]
async fn wiping_a_repository_spares_its_neighbours_and_wiping_all_spares_what_is_not_ours() {
    let storages = Storages::start().await;
    let outside = ObjectStore::open(&kubestash_engine::StorageConfig {
        prefix: String::new(),
        ..storages.emulator.config("demo")
    })
    .unwrap();
    outside
        .write("blueprint-2/other", "x".into(), None)
        .await
        .unwrap();
    for backend in storages.backends() {
        back_up(&backend, COMPONENT, b"data").await;
        for name in ["default-blueprint", "default-blueprint-2"] {
            backend
                .write_repository(&repository(name, name))
                .await
                .unwrap();
        }
        for nothing in ["", "/", "//"] {
            assert!(backend.remove_repository(nothing).await.is_err());
        }
        assert!(
            backend
                .remove_repository("/default-blueprint")
                .await
                .unwrap()
                > 4
        );
        assert_eq!(
            paths(backend.store()).await,
            ["default-blueprint-2/repository.yaml"]
        );
        assert_eq!(
            backend
                .remove_repository("default-blueprint")
                .await
                .unwrap(),
            0
        );
        assert_eq!(backend.remove_all().await.unwrap(), 1);
        assert_eq!(paths(backend.store()).await, Vec::<String>::new());
    }
    assert_eq!(paths(&outside).await, ["blueprint-2/other"]);
}

#[tokio::test]
async fn a_volume_that_is_not_mounted_is_told() {
    let volume = tempfile::tempdir().unwrap();
    let backend = on_volume(&volume.path().join("nothing-here"));
    assert_eq!(backend.probe().await.unwrap_err().kind(), "BucketMissing");
}
