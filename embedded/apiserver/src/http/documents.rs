//! Everything that is no resource: health, version, discovery and OpenAPI.
//!
//! The documents depend only on the catalogue, so each is made once for a generation of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use kubestash_apimachinery::{Status, openapi};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::respond::{self, Response};
use crate::app::App;
use crate::registry::Refused;
use crate::registry::catalogue::Catalogue;

/// The Kubernetes minor version whose behaviour this server follows.
const MINOR: &str = "33";

/// The documents of one generation of the catalogue.
#[derive(Default)]
pub(crate) struct Documents {
    made: Mutex<(u64, HashMap<String, Document>)>,
}

#[derive(Clone)]
struct Document {
    body: Bytes,
    etag: HeaderValue,
}

impl Documents {
    /// The document `name`, made by `make` if this generation has not got it yet; `None` if there
    /// is none.
    fn get(
        &self,
        generation: u64,
        name: &str,
        make: impl FnOnce() -> Option<Vec<u8>> + Send,
    ) -> Option<Document> {
        {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            if made.0 != generation {
                *made = (generation, HashMap::new());
            }
            if let Some(document) = made.1.get(name) {
                return Some(document.clone());
            }
        }
        // Made without the lock: OpenAPI takes a while, and the same work done twice does no harm.
        // Made in a thread of its own: what it allocates, some twenty times the document,
        // then lies apart and goes back to the system.
        let made_apart = std::thread::scope(|scope| scope.spawn(make).join());
        let body = Bytes::from(made_apart.ok().flatten()?);
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&body));
        let document = Document {
            body,
            etag: HeaderValue::from_str(&format!("\"{hash}\"")).ok()?,
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.0 == generation {
            made.1.insert(name.to_owned(), document.clone());
        }
        Some(document)
    }
}

/// Paths that Kubernetes shows to everybody.
pub(super) fn is_public(path: &str) -> bool {
    let first = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    matches!(first, "healthz" | "livez" | "readyz") || path == "/version" || path == "/version/"
}

/// Health and version.
pub(super) fn public(app: &App, parts: &Parts) -> Result<Response, Refused> {
    check_get(parts)?;
    if parts.uri.path().starts_with("/version") {
        return Ok(respond::json(StatusCode::OK, &version()));
    }
    if app.stop.is_cancelled() && !parts.uri.path().starts_with("/livez") {
        let mut response = respond::text("shutting down");
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return Ok(response);
    }
    Ok(respond::text("ok"))
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "gitVersion": format!("v1.{MINOR}.0+kubestash"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-11-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    })
}

/// The name that Kubernetes gives this processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn check_get(parts: &Parts) -> Result<(), Refused> {
    if parts.method == Method::GET || parts.method == Method::HEAD {
        return Ok(());
    }
    Err(Box::new(super::method_not_allowed()))
}

/// Discovery and OpenAPI.
pub(super) fn serve(app: &App, parts: &Parts) -> Result<Response, Refused> {
    check_get(parts)?;
    let catalogue = app.catalogue();
    let path = parts.uri.path().trim_matches('/');
    let protobuf = path == "openapi/v2" && wants_protobuf(parts);
    let name = if protobuf {
        "openapi/v2 protobuf"
    } else {
        path
    };
    let segments: Vec<&str> = path.split('/').collect();
    let v3 = |group: &str, version: &str| {
        catalogue.documented(Some((group, version)), |served| {
            openapi::v3(served, group, version)
        })
    };
    let make = || -> Option<Vec<u8>> {
        let json = |value: Value| Some(value.to_string().into_bytes());
        match segments.as_slice() {
            [""] => json(paths(&catalogue.resources())),
            ["api"] => json(openapi::api_versions(&app.address.to_string())),
            ["apis"] => json(openapi::api_group_list(&catalogue.resources())),
            ["api", version] => json(openapi::api_resource_list(
                &catalogue.resources(),
                "",
                version,
            )?),
            ["apis", group] => json(openapi::api_group(&catalogue.resources(), group)?),
            ["apis", group, version] => json(openapi::api_resource_list(
                &catalogue.resources(),
                group,
                version,
            )?),
            ["openapi", "v2"] => {
                let document = catalogue.documented(None, openapi::v2);
                if protobuf {
                    return Some(openapi::v2_protobuf(&document));
                }
                json(document)
            }
            ["openapi", "v3"] => json(v3_index(&catalogue)),
            ["openapi", "v3", "api", version] => json(v3("", version)?),
            ["openapi", "v3", "apis", group, version] => json(v3(group, version)?),
            _ => None,
        }
    };
    let document = app
        .documents
        .get(catalogue.generation, name, make)
        .ok_or_else(|| Box::new(Status::no_such_path()))?;
    if parts.headers.get(IF_NONE_MATCH) == Some(&document.etag) {
        let mut response = respond::text(Bytes::new());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let mut response = if protobuf {
        respond::bytes(
            StatusCode::OK,
            HeaderValue::from_static(openapi::V2_PROTOBUF_CONTENT_TYPE),
            document.body,
        )
    } else {
        respond::raw_json(document.body)
    };
    if path.starts_with("openapi") {
        response.headers_mut().insert(ETAG, document.etag);
    }
    Ok(response)
}

/// The index of the OpenAPI v3 documents, put together one group and version at a time: all schemas
/// at once take a lot of memory.
fn v3_index(catalogue: &Catalogue) -> Value {
    let mut paths = Map::new();
    for (group, version) in catalogue.group_versions() {
        let mut index = catalogue.documented(Some((group, version)), openapi::v3_index);
        if let Some(part) = index["paths"].as_object_mut() {
            paths.append(part);
        }
    }
    paths.sort_keys();
    json!({"paths": paths})
}

fn wants_protobuf(parts: &Parts) -> bool {
    parts
        .headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("openapi.spec.v2@v1.0+protobuf"))
}

/// `/`: the paths there are.
fn paths(resources: &[kubestash_apimachinery::ResourceInfo]) -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for resource in resources
        .iter()
        .filter(|resource| !resource.group.is_empty())
    {
        for path in [
            format!("/apis/{}", resource.group),
            format!("/apis/{}", resource.api_version()),
        ] {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    let others = [
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    paths.extend(others.map(str::to_owned));
    json!({"paths": paths})
}
