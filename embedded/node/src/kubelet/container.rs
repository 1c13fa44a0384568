//! One container of a pod: started, watched, started again where its pod says so.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, ObjectReference, Pod};
use kube::{Resource, ResourceExt};

use super::interrupt::Interrupt;
use super::prepare::{self, PodDir};
use super::renewal::Renewal;
use super::report::Report;
use super::trouble::Trouble;
use super::{Node, status, termination};
use crate::events::Kind;
use crate::supervisor::{Child, Exit};

/// How long a container that keeps ending is left alone: nothing the first time, then 10 s, doubled
/// up to 5 min.
fn restart_delay(quick_ends: u32) -> Duration {
    match quick_ends {
        0 | 1 => Duration::ZERO,
        n => Duration::from_secs(10 << (n - 2).min(5)).min(Duration::from_secs(300)),
    }
}

/// A container that ran this long is not considered to keep ending.
const LONG_RUN: Duration = Duration::from_secs(600);

/// How long to wait before trying again what could not be prepared: 100 ms, doubled up to 30 s.
fn retry_delay(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(10)).min(Duration::from_secs(30))
}

/// What is wrong at first only is not told: the ServiceAccount of a new namespace, say, is there a
/// moment later.
const QUIET_ATTEMPTS: u32 = 2;

/// When a container runs again after it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Never,
    OnFailure,
    Always,
}

impl Restart {
    /// That of a pod; init containers run to success once, so `Always` means `OnFailure` for them.
    pub(crate) fn of(policy: Option<&str>, init: bool) -> Self {
        match policy {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ if init => Self::OnFailure,
            _ => Self::Always,
        }
    }

    fn again(self, exit: &Exit) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => exit.code() != 0,
            Self::Always => true,
        }
    }
}

/// A container of a pod on this node.
pub(crate) struct Runner {
    pub(crate) node: Arc<Node>,
    pub(crate) pod: Arc<Pod>,
    pub(crate) container: Container,
    pub(crate) restart: Restart,
    pub(crate) report: Report,
    pub(crate) interrupt: Interrupt,
    /// Of the tokens of the present run.
    pub(crate) renewal: Option<Renewal>,
}

impl Runner {
    /// Runs the container until it needs no further run or the pod is to end; whether it ended
    /// well.
    pub(crate) async fn run(mut self) -> bool {
        let mut quick_ends = 0;
        let mut run = 0;
        loop {
            let begin = Timestamp::now();
            let Some(child) = self.start(run).await else {
                return false;
            };
            let exit = self.watch(&child, run).await;
            if !self.restart.again(&exit) || self.interrupt.is_given() {
                return exit.code() == 0;
            }
            let ran = Timestamp::now().duration_since(begin).unsigned_abs();
            quick_ends = if ran > LONG_RUN { 1 } else { quick_ends + 1 };
            let delay = restart_delay(quick_ends);
            if delay > Duration::ZERO {
                let message = format!(
                    "back-off {}s restarting failed container={}",
                    delay.as_secs(),
                    self.container.name
                );
                self.event(Kind::Warning, "BackOff", message.clone());
                self.wait_for_next_run("CrashLoopBackOff", Some(message), run);
                if self.interrupt.within(delay).await {
                    return false;
                }
            }
            run += 1;
        }
    }

    fn status(&self) -> Option<ContainerStatus> {
        let status = self.report.current();
        let all = status
            .init_container_statuses
            .into_iter()
            .chain(status.container_statuses)
            .flatten();
        all.into_iter()
            .find(|container| container.name == self.container.name)
    }

    fn wait_for_next_run(&self, reason: &str, message: Option<String>, run: i32) {
        self.report.container(&self.container.name, |status| {
            let before = status.state.replace(status::waiting(reason, message));
            status.last_state = before
                .filter(|state| state.terminated.is_some())
                .or(status.last_state.take());
            status.restart_count = run;
        });
    }

    /// Tries to start the container until it runs; `None` if the pod is to end first.
    async fn start(&mut self, run: i32) -> Option<Child> {
        let mut told: Option<Trouble> = None;
        for attempt in 0.. {
            if self.interrupt.is_given() {
                return None;
            }
            let trouble = match self.try_start(run).await {
                Ok(child) => return child,
                Err(trouble) => trouble,
            };
            let passing = trouble.retry && attempt < QUIET_ATTEMPTS;
            if !passing && told.as_ref() != Some(&trouble) {
                self.tell(&trouble, run);
                told = Some(trouble.clone());
            }
            if !trouble.retry {
                self.wait_in_vain(&trouble, run).await;
                return None;
            }
            if self.interrupt.within(retry_delay(attempt)).await {
                return None;
            }
        }
        None
    }

    async fn try_start(&mut self, run: i32) -> Result<Option<Child>, Trouble> {
        let (spec, tokens) = prepare::process(&self.node, &self.pod, &self.container, run).await?;
        let image = self.container.image.clone().unwrap_or_default();
        if self.interrupt.is_given() {
            return Ok(None);
        }
        let child = Child::spawn(&self.node.supervisor, spec)
            .map_err(|error| Trouble::node(describe(&error)))?;
        self.event(
            Kind::Normal,
            "Pulled",
            format!("Container image {image:?} already present on machine"),
        );
        self.event(
            Kind::Normal,
            "Created",
            format!("Created container: {}", self.container.name),
        );
        self.renewal = Some(Renewal::new(
            self.node.client.clone(),
            self.pod.clone(),
            tokens,
            self.node.config.token_checked_every,
            self.node.config.token_renewed_after,
        ));
        Ok(Some(child))
    }

    fn tell(&self, trouble: &Trouble, run: i32) {
        if trouble.is_of_pod() {
            self.take_back_another_trouble(run);
            for (reason, message) in trouble.events() {
                let events = &self.node.events;
                events.publish(&*self.pod, Kind::Warning, reason, message);
            }
            return;
        }
        self.wait_for_next_run(trouble.reason, Some(trouble.message.clone()), run);
        for (reason, message) in trouble.events() {
            self.event(Kind::Warning, reason, message);
        }
    }

    /// A trouble that is told in the status is over when the next one is about a volume, which is
    /// not told there.
    fn take_back_another_trouble(&self, run: i32) {
        let status = self.status();
        let state = status.as_ref().and_then(|status| status.state.as_ref());
        let waiting = state.and_then(|state| state.waiting.as_ref()?.reason.as_deref());
        if waiting.is_some_and(Trouble::is_told_in_status) {
            let spec = self.pod.spec.as_ref();
            let mut init = spec
                .into_iter()
                .flat_map(|spec| spec.init_containers.iter().flatten());
            let reason = match init.any(|container| container.name == self.container.name) {
                true => "PodInitializing",
                false => "ContainerCreating",
            };
            self.wait_for_next_run(reason, None, run);
        }
    }

    /// What will not get better by trying is told as Kubernetes tells it, and then left alone.
    async fn wait_in_vain(&mut self, trouble: &Trouble, run: i32) {
        if self.interrupt.within(Duration::from_secs(10)).await {
            return;
        }
        let image = self.container.image.clone().unwrap_or_default();
        let message = format!(
            "Back-off pulling image {image:?}: {}: {}",
            trouble.reason, trouble.message
        );
        self.event(Kind::Warning, "BackOff", message.clone());
        self.wait_for_next_run("ImagePullBackOff", Some(message), run);
        self.interrupt.next().await;
    }

    /// Follows a run to its end.
    async fn watch(&mut self, child: &Child, run: i32) -> Exit {
        let name = self.container.name.clone();
        let id = format!(
            "kubestash://{}/{name}/{run}",
            self.pod.uid().unwrap_or_default()
        );
        let mut started_at = Timestamp::now();
        let mut renewal = self.renewal.take();
        let renewed = async {
            match &mut renewal {
                Some(renewal) => renewal.keep().await,
                None => std::future::pending().await,
            }
        };
        let mut renewed = std::pin::pin!(renewed);
        let exit = loop {
            tokio::select! {
                biased;
                exit = child.wait() => break exit,
                () = &mut renewed => {}
                grace = self.interrupt.next() => {
                    let message = format!("Stopping container {name}");
                    self.event(Kind::Normal, "Killing", message);
                    child.stop(grace);
                }
                Ok(()) = child.started(), if self.status().is_some_and(|status| status.container_id.as_ref() != Some(&id)) => {
                    started_at = Timestamp::now();
                    self.event(Kind::Normal, "Started", format!("Started container {name}"));
                    let image = self.container.image.clone().unwrap_or_default();
                    self.report.container(&name, |status| {
                        let before = status.state.replace(status::running(started_at));
                        status.last_state = before.filter(|state| state.terminated.is_some()).or(status.last_state.take());
                        status.restart_count = run;
                        status.image_id = format!("kubestash://{image}");
                        status.container_id = Some(id.clone());
                    });
                }
            }
        };
        let seen = self
            .status()
            .is_some_and(|status| status.container_id.as_ref() == Some(&id));
        if !seen && !matches!(exit, Exit::NotStarted(_)) {
            // It was over before anybody looked.
            self.event(Kind::Normal, "Started", format!("Started container {name}"));
        }
        if let Exit::NotStarted(reason) = &exit {
            self.event(
                Kind::Warning,
                "Failed",
                format!("Error: failed to start container {name:?}: {reason}"),
            );
        }
        let dir = PodDir::new(&self.node.pods_dir, &self.pod.uid().unwrap_or_default());
        let message = termination::message(&self.container, &exit, &dir.log(&name, run));
        let state = status::terminated(&exit, started_at, Timestamp::now(), &id, message);
        self.report.container(&name, |status| {
            status.state = Some(state);
            status.restart_count = run;
            status.container_id = Some(id);
        });
        exit
    }

    fn event(&self, kind: Kind, reason: &str, message: String) {
        let about = ObjectReference {
            field_path: Some(format!("spec.containers{{{}}}", self.container.name)),
            ..self.pod.object_ref(&())
        };
        self.node.events.publish_about(about, kind, reason, message);
    }
}

/// An error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_keeps_ending_is_left_alone_longer_each_time() {
        let seconds: Vec<u64> = (0..9).map(|ends| restart_delay(ends).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 10, 20, 40, 80, 160, 300, 300]);
        let retries: Vec<u128> = (0..11)
            .map(|attempt| retry_delay(attempt).as_millis())
            .collect();
        assert_eq!(retries[..3], [100, 200, 400]);
        assert_eq!(retries[8..], [25_600, 30_000, 30_000]);
    }

    #[test]
    fn the_restart_policy_decides_about_another_run() {
        let (ok, failed) = (Exit::Code(0), Exit::Signal(9));
        for (policy, init, after_ok, after_failure) in [
            (Some("Never"), false, false, false),
            (Some("Never"), true, false, false),
            (Some("OnFailure"), false, false, true),
            (Some("OnFailure"), true, false, true),
            (Some("Always"), false, true, true),
            (Some("Always"), true, false, true),
            (None, false, true, true),
        ] {
            let restart = Restart::of(policy, init);
            assert_eq!(
                (restart.again(&ok), restart.again(&failed)),
                (after_ok, after_failure),
                "{policy:?} {init}"
            );
        }
    }
}
