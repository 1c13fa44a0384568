//! Where the data of a target comes from: which objects lead to its database, and which Secrets open it.
//!
//! ```text
//!   AppBinding                                       the target itself
//!   kubedb.com database ─► AppBinding of its name
//!   Druid ─► spec.metadataStorage ─► AppBinding of the metadata store
//! ```

use std::sync::Arc;

use kube::ResourceExt;
use kubestash_api::{
    appcatalog::AppBinding,
    kubedb::{Druid, MetadataStorageType},
    shared::TypedObjectReference,
};

/// An object that the executor reads on its way to the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

impl Named {
    fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// The way to a target's data.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The Druid, if the target is one.
    pub druid: Option<Named>,
    /// AppBindings on the way, each with what it says if it exists.
    pub bindings: Vec<(Named, Option<Arc<AppBinding>>)>,
    /// Version of the target.
    pub version: Option<String>,
}

impl Source {
    /// Finds the way to `target`, which is seen from `namespace`. `druid` is the Druid, if the target is one.
    pub fn find(
        target: &TypedObjectReference,
        namespace: &str,
        druid: Option<&Druid>,
        binding: impl Fn(&Named) -> Option<Arc<AppBinding>>,
    ) -> Self {
        let own = Named::new(target.namespace_or(namespace), &target.name);
        let mut names = vec![own.clone()];
        names.extend(druid.map(|druid| metadata_store(druid, &own)));
        let bindings: Vec<_> = names
            .into_iter()
            .map(|name| {
                let found = binding(&name);
                (name, found)
            })
            .collect();
        let version = bindings
            .first()
            .and_then(|(_, found)| found.as_ref()?.spec.version.clone());
        Self {
            druid: (target.kind() == "Druid").then_some(own),
            bindings,
            version: version.or_else(|| {
                druid
                    .map(|druid| druid.spec.version.clone())
                    .filter(|version| !version.is_empty())
            }),
        }
    }

    /// The Secrets that the bindings name.
    pub fn secrets(&self) -> Vec<Named> {
        self.bindings
            .iter()
            .filter_map(|(name, found)| Some((name, found.as_deref()?)))
            .flat_map(|(name, binding)| {
                let spec = &binding.spec;
                let transforms = spec
                    .secret_transforms
                    .iter()
                    .filter_map(|transform| transform.add_keys_from.as_ref()?.secret_ref.as_ref());
                let secrets = spec.secret.iter().chain(&spec.tls_secret).chain(transforms);
                secrets
                    .map(|secret| Named::new(&name.namespace, &secret.name))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The bindings that do not exist, as text.
    pub fn missing(&self) -> Vec<String> {
        self.bindings
            .iter()
            .filter(|(_, found)| found.is_none())
            .map(|(name, _)| format!("AppBinding {}/{}", name.namespace, name.name))
            .collect()
    }
}

/// The AppBinding of a Druid's metadata store: the one that is named, else the one that KubeDB makes.
fn metadata_store(druid: &Druid, own: &Named) -> Named {
    let storage = druid.spec.metadata_storage.as_ref();
    let given = |value: Option<&String>| value.filter(|value| !value.is_empty()).cloned();
    let suffix = match storage.and_then(|storage| storage.type_) {
        Some(MetadataStorageType::PostgreSQL) => "pg-metadata",
        Some(MetadataStorageType::MySQL) | None => "mysql-metadata",
    };
    Named {
        namespace: given(storage.and_then(|storage| storage.namespace.as_ref()))
            .unwrap_or_else(|| own.namespace.clone()),
        name: given(storage.and_then(|storage| storage.name.as_ref()))
            .unwrap_or_else(|| format!("{}-{suffix}", druid.name_any())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn druid(storage: Value) -> Druid {
        serde_json::from_value(json!({"apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
            "metadata": {"name": "d", "namespace": "demo"},
            "spec": {"version": "30.0.0", "metadataStorage": storage}}))
        .unwrap()
    }

    fn binding(name: &Named) -> Option<Arc<AppBinding>> {
        let binding = json!({"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
            "metadata": {"name": name.name, "namespace": name.namespace},
            "spec": {"clientConfig": {}, "secret": {"name": format!("{}-auth", name.name)}, "version": "30.0.0"}});
        Some(Arc::new(serde_json::from_value(binding).unwrap()))
    }

    #[test]
    fn a_druid_leads_to_its_metadata_store() {
        let target = TypedObjectReference::new("kubedb.com", "Druid", "d", "demo");
        let cases = [
            (json!({}), "demo", "d-mysql-metadata"),
            (json!({"type": "PostgreSQL"}), "demo", "d-pg-metadata"),
            (json!({"name": "own", "namespace": "dev"}), "dev", "own"),
        ];
        for (storage, namespace, name) in cases {
            let source = Source::find(&target, "demo", Some(&druid(storage)), binding);
            assert_eq!(source.druid, Some(Named::new("demo", "d")));
            let names: Vec<_> = source
                .bindings
                .iter()
                .map(|(name, _)| name.clone())
                .collect();
            assert_eq!(
                names,
                [Named::new("demo", "d"), Named::new(namespace, name)]
            );
            let secrets = source.secrets();
            assert_eq!(
                secrets,
                [
                    Named::new("demo", "d-auth"),
                    Named::new(namespace, format!("{name}-auth"))
                ]
            );
            assert_eq!(source.version.as_deref(), Some("30.0.0"));
        }
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let target = TypedObjectReference::new("kubedb.com", "MySQL", "m", "demo");
        let source = Source::find(&target, "demo", None, |_| None);
        assert_eq!(source.druid, None);
        assert_eq!(source.missing(), ["AppBinding demo/m"]);
        assert!(source.secrets().is_empty());
    }
}
