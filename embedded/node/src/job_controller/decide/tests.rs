//! The life of Jobs, one decision at a time.

use serde_json::{Value, json};

use super::*;

const START: &str = "2024-09-19T10:00:00Z";

fn at(seconds: i64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn job(spec: Value) -> Job {
    let mut spec = spec;
    spec["template"] = json!({"spec": {"containers": [], "restartPolicy": "Never"}});
    if spec.get("completions").is_none() {
        spec["completions"] = 1.into();
    }
    serde_json::from_value(
        json!({"metadata": {"name": "j", "namespace": "demo", "uid": "u"}, "spec": spec}),
    )
    .unwrap()
}

/// A pod in a phase, ended so many seconds after the start, with an exit code.
fn pod(name: &str, phase: &str, ended: i64, code: i32) -> Pod {
    let state = if matches!(phase, "Succeeded" | "Failed") {
        json!({"terminated": {"exitCode": code, "finishedAt": at(ended).to_string()}})
    } else {
        json!({"running": {}})
    };
    serde_json::from_value(json!({"metadata": {"name": name}, "status": {"phase": phase, "containerStatuses": [
        {"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]}}))
    .unwrap()
}

fn terminating(name: &str) -> Pod {
    let mut pod = pod(name, "Running", 0, 0);
    pod.metadata.deletion_timestamp = Some(Time(at(0)));
    pod
}

/// Decides and takes the new status over into the job.
fn step(job: &mut Job, pods: &[Pod], seconds: i64) -> Plan {
    let plan = decide(job, pods, at(seconds));
    if let Some(status) = &plan.status {
        job.status = Some(status.clone());
    }
    plan
}

fn conditions(job: &Job) -> Vec<(String, String)> {
    let conditions = job
        .status
        .iter()
        .filter_map(|status| status.conditions.clone())
        .flatten();
    conditions
        .filter(|one| one.status == "True")
        .map(|one| (one.type_, one.reason.unwrap_or_default()))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

/// Active, succeeded, failed.
fn counts(job: &Job) -> (i32, i32, i32) {
    let status = job.status.clone().unwrap_or_default();
    (
        status.active.unwrap_or(0),
        status.succeeded.unwrap_or(0),
        status.failed.unwrap_or(0),
    )
}

#[test]
fn a_job_makes_its_pod_and_completes_with_it() {
    let mut job = job(json!({}));
    let plan = step(&mut job, &[], 0);
    assert_eq!((plan.create, counts(&job)), (1, (1, 0, 0)));
    assert_eq!(job.status.as_ref().unwrap().start_time, Some(Time(at(0))));
    let plan = step(&mut job, &[pod("a", "Running", 0, 0)], 1);
    assert_eq!(plan, Plan::default(), "nothing to do and nothing to write");
    let plan = step(&mut job, &[pod("a", "Succeeded", 2, 0)], 2);
    assert_eq!((plan.create, counts(&job)), (0, (0, 1, 0)));
    let reached = "CompletionsReached";
    assert_eq!(
        conditions(&job),
        pairs(&[("SuccessCriteriaMet", reached), ("Complete", reached)])
    );
    assert_eq!(
        job.status.as_ref().unwrap().completion_time,
        Some(Time(at(2)))
    );
    assert_eq!(
        plan.events,
        [(Kind::Normal, "Completed", "Job completed".to_owned())]
    );
    assert_eq!(
        step(&mut job, &[pod("a", "Succeeded", 2, 0)], 3),
        Plan::default()
    );
}

#[test]
fn a_failed_pod_is_followed_by_another_after_a_growing_wait_until_the_limit() {
    let mut job = job(json!({"backoffLimit": 2}));
    step(&mut job, &[], 0);
    let mut pods = vec![pod("a", "Failed", 5, 1)];
    let plan = step(&mut job, &pods, 5);
    assert_eq!(
        (plan.create, plan.wake_at, counts(&job)),
        (0, Some(at(15)), (0, 0, 1))
    );
    let plan = step(&mut job, &pods, 15);
    assert_eq!((plan.create, counts(&job)), (1, (1, 0, 1)));
    pods.push(pod("b", "Failed", 20, 1));
    let plan = step(&mut job, &pods, 20);
    assert_eq!((plan.create, plan.wake_at), (0, Some(at(40))));
    assert_eq!(step(&mut job, &pods, 40).create, 1);
    pods.push(pod("c", "Failed", 41, 1));
    let plan = step(&mut job, &pods, 41);
    assert_eq!((plan.create, counts(&job)), (0, (0, 0, 3)));
    let why = "BackoffLimitExceeded";
    assert_eq!(
        conditions(&job),
        pairs(&[("FailureTarget", why), ("Failed", why)])
    );
    assert_eq!(
        plan.events,
        [(
            Kind::Warning,
            why,
            "Job has reached the specified backoff limit".to_owned()
        )]
    );
}

#[test]
fn without_retries_the_first_failure_is_final() {
    let mut job = job(json!({"backoffLimit": 0}));
    step(&mut job, &[], 0);
    step(&mut job, &[pod("a", "Failed", 5, 1)], 5);
    assert_eq!(conditions(&job).last().unwrap().0, "Failed");
}

#[test]
fn the_wait_is_never_longer_than_ten_minutes() {
    let mut job = job(json!({"backoffLimit": 100}));
    step(&mut job, &[], 0);
    let pods: Vec<Pod> = (0..80)
        .map(|n| pod(&n.to_string(), "Failed", 100, 1))
        .collect();
    assert_eq!(step(&mut job, &pods, 100).wake_at, Some(at(700)));
}

#[test]
fn an_exit_code_of_the_failure_policy_fails_the_job_at_once() {
    let rule = json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [64]}});
    let mut job = job(json!({"backoffLimit": 5, "podFailurePolicy": {"rules": [rule]}}));
    step(&mut job, &[], 0);
    let plan = step(&mut job, &[pod("a", "Failed", 1, 64)], 1);
    assert_eq!((plan.create, counts(&job)), (0, (0, 0, 1)));
    let why = "PodFailurePolicy";
    assert_eq!(
        conditions(&job),
        pairs(&[("FailureTarget", why), ("Failed", why)])
    );
    assert!(
        plan.events[0].2.contains("failed with exit code 64"),
        "{:?}",
        plan.events
    );
}

#[test]
fn the_deadline_ends_what_runs_and_fails_the_job_once_it_has_ended() {
    let mut job = job(json!({"activeDeadlineSeconds": 60}));
    let plan = step(&mut job, &[], 0);
    assert_eq!((plan.create, plan.wake_at), (1, Some(at(60))));
    let plan = step(&mut job, &[pod("a", "Running", 0, 0)], 60);
    assert_eq!(plan.delete, ["a"]);
    let why = "DeadlineExceeded";
    assert_eq!(conditions(&job), pairs(&[("FailureTarget", why)]));
    assert_eq!(job.status.as_ref().unwrap().terminating, Some(1));
    assert_eq!(step(&mut job, &[terminating("a")], 61), Plan::default());
    step(&mut job, &[], 62);
    assert_eq!(
        conditions(&job),
        pairs(&[("FailureTarget", why), ("Failed", why)])
    );
    assert_eq!(counts(&job), (0, 0, 1));
}

#[test]
fn a_finished_job_goes_when_its_time_has_come() {
    let mut job = job(json!({"ttlSecondsAfterFinished": 30}));
    step(&mut job, &[], 0);
    let done = [pod("a", "Succeeded", 1, 0)];
    assert_eq!(step(&mut job, &done, 1).wake_at, Some(at(31)));
    assert_eq!(step(&mut job, &done, 10).wake_at, Some(at(31)));
    assert!(step(&mut job, &done, 31).remove_job);
}

#[test]
fn a_suspended_job_has_no_pods_and_goes_on_when_it_is_resumed() {
    let mut job = job(json!({"suspend": true}));
    let plan = step(&mut job, &[], 0);
    assert_eq!(
        (plan.create, conditions(&job)),
        (0, pairs(&[("Suspended", "JobSuspended")]))
    );
    assert_eq!(job.status.as_ref().unwrap().start_time, None);
    job.spec.as_mut().unwrap().suspend = Some(false);
    let plan = step(&mut job, &[], 5);
    assert_eq!((plan.create, conditions(&job)), (1, vec![]));
    job.spec.as_mut().unwrap().suspend = Some(true);
    let plan = step(&mut job, &[pod("a", "Running", 0, 0)], 6);
    assert_eq!(plan.delete, ["a"]);
    step(&mut job, &[], 7);
    assert_eq!(counts(&job), (0, 0, 0), "ended on our order, so not failed");
    assert_eq!(step(&mut job, &[], 8), Plan::default());
}

#[test]
fn a_replacement_waits_until_the_terminating_pod_is_gone() {
    let mut job = job(json!({"backoffLimit": 3}));
    step(&mut job, &[], 0);
    assert_eq!(step(&mut job, &[terminating("a")], 1).create, 0);
    let plan = step(&mut job, &[], 2);
    assert_eq!(
        (plan.create, counts(&job)),
        (1, (1, 0, 1)),
        "the deleted one counts as failed"
    );
}

#[test]
fn several_pods_run_side_by_side_and_surplus_is_ended() {
    let mut job = job(json!({"parallelism": 2, "completions": 3}));
    assert_eq!(step(&mut job, &[], 0).create, 2);
    let pods = [pod("a", "Succeeded", 1, 0), pod("b", "Running", 0, 0)];
    assert_eq!(step(&mut job, &pods, 1).create, 1);
    let pods = [
        pod("a", "Succeeded", 1, 0),
        pod("b", "Succeeded", 2, 0),
        pod("c", "Running", 0, 0),
    ];
    assert_eq!(step(&mut job, &pods, 2).create, 0);
    job.spec.as_mut().unwrap().parallelism = Some(0);
    assert_eq!(step(&mut job, &pods, 3).delete, ["c"]);
}

#[test]
fn a_work_queue_is_done_when_one_pod_has_succeeded_and_the_others_have_ended() {
    let mut job = job(json!({"parallelism": 2, "completions": null}));
    assert_eq!(step(&mut job, &[], 0).create, 2);
    let pods = [pod("a", "Succeeded", 1, 0), pod("b", "Running", 0, 0)];
    let plan = step(&mut job, &pods, 1);
    assert_eq!((plan.create, conditions(&job)), (0, vec![]));
    step(
        &mut job,
        &[pod("a", "Succeeded", 1, 0), pod("b", "Succeeded", 2, 0)],
        2,
    );
    assert_eq!(conditions(&job).last().unwrap().0, "Complete");
}

#[test]
fn restarts_of_containers_count_where_the_pod_restarts_them_itself() {
    let mut job = job(json!({"backoffLimit": 2}));
    job.spec
        .as_mut()
        .unwrap()
        .template
        .spec
        .as_mut()
        .unwrap()
        .restart_policy = Some("OnFailure".to_owned());
    step(&mut job, &[], 0);
    let restarted = |count: i32| {
        let mut pod = pod("a", "Running", 0, 0);
        pod.status
            .as_mut()
            .unwrap()
            .container_statuses
            .as_mut()
            .unwrap()[0]
            .restart_count = count;
        pod
    };
    assert_eq!(
        step(&mut job, &[restarted(1)], 1).delete,
        Vec::<String>::new()
    );
    assert_eq!(step(&mut job, &[restarted(2)], 2).delete, ["a"]);
}

#[test]
fn indexed_jobs_are_refused_with_a_reason() {
    let mut job = job(json!({"completionMode": "Indexed"}));
    let plan = step(&mut job, &[], 0);
    assert_eq!(plan.create, 0);
    assert_eq!(
        conditions(&job).last().unwrap().1,
        "UnsupportedCompletionMode"
    );
}

#[test]
fn jobs_of_other_controllers_and_deleted_jobs_are_left_alone() {
    let managed = job(json!({"managedBy": "example.com/other"}));
    assert_eq!(decide(&managed, &[], at(0)), Plan::default());
    let mut deleted = job(json!({}));
    deleted.metadata.deletion_timestamp = Some(Time(at(0)));
    assert_eq!(decide(&deleted, &[], at(0)), Plan::default());
}
