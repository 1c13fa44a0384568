//! The status of a pod, derived from the states of its containers.
//!
//! The node changes container states only; phase, conditions and flags follow from them here.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::environment::LOOPBACK;
use crate::supervisor::Exit;

/// How far a pod is, besides what its containers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It starts or runs.
    Ongoing,
    /// No container will run again.
    Over,
    /// As [`Over`](Self::Over), and failed for this reason whatever the containers say.
    Failed {
        /// `status.reason`.
        reason: &'static str,
        /// `status.message`.
        message: String,
    },
}

/// The status of a pod that this node has just accepted.
pub(crate) fn accepted(pod: &Pod, now: Timestamp) -> PodStatus {
    let spec = pod.spec.clone().unwrap_or_default();
    let initial = |containers: &[Container], reason: &str| -> Vec<ContainerStatus> {
        containers
            .iter()
            .map(|container| untouched(container, reason))
            .collect()
    };
    let has_init = spec
        .init_containers
        .as_ref()
        .is_some_and(|init| !init.is_empty());
    let reason = if has_init {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    let mut status = PodStatus {
        host_ip: Some(LOOPBACK.to_owned()),
        host_ips: Some(vec![HostIP {
            ip: LOOPBACK.to_owned(),
        }]),
        pod_ip: Some(LOOPBACK.to_owned()),
        pod_ips: Some(vec![PodIP {
            ip: LOOPBACK.to_owned(),
        }]),
        qos_class: pod
            .status
            .as_ref()
            .and_then(|status| status.qos_class.clone())
            .or(Some("BestEffort".to_owned())),
        start_time: Some(Time(now)),
        init_container_statuses: spec
            .init_containers
            .as_deref()
            .map(|init| initial(init, "PodInitializing")),
        container_statuses: Some(initial(&spec.containers, reason)),
        ..PodStatus::default()
    };
    refresh(&mut status, &spec, &Progress::Ongoing, now);
    status
}

fn untouched(container: &Container, reason: &str) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(waiting(reason, None)),
        started: Some(false),
        ..ContainerStatus::default()
    }
}

/// A waiting state.
pub(crate) fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting {
        reason: Some(reason.to_owned()),
        message,
    };
    ContainerState {
        waiting: Some(waiting),
        ..ContainerState::default()
    }
}

/// A running state.
pub(crate) fn running(since: Timestamp) -> ContainerState {
    let running = ContainerStateRunning {
        started_at: Some(Time(since)),
    };
    ContainerState {
        running: Some(running),
        ..ContainerState::default()
    }
}

/// A terminated state.
pub(crate) fn terminated(
    exit: &Exit,
    started_at: Timestamp,
    finished_at: Timestamp,
    id: &str,
    message: Option<String>,
) -> ContainerState {
    let (reason, told) = match exit {
        Exit::Code(0) => ("Completed", None),
        Exit::NotStarted(why) => ("StartError", Some(why.clone())),
        Exit::Lost => ("ContainerStatusUnknown", Some(exit.to_string())),
        Exit::Code(_) | Exit::Signal(_) => ("Error", None),
    };
    let terminated = ContainerStateTerminated {
        container_id: Some(id.to_owned()),
        exit_code: exit.code(),
        reason: Some(reason.to_owned()),
        message: told.or(message),
        started_at: Some(Time(started_at)),
        finished_at: Some(Time(finished_at)),
        ..ContainerStateTerminated::default()
    };
    ContainerState {
        terminated: Some(terminated),
        ..ContainerState::default()
    }
}

/// Whether any container has ever been started.
pub(crate) fn has_run(status: &PodStatus) -> bool {
    let all = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    all.into_iter().any(started)
}

fn started(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    container.restart_count > 0
        || state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

fn exit_code(container: &ContainerStatus) -> Option<i32> {
    container
        .state
        .as_ref()?
        .terminated
        .as_ref()
        .map(|terminated| terminated.exit_code)
}

/// Marks the containers that were running as ended without a word, because their node went away.
pub(crate) fn lose_running(status: &mut PodStatus, now: Timestamp) {
    let all = status
        .init_container_statuses
        .iter_mut()
        .chain(&mut status.container_statuses)
        .flatten();
    for container in all {
        let running = container
            .state
            .as_ref()
            .and_then(|state| state.running.as_ref());
        if let Some(since) =
            running.map(|running| running.started_at.as_ref().map_or(now, |time| time.0))
        {
            let id = container.container_id.clone().unwrap_or_default();
            container.state = Some(terminated(&Exit::Lost, since, now, &id, None));
        }
    }
}

/// Brings phase, conditions and flags in line with the container states.
pub(crate) fn refresh(status: &mut PodStatus, spec: &PodSpec, progress: &Progress, now: Timestamp) {
    for container in status
        .container_statuses
        .iter_mut()
        .chain(&mut status.init_container_statuses)
        .flatten()
    {
        let running = container
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some());
        container.started = Some(running);
        container.ready = running;
    }
    for container in status.init_container_statuses.iter_mut().flatten() {
        container.ready = exit_code(container) == Some(0);
    }
    let main = status.container_statuses.clone().unwrap_or_default();
    let initialized = status
        .init_container_statuses
        .iter()
        .flatten()
        .all(|container| exit_code(container) == Some(0));
    let (phase, why) = match progress {
        Progress::Ongoing if main.iter().any(started) => ("Running", None),
        Progress::Ongoing => ("Pending", None),
        Progress::Over
            if initialized && main.iter().all(|container| exit_code(container) == Some(0)) =>
        {
            ("Succeeded", None)
        }
        Progress::Over => ("Failed", None),
        Progress::Failed { reason, message } => ("Failed", Some((*reason, message.clone()))),
    };
    status.phase = Some(phase.to_owned());
    status.reason = why.as_ref().map(|(reason, _)| (*reason).to_owned());
    status.message = why.map(|(_, message)| message);
    let ready = phase == "Running" && main.iter().all(|container| container.ready);
    let unready = match phase {
        "Succeeded" => ("PodCompleted", None),
        "Failed" => ("PodFailed", None),
        _ => ("ContainersNotReady", Some(names_of_unready(&main))),
    };
    let mut conditions = Conditions { status, now };
    conditions.set(
        "PodReadyToStartContainers",
        phase == "Pending" || phase == "Running",
        None,
    );
    let incomplete = spec
        .init_containers
        .iter()
        .flatten()
        .map(|container| container.name.as_str());
    let incomplete = format!(
        "containers with incomplete status: [{}]",
        incomplete.collect::<Vec<_>>().join(" ")
    );
    conditions.set(
        "Initialized",
        initialized,
        (!initialized).then_some(("ContainersNotInitialized", Some(incomplete))),
    );
    conditions.set("Ready", ready, (!ready).then(|| unready.clone()));
    conditions.set("ContainersReady", ready, (!ready).then_some(unready));
    conditions.set("PodScheduled", true, None);
}

fn names_of_unready(containers: &[ContainerStatus]) -> String {
    let names = containers
        .iter()
        .filter(|container| !container.ready)
        .map(|container| container.name.as_str());
    format!(
        "containers with unready status: [{}]",
        names.collect::<Vec<_>>().join(" ")
    )
}

struct Conditions<'a> {
    status: &'a mut PodStatus,
    now: Timestamp,
}

impl Conditions<'_> {
    fn set(&mut self, kind: &str, value: bool, why: Option<(&str, Option<String>)>) {
        let conditions = self.status.conditions.get_or_insert_default();
        let value = if value { "True" } else { "False" };
        let index = conditions
            .iter()
            .position(|condition| condition.type_ == kind)
            .unwrap_or_else(|| {
                conditions.push(PodCondition {
                    type_: kind.to_owned(),
                    ..PodCondition::default()
                });
                conditions.len() - 1
            });
        let condition = &mut conditions[index];
        if condition.status != value {
            value.clone_into(&mut condition.status);
            condition.last_transition_time = Some(Time(self.now));
        }
        condition.reason = why.as_ref().map(|(reason, _)| (*reason).to_owned());
        condition.message = why.and_then(|(_, message)| message);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2024-09-19T10:30:46Z".parse().unwrap()
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "spec": {"initContainers": [{"name": "i", "image": "x"}], "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]},
        }))
        .unwrap()
    }

    fn exited(code: i32) -> ContainerState {
        terminated(&Exit::Code(code), now(), now(), "id", None)
    }

    /// Phase and Ready of a pod whose containers are in these states.
    fn outcome(
        init: ContainerState,
        main: [ContainerState; 2],
        progress: &Progress,
    ) -> (String, String) {
        let pod = pod();
        let mut status = accepted(&pod, now());
        status.init_container_statuses.as_mut().unwrap()[0].state = Some(init);
        for (container, state) in status
            .container_statuses
            .as_mut()
            .unwrap()
            .iter_mut()
            .zip(main)
        {
            container.state = Some(state);
        }
        refresh(&mut status, pod.spec.as_ref().unwrap(), progress, now());
        let ready = status
            .conditions
            .unwrap()
            .into_iter()
            .find(|condition| condition.type_ == "Ready")
            .unwrap();
        (status.phase.unwrap(), ready.reason.unwrap_or(ready.status))
    }

    #[test]
    fn phase_and_readiness_follow_from_the_containers() {
        let wait = || waiting("PodInitializing", None);
        let run = || running(now());
        let (on, over) = (Progress::Ongoing, Progress::Over);
        for (init, main, progress, phase, ready) in [
            (
                wait(),
                [wait(), wait()],
                &on,
                "Pending",
                "ContainersNotReady",
            ),
            (
                run(),
                [wait(), wait()],
                &on,
                "Pending",
                "ContainersNotReady",
            ),
            (
                exited(0),
                [run(), wait()],
                &on,
                "Running",
                "ContainersNotReady",
            ),
            (exited(0), [run(), run()], &on, "Running", "True"),
            (
                exited(0),
                [run(), exited(0)],
                &on,
                "Running",
                "ContainersNotReady",
            ),
            (
                exited(0),
                [exited(0), exited(0)],
                &over,
                "Succeeded",
                "PodCompleted",
            ),
            (
                exited(0),
                [exited(1), exited(0)],
                &over,
                "Failed",
                "PodFailed",
            ),
            (exited(1), [wait(), wait()], &over, "Failed", "PodFailed"),
            (exited(0), [exited(0), wait()], &over, "Failed", "PodFailed"),
            (
                exited(0),
                [exited(0), exited(0)],
                &Progress::Failed {
                    reason: "DeadlineExceeded",
                    message: String::new(),
                },
                "Failed",
                "PodFailed",
            ),
        ] {
            assert_eq!(
                outcome(init, main, progress),
                (phase.to_owned(), ready.to_owned())
            );
        }
    }

    #[test]
    fn a_condition_keeps_its_time_while_its_value_stays() {
        let pod = pod();
        let mut status = accepted(&pod, now());
        let before = status.conditions.clone();
        refresh(
            &mut status,
            pod.spec.as_ref().unwrap(),
            &Progress::Ongoing,
            now() + jiff::SignedDuration::from_secs(5),
        );
        assert_eq!(status.conditions, before);
    }

    #[test]
    fn containers_that_ran_when_the_node_went_away_have_ended() {
        let mut status = accepted(&pod(), now());
        assert!(!has_run(&status));
        status.container_statuses.as_mut().unwrap()[0].state = Some(running(now()));
        assert!(has_run(&status));
        lose_running(&mut status, now());
        let state = status.container_statuses.unwrap()[0].state.clone().unwrap();
        assert_eq!(
            state.terminated.unwrap().reason.as_deref(),
            Some("ContainerStatusUnknown")
        );
    }
}
