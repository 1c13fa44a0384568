//! References from one object to another.
//!
//! Invariant: a missing namespace always means the namespace of the object that holds the
//! reference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names an object whose kind is known from the field that holds the reference.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Name of the object.
    pub name: String,
    /// Namespace of the object. Without it, the namespace of the object that refers to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl ObjectReference {
    /// A reference to an object of a given namespace.
    #[must_use]
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            namespace: Some(namespace.into()),
        }
    }

    /// The namespace, or that of the referring object. An empty namespace counts as none.
    #[must_use]
    pub fn namespace_or<'a>(&'a self, referrer: &'a str) -> &'a str {
        namespace_or(self.namespace.as_deref(), referrer)
    }

    /// Whether two references of objects in the namespace `referrer` mean the same object.
    #[must_use]
    pub fn same_object(&self, other: &Self, referrer: &str) -> bool {
        self.name == other.name && self.namespace_or(referrer) == other.namespace_or(referrer)
    }
}

/// Names an object of any kind.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct TypedObjectReference {
    /// API group of the object, such as `kubedb.com`. Empty for the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_group: Option<String>,
    /// Kind of the object, such as `Druid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the object.
    pub name: String,
    /// Namespace of the object. Without it, the namespace of the object that refers to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl TypedObjectReference {
    /// A reference to an object of a given group, kind and namespace.
    #[must_use]
    pub fn new(
        api_group: impl Into<String>,
        kind: impl Into<String>,
        name: impl Into<String>,
        namespace: impl Into<String>,
    ) -> Self {
        Self {
            api_group: Some(api_group.into()),
            kind: Some(kind.into()),
            name: name.into(),
            namespace: Some(namespace.into()),
        }
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_group.as_deref().unwrap_or_default()
    }

    /// The kind; empty if none is given.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or_default()
    }

    /// The namespace, or that of the referring object. An empty namespace counts as none.
    #[must_use]
    pub fn namespace_or<'a>(&'a self, referrer: &'a str) -> &'a str {
        namespace_or(self.namespace.as_deref(), referrer)
    }

    /// Whether two references of objects in the namespace `referrer` mean the same object.
    #[must_use]
    pub fn same_object(&self, other: &Self, referrer: &str) -> bool {
        self.group() == other.group()
            && self.kind() == other.kind()
            && self.name == other.name
            && self.namespace_or(referrer) == other.namespace_or(referrer)
    }
}

fn namespace_or<'a>(namespace: Option<&'a str>, referrer: &'a str) -> &'a str {
    namespace
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or(referrer)
}

/// Names an object of any kind in the same namespace.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct TypedLocalObjectReference {
    /// API group of the object. Empty for the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_group: Option<String>,
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
}

/// An object that something depends on, and whether it is there.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ResourceFoundStatus {
    /// API group of the object. Empty for the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_group: Option<String>,
    /// Whether the object exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<bool>,
    /// Kind of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the object.
    pub name: String,
    /// Namespace of the object; absent for a cluster-wide one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
