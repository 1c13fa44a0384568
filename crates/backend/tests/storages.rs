//! A backend on a real volume and on a real GCS emulator: where things lie, what is read back, what
//! removing removes.
#![cfg(test)]

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kubestash_api::config::BackendMeta;
use kubestash_api::storage::{BackupStorage, Repository, Snapshot, StorageRepository};
use kubestash_backend::{
    Backend, BackendError, Environment, LocalRoot, SnapshotData, Wiped, encryption_password,
    forget, resolve,
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
        let wiped = backend.wipe_repository("/default-blueprint").await.unwrap();
        assert!(wiped.removed > 4 && wiped.left.count == 0, "{wiped:?}");
        assert_eq!(
            paths(backend.store()).await,
            ["default-blueprint-2/repository.yaml"]
        );
        let again = backend.wipe_repository("default-blueprint").await.unwrap();
        assert_eq!(again, Wiped::default());
        assert_eq!(backend.wipe_all().await.unwrap().removed, 1);
        assert_eq!(paths(backend.store()).await, Vec::<String>::new());
    }
    assert_eq!(paths(&outside).await, ["blueprint-2/other"]);
    // Nothing is left in the volume either, no directory.
    assert_eq!(
        std::fs::read_dir(storages.volume.path()).unwrap().count(),
        0
    );
}

async fn write(backend: &Backend, path: &str, content: &str) {
    let content = content.to_owned().into();
    backend.store().write(path, content, None).await.unwrap();
}

/// Makes a repository with data, a Snapshot and its own files in a directory.
async fn fill(backend: &Backend, directory: &str) {
    backend
        .write_repository(&repository("r", directory))
        .await
        .unwrap();
    let made = snapshot("snap", &[(COMPONENT, "aa")], false);
    backend.write_snapshot(directory, &made).await.unwrap();
    let password = support::password();
    let opening = backend.open_or_init(directory, COMPONENT, &password, options("job"));
    let opened = opening.await.unwrap();
    support::back_up(&opened, directory.as_bytes())
        .await
        .unwrap();
}

async fn is_whole(backend: &Backend, directory: &str) -> bool {
    let stored = backend.stored_repository(directory).await.unwrap();
    let password = support::password();
    let opening = backend.open_repository(directory, COMPONENT, &password, options("job"));
    let Ok(opened) = opening.await else {
        return false;
    };
    let found = opened.snapshots().await.unwrap();
    let content = support::restored(&opened, &found[0].id).await.unwrap();
    stored.snapshots.len() == 1 && content == directory.as_bytes()
}

#[tokio::test]
async fn what_is_wiped_is_one_repositorys_own_layout_also_where_others_lie_in_it() {
    const DIRECTORIES: [&str; 4] = ["cfg", "cfg/repository/v1", "cfg/inner", "cfg/snapshots"];
    let storages = Storages::start().await;
    for backend in storages.backends() {
        for directory in DIRECTORIES {
            fill(&backend, directory).await;
        }
        write(&backend, "cfg/readme.md", "mine").await;
        write(
            &backend,
            "cfg/repository/v1/frequent-backup/dump/notes",
            "mine",
        )
        .await;
        // The one in the middle, as the attack did it; then the one around all.
        let wiped = backend.wipe_repository("/cfg/repository/v1").await.unwrap();
        assert_eq!(wiped.left.count, 1, "{wiped:?}");
        assert!(!is_whole(&backend, "cfg/repository/v1").await);
        for directory in ["cfg", "cfg/inner", "cfg/snapshots"] {
            assert!(is_whole(&backend, directory).await, "{directory}");
        }
        let wiped = backend.wipe_repository("cfg").await.unwrap();
        assert_eq!(
            wiped.left.first,
            [
                "cfg/readme.md",
                "cfg/repository/v1/frequent-backup/dump/notes"
            ]
        );
        let told = wiped.left.told().unwrap();
        assert!(
            told.starts_with("2 files that are not kubestash's stay: cfg/readme.md"),
            "{told}"
        );
        assert!(!is_whole(&backend, "cfg").await);
        for directory in ["cfg/inner", "cfg/snapshots"] {
            assert!(is_whole(&backend, directory).await, "{directory}");
        }
    }
}

#[tokio::test]
async fn wiping_a_storage_leaves_foreign_files_and_other_storages_and_says_so() {
    let metadata = "apiVersion: config.kubestash.com/v1alpha1\nkind: BackendMeta\n";
    let foreign = [
        "charts/repository.yaml",
        "charts/snapshots/one.yaml",
        "demo/notes.txt",
        "photos/cat.jpg",
        "restic/config",
    ];
    let storages = Storages::start().await;
    for backend in storages.backends() {
        for directory in ["/", "demo", "demo/sample-druid-2", "inner/demo"] {
            fill(&backend, directory).await;
        }
        write(&backend, "metadata.yaml", metadata).await;
        write(&backend, "inner/metadata.yaml", metadata).await;
        for path in foreign {
            write(&backend, path, "apiVersion: v1\nkind: Repository\n").await;
        }
        let wiped = backend.wipe_all().await.unwrap();
        assert_eq!(
            (wiped.left.count, wiped.left.first.len()),
            (foreign.len(), 3),
            "{wiped:?}"
        );
        assert!(is_whole(&backend, "inner/demo").await);
        let left: Vec<_> = paths(backend.store())
            .await
            .into_iter()
            .filter(|path| !path.starts_with("inner/"))
            .collect();
        assert_eq!(left, foreign);
        let again = backend.wipe_all().await.unwrap();
        assert_eq!((again.removed, again.left.count), (0, foreign.len()));
    }
}

#[tokio::test]
async fn every_repository_is_found_wherever_it_lies_and_what_metadata_yaml_names_and_is_not_there_is_told()
 {
    let storages = Storages::start().await;
    for backend in storages.backends() {
        let directories = [
            "",
            "cfg",
            "cfg/repository/v1",
            "demo",
            "demo/sample-druid-2",
            "demo/snapshots/x",
        ];
        for directory in directories {
            fill(&backend, directory).await;
        }
        assert_eq!(backend.repository_directories().await.unwrap(), directories);
        let entry = |name: &str, path: &str| StorageRepository {
            name: name.to_owned(),
            namespace: Some("demo".to_owned()),
            path: Some(path.to_owned()),
            ..StorageRepository::default()
        };
        write(&backend, "broken/repository.yaml", "{").await;
        let named = vec![
            entry("r", "/demo/"),
            entry("lost", "/lost"),
            entry("was-broken", "broken"),
        ];
        let now = "2024-09-19T10:30:00Z".parse().unwrap();
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now);
        let metadata = BackendMeta::new(time, "v0.1.0", named);
        let found = backend.stored_repositories(Some(&metadata)).await.unwrap();
        let whole: Vec<_> = found
            .iter()
            .filter(|found| found.errors.is_empty())
            .map(|found| (found.directory.as_str(), found.snapshots.len()))
            .collect();
        assert_eq!(whole, directories.map(|directory| (directory, 1)));
        let told: Vec<_> = found
            .iter()
            .filter(|found| !found.errors.is_empty())
            .map(|found| {
                (
                    found.directory.as_str(),
                    found.named.as_ref().map(|named| named.name.as_str()),
                )
            })
            .collect();
        assert_eq!(
            told,
            [("broken", Some("was-broken")), ("lost", Some("lost"))]
        );
        let error = &found.last().unwrap().errors[0];
        for part in [
            "metadata.yaml names Repository lost",
            "lost/repository.yaml",
            "bring back",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[tokio::test]
async fn a_file_of_a_size_that_no_object_has_is_told_and_not_read() {
    let storages = Storages::start().await;
    let huge = |name: &str| {
        format!(
            "apiVersion: storage.kubestash.com/v1alpha1\nkind: Snapshot\nmetadata:\n  name: {name}\n  annotations: {{x: \"{}\"}}\n",
            "x".repeat(6 << 20)
        )
    };
    for backend in storages.backends() {
        fill(&backend, "demo").await;
        write(&backend, "demo/snapshots/huge.yaml", &huge("huge")).await;
        write(&backend, "other/repository.yaml", &huge("other")).await;
        let found = backend.stored_repositories(None).await.unwrap();
        assert_eq!((found[0].snapshots.len(), found[0].errors.len()), (1, 1));
        assert!(
            found[0].errors[0].contains("demo/snapshots/huge.yaml"),
            "{:?}",
            found[0].errors
        );
        assert_eq!(found[1].repository, None);
        assert!(
            found[1].errors[0].contains("other/repository.yaml"),
            "{:?}",
            found[1].errors
        );
    }
}

#[tokio::test]
async fn a_storage_is_set_up_over_nothing_or_what_is_ours_and_never_over_others() {
    const METADATA: &str = "apiVersion: config.kubestash.com/v1alpha1\nkind: BackendMeta\n";
    const REPOSITORY: &str = "apiVersion: storage.kubestash.com/v1alpha1\nkind: Repository\nmetadata: {name: r}\nspec: {path: r}\n";
    type Files<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Files, Option<&str>); 11] = [
        (&[], None),
        (&[("lost+found/x", ""), (".Trash-0/x", "")], None),
        (&[("metadata.yaml", METADATA), ("photo.jpg", "x")], None),
        // Cut off by a power cut, or spoilt, beside what is ours.
        (&[("metadata.yaml", "")], None),
        (
            &[("metadata.yaml", "{"), ("a/b/repository.yaml", REPOSITORY)],
            None,
        ),
        (
            &[("a/b/repository.yaml", REPOSITORY), ("photo.jpg", "x")],
            None,
        ),
        (
            &[("metadata.yaml", "title: photos\n")],
            Some("metadata.yaml"),
        ),
        (
            &[
                ("metadata.yaml", "title: photos\n"),
                ("r/repository.yaml", REPOSITORY),
            ],
            Some("metadata.yaml"),
        ),
        (&[("metadata.yaml", "{")], Some("metadata.yaml")),
        (
            &[("photos/cat.jpg", "x"), ("lost+found/x", "")],
            Some("photos/"),
        ),
        (
            &[("charts/repository.yaml", "apiVersion: v1\nkind: Secret\n")],
            Some("charts/"),
        ),
    ];
    for (files, refused) in cases {
        let volume = tempfile::tempdir().unwrap();
        let backend = on_volume(volume.path());
        for (path, content) in files {
            write(&backend, path, content).await;
        }
        let before = paths(backend.store()).await;
        match (backend.adopt(true).await, refused) {
            (Ok(adopted), None) => {
                assert_eq!(adopted.foreign_metadata, None, "{files:?}");
                let is_there = files.contains(&("metadata.yaml", METADATA));
                assert_eq!(adopted.metadata.is_some(), is_there, "{files:?}");
            }
            (Err(error), Some(word)) => {
                assert_eq!(error.kind(), "ForeignContent");
                let said = error.to_string();
                assert!(
                    said.contains(word) && said.contains("empty place of its own"),
                    "{said}"
                );
            }
            (found, _) => panic!("{files:?}: {found:?}"),
        }
        // One that is in use goes on, and a foreign metadata.yaml is not written over.
        let later = backend.adopt(false).await.unwrap();
        let is_foreign = files.contains(&("metadata.yaml", "title: photos\n"));
        assert_eq!(later.foreign_metadata.is_some(), is_foreign, "{files:?}");
        assert_eq!(paths(backend.store()).await, before);
    }
    // A large bucket of somebody else is not searched for ever.
    let emulator = GcsEmulator::start().await;
    let backend = in_bucket(&emulator);
    write(&backend, "photos/cat.jpg", "x").await;
    let error = backend.adopt(true).await.unwrap_err();
    assert!(error.to_string().contains("photos/"), "{error}");
}

#[tokio::test]
async fn a_foreign_repository_yaml_is_not_written_over() {
    let volume = tempfile::tempdir().unwrap();
    let backend = on_volume(volume.path());
    let wanted = repository("charts", "charts");
    write(
        &backend,
        "charts/repository.yaml",
        "apiVersion: v1\nkind: Secret\n",
    )
    .await;
    let error = backend.write_repository(&wanted).await.unwrap_err();
    assert_eq!(error.kind(), "ForeignContent");
    assert!(
        error.to_string().contains("charts/repository.yaml"),
        "{error}"
    );
    // What is broken is ours to mend.
    write(&backend, "charts/repository.yaml", "{").await;
    backend.write_repository(&wanted).await.unwrap();
    let read = backend.read_repository("charts").await.unwrap();
    assert_eq!(read, Some(wanted));
}

#[tokio::test]
async fn a_volume_that_is_not_mounted_is_told() {
    let volume = tempfile::tempdir().unwrap();
    let backend = on_volume(&volume.path().join("nothing-here"));
    assert_eq!(backend.probe().await.unwrap_err().kind(), "BucketMissing");
}
