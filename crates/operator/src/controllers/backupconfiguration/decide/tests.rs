use kubestash_api::core::BackupSessionPhase;
use kubestash_api::shared::{Condition, RepositoryPhase};
use kubestash_api::storage::{BackupStorage, RetentionPolicy};
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2024-09-19T10:31:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn from<K: serde::de::DeserializeOwned>(value: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn configuration() -> Value {
    json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": "appbinding-sample-druid", "namespace": "demo", "uid": "bc", "generation": 1},
        "spec": {
            "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
            "backends": [{"name": "gcs-backend",
                "storageRef": {"name": "gcs-storage", "namespace": "demo"},
                "retentionPolicy": {"name": "demo-retention", "namespace": "demo"}}],
            "sessions": [{
                "name": "frequent-backup", "sessionHistoryLimit": 3,
                "scheduler": {"schedule": "*/5 * * * *", "jobTemplate": {"backoffLimit": 1}},
                "repositories": [{"name": "default-blueprint", "backend": "gcs-backend",
                    "directory": "/default-blueprint",
                    "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"}}],
                "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-backup"}]},
            }],
        },
    })
}

fn storage(status: Value) -> Arc<BackupStorage> {
    from(
        json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "gcs-storage", "namespace": "demo"},
        "spec": {"usagePolicy": {"allowedNamespaces": {"from": "All"}}}, "status": status}),
    )
}

fn policy() -> Arc<RetentionPolicy> {
    from(
        json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
        "metadata": {"name": "demo-retention", "namespace": "demo"},
        "spec": {"usagePolicy": {"allowedNamespaces": {"from": "All"}}}}),
    )
}

fn world_of(configuration: Value) -> World {
    let addons = kubestash_domain::catalog::addons();
    World {
        complaint: None,
        configuration: from(configuration),
        others: Others {
            storages: vec![storage(json!({"phase": "Ready"}))],
            policies: vec![policy()],
            ..Others::default()
        },
        refusals: Vec::new(),
        target: Some(TargetState::default()),
        addons: addons
            .into_iter()
            .map(|addon| (addon.name_any(), Arc::new(addon)))
            .collect(),
        functions: kubestash_domain::catalog::functions("image")
            .iter()
            .map(ResourceExt::name_any)
            .collect(),
        outside: None,
        made: None,
    }
}

fn world() -> World {
    world_of(configuration())
}

/// The world after the status of `plan` was written.
fn after(world: &World, plan: &Plan) -> World {
    let mut configuration = world.configuration.as_ref().clone();
    configuration.status = Some(plan.status.clone());
    World {
        configuration: Arc::new(configuration),
        made: Some(Vec::new()),
        ..world.clone()
    }
}

fn ready(status: &BackupConfigurationStatus) -> &Condition {
    condition::find(&status.conditions, conditions::READY).unwrap()
}

#[test]
fn the_status_is_the_tutorials() {
    let plan = decide(&world(), now());
    let status = serde_json::to_value(&plan.status).unwrap();
    assert_eq!(status["phase"], "Ready");
    assert_eq!(
        status["backends"],
        json!([{
            "name": "gcs-backend",
            "ready": true,
            "retentionPolicy": {"found": true, "ref": {"name": "demo-retention", "namespace": "demo"}},
            "storage": {"phase": "Ready", "ref": {"name": "gcs-storage", "namespace": "demo"}},
        }])
    );
    assert_eq!(status["targetFound"], true);
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(
        status["dependencies"],
        json!([{"found": true, "kind": "Addon", "name": "druid-addon"}])
    );
    let words: Vec<_> = plan
        .status
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
        .collect();
    assert_eq!(
        words,
        [
            ("Ready", "True", "Ready", "Backups are scheduled."),
            (
                "ValidationPassed",
                "True",
                "ResourceValidationPassed",
                "Validation has been passed successfully."
            ),
        ]
    );
    let session = &status["sessions"][0];
    assert_eq!(session["name"], "frequent-backup");
    assert_eq!(session["nextSchedule"], "2024-09-19T10:35:00Z");
    assert_eq!(session["conditions"][0]["type"], "SchedulerEnsured");
    assert_eq!(session["conditions"][0]["reason"], "SchedulerEnsured");
    assert_eq!(
        session["conditions"][0]["message"],
        "Scheduler has been ensured successfully."
    );
    assert!(plan.notices.is_empty() && plan.recovered);
}

#[test]
fn each_repository_is_made_once_with_all_it_needs() {
    let plan = decide(&world(), now());
    assert_eq!(plan.repositories.len(), 1);
    let spec = serde_json::to_value(&plan.repositories[0].spec).unwrap();
    assert_eq!(
        spec,
        json!({
            "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
            "deletionPolicy": "Delete",
            "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"},
            "path": "/default-blueprint",
            "storageRef": {"name": "gcs-storage", "namespace": "demo"},
        })
    );
    assert_eq!(plan.repositories[0].policy, None);
    let entry = &plan.status.repositories[0];
    assert_eq!(
        (entry.phase, entry.verification_configured),
        (Some(RepositoryPhase::NotReady), Some(false))
    );
}

#[test]
fn the_first_backup_comes_when_the_status_says_ready_and_only_once() {
    let first = world();
    let plan = decide(&first, now());
    assert!(
        plan.start.is_empty(),
        "whoever looks at the session has to find its configuration Ready"
    );
    let second = after(&first, &plan);
    assert!(needs_sessions(&second.configuration));
    let plan = decide(&second, now());
    let names: Vec<_> = plan.start.iter().map(ResourceExt::name_any).collect();
    assert_eq!(
        names,
        ["appbinding-sample-druid-frequent-backup-1726741860"]
    );
    let session = serde_json::to_value(&plan.start[0]).unwrap();
    assert_eq!(
        session["spec"],
        json!({"invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration",
            "name": "appbinding-sample-druid"}, "session": "frequent-backup"})
    );
    assert_eq!(
        session["metadata"]["labels"],
        json!({
            "app.kubernetes.io/managed-by": "kubestash.com",
            "kubestash.com/invoker-kind": "BackupConfiguration",
            "kubestash.com/invoker-name": "appbinding-sample-druid",
            "kubestash.com/invoker-namespace": "demo",
            "kubestash.com/session-name": "frequent-backup",
        })
    );
    let owner = &session["metadata"]["ownerReferences"][0];
    assert_eq!(
        (
            &owner["uid"],
            &owner["controller"],
            &owner["blockOwnerDeletion"]
        ),
        (&json!("bc"), &json!(true), &json!(true))
    );
    let condition = &plan.status.sessions[0].conditions[1];
    assert_eq!(condition.type_, "InitialBackupTriggered");
    assert_eq!(condition.reason, "SuccessfullyTriggeredInitialBackup");
    let third = after(&second, &plan);
    assert!(!needs_sessions(&third.configuration));
    assert!(decide(&third, now()).start.is_empty());
}

#[test]
fn a_crash_before_the_condition_was_written_makes_no_second_first_backup() {
    let first = world();
    let plan = decide(&first, now());
    let mut second = after(&first, &plan);
    let mut made = sessions::backup_session(
        &second.configuration,
        &second.configuration.spec.sessions[0],
        now(),
    );
    second.made = Some(vec![made.clone()]);
    let plan = decide(&second, now());
    assert!(plan.start.is_empty());
    assert_eq!(
        plan.status.sessions[0].conditions[1].type_,
        "InitialBackupTriggered"
    );

    // One that was skipped, one by hand, or one of an earlier configuration of this name saved
    // nothing for this one.
    let mut skipped = made.clone();
    skipped.status = Some(kubestash_api::core::BackupSessionStatus {
        phase: Some(BackupSessionPhase::Skipped),
        ..Default::default()
    });
    let mut by_hand = made.clone();
    by_hand.metadata.labels = None;
    made.metadata.owner_references.as_mut().unwrap()[0].uid = "earlier".to_owned();
    for other in [skipped, by_hand, made] {
        second.made = Some(vec![other]);
        assert_eq!(decide(&second, now()).start.len(), 1);
    }
}

#[test]
fn the_first_backup_is_held_back_while_it_would_save_nothing_or_is_not_wanted() {
    let held = |change: fn(&mut World)| {
        let first = world();
        let plan = decide(&first, now());
        let mut second = after(&first, &plan);
        change(&mut second);
        decide(&second, now())
    };
    let awaiting = held(|world| world.target.as_mut().unwrap().awaits_restore = true);
    assert!(awaiting.start.is_empty());
    assert_eq!(awaiting.status.phase, Some(InvokerPhase::Ready));
    let paused = held(|world| Arc::make_mut(&mut world.configuration).spec.paused = Some(true));
    assert!(paused.start.is_empty());
    assert_eq!(paused.status.phase, Some(InvokerPhase::Ready));
    assert_eq!(paused.status.sessions[0].next_schedule, None);
    assert_eq!(paused.wake, None);
    let suspended = held(|world| {
        let session = &mut Arc::make_mut(&mut world.configuration).spec.sessions[0];
        session.scheduler.as_mut().unwrap().suspend = Some(true);
    });
    assert!(suspended.start.is_empty());
}

#[test]
fn a_due_run_is_named_with_its_scheduled_second_and_the_next_one_is_planned() {
    let first = world();
    let settled = after(&first, &decide(&first, now()));
    let settled = after(&settled, &decide(&settled, now()));
    let late: Timestamp = "2024-09-19T10:35:03Z".parse().unwrap();
    let plan = decide(&settled, late);
    let names: Vec<_> = plan.start.iter().map(ResourceExt::name_any).collect();
    assert_eq!(
        names,
        ["appbinding-sample-druid-frequent-backup-1726742100"]
    );
    assert_eq!(
        plan.status.sessions[0].next_schedule.as_deref(),
        Some("2024-09-19T10:40:00Z")
    );
    assert_eq!(plan.wake, Some("2024-09-19T10:40:00Z".parse().unwrap()));
    // The same again if the status was lost.
    assert_eq!(decide(&settled, late).start[0].name_any(), names[0]);
}

#[test]
fn whatever_is_missing_is_named_and_no_session_is_made() {
    let edit = |change: fn(&mut Value)| {
        let mut configuration = configuration();
        change(&mut configuration);
        world_of(configuration)
    };
    let cases: [(&str, World, &str, &str); 9] = [
        (
            "NotReady",
            World {
                target: Some(TargetState {
                    missing: Some("Druid demo/sample-druid does not exist".to_owned()),
                    ..TargetState::default()
                }),
                ..world()
            },
            "TargetNotFound",
            "Druid demo/sample-druid does not exist",
        ),
        (
            "NotReady",
            World {
                others: Others {
                    policies: vec![policy()],
                    ..Others::default()
                },
                ..world()
            },
            "BackupStorageNotFound",
            "BackupStorage demo/gcs-storage does not exist",
        ),
        (
            "NotReady",
            World {
                others: Others {
                    storages: vec![storage(json!({"phase": "Ready"}))],
                    ..Others::default()
                },
                ..world()
            },
            "RetentionPolicyNotFound",
            "RetentionPolicy demo/demo-retention does not exist",
        ),
        (
            "NotReady",
            World {
                others: Others {
                    storages: vec![storage(json!({"phase": "NotReady", "conditions": [{
                        "type": "BackendSecretFound", "status": "False", "reason": "BackendSecretNotAvailable",
                        "message": "Secret demo/gcs-secret does not exist", "lastTransitionTime": NOW}]}))],
                    policies: vec![policy()],
                    ..Others::default()
                },
                ..world()
            },
            "BackupStorageNotReady",
            "Secret demo/gcs-secret does not exist",
        ),
        (
            "NotReady",
            World {
                addons: BTreeMap::new(),
                ..world()
            },
            "AddonNotFound",
            "\"druid-addon\"",
        ),
        (
            "NotReady",
            World {
                functions: Default::default(),
                ..world()
            },
            "FunctionNotFound",
            "\"mysql-backup\"",
        ),
        (
            "NotReady",
            edit(|found| {
                found["spec"]["sessions"][0]["addon"]["tasks"][0]["name"] = json!("no-such-task")
            }),
            "UnknownTask",
            "no-such-task",
        ),
        (
            "Invalid",
            edit(|found| {
                found["spec"]["sessions"][0]["scheduler"]["schedule"] = json!("61 * * * *")
            }),
            "ResourceValidationFailed",
            "spec.sessions[0].scheduler.schedule",
        ),
        (
            "NotReady",
            edit(|found| found["spec"]["sessions"][0]["backupTimeout"] = json!("soon")),
            "InvalidDuration",
            "backupTimeout",
        ),
    ];
    for (phase, broken, reason, text) in cases {
        let first = decide(&broken, now());
        let plan = decide(
            &after(&broken, &first),
            "2024-09-19T10:40:00Z".parse().unwrap(),
        );
        assert!(plan.start.is_empty() && !plan.recovered, "{reason}");
        assert_eq!(plan.status.phase.unwrap().as_str(), phase, "{reason}");
        let ready = ready(&plan.status);
        assert_eq!(
            (ready.status, ready.reason.as_str()),
            (ConditionStatus::False, reason)
        );
        assert!(ready.message.contains(text), "{reason}: {}", ready.message);
        assert_eq!(plan.notices.len(), 1, "{reason}");
        assert_eq!(plan.notices[0].reason, reason);
        assert!(plan.notices[0].note.contains(text));
    }
}

#[test]
fn what_only_takes_a_moment_is_no_event() {
    let waiting = World {
        others: Others {
            storages: vec![storage(json!({}))],
            policies: vec![policy()],
            ..Others::default()
        },
        ..world()
    };
    let plan = decide(&waiting, now());
    assert_eq!(plan.status.phase, Some(InvokerPhase::NotReady));
    assert_eq!(ready(&plan.status).status, ConditionStatus::Unknown);
    assert!(plan.notices.is_empty());
    assert!(
        plan.repositories.is_empty(),
        "a Repository is made when its storage is usable"
    );
}

#[test]
fn nothing_changes_when_nothing_happens() {
    let first = world();
    let mut settled = after(&first, &decide(&first, now()));
    settled = after(&settled, &decide(&settled, now()));
    let later = "2024-09-19T10:34:59Z".parse().unwrap();
    let plan = decide(&settled, later);
    assert_eq!(Some(&plan.status), settled.configuration.status.as_ref());
    assert!(plan.start.is_empty());
}

#[test]
fn retries_and_timeout_are_handed_to_the_session() {
    let mut configuration = configuration();
    configuration["spec"]["sessions"][0]["retryConfig"] = json!({"maxRetry": 2, "delay": "1m"});
    configuration["spec"]["sessions"][0]["backupTimeout"] = json!("30m");
    let first = world_of(configuration);
    let plan = decide(&after(&first, &decide(&first, now())), now());
    assert_eq!(plan.start[0].spec.retry_left, Some(2));
    assert_eq!(plan.start[0].spec.backup_timeout.as_deref(), Some("30m"));
}

#[test]
fn a_password_that_is_missing_holds_the_first_backup_back_until_it_is_there() {
    let fault = || {
        Obstacle::fault(
            "EncryptionSecretMissing",
            "create Secret demo/encrypt-secret",
        )
    };
    let without = World {
        outside: Some(fault()),
        ..world()
    };
    let plan = decide(&without, now());
    assert_eq!(plan.status.phase, Some(InvokerPhase::NotReady));
    let told = ready(&plan.status);
    assert_eq!(
        (
            told.status.as_str(),
            told.reason.as_str(),
            told.message.as_str()
        ),
        (
            "False",
            "EncryptionSecretMissing",
            "create Secret demo/encrypt-secret"
        )
    );
    assert_eq!(plan.notices.len(), 1);
    let waiting = after(&without, &plan);
    assert!(
        decide(&waiting, now()).start.is_empty(),
        "no backup without a password"
    );

    let there = World {
        outside: None,
        ..waiting
    };
    let plan = decide(&there, now());
    assert_eq!(plan.status.phase, Some(InvokerPhase::Ready));
    let plan = decide(&after(&there, &plan), now());
    assert_eq!(plan.start.len(), 1, "the first backup");
    // And when it goes again, it is told at once.
    let gone = World {
        outside: Some(fault()),
        ..after(&there, &plan)
    };
    assert_eq!(
        decide(&gone, now()).status.phase,
        Some(InvokerPhase::NotReady)
    );
}

#[test]
fn only_a_configuration_that_makes_backups_says_that_they_are_scheduled() {
    let two = |first: bool, second: bool| {
        let mut object = configuration();
        let mut other = object["spec"]["sessions"][0].clone();
        other["name"] = json!("other");
        object["spec"]["sessions"][0]["scheduler"]["suspend"] = json!(first);
        other["scheduler"]["suspend"] = json!(second);
        object["spec"]["sessions"]
            .as_array_mut()
            .unwrap()
            .push(other);
        object
    };
    let mut paused = configuration();
    paused["spec"]["paused"] = json!(true);
    for (object, words) in [
        (configuration(), "Backups are scheduled."),
        (two(false, false), "Backups are scheduled."),
        (
            two(true, false),
            "but for the sessions whose scheduler.suspend is true",
        ),
        (two(true, true), "Backups are suspended"),
        (paused, "Backups are paused"),
    ] {
        let plan = decide(&world_of(object), now());
        let told = &ready(&plan.status).message;
        assert!(told.contains(words), "{words}: {told}");
        assert_eq!(plan.status.phase, Some(InvokerPhase::Ready));
    }
}
