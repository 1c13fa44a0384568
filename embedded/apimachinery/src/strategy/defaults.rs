//! Defaults of built-in kinds: the constant ones from the schema, and those that depend on other
//! fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{pod, rbac, text};
use crate::resource::ResourceInfo;
use crate::schema::{Schema, prepare_crd};

/// Fills in the defaults of a built-in kind (nothing for others). Idempotent. Also used on what is
/// read back.
pub fn apply_defaults(resource: &ResourceInfo, object: &mut Value) {
    let Some(schema) = Schema::builtin(&resource.group, &resource.version, &resource.kind) else {
        return;
    };
    if !object.is_object() {
        return;
    }
    schema.apply_defaults(object);
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => namespace(object),
        ("", "Pod") => pod::default_pod(object),
        ("", "Secret") => secret(object),
        ("", "Service") => service(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => prepare_crd(object),
        ("batch", "Job") => job(object),
        (rbac::GROUP, "RoleBinding" | "ClusterRoleBinding") => rbac::default_binding(object),
        _ => {}
    }
}

/// Every namespace is labelled with its name.
fn namespace(object: &mut Value) {
    let name = text(&object["metadata"], "name").to_string();
    if !name.is_empty() {
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
    }
}

/// `stringData` goes into `data`.
fn secret(object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let Some(Value::Object(texts)) = map.remove("stringData") else {
        return;
    };
    for (key, value) in texts {
        let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
        map.entry("data").or_insert_with(|| json!({}))[key] = encoded.into();
    }
}

fn service(object: &mut Value) {
    let kind = text(&object["spec"], "type").to_string();
    let spec = &mut object["spec"];
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        if port
            .get("targetPort")
            .is_none_or(|t| t.is_null() || t == 0 || t == "")
        {
            port["targetPort"] = port["port"].clone();
        }
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP")
        && spec.get("internalTrafficPolicy").is_none()
    {
        spec["internalTrafficPolicy"] = json!("Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        && spec.get("externalTrafficPolicy").is_none()
    {
        spec["externalTrafficPolicy"] = json!("Cluster");
    }
    if kind == "LoadBalancer" && spec.get("allocateLoadBalancerNodePorts").is_none() {
        spec["allocateLoadBalancerNodePorts"] = json!(true);
    }
}

/// A Job without labels of its own has those of its Pods.
pub(super) fn job_labels(object: &mut Value) {
    let labels = object
        .pointer("/spec/template/metadata/labels")
        .filter(|l| l.is_object())
        .cloned();
    let own = object
        .pointer("/metadata/labels")
        .and_then(Value::as_object);
    if let Some(labels) = labels.filter(|_| own.is_none_or(|l| l.is_empty())) {
        object["metadata"]["labels"] = labels;
    }
}

fn job(object: &mut Value) {
    job_labels(object);
    let spec = &mut object["spec"];
    let absent = |spec: &Value, name: &str| spec.get(name).is_none_or(Value::is_null);
    if absent(spec, "completions") && absent(spec, "parallelism") {
        spec["completions"] = json!(1);
    }
    let per_index = !absent(spec, "backoffLimitPerIndex");
    let fails_pods = !absent(spec, "podFailurePolicy");
    for (name, default) in [
        ("parallelism", json!(1)),
        ("backoffLimit", json!(if per_index { i32::MAX } else { 6 })),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        (
            "podReplacementPolicy",
            json!(if fails_pods {
                "Failed"
            } else {
                "TerminatingOrFailed"
            }),
        ),
        ("manualSelector", json!(false)),
    ] {
        if absent(spec, name) {
            spec[name] = default;
        }
    }
    if let Some(template) = spec.get_mut("template").filter(|t| t.is_object()) {
        if template.get("metadata").is_none() {
            template["metadata"] = json!({});
        }
        if template["spec"].is_object() {
            pod::default_spec(&mut template["spec"]);
        }
    }
}
