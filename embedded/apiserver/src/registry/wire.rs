//! From the stored form of an object to the version that a request speaks, and back.
//!
//! Versions of a custom resource differ only in `apiVersion` (conversion strategy None); the two
//! Event APIs differ in field names.

use bytes::Bytes;
use serde_json::Value;

use super::catalogue::Served;
use super::event::{EVENTS_V1, to_core, to_events_v1};
use crate::store::Object;

/// The object in the version of `served`.
pub(crate) fn read(served: &Served, object: &Object) -> Value {
    convert(served, object.value(), &object.api_version)
}

/// Its JSON; the stored bytes themselves where the version is the same.
pub(crate) fn bytes(served: &Served, object: &Object) -> Bytes {
    if *object.api_version == served.info.api_version() {
        return object.json.clone();
    }
    // A `Value` with string keys always serialises.
    serde_json::to_vec(&read(served, object))
        .unwrap_or_default()
        .into()
}

/// The form to store of an object in the version of `served`.
pub(crate) fn store(served: &Served, mut value: Value) -> Value {
    if served.info.group == "events.k8s.io" {
        return to_core(value);
    }
    if served.is_custom() {
        value["apiVersion"] = served.storage_api_version.clone().into();
    }
    value
}

fn convert(served: &Served, mut value: Value, stored: &str) -> Value {
    let wanted = served.info.api_version();
    if stored == wanted {
        return value;
    }
    if wanted == EVENTS_V1 {
        return to_events_v1(value);
    }
    value["apiVersion"] = wanted.into();
    value
}
