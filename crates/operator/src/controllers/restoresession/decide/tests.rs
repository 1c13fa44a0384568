mod manifests;

use std::sync::Arc;

use kube::ResourceExt;
use kubestash_api::conditions::READY;
use kubestash_api::core::RestorePhase;
use kubestash_api::shared::TypedObjectReference;
use kubestash_api::storage::{BackupStorage, Repository, Snapshot};
use kubestash_domain::target::Key;
use serde_json::{Value, json};

use super::*;
use crate::controllers::backupsession::Source;
use crate::session::queue::Turn;

const CREATED: &str = "2024-09-19T10:30:46Z";

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_second(CREATED.parse::<Timestamp>().unwrap().as_second() + seconds).unwrap()
}

fn from<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn session(spec: &Value) -> RestoreSession {
    let mut object = json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
        "metadata": {"name": "restore-1", "namespace": "demo", "uid": "r-1", "generation": 1, "creationTimestamp": CREATED},
        "spec": {
            "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "restored"},
            "dataSource": {"repository": "repo", "snapshot": "latest", "namespace": "data"},
            "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-restore"}]},
        },
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    from(object)
}

fn snapshot(name: &str, repository: &str, phase: &str, taken: &str) -> Snapshot {
    from(json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
        "metadata": {"name": name, "namespace": "data", "uid": name},
        "spec": {"repository": repository, "session": "frequent", "version": "v1"},
        "status": {"phase": phase, "snapshotTime": taken, "components": {"dump": {"phase": phase}}},
    }))
}

fn source(missing: bool) -> Source {
    let binding = |name: &Key| {
        let binding = json!({"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
            "metadata": {"name": name.name, "namespace": name.namespace},
            "spec": {"clientConfig": {}, "secret": {"name": format!("{}-auth", name.name)}}});
        (!missing).then(|| Arc::new(from(binding)))
    };
    let target = TypedObjectReference::new("kubedb.com", "Druid", "restored", "demo");
    let druid = from(json!({"apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
        "metadata": {"name": "restored", "namespace": "demo"}, "spec": {"version": "30.0.0"}}));
    Source::find(&target, "demo", Some(&druid), binding)
}

fn world_of(spec: &Value) -> World {
    let repository: Repository = from(json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
        "metadata": {"name": "repo", "namespace": "data", "uid": "repo"},
        "spec": {"storageRef": {"name": "store", "namespace": "stores"}, "path": "/repo",
            "encryptionSecret": {"name": "encrypt-secret"}},
    }));
    let storage: BackupStorage = from(json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "store", "namespace": "stores"},
        "spec": {"storage": {"provider": "gcs", "gcs": {"bucket": "b", "secretName": "gcs-secret"}}},
    }));
    World {
        session: Arc::new(session(spec)),
        snapshots: vec![
            snapshot("old", "repo", "Succeeded", "2024-09-19T09:00:00Z"),
            snapshot("new", "repo", "Succeeded", "2024-09-19T10:00:00Z"),
            snapshot("broken", "repo", "Failed", "2024-09-19T10:10:00Z"),
            snapshot("elsewhere", "other", "Succeeded", "2024-09-19T10:20:00Z"),
        ],
        repository: Some(repository),
        storage: Some(Arc::new(storage)),
        storage_allowed: true,
        addon: kubestash_domain::catalog::addons()
            .into_iter()
            .find(|addon| addon.name_any() == "druid-addon")
            .map(Arc::new),
        functions: kubestash_domain::catalog::functions("image")
            .into_iter()
            .map(|function| (function.name_any(), Arc::new(function)))
            .collect(),
        source: source(false),
        backups: vec![TypedObjectReference::new(
            "core.kubestash.com",
            "BackupConfiguration",
            "bc",
            "demo",
        )],
        image: "kubestash:test".to_owned(),
        ..World::default()
    }
}

fn world() -> World {
    world_of(&json!({}))
}

/// The world after `plan` was carried out.
fn carried_out(world: &World, plan: &Plan) -> World {
    let mut next = world.clone();
    Arc::make_mut(&mut next.session).status = Some(plan.status.clone());
    match &plan.step {
        Step::Launch(executor) => next.job = Some(executor.job.clone()),
        Step::Stop(job) => {
            let mut job = job.as_ref().clone();
            job.metadata.deletion_timestamp = Some(Time(after(0)));
            next.job = Some(job);
        }
        Step::Wait(_) | Step::Begin | Step::Finish => {}
    }
    next
}

fn step(world: &World, now: Timestamp) -> (Plan, World) {
    let plan = decide(world, now);
    let next = carried_out(world, &plan);
    (plan, next)
}

/// A restore whose Job runs.
fn running_of(spec: &Value) -> World {
    let (plan, world) = step(&world_of(spec), after(1));
    assert_eq!(plan.step, Step::Begin, "{:#?}", plan.status);
    let (plan, world) = step(&world, after(1));
    assert!(matches!(plan.step, Step::Launch(_)), "{:#?}", plan.status);
    world
}

fn reported(mut world: World, component: Value) -> World {
    let session = Arc::make_mut(&mut world.session);
    session.status.as_mut().unwrap().components = from(json!({ "dump": component }));
    world
}

fn with_job(mut world: World, type_: &str, reason: &str) -> World {
    let condition = json!({"type": type_, "status": "True", "reason": reason});
    let job = world.job.as_mut().unwrap();
    job.status = Some(from(json!({"conditions": [condition]})));
    world
}

fn types(status: &RestoreSessionStatus) -> Vec<&str> {
    let conditions = status.conditions.iter();
    conditions
        .map(|condition| condition.type_.as_str())
        .collect()
}

fn told(status: &RestoreSessionStatus) -> String {
    phase::restore_session_failure(status).unwrap_or_default()
}

#[test]
fn a_restore_says_at_its_end_what_was_not_in_the_backup_and_what_is_to_be_done() {
    let notes = json!(["not in the backup: users", "Druid: restart the historicals"]);
    let next = reported(
        running_of(&json!({})),
        json!({"phase": "Succeeded", "notes": notes}),
    );
    let (plan, _) = step(&with_job(next, "Complete", ""), after(9));
    assert_eq!(plan.step, Step::Finish);
    let ready = condition::find(&plan.status.conditions, "Ready").unwrap();
    assert_eq!(
        ready.message,
        "The restore has succeeded. Note: not in the backup: users; Druid: restart the historicals."
    );
}

#[test]
fn a_restore_that_succeeds_goes_through_all_its_steps() {
    let (plan, next) = step(&world(), after(1));
    assert_eq!(plan.step, Step::Begin);
    let status = &plan.status;
    assert_eq!(status.total_components, Some(1));
    assert_eq!(status.target_found, Some(true));
    assert_eq!(status.paused_backups.len(), 1);
    assert_eq!(
        serde_json::to_value(&status.dependencies).unwrap(),
        json!([
            {"found": true, "kind": "Snapshot", "name": "new", "namespace": "data"},
            {"found": true, "kind": "Addon", "name": "druid-addon"},
        ])
    );

    // What was found holds, also when there is a newer one by now.
    let mut next = next;
    next.snapshots.push(snapshot(
        "newer",
        "repo",
        "Succeeded",
        "2024-09-19T10:30:50Z",
    ));
    let (plan, next) = step(&next, after(1));
    let Step::Launch(executor) = &plan.step else {
        panic!("{plan:?}")
    };
    let job = serde_json::to_value(&executor.job).unwrap();
    assert_eq!(job["metadata"]["name"], "restore-1");
    assert_eq!(
        job["metadata"]["labels"]["app.kubernetes.io/component"],
        "kubestash-restore"
    );
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        container["command"],
        json!(["kubestash", "execute", "mysql-restore"])
    );
    let args = &container["args"];
    for word in [
        "restore",
        "--namespace=demo",
        "--restoresession=restore-1",
        "--snapshot=new",
        "--last-task",
    ] {
        assert!(
            args.as_array().unwrap().contains(&json!(word)),
            "{word}: {args}"
        );
    }

    let (plan, next) = step(&next, after(2));
    assert!(
        matches!(plan.step, Step::Wait(Some(_))),
        "looks whether the pod starts: {plan:#?}"
    );
    let next = reported(next, json!({"phase": "Running"}));
    assert_eq!(
        decide(&next, after(3)).status.phase,
        Some(RestorePhase::Running)
    );
    let next = with_job(
        reported(next, json!({"phase": "Succeeded"})),
        "Complete",
        "",
    );
    let plan = decide(&next, after(25));
    assert_eq!(plan.step, Step::Finish);
    assert_eq!(plan.status.phase, Some(RestorePhase::Succeeded));
    assert_eq!(plan.status.duration.as_deref(), Some("25s"));
    assert_eq!(
        types(&plan.status),
        [
            READY,
            "ValidationPassed",
            "RestoreTargetFound",
            "RestoreExecutorEnsured",
            "MetricsPushed"
        ]
    );
    let ended = carried_out(&next, &plan);
    assert_eq!(
        decide(&ended, after(99)).step,
        Step::Wait(None),
        "a finished one never runs again"
    );
}

#[test]
fn the_rights_name_the_objects_of_the_restore_and_no_others() {
    let (_, next) = step(&world(), after(1));
    let Step::Launch(executor) = decide(&next, after(1)).step else {
        panic!()
    };
    let names = |namespace: &str, resource: &str| -> Vec<String> {
        let role = executor
            .rbac
            .roles
            .iter()
            .find(|role| role.metadata.namespace.as_deref() == Some(namespace))
            .unwrap();
        let rules = role.rules.iter().flatten();
        let of = rules.filter(|rule| {
            rule.resources
                .iter()
                .flatten()
                .any(|found| found == resource)
        });
        of.flat_map(|rule| {
            rule.resource_names
                .clone()
                .unwrap_or_else(|| vec!["*".to_owned()])
        })
        .collect()
    };
    assert_eq!(names("demo", "restoresessions/status"), ["restore-1"]);
    // Whether another restore is over, whose lock is in the way.
    assert_eq!(names("demo", "restoresessions"), ["restore-1", "*"]);
    assert_eq!(names("demo", "druids"), ["restored"]);
    assert_eq!(names("demo", "appbindings"), ["restored-mysql-metadata"]);
    assert_eq!(names("demo", "secrets"), ["restored-mysql-metadata-auth"]);
    assert_eq!(names("data", "snapshots"), ["new", "*"]);
    assert_eq!(names("data", "secrets"), ["encrypt-secret"]);
    assert_eq!(names("stores", "secrets"), ["gcs-secret"]);
}

#[test]
fn what_cannot_work_is_invalid_and_says_why() {
    let data = |source: Value| world_of(&json!({"dataSource": source}));
    let changed = |change: &dyn Fn(&mut World)| {
        let mut world = world();
        change(&mut world);
        world
    };
    let cases = [
        (world_of(&json!({"target": null})), "spec.target is missing"),
        (
            data(json!({"repository": "repo", "namespace": "data"})),
            "spec.dataSource.snapshot is missing",
        ),
        (
            data(json!({"snapshot": "latest"})),
            "spec.dataSource.repository is missing",
        ),
        (
            data(json!({"snapshot": "nope", "namespace": "data"})),
            "Snapshot data/nope does not exist",
        ),
        (
            data(json!({"snapshot": "broken", "namespace": "data"})),
            "is Failed, and only one that has Succeeded",
        ),
        (
            data(json!({"snapshot": "new", "repository": "other"})),
            "is of Repository repo, not of other",
        ),
        (
            data(json!({"snapshot": "latest", "repository": "empty"})),
            "has no Snapshot that has Succeeded",
        ),
        (
            data(
                json!({"repository": "repo", "pitr": {"targetTime": "2024-09-19T09:00:00Z", "exclusive": true}}),
            ),
            "has no Snapshot that has Succeeded up to 2024-09-19T09:00:00Z",
        ),
        (
            data(json!({"snapshot": "new", "components": ["manifest"]})),
            "Snapshot new has no component \"manifest\"; it has dump",
        ),
        (
            world_of(&json!({"addon": {"name": "druid-addon", "tasks": [{"name": "nope"}]}})),
            "\"nope\"",
        ),
        (
            world_of(&json!({"restoreTimeout": "soon"})),
            "spec.restoreTimeout",
        ),
        (
            world_of(
                &json!({"hooks": {"preRestore": [{"name": "x", "hookTemplate": {"name": "h"}}]}}),
            ),
            "hooks are not run by this version",
        ),
        (
            changed(&|world| world.repository = None),
            "Repository data/repo does not exist",
        ),
        (
            changed(&|world| world.storage = None),
            "BackupStorage of Repository data/repo does not exist",
        ),
        (
            changed(&|world| world.storage_allowed = false),
            "does not allow its use from namespace demo",
        ),
        (
            changed(&|world| world.addon = None),
            "Addon \"druid-addon\" does not exist",
        ),
    ];
    for (world, words) in cases {
        let plan = decide(&world, after(60));
        assert_eq!(plan.step, Step::Finish, "{words}");
        assert_eq!(plan.status.phase, Some(RestorePhase::Invalid), "{words}");
        assert!(
            told(&plan.status).contains(words),
            "{words}: {}",
            told(&plan.status)
        );
        let ready = condition::find(&plan.status.conditions, READY).unwrap();
        assert!(ready.message.contains(words) && ready.status == ConditionStatus::False);
        let remedy = "and create this RestoreSession again";
        assert!(ready.message.ends_with(remedy), "{}", ready.message);
    }
}

#[test]
fn data_that_may_be_about_to_come_is_waited_for_a_moment() {
    let mut world = world_of(&json!({"dataSource": {"snapshot": "nope", "namespace": "data"}}));
    let plan = decide(&world, after(1));
    assert_eq!(plan.step, Step::Wait(Some(LOOK_AGAIN)));
    assert_eq!(
        condition::find(&plan.status.conditions, READY)
            .unwrap()
            .reason,
        "WaitingForData"
    );
    world
        .snapshots
        .push(snapshot("nope", "repo", "Succeeded", CREATED));
    assert_eq!(decide(&world, after(2)).step, Step::Begin);
}

#[test]
fn the_snapshot_is_the_newest_that_succeeded_or_the_one_that_is_named() {
    let cases = [
        (json!({"snapshot": "latest", "repository": "repo"}), "new"),
        (json!({"snapshot": "old", "repository": "repo"}), "old"),
        (json!({"snapshot": "old"}), "old"),
        (
            json!({"repository": "repo", "pitr": {"targetTime": "2024-09-19T09:30:00Z"}}),
            "old",
        ),
        (
            json!({"repository": "repo", "pitr": {"targetTime": "2024-09-19T10:00:00Z"}}),
            "new",
        ),
        (
            json!({"repository": "repo", "pitr": {"targetTime": "2024-09-19T10:00:00Z", "exclusive": true}}),
            "old",
        ),
    ];
    for (source, expected) in cases {
        let plan = decide(&world_of(&json!({ "dataSource": source })), after(1));
        assert_eq!(plan.step, Step::Begin, "{source}");
        assert_eq!(plan.status.dependencies[0].name, expected, "{source}");
    }
}

#[test]
fn latest_waits_for_the_first_snapshot_while_it_is_made_but_not_for_ever() {
    let mut world = world_of(&json!({"dataSource": {"repository": "repo", "snapshot": "latest"}}));
    world.snapshots = vec![snapshot("first", "repo", "Running", "2024-09-19T10:00:00Z")];
    let plan = decide(&world, after(599));
    assert!(matches!(plan.step, Step::Wait(Some(_))));
    let waiting = condition::find(&plan.status.conditions, READY).unwrap();
    assert_eq!(waiting.reason, "WaitingForData");
    assert!(
        waiting.message.contains("first is being created"),
        "{waiting:?}"
    );
    let plan = decide(&world, after(600));
    assert_eq!(plan.status.phase, Some(RestorePhase::Invalid));

    world.snapshots = vec![snapshot("first", "repo", "Failed", "2024-09-19T10:00:00Z")];
    assert_eq!(
        decide(&world, after(0)).status.phase,
        Some(RestorePhase::Invalid)
    );
}

#[test]
fn a_target_that_is_not_there_is_waited_for_but_not_for_ever() {
    for (timeout, wait, over) in [
        (Value::Null, 599, 600),
        (json!("30s"), 29, 30),
        (json!("20m"), 700, 1200),
    ] {
        let mut world = world_of(&json!({ "restoreTimeout": timeout }));
        world.target_missing = Some("Druid restored has no AppBinding".to_owned());
        let plan = decide(&world, after(wait));
        assert!(matches!(plan.step, Step::Wait(Some(_))), "{timeout}");
        assert_eq!(plan.status.target_found, Some(false));
        let waiting = condition::find(&plan.status.conditions, READY).unwrap();
        assert_eq!(waiting.reason, "WaitingForTarget");
        assert_eq!(
            waiting.message,
            format!(
                "Druid restored has no AppBinding; waiting until {}",
                after(over)
            )
        );
        let plan = decide(&world, after(over));
        assert_eq!(
            (plan.step, plan.status.phase),
            (Step::Finish, Some(RestorePhase::Failed)),
            "{timeout}"
        );
        assert!(
            told(&plan.status).contains("no AppBinding"),
            "{}",
            told(&plan.status)
        );
    }
}

#[test]
fn a_second_restore_into_a_target_waits_and_says_for_which() {
    let mut world = world_of(&json!({"restoreTimeout": "60s"}));
    world.rival = Some("demo/first".to_owned());
    let plan = decide(&world, after(1));
    assert!(matches!(plan.step, Step::Wait(Some(_))));
    assert_eq!(plan.status.total_components, None);
    assert!(plan.status.paused_backups.is_empty());
    let ready = condition::find(&plan.status.conditions, READY).unwrap();
    assert!(ready.reason == "WaitingForRestore" && ready.message.contains("demo/first"));
    let next = carried_out(&world, &plan);
    let over = decide(&next, after(60));
    assert_eq!(over.status.phase, Some(RestorePhase::Failed));
    assert!(told(&over.status).contains("deadline exceeded"));
    let mut next = next;
    next.rival = None;
    assert_eq!(decide(&next, after(2)).step, Step::Begin);
}

#[test]
fn a_restore_whose_turn_it_is_not_waits_in_the_queue_and_its_time_begins_with_its_turn() {
    let mut world = world_of(&json!({"restoreTimeout": "60s"}));
    world.turn = Turn::Wait {
        place: 1,
        working: 10,
        limit: 10,
    };
    let plan = decide(&world, after(1));
    assert!(matches!(plan.step, Step::Wait(Some(_))), "{:?}", plan.step);
    assert_eq!(plan.status.total_components, None);
    let ready = condition::find(&plan.status.conditions, READY).unwrap();
    assert_eq!(
        (ready.status, ready.reason.as_str()),
        (ConditionStatus::Unknown, "Queued")
    );
    assert!(ready.message.contains("place 1"), "{}", ready.message);
    // Much later it has its whole time.
    let mut next = carried_out(&world, &plan);
    assert!(matches!(
        decide(&next, after(600)).step,
        Step::Wait(Some(_))
    ));
    next.turn = Turn::Now;
    let plan = decide(&next, after(601));
    assert_eq!(plan.step, Step::Begin);
    assert_eq!(plan.status.restore_deadline.as_ref().unwrap().0, after(661));
}

#[test]
fn a_restore_with_the_name_of_a_backup_says_so_and_goes_on_when_the_name_is_free() {
    let taken = "ServiceAccount demo/restore-1 belongs to BackupSession restore-1, and more";
    let mut world = world_of(&json!({"restoreTimeout": "60s"}));
    world.in_the_way = Some(taken.to_owned());
    let plan = decide(&world, after(1));
    assert!(matches!(plan.step, Step::Wait(Some(_))), "{:?}", plan.step);
    let ready = condition::find(&plan.status.conditions, READY).unwrap();
    assert!(
        ready.reason == "NameTaken" && ready.message.contains(taken),
        "{ready:?}"
    );
    let mut next = carried_out(&world, &plan);
    let over = decide(&next, after(61));
    assert_eq!(over.status.phase, Some(RestorePhase::Failed));
    assert!(told(&over.status).contains(taken));
    next.in_the_way = None;
    assert_eq!(decide(&next, after(2)).step, Step::Begin);
}

#[test]
fn the_newest_snapshot_is_not_one_that_is_dated_in_the_future() {
    let mut world = world_of(&json!({}));
    world.now = after(0);
    let ahead = snapshot("ahead", "repo", "Succeeded", "2025-10-24T09:00:00Z");
    let newest = data::found(&world).unwrap().name_any();
    world.snapshots.push(ahead);
    assert_eq!(data::found(&world).unwrap().name_any(), newest);
    let plan = decide(&world, after(0));
    let ready = condition::find(&plan.status.conditions, READY).unwrap();
    assert!(
        ready.message.contains("not considered the newest: ahead"),
        "{}",
        ready.message
    );
    // It can be named, and it is taken when there is no other.
    world
        .snapshots
        .retain(|snapshot| snapshot.name_any() == "ahead");
    assert_eq!(data::found(&world).unwrap().name_any(), "ahead");
}

#[test]
fn a_killed_restore_of_postgres_does_not_say_that_a_database_holds_a_part() {
    let killed = |task: &str| {
        let addon = json!({"addon": {"name": "druid-addon", "tasks": [{"name": task}]}});
        let mut world = reported(running_of(&addon), json!({"phase": "Running"}));
        world.job = None;
        told(&decide(&world, after(20)).status).to_owned()
    };
    let whole = killed("postgres-metadata-storage-restore");
    assert!(
        whole.contains("each database of the target is as it was before or restored as a whole"),
        "{whole}"
    );
    assert!(!whole.contains("a part"), "{whole}");
    let part = killed("mysql-metadata-storage-restore");
    assert!(part.contains("may hold a part"), "{part}");
}

#[test]
fn however_the_job_ends_the_restore_ends_with_the_best_known_reason() {
    let gone = |mut world: World| {
        world.job = None;
        world
    };
    let failed = |world| with_job(world, "Failed", "BackoffLimitExceeded");
    let error = json!({"phase": "Running", "error": "failed to load the dump: no"});
    let cases: [(World, &str); 5] = [
        (
            failed(reported(running_of(&json!({})), error.clone())),
            "failed to load the dump: no",
        ),
        (failed(running_of(&json!({}))), "BackoffLimitExceeded"),
        (
            gone(running_of(&json!({}))),
            "the restore Job no longer exists",
        ),
        (
            gone(reported(
                running_of(&json!({})),
                json!({"phase": "Running"}),
            )),
            "the restore Job no longer exists; the target may hold a part of the restore: restore again",
        ),
        (
            with_job(
                reported(running_of(&json!({})), json!({"phase": "Running"})),
                "Complete",
                "",
            ),
            "without reporting its result",
        ),
    ];
    for (world, words) in cases {
        let plan = decide(&world, after(20));
        assert_eq!(
            (plan.step, plan.status.phase),
            (Step::Finish, Some(RestorePhase::Failed)),
            "{words}"
        );
        assert!(
            told(&plan.status).contains(words),
            "{words}: {}",
            told(&plan.status)
        );
        for component in plan.status.components.values() {
            assert_eq!(component.phase, Some(RestorePhase::Failed));
            assert!(component.error.as_deref().unwrap().contains(words));
        }
    }
    // What was restored before the Job was lost is restored.
    let done = gone(reported(
        running_of(&json!({})),
        json!({"phase": "Succeeded"}),
    ));
    assert_eq!(
        decide(&done, after(20)).status.phase,
        Some(RestorePhase::Succeeded)
    );
}

#[test]
fn a_restore_that_takes_too_long_is_stopped_then_fails() {
    let mut world = reported(
        running_of(&json!({"restoreTimeout": "30s"})),
        json!({"phase": "Running"}),
    );
    world.pods = vec![from(
        json!({"metadata": {"name": "p"}, "status": {"phase": "Running"}}),
    )];
    let plan = decide(&world, after(10));
    let Step::Wait(Some(again)) = plan.step else {
        panic!("{plan:?}")
    };
    assert!(
        (Duration::from_secs(20)..Duration::from_secs(21)).contains(&again),
        "{again:?}"
    );
    let (plan, next) = step(&world, after(30));
    assert!(matches!(plan.step, Step::Stop(_)));
    let (plan, mut next) = step(&next, after(31));
    assert!(
        matches!(plan.step, Step::Wait(Some(_))),
        "waits for the pods: {plan:?}"
    );
    next.job = None;
    let plan = decide(&next, after(32));
    assert_eq!(
        (plan.step, plan.status.phase),
        (Step::Finish, Some(RestorePhase::Failed))
    );
    assert!(
        told(&plan.status).contains("deadline exceeded"),
        "{}",
        told(&plan.status)
    );
}

#[test]
fn an_edit_after_the_beginning_does_not_move_what_was_observed() {
    let mut world = running_of(&json!({}));
    Arc::make_mut(&mut world.session).metadata.generation = Some(2);
    assert_eq!(decide(&world, after(2)).status.observed_generation, Some(1));
}

#[test]
fn a_deleted_session_ends_its_job_first() {
    let world = running_of(&json!({}));
    let CleanUp::Stop(job) = clean_up(&world, after(5)) else {
        panic!()
    };
    let mut next = carried_out(
        &world,
        &Plan {
            step: Step::Stop(job),
            status: RestoreSessionStatus::default(),
        },
    );
    assert!(matches!(clean_up(&next, after(5)), CleanUp::Wait(_)));
    assert_eq!(clean_up(&next, after(90)), CleanUp::Done);
    next.job = None;
    assert_eq!(clean_up(&next, after(5)), CleanUp::Done);
}

#[test]
fn what_nobody_has_allowed_is_not_restored_however_the_status_came_about() {
    let refusal = crate::validation::Violation {
        field: "spec.target".to_owned(),
        message: "not allowed by anybody".to_owned(),
    };
    let refused = |mut world: World| {
        world.refusals = vec![refusal.clone()];
        let plan = decide(&world, after(60));
        assert_eq!(plan.step, Step::Finish);
        let told = serde_json::to_string(&plan.status).unwrap();
        assert!(
            told.contains("spec.target: not allowed by anybody"),
            "{told}"
        );
        plan.status.phase
    };
    assert_eq!(refused(world()), Some(RestorePhase::Invalid));
    // Whoever writes into the status that it has begun gets no further.
    let (_, begun) = step(&world(), after(0));
    assert_eq!(stage(&begun.session), Stage::Launching);
    refused(begun);
}
