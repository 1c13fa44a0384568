use super::*;
use proptest::prelude::*;
use serde_json::json;

fn schema() -> Schema {
    Schema::compile(&json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "replicas": {"type": "integer"},
                    "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
                    "args": {"type": "array", "items": {"type": "string"}},
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    "options": {"type": "object", "additionalProperties": {"type": "string"}},
                    "containers": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "properties": {"name": {"type": "string"}, "image": {"type": "string"}, "port": {"type": "integer"}},
                        },
                    },
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    }))
    .unwrap()
}

fn writer(manager: &str, second: i64) -> Writer<'_> {
    Writer {
        manager,
        api_version: "demo/v1",
        subresource: "",
        now: Timestamp::from_second(second).unwrap(),
    }
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "demo/v1", "kind": "Demo", "metadata": {"name": "x", "namespace": "n"}, "spec": spec})
}

fn applied(live: Option<&Value>, manager: &str, spec: Value) -> Value {
    apply(live, &object(spec), &writer(manager, 1), false, &schema()).unwrap()
}

fn created(manager: &str, spec: Value) -> Value {
    let mut new = object(spec);
    update(None, &mut new, &writer(manager, 0), &schema());
    new
}

#[test]
fn a_first_apply_owns_what_it_says_and_not_the_identity() {
    let result = applied(
        None,
        "a",
        json!({"replicas": 1, "options": {"x": "1"}, "containers": [{"name": "c", "image": "i"}]}),
    );
    assert_eq!(
        result["metadata"]["managedFields"],
        json!([{
            "manager": "a",
            "operation": "Apply",
            "apiVersion": "demo/v1",
            "time": "1970-01-01T00:00:01Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:spec": {
                    "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}}},
                    "f:options": {"f:x": {}},
                    "f:replicas": {},
                },
            },
        }])
    );
}

#[test]
fn applying_the_same_again_changes_nothing_at_all() {
    let spec = json!({"replicas": 1, "tags": ["a", "b"], "containers": [{"name": "c", "image": "i"}], "args": ["x"]});
    let first = applied(None, "a", spec.clone());
    let again = apply(
        Some(&first),
        &object(spec),
        &writer("a", 99),
        false,
        &schema(),
    )
    .unwrap();
    assert_eq!(first, again);
}

#[test]
fn what_is_no_longer_applied_goes_and_what_others_own_stays() {
    let first = applied(
        None,
        "a",
        json!({"replicas": 1, "options": {"x": "1", "y": "2"}, "containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}),
    );
    let second = applied(
        Some(&first),
        "b",
        json!({"options": {"z": "3"}, "containers": [{"name": "d", "port": 7}]}),
    );
    let third = applied(Some(&second), "a", json!({"options": {"x": "1"}}));
    assert_eq!(
        third["spec"],
        json!({"options": {"x": "1", "z": "3"}, "containers": [{"name": "d", "port": 7}]})
    );
    assert_eq!(third["metadata"]["name"], "x");
}

#[test]
fn a_field_of_another_manager_is_a_conflict_unless_it_has_the_same_value_or_force_is_given() {
    let live = created(
        "kubectl-client-side-apply",
        json!({"replicas": 1, "containers": [{"name": "c", "image": "i"}]}),
    );
    let config = object(json!({"replicas": 2}));
    let error = apply(Some(&live), &config, &writer("a", 1), false, &schema()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using demo/v1: .spec.replicas"
    );
    let status = Status::from(error);
    assert_eq!((status.code, status.reason), (409, "Conflict"));
    let forced = apply(Some(&live), &config, &writer("a", 1), true, &schema()).unwrap();
    assert_eq!(forced["spec"]["replicas"], 2);
    let owners = entries::read(&forced).unwrap();
    assert!(
        !owners[1]
            .fields
            .paths()
            .contains(&".spec.replicas".to_owned())
    );

    let same = apply(
        Some(&live),
        &object(json!({"replicas": 1})),
        &writer("a", 1),
        false,
        &schema(),
    )
    .unwrap();
    let shared = entries::read(&same).unwrap();
    assert!(
        shared
            .iter()
            .all(|entry| entry.fields.paths().contains(&".spec.replicas".to_owned()))
    );

    let two = object(json!({"replicas": 2, "containers": [{"name": "c", "image": "other"}]}));
    let error = apply(Some(&live), &two, &writer("a", 1), false, &schema()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"kubectl-client-side-apply\" using demo/v1:\n- .spec.containers[name=\"c\"].image\n- .spec.replicas"
    );
}

#[test]
fn atomic_values_are_replaced_and_owned_whole() {
    let first = applied(
        None,
        "a",
        json!({"selector": {"a": "1"}, "args": ["x", "y"]}),
    );
    let second = applied(
        Some(&first),
        "a",
        json!({"selector": {"b": "2"}, "args": ["z"]}),
    );
    assert_eq!(
        second["spec"],
        json!({"selector": {"b": "2"}, "args": ["z"]})
    );
    assert_eq!(
        entries::read(&second).unwrap()[0].fields.paths(),
        [".spec.args", ".spec.selector"]
    );
}

#[test]
fn an_update_takes_what_it_changes_and_forgets_what_it_removes() {
    let live = applied(
        None,
        "a",
        json!({"replicas": 1, "options": {"x": "1", "y": "2"}}),
    );
    let mut new = live.clone();
    new["spec"]["replicas"] = 5.into();
    new["spec"]["options"] = json!({"x": "1", "z": "3"});
    update(Some(&live), &mut new, &writer("editor", 7), &schema());
    let owners = entries::read(&new).unwrap();
    assert_eq!(owners[0].fields.paths(), [".spec.options.x"]);
    assert_eq!(owners[0].time, "1970-01-01T00:00:01Z");
    assert_eq!(
        owners[1].fields.paths(),
        [".spec.options.z", ".spec.replicas"]
    );
    assert_eq!(owners[1].manager, "editor");
}

#[test]
fn an_update_without_a_change_keeps_every_entry_and_its_time() {
    let live = created("a", json!({"replicas": 1}));
    let mut same = live.clone();
    update(Some(&live), &mut same, &writer("a", 50), &schema());
    assert_eq!(live, same);
    update(Some(&live), &mut same, &writer("b", 50), &schema());
    assert_eq!(live, same);
}

#[test]
fn clients_that_send_the_list_decide_about_it() {
    let live = created("a", json!({"replicas": 1}));
    let mut absent = live.clone();
    absent["metadata"]
        .as_object_mut()
        .unwrap()
        .shift_remove("managedFields");
    update(Some(&live), &mut absent, &writer("b", 9), &schema());
    assert_eq!(absent, live);
    let mut reset = live.clone();
    reset["metadata"]["managedFields"] = json!([]);
    update(Some(&live), &mut reset, &writer("b", 9), &schema());
    assert!(entries::read(&reset).is_none());
}

#[test]
fn undeclared_fields_and_given_managed_fields_are_refused() {
    let error = apply(
        None,
        &object(json!({"foo": 1})),
        &writer("a", 1),
        false,
        &schema(),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to create typed patch object (n/x; demo/v1, Kind=Demo): .spec.foo: field not declared in schema"
    );
    let live = created("a", json!({"replicas": 1}));
    let error = apply(Some(&live), &live, &writer("a", 1), false, &schema()).unwrap_err();
    assert_eq!(error.kind(), "ApplyHasManagedFields");
}

#[test]
fn an_object_that_nobody_kept_book_of_belongs_to_its_past() {
    let live = object(json!({"replicas": 1}));
    let error = apply(
        Some(&live),
        &object(json!({"replicas": 2})),
        &writer("a", 1),
        false,
        &schema(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("before-first-apply"), "{error}");
}

fn spec() -> impl Strategy<Value = Value> {
    let word = || prop::sample::select(vec!["a", "b", "c"]);
    let containers =
        prop::collection::btree_map(word(), (word(), prop::option::of(0_i64..3)), 0..3);
    (
        prop::option::of(0_i64..3),
        prop::collection::btree_map(word(), word(), 0..3),
        prop::collection::btree_set(word(), 0..3),
        prop::collection::vec(word(), 0..3),
        containers,
    )
        .prop_map(|(replicas, options, tags, args, containers)| {
            let containers: Vec<Value> = containers
                .into_iter()
                .map(|(name, (image, port))| match port {
                    Some(port) => json!({"name": name, "image": image, "port": port}),
                    None => json!({"name": name, "image": image}),
                })
                .collect();
            let mut spec =
                json!({"options": options, "tags": tags, "args": args, "containers": containers});
            if let Some(replicas) = replicas {
                spec["replicas"] = replicas.into();
            }
            spec
        })
}

proptest! {
    #[test]
    fn every_apply_is_idempotent_and_its_values_win(first in spec(), second in spec(), third in spec()) {
        let mut live = created("x", first);
        for (manager, spec) in [("a", second), ("b", third)] {
            let config = object(spec);
            let once = apply(Some(&live), &config, &writer(manager, 1), true, &schema()).unwrap();
            let twice = apply(Some(&once), &config, &writer(manager, 2), false, &schema()).unwrap();
            prop_assert_eq!(&once, &twice);
            prop_assert_eq!(&once["spec"]["args"], &config["spec"]["args"]);
            live = once;
        }
    }

    #[test]
    fn applying_nothing_after_something_leaves_what_was_there_before(before in spec(), mine in spec()) {
        let live = created("x", before);
        let Ok(with) = apply(Some(&live), &object(mine), &writer("a", 1), false, &schema()) else { return Ok(()) };
        let without = apply(Some(&with), &json!({"apiVersion": "demo/v1", "kind": "Demo", "metadata": {"name": "x", "namespace": "n"}}), &writer("a", 2), false, &schema()).unwrap();
        prop_assert_eq!(&live["spec"]["options"], &without["spec"]["options"]);
        // Nobody can own a list without items, so an empty one may come back as none.
        let containers = |object: &Value| object["spec"]["containers"].as_array().cloned().unwrap_or_default();
        prop_assert_eq!(containers(&live), containers(&without));
    }
}
