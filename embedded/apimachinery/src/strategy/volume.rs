//! PersistentVolumes and claims, which are kept as data only.

use serde_json::{Map, Value};

use super::{list, text};
use crate::field::{FieldError, Path};

const MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];

/// Checks a PersistentVolumeClaim.
pub(super) fn validate_claim(claim: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::ROOT;
    let path = root.child("spec");
    let spec = &claim["spec"];
    modes(spec, "at least 1 access mode is required", &path, errors);
    if spec.pointer("/resources/requests/storage").is_none() {
        errors.push(FieldError::required(
            path.child("resources").key("storage"),
            "",
        ));
    }
}

/// Checks a PersistentVolume.
pub(super) fn validate_volume(volume: &Value, errors: &mut Vec<FieldError>) {
    const NOT_SOURCES: [&str; 10] = [
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
        "",
    ];
    let root = Path::ROOT;
    let path = root.child("spec");
    let spec = &volume["spec"];
    modes(spec, "", &path, errors);
    if spec["capacity"].as_object().is_none_or(Map::is_empty) {
        errors.push(FieldError::required(path.child("capacity"), ""));
    }
    let fields = spec.as_object().into_iter().flatten();
    match fields
        .filter(|(name, value)| !NOT_SOURCES.contains(&name.as_str()) && value.is_object())
        .count()
    {
        0 => errors.push(FieldError::required(path, "must specify a volume type")),
        1 => {}
        _ => errors.push(FieldError::forbidden(
            path,
            "may not specify more than 1 volume type",
        )),
    }
}

/// Checks a change of a claim.
pub(super) fn validate_claim_update(claim: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let fixed = |claim: &Value| {
        let mut spec = claim["spec"].clone();
        if let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) {
            resources.remove("requests");
        }
        if let Some(spec) = spec.as_object_mut() {
            // Binding is part of a claim's life.
            spec.remove("volumeName");
            spec.remove("volumeAttributesClassName");
        }
        spec
    };
    let rebound = !text(&old["spec"], "volumeName").is_empty()
        && claim["spec"]["volumeName"] != old["spec"]["volumeName"];
    if rebound || fixed(claim) != fixed(old) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden("spec", detail));
    }
}

fn modes(spec: &Value, detail: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("accessModes");
    let modes = list(spec, "accessModes");
    if modes.is_empty() {
        errors.push(FieldError::required(path, detail));
    }
    for mode in modes
        .iter()
        .filter(|m| !m.as_str().is_some_and(|m| MODES.contains(&m)))
    {
        errors.push(FieldError::not_supported(path, mode.clone(), &MODES));
    }
}
