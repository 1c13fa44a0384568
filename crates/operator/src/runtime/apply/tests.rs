use super::*;

#[test]
fn what_the_server_adds_is_no_difference() {
    let live =
        json!({"spec": {"a": 1, "defaulted": true, "list": [{"x": 1, "y": 2}]}, "status": {}});
    assert!(contains(
        &live,
        &json!({"spec": {"a": 1, "list": [{"x": 1}]}})
    ));
    assert!(!contains(&live, &json!({"spec": {"a": 2}})));
    assert!(!contains(
        &live,
        &json!({"spec": {"list": [{"x": 1}, {"x": 2}]}})
    ));
}

#[test]
fn conditions_of_others_are_no_difference_for_who_owns_one_of_them() {
    let live =
        json!({"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]});
    assert!(contains(
        &live,
        &json!({"conditions": [{"type": "B", "status": "True"}]})
    ));
    assert!(!contains(
        &live,
        &json!({"conditions": [{"type": "B", "status": "False"}]})
    ));
    assert!(!contains(
        &live,
        &json!({"conditions": [{"type": "C", "status": "True"}]})
    ));
    assert!(!equal(
        &live,
        &json!({"conditions": [{"type": "B", "status": "True"}]})
    ));
}

#[test]
fn a_field_that_is_no_longer_wanted_is_a_difference_for_its_owner() {
    let live = json!({"phase": "Ready", "error": "x"});
    let desired = json!({"phase": "Ready"});
    assert!(contains(&live, &desired));
    assert!(!equal(&live, &desired));
}

#[test]
fn nothing_null_and_empty_are_the_same() {
    assert!(equal(
        &Value::Null,
        &json!({"conditions": [], "size": null})
    ));
    assert!(equal(&json!({"conditions": []}), &json!({})));
    assert!(contains(&Value::Null, &json!({"labels": {}})));
    assert!(!equal(&Value::Null, &json!({"count": 0})));
}

#[test]
fn what_the_api_server_will_refuse_again_is_told_from_what_may_pass() {
    let says = |code: u16, message: &str| {
        let status = kube::core::Status::failure(message, "Reason").with_code(code);
        let object = kubestash_api::storage::Repository::new("r", Default::default());
        request("apply", &object, kube::Error::Api(Box::new(status)))
    };
    let answered = |code: u16| says(code, "no");
    for code in [400, 403, 404, 413, 422] {
        assert!(answered(code).is_final(), "{code}");
    }
    for code in [408, 409, 429, 500, 503, 504] {
        assert!(!answered(code).is_final(), "{code}");
    }
    assert!(says(500, "etcdserver: request is too large").is_final());
    assert_eq!(
        answered(403).to_string(),
        "failed to apply Repository r: no"
    );
}
