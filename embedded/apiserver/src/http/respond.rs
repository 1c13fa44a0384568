//! Building answers.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WARNING, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use kubestash_apimachinery::Status;
use kubestash_apimachinery::table::{self, IncludeObject};
use serde_json::{Value, json};

use super::negotiate::{Format, Shape};
use super::paging::Rest;
use super::query::Query;
use crate::registry::catalogue::Served;
use crate::registry::{Refused, now};

/// An HTTP answer.
pub(super) type Response = http::Response<Body>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");

/// An answer of bytes.
pub(super) fn bytes(code: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A JSON answer of bytes that are JSON already.
pub(super) fn raw_json(body: impl Into<Bytes>) -> Response {
    bytes(StatusCode::OK, JSON, body)
}

/// A plain text answer.
pub(super) fn text(body: impl Into<Bytes>) -> Response {
    bytes(
        StatusCode::OK,
        HeaderValue::from_static("text/plain; charset=utf-8"),
        body,
    )
}

/// A JSON answer.
pub(super) fn json(code: StatusCode, body: &Value) -> Response {
    bytes(code, JSON, body.to_string())
}

/// A refusal.
pub(super) fn status(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = status.to_value();
    let mut response = json(code, &body);
    if code == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = body["details"]["retryAfterSeconds"].as_u64() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A document in the form asked for.
pub(super) fn document(
    format: Format,
    code: StatusCode,
    body: &Value,
) -> Result<Response, Refused> {
    if !format.yaml {
        return Ok(json(code, body));
    }
    let text = serde_saphyr::to_string(body)
        .map_err(|error| Box::new(Status::internal(format!("failed to write YAML: {error}"))))?;
    Ok(bytes(code, YAML, text))
}

/// One object in the form asked for.
pub(super) fn object(
    format: Format,
    query: &Query,
    served: &Served,
    code: StatusCode,
    object: Value,
) -> Result<Response, Refused> {
    match format.shape {
        Shape::Whole => document(format, code, &object),
        Shape::Metadata(version) => document(format, code, &metadata_only(&object, version)),
        Shape::Table(version) => {
            let list_metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            let table = render_table(served, version, &[object], &list_metadata, query, true)?;
            document(format, code, &table)
        }
    }
}

/// Several objects in the form asked for; `items` are their whole JSON.
pub(super) fn list(
    format: Format,
    query: &Query,
    served: &Served,
    revision: u64,
    items: &[Bytes],
    rest: &Rest,
) -> Result<Response, Refused> {
    let mut list_metadata = json!({"resourceVersion": revision.to_string()});
    if let Some(token) = &rest.token {
        list_metadata["continue"] = token.clone().into();
    }
    if let Some(count) = rest.count {
        list_metadata["remainingItemCount"] = count.into();
    }
    let parse = || -> Vec<Value> {
        items
            .iter()
            .map(|item| serde_json::from_slice(item).unwrap_or_default())
            .collect()
    };
    let (kind, api_version, values) = match format.shape {
        Shape::Whole if !format.yaml => {
            return Ok(raw_json(list_bytes(served, &list_metadata, items)));
        }
        Shape::Whole => (
            served.info.list_kind.clone(),
            served.info.api_version(),
            parse(),
        ),
        Shape::Metadata(version) => (
            "PartialObjectMetadataList".to_owned(),
            format!("meta.k8s.io/{version}"),
            parse()
                .iter()
                .map(|item| metadata_only(item, version))
                .collect(),
        ),
        Shape::Table(version) => {
            let table = render_table(served, version, &parse(), &list_metadata, query, true)?;
            return document(format, StatusCode::OK, &table);
        }
    };
    let body = json!({
        "kind": kind, "apiVersion": api_version, "metadata": list_metadata, "items": values,
    });
    document(format, StatusCode::OK, &body)
}

/// The list as JSON, made of the objects' bytes without parsing them.
fn list_bytes(served: &Served, list_metadata: &Value, items: &[Bytes]) -> Vec<u8> {
    let mut body = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{list_metadata},\"items\":[",
        served.info.list_kind,
        served.info.api_version(),
    )
    .into_bytes();
    body.reserve(items.iter().map(|item| item.len() + 1).sum::<usize>() + 2);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    body.extend_from_slice(b"]}");
    body
}

/// The metadata of an object as an object of its own.
pub(super) fn metadata_only(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object["metadata"],
    })
}

/// A table of objects.
pub(super) fn render_table(
    served: &Served,
    version: &str,
    objects: &[Value],
    list_metadata: &Value,
    query: &Query,
    with_definitions: bool,
) -> Result<Value, Refused> {
    let include = IncludeObject::parse(query.given("includeObject")).ok_or_else(|| {
        Box::new(Status::bad_request(
            "includeObject must be None, Metadata or Object".to_owned(),
        ))
    })?;
    let mut table = table::render(
        &served.columns,
        objects,
        list_metadata,
        include,
        with_definitions,
        now(),
    );
    table["apiVersion"] = format!("meta.k8s.io/{version}").into();
    Ok(table)
}

/// Adds `Warning` headers.
pub(super) fn with_warnings(mut response: Response, warnings: Vec<String>) -> Response {
    for warning in warnings {
        let text: String = warning
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect::<String>()
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{text}\"").as_bytes()) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}
