//! Refusals by admission webhooks.

use serde_json::Value;

use super::Status;
use crate::gofmt::quote;

/// The reasons that clients know.
const REASONS: &[&str] = &[
    "AlreadyExists",
    "BadRequest",
    "Conflict",
    "Expired",
    "Forbidden",
    "Gone",
    "InternalError",
    "Invalid",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotFound",
    "RequestEntityTooLarge",
    "ServerTimeout",
    "ServiceUnavailable",
    "StoreReadError",
    "Timeout",
    "TooManyRequests",
    "Unauthorized",
    "UnsupportedMediaType",
];

impl Status {
    /// A webhook's refusal: `admission webhook "w" denied the request: {why}`, with the webhook's
    /// code, reason and details when it gave them (`denial` is `response.status` of the
    /// AdmissionReview). A code below 400 becomes 400, and a reason that is none of Kubernetes'
    /// own is left out (it still shows in the message if that was empty).
    pub fn webhook_denied(webhook: &str, denial: Option<&Value>) -> Self {
        let text = |name: &str| {
            denial
                .and_then(|d| d.get(name))
                .and_then(Value::as_str)
                .filter(|t| !t.is_empty())
        };
        let denied = format!("admission webhook {} denied the request", quote(webhook));
        let message = match text("message").or_else(|| text("reason")) {
            Some(why) => format!("{denied}: {why}"),
            None => format!("{denied} without explanation"),
        };
        let code = denial
            .and_then(|d| d.get("code"))
            .and_then(Value::as_u64)
            .and_then(|c| u16::try_from(c).ok());
        let reason = REASONS
            .iter()
            .find(|r| Some(**r) == text("reason"))
            .copied()
            .unwrap_or_default();
        let mut status = Self::new(
            code.filter(|c| (400..600).contains(c)).unwrap_or(400),
            reason,
            message,
        );
        status.details = denial
            .and_then(|d| d.get("details"))
            .filter(|d| d.is_object())
            .cloned();
        status
    }

    /// 500 for a webhook that could not be called and whose failurePolicy is Fail.
    pub fn webhook_failed(webhook: &str, why: &str) -> Self {
        Self::internal(format!("failed calling webhook {}: {why}", quote(webhook)))
    }
}
