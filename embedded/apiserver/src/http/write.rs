//! create, update, patch and delete of one object.

use axum::body::Body;
use http::StatusCode;
use kubestash_apimachinery::{FieldError, Status};
use serde_json::Value;

use super::respond::{self, Response};
use super::{Call, body, dry_run, negotiate};
use crate::registry::admit::{self, Ownership};
use crate::registry::delete::{DeleteOptions, Propagation};
use crate::registry::patch::{self as patches, Patch};
use crate::registry::{
    Caller, Refused, Written, create as creating, delete as deleting, update as updating,
};

/// POST of a collection.
pub(super) async fn create(call: Call, sent: Body) -> Result<Response, Refused> {
    let format = negotiate::accept(&call.parts.headers, true)?;
    let caller = call.caller()?;
    let sent = body::read(sent).await?;
    let decoded = body::decode(&call.parts.headers, &sent)?;
    let mut value = decoded.value;
    let target = &call.target;
    if target.info().namespaced && target.namespace.is_none() {
        return Err(Box::new(Status::bad_request(
            "an empty namespace may not be set during creation",
        )));
    }
    body::identify(
        target.info(),
        target.namespace.as_deref(),
        &target.name,
        &mut value,
    )?;
    if value["metadata"]["resourceVersion"]
        .as_str()
        .is_some_and(|sent| !sent.is_empty())
    {
        return Err(Box::new(Status::bad_request(
            "resourceVersion should not be set on objects to be created",
        )));
    }
    admit::prune(target, &caller, &mut value, &decoded.duplicates)?;
    let written = creating::create(&call.app, target, &caller, value, Ownership::Updated).await?;
    respond_written(&call, &caller, format, written)
}

/// PUT of an object.
pub(super) async fn update(call: Call, sent: Body) -> Result<Response, Refused> {
    let format = negotiate::accept(&call.parts.headers, true)?;
    let caller = call.caller()?;
    let sent = body::read(sent).await?;
    let decoded = body::decode(&call.parts.headers, &sent)?;
    let mut value = decoded.value;
    let target = &call.target;
    body::identify(
        target.info(),
        target.namespace.as_deref(),
        &target.name,
        &mut value,
    )?;
    admit::prune(target, &caller, &mut value, &decoded.duplicates)?;
    let written = updating::update(&call.app, target, &caller, value).await?;
    respond_written(&call, &caller, format, written)
}

/// PATCH of an object.
pub(super) async fn patch(call: Call, sent: Body) -> Result<Response, Refused> {
    let format = negotiate::accept(&call.parts.headers, true)?;
    let caller = call.caller()?;
    let sent = body::read(sent).await?;
    let (patch, duplicates) = read_patch(&call, &sent)?;
    let written = patches::patch(&call.app, &call.target, &caller, &patch, &duplicates).await?;
    respond_written(&call, &caller, format, written)
}

/// DELETE of an object.
pub(super) async fn delete(call: Call, sent: Body) -> Result<Response, Refused> {
    let format = negotiate::accept(&call.parts.headers, true)?;
    let (caller, options) = delete_options(&call, sent).await?;
    let target = &call.target;
    let deleted = deleting::delete(&call.app, target, &caller, &options).await?;
    // Kubernetes answers with the object for these kinds and for whatever is not gone yet.
    let with_object = [
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumes",
        "persistentvolumeclaims",
    ];
    let response = if !deleted.gone || with_object.contains(&target.info().plural.as_str()) {
        respond::object(
            format,
            &call.query,
            &target.served,
            StatusCode::OK,
            deleted.object,
        )?
    } else {
        let uid = deleted.object["metadata"]["uid"]
            .as_str()
            .unwrap_or_default();
        let status = Status::deleted(target.info(), &target.name, uid);
        respond::document(format, StatusCode::OK, &status)?
    };
    Ok(respond::with_warnings(response, caller.take_warnings()))
}

fn respond_written(
    call: &Call,
    caller: &Caller,
    format: negotiate::Format,
    written: Written,
) -> Result<Response, Refused> {
    let code = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let response = respond::object(
        format,
        &call.query,
        &call.target.served,
        code,
        written.object,
    )?;
    Ok(respond::with_warnings(response, caller.take_warnings()))
}

/// Reads a patch of the kind that the media type names.
fn read_patch(call: &Call, sent: &[u8]) -> Result<(Patch, Vec<String>), Refused> {
    let media_type = body::media_type(&call.parts.headers);
    let force = call.query.given("force").is_some();
    if force && media_type != patches::APPLY {
        return Err(options_invalid(FieldError::forbidden(
            "force",
            "may not be specified for non-apply patch",
        )));
    }
    let json = || -> Result<(Value, Vec<String>), Refused> {
        // A JSON patch is an array, which the decoder of objects does not take.
        if media_type == patches::JSON {
            let value = serde_json::from_slice(sent).map_err(|error| {
                Box::new(Status::bad_request(format!(
                    "error decoding patch: {error}"
                )))
            })?;
            return Ok((value, Vec::new()));
        }
        let decoded = kubestash_apimachinery::decode::json(sent)?;
        Ok((decoded.value, decoded.duplicates))
    };
    Ok(match media_type.as_str() {
        patches::JSON => {
            let (value, duplicates) = json()?;
            (Patch::Json(value), duplicates)
        }
        patches::MERGE => {
            let (value, duplicates) = json()?;
            (Patch::Merge(value), duplicates)
        }
        patches::STRATEGIC => {
            let (value, duplicates) = json()?;
            (Patch::Strategic(value), duplicates)
        }
        patches::APPLY => (read_apply(call, sent)?, Vec::new()),
        other => {
            let mut taken = vec![patches::JSON, patches::MERGE, patches::APPLY];
            if !call.target.served.is_custom() {
                taken.push(patches::STRATEGIC);
            }
            return Err(Box::new(Status::unsupported_media_type(other, &taken)));
        }
    })
}

fn read_apply(call: &Call, sent: &[u8]) -> Result<Patch, Refused> {
    if call.query.given("fieldManager").is_none() {
        return Err(options_invalid(FieldError::required(
            "fieldManager",
            "is required for apply patch",
        )));
    }
    let mut config = body::yaml(sent)?.value;
    let target = &call.target;
    body::identify(
        target.info(),
        target.namespace.as_deref(),
        &target.name,
        &mut config,
    )?;
    Ok(Patch::Apply {
        config,
        force: call.query.flag("force"),
    })
}

/// 422 of the options of a patch.
fn options_invalid(error: FieldError) -> Refused {
    Box::new(Status::invalid_options("PatchOptions", &[error]))
}

/// The options of a deletion: from the body, or else from the query.
pub(super) async fn delete_options(
    call: &Call,
    sent: Body,
) -> Result<(Caller, DeleteOptions), Refused> {
    let mut caller = call.caller()?;
    let sent = body::read(sent).await?;
    if sent.is_empty() {
        let query = &call.query;
        let options = DeleteOptions {
            grace_seconds: query.number("gracePeriodSeconds")?,
            propagation: propagation(
                query.given("propagationPolicy"),
                query.given("orphanDependents"),
            )?,
            uid: None,
            resource_version: None,
        };
        return Ok((caller, options));
    }
    let options = body::decode(&call.parts.headers, &sent)?.value;
    let dry_runs = options["dryRun"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    caller.dry_run |= dry_run(dry_runs)?;
    let orphan = options["orphanDependents"]
        .as_bool()
        .map(|orphan| orphan.to_string());
    let precondition = |name: &str| options["preconditions"][name].as_str().map(str::to_owned);
    let parsed = DeleteOptions {
        grace_seconds: options["gracePeriodSeconds"]
            .as_i64()
            .or(call.query.number("gracePeriodSeconds")?),
        propagation: propagation(
            options["propagationPolicy"]
                .as_str()
                .or(call.query.given("propagationPolicy")),
            orphan.as_deref().or(call.query.given("orphanDependents")),
        )?,
        uid: precondition("uid"),
        resource_version: precondition("resourceVersion"),
    };
    Ok((caller, parsed))
}

fn propagation(policy: Option<&str>, orphan: Option<&str>) -> Result<Option<Propagation>, Refused> {
    Ok(match (policy, orphan) {
        (Some("Background"), _) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Orphan"), _) | (None, Some("true")) => Some(Propagation::Orphan),
        (None, Some(_)) => Some(Propagation::Background),
        (None, None) => None,
        (Some(other), _) => {
            let policies = ["Foreground", "Background", "Orphan"];
            let error = FieldError::not_supported("propagationPolicy", other, &policies);
            let status = Status::invalid_options("DeleteOptions", &[error]);
            return Err(Box::new(status));
        }
    })
}
