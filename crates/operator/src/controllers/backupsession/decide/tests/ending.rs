//! How a session ends that does not go well.

use super::*;

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
            "the backup Job no longer exists",
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
fn why_a_pod_did_not_start_is_told_at_once_and_kept_when_job_or_deadline_end_the_session() {
    let pod: Pod = from(
        json!({"metadata": {"name": "p", "uid": "pod", "creationTimestamp": CREATED}, "status": {
        "phase": "Pending", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 0, "image": "i",
            "imageID": "", "state": {"waiting": {"reason": "ContainerCreating"}}}]}}),
    );
    let told = crate::jobs::Told {
        about: "pod".to_owned(),
        reason: "FailedMount".to_owned(),
        message: "no disk".to_owned(),
        is_warning: true,
        at: Some(after(3)),
    };
    let world = World {
        pods: vec![pod],
        told: vec![told],
        ..running()
    };
    let why = "pod p cannot start: FailedMount: no disk";
    let (plan, waiting) = step(&world, after(5));
    let ready = condition::find(&plan.status.conditions, "Ready").unwrap();
    assert_eq!(
        (ready.status, ready.reason.as_str(), ready.message.as_str()),
        (ConditionStatus::Unknown, "PodNotStarted", why)
    );
    assert_eq!(plan.status.phase, Some(BackupSessionPhase::Pending));
    // Saying the same again changes nothing.
    let again = decide(&waiting, after(8)).status;
    assert_eq!(again.conditions, plan.status.conditions);

    let gone = World {
        job: None,
        pods: Vec::new(),
        told: Vec::new(),
        ..waiting.clone()
    };
    let mut late = waiting.clone();
    let status = &mut Arc::make_mut(&mut late.session).status;
    status.as_mut().unwrap().backup_deadline = Some(Time(after(10)));
    late.job = None;
    late.pods = Vec::new();
    for (world, words) in [
        (gone, "the backup Job no longer exists"),
        (late, "deadline exceeded"),
    ] {
        let (world, status) = to_the_end(world, after(20));
        assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
        let error = super::snapshots::why_failed(&world.snapshots["default-blueprint"]);
        assert!(error.contains(words) && error.contains(why), "{error}");
    }

    // A pod that has started is not held against it.
    let mut started = waiting;
    started.pods[0].status.as_mut().unwrap().phase = Some("Running".to_owned());
    let ready = decide(&started, after(9)).status.conditions;
    assert_eq!(condition::find(&ready, "Ready").unwrap().reason, "Running");
}

#[test]
fn a_job_that_is_being_stopped_does_not_lose_the_reason_with_its_pod() {
    let pod: Pod = from(
        json!({"metadata": {"name": "p", "creationTimestamp": CREATED}, "status": {
        "phase": "Pending", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 0, "image": "i",
            "imageID": "", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]}}),
    );
    let world = World {
        pods: vec![pod],
        ..running()
    };
    let (_, mut stopping) = step(&world, after(300));
    // Its pod is gone before the Job is.
    let job = stopping.job.as_mut().unwrap();
    job.metadata.deletion_timestamp = Some(Time(after(300)));
    stopping.pods = Vec::new();
    let (_, stopping) = step(&stopping, after(305));
    let (world, _) = to_the_end(
        World {
            job: None,
            ..stopping
        },
        after(306),
    );
    let error = super::snapshots::why_failed(&world.snapshots["default-blueprint"]);
    assert!(
        error.contains("ErrImagePull: no such image") && !error.contains("no pod was created"),
        "{error}"
    );
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
fn a_job_that_is_killed_in_retention_fails_the_session_and_the_backup_stays_a_backup() {
    let world = with_component(running(), json!({"phase": "Succeeded"}), "Succeeded");
    let (plan, at_work) = step(&world, after(10));
    let ready = condition::find(&plan.status.conditions, READY).unwrap();
    assert_eq!(
        (ready.status, ready.reason.as_str()),
        (ConditionStatus::Unknown, "ApplyingRetention")
    );
    assert!(
        ready.message.contains("is stored and can be restored"),
        "{}",
        ready.message
    );
    for world in [
        with_job(at_work.clone(), failed()),
        World {
            job: None,
            ..at_work
        },
    ] {
        assert!(may_have_left_locks(&world, after(20)));
        let (world, status) = to_the_end(world, after(20));
        assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
        assert_eq!(status.snapshots[0].phase, Some(SnapshotPhase::Succeeded));
        let retention = &status.retention_policy[0];
        assert_eq!(
            retention.phase,
            Some(RetentionPolicyApplyPhase::FailedToApply)
        );
        assert_eq!(retention.repository, "default-blueprint");
        let ready = condition::find(&status.conditions, READY).unwrap();
        for words in ["before the retention policy was applied", "can be restored"] {
            assert!(ready.message.contains(words), "{}", ready.message);
        }
        assert_eq!(world.snapshots.len(), 1);
    }
}

#[test]
fn only_a_job_that_came_to_its_end_by_itself_has_given_its_locks_back() {
    let world = with_component(running(), json!({"phase": "Succeeded"}), "Succeeded");
    assert!(!may_have_left_locks(
        &with_job(world, complete()),
        after(20)
    ));
    assert!(
        !may_have_left_locks(&super::world(), after(20)),
        "there was no Job"
    );
}

#[test]
fn a_session_whose_snapshot_was_deleted_meanwhile_says_so() {
    let mut world = with_job(running(), complete());
    world.snapshots.clear();
    let (_, status) = to_the_end(world, after(20));
    assert_eq!(status.phase, Some(BackupSessionPhase::Failed));
    let ready = condition::find(&status.conditions, READY).unwrap();
    assert!(
        ready
            .message
            .contains(&format!("Snapshot {SNAPSHOT} was deleted")),
        "{}",
        ready.message
    );
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
    // Each step is decided from the status alone; the world between two steps is what a restart
    // finds.
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
