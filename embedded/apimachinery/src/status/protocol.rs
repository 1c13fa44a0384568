//! Refusals of a request's form: path, method, media types, size.

use serde_json::json;

use super::Status;
use crate::gofmt::quote;
use crate::resource::ResourceInfo;

impl Status {
    /// 404 for a path that is not served: `the server could not find the requested resource`.
    pub fn no_such_path() -> Self {
        let mut status = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        status.details = Some(json!({}));
        status
    }

    /// 405 `MethodNotAllowed`.
    pub fn method_not_allowed(resource: &ResourceInfo, verb: &str) -> Self {
        let message = format!(
            "{verb} is not supported on resources of kind {}",
            quote(&resource.group_resource())
        );
        Self::new(405, "MethodNotAllowed", message).about(&resource.group, &resource.plural, "")
    }

    /// 406 `NotAcceptable`; `accepted` are the media types on offer.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!(
            "only the following media types are accepted: {}",
            accepted.join(", ")
        );
        Self::new(406, "NotAcceptable", message)
    }

    /// 413 `RequestEntityTooLarge`.
    pub fn too_large(limit: usize) -> Self {
        Self::entity_too_large(&format!("limit is {limit}"))
    }

    /// 413 `RequestEntityTooLarge` with the reason.
    pub fn entity_too_large(why: &str) -> Self {
        let message = format!("Request entity too large: {why}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415 `UnsupportedMediaType`; `sent` is the one that was sent, `accepted` are the media types
    /// taken.
    pub fn unsupported_media_type(sent: &str, accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        let message = if sent.contains("patch") {
            format!(
                "the body of the request was in an unknown format - accepted media types include: {list}"
            )
        } else {
            format!(
                "the body of the request was in an unknown format - accepted media types include: {list}, not {sent}"
            )
        };
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422 `Invalid` for a JSON patch that does not fit: the words say as little as those of
    /// Kubernetes, the cause says why.
    pub(crate) fn unprocessable_patch(why: &str) -> Self {
        let message = "the server rejected our request due to an error in our request";
        let causes =
            json!([{"reason": "UnexpectedServerResponse", "message": why, "field": "patch"}]);
        Self::new(422, "Invalid", message).detail("causes", causes)
    }
}
