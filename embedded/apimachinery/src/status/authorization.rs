//! Who is it, and may they.

use serde_json::json;

use super::Status;
use crate::gofmt::quote;
use crate::resource::ResourceInfo;

impl Status {
    /// 401 `Unauthorized`.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 `Forbidden`: `secrets "x" is forbidden: {why}`.
    pub fn forbidden(resource: &ResourceInfo, name: &str, why: &str) -> Self {
        Self::forbidden_resource(&resource.group, &resource.plural, name, why)
    }

    fn forbidden_resource(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let resource = if group.is_empty() {
            plural.to_string()
        } else {
            format!("{plural}.{group}")
        };
        let message = match (resource.as_str(), name) {
            ("", _) => format!("forbidden: {why}"),
            (resource, "") => format!("{resource} is forbidden: {why}"),
            (resource, name) => format!("{resource} {} is forbidden: {why}", quote(name)),
        };
        Self::new(403, "Forbidden", message).about(group, plural, name)
    }

    /// 403 of RBAC: `… is forbidden: User "u" cannot get resource "secrets" in API group "" in the
    /// namespace "n"`. `resource` may carry a subresource (`pods/log`).
    pub fn rbac_denied(
        user: &str,
        verb: &str,
        group: &str,
        resource: &str,
        name: &str,
        namespace: Option<&str>,
    ) -> Self {
        let scope = match namespace {
            Some(namespace) => format!("in the namespace {}", quote(namespace)),
            None => "at the cluster scope".to_string(),
        };
        let why = format!(
            "User {} cannot {verb} resource {} in API group {} {scope}",
            quote(user),
            quote(resource),
            quote(group)
        );
        let plural = resource.split('/').next().unwrap_or_default();
        Self::forbidden_resource(group, plural, name, &sanitise(&why))
    }

    /// 403 of RBAC for a path that is no resource.
    pub fn rbac_denied_path(user: &str, verb: &str, path: &str) -> Self {
        let why = format!("User {} cannot {verb} path {}", quote(user), quote(path));
        Self::forbidden_resource("", "", "", &sanitise(&why))
    }

    /// 403 for creating something in a namespace that is being deleted, with the cause
    /// `NamespaceTerminating`.
    pub fn namespace_terminating(resource: &ResourceInfo, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let cause = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace"
        }]);
        Self::forbidden(resource, name, &why).detail("causes", cause)
    }
}

/// What a client sent is not echoed in a form that a browser could take for markup.
fn sanitise(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
