//! `meta.k8s.io/v1` Status: every refusal of the API in the form that clients take apart.
//!
//! Invariant: `code`, `reason` and `message` agree with each other as in Kubernetes, because clients branch on
//! any of the three.

use crate::field::FieldError;
use crate::resource::ResourceInfo;
use serde_json::Value;

/// A refusal (or, rarely, a success without an object).
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Reason such as `NotFound`; empty when Kubernetes gives none.
    pub reason: &'static str,
    /// Message for people.
    pub message: String,
    /// `details`: `name`, `group`, `kind` (the plural), `uid`, `causes`, `retryAfterSeconds`.
    pub details: Option<Value>,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Status {
    /// The object to send: `{"kind":"Status","apiVersion":"v1",…}`.
    pub fn to_value(&self) -> Value {
        todo!()
    }
    /// 200 `Success`, as a deletion answers when the object is gone at once. `uid` is that of the object.
    pub fn deleted(resource: &ResourceInfo, name: &str, uid: &str) -> Value {
        let _ = (resource, name, uid);
        todo!()
    }
    /// 404 `backupstorages.storage.kubestash.com "x" not found`.
    pub fn not_found(resource: &ResourceInfo, name: &str) -> Self {
        let _ = (resource, name);
        todo!()
    }
    /// 404 for a path that is not served: `the server could not find the requested resource`.
    pub fn no_such_path() -> Self {
        todo!()
    }
    /// 409 `AlreadyExists`.
    pub fn already_exists(resource: &ResourceInfo, name: &str) -> Self {
        let _ = (resource, name);
        todo!()
    }
    /// 409 `AlreadyExists` of a `generateName` that collided.
    pub fn generate_name_conflict(resource: &ResourceInfo, name: &str) -> Self {
        let _ = (resource, name);
        todo!()
    }
    /// 409 `Conflict`: the resourceVersion sent is not the current one (“the object has been modified; …”).
    pub fn modified(resource: &ResourceInfo, name: &str) -> Self {
        let _ = (resource, name);
        todo!()
    }
    /// 409 `Conflict` for another reason, such as a failed precondition: `Operation cannot be fulfilled on …: {why}`.
    pub fn conflict(resource: &ResourceInfo, name: &str, why: &str) -> Self {
        let _ = (resource, name, why);
        todo!()
    }
    /// 422 `Invalid` with one cause for each error; `kind` is the kind (`BackupStorage`), group that of the resource.
    pub fn invalid(resource: &ResourceInfo, name: &str, errors: &[FieldError]) -> Self {
        let _ = (resource, name, errors);
        todo!()
    }
    /// 400 `BadRequest`.
    pub fn bad_request(message: impl Into<String>) -> Self {
        let _ = message.into();
        todo!()
    }
    /// 401 `Unauthorized`.
    pub fn unauthorized() -> Self {
        todo!()
    }
    /// 403 `Forbidden`: `secrets "x" is forbidden: {why}`.
    pub fn forbidden(resource: &ResourceInfo, name: &str, why: &str) -> Self {
        let _ = (resource, name, why);
        todo!()
    }
    /// 403 of RBAC: `… is forbidden: User "u" cannot get resource "secrets" in API group "" in the namespace "n"`.
    /// `resource` may carry a subresource (`pods/log`).
    pub fn rbac_denied(
        user: &str,
        verb: &str,
        group: &str,
        resource: &str,
        name: &str,
        namespace: Option<&str>,
    ) -> Self {
        let _ = (user, verb, group, resource, name, namespace);
        todo!()
    }
    /// 403 of RBAC for a path that is no resource.
    pub fn rbac_denied_path(user: &str, verb: &str, path: &str) -> Self {
        let _ = (user, verb, path);
        todo!()
    }
    /// 403 for creating something in a namespace that is being deleted, with the cause `NamespaceTerminating`.
    pub fn namespace_terminating(resource: &ResourceInfo, name: &str, namespace: &str) -> Self {
        let _ = (resource, name, namespace);
        todo!()
    }
    /// A webhook's refusal: `admission webhook "w" denied the request: {why}`, with the webhook's code and reason when
    /// it gave them (`denial` is `response.status` of the AdmissionReview).
    pub fn webhook_denied(webhook: &str, denial: Option<&Value>) -> Self {
        let _ = (webhook, denial);
        todo!()
    }
    /// 500 for a webhook that could not be called and whose failurePolicy is Fail.
    pub fn webhook_failed(webhook: &str, why: &str) -> Self {
        let _ = (webhook, why);
        todo!()
    }
    /// 410 `Expired`: a watch or a `resourceVersionMatch` older than what is kept.
    pub fn expired(message: impl Into<String>) -> Self {
        let _ = message.into();
        todo!()
    }
    /// 410 of a watch whose resourceVersion is too old: `too old resource version: 3 (10)`.
    pub fn too_old_resource_version(requested: u64, oldest: u64) -> Self {
        let _ = (requested, oldest);
        todo!()
    }
    /// 504 `Timeout` with the cause `ResourceVersionTooLarge`: the resourceVersion is not reached yet.
    pub fn too_large_resource_version(requested: u64, current: u64) -> Self {
        let _ = (requested, current);
        todo!()
    }
    /// 405 `MethodNotAllowed`.
    pub fn method_not_allowed(resource: &ResourceInfo, verb: &str) -> Self {
        let _ = (resource, verb);
        todo!()
    }
    /// 406 `NotAcceptable`; `accepted` are the media types on offer.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let _ = accepted;
        todo!()
    }
    /// 413 `RequestEntityTooLarge`.
    pub fn too_large(limit: usize) -> Self {
        let _ = limit;
        todo!()
    }
    /// 415 `UnsupportedMediaType`; `accepted` are the media types taken.
    pub fn unsupported_media_type(sent: &str, accepted: &[&str]) -> Self {
        let _ = (sent, accepted);
        todo!()
    }
    /// 504 `Timeout`.
    pub fn timeout(message: impl Into<String>) -> Self {
        let _ = message.into();
        todo!()
    }
    /// 500 `InternalError`.
    pub fn internal(message: impl Into<String>) -> Self {
        let _ = message.into();
        todo!()
    }
}
