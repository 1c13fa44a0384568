//! Rows of Pods.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, human, list, name, or_none, text};

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let restarts = match (&summary.last_restart, summary.restarts) {
        (Some(time), restarts) if restarts > 0 => {
            format!("{restarts} ({} ago)", human::since(time, now))
        }
        (_, restarts) => restarts.to_string(),
    };
    let gates = list(pod, "/spec/readinessGates");
    let met = gates
        .iter()
        .filter(|g| has_condition(pod, text(g, "/conditionType")))
        .count();
    vec![
        name(pod),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        or_none(text(pod, "/status/podIPs/0/ip")),
        or_none(text(pod, "/spec/nodeName")),
        or_none(text(pod, "/status/nominatedNodeName")),
        or_none(&if gates.is_empty() {
            String::new()
        } else {
            format!("{met}/{}", gates.len())
        }),
    ]
}

/// The reason of the row condition `Completed`, for a Pod that has ended.
pub(super) fn completion(object: &Value) -> Option<&'static str> {
    if object["kind"] != "Pod" {
        return None;
    }
    match text(object, "/status/phase") {
        "Succeeded" => Some("Succeeded"),
        "Failed" => Some("Failed"),
        _ => None,
    }
}

struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<String>,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let phase = text(pod, "/status/phase");
        let mut reason = match text(pod, "/status/reason") {
            "" => phase.to_string(),
            given => given.to_string(),
        };
        let gated = |c: &&Value| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated";
        if list(pod, "/status/conditions").iter().find(gated).is_some() {
            reason = "SchedulingGated".into();
        }
        let sidecars: Vec<&str> = list(pod, "/spec/initContainers")
            .iter()
            .filter(|c| c["restartPolicy"] == "Always")
            .map(|c| text(c, "/name"))
            .collect();
        let total = list(pod, "/spec/containers").len() + sidecars.len();
        let mut summary = Self {
            reason,
            ready: 0,
            total,
            restarts: 0,
            last_restart: None,
        };
        let sidecar_restarts = summary.look_at_init_containers(pod, &sidecars);
        if !summary.reason.starts_with("Init:") || has_condition(pod, "Initialized") {
            summary.restarts = sidecar_restarts;
            summary.look_at_containers(pod);
        }
        let deleting = !text(pod, "/metadata/deletionTimestamp").is_empty();
        if deleting && text(pod, "/status/reason") == "NodeLost" {
            summary.reason = "Unknown".into();
        } else if deleting && !matches!(phase, "Succeeded" | "Failed") {
            summary.reason = "Terminating".into();
        }
        summary
    }

    /// Restarts of the sidecars among them.
    fn look_at_init_containers(&mut self, pod: &Value, sidecars: &[&str]) -> i64 {
        let mut sidecar_restarts = 0;
        for (index, status) in list(pod, "/status/initContainerStatuses")
            .iter()
            .enumerate()
        {
            self.count_restarts(status);
            let is_sidecar = sidecars.contains(&text(status, "/name"));
            if is_sidecar {
                sidecar_restarts += status["restartCount"].as_i64().unwrap_or_default();
            }
            let terminated = &status["state"]["terminated"];
            let waiting = text(status, "/state/waiting/reason");
            if terminated.is_object() && terminated["exitCode"] == 0 {
                continue;
            }
            if is_sidecar && status["started"] == true {
                self.ready += usize::from(status["ready"] == true);
                continue;
            }
            self.reason = if terminated.is_object() {
                format!("Init:{}", ended(terminated))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{index}/{}", list(pod, "/spec/initContainers").len())
            };
            break;
        }
        sidecar_restarts
    }

    fn look_at_containers(&mut self, pod: &Value) {
        let mut running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            self.count_restarts(status);
            let terminated = &status["state"]["terminated"];
            let waiting = text(status, "/state/waiting/reason");
            if !waiting.is_empty() {
                self.reason = waiting.into();
            } else if terminated.is_object() {
                self.reason = ended(terminated);
            } else if status["ready"] == true && status["state"]["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            self.reason = if has_condition(pod, "Ready") {
                "Running"
            } else {
                "NotReady"
            }
            .into();
        }
    }

    fn count_restarts(&mut self, status: &Value) {
        self.restarts += status["restartCount"].as_i64().unwrap_or_default();
        let time = text(status, "/lastState/terminated/finishedAt");
        if self.last_restart.as_deref().unwrap_or_default() < time {
            self.last_restart = Some(time.to_string());
        }
    }
}

/// Why a container ended.
fn ended(terminated: &Value) -> String {
    match (
        text(terminated, "/reason"),
        terminated["signal"].as_i64().unwrap_or_default(),
    ) {
        ("", 0) => format!(
            "ExitCode:{}",
            terminated["exitCode"].as_i64().unwrap_or_default()
        ),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_string(),
    }
}

fn has_condition(pod: &Value, kind: &str) -> bool {
    list(pod, "/status/conditions")
        .iter()
        .any(|c| c["type"] == kind && c["status"] == "True")
}
