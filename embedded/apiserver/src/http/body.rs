//! Reading request bodies.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use kubestash_apimachinery::decode::{self, Decoded};
use kubestash_apimachinery::{ResourceInfo, Status};
use serde_json::{Value, json};

use super::protobuf;
use crate::registry::Refused;

/// The largest body taken, as in Kubernetes.
pub(super) const MAX_BYTES: usize = 3 * 1024 * 1024;
/// How much of a longer one is read before the client is cut off.
const MAX_DROPPED_BYTES: usize = 16 * MAX_BYTES;
/// Media types of objects taken.
const TAKEN: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA_TYPE];

/// How long a client may take to send a body: as long as Kubernetes gives a whole request.
const WITHIN: Duration = Duration::from_secs(60);

/// Reads the whole body, in time.
pub(super) async fn read(body: Body) -> Result<Bytes, Refused> {
    tokio::time::timeout(WITHIN, read_whole(body))
        .await
        .unwrap_or_else(|_| {
            Err(Box::new(Status::timeout(format!(
                "the request body was not sent within {} seconds",
                WITHIN.as_secs()
            ))))
        })
}

/// One that is too long is read on for a while and dropped: a client that is still sending
/// would otherwise see its connection end, and not why.
async fn read_whole(body: Body) -> Result<Bytes, Refused> {
    let mut chunks = body.into_data_stream();
    let mut taken = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Box::new(Status::bad_request(format!(
                "failed to read the request body: {error}"
            )))
        })?;
        length += chunk.len();
        if length <= MAX_BYTES {
            taken.extend_from_slice(&chunk);
        } else if length > MAX_DROPPED_BYTES {
            break;
        }
    }
    if length > MAX_BYTES {
        return Err(Box::new(Status::too_large(MAX_BYTES)));
    }
    Ok(taken.freeze())
}

/// The media type of a body, without parameters; empty when none is given.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Decodes an object in JSON, YAML or, for built-in kinds, protobuf.
pub(super) fn decode(headers: &HeaderMap, body: &[u8]) -> Result<Decoded, Refused> {
    let decoded = match media_type(headers).as_str() {
        "" | "application/json" => decode::json(body),
        "application/yaml" => yaml(body),
        protobuf::MEDIA_TYPE => protobuf::decode(body)
            .map(|value| Decoded {
                value,
                duplicates: Vec::new(),
            })
            .map_err(|error| {
                Box::new(match error {
                    // The client can send the same as JSON.
                    protobuf::DecodeError::Kind(_) => {
                        Status::unsupported_media_type(protobuf::MEDIA_TYPE, &TAKEN[..2])
                    }
                    error => Status::bad_request(error.to_string()),
                })
            }),
        other => Err(Box::new(Status::unsupported_media_type(other, &TAKEN))),
    }?;
    if decoded.value.is_object() {
        return Ok(decoded);
    }
    Err(Box::new(Status::bad_request(
        "the object provided is unrecognized: the document is not an object",
    )))
}

/// Decodes YAML (of which JSON is a part). A key given twice is refused by the parser.
pub(super) fn yaml(body: &[u8]) -> Result<Decoded, Refused> {
    let bad = |error: &dyn std::fmt::Display| {
        Box::new(Status::bad_request(format!("error decoding YAML: {error}")))
    };
    // Most that comes as YAML is JSON, and read much faster as such.
    if body.trim_ascii_start().starts_with(b"{")
        && let Ok(decoded) = decode::json(body)
        && decoded.duplicates.is_empty()
    {
        return Ok(decoded);
    }
    let text = std::str::from_utf8(body).map_err(|error| bad(&error))?;
    let value: Value = serde_saphyr::from_str(text).map_err(|error| bad(&error))?;
    if !value.is_object() {
        return Err(bad(&"the document is not an object"));
    }
    Ok(Decoded {
        value,
        duplicates: Vec::new(),
    })
}

/// Checks that a body is of the kind of its URL, and fills in what the URL says already.
pub(super) fn identify(
    info: &ResourceInfo,
    namespace: Option<&str>,
    name: &str,
    value: &mut Value,
) -> Result<(), Refused> {
    let refuse = |message: String| Err(Box::new(Status::bad_request(message)));
    for (field, expected) in [
        ("apiVersion", info.api_version()),
        ("kind", info.kind.clone()),
    ] {
        match value[field].as_str().unwrap_or_default() {
            "" => value[field] = expected.into(),
            sent if sent == expected => {}
            sent if field == "kind" => {
                return refuse(format!(
                    "{sent} in version \"{}\" cannot be handled as a {expected}: no kind \"{sent}\" is expected here",
                    info.version
                ));
            }
            sent => {
                return refuse(format!(
                    "the API version in the data ({sent}) does not match the expected API version ({expected})"
                ));
            }
        }
    }
    if !value["metadata"].is_object() {
        if !value["metadata"].is_null() {
            return refuse("metadata must be an object".to_owned());
        }
        value["metadata"] = json!({});
    }
    identify_metadata(namespace, name, value)
}

fn identify_metadata(
    namespace: Option<&str>,
    name: &str,
    value: &mut Value,
) -> Result<(), Refused> {
    let refuse = |message: String| Err(Box::new(Status::bad_request(message)));
    let metadata = &mut value["metadata"];
    match (
        namespace,
        metadata["namespace"].as_str().unwrap_or_default(),
    ) {
        (Some(namespace), "") => metadata["namespace"] = namespace.into(),
        (Some(namespace), sent) if sent != namespace => {
            return refuse(format!(
                "the namespace of the provided object does not match the namespace sent on the request: \
                 {sent} is not {namespace}"
            ));
        }
        (None, sent) if !sent.is_empty() => {
            return refuse(
                "namespace must not be set for an object that lives outside of namespaces"
                    .to_owned(),
            );
        }
        _ => {
            if namespace.is_none()
                && let Some(metadata) = metadata.as_object_mut()
            {
                metadata.shift_remove("namespace");
            }
        }
    }
    if name.is_empty() {
        return Ok(());
    }
    match value["metadata"]["name"].as_str().unwrap_or_default() {
        "" => value["metadata"]["name"] = name.into(),
        sent if sent != name => {
            return refuse(format!(
                "the name of the object ({sent}) does not match the name on the URL ({name})"
            ));
        }
        _ => {}
    }
    Ok(())
}
