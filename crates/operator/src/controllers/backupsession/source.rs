//! Where the data of a target comes from, with what there is of it: the way is [`target`]'s.
//!
//! ```text
//!   Druid ────────────────► spec.metadataStorage ─► AppBinding of the metadata store ─► Secret
//!   AppBinding of a Druid ─► Druid ─► as above
//!   AppBinding, or the one of a kubedb.com database ──────────────────────────────────► Secret
//! ```
//! It is the way that the executor goes. What lies beside it, such as a Druid's own AppBinding and
//! Secret, is not on it, and the executor gets no right to read it.

use std::sync::Arc;

use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::Druid;
use kubestash_api::shared::TypedObjectReference;
use kubestash_domain::target::{self, APPCATALOG, KUBEDB, Key, Secrets};

use crate::jobs::Access;

const READ: &[&str] = &["get"];

/// The way to a target's data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// The Druid on the way.
    pub druid: Option<Key>,
    /// Whether that Druid does not exist, so that the way ends there.
    pub druid_missing: bool,
    /// AppBindings on the way, each with what it says if it exists; the last one leads to the
    /// data.
    pub bindings: Vec<(Key, Option<Arc<AppBinding>>)>,
    /// Version of the target.
    pub version: Option<String>,
}

impl Source {
    /// Finds the way to `named`, a target which is seen from `namespace`. `druid` is the Druid, if
    /// the target is one and exists.
    pub(crate) fn find(
        named: &TypedObjectReference,
        namespace: &str,
        druid: Option<&Druid>,
        binding: impl Fn(&Key) -> Option<Arc<AppBinding>>,
    ) -> Self {
        let own = Key::new(named.namespace_or(namespace), named.name.clone());
        let own_binding = binding(&own);
        let version = own_binding
            .as_ref()
            .and_then(|found| found.spec.version.clone());
        if !target::is_druid(named) {
            return Self {
                bindings: vec![(own, own_binding)],
                version,
                ..Self::default()
            };
        }
        let store = druid.map(target::metadata_store);
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
    pub(crate) fn begun_at(mut self, binding: Arc<AppBinding>) -> Self {
        let name = Key::new(binding.namespace().unwrap_or_default(), binding.name_any());
        self.bindings.insert(0, (name, Some(binding)));
        self
    }

    /// The objects on the way, in order, each with its group and kind.
    #[must_use]
    pub(crate) fn steps(&self) -> Vec<TypedObjectReference> {
        let step = |group: &str, kind: &str, named: &Key| {
            TypedObjectReference::new(group, kind, &named.name, &named.namespace)
        };
        let binding = |(named, _): &(Key, Option<Arc<AppBinding>>)| {
            step(&AppBinding::group(&()), &AppBinding::kind(&()), named)
        };
        let Some(druid) = &self.druid else {
            return self.bindings.iter().map(binding).collect();
        };
        // Behind the Druid is its metadata store, and before it the binding that the way begins at,
        // if it does.
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
    pub(crate) fn secrets(&self) -> Vec<Key> {
        let Some((_, Some(binding))) = self.bindings.last() else {
            return Vec::new();
        };
        Secrets::of(binding).all().collect()
    }

    /// Lets a Job read what is on the way, and nothing beside it.
    pub(crate) fn allow(&self, access: &mut Access) {
        for (binding, _) in &self.bindings {
            let (namespace, name) = (&binding.namespace, &binding.name);
            access.one(namespace, APPCATALOG, "appbindings", READ, name);
        }
        if let Some(druid) = &self.druid {
            access.one(&druid.namespace, KUBEDB, "druids", READ, &druid.name);
        }
        for secret in self.secrets() {
            access.one(&secret.namespace, "", "secrets", READ, &secret.name);
        }
    }

    /// The objects on the way that do not exist, as text.
    #[must_use]
    pub(crate) fn missing(&self) -> Vec<String> {
        let text = |kind: &str, name: &Key| format!("{kind} {}/{}", name.namespace, name.name);
        let druid = self.druid.iter().filter(|_| self.druid_missing);
        let bindings = self.bindings.iter().filter(|(_, found)| found.is_none());
        druid
            .map(|name| text("Druid", name))
            .chain(bindings.map(|(name, _)| text("AppBinding", name)))
            .collect()
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

    fn binding(name: &Key) -> Option<Arc<AppBinding>> {
        let binding = json!({"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
            "metadata": {"name": name.name, "namespace": name.namespace},
            "spec": {"clientConfig": {}, "secret": {"name": format!("{}-auth", name.name)}, "version": "30.0.0"}});
        Some(Arc::new(serde_json::from_value(binding).unwrap()))
    }

    fn druid_target() -> TypedObjectReference {
        TypedObjectReference::new("kubedb.com", "Druid", "d", "demo")
    }

    fn names(source: &Source) -> Vec<Key> {
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
            assert_eq!(source.druid, Some(Key::new("demo", "d")));
            assert_eq!(names(&source), [Key::new(namespace, name)]);
            assert_eq!(
                source.secrets(),
                [Key::new(namespace, format!("{name}-auth"))]
            );
            assert_eq!(source.version.as_deref(), Some("30.0.0"));
        }
    }

    #[test]
    fn the_binding_of_a_druid_leads_to_the_druid() {
        let mut own = binding(&Key::new("demo", "d")).unwrap().as_ref().clone();
        assert_eq!(target::druid_of(&own), None);
        own.spec.app_ref = Some(TypedObjectReference {
            namespace: None,
            ..druid_target()
        });
        assert_eq!(target::druid_of(&own), Some(druid_target()));
        let druid = druid(json!({}));
        let source =
            Source::find(&druid_target(), "demo", Some(&druid), binding).begun_at(Arc::new(own));
        assert_eq!(
            names(&source),
            [Key::new("demo", "d"), Key::new("demo", "d-mysql-metadata")]
        );
        assert_eq!(
            source.secrets(),
            [Key::new("demo", "d-mysql-metadata-auth")]
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
