//! What earlier writers left behind.

use super::*;

#[test]
fn kubectl_takes_over_from_its_own_client_side_apply() {
    let last = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "n"}, "spec": {"a": "1"}});
    let mut live = object(json!({"a": "1", "b": 1}));
    live["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": last.to_string()});
    update(
        None,
        &mut live,
        &writer("kubectl-client-side-apply", "", T1),
        &schema(),
    );
    let new = applied(Some(&live), json!({"a": "2"}), "kubectl", T2).unwrap();
    assert_eq!(new["spec"]["a"], "2");
    let annotation =
        new["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
            .as_str()
            .unwrap();
    assert!(annotation.contains(r#""a":"2""#) && annotation.ends_with('\n'));
    assert!(
        applied(Some(&live), json!({"a": "2", "b": 2}), "kubectl", T2)
            .unwrap_err()
            .ends_with(": .spec.b")
    );
    assert!(applied(Some(&live), json!({"a": "2"}), "other", T2).is_err());
}

#[test]
fn an_object_that_nobody_kept_book_of_belongs_to_its_past() {
    let live = object(json!({"a": "1", "b": 1}));
    assert_eq!(
        applied(Some(&live), json!({"a": "2"}), "me", T1).unwrap_err(),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using example.com/v1: .spec.a"
    );
    let new = applied(Some(&live), json!({"a": "1"}), "me", T1).unwrap();
    assert_eq!(
        fields(&new, "before-first-apply"),
        json!({"f:spec": {".": {}, "f:a": {}, "f:b": {}}})
    );
}

#[test]
fn more_than_ten_updaters_are_thrown_together() {
    let mut object = object(json!({}));
    update(None, &mut object, &writer("m00", "", T1), &schema());
    for n in 0..15 {
        let live = object.clone();
        object["spec"]["map"][format!("k{n}")] = json!("v");
        let now = format!("2026-01-01T00:00:{n:02}Z");
        update(
            Some(&live),
            &mut object,
            &writer(&format!("m{n:02}"), "", &now),
            &schema(),
        );
    }
    let managers = object["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(managers.len(), 10);
    assert!(
        fields(&object, "ancient-changes")["f:spec"]["f:map"]
            .get("f:k0")
            .is_some()
    );
}
