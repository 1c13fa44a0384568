//! Repository: a directory that can be one's own, and is no other one's.

use kube::ResourceExt;
use kubestash_api::storage::Repository;
use kubestash_domain::layout;

use super::directories::{container, is_read_back, nested, unusable};
use super::{Others, Violation};

/// Judges a Repository. Its directory never changes, so one that is not new is as good as it was.
#[must_use]
pub(crate) fn repository(object: &Repository, is_new: bool, others: &Others) -> Vec<Violation> {
    const FIELD: &str = "spec.path";
    // What comes back from a storage was there before.
    if !is_new || is_read_back(object) {
        return Vec::new();
    }
    let path = &object.spec.path;
    let mut violations: Vec<_> = unusable(FIELD, path).into_iter().collect();
    let Some(storage) = &object.spec.storage_ref else {
        violations.push(Violation::new(
            "spec.storageRef",
            "no storage reference is given: name the BackupStorage of the Repository",
        ));
        return violations;
    };
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    if let Some(found) = container(&others.repositories, storage, path, (&namespace, &name)) {
        let owner = format!(
            "{}/{}",
            found.namespace().unwrap_or_default(),
            found.name_any()
        );
        violations.push(nested(FIELD, path, &owner, &found.spec.path));
    }
    let same = others.repositories.iter().find(|found| {
        let theirs = found.namespace().unwrap_or_default();
        let is_own = theirs == namespace && found.name_any() == name;
        let same_storage = found.spec.storage_ref.as_ref().is_some_and(|reference| {
            reference.name == storage.name
                && reference.namespace_or(&theirs) == storage.namespace_or(&namespace)
        });
        !is_own && same_storage && layout::same_directory(&found.spec.path, path)
    });
    if let Some(found) = same {
        violations.push(Violation::new(
            FIELD,
            format!(
                "repository {}/{} already exists in the cluster with the same directory {path:?}: \
                 choose a different directory",
                found.namespace().unwrap_or_default(),
                found.name_any()
            ),
        ));
    }
    violations
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn object(namespace: &str, name: &str, path: &str) -> Repository {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"path": path, "storageRef": {"name": "s", "namespace": "demo"}},
        }))
        .unwrap()
    }

    #[test]
    fn a_new_repository_needs_a_directory_apart_from_all_others() {
        let others = Others {
            repositories: vec![
                Arc::new(object("demo", "druid", "demo/sample-druid-2")),
                Arc::new(object("demo", "default-blueprint", "/default-blueprint")),
            ],
            ..Others::default()
        };
        let cases = [
            ("demo/sample-druid-3", vec![]),
            ("/demo/sample-druid-2/inner", vec!["demo/druid"]),
            ("demo", vec!["demo/druid"]),
            ("default-blueprint/", vec!["demo/default-blueprint"]),
            ("default-blueprint-2", vec![]),
            ("/", vec!["root of the storage", "contains"]),
            ("", vec!["root of the storage", "contains"]),
            ("a/../b", vec!["\"..\""]),
        ];
        for (path, expected) in cases {
            let violations = repository(&object("other", "new", path), true, &others);
            assert_eq!(violations.len(), expected.len(), "{path}: {violations:?}");
            for (violation, word) in violations.iter().zip(expected) {
                assert_eq!(violation.field, "spec.path");
                assert!(violation.message.contains(word), "{path}: {violation}");
            }
        }
    }

    #[test]
    fn one_that_is_there_or_comes_back_is_not_refused() {
        let inner = Arc::new(object("demo", "druid", "demo/sample-druid-2"));
        let others = Others {
            repositories: vec![inner],
            ..Others::default()
        };
        let mut outer = object("demo", "outer", "demo");
        assert_eq!(repository(&outer, true, &others).len(), 1);
        assert_eq!(repository(&outer, false, &others), []);
        outer.metadata = serde_json::from_value::<Value>(json!({
            "name": "outer", "namespace": "demo", "annotations": {"kubestash.com/read-back": "true"},
        }))
        .and_then(serde_json::from_value)
        .unwrap();
        assert_eq!(repository(&outer, true, &others), []);
    }
}
