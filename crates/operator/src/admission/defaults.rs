//! The defaults that need more than a schema.
//!
//! They work on the object as JSON, so that nothing a user wrote, known or not, is lost on the way.

use kube::ResourceExt;
use kubestash_api::shared::{NamespacePolicy, UsagePolicy};
use kubestash_api::storage::{BackupStorage, RetentionPolicy};
use serde_json::{Map, Value, json};

use crate::validation::kinds::Kind;
use crate::validation::{Others, allows};

/// Fills in the defaults of an object.
pub(super) fn apply(kind: Kind, object: &mut Value, others: &Others) {
    let namespace = object
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    match kind {
        Kind::BackupStorage => {
            usage_policy(spec);
            trailing_slashes(spec);
        }
        Kind::RetentionPolicy => {
            usage_policy(spec);
            spec.entry("failedSnapshots")
                .or_insert_with(|| json!({ "last": 1 }));
        }
        Kind::BackupBlueprint | Kind::HookTemplate => usage_policy(spec),
        Kind::BackupConfiguration => backends(spec, &namespace, others),
        Kind::RestoreSession | Kind::Repository => {}
    }
}

fn usage_policy(spec: &mut Map<String, Value>) {
    spec.entry("usagePolicy")
        .or_insert_with(|| json!({ "allowedNamespaces": { "from": "Same" } }));
}

/// One trailing slash is a slip; the store of objects has no directories.
fn trailing_slashes(spec: &mut Map<String, Value>) {
    for (provider, field) in [
        ("s3", "bucket"),
        ("s3", "endpoint"),
        ("s3", "prefix"),
        ("gcs", "bucket"),
        ("gcs", "prefix"),
        ("azure", "prefix"),
    ] {
        let text = spec
            .get_mut("storage")
            .and_then(|storage| storage.get_mut(provider))
            .and_then(|provider| provider.get_mut(field));
        if let Some(Value::String(text)) = text
            && text.ends_with('/')
        {
            text.pop();
        }
    }
}

/// The default storage if no backend is given, the default policy where a backend has none.
fn backends(spec: &mut Map<String, Value>, namespace: &str, others: &Others) {
    let none = spec
        .get("backends")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty);
    if none {
        let Some(storage) = default_storage(namespace, others) else {
            return;
        };
        spec.insert("backends".to_owned(), json!([{ "storageRef": storage }]));
    }
    let Some(backends) = spec.get_mut("backends").and_then(Value::as_array_mut) else {
        return;
    };
    for backend in backends.iter_mut().filter_map(Value::as_object_mut) {
        if backend.get("retentionPolicy").is_none_or(Value::is_null) {
            let Some(policy) = default_policy(namespace, others) else {
                return;
            };
            backend.insert("retentionPolicy".to_owned(), policy);
        }
    }
}

fn default_storage(namespace: &str, others: &Others) -> Option<Value> {
    let defaults = others.storages.iter().filter(|storage| {
        storage.spec.default == Some(true) && storage.metadata.deletion_timestamp.is_none()
    });
    let describe = |storage: &BackupStorage| {
        (
            storage.namespace().unwrap_or_default(),
            storage.name_any(),
            storage.spec.usage_policy.clone(),
        )
    };
    choose(namespace, others, defaults.map(|storage| describe(storage)))
}

fn default_policy(namespace: &str, others: &Others) -> Option<Value> {
    let defaults = others.policies.iter().filter(|policy| {
        policy.spec.default == Some(true) && policy.metadata.deletion_timestamp.is_none()
    });
    let describe = |policy: &RetentionPolicy| {
        (
            policy.namespace().unwrap_or_default(),
            policy.name_any(),
            policy.spec.usage_policy.clone(),
        )
    };
    choose(namespace, others, defaults.map(|policy| describe(policy)))
}

/// The nearest default that may be used: of the own namespace with `from: Same`, then one whose
/// selector matches, then one for all. Of several, the first by namespace and name.
fn choose(
    namespace: &str,
    others: &Others,
    candidates: impl Iterator<Item = (String, String, Option<UsagePolicy>)>,
) -> Option<Value> {
    let rank = |policy: &Option<UsagePolicy>| match policy
        .as_ref()
        .and_then(|policy| policy.allowed_namespaces.as_ref())
        .map(|allowed| allowed.from)
    {
        None | Some(NamespacePolicy::Same) => 0,
        Some(NamespacePolicy::Selector) => 1,
        Some(NamespacePolicy::All) => 2,
    };
    candidates
        .filter(|(owner, _, policy)| {
            allows(policy.as_ref(), owner, namespace, &others.namespace_labels)
        })
        .min_by(|left, right| {
            (rank(&left.2), &left.0, &left.1).cmp(&(rank(&right.2), &right.0, &right.1))
        })
        .map(|(namespace, name, _)| json!({ "name": name, "namespace": namespace }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn defaulted(kind: Kind, spec: Value, others: &Others) -> Value {
        let mut object = json!({"metadata": {"name": "x", "namespace": "demo"}, "spec": spec});
        apply(kind, &mut object, others);
        object["spec"].clone()
    }

    #[test]
    fn objects_are_for_their_own_namespace_unless_told() {
        let same = json!({"allowedNamespaces": {"from": "Same"}});
        for kind in [
            Kind::BackupStorage,
            Kind::BackupBlueprint,
            Kind::HookTemplate,
        ] {
            assert_eq!(
                defaulted(kind, json!({}), &Others::default()),
                json!({"usagePolicy": same})
            );
            let all = json!({"usagePolicy": {"allowedNamespaces": {"from": "All"}}});
            assert_eq!(defaulted(kind, all.clone(), &Others::default()), all);
        }
        assert_eq!(
            defaulted(Kind::RetentionPolicy, json!({}), &Others::default()),
            json!({"usagePolicy": same, "failedSnapshots": {"last": 1}})
        );
    }

    #[test]
    fn one_trailing_slash_is_taken_off() {
        let usage = json!({"allowedNamespaces": {"from": "Same"}});
        let before = json!({"usagePolicy": usage, "unknown": 1, "storage": {
            "s3": {"bucket": "b/", "endpoint": "https://e/", "prefix": "p//", "region": "r/"},
            "gcs": {"bucket": "b", "prefix": "p/"}, "azure": {"prefix": "p/", "container": "c/"}}});
        let after = json!({"usagePolicy": usage, "unknown": 1, "storage": {
            "s3": {"bucket": "b", "endpoint": "https://e", "prefix": "p/", "region": "r/"},
            "gcs": {"bucket": "b", "prefix": "p"}, "azure": {"prefix": "p", "container": "c/"}}});
        assert_eq!(
            defaulted(Kind::BackupStorage, before, &Others::default()),
            after
        );
    }

    fn storage(namespace: &str, name: &str, from: &str) -> Arc<BackupStorage> {
        let selector = json!({"matchLabels": {"team": "data"}});
        let storage = json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"default": true, "usagePolicy": {"allowedNamespaces": {"from": from, "selector": selector}}},
        });
        Arc::new(serde_json::from_value(storage).unwrap())
    }

    #[test]
    fn the_nearest_default_is_taken() {
        let same = storage("demo", "same", "Same");
        let foreign = storage("other", "foreign", "Same");
        let chosen = storage("other", "chosen", "Selector");
        let own_for_all = storage("demo", "own-for-all", "All");
        let labels = [("team".to_owned(), "data".to_owned())];
        let cases = [
            (vec![&own_for_all, &chosen, &same], true, Some("same")),
            // One of the own namespace that is for all comes last, even after a match elsewhere.
            (vec![&own_for_all, &chosen], true, Some("chosen")),
            (vec![&own_for_all, &chosen], false, Some("own-for-all")),
            (vec![&foreign], true, None),
        ];
        for (storages, labelled, expected) in cases {
            let others = Others {
                storages: storages.into_iter().cloned().collect(),
                namespace_labels: if labelled {
                    labels.clone().into()
                } else {
                    [].into()
                },
                ..Others::default()
            };
            let spec = defaulted(Kind::BackupConfiguration, json!({}), &others);
            let name = spec
                .pointer("/backends/0/storageRef/name")
                .and_then(Value::as_str);
            assert_eq!(name, expected);
        }
    }

    #[test]
    fn each_backend_without_a_policy_gets_the_default_one() {
        let policy = json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
            "metadata": {"name": "p", "namespace": "demo"}, "spec": {"default": true},
        });
        let others = Others {
            policies: vec![Arc::new(serde_json::from_value(policy).unwrap())],
            ..Others::default()
        };
        let spec =
            json!({"backends": [{"name": "a"}, {"name": "b", "retentionPolicy": {"name": "own"}}]});
        assert_eq!(
            defaulted(Kind::BackupConfiguration, spec, &others),
            json!({"backends": [
                {"name": "a", "retentionPolicy": {"name": "p", "namespace": "demo"}},
                {"name": "b", "retentionPolicy": {"name": "own"}},
            ]})
        );
    }
}
