//! Rows of PersistentVolumes and claims.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, list, name, text};

const CLASS_ANNOTATION: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";

pub(super) fn volume(volume: &Value, now: Timestamp) -> Vec<Value> {
    let claim = match volume.pointer("/spec/claimRef") {
        Some(claim) => format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")),
        None => String::new(),
    };
    vec![
        name(volume),
        quantity(volume, "/spec/capacity/storage"),
        modes(volume, "/spec/accessModes"),
        text(volume, "/spec/persistentVolumeReclaimPolicy").into(),
        phase(volume),
        claim.into(),
        class(volume),
        or_unset(text(volume, "/spec/volumeAttributesClassName")),
        text(volume, "/status/reason").into(),
        age(volume, now),
        or_unset(text(volume, "/spec/volumeMode")),
    ]
}

pub(super) fn claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let volume = text(claim, "/spec/volumeName");
    let (capacity, access) = match volume {
        "" => (Value::from(""), Value::from("")),
        _ => (
            quantity(claim, "/status/capacity/storage"),
            modes(claim, "/status/accessModes"),
        ),
    };
    vec![
        name(claim),
        phase(claim),
        volume.into(),
        capacity,
        access,
        class(claim),
        or_unset(text(claim, "/spec/volumeAttributesClassName")),
        age(claim, now),
        or_unset(text(claim, "/spec/volumeMode")),
    ]
}

fn phase(object: &Value) -> Value {
    match text(object, "/metadata/deletionTimestamp") {
        "" => text(object, "/status/phase").into(),
        _ => "Terminating".into(),
    }
}

fn class(object: &Value) -> Value {
    match text(object, CLASS_ANNOTATION) {
        "" => text(object, "/spec/storageClassName").into(),
        class => class.into(),
    }
}

fn quantity(object: &Value, pointer: &str) -> Value {
    match object.pointer(pointer) {
        Some(Value::String(text)) => text.as_str().into(),
        Some(Value::Number(number)) => number.to_string().into(),
        _ => "0".into(),
    }
}

fn modes(object: &Value, pointer: &str) -> Value {
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let given = list(object, pointer);
    let modes: Vec<&str> = short
        .iter()
        .filter(|(mode, _)| given.iter().any(|g| g == mode))
        .map(|(_, s)| *s)
        .collect();
    modes.join(",").into()
}

fn or_unset(text: &str) -> Value {
    if text.is_empty() {
        "<unset>".into()
    } else {
        text.into()
    }
}
