//! How an object is addressed: group, resource, namespace and name, and the text form on disk.
//!
//! None of the four parts may hold a `/` (names are path segments), so the text form is unambiguous
//! and sorts first by resource, then by namespace, then by name.

use std::fmt;
use std::sync::Arc;

/// An API resource without its version, as `jobs.batch`: all versions of it share one store.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Plural resource name, as in URLs.
    pub resource: Arc<str>,
}

impl GroupResource {
    /// The resource `resource` of the API group `group` (empty for core).
    pub fn new(group: &str, resource: &str) -> Self {
        Self {
            group: group.into(),
            resource: resource.into(),
        }
    }

    /// Whether this is the resource `resource` of `group`.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        &*self.group == group && &*self.resource == resource
    }
}

/// `secrets`, `jobs.batch`: the form Kubernetes uses in messages.
impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.resource)
        } else {
            write!(f, "{}.{}", self.resource, self.group)
        }
    }
}

impl fmt::Debug for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Namespace and name of one object among those of its resource; cluster-scoped objects have an
/// empty namespace.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ObjectName {
    /// Namespace, empty when cluster-scoped.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// The full address of one object.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key {
    /// Which resource.
    pub resource: GroupResource,
    /// Which of its objects.
    pub object: ObjectName,
}

impl Key {
    /// The object `namespace`/`name` of `resource`; the namespace is empty when cluster-scoped.
    pub fn new(resource: &GroupResource, namespace: &str, name: &str) -> Self {
        Self {
            resource: resource.clone(),
            object: ObjectName {
                namespace: namespace.into(),
                name: name.into(),
            },
        }
    }

    /// Namespace, empty when cluster-scoped.
    pub fn namespace(&self) -> &str {
        &self.object.namespace
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.object.name
    }

    /// The key on disk: `group/resource/namespace/name`.
    pub(crate) fn encode(&self) -> String {
        format!(
            "{}/{}/{}/{}",
            self.resource.group, self.resource.resource, self.object.namespace, self.object.name
        )
    }

    /// Reads back what [`Key::encode`] wrote.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '/');
        let (group, resource) = (parts.next()?, parts.next()?);
        let (namespace, name) = (parts.next()?, parts.next()?);
        Some(Self::new(
            &GroupResource::new(group, resource),
            namespace,
            name,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_way_to_disk_and_back() {
        for (group, resource, namespace, name) in [
            ("", "secrets", "demo", "a"),
            ("", "namespaces", "", "demo"),
            ("rbac.authorization.k8s.io", "clusterroles", "", "system:a"),
        ] {
            let key = Key::new(&GroupResource::new(group, resource), namespace, name);
            assert_eq!(Key::decode(&key.encode()), Some(key));
        }
        assert_eq!(Key::decode("a/b/c"), None);
    }
}
