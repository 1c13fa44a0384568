//! Whether a session may start, and what it starts with.

use super::*;

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
fn the_job_has_the_sessions_name_the_tasks_arguments_and_exactly_the_rights_it_needs() {
    let (_, world) = step(&world(), after(0));
    let (plan, _) = step(
        &World {
            old_snapshots: vec![("older".to_owned(), "a-session".to_owned())],
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
            "demo appbindings [\"sample-druid-mysql-metadata\"] get".to_owned(),
            "demo backupconfigurations [\"appbinding-sample-druid\"] get".to_owned(),
            format!("demo backupsessions [\"a-session\", \"{SESSION}\"] get"),
            format!("demo backupsessions/status [\"{SESSION}\"] get,patch"),
            "demo druids [\"sample-druid\"] get".to_owned(),
            "demo repositories [\"default-blueprint\"] get".to_owned(),
            "demo restoresessions [] list".to_owned(),
            "demo retentionpolicies [\"demo-retention\"] get".to_owned(),
            "demo secrets [\"encrypt-secret\", \"sample-druid-mysql-metadata-auth\"] get"
                .to_owned(),
            format!("demo snapshots [\"{SNAPSHOT}\", \"older\"] get,patch,delete"),
            "demo snapshots [] list".to_owned(),
            format!("demo snapshots/status [\"{SNAPSHOT}\", \"older\"] get,patch"),
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
    let plan = decide(&waiting, after(5));
    assert!(matches!(plan.step, Step::Wait(_)), "{:?}", plan.step);
    let ready = condition::find(&plan.status.conditions, READY).unwrap();
    assert!(
        ready.message.contains(&older.session.name_any()),
        "{}",
        ready.message
    );
}

fn ready_of(status: &BackupSessionStatus) -> (&str, &str) {
    let ready = condition::find(&status.conditions, READY).unwrap();
    assert_eq!(ready.status, ConditionStatus::Unknown);
    (&ready.reason, &ready.message)
}

#[test]
fn a_session_whose_turn_it_is_not_is_pending_and_says_its_place() {
    let timeout = json!({"backupTimeout": "1m"});
    let mut world = World {
        session: Arc::new(session(SESSION, timeout)),
        ..world()
    };
    world.turn = Turn::Wait {
        place: 3,
        working: 10,
        limit: 10,
    };
    let (plan, mut waiting) = step(&world, after(1));
    assert!(matches!(plan.step, Step::Wait(Some(_))), "{:?}", plan.step);
    assert_eq!(plan.status.phase, Some(BackupSessionPhase::Pending));
    let (reason, message) = ready_of(&plan.status);
    assert_eq!(reason, "Queued");
    assert!(
        message.contains("place 3") && message.contains("the limit is 10"),
        "{message}"
    );
    assert!(waiting.snapshots.is_empty());

    // Its place changes; a restart in between is no different.
    waiting.turn = Turn::Wait {
        place: 1,
        working: 10,
        limit: 10,
    };
    assert!(
        ready_of(&decide(&waiting, after(90)).status)
            .1
            .contains("place 1")
    );
    waiting.turn = Turn::Now;
    let (plan, begun) = step(&waiting, after(100));
    assert!(matches!(plan.step, Step::Start(..)), "{:?}", plan.step);
    assert_eq!(ready_of(&plan.status).0, "Running");
    // What it has waited does not count.
    assert_eq!(plan.status.backup_deadline.as_ref().unwrap().0, after(160));
    let (plan, _) = step(&begun, after(100));
    assert!(matches!(plan.step, Step::Launch(_)), "{:?}", plan.step);

    // What it is skipped for meanwhile is its end.
    let mut paused = waiting;
    paused.configuration.as_mut().unwrap().spec.paused = Some(true);
    let plan = decide(&paused, after(100));
    let status = finish::finish(plan.status, &paused, None, after(100));
    assert_eq!(status.phase, Some(BackupSessionPhase::Skipped));
    let ready = condition::find(&status.conditions, READY).unwrap();
    assert_eq!(
        (ready.status, ready.reason.as_str()),
        (ConditionStatus::False, "Skipped")
    );
    assert!(ready.message.contains("is paused"), "{}", ready.message);
}

#[test]
fn the_next_session_waits_for_one_that_waits_for_its_storage_and_then_runs() {
    let waits = |says: bool| {
        let mut older = session("an-older-one", json!({}));
        older.metadata.creation_timestamp = Some(Time(after(-300)));
        let mut conditions = vec![condition::new(SNAPSHOTS_ENSURED, true, "", after(-300))];
        if says {
            conditions.push(condition::new(WAITING, true, "the storage", after(-200)));
        }
        older.status = Some(BackupSessionStatus {
            conditions,
            ..BackupSessionStatus::default()
        });
        Arc::new(older)
    };
    let world = World {
        siblings: vec![waits(true)],
        ..world()
    };
    let (plan, next) = step(&world, after(1));
    assert!(matches!(plan.step, Step::Wait(Some(_))), "{:?}", plan.step);
    assert_eq!(plan.status.phase, Some(BackupSessionPhase::Pending));
    let (reason, message) = ready_of(&plan.status);
    assert_eq!(reason, "WaitingForSession");
    assert!(message.contains("an-older-one"), "{message}");
    // Also when the storage answers again and the older one goes on.
    let still = World {
        siblings: vec![waits(false)],
        ..next.clone()
    };
    assert!(matches!(
        decide(&still, after(60)).step,
        Step::Wait(Some(_))
    ));
    // Once that has ended, it runs.
    let free = World {
        siblings: Vec::new(),
        ..next.clone()
    };
    assert!(matches!(decide(&free, after(90)).step, Step::Start(..)));
    // One after it is skipped: a single one waits.
    let third = World {
        siblings: vec![waits(true), next.session],
        session: {
            let mut third = session("zz-third", json!({}));
            third.metadata.creation_timestamp = Some(Time(after(300)));
            Arc::new(third)
        },
        ..super::world()
    };
    let plan = decide(&third, after(300));
    assert!(matches!(plan.step, Step::Finish(_)), "{:?}", plan.step);
    let skipped = condition::find(&plan.status.conditions, BACKUP_SKIPPED.type_).unwrap();
    assert!(
        skipped.message.contains(SESSION) && skipped.message.contains("waiting"),
        "{}",
        skipped.message
    );
}

#[test]
fn a_foreign_object_with_the_sessions_name_is_waited_for_and_then_told() {
    let taken = "Role demo/x belongs to RestoreSession x, and more";
    let (_, mut world) = step(&world(), after(0));
    world.in_the_way = Some(taken.to_owned());
    assert!(matches!(decide(&world, after(5)).step, Step::Wait(Some(_))));
    let free = World {
        in_the_way: None,
        ..world.clone()
    };
    assert!(matches!(decide(&free, after(5)).step, Step::Launch(_)));
    let (_, status) = to_the_end(world, after(61));
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let ready = condition::find(&status.conditions, READY).unwrap();
    assert_eq!(ready.message, taken);
}

#[test]
fn a_clock_that_was_set_back_makes_nobody_wait_until_it_catches_up() {
    let mut world = world();
    world.repositories.clear();
    assert!(matches!(
        decide(&world, after(-5)).step,
        Step::Wait(Some(_))
    ));
    let plan = decide(&world, after(-3600));
    let ensured = condition::find(&plan.status.conditions, SNAPSHOTS_ENSURED.type_);
    assert!(
        ensured.is_some_and(|found| found.message.contains("does not exist")),
        "{plan:?}"
    );
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
            with(|world| world.source.bindings[0].1 = None),
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
fn what_nobody_has_allowed_is_not_used_however_the_status_came_about() {
    let refusal = crate::validation::Violation {
        field: "spec.target".to_owned(),
        message: "not allowed by anybody".to_owned(),
    };
    let (_, launching) = step(&world(), after(0));
    let refused = World {
        refusals: vec![refusal],
        ..launching
    };
    // For a moment it may be that somebody is about to allow it.
    assert!(matches!(
        decide(&refused, after(5)).step,
        Step::Wait(Some(_))
    ));
    let plan = decide(&refused, after(61));
    let told = serde_json::to_string(&plan.status).unwrap();
    assert!(
        told.contains("spec.target: not allowed by anybody"),
        "{told}"
    );
    assert!(!matches!(plan.step, Step::Launch(_)), "{:?}", plan.step);
}
