//! What holds of every object, whatever it is.

use proptest::prelude::*;
use serde_json::Map;

use super::*;

fn spec() -> impl Strategy<Value = Value> {
    let map = prop::collection::btree_map("[k-m]", "[x-z]", 0..3);
    let set = prop::collection::btree_set("[s-v]", 0..3);
    let items = prop::collection::btree_map(
        "[a-d]",
        (prop::option::of("[x-z]"), prop::option::of("[x-z]")),
        0..4,
    );
    (prop::option::of("[x-z]"), map, set, items).prop_map(|(a, map, set, items)| {
        let mut spec = Map::new();
        if let Some(a) = a {
            spec.insert("a".into(), a.into());
        }
        if !map.is_empty() {
            spec.insert("map".into(), json!(map));
        }
        if !set.is_empty() {
            spec.insert("set".into(), json!(set));
        }
        if !items.is_empty() {
            let items = items.into_iter().map(|(name, (x, y))| {
                let mut item = json!({"name": name});
                for (key, value) in [("x", x), ("y", y)] {
                    if let Some(value) = value {
                        item[key] = value.into();
                    }
                }
                item
            });
            spec.insert("items".into(), items.collect());
        }
        Value::Object(spec)
    })
}

proptest! {
    #[test]
    fn an_apply_repeated_equals_the_object_it_made(one in spec(), two in spec()) {
        let schema = schema();
        let first = apply(None, &object(one), &writer("me", "", T1), true, &schema).unwrap();
        let second = apply(Some(&first), &object(two.clone()), &writer("you", "", T1), true, &schema).unwrap();
        let again = apply(Some(&second), &object(two), &writer("you", "", T2), true, &schema).unwrap();
        prop_assert_eq!(again, second);
    }

    #[test]
    fn a_lone_applier_gets_exactly_what_it_applies(one in spec(), two in spec()) {
        let schema = schema();
        let first = apply(None, &object(one), &writer("me", "", T1), false, &schema).unwrap();
        let second = apply(Some(&first), &object(two.clone()), &writer("me", "", T2), false, &schema).unwrap();
        let mut names: Vec<_> = second["spec"].as_object().cloned().unwrap_or_default().into_iter().collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let mut want: Vec<_> = two.as_object().unwrap().clone().into_iter().collect();
        want.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(names, want);
    }

    #[test]
    fn every_applied_leaf_is_in_the_object_and_owned(one in spec(), two in spec()) {
        // To say that there is a spec says nothing of one that is there already.
        prop_assume!(two != json!({}));
        let schema = schema();
        let first = apply(None, &object(one), &writer("me", "", T1), true, &schema).unwrap();
        let second = apply(Some(&first), &object(two.clone()), &writer("you", "", T2), true, &schema).unwrap();
        let root = Some(schema.root());
        let owned = serialize::from_json(&fields(&second, "you")).unwrap_or_default();
        let said = strip_system_fields(&field_set::of(&object(two), root));
        prop_assert_eq!(&owned, &said);
        prop_assert!(said.difference(&field_set::of(&second, root)).is_empty());
    }

    #[test]
    fn an_update_that_changes_nothing_changes_no_ownership(one in spec()) {
        let schema = schema();
        let live = apply(None, &object(one), &writer("me", "", T1), false, &schema).unwrap();
        let mut new = live.clone();
        update(Some(&live), &mut new, &writer("you", "", T2), &schema);
        prop_assert_eq!(new, live);
    }
}
