//! Tables of built-in kinds: which columns there are, and the simple ones among the cells.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Cells, Columns, Row, age, definition, event, job, list, name, node, or_none, pod, service,
    size, text, volume,
};

/// Name, type, format, priority.
type Column = (&'static str, &'static str, &'static str, i64);

const NAME: Column = ("Name", "string", "name", 0);
const AGE: Column = string("Age");

const fn string(name: &'static str) -> Column {
    (name, "string", "", 0)
}

const fn wide(name: &'static str) -> Column {
    (name, "string", "", 1)
}

pub(super) fn columns(group: &str, kind: &str) -> Columns {
    let (columns, cells): (Vec<Column>, Row) = match (group, kind) {
        ("", "ConfigMap") => (vec![NAME, string("Data"), AGE], config_map),
        ("", "Event") | ("events.k8s.io", "Event") => (
            vec![
                string("Last Seen"),
                string("Type"),
                string("Reason"),
                string("Object"),
                wide("Subobject"),
                wide("Source"),
                string("Message"),
                wide("First Seen"),
                wide("Count"),
                ("Name", "string", "name", 1),
            ],
            event::cells,
        ),
        ("", "Namespace") => (vec![NAME, string("Status"), AGE], namespace),
        ("", "Node") => (
            vec![
                NAME,
                string("Status"),
                string("Roles"),
                AGE,
                string("Version"),
                wide("Internal-IP"),
                wide("External-IP"),
                wide("OS-Image"),
                wide("Kernel-Version"),
                wide("Container-Runtime"),
            ],
            node::cells,
        ),
        ("", "PersistentVolume") => (
            vec![
                NAME,
                string("Capacity"),
                string("Access Modes"),
                string("Reclaim Policy"),
                string("Status"),
                string("Claim"),
                string("StorageClass"),
                string("VolumeAttributesClass"),
                string("Reason"),
                AGE,
                wide("VolumeMode"),
            ],
            volume::volume,
        ),
        ("", "PersistentVolumeClaim") => (
            vec![
                NAME,
                string("Status"),
                string("Volume"),
                string("Capacity"),
                string("Access Modes"),
                string("StorageClass"),
                string("VolumeAttributesClass"),
                AGE,
                wide("VolumeMode"),
            ],
            volume::claim,
        ),
        ("", "Pod") => (
            vec![
                NAME,
                string("Ready"),
                string("Status"),
                string("Restarts"),
                AGE,
                wide("IP"),
                wide("Node"),
                wide("Nominated Node"),
                wide("Readiness Gates"),
            ],
            pod::cells,
        ),
        ("", "Secret") => (
            vec![NAME, string("Type"), ("Data", "integer", "", 0), AGE],
            secret,
        ),
        ("", "Service") => (
            vec![
                NAME,
                string("Type"),
                string("Cluster-IP"),
                string("External-IP"),
                string("Port(s)"),
                AGE,
                wide("Selector"),
            ],
            service::cells,
        ),
        ("", "ServiceAccount") => (
            vec![NAME, ("Secrets", "integer", "", 0), AGE],
            service_account,
        ),
        ("admissionregistration.k8s.io", _) => {
            (vec![NAME, ("Webhooks", "integer", "", 0), AGE], webhooks)
        }
        ("batch", "Job") => (
            vec![
                NAME,
                string("Status"),
                string("Completions"),
                string("Duration"),
                AGE,
                wide("Containers"),
                wide("Images"),
                wide("Selector"),
            ],
            job::cells,
        ),
        ("coordination.k8s.io", "Lease") => (vec![NAME, string("Holder"), AGE], lease),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => (
            vec![
                NAME,
                string("Role"),
                AGE,
                wide("Users"),
                wide("Groups"),
                wide("ServiceAccounts"),
            ],
            binding,
        ),
        _ => (vec![NAME, ("Created At", "date", "", 0)], created),
    };
    let define = |(name, kind, format, priority): &Column| {
        definition(name, kind, format, describe(name), *priority)
    };
    Columns {
        definitions: columns.iter().map(define).collect(),
        cells: Cells::Builtin(cells),
    }
}

/// What a column shows, where its heading does not say.
fn describe(column: &str) -> &'static str {
    match column {
        "Name" => "Name of the object, unique within its namespace and kind.",
        "Age" | "Created At" => "When the object was created.",
        "Ready" => "How many of the containers are ready.",
        "Status" => "State of the object, all considered.",
        "Restarts" => "How often its containers were restarted, and when last.",
        "Data" => "How many keys it holds.",
        "Completions" => "How many Pods have succeeded, of how many.",
        "Duration" => "How long it ran, or has been running.",
        "Holder" => "Who holds the lease.",
        "Role" => "The role that is bound.",
        "Last Seen" => "When it happened last.",
        "First Seen" => "When it happened first.",
        "Object" => "What it is about.",
        _ => "",
    }
}

fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        (size(object, "/data") + size(object, "/binaryData")).into(),
        age(object, now),
    ]
}

fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/status/phase").into(),
        age(object, now),
    ]
}

fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/type").into(),
        size(object, "/data").into(),
        age(object, now),
    ]
}

fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        list(object, "/secrets").len().into(),
        age(object, now),
    ]
}

fn webhooks(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        list(object, "/webhooks").len().into(),
        age(object, now),
    ]
}

fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/spec/holderIdentity").into(),
        age(object, now),
    ]
}

fn created(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/metadata/creationTimestamp").into(),
    ]
}

fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!(
        "{}/{}",
        text(object, "/roleRef/kind"),
        text(object, "/roleRef/name")
    );
    let of = |kind: &str| {
        let subjects = list(object, "/subjects")
            .iter()
            .filter(|s| text(s, "/kind") == kind);
        let names = subjects.map(|s| match (kind, text(s, "/namespace")) {
            ("ServiceAccount", namespace) if !namespace.is_empty() => {
                format!("{namespace}/{}", text(s, "/name"))
            }
            _ => text(s, "/name").to_string(),
        });
        Value::from(names.collect::<Vec<_>>().join(", "))
    };
    vec![
        name(object),
        role.into(),
        age(object, now),
        of("User"),
        of("Group"),
        of("ServiceAccount"),
    ]
}

/// A label selector as people write it: `a=b,c in (d,e),f,!g`.
pub(super) fn selector(selector: &Value) -> Value {
    let mut terms: Vec<String> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        terms.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = text(expression, "/key");
        let values: Vec<&str> = list(expression, "/values")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        terms.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_string(),
        });
    }
    terms.sort();
    or_none(&terms.join(","))
}
