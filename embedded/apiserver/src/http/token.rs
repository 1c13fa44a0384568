//! `serviceaccounts/token`: issuing tokens.

use axum::body::Body;
use http::StatusCode;
use kubestash_apimachinery::{FieldError, ResourceInfo, Status};
use serde_json::{Value, json};

use super::respond::{self, Response};
use super::{Call, body, negotiate};
use crate::auth::token::{Bound, ISSUER, TokenError, TokenRequest};
use crate::registry::{Refused, now, rfc3339};
use crate::store::{GroupResource, Key};

const DEFAULT_SECONDS: i64 = 3600;
const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;

/// Issues a token for the ServiceAccount of the URL.
pub(super) async fn create(call: Call, sent: Body) -> Result<Response, Refused> {
    let format = negotiate::accept(&call.parts.headers, false)?;
    let caller = call.caller()?;
    let sent = body::read(sent).await?;
    let mut review = if sent.is_empty() {
        json!({})
    } else {
        body::decode(&call.parts.headers, &sent)?.value
    };
    if !review["spec"].is_object() {
        review["spec"] = json!({});
    }
    let target = &call.target;
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let request = request(&call, namespace, &review["spec"])?;
    let (token, ends) = call
        .app
        .tokens
        .issue(&call.app.store, namespace, &target.name, &request, now())
        .map_err(|error| {
            Box::new(match error {
                TokenError::NoServiceAccount { .. } => {
                    Status::not_found(target.info(), &target.name)
                }
                other => Status::internal(other.to_string()),
            })
        })?;
    review["kind"] = "TokenRequest".into();
    review["apiVersion"] = "authentication.k8s.io/v1".into();
    review["metadata"] = json!({
        "name": target.name, "namespace": namespace, "creationTimestamp": rfc3339(now()),
    });
    review["spec"]["expirationSeconds"] = request.seconds.into();
    if request.audiences.is_empty() {
        review["spec"]["audiences"] = json!([ISSUER]);
    }
    let token = if caller.dry_run { "" } else { token.as_str() };
    review["status"] = json!({"token": token, "expirationTimestamp": rfc3339(ends)});
    respond::document(format, StatusCode::CREATED, &review)
}

fn request(call: &Call, namespace: &str, spec: &Value) -> Result<TokenRequest, Refused> {
    let seconds = spec["expirationSeconds"]
        .as_i64()
        .unwrap_or(DEFAULT_SECONDS);
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) {
        let info = ResourceInfo {
            group: "authentication.k8s.io".to_owned(),
            kind: "TokenRequest".to_owned(),
            ..call.target.info().clone()
        };
        let error = FieldError::invalid(
            "spec.expirationSeconds",
            seconds,
            "may not specify a duration less than 10 minutes or larger than 2^32 seconds",
        );
        let status = Status::invalid(&info, "", &[error]);
        return Err(Box::new(status));
    }
    Ok(TokenRequest {
        audiences: spec["audiences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|audience| Some(audience.as_str()?.to_owned()))
            .collect(),
        seconds,
        pod: bound_pod(call, namespace, &spec["boundObjectRef"])?,
    })
}

/// The pod a token is to end with.
fn bound_pod(call: &Call, namespace: &str, reference: &Value) -> Result<Option<Bound>, Refused> {
    if !reference.is_object() {
        return Ok(None);
    }
    if reference["kind"] != "Pod" {
        return Err(Box::new(Status::bad_request(
            "spec.boundObjectRef: this server binds tokens to a Pod only",
        )));
    }
    let name = reference["name"].as_str().unwrap_or_default();
    let key = Key::new(&GroupResource::new("", "pods"), namespace, name);
    let pod = call.app.store.get(&key).ok_or_else(|| {
        let mut status = Status::bad_request(format!("pods \"{name}\" not found"));
        status.code = 404;
        status.reason = "NotFound";
        Box::new(status)
    })?;
    let wanted = reference["uid"].as_str().unwrap_or_default();
    if !wanted.is_empty() && wanted != &*pod.uid {
        return Err(Box::new(Status::conflict(
            call.target.info(),
            &call.target.name,
            &format!(
                "the UID in the bound object reference ({wanted}) does not match the UID in record ({})",
                pod.uid
            ),
        )));
    }
    Ok(Some(Bound {
        name: name.to_owned(),
        uid: pod.uid.to_string(),
    }))
}
