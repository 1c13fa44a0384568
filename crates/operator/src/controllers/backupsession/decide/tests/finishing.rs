//! The last status, the history and the next try.

use super::*;

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
            ("Ready", "True", "Succeeded", "The backup has succeeded."),
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
                "No metrics are configured: there was nothing to push."
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
fn what_may_keep_the_backup_from_coming_back_is_said_on_the_session_that_made_it() {
    let component = json!({"phase": "Succeeded", "leftOut": ["users"], "warnings": ["f names t"]});
    let world = with_component(running(), component, "Succeeded");
    let mut world = with_job(world, complete());
    let status = Arc::make_mut(&mut world.session).status.as_mut().unwrap();
    status.retention_policy =
        from(json!([{"repository": "default-blueprint", "phase": "Applied"}]));
    let (_, status) = to_the_end(world, after(28));
    assert_eq!(status.phase, Some(BackupSessionPhase::Succeeded));
    let found = words(&status);
    let expected = ("HasWarnings", "True", "WarningsFound", "f names t");
    assert!(found.contains(&expected), "{found:?}");
    assert_eq!(found.last().unwrap().0, "MetricsPushed");
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
fn what_a_killed_executor_waited_for_is_not_waited_for_when_the_session_is_over() {
    let mut world = with_job(running(), failed());
    let status = Arc::make_mut(&mut world.session).status.as_mut().unwrap();
    let waiting = condition::new(WAITING, true, "waits for a lock", after(5));
    condition::set(&mut status.conditions, waiting);
    let (_, status) = to_the_end(world, after(20));
    assert!(condition::is_false(&status.conditions, WAITING.type_));
    let ready = condition::find(&status.conditions, READY).unwrap();
    assert!(
        ready.message.contains("BackoffLimitExceeded"),
        "{}",
        ready.message
    );
    assert_eq!(status.conditions.last().unwrap().type_, "MetricsPushed");
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
    // The clock was set back by an hour.
    assert!(matches!(decide(&world, after(-3600)).step, Step::Retry(_)));
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
