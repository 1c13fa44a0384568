//! A session of the tutorial, led from step to step.

mod ending;
mod finishing;
mod starting;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kubestash_api::conditions::completion::METRICS_PUSHED;
use kubestash_api::conditions::executor::WAITING;
use kubestash_api::core::{BackupConfiguration, RetentionPolicyApplyPhase};
use kubestash_api::shared::{ConditionStatus, TypedObjectReference};
use kubestash_api::storage::{BackupStorage, Repository, SnapshotPhase};
use kubestash_domain::target::Key;
use serde_json::{Value, json};

use super::*;
use crate::controllers::backupsession::running::{clean_up, may_have_left_locks};
use crate::controllers::backupsession::source::Source;
use crate::session::queue::Turn;

const SESSION: &str = "appbinding-sample-druid-frequent-backup-1726741846";
const SNAPSHOT: &str = "default-blueprint-appbinding-samruid-frequent-backup-1726741846";
const CREATED: &str = "2024-09-19T10:30:46Z";

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_second(CREATED.parse::<Timestamp>().unwrap().as_second() + seconds).unwrap()
}

fn from<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn configuration(session: Value) -> BackupConfiguration {
    let mut entry = json!({
        "name": "frequent-backup", "sessionHistoryLimit": 3,
        "scheduler": {"schedule": "*/5 * * * *", "jobTemplate": {"backoffLimit": 1}},
        "repositories": [{"name": "default-blueprint", "backend": "gcs-backend", "directory": "/default-blueprint"}],
        "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-backup"}]},
    });
    for (key, value) in session.as_object().unwrap() {
        entry[key] = value.clone();
    }
    from(json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": "appbinding-sample-druid", "namespace": "demo", "uid": "bc", "generation": 1},
        "spec": {
            "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
            "backends": [{"name": "gcs-backend", "storageRef": {"name": "gcs-storage", "namespace": "stores"},
                "retentionPolicy": {"name": "demo-retention"}}],
            "sessions": [entry],
        },
        "status": {"phase": "Ready"},
    }))
}

fn session(name: &str, spec: Value) -> BackupSession {
    let mut object = json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession",
        "metadata": {"name": name, "namespace": "demo", "uid": name, "generation": 1, "creationTimestamp": CREATED},
        "spec": {"session": "frequent-backup",
            "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration",
                "name": "appbinding-sample-druid"}},
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    from(object)
}

fn repository() -> Repository {
    from(
        json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
        "metadata": {"name": "default-blueprint", "namespace": "demo", "uid": "repo"},
        "spec": {"appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
            "storageRef": {"name": "gcs-storage", "namespace": "stores"}, "path": "/default-blueprint",
            "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"}}}),
    )
}

fn storage() -> BackupStorage {
    from(
        json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "gcs-storage", "namespace": "stores"},
        "spec": {"storage": {"provider": "gcs", "gcs": {"bucket": "b", "secretName": "gcs-secret"}}}}),
    )
}

fn world() -> World {
    let catalog = kubestash_domain::catalog::addons();
    let binding = |name: &Key| {
        let secret = format!("{}-auth", name.name);
        Some(Arc::new(from(
            json!({"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
            "metadata": {"name": name.name, "namespace": name.namespace},
            "spec": {"clientConfig": {}, "version": "30.0.0", "secret": {"name": secret}}}),
        )))
    };
    let target = TypedObjectReference::new("kubedb.com", "Druid", "sample-druid", "demo");
    let druid = from(json!({"apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
        "metadata": {"name": "sample-druid", "namespace": "demo"}, "spec": {"version": "30.0.0"}}));
    World {
        session: Arc::new(session(SESSION, json!({}))),
        configuration: Some(configuration(json!({}))),
        repositories: [("default-blueprint".to_owned(), repository())].into(),
        storages: [("default-blueprint".to_owned(), Arc::new(storage()))].into(),
        addon: catalog
            .into_iter()
            .find(|addon| addon.name_any() == "druid-addon")
            .map(Arc::new),
        functions: kubestash_domain::catalog::functions("image")
            .into_iter()
            .map(|function| (function.name_any(), Arc::new(function)))
            .collect(),
        source: Source::find(&target, "demo", Some(&druid), binding),
        image: "kubestash:test".to_owned(),
        ..World::default()
    }
}

/// The world after `plan` was carried out, with what the executor may have written.
fn carried_out(world: &World, plan: &Plan) -> World {
    let mut next = world.clone();
    let session = Arc::make_mut(&mut next.session);
    session.status = Some(plan.status.clone());
    match &plan.step {
        Step::Start(missing, first) => {
            for snapshot in missing {
                let mut made = snapshot.clone();
                made.status = Some(first.as_ref().clone());
                next.snapshots.insert(made.spec.repository.clone(), made);
            }
        }
        Step::Launch(executor) => next.job = Some(executor.job.clone()),
        Step::Declare(unfinished) => {
            for (snapshot, declared) in unfinished {
                let found = next.snapshots.get_mut(&snapshot.spec.repository).unwrap();
                let status = found.status.get_or_insert_default();
                status.phase = declared.phase;
                status.conditions.extend(declared.conditions.clone());
                for (name, component) in &declared.components {
                    let found = status.components.entry(name.clone()).or_default();
                    found.phase = component.phase;
                    found.error = component.error.clone();
                }
            }
        }
        Step::Stop(job) => {
            let mut job = job.as_ref().clone();
            job.metadata.deletion_timestamp = Some(Time(after(0)));
            next.job = Some(job);
        }
        Step::Wait(_) | Step::Finish(_) | Step::Retry(_) => {}
    }
    next
}

fn step(world: &World, now: Timestamp) -> (Plan, World) {
    let plan = decide(world, now);
    let next = carried_out(world, &plan);
    (plan, next)
}

/// A session whose Job runs.
fn running() -> World {
    let (_, world) = step(&world(), after(0));
    let (plan, world) = step(&world, after(0));
    assert!(matches!(plan.step, Step::Launch(_)), "{:?}", plan.step);
    world
}

fn with_component(mut world: World, component: Value, snapshot_phase: &str) -> World {
    let snapshot = world.snapshots.get_mut("default-blueprint").unwrap();
    let status = snapshot.status.get_or_insert_default();
    status.components = from(json!({ "dump": component }));
    status.phase = Some(snapshot_phase.parse().unwrap());
    if status.phase == Some(SnapshotPhase::Succeeded) {
        status.conditions = from(uploaded());
    }
    world
}

fn uploaded() -> Value {
    json!([{"type": "SnapshotMetadataUploaded", "status": "True", "reason": "SuccessfullyUploadedSnapshotMetadata",
        "message": "", "lastTransitionTime": CREATED}])
}

fn with_job(mut world: World, condition: Value) -> World {
    let job = world.job.as_mut().unwrap();
    job.status = Some(from(json!({"conditions": [condition]})));
    world
}

fn complete() -> Value {
    json!({"type": "Complete", "status": "True"})
}

fn failed() -> Value {
    json!({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"})
}

/// Goes on until the session is finished, and returns the steps on the way.
fn to_the_end(mut world: World, now: Timestamp) -> (World, BackupSessionStatus) {
    for _ in 0..5 {
        let (plan, next) = step(&world, now);
        if matches!(plan.step, Step::Finish(_)) {
            let status = finish::finish(plan.status, &world, None, now);
            return (world, status);
        }
        assert!(
            !matches!(plan.step, Step::Wait(_)) || next.session != world.session,
            "it hangs: {plan:?}"
        );
        world = next;
    }
    panic!("it does not end");
}

fn words(status: &BackupSessionStatus) -> Vec<(&str, &str, &str, &str)> {
    status
        .conditions
        .iter()
        .map(|found| {
            (
                found.type_.as_str(),
                found.status.as_str(),
                found.reason.as_str(),
                found.message.as_str(),
            )
        })
        .collect()
}
