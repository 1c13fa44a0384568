use serde_json::{Value, json};

use super::*;
use crate::Schema;

mod history;
mod properties;

const T1: &str = "2026-01-01T00:00:00Z";
const T2: &str = "2026-01-02T00:00:00Z";

fn schema() -> Schema {
    Schema::compile(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "a": {"type": "string"},
            "b": {"type": "integer"},
            "atomic": {"type": "array", "items": {"type": "string"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}, "x": {"type": "string"}, "y": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"p": {"type": "string"}, "q": {"type": "string"}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
        }},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}}
    }}))
    .unwrap()
}

fn writer<'a>(manager: &'a str, subresource: &'a str, now: &str) -> Writer<'a> {
    Writer {
        manager,
        api_version: "example.com/v1",
        subresource,
        has_status: true,
        now: now.parse().unwrap(),
    }
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "n"}, "spec": spec})
}

fn applied(
    live: Option<&Value>,
    spec: Value,
    manager: &str,
    now: &str,
) -> std::result::Result<Value, String> {
    apply(
        live,
        &object(spec),
        &writer(manager, "", now),
        false,
        &schema(),
    )
    .map_err(|e| e.to_string())
}

fn fields(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    entries
        .iter()
        .find(|e| e["manager"] == manager)
        .map_or(Value::Null, |e| e["fieldsV1"].clone())
}

#[test]
fn an_applier_owns_what_it_applies_and_a_second_apply_changes_nothing() {
    let spec = json!({"a": "1", "items": [{"name": "i", "x": "1"}], "map": {"k": "v"}, "whole": {"p": "1"}, "set": ["s"]});
    let first = applied(None, spec.clone(), "me", T1).unwrap();
    assert_eq!(
        first["metadata"]["managedFields"],
        json!([{
            "manager": "me", "operation": "Apply", "apiVersion": "example.com/v1", "time": T1, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {
                "f:a": {},
                "f:items": {"k:{\"name\":\"i\"}": {".": {}, "f:name": {}, "f:x": {}}},
                "f:map": {"f:k": {}},
                "f:set": {"v:\"s\"": {}},
                "f:whole": {}
            }}
        }])
    );
    assert_eq!(applied(Some(&first), spec, "me", T2).unwrap(), first);
}

#[test]
fn changing_anothers_field_is_a_conflict_unless_forced() {
    let live = applied(None, json!({"a": "1", "b": 1}), "alice", T1).unwrap();
    assert_eq!(
        applied(Some(&live), json!({"a": "2"}), "bob", T2).unwrap_err(),
        "Apply failed with 1 conflict: conflict with \"alice\": .spec.a"
    );
    assert_eq!(
        applied(Some(&live), json!({"a": "2", "b": 2}), "bob", T2).unwrap_err(),
        "Apply failed with 2 conflicts: conflicts with \"alice\":\n- .spec.a\n- .spec.b"
    );
    let forced = apply(
        Some(&live),
        &object(json!({"a": "2"})),
        &writer("bob", "", T2),
        true,
        &schema(),
    )
    .unwrap();
    assert_eq!(forced["spec"], json!({"a": "2", "b": 1}));
    assert_eq!(fields(&forced, "alice"), json!({"f:spec": {"f:b": {}}}));
    assert_eq!(fields(&forced, "bob"), json!({"f:spec": {"f:a": {}}}));
    // The same value is no conflict: both own it.
    let shared = applied(Some(&live), json!({"a": "1"}), "bob", T2).unwrap();
    assert_eq!(
        fields(&shared, "alice"),
        json!({"f:spec": {"f:a": {}, "f:b": {}}})
    );
}

#[test]
fn a_conflict_with_an_update_names_its_version_and_subresource() {
    let mut live = object(json!({"a": "1"}));
    update(
        None,
        &mut live,
        &writer("kubectl-create", "", T1),
        &schema(),
    );
    let error = apply(
        Some(&live),
        &object(json!({"a": "2"})),
        &writer("me", "", T2),
        false,
        &schema(),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-create\" using example.com/v1: .spec.a"
    );
    let status = Status::from(error).to_value();
    assert_eq!(
        (status["code"].clone(), status["reason"].clone()),
        (json!(409), json!("Conflict"))
    );
    assert_eq!(
        status["details"]["causes"][0],
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-create\" using example.com/v1", "field": ".spec.a"})
    );
}

#[test]
fn what_is_no_longer_applied_goes_unless_someone_else_owns_it() {
    let cases = [
        (
            json!({"a": "1", "b": 1}),
            json!({"a": "1"}),
            json!({"a": "1"}),
        ),
        (
            json!({"map": {"k": "1", "l": "2"}}),
            json!({"map": {"k": "1"}}),
            json!({"map": {"k": "1"}}),
        ),
        (
            json!({"a": "1", "map": {"k": "1"}}),
            json!({"a": "1"}),
            json!({"a": "1"}),
        ),
        (
            json!({"set": ["x", "y"]}),
            json!({"set": ["y"]}),
            json!({"set": ["y"]}),
        ),
        (
            json!({"items": [{"name": "i", "x": "1"}, {"name": "j"}]}),
            json!({"items": [{"name": "j"}]}),
            json!({"items": [{"name": "j"}]}),
        ),
        (
            json!({"items": [{"name": "i", "x": "1", "y": "2"}]}),
            json!({"items": [{"name": "i", "y": "2"}]}),
            json!({"items": [{"name": "i", "y": "2"}]}),
        ),
        (
            json!({"atomic": ["x", "y"]}),
            json!({"atomic": ["y"]}),
            json!({"atomic": ["y"]}),
        ),
        (
            json!({"whole": {"p": "1", "q": "2"}}),
            json!({"whole": {"q": "2"}}),
            json!({"whole": {"q": "2"}}),
        ),
        (
            json!({"free": {"deep": {"x": 1, "y": 2}}}),
            json!({"free": {"deep": {"y": 2}}}),
            json!({"free": {"deep": {"y": 2}}}),
        ),
    ];
    for (before, after, want) in cases {
        let live = applied(None, before.clone(), "me", T1).unwrap();
        let new = applied(Some(&live), after.clone(), "me", T2).unwrap();
        assert_eq!(new["spec"], want, "{before} -> {after}");
    }
    let mine = applied(
        None,
        json!({"a": "1", "items": [{"name": "i", "x": "1"}]}),
        "me",
        T1,
    )
    .unwrap();
    let both = applied(
        Some(&mine),
        json!({"a": "1", "items": [{"name": "i", "y": "2"}]}),
        "you",
        T1,
    )
    .unwrap();
    let left = applied(Some(&both), json!({}), "me", T2).unwrap();
    assert_eq!(
        left["spec"],
        json!({"a": "1", "items": [{"name": "i", "y": "2"}]})
    );
    assert_eq!(fields(&left, "me"), json!({"f:spec": {}}));
}

#[test]
fn fields_of_the_server_and_of_updaters_outlive_an_apply_that_leaves_them_out() {
    let live = applied(None, json!({"a": "1"}), "me", T1).unwrap();
    let mut scaled = live.clone();
    scaled["spec"]["b"] = json!(3);
    update(
        Some(&live),
        &mut scaled,
        &writer("scaler", "", T1),
        &schema(),
    );
    let new = applied(Some(&scaled), json!({"a": "2"}), "me", T2).unwrap();
    assert_eq!(new["spec"], json!({"a": "2", "b": 3}));
}

#[test]
fn an_updater_owns_what_it_changed_and_its_time_moves_only_then() {
    let mut first = object(json!({"a": "1", "map": {"k": "v"}}));
    update(None, &mut first, &writer("create", "", T1), &schema());
    assert_eq!(
        fields(&first, "create"),
        json!({"f:spec": {".": {}, "f:a": {}, "f:map": {".": {}, "f:k": {}}}})
    );
    let mut same = first.clone();
    update(
        Some(&first),
        &mut same,
        &writer("create", "", T2),
        &schema(),
    );
    assert_eq!(same, first);
    let mut edited = first.clone();
    edited["spec"]["a"] = json!("2");
    update(
        Some(&first),
        &mut edited,
        &writer("edit", "", T2),
        &schema(),
    );
    assert_eq!(
        fields(&edited, "create"),
        json!({"f:spec": {".": {}, "f:map": {".": {}, "f:k": {}}}})
    );
    assert_eq!(fields(&edited, "edit"), json!({"f:spec": {"f:a": {}}}));
    assert_eq!(edited["metadata"]["managedFields"][1]["time"], T2);
    let mut removed = edited.clone();
    removed["spec"].as_object_mut().unwrap().remove("a");
    update(
        Some(&edited),
        &mut removed,
        &writer("create", "", T2),
        &schema(),
    );
    assert_eq!(fields(&removed, "edit"), Value::Null);
}

#[test]
fn a_request_can_reset_or_rewrite_ownership_but_not_lose_it_by_accident() {
    let live = applied(None, json!({"a": "1"}), "me", T1).unwrap();
    let with = |managed: Value| {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = managed;
        update(Some(&live), &mut new, &writer("edit", "", T2), &schema());
        new["metadata"].get("managedFields").cloned()
    };
    assert_eq!(with(json!([])), None);
    assert_eq!(with(json!([{}])), None);
    let mut forgotten = live.clone();
    forgotten["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("managedFields");
    update(
        Some(&live),
        &mut forgotten,
        &writer("edit", "", T2),
        &schema(),
    );
    assert_eq!(forgotten, live);
    let renamed = json!([{"manager": "you", "operation": "Apply", "apiVersion": "example.com/v1", "time": T1, "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:a": {}}}}]);
    assert_eq!(with(renamed.clone()), Some(renamed));
}

#[test]
fn status_and_spec_are_owned_through_their_own_doors() {
    let mut config = object(json!({"a": "1"}));
    config["status"] = json!({"phase": "Ready"});
    let main = apply(None, &config, &writer("me", "", T1), false, &schema()).unwrap();
    assert_eq!(
        (main.get("status"), fields(&main, "me")),
        (None, json!({"f:spec": {"f:a": {}}}))
    );
    config["spec"]["a"] = json!("2");
    let status = apply(
        Some(&main),
        &config,
        &writer("op", "status", T2),
        false,
        &schema(),
    )
    .unwrap();
    assert_eq!(
        (&status["spec"]["a"], &status["status"]["phase"]),
        (&json!("1"), &json!("Ready"))
    );
    let entry = status["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["manager"] == "op")
        .unwrap();
    assert_eq!(
        (&entry["subresource"], &entry["fieldsV1"]),
        (&json!("status"), &json!({"f:status": {"f:phase": {}}}))
    );
}

#[test]
fn lists_keep_the_order_of_the_configuration_and_the_place_of_the_rest() {
    let live = applied(
        None,
        json!({"items": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
        "one",
        T1,
    )
    .unwrap();
    let names = |object: &Value| -> String {
        object["spec"]["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["name"].as_str().unwrap())
            .collect()
    };
    let apply = |list: &str| {
        let items: Vec<Value> = list
            .chars()
            .map(|c| json!({"name": c.to_string()}))
            .collect();
        names(&applied(Some(&live), json!({"items": items}), "two", T2).unwrap())
    };
    for (config, want) in [
        ("b", "abc"),
        ("d", "abcd"),
        ("cb", "acb"),
        ("da", "dabc"),
        ("bd", "abcd"),
        ("cba", "cba"),
    ] {
        assert_eq!(apply(config), want, "{config}");
    }
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_with_the_path() {
    let cases = [
        (json!({"foo": 1}), ".spec.foo: field not declared in schema"),
        (json!({"a": 1}), ".spec.a: expected string, got number"),
        (
            json!({"items": [{"name": "i"}, {"name": "i"}]}),
            r#".spec.items: duplicate entries for key [name="i"]"#,
        ),
        (
            json!({"items": [{"x": "1"}]}),
            r#".spec.items: element 0: associative list with keys has an element that omits key field "name" (and doesn't have default value)"#,
        ),
        (
            json!({"items": [{"name": "i", "z": 1}]}),
            r#".spec.items[name="i"].z: field not declared in schema"#,
        ),
    ];
    for (spec, want) in cases {
        let error = applied(None, spec, "me", T1).unwrap_err();
        assert_eq!(
            error,
            format!(
                "failed to create typed patch object (n/w; example.com/v1, Kind=Widget): {want}"
            )
        );
    }
    let mut config = object(json!({}));
    config["metadata"]["managedFields"] = json!([]);
    assert!(matches!(
        apply(None, &config, &writer("me", "", T1), true, &schema()),
        Err(ApplyError::HasManagedFields)
    ));
}

#[test]
fn built_in_kinds_know_their_own_list_keys() {
    let schema = Schema::builtin("batch", "v1", "Job").unwrap();
    let config = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "labels": {"l": "1"}},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1}], "env": [{"name": "E", "value": "1"}]}]}}}});
    let writer = Writer {
        manager: "me",
        api_version: "batch/v1",
        subresource: "",
        has_status: true,
        now: T1.parse().unwrap(),
    };
    let new = apply(None, &config, &writer, false, schema).unwrap();
    assert_eq!(
        fields(&new, "me"),
        json!({
            "f:metadata": {"f:labels": {"f:l": {}}},
            "f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                ".": {},
                "f:env": {"k:{\"name\":\"E\"}": {".": {}, "f:name": {}, "f:value": {}}},
                "f:name": {},
                "f:ports": {"k:{\"containerPort\":1,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}
            }}}}}
        })
    );
}
