//! `meta.k8s.io/v1` Status: every refusal of the API in the form that clients take apart.
//!
//! Invariant: `code`, `reason` and `message` agree with each other as in Kubernetes, because
//! clients branch on any of the three.

mod admission;
mod authorization;
mod protocol;

use serde_json::{Map, Value, json};

use crate::field::FieldError;
use crate::gofmt::quote;
use crate::resource::ResourceInfo;

/// A refusal.
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
    /// `metadata.continue`: where a list can go on whose token is too old.
    pub continue_token: Option<String>,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let mut details = Map::new();
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                details.insert(key.into(), value.into());
            }
        }
        self.details = (!details.is_empty()).then_some(Value::Object(details));
        self
    }

    fn detail(mut self, key: &str, value: Value) -> Self {
        self.details.get_or_insert_with(|| json!({}))[key] = value;
        self
    }

    /// The object to send: `{"kind":"Status","apiVersion":"v1",…}`.
    pub fn to_value(&self) -> Value {
        let mut status =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"});
        if !self.message.is_empty() {
            status["message"] = self.message.clone().into();
        }
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status["code"] = self.code.into();
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = token.clone().into();
        }
        status
    }

    /// 200 `Success`, as a deletion answers when the object is gone at once. `uid` is that of the
    /// object.
    pub fn deleted(resource: &ResourceInfo, name: &str, uid: &str) -> Value {
        let mut details = json!({"name": name, "kind": resource.plural, "uid": uid});
        if !resource.group.is_empty() {
            details["group"] = resource.group.clone().into();
        }
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
    }

    /// 404 `backupstorages.storage.kubestash.com "x" not found`.
    pub fn not_found(resource: &ResourceInfo, name: &str) -> Self {
        let message = format!("{} {} not found", resource.group_resource(), quote(name));
        Self::new(404, "NotFound", message).about(&resource.group, &resource.plural, name)
    }

    /// 409 `AlreadyExists`.
    pub fn already_exists(resource: &ResourceInfo, name: &str) -> Self {
        let message = format!(
            "{} {} already exists",
            resource.group_resource(),
            quote(name)
        );
        Self::new(409, "AlreadyExists", message).about(&resource.group, &resource.plural, name)
    }

    /// 409 `AlreadyExists` of a `generateName` that collided.
    pub fn generate_name_conflict(resource: &ResourceInfo, name: &str) -> Self {
        let message = format!(
            "{} {} already exists, the server was not able to generate a unique name for the object",
            resource.group_resource(),
            quote(name)
        );
        Self::new(409, "AlreadyExists", message)
            .about(&resource.group, &resource.plural, name)
            .detail("retryAfterSeconds", 1.into())
    }

    /// 409 `Conflict`: the resourceVersion sent is not the current one (“the object has been
    /// modified; …”).
    pub fn modified(resource: &ResourceInfo, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 409 `Conflict` for another reason, such as a failed precondition: `Operation cannot be
    /// fulfilled on …: {why}`.
    pub fn conflict(resource: &ResourceInfo, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {}: {why}",
            resource.group_resource(),
            quote(name)
        );
        Self::new(409, "Conflict", message).about(&resource.group, &resource.plural, name)
    }

    /// 422 `Invalid` with one cause for each error.
    pub fn invalid(resource: &ResourceInfo, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_kind(&resource.group, &resource.kind, name, errors)
    }

    /// 422 `Invalid` about the parameters of a request; `kind` is such as `PatchOptions`.
    pub fn invalid_options(kind: &str, errors: &[FieldError]) -> Self {
        Self::invalid_kind("meta.k8s.io", kind, "", errors)
    }

    fn invalid_kind(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let group_kind = if group.is_empty() {
            kind.to_string()
        } else {
            format!("{kind}.{group}")
        };
        let mut told: Vec<String> = Vec::new();
        for error in errors {
            let text = error.to_string();
            if !told.contains(&text) {
                told.push(text);
            }
        }
        let what = match told.as_slice() {
            [] => String::new(),
            [one] => format!(": {one}"),
            many => format!(": [{}]", many.join(", ")),
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|e| {
                let field = if e.path.is_empty() { "<nil>" } else { &e.path };
                json!({"reason": e.kind.reason(), "message": e.body(), "field": field})
            })
            .collect();
        Self::new(
            422,
            "Invalid",
            format!("{group_kind} {} is invalid{what}", quote(name)),
        )
        .about(group, kind, name)
        .detail("causes", causes.into())
    }

    /// 400 `BadRequest`.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 500 `InternalError`.
    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        let causes = json!([{"message": message}]);
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
        .detail("causes", causes)
    }

    /// 410 `Expired`: a `continue` token or a `resourceVersionMatch` older than what is kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 410 of a watch whose resourceVersion is too old: `too old resource version: 3 (10)`.
    pub fn too_old_resource_version(requested: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {requested} ({oldest})"))
    }

    /// 504 `Timeout` with the cause `ResourceVersionTooLarge`: the resourceVersion is not reached
    /// yet.
    pub fn too_large_resource_version(requested: u64, current: u64) -> Self {
        let cause =
            json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        Self::timeout(format!(
            "Too large resource version: {requested}, current: {current}"
        ))
        .detail("causes", cause)
        .detail("retryAfterSeconds", 1.into())
    }

    /// 504 `Timeout`.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {}", message.into()))
            .detail("retryAfterSeconds", 0.into())
    }

    /// 429 `TooManyRequests`, with a wait.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(429, "TooManyRequests", message)
            .detail("retryAfterSeconds", retry_after_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn resource(group: &str, kind: &str, plural: &str) -> ResourceInfo {
        ResourceInfo {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            list_kind: format!("{kind}List"),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            verbs: Vec::new(),
            subresources: Vec::new(),
        }
    }

    #[test]
    fn each_refusal_has_the_code_reason_and_words_of_kubernetes() {
        let storage = resource("storage.kubestash.com", "BackupStorage", "backupstorages");
        let pod = resource("", "Pod", "pods");
        let two = [
            FieldError::required("spec.a", ""),
            FieldError::forbidden("spec.b", "no"),
        ];
        let cases = [
            (
                Status::not_found(&storage, "x"),
                404,
                "NotFound",
                r#"backupstorages.storage.kubestash.com "x" not found"#,
            ),
            (
                Status::already_exists(&pod, "x"),
                409,
                "AlreadyExists",
                r#"pods "x" already exists"#,
            ),
            (
                Status::modified(&pod, "x"),
                409,
                "Conflict",
                r#"Operation cannot be fulfilled on pods "x": the object has been modified; please apply your changes to the latest version and try again"#,
            ),
            (
                Status::invalid(&storage, "x", &two[..1]),
                422,
                "Invalid",
                r#"BackupStorage.storage.kubestash.com "x" is invalid: spec.a: Required value"#,
            ),
            (
                Status::invalid(&pod, "x", &two),
                422,
                "Invalid",
                r#"Pod "x" is invalid: [spec.a: Required value, spec.b: Forbidden: no]"#,
            ),
            (
                Status::forbidden(&pod, "x", "why"),
                403,
                "Forbidden",
                r#"pods "x" is forbidden: why"#,
            ),
            (
                Status::rbac_denied("u", "get", "", "pods/log", "x", Some("n")),
                403,
                "Forbidden",
                r#"pods "x" is forbidden: User "u" cannot get resource "pods/log" in API group "" in the namespace "n""#,
            ),
            (
                Status::rbac_denied("u", "list", "batch", "jobs", "", None),
                403,
                "Forbidden",
                r#"jobs.batch is forbidden: User "u" cannot list resource "jobs" in API group "batch" at the cluster scope"#,
            ),
            (
                Status::rbac_denied_path("u", "get", "/x"),
                403,
                "Forbidden",
                r#"forbidden: User "u" cannot get path "/x""#,
            ),
            (
                Status::too_old_resource_version(3, 10),
                410,
                "Expired",
                "too old resource version: 3 (10)",
            ),
            (
                Status::too_large_resource_version(9, 5),
                504,
                "Timeout",
                "Timeout: Too large resource version: 9, current: 5",
            ),
            (
                Status::method_not_allowed(&pod, "patch"),
                405,
                "MethodNotAllowed",
                r#"patch is not supported on resources of kind "pods""#,
            ),
            (
                Status::webhook_denied(
                    "w",
                    Some(&json!({"message": "no", "code": 422, "reason": "Invalid"})),
                ),
                422,
                "Invalid",
                r#"admission webhook "w" denied the request: no"#,
            ),
            (
                Status::webhook_denied("w", None),
                400,
                "",
                r#"admission webhook "w" denied the request without explanation"#,
            ),
        ];
        for (status, code, reason, message) in cases {
            assert_eq!(
                (status.code, status.reason, status.message.as_str()),
                (code, reason, message)
            );
        }
    }

    #[test]
    fn causes_point_at_fields() {
        let pod = resource("", "Pod", "pods");
        let status = Status::invalid(&pod, "x", &[FieldError::required("spec.a", "")]).to_value();
        assert_eq!(
            status,
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "Pod \"x\" is invalid: spec.a: Required value", "reason": "Invalid", "code": 422,
                "details": {"name": "x", "kind": "Pod", "causes": [
                    {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.a"}
                ]}
            })
        );
    }
}
