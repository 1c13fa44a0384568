//! Rows of Nodes.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, list, name, or_none, text};

const ROLE: &str = "node-role.kubernetes.io/";

pub(super) fn cells(node: &Value, now: Timestamp) -> Vec<Value> {
    let ready = list(node, "/status/conditions")
        .iter()
        .find(|c| c["type"] == "Ready");
    let mut status = match ready {
        Some(condition) if condition["status"] == "True" => "Ready".to_string(),
        Some(_) => "NotReady".to_string(),
        None => "Unknown".to_string(),
    };
    if node["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    let address = |kind: &str| {
        let found = list(node, "/status/addresses")
            .iter()
            .find(|a| a["type"] == kind);
        or_none(found.map(|a| text(a, "/address")).unwrap_or_default())
    };
    let info = |field: &str| match text(node, &format!("/status/nodeInfo/{field}")) {
        "" => Value::from("<unknown>"),
        found => found.into(),
    };
    vec![
        name(node),
        status.into(),
        roles(node),
        age(node, now),
        text(node, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn roles(node: &Value) -> Value {
    let labels = node
        .pointer("/metadata/labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let mut roles: Vec<&str> = labels
        .filter_map(|(key, value)| match key.strip_prefix(ROLE) {
            Some(role) if !role.is_empty() => Some(role),
            _ if key == "kubernetes.io/role" => value.as_str().filter(|v| !v.is_empty()),
            _ => None,
        })
        .collect();
    roles.sort_unstable();
    roles.dedup();
    or_none(&roles.join(","))
}
