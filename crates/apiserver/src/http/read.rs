//! get and list.

use bytes::Bytes;
use http::StatusCode;
use kubestash_apimachinery::{FieldError, Status};

use super::Call;
use super::negotiate;
use super::respond::{self, Response};
use crate::registry::select::Selection;
use crate::registry::{Refused, wire};

/// One object.
pub(super) fn get(call: &Call) -> Result<Response, Refused> {
    let format = negotiate::accept(&call.parts.headers, true)?;
    check_not_ahead(call)?;
    let object = call
        .app
        .store
        .get(&call.target.key())
        .ok_or_else(|| Box::new(Status::not_found(call.target.info(), &call.target.name)))?;
    let served = &call.target.served;
    if format == negotiate::Format::JSON {
        return Ok(respond::raw_json(wire::bytes(served, &object)));
    }
    respond::object(
        format,
        &call.query,
        served,
        StatusCode::OK,
        wire::read(served, &object),
    )
}

/// The objects of a selection, always of the present: everything is in memory, so `limit` is not needed.
pub(super) fn list(call: &Call) -> Result<Response, Refused> {
    let format = negotiate::accept(&call.parts.headers, true)?;
    let selection = selection(call)?;
    check_version_match(call)?;
    let served = &call.target.served;
    let listing = selection.list(&call.app.store, served);
    let items: Vec<Bytes> = listing
        .objects
        .iter()
        .map(|object| wire::bytes(served, object))
        .collect();
    respond::list(format, &call.query, served, listing.revision, &items)
}

/// What a request selects.
pub(super) fn selection(call: &Call) -> Result<Selection, Refused> {
    Selection::parse(
        &call.target.served,
        call.target.namespace.as_deref(),
        call.query.get("labelSelector"),
        call.query.get("fieldSelector"),
    )?
    .named(&call.target.name)
}

/// The resourceVersion of a request, `None` if it is absent, empty or zero (any version will do).
pub(super) fn requested_version(call: &Call) -> Result<Option<u64>, Refused> {
    let sent = call.query.get("resourceVersion");
    if sent.is_empty() || sent == "0" {
        return Ok(None);
    }
    sent.parse().map(Some).map_err(|_| {
        Box::new(Status::bad_request(format!(
            "resourceVersion: Invalid value: \"{sent}\": strconv.ParseUint: parsing \"{sent}\": invalid syntax"
        )))
    })
}

fn check_not_ahead(call: &Call) -> Result<Option<u64>, Refused> {
    let requested = requested_version(call)?;
    let current = call.app.store.revision();
    match requested {
        Some(requested) if requested > current => Err(Box::new(
            Status::too_large_resource_version(requested, current),
        )),
        requested => Ok(requested),
    }
}

/// The rules of `resourceVersion` and `resourceVersionMatch` for lists.
fn check_version_match(call: &Call) -> Result<(), Refused> {
    let refuse = |why: &str| {
        let why = format!("resourceVersionMatch {why}");
        let error = FieldError::forbidden("resourceVersionMatch", why);
        Err(Box::new(Status::invalid_options("ListOptions", &[error])))
    };
    if call.query.given("continue").is_some() {
        return Err(Box::new(Status::expired(
            "the provided continue parameter is not known to this server; start the list from the beginning",
        )));
    }
    let sent = call.query.get("resourceVersion");
    let requested = check_not_ahead(call)?;
    match call.query.get("resourceVersionMatch") {
        "" | "NotOlderThan" if !sent.is_empty() => Ok(()),
        "" => Ok(()),
        _ if sent.is_empty() => refuse("is forbidden unless resourceVersion is provided"),
        "Exact" => match requested {
            None => refuse("\"Exact\" is forbidden for resourceVersion \"0\""),
            // Only the present is kept, so a past version can be listed only if nothing has changed since.
            Some(version) if version < call.app.store.last_change(&call.target.served.storage) => {
                Err(Box::new(Status::expired(format!(
                    "The provided resourceVersion {version} is too old to list exactly"
                ))))
            }
            Some(_) => Ok(()),
        },
        other => {
            let known = ["Exact", "NotOlderThan", ""];
            let error = FieldError::not_supported("resourceVersionMatch", other, &known);
            Err(Box::new(Status::invalid_options("ListOptions", &[error])))
        }
    }
}
