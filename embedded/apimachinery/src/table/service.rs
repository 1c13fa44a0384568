//! Rows of Services.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, list, name, or_none, text};

pub(super) fn cells(service: &Value, now: Timestamp) -> Vec<Value> {
    let cluster_ip = match text(service, "/spec/clusterIPs/0") {
        "" => text(service, "/spec/clusterIP"),
        ip => ip,
    };
    let ports: Vec<String> = list(service, "/spec/ports")
        .iter()
        .map(|port| {
            let number = port["port"].as_i64().unwrap_or_default();
            let protocol = text(port, "/protocol");
            match port["nodePort"].as_i64().unwrap_or_default() {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    let selector = service
        .pointer("/spec/selector")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let mut selector: Vec<String> = selector
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    selector.sort();
    vec![
        name(service),
        text(service, "/spec/type").into(),
        or_none(cluster_ip),
        external(service),
        or_none(&ports.join(",")),
        age(service, now),
        or_none(&selector.join(",")),
    ]
}

fn external(service: &Value) -> Value {
    let external: Vec<&str> = list(service, "/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    match text(service, "/spec/type") {
        "ExternalName" => text(service, "/spec/externalName").into(),
        "LoadBalancer" => {
            let ingress = list(service, "/status/loadBalancer/ingress").iter();
            let mut all: Vec<&str> = ingress
                .map(|i| {
                    if text(i, "/ip").is_empty() {
                        text(i, "/hostname")
                    } else {
                        text(i, "/ip")
                    }
                })
                .collect();
            all.extend(external);
            if all.is_empty() {
                "<pending>".into()
            } else {
                all.join(",").into()
            }
        }
        _ => or_none(&external.join(",")),
    }
}
