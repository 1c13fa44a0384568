//! Where the data of a target comes from: which objects lead to its database, and which Secrets open it.
//!
//! ```text
//!   Druid ────────────────► spec.metadataStorage ─► AppBinding of the metadata store ─► Secret
//!   AppBinding of a Druid ─► Druid ─► as above
//!   AppBinding, or the one of a kubedb.com database ──────────────────────────────────► Secret
//! ```
//! It is the way that the executor goes. What lies beside it, such as a Druid's own AppBinding and Secret, is not on it,
//! and the executor gets no right to read it.

use std::sync::Arc;

use kube::{Resource, ResourceExt};
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
    /// The Druid on the way.
    pub druid: Option<Named>,
    /// Whether that Druid does not exist, so that the way ends there.
    pub druid_missing: bool,
    /// AppBindings on the way, each with what it says if it exists; the last one leads to the data.
    pub bindings: Vec<(Named, Option<Arc<AppBinding>>)>,
    /// Version of the target.
    pub version: Option<String>,
}

/// The Druid that a binding stands for, as a target; none if it stands for something else.
#[must_use]
pub fn druid_behind(binding: &AppBinding) -> Option<TypedObjectReference> {
    let namespace = binding.namespace().unwrap_or_default();
    let app = binding.spec.app_ref.as_ref().filter(|app| is_druid(app))?;
    Some(TypedObjectReference {
        namespace: Some(app.namespace_or(&namespace).to_owned()),
        ..app.clone()
    })
}

fn is_druid(target: &TypedObjectReference) -> bool {
    target.group() == Druid::group(&()) && target.kind() == Druid::kind(&())
}

impl Source {
    /// Finds the way to `target`, which is seen from `namespace`. `druid` is the Druid, if the target is one and exists.
    pub fn find(
        target: &TypedObjectReference,
        namespace: &str,
        druid: Option<&Druid>,
        binding: impl Fn(&Named) -> Option<Arc<AppBinding>>,
    ) -> Self {
        let own = Named::new(target.namespace_or(namespace), &target.name);
        let own_binding = binding(&own);
        let version = own_binding
            .as_ref()
            .and_then(|found| found.spec.version.clone());
        if !is_druid(target) {
            return Self {
                bindings: vec![(own, own_binding)],
                version,
                ..Self::default()
            };
        }
        let store = druid.map(|druid| metadata_store(druid, &own));
        let of_druid = druid.map(|druid| druid.spec.version.clone());
        Self {
            druid: Some(own),
            druid_missing: druid.is_none(),
            bindings: store
                .into_iter()
                .map(|store| (store.clone(), binding(&store)))
                .collect(),
            version: version.or_else(|| of_druid.filter(|version| !version.is_empty())),
        }
    }

    /// The same way, begun at the binding that stands for its target.
    #[must_use]
    pub fn begun_at(mut self, binding: Arc<AppBinding>) -> Self {
        let name = Named::new(binding.namespace().unwrap_or_default(), binding.name_any());
        self.bindings.insert(0, (name, Some(binding)));
        self
    }

    /// The objects on the way, in order, each with its group and kind.
    #[must_use]
    pub fn steps(&self) -> Vec<TypedObjectReference> {
        let step = |group: &str, kind: &str, named: &Named| {
            TypedObjectReference::new(group, kind, &named.name, &named.namespace)
        };
        let binding = |(named, _): &(Named, Option<Arc<AppBinding>>)| {
            step(&AppBinding::group(&()), &AppBinding::kind(&()), named)
        };
        let Some(druid) = &self.druid else {
            return self.bindings.iter().map(binding).collect();
        };
        // Behind the Druid is its metadata store, and before it the binding that the way begins at, if it does.
        let behind = usize::from(!self.druid_missing).min(self.bindings.len());
        let (before, after) = self.bindings.split_at(self.bindings.len() - behind);
        let druid = step(&Druid::group(&()), &Druid::kind(&()), druid);
        before
            .iter()
            .map(binding)
            .chain([druid])
            .chain(after.iter().map(binding))
            .collect()
    }

    /// The Secrets that open the data.
    #[must_use]
    pub fn secrets(&self) -> Vec<Named> {
        let Some((name, Some(binding))) = self.bindings.last() else {
            return Vec::new();
        };
        let spec = &binding.spec;
        let transforms = spec.secret_transforms.iter();
        let added = transforms
            .filter_map(|transform| transform.add_keys_from.as_ref()?.secret_ref.as_ref());
        let secrets = spec.secret.iter().chain(&spec.tls_secret).chain(added);
        secrets
            .map(|secret| Named::new(&name.namespace, &secret.name))
            .collect()
    }

    /// The objects on the way that do not exist, as text.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let text = |kind: &str, name: &Named| format!("{kind} {}/{}", name.namespace, name.name);
        let druid = self.druid.iter().filter(|_| self.druid_missing);
        let bindings = self.bindings.iter().filter(|(_, found)| found.is_none());
        druid
            .map(|name| text("Druid", name))
            .chain(bindings.map(|(name, _)| text("AppBinding", name)))
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

    fn druid_target() -> TypedObjectReference {
        TypedObjectReference::new("kubedb.com", "Druid", "d", "demo")
    }

    fn names(source: &Source) -> Vec<Named> {
        source
            .bindings
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    }

    #[test]
    fn a_druid_leads_to_its_metadata_store_and_to_nothing_beside_it() {
        let cases = [
            (json!({}), "demo", "d-mysql-metadata"),
            (json!({"type": "PostgreSQL"}), "demo", "d-pg-metadata"),
            (json!({"name": "own", "namespace": "dev"}), "dev", "own"),
        ];
        for (storage, namespace, name) in cases {
            let druid = druid(storage);
            let source = Source::find(&druid_target(), "demo", Some(&druid), binding);
            assert_eq!(source.druid, Some(Named::new("demo", "d")));
            assert_eq!(names(&source), [Named::new(namespace, name)]);
            assert_eq!(
                source.secrets(),
                [Named::new(namespace, format!("{name}-auth"))]
            );
            assert_eq!(source.version.as_deref(), Some("30.0.0"));
        }
    }

    #[test]
    fn the_binding_of_a_druid_leads_to_the_druid() {
        let mut own = binding(&Named::new("demo", "d")).unwrap().as_ref().clone();
        assert_eq!(druid_behind(&own), None);
        own.spec.app_ref = Some(TypedObjectReference {
            namespace: None,
            ..druid_target()
        });
        assert_eq!(druid_behind(&own), Some(druid_target()));
        let druid = druid(json!({}));
        let source =
            Source::find(&druid_target(), "demo", Some(&druid), binding).begun_at(Arc::new(own));
        assert_eq!(
            names(&source),
            [
                Named::new("demo", "d"),
                Named::new("demo", "d-mysql-metadata")
            ]
        );
        assert_eq!(
            source.secrets(),
            [Named::new("demo", "d-mysql-metadata-auth")]
        );
        let steps: Vec<_> = source
            .steps()
            .iter()
            .map(|step| format!("{} {}", step.kind(), step.name))
            .collect();
        assert_eq!(
            steps,
            ["AppBinding d", "Druid d", "AppBinding d-mysql-metadata"]
        );
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let target = TypedObjectReference::new("kubedb.com", "MySQL", "m", "demo");
        let source = Source::find(&target, "demo", None, |_| None);
        assert_eq!(source.druid, None);
        assert_eq!(source.missing(), ["AppBinding demo/m"]);
        assert!(source.secrets().is_empty());
        let source = Source::find(&druid_target(), "demo", None, binding);
        assert_eq!(source.missing(), ["Druid demo/d"]);
    }
}
