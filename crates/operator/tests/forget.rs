//! Snapshots that are deleted with their data, in a real restic repository behind a real GCS
//! emulator.
#![cfg(test)]

mod support;

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kubestash_api::addons::{Addon, Function};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::{BackupConfiguration, RestoreSession};
use kubestash_api::kubedb::Druid;
use kubestash_api::shared::RepositoryPhase;
use kubestash_api::storage::{
    BackupStorage, BackupStoragePhase, Repository, RetentionPolicy, Snapshot,
};
use kubestash_backend::{Backend, Environment, LocalRoot, resolve};
use kubestash_domain::lock_holder::LockHolder;
use kubestash_engine::{
    BackupRequest, CancellationToken, LockOwner, OpenOptions, Repository as _, ResticRepository,
    Secret,
};
use serde_json::json;
use support::{NAMESPACE, World, gcs_storage, repository};

const PATH: &str = "repository/v1/frequent-backup/dump";
const DIRECTORY: &str = "/default-blueprint";

struct Stored {
    world: World,
    backend: Backend,
    restic: ResticRepository,
}

/// A Repository with as many Snapshots as asked for, each with a restic snapshot and a file.
async fn stored(count: usize) -> Stored {
    let world = World::start().await;
    world.make_secret("gcs-secret").await;
    make_password(&world, "changeit").await;
    world
        .create::<BackupStorage>(gcs_storage("gcs-storage", "blueprint", "Delete"))
        .await;
    let storage = world
        .until("gcs-storage", "ready", |storage: &BackupStorage| {
            storage.status.as_ref().and_then(|status| status.phase)
                == Some(BackupStoragePhase::Ready)
        })
        .await;
    world
        .create::<Repository>(repository("default-blueprint", "Delete"))
        .await;
    let owner = world
        .until("default-blueprint", "ready", |repository: &Repository| {
            repository.status.as_ref().and_then(|status| status.phase)
                == Some(RepositoryPhase::Ready)
        })
        .await;

    let secret = world
        .api::<KubeSecret>(NAMESPACE)
        .get("gcs-secret")
        .await
        .unwrap();
    let environment = Environment {
        storage_emulator_host: Some(world.gcs.endpoint.clone()),
    };
    let config = resolve(&storage, Some(&secret), &environment, &LocalRoot::InPod).unwrap();
    let backend = Backend::open(&config).unwrap();
    let options = OpenOptions::new(LockOwner::new("test"));
    let restic = backend
        .open_or_init(DIRECTORY, PATH, &Secret::new("changeit"), options)
        .await
        .unwrap();
    for index in 0..count {
        let request = BackupRequest {
            host: "host-0".to_owned(),
            file_name: "dumpfile.sql".to_owned(),
            tags: Vec::new(),
            time: jiff::Timestamp::now(),
        };
        let content = std::io::Cursor::new(format!("-- dump {index}\n").into_bytes());
        let summary = restic
            .backup_stream(request, Box::new(content), CancellationToken::new())
            .await
            .unwrap();
        let name = format!("snap-{index}");
        make_snapshot(&world, &owner, &name, &summary.snapshot_id).await;
        let object = world.api::<Snapshot>(NAMESPACE).get(&name).await.unwrap();
        backend.write_snapshot(DIRECTORY, &object).await.unwrap();
    }
    Stored {
        world,
        backend,
        restic,
    }
}

async fn make_password(world: &World, password: &str) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "encrypt-secret", "namespace": NAMESPACE}, "stringData": {"RESTIC_PASSWORD": password}});
    world.create::<KubeSecret>(secret).await;
}

async fn make_snapshot(world: &World, owner: &Repository, name: &str, id: &str) {
    world
        .create::<Snapshot>(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {
                "name": name, "namespace": NAMESPACE, "finalizers": ["kubestash.com/cleanup"],
                "ownerReferences": [{"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
                    "name": owner.name_any(), "uid": owner.uid(), "controller": true}],
            },
            "spec": {"repository": owner.name_any(), "session": "frequent-backup", "deletionPolicy": "WipeOut"},
        }))
        .await;
    let now = jiff::Timestamp::now().to_string();
    let status = json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot", "status": {
        "totalComponents": 1, "snapshotTime": now,
        "components": {"dump": {"driver": "Restic", "phase": "Succeeded", "path": PATH, "size": "1 B",
            "resticStats": [{"id": id}]}},
        "conditions": [{"type": "SnapshotMetadataUploaded", "status": "True", "lastTransitionTime": now}],
    }});
    let params = PatchParams::apply("kubestash-executor").force();
    let api = world.api::<Snapshot>(NAMESPACE);
    api.patch_status(name, &params, &Patch::Apply(&status))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_snapshots_take_their_data_along_and_leave_that_of_the_others() {
    let Stored {
        world,
        backend,
        restic,
    } = Box::pin(stored(3)).await;
    world.delete::<Snapshot>("snap-0").await;
    world.delete::<Snapshot>("snap-2").await;
    world.until_gone::<Snapshot>("snap-0").await;
    world.until_gone::<Snapshot>("snap-2").await;
    let kept = world
        .api::<Snapshot>(NAMESPACE)
        .get("snap-1")
        .await
        .unwrap();
    let id = kept.status.unwrap().components["dump"].restic_stats[0]
        .id()
        .unwrap()
        .to_owned();
    let left: Vec<_> = restic
        .snapshots()
        .await
        .unwrap()
        .into_iter()
        .map(|info| info.id)
        .collect();
    assert_eq!(left, [id]);
    let files = backend
        .store()
        .list("default-blueprint/snapshots")
        .await
        .unwrap();
    let files: Vec<_> = files.into_iter().map(|entry| entry.path).collect();
    assert_eq!(files, ["default-blueprint/snapshots/snap-1.yaml"]);
    let counted = |repository: &Repository| {
        repository
            .status
            .as_ref()
            .and_then(|status| status.snapshot_count)
            == Some(1)
    };
    world
        .until("default-blueprint", "counted anew", counted)
        .await;
    world.stop().await;
}

/// Leaves a lock behind, as a Job of that name does that is killed.
async fn leave_a_lock(stored: &Stored, job: &str) {
    let repository = stored.world.api::<Repository>(NAMESPACE);
    let repository = repository.get("default-blueprint").await.unwrap();
    let holder = LockHolder::new(job, repository.uid().unwrap());
    let options = OpenOptions::new(LockOwner::new(holder.to_string()));
    let password = Secret::new("changeit");
    let restic = stored
        .backend
        .open_repository(DIRECTORY, PATH, &password, options)
        .await
        .unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let request = BackupRequest {
        host: "host-0".to_owned(),
        file_name: "dumpfile.sql".to_owned(),
        tags: Vec::new(),
        time: jiff::Timestamp::now(),
    };
    let cancel = CancellationToken::new();
    let stopped = cancel.clone();
    let backup = tokio::spawn(async move {
        let source = Box::new(reader);
        restic.backup_stream(request, source, stopped).await
    });
    let store = stored.backend.store();
    let held = loop {
        if let Some(lock) = locks(stored).await.pop() {
            break lock;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let content = store.read(&held).await.unwrap();
    cancel.cancel();
    drop(writer);
    assert!(backup.await.unwrap().is_err());
    store.write(&held, content, None).await.unwrap();
    assert_eq!(locks(stored).await, [held]);
}

async fn locks(stored: &Stored) -> Vec<String> {
    let directory = format!("{}/{PATH}/locks", DIRECTORY.trim_matches('/'));
    let found = stored.backend.store().list(&directory).await.unwrap();
    found.into_iter().map(|entry| entry.path).collect()
}

async fn until_unlocked(stored: &Stored) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !locks(stored).await.is_empty() {
        assert!(std::time::Instant::now() < deadline, "the lock stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_retention_had_begun_is_finished_when_its_session_is_over() {
    let stored = Box::pin(stored(2)).await;
    let world = &stored.world;
    // As its Job leaves it: deleted, held by the finalizer, and the lock of a session that is no
    // more.
    leave_a_lock(&stored, "the-session").await;
    let begun = json!({"metadata": {"annotations": {"kubestash.com/removed-by": "the-session"}}});
    let api = world.api::<Snapshot>(NAMESPACE);
    api.patch("snap-0", &PatchParams::default(), &Patch::Merge(begun))
        .await
        .unwrap();
    // Nobody who looks on the way finds that it succeeded.
    let watching = {
        let api = api.clone();
        tokio::spawn(async move {
            let mut said = Vec::new();
            while let Some(found) = api.get_opt("snap-0").await.unwrap() {
                let phase = found.status.and_then(|status| status.phase);
                if found.metadata.deletion_timestamp.is_some() {
                    said.extend(phase.map(|phase| phase.as_str()));
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            said
        })
    };
    world.delete::<Snapshot>("snap-0").await;
    world.until_gone::<Snapshot>("snap-0").await;
    let said = watching.await.unwrap();
    assert_eq!(said.last(), Some(&"Failed"), "{said:?}");
    assert_eq!(stored.restic.snapshots().await.unwrap().len(), 1);
    until_unlocked(&stored).await;
    let kept = api.get("snap-1").await.unwrap().status.unwrap();
    assert_eq!(kept.phase.unwrap().as_str(), "Succeeded");
    let ready = kept.conditions.iter().find(|found| found.type_ == "Ready");
    assert_eq!(ready.unwrap().status.as_str(), "True");
    stored.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_killed_restore_goes_with_its_session() {
    let stored = Box::pin(stored(1)).await;
    let world = &stored.world;
    world.catalog().await;
    world
        .create::<RestoreSession>(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
            "metadata": {"name": "killed", "namespace": NAMESPACE},
            "spec": {
                "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "not-there", "namespace": NAMESPACE},
                "dataSource": {"repository": "default-blueprint", "snapshot": "snap-0"},
                "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-restore"}]},
            },
        }))
        .await;
    let waits = |session: &RestoreSession| {
        let status = session.status.as_ref();
        status.is_some_and(|status| {
            status
                .conditions
                .iter()
                .any(|c| c.reason == "WaitingForTarget")
        })
    };
    world.until("killed", "waiting", waits).await;
    leave_a_lock(&stored, &LockHolder::restore_job(NAMESPACE, "killed")).await;
    // Its Job was made, and is gone.
    let now = jiff::Timestamp::now().to_string();
    let status = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession", "status": {
        "totalComponents": 1,
        "conditions": [{"type": "RestoreExecutorEnsured", "status": "True", "lastTransitionTime": now}],
    }});
    let params = PatchParams::apply("test").force();
    world
        .api::<RestoreSession>(NAMESPACE)
        .patch_status("killed", &params, &Patch::Apply(&status))
        .await
        .unwrap();
    let failed = |session: &RestoreSession| {
        let phase = session.status.as_ref().and_then(|status| status.phase);
        phase.is_some_and(|phase| phase.as_str() == "Failed")
    };
    world.until("killed", "failed", failed).await;
    assert_eq!(locks(&stored).await, Vec::<String>::new());
    stored.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_password_the_snapshot_says_so_and_goes_when_it_is_there() {
    let Stored { world, restic, .. } = Box::pin(stored(1)).await;
    world.delete::<KubeSecret>("encrypt-secret").await;
    world.delete::<Snapshot>("snap-0").await;
    let blocked = |snapshot: &Snapshot| {
        let conditions = snapshot
            .status
            .as_ref()
            .map(|status| status.conditions.as_slice());
        conditions
            .unwrap_or_default()
            .iter()
            .any(|condition| condition.reason == "EncryptionSecretInvalid")
    };
    let snapshot = world.until::<Snapshot>("snap-0", "blocked", blocked).await;
    // What others said about it is still there.
    let conditions = snapshot.status.unwrap().conditions;
    assert!(
        conditions
            .iter()
            .any(|condition| condition.type_ == "SnapshotMetadataUploaded")
    );
    assert!(
        world
            .event("snap-0", "EncryptionSecretInvalid")
            .await
            .contains("demo/encrypt-secret")
    );
    assert_eq!(restic.snapshots().await.unwrap().len(), 1);
    make_password(&world, "changeit").await;
    tokio::time::timeout(
        Duration::from_secs(60),
        world.until_gone::<Snapshot>("snap-0"),
    )
    .await
    .unwrap();
    assert!(restic.snapshots().await.unwrap().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_bucket_that_is_gone() {
    let Stored { world, .. } = Box::pin(stored(2)).await;
    let wipe = || json!({"spec": {"deletionPolicy": "WipeOut"}});
    world.merge::<BackupStorage>("gcs-storage", wipe()).await;
    world.merge::<Repository>("default-blueprint", wipe()).await;
    world.gcs.remove_bucket().await;
    world.delete::<Snapshot>("snap-0").await;
    world.until_gone::<Snapshot>("snap-0").await;
    // Also when the Secrets are gone with it.
    world.delete::<KubeSecret>("gcs-secret").await;
    world.delete::<Repository>("default-blueprint").await;
    world.until_gone::<Repository>("default-blueprint").await;
    world.until_gone::<Snapshot>("snap-1").await;
    world.delete::<BackupStorage>("gcs-storage").await;
    world.until_gone::<BackupStorage>("gcs-storage").await;
    let note = world.event("gcs-storage", "NothingToWipe").await;
    assert!(note.contains("does not exist any more"), "{note}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_does_not_wait_for_a_password_that_is_gone() {
    let Stored { world, restic, .. } = Box::pin(stored(2)).await;
    world.delete::<KubeSecret>("encrypt-secret").await;
    world.delete::<Snapshot>("snap-0").await;
    world.event("snap-0", "EncryptionSecretInvalid").await;
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> =
        kube::Api::all(world.client.clone());
    namespaces
        .delete(NAMESPACE, &Default::default())
        .await
        .unwrap();
    for name in ["snap-0", "snap-1"] {
        world.until_gone::<Snapshot>(name).await;
    }
    world.until_gone::<Repository>("default-blueprint").await;
    world.until_gone::<BackupStorage>("gcs-storage").await;
    let gone = async {
        while namespaces.get_opt(NAMESPACE).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .unwrap();
    assert_eq!(restic.snapshots().await.unwrap().len(), 2);
    world.stop().await;
}

/// A configuration that backs up into the Repository, and everything that it names.
async fn configured(world: &World) {
    for addon in kubestash_domain::catalog::addons() {
        let api: kube::Api<Addon> = kube::Api::all(world.client.clone());
        api.create(&Default::default(), &addon).await.unwrap();
    }
    for function in kubestash_domain::catalog::functions("kubestash.test/own") {
        let api: kube::Api<Function> = kube::Api::all(world.client.clone());
        api.create(&Default::default(), &function).await.unwrap();
    }
    let owner = |kind: &str, version: &str, name: &str, spec: serde_json::Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec});
    let core = "core.kubestash.com/v1alpha1";
    let policy = json!({"maxRetentionPeriod": "2mo", "successfulSnapshots": {"last": 5}});
    world
        .create::<RetentionPolicy>(owner(
            "RetentionPolicy",
            "storage.kubestash.com/v1alpha1",
            "keep",
            policy,
        ))
        .await;
    world
        .create::<Druid>(owner(
            "Druid",
            "kubedb.com/v1alpha2",
            "sample-druid",
            json!({"version": "30.0.0"}),
        ))
        .await;
    let binding = json!({"type": "kubedb.com/druid", "clientConfig": {"url": "http://127.0.0.1:8888"},
        "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": NAMESPACE}});
    world
        .create::<AppBinding>(owner(
            "AppBinding",
            "appcatalog.appscode.com/v1alpha1",
            "sample-druid",
            binding,
        ))
        .await;
    let spec = json!({
        "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": NAMESPACE},
        "paused": true,
        "backends": [{"name": "gcs", "storageRef": {"name": "gcs-storage", "namespace": NAMESPACE},
            "retentionPolicy": {"name": "keep", "namespace": NAMESPACE}}],
        "sessions": [{
            "name": "frequent-backup", "scheduler": {"schedule": "@yearly", "jobTemplate": {}},
            "repositories": [{"name": "default-blueprint", "backend": "gcs", "directory": DIRECTORY,
                "encryptionSecret": {"name": "encrypt-secret", "namespace": NAMESPACE}}],
            "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-backup"}]},
        }],
    });
    world
        .create::<BackupConfiguration>(owner("BackupConfiguration", core, "backup", spec))
        .await;
}

fn ready_reason(configuration: &BackupConfiguration) -> (&str, &str) {
    let status = configuration.status.as_ref();
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let ready = conditions.iter().find(|found| found.type_ == "Ready");
    ready.map_or(("", ""), |ready| {
        (ready.reason.as_str(), ready.message.as_str())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_no_longer_opens_the_repository_is_told_before_the_next_backup_needs_it() {
    let Stored { mut world, .. } = Box::pin(stored(1)).await;
    configured(&world).await;
    let reason_is =
        |reason: &'static str| move |found: &BackupConfiguration| ready_reason(found).0 == reason;
    let paused = world.until("backup", "ready", reason_is("Ready")).await;
    assert!(ready_reason(&paused).1.contains("paused"), "{paused:?}");

    let change = |password: &str| json!({"stringData": {"RESTIC_PASSWORD": password}});
    world
        .merge::<KubeSecret>("encrypt-secret", change("another"))
        .await;
    let told = world
        .until(
            "backup",
            "not ready",
            reason_is("EncryptionPasswordChanged"),
        )
        .await;
    let (_, message) = ready_reason(&told);
    assert!(
        message.contains("Secret demo/encrypt-secret")
            && message.contains("put the old value of RESTIC_PASSWORD back"),
        "{message}"
    );
    assert!(
        !message.contains("another\"") && !message.contains("changeit"),
        "no password is told: {message}"
    );
    // It still holds after a restart, for an operator that has not seen the change.
    world.stop_operator().await;
    world.start_operator().await;
    let edited = world
        .merge::<BackupConfiguration>("backup", json!({"spec": {"paused": false}}))
        .await;
    let looked_again = |found: &BackupConfiguration| {
        let observed = found
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
        observed == edited.metadata.generation
    };
    let told = world.until("backup", "looked at again", looked_again).await;
    assert_eq!(ready_reason(&told).0, "EncryptionPasswordChanged");
    world
        .merge::<KubeSecret>("encrypt-secret", change("changeit"))
        .await;
    world.until("backup", "ready", reason_is("Ready")).await;

    // A Secret that was lost and made anew with another password is younger than the Repository.
    world.stop_operator().await;
    world.delete::<KubeSecret>("encrypt-secret").await;
    // Times in objects are whole seconds.
    let created = world
        .api::<Repository>(NAMESPACE)
        .get("default-blueprint")
        .await
        .unwrap();
    let created = created.metadata.creation_timestamp.unwrap().0;
    while jiff::Timestamp::now().as_second() <= created.as_second() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    make_password(&world, "third").await;
    world.start_operator().await;
    world
        .until(
            "backup",
            "not ready",
            reason_is("EncryptionPasswordChanged"),
        )
        .await;
    world.stop().await;
}
