//! From a target to its data: which objects lead to the database, and which Secrets open it. Pure.
//!
//! ```text
//!   Druid ─────────────────► metadata_store ─► AppBinding ─► secrets
//!   AppBinding of a Druid ─► app_of ─► Druid ─► as above
//!   another AppBinding ──────────────────────────────────► secrets
//! ```
//! The one place that knows the way: by it the operator gives an executor its rights, and the
//! executor reads. So neither can read what the other does not expect.

use std::fmt;

use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::{Druid, MetadataStorageType};
use kubestash_api::shared::TypedObjectReference;

/// Group of KubeDB's kinds.
pub const KUBEDB: &str = "kubedb.com";
/// Group of AppBinding.
pub const APPCATALOG: &str = "appcatalog.appscode.com";
/// Kind of a Druid.
const DRUID: &str = "Druid";

/// Namespace and name of an object to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The key of an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether a reference names a Druid, whose data is its metadata store's.
#[must_use]
pub fn is_druid(target: &TypedObjectReference) -> bool {
    target.group() == KUBEDB && target.kind() == DRUID && !target.name.is_empty()
}

/// The object that an AppBinding stands for, with its namespace.
#[must_use]
pub fn app_of(binding: &AppBinding) -> Option<TypedObjectReference> {
    let app = binding.spec.app_ref.as_ref()?;
    Some(TypedObjectReference {
        namespace: Some(app.namespace_or(namespace_of(binding)).to_owned()),
        ..app.clone()
    })
}

/// The Druid that an AppBinding stands for; none if it stands for something else.
#[must_use]
pub fn druid_of(binding: &AppBinding) -> Option<TypedObjectReference> {
    app_of(binding).filter(is_druid)
}

/// The AppBinding of a Druid's metadata store: the one that `spec.metadataStorage` names, else the
/// one that KubeDB makes.
#[must_use]
pub fn metadata_store(druid: &Druid) -> Key {
    let storage = druid.spec.metadata_storage.as_ref();
    let given = |value: Option<&String>| value.filter(|value| !value.is_empty()).cloned();
    let type_ = storage.and_then(|storage| storage.type_);
    let suffix = metadata_suffix(type_.unwrap_or(MetadataStorageType::MySQL));
    let meta = &druid.metadata;
    let named = given(storage.and_then(|storage| storage.name.as_ref()));
    let elsewhere = given(storage.and_then(|storage| storage.namespace.as_ref()));
    Key {
        namespace: elsewhere.unwrap_or_else(|| meta.namespace.clone().unwrap_or_default()),
        name: named
            .unwrap_or_else(|| format!("{}-{suffix}", meta.name.as_deref().unwrap_or_default())),
    }
}

/// What follows the name of a Druid in the name of the metadata store that KubeDB makes for it.
#[must_use]
pub const fn metadata_suffix(of: MetadataStorageType) -> &'static str {
    match of {
        MetadataStorageType::PostgreSQL => "pg-metadata",
        MetadataStorageType::MySQL => "mysql-metadata",
    }
}

/// The Secrets that an AppBinding names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The one with user and password.
    pub credentials: Option<Key>,
    /// The one with certificates.
    pub tls: Option<Key>,
    /// Those whose keys its `secretTransforms` add to the first one.
    pub added: Vec<Key>,
}

impl Secrets {
    /// Those of `binding`.
    #[must_use]
    pub fn of(binding: &AppBinding) -> Self {
        let key = |name: &String| {
            (!name.is_empty()).then(|| Key::new(namespace_of(binding), name.clone()))
        };
        let spec = &binding.spec;
        let transforms = spec.secret_transforms.iter();
        let added = transforms.filter_map(|one| one.add_keys_from.as_ref()?.secret_ref.as_ref());
        Self {
            credentials: spec.secret.as_ref().and_then(|secret| key(&secret.name)),
            tls: spec
                .tls_secret
                .as_ref()
                .and_then(|secret| key(&secret.name)),
            added: added.filter_map(|secret| key(&secret.name)).collect(),
        }
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = Key> {
        let own = self.credentials.into_iter().chain(self.tls);
        own.chain(self.added)
    }
}

fn namespace_of(binding: &AppBinding) -> &str {
    binding.metadata.namespace.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn binding(spec: Value) -> AppBinding {
        serde_json::from_value(json!({
            "apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
            "metadata": {"name": "b", "namespace": "demo"}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn the_druid_of_a_binding_is_one_of_kubedb_and_of_no_other_group() {
        let of = |app: Value| {
            let found = druid_of(&binding(json!({"clientConfig": {}, "appRef": app})));
            found.map(|druid| format!("{}/{}", druid.namespace_or(""), druid.name))
        };
        let here = json!({"apiGroup": "kubedb.com", "kind": "Druid", "name": "d"});
        assert_eq!(of(here), Some("demo/d".to_owned()));
        let there =
            json!({"apiGroup": "kubedb.com", "kind": "Druid", "name": "d", "namespace": "dev"});
        assert_eq!(of(there), Some("dev/d".to_owned()));
        for other in [
            json!({"apiGroup": "druid.stackable.tech", "kind": "Druid", "name": "d"}),
            json!({"apiGroup": "kubedb.com", "kind": "MySQL", "name": "d"}),
            json!({"apiGroup": "kubedb.com", "kind": "Druid", "name": ""}),
            Value::Null,
        ] {
            assert_eq!(of(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn the_metadata_store_is_the_one_that_is_named_or_the_one_that_kubedb_makes() {
        let cases = [
            (Value::Null, "demo/d-mysql-metadata"),
            (json!({"type": "MySQL"}), "demo/d-mysql-metadata"),
            (json!({"type": "PostgreSQL"}), "demo/d-pg-metadata"),
            (
                json!({"name": "", "namespace": ""}),
                "demo/d-mysql-metadata",
            ),
            (
                json!({"name": "x", "namespace": "dev", "type": "PostgreSQL"}),
                "dev/x",
            ),
        ];
        for (storage, expected) in cases {
            let druid: Druid = serde_json::from_value(json!({
                "apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
                "metadata": {"name": "d", "namespace": "demo"}, "spec": {"metadataStorage": storage},
            }))
            .unwrap();
            assert_eq!(metadata_store(&druid).to_string(), expected, "{storage}");
        }
    }

    #[test]
    fn all_secrets_that_a_binding_names_are_known_and_no_others() {
        let spec = json!({
            "clientConfig": {}, "secret": {"name": "auth"}, "tlsSecret": {"name": "tls"},
            "secretTransforms": [
                {"addKeysFrom": {"secretRef": {"name": "more"}}},
                {"renameKey": {"from": "a", "to": "b"}},
                {"addKeysFrom": {"secretRef": {"name": ""}}},
            ],
        });
        let names: Vec<_> = Secrets::of(&binding(spec))
            .all()
            .map(|key| key.to_string())
            .collect();
        assert_eq!(names, ["demo/auth", "demo/tls", "demo/more"]);
        let none = binding(json!({"clientConfig": {}, "secret": {"name": ""}}));
        assert_eq!(Secrets::of(&none), Secrets::default());
    }
}
