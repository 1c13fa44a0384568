//! Services, which are kept as data only.

use serde_json::Value;

use super::{list, text};
use crate::field::{FieldError, Path};
use crate::syntax::{self, Use};

/// Checks a Service.
pub(super) fn validate(service: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::ROOT;
    let path = root.child("spec");
    let spec = &service["spec"];
    let kind = text(spec, "type");
    let known = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !known.contains(&kind) {
        errors.push(FieldError::not_supported(path.child("type"), kind, &known));
    }
    let ports = list(spec, "ports");
    let headless = text(spec, "clusterIP") == "None";
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(path.child("ports"), ""));
    }
    if kind == "ExternalName" && text(spec, "externalName").is_empty() {
        errors.push(FieldError::required(path.child("externalName"), ""));
    }
    let base = path.child("ports");
    let mut names: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let path = base.index(index);
        let name = text(port, "name");
        if name.is_empty() && ports.len() > 1 {
            errors.push(FieldError::required(path.child("name"), ""));
        } else if !name.is_empty() {
            let problems = syntax::dns_label(name, Use::Name);
            errors.extend(
                problems
                    .into_iter()
                    .map(|p| FieldError::invalid(path.child("name"), name, p)),
            );
            if names.contains(&name) {
                errors.push(FieldError::duplicate(path.child("name"), name));
            }
        }
        names.push(name);
        let number = port["port"].as_i64().unwrap_or_default();
        if !(1..=65535).contains(&number) {
            errors.push(FieldError::invalid(
                path.child("port"),
                number,
                "must be between 1 and 65535, inclusive",
            ));
        }
        let protocol = text(port, "protocol");
        if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
            errors.push(FieldError::not_supported(
                path.child("protocol"),
                protocol,
                &["SCTP", "TCP", "UDP"],
            ));
        }
    }
}
