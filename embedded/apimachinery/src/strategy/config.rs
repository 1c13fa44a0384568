//! ConfigMaps and Secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::text;
use crate::field::{FieldError, Path};
use crate::syntax;

const MAX_BYTES: u64 = 1024 * 1024;
const IMMUTABLE: &str = "field is immutable when `immutable` is set";
const TOKEN_ANNOTATION: &str = "kubernetes.io/service-account.name";

/// Checks a ConfigMap.
pub(super) fn validate_config_map(object: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::ROOT;
    let mut size = 0;
    for field in ["data", "binaryData"] {
        let path = root.child(field);
        for (key, value) in entries(object, field) {
            check_key(key, &path, errors);
            if field == "data" && object["binaryData"].get(key).is_some() {
                let detail = "duplicate of key present in binaryData";
                errors.push(FieldError::invalid(path.key(key), key.as_str(), detail));
            }
            let text = value.as_str().unwrap_or_default();
            size += if field == "data" {
                text.len()
            } else {
                decoded(text).len()
            } as u64;
        }
    }
    if size > MAX_BYTES {
        errors.push(FieldError::too_long("", MAX_BYTES));
    }
}

/// Checks a Secret. Its contents are never shown.
pub(super) fn validate_secret(object: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::ROOT;
    let path = root.child("data");
    let mut size = 0;
    for (key, value) in entries(object, "data") {
        check_key(key, &path, errors);
        size += decoded(value.as_str().unwrap_or_default()).len() as u64;
    }
    if size > MAX_BYTES {
        errors.push(FieldError::too_long(path, MAX_BYTES));
    }
    let has = |key: &str| object["data"].get(key).is_some();
    let mut require = |keys: &[&str]| {
        errors.extend(
            keys.iter()
                .filter(|key| !has(key))
                .map(|key| FieldError::required(path.key(key), "")),
        );
    };
    match text(object, "type") {
        "kubernetes.io/service-account-token"
            if text(&object["metadata"]["annotations"], TOKEN_ANNOTATION).is_empty() =>
        {
            let path = format!("metadata.annotations[{TOKEN_ANNOTATION}]");
            errors.push(FieldError::required(path, ""));
        }
        "kubernetes.io/dockercfg" => json_key(object, ".dockercfg", &path, errors),
        "kubernetes.io/dockerconfigjson" => json_key(object, ".dockerconfigjson", &path, errors),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            require(&["username", "password"])
        }
        "kubernetes.io/ssh-auth" => require(&["ssh-privatekey"]),
        "kubernetes.io/tls" => require(&["tls.crt", "tls.key"]),
        _ => {}
    }
}

/// Checks a change of either.
pub(super) fn validate_update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::ROOT;
    super::immutable(
        object.get("type"),
        old.get("type"),
        root.child("type"),
        errors,
    );
    if old["immutable"] != true {
        return;
    }
    if object["immutable"] != true {
        errors.push(FieldError::forbidden("immutable", IMMUTABLE));
    }
    for field in ["data", "binaryData"] {
        let empty = Map::new();
        let of = |value: &Value| {
            value
                .get(field)
                .and_then(Value::as_object)
                .unwrap_or(&empty)
                .clone()
        };
        if of(object) != of(old) {
            errors.push(FieldError::forbidden(field, IMMUTABLE));
        }
    }
}

fn entries<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    object
        .get(field)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn decoded(text: &str) -> Vec<u8> {
    // Bad base64 does not get here: it is refused when the object is decoded.
    STANDARD.decode(text).unwrap_or_default()
}

fn check_key(key: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let problems = syntax::config_key(key);
    errors.extend(
        problems
            .into_iter()
            .map(|problem| FieldError::invalid(path.key(key), key, problem)),
    );
}

fn json_key(object: &Value, key: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    match object["data"].get(key).and_then(Value::as_str) {
        None => errors.push(FieldError::required(path.key(key), "")),
        Some(text) => {
            if let Err(error) = serde_json::from_slice::<Map<String, Value>>(&decoded(text)) {
                // Where, not what: an error's text may quote the content.
                let place = format!(
                    "invalid JSON at line {} column {}",
                    error.line(),
                    error.column()
                );
                errors.push(FieldError::invalid(
                    path.key(key),
                    "<secret contents redacted>",
                    place,
                ));
            }
        }
    }
}
