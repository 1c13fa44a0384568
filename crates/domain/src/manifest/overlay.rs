//! An existing object as the one that was backed up takes its place.

use serde_json::{Map, Value, json};

use super::Part;

/// What of an object's `metadata` and beside its `spec` stays: its identity, and what its
/// controllers keep there.
const OWN: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "uid",
];

/// The `existing` object with the content of `wanted`, to be sent as an update; none if nothing
/// would change.
///
/// Labels and annotations that only the existing one has stay. So does a database's `spec.init`: it
/// says how the database began, which is over.
#[must_use]
pub fn overlay(existing: &Value, wanted: &Value, part: Part) -> Option<Value> {
    let mut object = wanted.clone();
    for key in OWN {
        if let Some(value) = existing["metadata"].get(key) {
            object["metadata"][key] = value.clone();
        }
    }
    for key in ["labels", "annotations"] {
        let both: Map<String, Value> = [existing, wanted]
            .into_iter()
            .filter_map(|object| object["metadata"][key].as_object())
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !both.is_empty() {
            object["metadata"][key] = json!(both);
        }
    }
    if let Some(status) = existing.get("status") {
        object["status"] = status.clone();
    }
    if part == Part::Database
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
    {
        match existing["spec"].get("init") {
            Some(init) => spec.insert("init".to_owned(), init.clone()),
            None => spec.remove("init"),
        };
    }
    (object != *existing).then_some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_replaced_and_identity_stays() {
        let existing = json!({
            "apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
            "metadata": {
                "name": "d", "namespace": "demo", "uid": "u", "resourceVersion": "7", "finalizers": ["kubedb.com"],
                "labels": {"team": "now", "own": "1"}, "creationTimestamp": "2024-09-19T10:00:00Z",
            },
            "spec": {"version": "30.0.0", "stopped": true, "init": {"initialized": true}},
            "status": {"phase": "Ready"},
        });
        let wanted = json!({
            "apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
            "metadata": {"name": "d", "namespace": "demo", "labels": {"team": "then"}, "annotations": {"a": "b"}},
            "spec": {"version": "28.0.1", "init": {"waitForInitialRestore": true}},
        });
        let expected = json!({
            "apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
            "metadata": {
                "name": "d", "namespace": "demo", "uid": "u", "resourceVersion": "7", "finalizers": ["kubedb.com"],
                "labels": {"team": "then", "own": "1"}, "creationTimestamp": "2024-09-19T10:00:00Z",
                "annotations": {"a": "b"},
            },
            "spec": {"version": "28.0.1", "init": {"initialized": true}},
            "status": {"phase": "Ready"},
        });
        let found = overlay(&existing, &wanted, Part::Database);
        assert_eq!(found.as_ref(), Some(&expected));
        assert_eq!(
            overlay(&expected, &wanted, Part::Database),
            None,
            "nothing left to do"
        );
    }

    #[test]
    fn a_secret_has_the_keys_that_were_backed_up_and_no_other() {
        let existing = json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"password": "bmV3", "more": "eA=="}});
        let wanted =
            json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"password": "b2xk"}});
        assert_eq!(overlay(&existing, &wanted, Part::Auth), Some(wanted));
    }

    #[test]
    fn a_database_that_began_without_a_word_is_not_told_to_wait_afterwards() {
        let existing = json!({"metadata": {}, "spec": {"version": "1"}});
        let wanted = json!({"metadata": {}, "spec": {"version": "1", "init": {"waitForInitialRestore": true}}});
        assert_eq!(overlay(&existing, &wanted, Part::Database), None);
    }
}
