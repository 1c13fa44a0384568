use k8s_openapi::api::core::v1::Pod;
use kubestash_api::{
    conditions::completion::METRICS_PUSHED,
    core::{BackupConfiguration, RetentionPolicyApplyPhase},
    shared::{ConditionStatus, TypedObjectReference},
    storage::{BackupStorage, Repository, SnapshotPhase},
};
use serde_json::{Value, json};

use super::*;
use crate::backupsession::source::{Named, Source};

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
    let catalog = kubestash_core::catalog::addons();
    let binding = |name: &Named| {
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
        functions: kubestash_core::catalog::functions("image")
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

#[test]
fn the_snapshot_is_the_tutorials() {
    let (plan, _) = step(&world(), after(10));
    let Step::Start(missing, first) = plan.step else {
        panic!("{:?}", plan.step)
    };
    let snapshot = serde_json::to_value(&missing[0]).unwrap();
    assert_eq!(snapshot["metadata"]["name"], SNAPSHOT);
    assert_eq!(
        snapshot["metadata"]["labels"],
        json!({
            "kubestash.com/app-ref-kind": "Druid",
            "kubestash.com/app-ref-name": "sample-druid",
            "kubestash.com/app-ref-namespace": "demo",
            "kubestash.com/repo-name": "default-blueprint",
        })
    );
    assert_eq!(
        snapshot["metadata"]["annotations"],
        json!({"kubedb.com/db-version": "30.0.0"})
    );
    assert_eq!(
        snapshot["metadata"]["finalizers"],
        json!(["kubestash.com/cleanup"])
    );
    assert_eq!(
        snapshot["metadata"]["ownerReferences"],
        json!([{"apiVersion": "storage.kubestash.com/v1alpha1", "blockOwnerDeletion": true, "controller": true,
            "kind": "Repository", "name": "default-blueprint", "uid": "repo"}])
    );
    assert_eq!(
        snapshot["spec"],
        json!({
            "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
            "backupSession": SESSION,
            "deletionPolicy": "Delete",
            "repository": "default-blueprint",
            "session": "frequent-backup",
            "type": "FullBackup",
            "version": "v1",
        })
    );
    assert_eq!(
        (first.phase, first.total_components),
        (Some(SnapshotPhase::Pending), Some(1))
    );
    let status = serde_json::to_value(&plan.status).unwrap();
    assert_eq!(status["totalSnapshots"], 1);
    assert_eq!(status["snapshots"][0]["name"], SNAPSHOT);
    assert_eq!(status["snapshots"][0]["phase"], "Pending");
    assert_eq!(status["snapshots"][0]["repository"], "default-blueprint");
}

#[test]
fn a_good_run_ends_with_the_documented_conditions_in_their_order() {
    let world = with_component(running(), json!({"phase": "Succeeded"}), "Succeeded");
    let mut world = with_job(world, complete());
    Arc::make_mut(&mut world.session)
        .status
        .as_mut()
        .unwrap()
        .retention_policy = from(json!([{"repository": "default-blueprint", "phase": "Applied"}]));
    let (_, status) = to_the_end(world, after(28));
    assert_eq!(
        words(&status),
        [
            (
                "SnapshotsEnsured",
                "True",
                "SuccessfullyEnsuredSnapshots",
                "Snapshots have been ensured successfully."
            ),
            (
                "BackupExecutorEnsured",
                "True",
                "SuccessfullyEnsuredBackupExecutor",
                "Backup Executor has been ensured successfully."
            ),
            (
                "SessionHistoryCleaned",
                "True",
                "SuccessfullyCleanedSessionHistory",
                ""
            ),
            (
                "MetricsPushed",
                "True",
                "SuccessfullyPushedMetrics",
                "Metrics have been pushed successfully."
            ),
        ]
    );
    assert_eq!(status.phase, Some(BackupSessionPhase::Succeeded));
    assert_eq!(status.duration.as_deref(), Some("28s"));
    assert_eq!(status.snapshots[0].phase, Some(SnapshotPhase::Succeeded));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.next_retry, None);
}

#[test]
fn the_job_has_the_sessions_name_the_tasks_arguments_and_exactly_the_rights_it_needs() {
    let (_, world) = step(&world(), after(0));
    let (plan, _) = step(
        &World {
            old_snapshots: vec!["older".to_owned()],
            ..world
        },
        after(0),
    );
    let Step::Launch(executor) = plan.step else {
        panic!("{:?}", plan.step)
    };
    let job = serde_json::to_value(&executor.job).unwrap();
    assert_eq!(job["metadata"]["name"], SESSION);
    assert_eq!(
        job["metadata"]["ownerReferences"][0]["kind"],
        "BackupSession"
    );
    assert_eq!(
        job["metadata"]["labels"]["app.kubernetes.io/component"],
        "kubestash-backup"
    );
    assert_eq!(
        job["metadata"]["labels"]["kubestash.com/invoker-name"],
        SESSION
    );
    assert_eq!(
        job["metadata"]["labels"]["kubestash.com/session-name"],
        "frequent-backup"
    );
    assert_eq!(job["spec"]["backoffLimit"], 1);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], SESSION);
    assert_eq!(
        pod["volumes"],
        json!([{"name": "kubestash-tmp-volume", "emptyDir": {}}])
    );
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "kubestash:test");
    assert_eq!(
        container["command"],
        json!(["kubestash", "execute", "mysql-backup"])
    );
    let args: Vec<String> = from(container["args"].clone());
    assert!(
        args.contains(&format!("--backupsession={SESSION}")),
        "{args:?}"
    );
    assert_eq!(args.last().unwrap(), "--last-task");

    let mut rights: Vec<String> = executor
        .rbac
        .roles
        .iter()
        .flat_map(|role| {
            let namespace = role.metadata.namespace.clone().unwrap();
            role.rules.iter().flatten().map(move |rule| {
                format!(
                    "{namespace} {} {:?} {}",
                    rule.resources.as_ref().unwrap().join(","),
                    rule.resource_names.as_deref().unwrap_or_default(),
                    rule.verbs.join(","),
                )
            })
        })
        .collect();
    rights.sort();
    assert_eq!(
        rights,
        [
            "demo appbindings [\"sample-druid\", \"sample-druid-mysql-metadata\"] get".to_owned(),
            "demo backupconfigurations [\"appbinding-sample-druid\"] get".to_owned(),
            format!("demo backupsessions [\"{SESSION}\"] get"),
            format!("demo backupsessions/status [\"{SESSION}\"] get,patch"),
            "demo druids [\"sample-druid\"] get".to_owned(),
            "demo repositories [\"default-blueprint\"] get".to_owned(),
            "demo retentionpolicies [\"demo-retention\"] get".to_owned(),
            "demo secrets [\"encrypt-secret\", \"sample-druid-auth\", \"sample-druid-mysql-metadata-auth\"] get"
                .to_owned(),
            format!("demo snapshots [\"{SNAPSHOT}\", \"older\"] get,patch,delete"),
            "demo snapshots [] list".to_owned(),
            format!("demo snapshots/status [\"{SNAPSHOT}\"] get,patch"),
            "stores backupstorages [\"gcs-storage\"] get".to_owned(),
            "stores secrets [\"gcs-secret\"] get".to_owned(),
        ]
    );
}

#[test]
fn each_reason_not_to_start_is_told_and_nothing_is_made() {
    let with = |change: fn(&mut World)| {
        let mut world = world();
        change(&mut world);
        world
    };
    let cases: [(World, &str); 8] = [
        (with(|world| world.configuration = None), "does not exist"),
        (
            with(|world| {
                world
                    .configuration
                    .as_mut()
                    .unwrap()
                    .metadata
                    .deletion_timestamp = Some(Time(after(0)));
            }),
            "is being deleted",
        ),
        (
            with(|world| world.configuration.as_mut().unwrap().spec.paused = Some(true)),
            "is paused",
        ),
        (
            with(|world| {
                world.configuration.as_mut().unwrap().status =
                    from(json!({"phase": "NotReady", "conditions": [{
                    "type": "Ready", "status": "False", "reason": "TargetNotFound",
                    "message": "the target is missing", "lastTransitionTime": CREATED}]}));
            }),
            "is not ready: the target is missing",
        ),
        (
            with(|world| world.session = Arc::new(session(SESSION, json!({"session": "other"})))),
            "no session \"other\"",
        ),
        (
            with(|world| {
                let invoker = json!({"invoker": {"kind": "BackupBatch", "name": "b"}});
                world.session = Arc::new(session(SESSION, invoker));
            }),
            "BackupBatch",
        ),
        (
            with(|world| world.siblings = vec![Arc::new(session("an-older-one", json!({})))]),
            "BackupSession an-older-one of the same session is still running",
        ),
        (
            with(|world| world.overtaken_by = Some("a-faster-one".to_owned())),
            "BackupSession a-faster-one",
        ),
    ];
    for (world, reason) in cases {
        let (plan, _) = step(&world, after(0));
        assert!(
            matches!(plan.step, Step::Finish(_)),
            "{reason}: {:?}",
            plan.step
        );
        let status = finish::finish(plan.status, &world, None, after(0));
        assert_eq!(status.phase, Some(BackupSessionPhase::Skipped), "{reason}");
        let skipped = &status.conditions[0];
        assert_eq!(
            (skipped.type_.as_str(), skipped.reason.as_str()),
            ("BackupSkipped", "PreRequisitesNotSatisfied")
        );
        assert!(
            skipped.message.contains(reason),
            "{reason}: {}",
            skipped.message
        );
        assert_eq!(
            status.conditions.last().unwrap().type_,
            METRICS_PUSHED.type_
        );
    }
}

#[test]
fn a_newer_session_that_has_not_started_or_a_finished_one_is_no_obstacle() {
    let newer = session("zz-newer", json!({}));
    let mut finished = session("a-finished-one", json!({}));
    finished.status = Some(from(json!({"phase": "Succeeded"})));
    let world = World {
        siblings: vec![Arc::new(newer), Arc::new(finished)],
        ..world()
    };
    assert!(matches!(decide(&world, after(0)).step, Step::Start(..)));
}

#[test]
fn with_replace_the_older_session_is_cancelled_and_the_newer_one_waits_for_its_end() {
    let replace = json!({"scheduler": {"schedule": "@daily", "concurrencyPolicy": "Replace", "jobTemplate": {}}});
    let older = World {
        configuration: Some(configuration(replace.clone())),
        ..running()
    };
    let newer = Arc::new(session("zz-newer", json!({})));
    let cancelled = World {
        siblings: vec![newer.clone()],
        ..older.clone()
    };
    let (plan, stopping) = step(&cancelled, after(5));
    assert!(matches!(plan.step, Step::Stop(_)), "{:?}", plan.step);
    let (plan, _) = step(&stopping, after(6));
    assert!(
        matches!(plan.step, Step::Wait(Some(_))),
        "it waits for the pods: {:?}",
        plan.step
    );
    let (world, status) = to_the_end(
        World {
            job: None,
            ..stopping
        },
        after(8),
    );
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let error = super::snapshots::why_failed(&world.snapshots["default-blueprint"]);
    assert!(
        error.contains("replaced by BackupSession zz-newer"),
        "{error}"
    );

    let waiting = World {
        session: newer,
        configuration: Some(configuration(replace)),
        siblings: vec![older.session.clone()],
        ..super::tests::world()
    };
    assert!(matches!(decide(&waiting, after(5)).step, Step::Wait(None)));
}

#[test]
fn what_cannot_be_started_fails_with_the_reason() {
    let with = |change: fn(&mut World)| {
        let mut world = world();
        change(&mut world);
        world
    };
    let cases: [(World, &str, &str); 6] = [
        (
            with(|world| world.repositories.clear()),
            "SnapshotsEnsured",
            "Repository default-blueprint does not exist",
        ),
        (
            with(|world| {
                let repository = world.repositories.get_mut("default-blueprint").unwrap();
                repository.spec.app_ref.as_mut().unwrap().name = "other".to_owned();
            }),
            "SnapshotsEnsured",
            "belongs to another target",
        ),
        (
            with(|world| {
                world.session = Arc::new(session(SESSION, json!({"backupTimeout": "soon"})))
            }),
            "SnapshotsEnsured",
            "spec.backupTimeout",
        ),
        (
            with(|world| world.addon = None),
            "BackupExecutorEnsured",
            "Addon \"druid-addon\" does not exist",
        ),
        (
            with(|world| world.functions.clear()),
            "BackupExecutorEnsured",
            "Function \"mysql-backup\"",
        ),
        (
            with(|world| world.source.bindings[1].1 = None),
            "BackupExecutorEnsured",
            "there is no AppBinding demo/sample-druid-mysql-metadata",
        ),
    ];
    for (world, condition, text) in cases {
        let late = after(i64::try_from(GRACE.as_secs()).unwrap());
        let (end, status) = to_the_end(world, late);
        assert_eq!(status.phase, Some(BackupSessionPhase::Failed), "{text}");
        let failed = condition::find(&status.conditions, condition).unwrap();
        assert_eq!(failed.status, ConditionStatus::False);
        assert!(failed.message.contains(text), "{}", failed.message);
        assert_eq!(status.conditions.last().unwrap().type_, "MetricsPushed");
        for snapshot in end.snapshots.values() {
            assert_eq!(
                snapshot.status.as_ref().unwrap().phase,
                Some(SnapshotPhase::Failed)
            );
        }
    }
}

#[test]
fn objects_that_are_about_to_be_made_are_waited_for() {
    let mut world = world();
    world.repositories.clear();
    assert!(matches!(decide(&world, after(1)).step, Step::Wait(Some(_))));
}

#[test]
fn a_failed_job_ends_the_session_with_what_the_executor_said_last() {
    let said = json!({"phase": "Running", "error": "failed to connect to 127.0.0.1:3306: refused"});
    let world = with_job(with_component(running(), said, "Running"), failed());
    let (world, status) = to_the_end(world, after(20));
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let snapshot = world.snapshots["default-blueprint"].status.clone().unwrap();
    let dump = &snapshot.components["dump"];
    assert_eq!(dump.phase, Some(SnapshotPhase::Failed));
    assert_eq!(
        dump.error.as_deref(),
        Some("failed to connect to 127.0.0.1:3306: refused")
    );
    let incomplete = condition::find(&snapshot.conditions, "BackupIncomplete").unwrap();
    assert_eq!(
        incomplete.reason,
        "BackupExecutorTerminatedBeforeCompletion"
    );
}

#[test]
fn an_executor_that_reported_nothing_leaves_a_snapshot_that_says_why() {
    let cases = [
        (with_job(running(), failed()), "BackoffLimitExceeded"),
        (
            World {
                job: None,
                ..running()
            },
            "the backup Job is gone",
        ),
        (with_job(running(), complete()), "without reporting"),
    ];
    for (world, reason) in cases {
        let (world, status) = to_the_end(world, after(20));
        assert_eq!(status.phase, Some(BackupSessionPhase::Failed), "{reason}");
        let snapshot = world.snapshots["default-blueprint"].status.clone().unwrap();
        assert!(
            snapshot.components.is_empty(),
            "nothing is claimed that is not there"
        );
        let incomplete = condition::find(&snapshot.conditions, "BackupIncomplete").unwrap();
        assert!(
            incomplete.message.contains(reason),
            "{}",
            incomplete.message
        );
    }
}

#[test]
fn a_phase_that_lags_behind_does_not_make_a_good_snapshot_fail() {
    let mut world = with_component(running(), json!({"phase": "Succeeded"}), "Succeeded");
    let snapshot = world.snapshots.get_mut("default-blueprint").unwrap();
    snapshot.status.as_mut().unwrap().phase = Some(SnapshotPhase::Running);
    let plan = decide(&with_job(world, complete()), after(20));
    assert!(matches!(plan.step, Step::Finish(_)), "{:?}", plan.step);
    assert_eq!(
        plan.status.snapshots[0].phase,
        Some(SnapshotPhase::Succeeded)
    );
}

#[test]
fn a_snapshot_that_is_not_beside_its_data_has_not_succeeded() {
    let mut world = with_component(running(), json!({"phase": "Succeeded"}), "Succeeded");
    let snapshot = world.snapshots.get_mut("default-blueprint").unwrap();
    snapshot.status.as_mut().unwrap().conditions.clear();
    let (world, status) = to_the_end(with_job(world, complete()), after(20));
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let error = super::snapshots::why_failed(&world.snapshots["default-blueprint"]);
    assert!(error.contains("without reporting"), "{error}");
}

#[test]
fn a_snapshot_that_succeeded_stays_so_when_its_neighbour_failed() {
    let mut world = with_component(running(), json!({"phase": "Succeeded"}), "Succeeded");
    let mut other = world.snapshots["default-blueprint"].clone();
    other.spec.repository = "second".to_owned();
    other.status = Some(from(json!({"phase": "Running", "totalComponents": 1,
        "components": {"dump": {"phase": "Running", "error": "bucket is full"}}})));
    world.snapshots.insert("second".to_owned(), other);
    let status = Arc::make_mut(&mut world.session).status.as_mut().unwrap();
    let mut entry = status.snapshots[0].clone();
    entry.repository = "second".to_owned();
    status.snapshots.push(entry);
    let (world, status) = to_the_end(with_job(world, failed()), after(20));
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let phases: Vec<_> = status
        .snapshots
        .iter()
        .map(|entry| entry.phase.unwrap())
        .collect();
    assert_eq!(phases, [SnapshotPhase::Succeeded, SnapshotPhase::Failed]);
    let good = world.snapshots["default-blueprint"]
        .status
        .as_ref()
        .unwrap();
    assert_eq!(good.components["dump"].error, None);
}

#[test]
fn the_deadline_stops_the_job_and_then_fails_what_is_unfinished() {
    let mut world = World {
        session: Arc::new(session(SESSION, json!({"backupTimeout": "1m"}))),
        ..world()
    };
    for _ in 0..2 {
        world = step(&world, after(0)).1;
    }
    let job = world.job.as_ref().unwrap();
    assert_eq!(job.spec.as_ref().unwrap().active_deadline_seconds, Some(60));
    let status = world.session.status.as_ref().unwrap();
    assert_eq!(status.backup_deadline.as_ref().unwrap().0, after(60));
    let world = with_component(world, json!({"phase": "Running"}), "Running");
    assert!(matches!(
        decide(&world, after(59)).step,
        Step::Wait(Some(_))
    ));
    let (plan, stopping) = step(&world, after(61));
    assert!(matches!(plan.step, Step::Stop(_)), "{:?}", plan.step);
    let (world, status) = to_the_end(
        World {
            job: None,
            ..stopping
        },
        after(63),
    );
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let error = world.snapshots["default-blueprint"]
        .status
        .as_ref()
        .unwrap()
        .components["dump"]
        .error
        .clone();
    assert!(error.unwrap().contains("deadline exceeded"));
}

#[test]
fn a_pod_that_cannot_start_ends_the_session_with_the_nodes_reason() {
    let pod: Pod = from(
        json!({"metadata": {"name": "p", "creationTimestamp": CREATED}, "status": {
        "phase": "Pending", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 0, "image": "i",
            "imageID": "", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]}}),
    );
    let world = World {
        pods: vec![pod],
        ..running()
    };
    assert!(matches!(
        decide(&world, after(10)).step,
        Step::Wait(Some(_))
    ));
    let (plan, stopping) = step(&world, after(300));
    assert!(matches!(plan.step, Step::Stop(_)), "{:?}", plan.step);
    let type_ = "PodHasBeenInPendingStateForLongerThanExpected";
    assert!(condition::is_true(&plan.status.conditions, type_));
    let (world, status) = to_the_end(
        World {
            job: None,
            pods: Vec::new(),
            ..stopping
        },
        after(301),
    );
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let error = super::snapshots::why_failed(&world.snapshots["default-blueprint"]);
    assert!(error.contains("ErrImagePull: no such image"), "{error}");
}

#[test]
fn a_job_whose_pods_do_not_end_does_not_hold_the_session_for_ever() {
    let mut world = running();
    world.job.as_mut().unwrap().metadata.deletion_timestamp = Some(Time(after(10)));
    Arc::make_mut(&mut world.session)
        .status
        .as_mut()
        .unwrap()
        .backup_deadline = Some(Time(after(10)));
    assert!(matches!(
        decide(&world, after(20)).step,
        Step::Wait(Some(_))
    ));
    assert!(matches!(decide(&world, after(100)).step, Step::Declare(_)));
}

#[test]
fn an_executor_that_succeeds_without_applying_retention_fails_the_session() {
    let world = with_component(running(), json!({"phase": "Succeeded"}), "Succeeded");
    let (_, status) = to_the_end(with_job(world, complete()), after(20));
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    assert_eq!(status.snapshots[0].phase, Some(SnapshotPhase::Succeeded));
    let retention = &status.retention_policy[0];
    assert_eq!(
        retention.phase,
        Some(RetentionPolicyApplyPhase::FailedToApply)
    );
    assert_eq!(retention.ref_.as_ref().unwrap().name, "demo-retention");
}

#[test]
fn the_history_keeps_the_newest_finished_ones_and_skipped_ones_push_out_none() {
    let old = |name: &str, second: i64, phase: &str| {
        let mut session = session(name, json!({}));
        session.metadata.creation_timestamp = Some(Time(after(second)));
        session.status = Some(from(json!({"phase": phase})));
        Arc::new(session)
    };
    let world = World {
        siblings: vec![
            old("a", -500, "Succeeded"),
            old("b", -400, "Failed"),
            old("c", -300, "Succeeded"),
            old("s1", -250, "Skipped"),
            old("s2", -240, "Skipped"),
            old("s3", -230, "Skipped"),
            old("s4", -220, "Skipped"),
            old("d", -200, "Succeeded"),
            old("running", -100, "Running"),
        ],
        ..running()
    };
    let names = |beyond: Vec<Arc<BackupSession>>| {
        beyond
            .iter()
            .map(|found| found.name_any())
            .collect::<Vec<_>>()
    };
    // The limit is 3: this one, d and c stay.
    assert_eq!(
        names(finish::beyond_history(
            &world,
            BackupSessionPhase::Succeeded
        )),
        ["a", "b", "s1"]
    );
    assert_eq!(
        names(finish::beyond_history(&world, BackupSessionPhase::Skipped)),
        ["a", "s1", "s2"]
    );
}

#[test]
fn a_failed_session_is_tried_again_after_its_delay_under_a_name_that_cannot_be_made_twice() {
    let retry = json!({"retryConfig": {"maxRetry": 2, "delay": "1m"}});
    let mut world = with_job(running(), failed());
    world.configuration = Some(configuration(retry));
    world.session = {
        let mut again = session(SESSION, json!({"retryLeft": 2}));
        again.status = world.session.status.clone();
        Arc::new(again)
    };
    let (mut world, status) = to_the_end(world, after(20));
    assert_eq!(status.next_retry.as_ref().unwrap().0, after(80));
    Arc::make_mut(&mut world.session).status = Some(status);
    assert!(
        matches!(decide(&world, after(30)).step, Step::Wait(Some(wait)) if wait == Duration::from_secs(50))
    );
    let (plan, world) = step(&world, after(81));
    let Step::Retry(next) = plan.step else {
        panic!("{:?}", plan.step)
    };
    assert_eq!(
        next.name_any(),
        "appbinding-sample-druid-frequent-backup-1726741926"
    );
    assert_eq!(next.spec.retry_left, Some(1));
    assert_eq!(plan.status.retried, Some(true));
    assert!(matches!(decide(&world, after(90)).step, Step::Wait(None)));
}

#[test]
fn without_tries_left_a_failed_session_stays_failed() {
    for (retry, left) in [(json!({}), 2), (json!({"retryConfig": {"maxRetry": 2}}), 0)] {
        let mut world = with_job(running(), failed());
        world.configuration = Some(configuration(retry));
        Arc::make_mut(&mut world.session).spec.retry_left = Some(left);
        let (_, status) = to_the_end(world, after(20));
        assert_eq!(status.next_retry, None);
    }
}

#[test]
fn a_deleted_session_ends_its_job_and_fails_its_snapshots_before_it_goes() {
    let world = with_component(running(), json!({"phase": "Running"}), "Running");
    let Some(Step::Stop(_)) = clean_up(&world, after(5)) else {
        panic!("the Job has to end")
    };
    let gone = World { job: None, ..world };
    let Some(Step::Declare(unfinished)) = clean_up(&gone, after(6)) else {
        panic!("the Snapshot has to fail")
    };
    assert!(
        unfinished[0].1.components["dump"]
            .error
            .as_ref()
            .unwrap()
            .contains("was deleted")
    );
    let done = with_component(gone, json!({"phase": "Succeeded"}), "Succeeded");
    assert!(clean_up(&done, after(7)).is_none());
}

#[test]
fn after_a_restart_at_any_point_the_session_goes_on_to_the_same_end() {
    // Each step is decided from the status alone; the world between two steps is what a restart finds.
    let mut worlds = vec![world()];
    worlds.push(step(&worlds[0], after(0)).1);
    worlds.push(step(&worlds[1], after(0)).1);
    for (index, mut world) in worlds.into_iter().enumerate() {
        for _ in 0..3 {
            if world.job.is_some() {
                break;
            }
            world = step(&world, after(1)).1;
        }
        let world = with_job(
            with_component(world, json!({"phase": "Succeeded"}), "Succeeded"),
            complete(),
        );
        let (world, status) = to_the_end(world, after(2));
        assert_eq!(world.snapshots.len(), 1, "{index}");
        assert_eq!(
            status.snapshots[0].phase,
            Some(SnapshotPhase::Succeeded),
            "{index}"
        );
    }
}
