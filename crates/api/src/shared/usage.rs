//! Which namespaces may use an object of another namespace.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

string_enum! {
    /// How the namespaces that may use an object are chosen.
    #[derive(Default)]
    pub enum NamespacePolicy {
        /// Every namespace may use it.
        All = "All",
        /// Namespaces whose labels match the selector may use it.
        Selector = "Selector",
        /// Only the object's own namespace may use it.
        #[default]
        Same = "Same",
    }
}

/// Who may use an object. Without it, only objects of its own namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsagePolicy {
    /// The namespaces that may use the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

/// The namespaces that may use an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.from) || self.from != 'Selector' || has(self.selector)")
        .message("usagePolicy.allowedNamespaces.selector is missing although 'from' is Selector: \
                  add a label selector ({} matches every namespace), or use 'from: Same' or 'from: All'")
        .field_path(".selector")
)]
pub struct AllowedNamespaces {
    /// `All`, `Same` (only the object's own namespace) or `Selector`.
    #[serde(default)]
    pub from: NamespacePolicy,
    /// Labels of the namespaces that may use the object; only read when `from` is `Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::terse, extend("x-kubernetes-map-type" = "atomic"))]
    pub selector: Option<LabelSelector>,
}
