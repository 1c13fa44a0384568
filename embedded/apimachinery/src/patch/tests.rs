use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::Schema;

fn pod(containers: Value) -> Value {
    json!({"spec": {"containers": containers}})
}

fn strategic(target: Value, patch: Value) -> std::result::Result<Value, String> {
    let schema = Schema::builtin("", "v1", "Pod").unwrap();
    strategic_merge(&target, &patch, schema).map_err(|e| e.to_string())
}

#[test]
fn strategic_patches_merge_as_documented() {
    let cases = [
        // Maps merge, nulls delete.
        (
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
            json!({"metadata": {"labels": {"b": null, "c": "3"}}}),
            json!({"metadata": {"labels": {"a": "1", "c": "3"}}}),
        ),
        // Lists with a merge key merge by it, in the patch's order; what only the server has stays
        // where it stood.
        (
            pod(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])),
            pod(json!([{"name": "b", "image": "2"}])),
            pod(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}])),
        ),
        (
            pod(json!([{"name": "a"}])),
            pod(json!([{"name": "c"}, {"name": "b"}])),
            pod(json!([{"name": "c"}, {"name": "b"}, {"name": "a"}])),
        ),
        // Atomic lists are replaced.
        (
            pod(json!([{"name": "a", "args": ["1", "2"]}])),
            pod(json!([{"name": "a", "args": ["3"]}])),
            pod(json!([{"name": "a", "args": ["3"]}])),
        ),
        // Sets of scalars are united.
        (
            json!({"metadata": {"finalizers": ["a/a", "b/b"]}}),
            json!({"metadata": {"finalizers": ["c/c", "a/a"]}}),
            json!({"metadata": {"finalizers": ["c/c", "a/a", "b/b"]}}),
        ),
        (
            json!({"metadata": {"finalizers": ["a/a", "b/b"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"]}}),
            json!({"metadata": {"finalizers": ["b/b"]}}),
        ),
        // Directives.
        (
            pod(json!([{"name": "a"}, {"name": "b"}])),
            pod(json!([{"$patch": "delete", "name": "a"}])),
            pod(json!([{"name": "b"}])),
        ),
        (
            pod(json!([{"name": "a"}, {"name": "b"}])),
            pod(json!([{"$patch": "replace"}, {"name": "c"}])),
            pod(json!([{"name": "c"}])),
        ),
        (
            json!({"metadata": {"labels": {"a": "1"}}}),
            json!({"metadata": {"labels": {"$patch": "replace", "b": "2"}}}),
            json!({"metadata": {"labels": {"b": "2"}}}),
        ),
        (
            json!({"metadata": {"labels": {"a": "1"}}}),
            json!({"metadata": {"labels": {"$patch": "delete"}}}),
            json!({"metadata": {"labels": {}}}),
        ),
        (
            json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
            json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}}),
            json!({"spec": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}}),
        ),
        // The order that kubectl apply sends along.
        (
            pod(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}])),
            json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}}),
            pod(json!([{"name": "b"}, {"name": "c"}, {"name": "a"}])),
        ),
        (
            pod(json!([{"name": "a"}, {"name": "b"}])),
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "x"}], "containers": [{"name": "x"}, {"$patch": "delete", "name": "a"}]}}),
            pod(json!([{"name": "b"}, {"name": "x"}])),
        ),
        // Where nothing was, directives mean nothing.
        (
            json!({}),
            json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a"}, {"$patch": "delete", "name": "b"}]}, "metadata": {"labels": {"x": null, "y": "1"}}}),
            json!({"spec": {"containers": [{"name": "a"}]}, "metadata": {"labels": {"y": "1"}}}),
        ),
        // Two keys tell ports apart for ownership, one for patches.
        (
            pod(json!([{"name": "a", "ports": [{"containerPort": 1, "protocol": "TCP"}]}])),
            pod(json!([{"name": "a", "ports": [{"containerPort": 1, "name": "p"}]}])),
            pod(
                json!([{"name": "a", "ports": [{"containerPort": 1, "protocol": "TCP", "name": "p"}]}]),
            ),
        ),
    ];
    for (target, patch, want) in cases {
        assert_eq!(
            strategic(target.clone(), patch.clone()),
            Ok(want),
            "{target} + {patch}"
        );
    }
}

#[test]
fn strategic_patches_that_make_no_sense_are_refused() {
    for patch in [
        pod(json!([{"image": "no name"}])),
        json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}}),
        json!({"spec": {"$retainKeys": ["volumes"], "nodeName": "x"}}),
        json!([]),
    ] {
        assert!(
            strategic(pod(json!([{"name": "a"}])), patch.clone()).is_err(),
            "{patch}"
        );
    }
    let labelled = json!({"metadata": {"labels": {"a": "1"}}});
    assert!(
        strategic(
            labelled,
            json!({"metadata": {"labels": {"$patch": "nonsense"}}})
        )
        .is_err()
    );
}

#[test]
fn json_and_merge_patches_follow_their_rfcs() {
    let target = json!({"a": {"b": [1, 2]}});
    let patched = json_patch(
        &target,
        &json!([{"op": "add", "path": "/a/b/-", "value": 3}, {"op": "remove", "path": "/a/b/0"}]),
    );
    assert_eq!(patched.unwrap(), json!({"a": {"b": [2, 3]}}));
    let failed = json_patch(
        &target,
        &json!([{"op": "test", "path": "/a/b/0", "value": 9}]),
    )
    .unwrap_err();
    let status = Status::from(failed);
    assert_eq!((status.code, status.reason), (422, "Invalid"));
    assert_eq!(
        status.message,
        "the server rejected our request due to an error in our request"
    );
    let malformed = json_patch(&target, &json!([{"op": "fly"}])).unwrap_err();
    assert_eq!(Status::from(malformed).code, 400);
    assert_eq!(
        merge_patch(&target, &json!({"a": {"b": null, "c": 1}})).unwrap(),
        json!({"a": {"c": 1}})
    );
    assert!(merge_patch(&target, &json!([])).is_err());
}

/// Names, so that lists have items in common.
fn containers() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", "[x-z]", 0..4).prop_map(|m| {
        m.into_iter()
            .map(|(name, image)| json!({"name": name, "image": image}))
            .collect()
    })
}

fn labels() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-c]", "[x-z]", 0..3).prop_map(|m| {
        Value::Object(
            m.into_iter()
                .map(|(k, v)| (k, v.into()))
                .collect::<Map<_, _>>(),
        )
    })
}

prop_compose! {
    fn object()(containers in containers(), labels in labels()) -> Value {
        json!({"metadata": {"labels": labels}, "spec": {"containers": containers}})
    }
}

proptest! {
    #[test]
    fn a_strategic_patch_applied_twice_changes_nothing_more(target in object(), patch in object()) {
        let once = strategic(target, patch.clone()).unwrap();
        prop_assert_eq!(strategic(once.clone(), patch).unwrap(), once);
    }

    #[test]
    fn an_object_patched_with_itself_stays_as_it_is(target in object()) {
        prop_assert_eq!(strategic(target.clone(), target.clone()).unwrap(), target);
    }

    #[test]
    fn what_the_patch_says_is_in_the_result(target in object(), patch in object()) {
        let result = strategic(target, patch.clone()).unwrap();
        for container in patch["spec"]["containers"].as_array().unwrap() {
            prop_assert!(result["spec"]["containers"].as_array().unwrap().contains(container));
        }
    }
}

/// Lists as long as a request can carry are merged by looking their items up: item by item, each of
/// these would be thousands of millions of comparisons.
#[test]
fn lists_as_long_as_a_request_are_merged_by_lookup() {
    const ITEMS: usize = 40_000;
    let schema = crate::Schema::builtin("", "v1", "Pod").unwrap();
    let pod = |value: &str| {
        let env: Vec<Value> = (0..ITEMS)
            .map(|n| json!({"name": format!("V{n}"), "value": value}))
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "env": env}]},
        })
    };
    let (old, new) = (pod("old"), pod("new"));
    let merged = super::strategic_merge(&old, &new, schema).unwrap();
    assert_eq!(merged, new);

    let writer = |manager| crate::managed_fields::Writer {
        manager,
        api_version: "v1",
        subresource: "",
        has_status: true,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let applied = crate::managed_fields::apply(None, &old, &writer("a"), false, schema).unwrap();
    let applied = crate::managed_fields::apply(Some(&applied), &new, &writer("a"), false, schema);
    assert_eq!(applied.unwrap()["spec"], new["spec"]);

    let schema = crate::Schema::compile(&json!({"type": "object", "properties": {"spec": {
        "type": "object", "properties": {"list": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "value": {"type": "string"}}},
        }},
    }}}))
    .unwrap();
    let object = |pod: &Value| json!({"spec": {"list": pod["spec"]["containers"][0]["env"]}});
    assert_eq!(
        schema.validate(&object(&new), Some(&object(&old))),
        Vec::new()
    );
}
