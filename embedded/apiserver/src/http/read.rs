//! get and list.

use bytes::Bytes;
use http::StatusCode;
use kubestash_apimachinery::{FieldError, Status};

use super::paging::{self, Rest, Token, Wanted};
use super::respond::{self, Response};
use super::{Call, negotiate};
use crate::registry::select::Selection;
use crate::registry::{Refused, wire};
use crate::store::Listing;

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

/// The objects of a selection: all of them, or a part.
pub(super) fn list(call: &Call) -> Result<Response, Refused> {
    let format = negotiate::accept(&call.parts.headers, true)?;
    let selection = selection(call)?;
    let wanted = Wanted::parse(&call.query)?;
    let exact = check_version_match(call)?;
    let served = &call.target.served;
    let store = &call.app.store;
    let past = match &wanted.token {
        Some(token) => token.rv,
        None => exact,
    };
    let mut listing = match past {
        None => store.list(&served.storage, selection.namespace.as_deref()),
        Some(revision) => {
            let current = store.revision();
            if revision > current {
                return Err(Box::new(Status::too_large_resource_version(
                    revision, current,
                )));
            }
            store
                .list_at(&served.storage, selection.namespace.as_deref(), revision)
                .map_err(|_| match &wanted.token {
                    Some(token) => paging::expired(token),
                    None => Box::new(Status::expired(format!(
                        "The provided resourceVersion {revision} is too old to list exactly"
                    ))),
                })?
        }
    };
    if let Some(token) = &wanted.token {
        let start = token.start();
        listing.objects.retain(|object| object.key.object > start);
    }
    listing
        .objects
        .retain(|object| selection.matches(served, object));
    let rest = cut(&mut listing, &wanted, &selection);
    let items: Vec<Bytes> = listing
        .objects
        .iter()
        .map(|object| wire::bytes(served, object))
        .collect();
    respond::list(format, &call.query, served, listing.revision, &items, &rest)
}

/// Leaves of a list what is wanted, and says what follows.
fn cut(listing: &mut Listing, wanted: &Wanted, selection: &Selection) -> Rest {
    let Some(limit) = wanted.limit.filter(|limit| *limit < listing.objects.len()) else {
        return Rest::default();
    };
    let count = listing.objects.len() - limit;
    listing.objects.truncate(limit);
    let token = listing
        .objects
        .last()
        .map(|last| Token::after(&last.key.object, Some(listing.revision)).encode());
    Rest {
        token,
        // Kubernetes does not know it of a selection, and clients do not expect it.
        count: selection.is_plain().then_some(count),
    }
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

/// The rules of `resourceVersion` and `resourceVersionMatch` for lists; returns the version that is
/// to be listed exactly.
fn check_version_match(call: &Call) -> Result<Option<u64>, Refused> {
    let refuse = |why: &str| {
        let why = format!("resourceVersionMatch {why}");
        let error = FieldError::forbidden("resourceVersionMatch", why);
        Err(Box::new(Status::invalid_options("ListOptions", &[error])))
    };
    let sent = call.query.get("resourceVersion");
    let requested = check_not_ahead(call)?;
    let version_match = call.query.get("resourceVersionMatch");
    if call.query.given("continue").is_some() && !version_match.is_empty() {
        return refuse("is forbidden when continue is provided");
    }
    match version_match {
        "" | "NotOlderThan" if !sent.is_empty() => Ok(None),
        "" => Ok(None),
        _ if sent.is_empty() => refuse("is forbidden unless resourceVersion is provided"),
        "Exact" => match requested {
            None => refuse("\"Exact\" is forbidden for resourceVersion \"0\""),
            Some(version) => Ok(Some(version)),
        },
        other => {
            let known = ["Exact", "NotOlderThan", ""];
            let error = FieldError::not_supported("resourceVersionMatch", other, &known);
            Err(Box::new(Status::invalid_options("ListOptions", &[error])))
        }
    }
}
