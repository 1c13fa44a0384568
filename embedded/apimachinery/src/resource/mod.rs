//! What the API server knows about a served resource, as data.
//!
//! Invariant: one `ResourceInfo` describes one version of one resource; discovery, OpenAPI, error
//! messages and the strategies are all derived from it, so they cannot disagree.

mod builtins;
mod custom;

use serde_json::Value;

/// One version of one served resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceInfo {
    /// API group, empty for the core group.
    pub group: String,
    /// Version, such as `v1`.
    pub version: String,
    /// Kind, such as `Pod`.
    pub kind: String,
    /// Kind of a list, such as `PodList`.
    pub list_kind: String,
    /// Plural name as in URLs, such as `pods`.
    pub plural: String,
    /// Singular name, such as `pod`.
    pub singular: String,
    /// Short names, such as `po`.
    pub short_names: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Verbs served on the resource itself.
    pub verbs: Vec<String>,
    /// Subresources that are served.
    pub subresources: Vec<SubresourceInfo>,
}

/// One subresource of a resource, such as `status` or `log`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubresourceInfo {
    /// Name as the last path segment, such as `status`.
    pub name: String,
    /// Group of the kind exchanged; empty together with `version` when it is that of the resource.
    pub group: String,
    /// Version of the kind exchanged; empty when it is that of the resource.
    pub version: String,
    /// Kind exchanged, such as `TokenRequest` for `serviceaccounts/token`, else the resource's
    /// own.
    pub kind: String,
    /// Verbs served on the subresource.
    pub verbs: Vec<String>,
}

impl ResourceInfo {
    /// `group/version`, or only the version for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural.group`, or only the plural for the core group: how Kubernetes names a resource in
    /// errors.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `Kind.group`, or only the kind for the core group: how Kubernetes names a kind in errors.
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    /// Whether the resource has the named subresource.
    pub fn has_subresource(&self, name: &str) -> bool {
        self.subresources.iter().any(|s| s.name == name)
    }

    /// The built-in kinds that the embedded API server serves, with the verbs, short names and
    /// categories of real Kubernetes.
    pub fn builtins() -> Vec<ResourceInfo> {
        builtins::builtins()
    }

    /// The served versions of a CustomResourceDefinition, the names taken from
    /// `status.acceptedNames` where present and from `spec.names` otherwise. A malformed CRD
    /// gives an empty list.
    pub fn from_crd(crd: &Value) -> Vec<ResourceInfo> {
        custom::from_crd(crd)
    }
}
