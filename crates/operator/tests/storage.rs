//! BackupStorage, Repository and Snapshot against a real API server and a real GCS emulator.
#![cfg(test)]

mod support;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt;
use kube::api::ListParams;
use kubestash_api::shared::{Condition, RepositoryPhase};
use kubestash_api::storage::{BackupStorage, BackupStoragePhase, Repository, Snapshot};
use serde_json::{Value, json};
use support::gcs::BUCKET;
use support::{NAMESPACE, World, gcs_storage, repository};

fn is(storage: &BackupStorage, phase: BackupStoragePhase) -> bool {
    storage.status.as_ref().and_then(|status| status.phase) == Some(phase)
}

fn is_ready(storage: &BackupStorage) -> bool {
    is(storage, BackupStoragePhase::Ready)
}

fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// The reason of `Ready`, as `kubectl wait` and people see it.
fn ready_reason(storage: &BackupStorage) -> String {
    let conditions = storage
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    condition(conditions, "Ready")
        .map(|condition| condition.reason.clone())
        .unwrap_or_default()
}

async fn ready_storage(world: &World, policy: &str) -> BackupStorage {
    world.make_secret("gcs-secret").await;
    world
        .create::<BackupStorage>(gcs_storage("gcs-storage", "blueprint", policy))
        .await;
    world.until("gcs-storage", "ready", is_ready).await
}

async fn ready_repository(world: &World, name: &str, policy: &str) -> Repository {
    world.create::<Repository>(repository(name, policy)).await;
    let is_ready = |repository: &Repository| {
        repository.status.as_ref().and_then(|status| status.phase) == Some(RepositoryPhase::Ready)
    };
    world.until(name, "ready", is_ready).await
}

fn snapshot(name: &str, repository: &Repository, policy: &str) -> Value {
    json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "finalizers": ["kubestash.com/cleanup"],
            "ownerReferences": [{
                "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository", "controller": true,
                "name": repository.name_any(), "uid": repository.uid(),
            }],
        },
        "spec": {
            "repository": repository.name_any(), "session": "frequent-backup", "snapshotID": "01J84XBGGY0JKG7JKTRCGV3HYM",
            "type": "FullBackup", "version": "v1", "deletionPolicy": policy,
        },
    })
}

/// What an executor reports at the end of a backup.
async fn report(world: &World, name: &str) {
    let now = jiff::Timestamp::now().to_string();
    let status = json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot", "status": {
        "totalComponents": 1, "phase": "Succeeded", "snapshotTime": now, "size": "674.017 KiB", "integrity": true,
        "components": {"dump": {
            "driver": "Restic", "phase": "Succeeded", "path": "repository/v1/frequent-backup/dump",
            "size": "674.017 KiB", "integrity": true,
        }},
        "conditions": [{"type": "SnapshotMetadataUploaded", "status": "True", "lastTransitionTime": now}],
    }});
    let params = kube::api::PatchParams::apply("kubestash-executor").force();
    world
        .api::<Snapshot>(NAMESPACE)
        .patch_status(name, &params, &kube::api::Patch::Apply(&status))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorials_storage_is_set_up_in_the_emulator_and_says_that_it_is_one() {
    let world = World::start().await;
    let storage = ready_storage(&world, "Delete").await;
    let status = storage.status.clone().unwrap();
    let found = condition(&status.conditions, "BackendSecretFound").unwrap();
    assert_eq!(
        (found.reason.as_str(), found.message.as_str()),
        ("BackendSecretAvailable", "Backend secret exists.")
    );
    let initialized = condition(&status.conditions, "BackendInitialized").unwrap();
    assert_eq!(
        (initialized.reason.as_str(), initialized.message.as_str()),
        (
            "BackendInitializationSucceeded",
            "Successfully initialized backend."
        )
    );
    assert_eq!(ready_reason(&storage), "Ready");
    assert_eq!(storage.finalizers(), ["kubestash.com/cleanup"]);
    assert!(
        world
            .event("gcs-storage", "StorageEmulator")
            .await
            .contains("no credentials are sent")
    );
    assert_eq!(world.gcs.paths().await, ["blueprint/metadata.yaml"]);
    let text = world
        .gcs
        .store(BUCKET, "blueprint")
        .read("metadata.yaml")
        .await
        .unwrap();
    assert!(
        std::str::from_utf8(&text)
            .unwrap()
            .contains("kind: BackendMeta")
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_without_its_secret_waits_for_it_and_says_so() {
    let world = World::start().await;
    world
        .create::<BackupStorage>(gcs_storage("gcs-storage", "blueprint", "Delete"))
        .await;
    let waiting = |storage: &BackupStorage| ready_reason(storage) == "StorageSecretMissing";
    let storage = world.until("gcs-storage", "waiting", waiting).await;
    assert!(is(&storage, BackupStoragePhase::NotReady));
    assert!(
        world
            .event("gcs-storage", "StorageSecretMissing")
            .await
            .contains("demo/gcs-secret")
    );
    // A Secret without the key is no better, and it is told which key.
    let empty = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "gcs-secret", "namespace": NAMESPACE},
        "stringData": {"GOOGLE_PROJECT_ID": "p"}});
    world.create::<Secret>(empty).await;
    let keyless = |storage: &BackupStorage| ready_reason(storage) == "StorageSecretKeyMissing";
    let storage = world.until("gcs-storage", "told of the key", keyless).await;
    let conditions = storage.status.unwrap().conditions;
    let message = &condition(&conditions, "BackendInitialized")
        .unwrap()
        .message;
    assert!(
        message.contains("GOOGLE_SERVICE_ACCOUNT_JSON_KEY"),
        "{message}"
    );
    // Mended, it recovers by itself, without waiting for the next try.
    world
        .merge::<Secret>(
            "gcs-secret",
            json!({"stringData": {"GOOGLE_SERVICE_ACCOUNT_JSON_KEY": "{}"}}),
        )
        .await;
    world.until("gcs-storage", "ready", is_ready).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_told_and_found_when_it_is_made() {
    let world = World::start().await;
    world.make_secret("gcs-secret").await;
    let mut storage = gcs_storage("gcs-storage", "blueprint", "Delete");
    storage["spec"]["storage"]["gcs"]["bucket"] = json!("not-yet");
    world.create::<BackupStorage>(storage).await;
    let missing = |storage: &BackupStorage| ready_reason(storage) == "BucketMissing";
    world
        .until("gcs-storage", "told of the bucket", missing)
        .await;
    assert!(
        world
            .event("gcs-storage", "BucketMissing")
            .await
            .contains("not-yet")
    );
    world.gcs.make_bucket("not-yet").await;
    world.until("gcs-storage", "ready", is_ready).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_set_up_summed_up_and_then_left_alone() {
    let world = World::start().await;
    ready_storage(&world, "Delete").await;
    let repository = ready_repository(&world, "default-blueprint", "Delete").await;
    let fresh = repository.status.clone().unwrap();
    assert_eq!(
        (fresh.snapshot_count, fresh.size.as_deref(), fresh.integrity),
        (Some(0), Some("0 B"), None)
    );
    assert_eq!(repository.finalizers(), ["kubestash.com/cleanup"]);
    let paths = world.gcs.paths().await;
    assert!(
        paths.contains(&"blueprint/default-blueprint/repository.yaml".to_owned()),
        "{paths:?}"
    );

    world
        .create::<Snapshot>(snapshot("snap-1", &repository, "Delete"))
        .await;
    report(&world, "snap-1").await;
    let counted = |repository: &Repository| {
        let status = repository.status.clone().unwrap_or_default();
        status.snapshot_count == Some(1)
            && status.size.as_deref() == Some("674.017 KiB")
            && status.integrity == Some(true)
    };
    world
        .until::<Repository>("default-blueprint", "summed up", counted)
        .await;
    let listed = |snapshot: &Snapshot| {
        let conditions = snapshot
            .status
            .as_ref()
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default();
        condition(conditions, "RecentSnapshotListUpdated").is_some()
    };
    let snapshot = world.until::<Snapshot>("snap-1", "listed", listed).await;
    let conditions = snapshot.status.unwrap().conditions;
    let types: Vec<_> = conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(types.len(), 3, "{types:?}");
    assert!(condition(&conditions, "Ready").is_some(), "{types:?}");
    let sized = |storage: &BackupStorage| {
        storage
            .status
            .as_ref()
            .and_then(|status| status.total_size.as_deref())
            == Some("674.017 KiB")
    };
    world.until("gcs-storage", "sized", sized).await;

    // Nothing happens any more, and nothing is written any more.
    let versions = versions(&world).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(versions, self::versions(&world).await);
    world.stop().await;
}

/// The resourceVersion of every object of ours.
async fn versions(world: &World) -> Vec<(String, Option<String>)> {
    let all = ListParams::default();
    let mut versions = Vec::new();
    for storage in world
        .api::<BackupStorage>(NAMESPACE)
        .list(&all)
        .await
        .unwrap()
    {
        versions.push((storage.name_any(), storage.resource_version()));
    }
    for repository in world.api::<Repository>(NAMESPACE).list(&all).await.unwrap() {
        versions.push((repository.name_any(), repository.resource_version()));
    }
    for snapshot in world.api::<Snapshot>(NAMESPACE).list(&all).await.unwrap() {
        versions.push((snapshot.name_any(), snapshot.resource_version()));
    }
    for event in world
        .api::<k8s_openapi::api::events::v1::Event>(NAMESPACE)
        .list(&all)
        .await
        .unwrap()
    {
        versions.push((event.name_any(), event.resource_version()));
    }
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_tutorials_clean_up_the_objects_are_gone_and_the_data_is_there() {
    let world = World::start().await;
    ready_storage(&world, "Delete").await;
    // Even a Repository that would wipe its data keeps it when the storage goes with the policy
    // Delete.
    for (name, policy) in [
        ("default-blueprint", "Delete"),
        ("customize-blueprint", "WipeOut"),
    ] {
        let repository = ready_repository(&world, name, policy).await;
        world
            .create::<Snapshot>(snapshot(&format!("{name}-1"), &repository, "Delete"))
            .await;
        report(&world, &format!("{name}-1")).await;
    }
    let before = world.gcs.paths().await;
    world.delete::<BackupStorage>("gcs-storage").await;
    world.delete::<Secret>("gcs-secret").await;
    world.until_gone::<BackupStorage>("gcs-storage").await;
    for name in ["default-blueprint", "customize-blueprint"] {
        world.until_gone::<Repository>(name).await;
        world.until_gone::<Snapshot>(&format!("{name}-1")).await;
    }
    assert_eq!(world.gcs.paths().await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wipe_out_removes_what_is_below_the_prefix_and_nothing_else_also_without_the_secret() {
    let world = World::start().await;
    ready_storage(&world, "WipeOut").await;
    let repository = ready_repository(&world, "default-blueprint", "Delete").await;
    world
        .create::<Snapshot>(snapshot("snap-1", &repository, "WipeOut"))
        .await;
    for path in [
        &format!("blueprint/default-blueprint/{}", data_file()),
        "blueprint/photos/cat.jpg",
        "blueprint/default-blueprint/repository/v1/mine",
        "blueprint2/keep",
    ] {
        write(&world, path, "data").await;
    }
    world.delete::<Secret>("gcs-secret").await;
    world.delete::<BackupStorage>("gcs-storage").await;
    world.until_gone::<BackupStorage>("gcs-storage").await;
    let foreign = [
        "blueprint/default-blueprint/repository/v1/mine",
        "blueprint/photos/cat.jpg",
        "blueprint2/keep",
    ];
    assert_eq!(world.gcs.paths().await, foreign);
    let note = world.event("gcs-storage", "ForeignFilesKept").await;
    assert!(
        note.contains("2 files that are not kubestash's stay") && note.contains("photos/cat.jpg"),
        "{note}"
    );
    world.stop().await;
}

/// A file of a restic repository, below a Repository's directory.
fn data_file() -> String {
    format!(
        "repository/v1/frequent-backup/dump/data/ab/{}",
        "ab".repeat(32)
    )
}

/// Writes a file of the tutorial's bucket.
async fn write(world: &World, path: &str, content: &str) {
    let bucket = world.gcs.store(BUCKET, "");
    let content = content.to_owned().into();
    bucket.write(path, content, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_is_not_set_up_over_what_is_somebody_elses() {
    let world = World::start().await;
    world.make_secret("gcs-secret").await;
    write(&world, "blueprint/photos/cat.jpg", "x").await;
    world
        .create::<BackupStorage>(gcs_storage("gcs-storage", "blueprint", "WipeOut"))
        .await;
    let refused = |storage: &BackupStorage| ready_reason(storage) == "ForeignContent";
    world.until("gcs-storage", "refused", refused).await;
    let note = world.event("gcs-storage", "ForeignContent").await;
    assert!(
        note.contains("photos/") && note.contains("prefix"),
        "{note}"
    );
    assert_eq!(world.gcs.paths().await, ["blueprint/photos/cat.jpg"]);
    // Moved away, it goes on by itself.
    let bucket = world.gcs.store(BUCKET, "");
    bucket.delete("blueprint/photos/cat.jpg").await.unwrap();
    world.until("gcs-storage", "ready", is_ready).await;
    world.stop().await;
}

fn repository_at(name: &str, namespace: &str, path: &str) -> Value {
    let mut object = repository(name, "Delete");
    object["metadata"]["namespace"] = json!(namespace);
    object["spec"]["path"] = json!(path);
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_inside_others_come_back_and_whatever_does_not_is_told() {
    let world = World::start().await;
    world.make_namespace("tenant").await;
    ready_storage(&world, "Delete").await;
    world
        .create::<Repository>(repository_at("inner", NAMESPACE, "demo/sample-druid-2"))
        .await;
    let is_set_up = |repository: &Repository| {
        repository.status.as_ref().and_then(|status| status.phase) == Some(RepositoryPhase::Ready)
    };
    world.until("inner", "ready", is_set_up).await;
    // A new one around it, or at the root, is refused.
    for path in ["demo", "/"] {
        let outer = repository_at("outer", NAMESPACE, path);
        let refused = world.try_create::<Repository>(outer).await.unwrap_err();
        assert!(
            refused.contains("spec.path") && refused.contains("demo/inner"),
            "{refused}"
        );
    }
    // But older versions made such, and the bucket has them.
    for (name, namespace, path) in [
        ("outer", NAMESPACE, "demo"),
        ("root", NAMESPACE, "/"),
        ("planted", "tenant", "planted"),
    ] {
        let yaml = repository_at(name, namespace, path).to_string();
        let file = format!("blueprint/{path}/repository.yaml").replace("///", "/");
        write(&world, &file, &yaml).await;
    }
    let outer: Repository =
        serde_json::from_value(repository_at("outer", NAMESPACE, "demo")).unwrap();
    for (name, annotation) in [("good", 10), ("wide", 400_000), ("huge", 6_000_000)] {
        let mut object = snapshot(name, &outer, "Delete");
        object["metadata"]["annotations"] = json!({"note": "x".repeat(annotation)});
        object["metadata"]["ownerReferences"] = json!([]);
        let path = format!("blueprint/demo/snapshots/{name}.yaml");
        write(&world, &path, &object.to_string()).await;
    }
    world.delete::<BackupStorage>("gcs-storage").await;
    world.until_gone::<BackupStorage>("gcs-storage").await;
    world.until_gone::<Repository>("inner").await;
    let metadata = json!({
        "apiVersion": "config.kubestash.com/v1alpha1", "kind": "BackendMeta",
        "repositories": [
            {"name": "inner", "namespace": NAMESPACE, "path": "demo/sample-druid-2"},
            {"name": "lost", "namespace": NAMESPACE, "path": "/lost"},
        ],
    });
    write(&world, "blueprint/metadata.yaml", &metadata.to_string()).await;

    let mut storage = gcs_storage("gcs-storage", "blueprint", "Delete");
    storage["spec"]["usagePolicy"] = json!({"allowedNamespaces": {"from": "Same"}});
    world.create::<BackupStorage>(storage).await;
    let storage = world.until("gcs-storage", "ready", is_ready).await;
    let entries = storage.status.unwrap().repositories;
    let told = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        (entry.synced, entry.error.clone().unwrap_or_default())
    };
    assert_eq!(told("inner"), (Some(true), String::new()));
    assert_eq!(told("root"), (Some(true), String::new()));
    let (synced, error) = told("outer");
    assert_eq!(synced, Some(true));
    assert!(
        error.contains("huge.yaml") && error.contains("wide"),
        "{error}"
    );
    let (synced, error) = told("lost");
    assert_eq!(synced, Some(false));
    assert!(
        error.contains("metadata.yaml names Repository lost"),
        "{error}"
    );
    let (synced, error) = told("planted");
    assert_eq!(synced, Some(false));
    assert!(
        error.contains("namespace tenant may not use BackupStorage demo/gcs-storage"),
        "{error}"
    );
    let planted = world.api::<Repository>("tenant").get_opt("planted").await;
    assert!(planted.unwrap().is_none());
    world.until::<Snapshot>("good", "back", |_| true).await;

    // They go on, with a warning.
    for name in ["inner", "outer", "root"] {
        let nested = |repository: &Repository| {
            let conditions = repository
                .status
                .iter()
                .flat_map(|status| &status.conditions);
            is_set_up(repository)
                && conditions
                    .clone()
                    .any(|found| found.type_ == "DirectoryNested")
        };
        world.until(name, "ready, with a warning", nested).await;
        let note = world.event(name, "DirectoryNested").await;
        assert!(note.contains("continue to work"), "{note}");
    }
    // What did not come back is not forgotten.
    let read = || async {
        let bucket = world.gcs.store(BUCKET, "");
        let content = bucket.read("blueprint/metadata.yaml").await.unwrap();
        String::from_utf8(content.to_vec()).unwrap()
    };
    let deadline = std::time::Instant::now() + support::PATIENCE;
    let mut metadata = read().await;
    while !metadata.contains("name: root") {
        assert!(std::time::Instant::now() < deadline, "{metadata}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        metadata = read().await;
    }
    for name in ["inner", "outer", "root", "lost", "planted"] {
        assert!(metadata.contains(&format!("name: {name}")), "{metadata}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_wiped_out_takes_its_directory_along_and_only_that() {
    let world = World::start().await;
    ready_storage(&world, "Delete").await;
    ready_repository(&world, "one", "WipeOut").await;
    ready_repository(&world, "two", "Delete").await;
    write(&world, &format!("blueprint/one/{}", data_file()), "data").await;
    world.delete::<Repository>("one").await;
    world.delete::<Repository>("two").await;
    world.until_gone::<Repository>("one").await;
    world.until_gone::<Repository>("two").await;
    assert_eq!(
        world.gcs.paths().await,
        ["blueprint/metadata.yaml", "blueprint/two/repository.yaml"]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_cannot_go_on_says_what_to_do_and_goes_on_when_it_is_done() {
    let mut world = World::start().await;
    ready_storage(&world, "WipeOut").await;
    world.delete::<Secret>("gcs-secret").await;
    // A new process has no store in memory.
    world.stop_operator().await;
    world.start_operator().await;
    world.delete::<BackupStorage>("gcs-storage").await;
    let blocked = |storage: &BackupStorage| {
        storage.metadata.deletion_timestamp.is_some()
            && ready_reason(storage) == "StorageSecretMissing"
    };
    world.until("gcs-storage", "blocked", blocked).await;
    world
        .merge::<BackupStorage>("gcs-storage", json!({"spec": {"deletionPolicy": "Delete"}}))
        .await;
    world.until_gone::<BackupStorage>("gcs-storage").await;
    assert_eq!(world.gcs.paths().await, ["blueprint/metadata.yaml"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_wiped_without_the_secret_says_what_to_do_and_goes_when_it_is_done() {
    let mut world = World::start().await;
    ready_storage(&world, "Delete").await;
    for name in ["mended", "kept"] {
        ready_repository(&world, name, "WipeOut").await;
    }
    let repository = ready_repository(&world, "other", "Delete").await;
    world
        .create::<Snapshot>(snapshot("snap", &repository, "WipeOut"))
        .await;
    report(&world, "snap").await;
    world.delete::<Secret>("gcs-secret").await;
    // A new process has no store in memory.
    world.stop_operator().await;
    world.start_operator().await;
    world.delete::<Snapshot>("snap").await;
    for name in ["mended", "kept"] {
        world.delete::<Repository>(name).await;
    }
    for name in ["mended", "kept", "snap"] {
        let note = world.event(name, "StorageUnreachable").await;
        assert!(note.contains("create it again"), "{name}: {note}");
    }
    let blocked = |conditions: &[Condition]| {
        condition(conditions, "Ready").is_some_and(|ready| ready.reason == "StorageUnreachable")
    };
    let found = world
        .api::<Repository>(NAMESPACE)
        .get("kept")
        .await
        .unwrap();
    assert!(blocked(&found.status.unwrap().conditions));
    let found = world.api::<Snapshot>(NAMESPACE).get("snap").await.unwrap();
    assert!(blocked(&found.status.unwrap().conditions));

    let keep = json!({"spec": {"deletionPolicy": "Delete"}});
    world.merge::<Repository>("kept", keep.clone()).await;
    world.merge::<Snapshot>("snap", keep).await;
    world.until_gone::<Repository>("kept").await;
    world.until_gone::<Snapshot>("snap").await;
    world.make_secret("gcs-secret").await;
    world.until_gone::<Repository>("mended").await;
    let files = world.gcs.paths().await;
    assert!(
        files.contains(&"blueprint/kept/repository.yaml".to_owned()),
        "{files:?}"
    );
    assert!(
        !files.contains(&"blueprint/mended/repository.yaml".to_owned()),
        "{files:?}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_takes_its_storages_along() {
    let world = World::start().await;
    ready_storage(&world, "WipeOut").await;
    ready_repository(&world, "default-blueprint", "WipeOut").await;
    let namespaces: kube::Api<Namespace> = kube::Api::all(world.client.clone());
    namespaces
        .delete(NAMESPACE, &Default::default())
        .await
        .unwrap();
    world.until_gone::<BackupStorage>("gcs-storage").await;
    world.until_gone::<Repository>("default-blueprint").await;
    assert_eq!(world.gcs.paths().await, Vec::<String>::new());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_over_existing_data_brings_its_repositories_and_snapshots_back_once() {
    let world = World::start().await;
    ready_storage(&world, "Delete").await;
    let repository = ready_repository(&world, "default-blueprint", "Delete").await;
    let mut stored: Snapshot =
        serde_json::from_value(snapshot("snap-1", &repository, "Delete")).unwrap();
    world
        .create::<Snapshot>(snapshot("snap-1", &repository, "Delete"))
        .await;
    report(&world, "snap-1").await;
    // The file that the executor writes beside the data; its writer knows nothing of the upload
    // yet.
    stored.status = serde_json::from_value(json!({"phase": "Running", "totalComponents": 1, "size": "674.017 KiB",
        "components": {"dump": {"phase": "Succeeded", "path": "repository/v1/frequent-backup/dump", "size": "674.017 KiB"}}}))
    .unwrap();
    let backend = world.gcs.store(BUCKET, "blueprint");
    let yaml = serde_json::to_vec(&stored).unwrap();
    backend
        .write("default-blueprint/snapshots/snap-1.yaml", yaml.into(), None)
        .await
        .unwrap();
    backend
        .write("broken/repository.yaml", "{".into(), None)
        .await
        .unwrap();

    world.delete::<BackupStorage>("gcs-storage").await;
    world.until_gone::<BackupStorage>("gcs-storage").await;
    world.until_gone::<Repository>("default-blueprint").await;

    world
        .create::<BackupStorage>(gcs_storage("gcs-storage", "blueprint", "Delete"))
        .await;
    let storage = world.until("gcs-storage", "ready", is_ready).await;
    let entries = storage.status.unwrap().repositories;
    let broken = entries
        .iter()
        .find(|entry| entry.path.as_deref() == Some("broken"))
        .unwrap();
    assert_eq!(broken.synced, Some(false));
    assert!(
        broken
            .error
            .as_deref()
            .is_some_and(|error| error.contains("broken/repository.yaml")),
        "{broken:?}"
    );
    let back = entries
        .iter()
        .find(|entry| entry.name == "default-blueprint")
        .unwrap();
    assert_eq!((back.synced, &back.error), (Some(true), &None));
    let succeeded = |snapshot: &Snapshot| {
        snapshot
            .status
            .as_ref()
            .and_then(|status| status.phase)
            .is_some_and(|phase| phase.as_str() == "Succeeded")
    };
    let snapshot = world.until::<Snapshot>("snap-1", "back", succeeded).await;
    let repository = world
        .api::<Repository>(NAMESPACE)
        .get("default-blueprint")
        .await
        .unwrap();
    assert_eq!(
        snapshot.owner_references()[0].uid,
        repository.uid().unwrap()
    );

    // What is deleted now stays away.
    world.delete::<Repository>("default-blueprint").await;
    world.until_gone::<Repository>("default-blueprint").await;
    let path = "default-blueprint/repository.yaml";
    assert!(backend.exists(path).await.unwrap());
    world
        .merge::<Secret>("gcs-secret", json!({"stringData": {"another": "version"}}))
        .await;
    let forgotten = |storage: &BackupStorage| {
        let entries = storage
            .status
            .as_ref()
            .map(|status| status.repositories.as_slice())
            .unwrap_or_default();
        entries
            .iter()
            .all(|entry| entry.name != "default-blueprint")
    };
    world.until("gcs-storage", "without it", forgotten).await;
    assert!(
        world
            .api::<Repository>(NAMESPACE)
            .get_opt("default-blueprint")
            .await
            .unwrap()
            .is_none()
    );
    world.stop().await;
}

/// What an executor reports of a restic snapshot, and of what it found in the repository.
async fn report_of(world: &World, name: &str, second: i64, id: &str, found: Value) {
    let made = jiff::Timestamp::from_second(1_800_000_000 + second)
        .unwrap()
        .to_string();
    let mut dump = json!({
        "driver": "Restic", "phase": "Succeeded", "path": "repository/v1/frequent-backup/dump",
        "size": "674.017 KiB", "integrity": true, "resticStats": [{"id": id}], "dataReadSince": made,
    });
    dump.as_object_mut()
        .unwrap()
        .extend(found.as_object().unwrap().clone());
    let status = json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot", "status": {
        "totalComponents": 1, "phase": "Succeeded", "snapshotTime": made, "integrity": true, "components": {"dump": dump},
        "conditions": [{"type": "SnapshotMetadataUploaded", "status": "True", "lastTransitionTime": made}],
    }});
    let params = kube::api::PatchParams::apply("kubestash-executor").force();
    world
        .api::<Snapshot>(NAMESPACE)
        .patch_status(name, &params, &kube::api::Patch::Apply(&status))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_whose_data_is_lost_is_marked_with_its_repository_until_the_data_is_there_again()
{
    let world = World::start().await;
    ready_storage(&world, "Delete").await;
    let repository = ready_repository(&world, "default-blueprint", "Delete").await;
    for name in ["snap-1", "snap-2", "snap-3", "snap-4"] {
        world
            .create::<Snapshot>(snapshot(name, &repository, "Delete"))
            .await;
    }
    let integrity = |snapshot: &Snapshot| {
        let status = snapshot.status.as_ref().unwrap();
        (status.integrity, status.components["dump"].integrity)
    };
    let sound = json!({});
    report_of(&world, "snap-1", 1, "1111", sound.clone()).await;
    report_of(&world, "snap-2", 2, "2222", sound.clone()).await;
    let lost = json!({
        "damage": ["pack 77 is missing"],
        "damagedSnapshots": [{"id": "1111", "reason": "2 of its chunks are lost"}],
    });
    report_of(&world, "snap-3", 3, "3333", lost).await;
    let both = (Some(false), Some(false));
    let marked = world.until::<Snapshot>("snap-1", "marked", |snapshot| {
        snapshot.status.is_some() && integrity(snapshot) == both
    });
    let marked = marked.await.status.unwrap();
    let intact = condition(&marked.conditions, "DataIntact").unwrap();
    assert_eq!(intact.reason, "DataDamaged");
    assert!(
        intact.message.contains("2 of its chunks are lost"),
        "{}",
        intact.message
    );
    assert!(marked.components["dump"].restic_stats[0].id() == Some("1111"));
    let told = world.event("snap-1", "DataDamaged").await;
    assert!(told.contains("restore another one"), "{told}");
    let damaged = world.until::<Repository>("default-blueprint", "damaged", |repository| {
        repository
            .status
            .as_ref()
            .is_some_and(|status| status.integrity == Some(false))
    });
    let status = damaged.await.status.unwrap();
    let intact = condition(&status.conditions, "DataIntact").unwrap();
    assert!(
        intact
            .message
            .starts_with("Snapshot snap-1: 2 of its chunks"),
        "{}",
        intact.message
    );
    assert_eq!(status.data_read_since.unwrap().0.as_second(), 1_800_000_003);
    let told = world.event("default-blueprint", "DamageFound").await;
    assert!(
        told.contains("pack 77 is missing") && told.contains("snap-3"),
        "{told}"
    );
    for name in ["snap-2", "snap-3"] {
        let other = world.api::<Snapshot>(NAMESPACE).get(name).await.unwrap();
        assert_eq!(integrity(&other), (Some(true), Some(true)), "{name}");
    }

    report_of(&world, "snap-4", 4, "4444", sound).await;
    let healed = world.until::<Snapshot>("snap-1", "healed", |snapshot| {
        snapshot.status.is_some() && integrity(snapshot) == (Some(true), Some(true))
    });
    let conditions = healed.await.status.unwrap().conditions;
    assert_eq!(
        condition(&conditions, "DataIntact").unwrap().reason,
        "DataRestored"
    );
    world
        .until::<Repository>("default-blueprint", "intact", |repository| {
            repository
                .status
                .as_ref()
                .is_some_and(|status| status.integrity == Some(true))
        })
        .await;
    world.stop().await;
}
