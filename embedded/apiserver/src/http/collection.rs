//! deletecollection.

use axum::body::Body;
use bytes::Bytes;

use super::paging::Rest;
use super::read::selection;
use super::respond::{self, Response};
use super::write::delete_options;
use super::{Call, negotiate};
use crate::registry::{Refused, delete as deleting};

/// DELETE of a collection.
pub(super) async fn delete(call: Call, sent: Body) -> Result<Response, Refused> {
    let format = negotiate::accept(&call.parts.headers, true)?;
    let selection = selection(&call)?;
    let (caller, options) = delete_options(&call, sent).await?;
    let deleted =
        deleting::delete_collection(&call.app, &call.target, &caller, &selection, &options).await?;
    let items: Vec<Bytes> = deleted
        .iter()
        .map(|object| Bytes::from(object.to_string()))
        .collect();
    let revision = call.app.store.revision();
    let served = &call.target.served;
    let response = respond::list(
        format,
        &call.query,
        served,
        revision,
        &items,
        &Rest::default(),
    )?;
    Ok(respond::with_warnings(response, caller.take_warnings()))
}
