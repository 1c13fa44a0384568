//! `x-kubernetes-validations`: rules in CEL.
//!
//! The language and Kubernetes' function libraries come from `kube-cel`; what a rule is applied to,
//! which old value it sees, when it is skipped and how its failure reads is decided here.

mod cost;
mod estimate;
mod expression;
mod field_path;
mod matching;
mod meter;
mod rule;
mod value;

pub(crate) use rule::Rule;
pub(super) use rule::compile_rules;
use serde_json::Value;

use super::node::NodeRef;
use super::validation::Correlation;
use crate::field::{FieldError, Path};

/// Whether a rule looks at the past; of one that does not parse, nothing is known.
pub(super) fn uses_old_self(rule: &str) -> bool {
    expression::parse(rule).is_ok_and(|e| expression::mentions(&e, "oldSelf"))
}

/// The rules that can cost more than they may; `path` is that of the schema in its CRD.
pub(super) fn check_costs(root: NodeRef<'_>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    estimate::check(root, path, errors);
}

/// Whether a finding is one of [`check_costs`].
pub(super) fn is_cost_finding(error: &FieldError) -> bool {
    estimate::is_finding(error)
}

/// Whether any node of the schema has rules.
pub(super) fn has_rules(root: NodeRef<'_>) -> bool {
    root.arena.iter().any(|node| !node.cel.is_empty())
}

/// Evaluates all rules; `old` is the stored object of an update.
pub(super) fn validate(object: &Value, old: Option<&Value>, root: NodeRef<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if has_rules(root) {
        meter::begin_object();
        walk(object, old, root, &Path::ROOT, false, &mut errors);
    }
    errors
}

/// `parent_unchanged` says whether the nearest ancestor whose old value is known is as it was.
fn walk(
    value: &Value,
    old: Option<&Value>,
    node: NodeRef<'_>,
    path: &Path<'_>,
    parent_unchanged: bool,
    errors: &mut Vec<FieldError>,
) {
    if value.is_null() {
        return;
    }
    let old = old.filter(|old| !old.is_null());
    let unchanged = old.map_or(parent_unchanged, |old| old == value);
    if !node.get().cel.is_empty() {
        rule::evaluate(value, old, node, path, unchanged, errors);
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let old = old.and_then(|old| old.get(name));
                if let Some(field) = node.property(name) {
                    walk(value, old, field, &path.child(name), unchanged, errors);
                } else if let Some(field) = node.field(name) {
                    walk(value, old, field, &path.key(name), unchanged, errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(item_node) = node.items() else {
                return;
            };
            let correlation = Correlation::new(old, &node.get().list_type);
            for (index, item) in items.iter().enumerate() {
                let old = correlation.of(item);
                walk(item, old, item_node, &path.index(index), unchanged, errors);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod budget_tests;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Schema;

    fn check(schema: Value, object: Value, old: Option<Value>) -> Vec<String> {
        let schema = Schema::compile(&schema).unwrap();
        schema
            .validate(&object, old.as_ref())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn spec(properties: Value, rules: Value) -> Value {
        json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": properties, "x-kubernetes-validations": rules}
        }})
    }

    #[test]
    fn a_failed_rule_tells_its_message_and_where() {
        let integers = json!({"min": {"type": "integer"}, "max": {"type": "integer"}});
        let object = json!({"spec": {"min": 3, "max": 2}});
        let cases = [
            (
                json!({"rule": "self.min <= self.max", "message": "min is above max"}),
                vec![r#"spec: Invalid value: "object": min is above max"#],
            ),
            (
                json!({"rule": "self.min <= self.max"}),
                vec![r#"spec: Invalid value: "object": failed rule: self.min <= self.max"#],
            ),
            (
                json!({"rule": "self.min <= self.max", "messageExpression": "'min %d is above %d'.format([self.min, self.max])"}),
                vec![r#"spec: Invalid value: "object": min 3 is above 2"#],
            ),
            (
                json!({"rule": "self.min <= self.max", "message": "m", "fieldPath": ".min"}),
                vec![r#"spec.min: Invalid value: "object": m"#],
            ),
            (
                json!({"rule": "self.min <= self.max", "message": "m", "reason": "FieldValueForbidden"}),
                vec!["spec: Forbidden: m"],
            ),
            (
                json!({"rule": "self.min <= self.max", "message": "m", "reason": "FieldValueRequired"}),
                vec!["spec: Required value: m"],
            ),
            (json!({"rule": "self.min >= self.max"}), vec![]),
            (
                json!({"rule": "has(self.min) && !has(self.nothing)"}),
                vec![],
            ),
            (
                json!({"rule": "self.nothing == 1"}),
                vec![
                    r#"spec: Invalid value: "object": no such key: nothing evaluating rule: self.nothing == 1"#,
                ],
            ),
        ];
        for (rule, want) in cases {
            assert_eq!(
                check(spec(integers.clone(), json!([rule])), object.clone(), None),
                want,
                "{rule}"
            );
        }
    }

    #[test]
    fn values_have_the_type_that_the_schema_gives_them() {
        let cases = [
            (json!({"type": "number"}), json!(3), "self.x / 2.0 == 1.5"),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("2026-01-02T03:04:05Z"),
                "self.x > timestamp('2025-01-01T00:00:00Z')",
            ),
            (
                json!({"type": "string", "format": "duration"}),
                json!("1h"),
                "self.x < duration('2h')",
            ),
            (
                json!({"type": "string", "format": "byte"}),
                json!("YWJj"),
                "size(self.x) == 3",
            ),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!("50%"),
                "type(self.x) == string ? self.x.endsWith('%') : self.x > 0",
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                json!({"a-b": "c"}),
                "self.x['a-b'] == 'c' && self.x.all(k, k.startsWith('a'))",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}}),
                json!(["a", "b"]),
                "self.x.exists(i, i == 'b') && self.x.size() == 2 && 'a' in self.x",
            ),
            (
                json!({"type": "string"}),
                json!("abc"),
                "self.x.matches('^a') && cel.bind(y, self.x + 'd', y == 'abcd')",
            ),
            (
                json!({"type": "string"}),
                json!("abc"),
                "self.?x.orValue('') == 'abc' && !self.?y.hasValue() && self.?y.orValue('z') == 'z'",
            ),
            (
                json!({"type": "object", "properties": {"a_b": {"type": "string"}, "a-b": {"type": "string"}, "namespace": {"type": "string"}}}),
                json!({"a_b": "1", "a-b": "2", "namespace": "3"}),
                "self.x.a_b == '1' && self.x.a__dash__b == '2' && self.x.__namespace__ == '3'",
            ),
            (
                json!({"type": "string"}),
                json!("500Mi"),
                "quantity(self.x).isLessThan(quantity('1Gi'))",
            ),
        ];
        for (property, value, rule) in cases {
            let got = check(
                spec(json!({"x": property}), json!([{"rule": rule}])),
                json!({"spec": {"x": value}}),
                None,
            );
            assert_eq!(got, [""; 0], "{rule}");
        }
    }

    #[test]
    fn a_transition_rule_waits_for_an_old_value() {
        let schema = spec(
            json!({"x": {"type": "string", "x-kubernetes-validations": [
                {"rule": "self == oldSelf", "message": "x is immutable"}
            ]}}),
            json!([]),
        );
        let object = |x: &str| json!({"spec": {"x": x}});
        assert_eq!(check(schema.clone(), object("a"), None), [""; 0]);
        assert_eq!(
            check(schema.clone(), object("a"), Some(object("a"))),
            [""; 0]
        );
        assert_eq!(
            check(schema.clone(), object("a"), Some(json!({"spec": {}}))),
            [""; 0]
        );
        assert_eq!(
            check(schema, object("b"), Some(object("a"))),
            [r#"spec.x: Invalid value: "string": x is immutable"#]
        );
    }

    #[test]
    fn an_optional_old_self_is_empty_on_create() {
        let schema = spec(
            json!({"x": {"type": "integer"}}),
            json!([
                {"rule": "!oldSelf.hasValue() || oldSelf.value().x <= self.x", "message": "x cannot fall", "optionalOldSelf": true}
            ]),
        );
        let object = |x: i64| json!({"spec": {"x": x}});
        assert_eq!(check(schema.clone(), object(1), None), [""; 0]);
        assert_eq!(
            check(schema, object(1), Some(object(2))),
            [r#"spec: Invalid value: "object": x cannot fall"#]
        );
    }

    #[test]
    fn items_of_a_list_of_type_map_meet_their_own_past() {
        let schema = spec(
            json!({"list": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
                    "x-kubernetes-validations": [{"rule": "self.size >= oldSelf.size", "message": "cannot shrink"}]}
            }}),
            json!([]),
        );
        let old = json!({"spec": {"list": [{"name": "a", "size": 1}, {"name": "b", "size": 5}]}});
        let new = json!({"spec": {"list": [{"name": "b", "size": 4}, {"name": "a", "size": 1}, {"name": "c", "size": 0}]}});
        assert_eq!(
            check(schema, new, Some(old)),
            [r#"spec.list[0]: Invalid value: "object": cannot shrink"#]
        );
    }

    #[test]
    fn a_rule_broken_before_is_let_through_while_its_value_is_unchanged() {
        let schema = spec(
            json!({"x": {"type": "integer"}, "y": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]}}),
            json!([]),
        );
        let object = |x: i64| json!({"spec": {"x": x, "y": 0}});
        assert_eq!(check(schema.clone(), object(1), Some(object(0))), [""; 0]);
        assert_eq!(check(schema, object(1), None).len(), 1);
    }

    #[test]
    fn the_root_sees_its_name_but_no_other_metadata() {
        let schema = json!({"type": "object", "x-kubernetes-validations": [
            {"rule": "self.metadata.name.startsWith('a') && !has(self.metadata.labels) && self.kind == 'K'"}
        ]});
        let object = |name: &str| json!({"apiVersion": "g/v", "kind": "K", "metadata": {"name": name, "labels": {"l": "1"}}});
        assert_eq!(check(schema.clone(), object("abc"), None), [""; 0]);
        assert_eq!(check(schema, object("xyz"), None).len(), 1);
    }

    #[test]
    fn rules_are_not_run_on_an_object_of_the_wrong_shape() {
        let schema = spec(
            json!({"x": {"type": "integer"}}),
            json!([{"rule": "self.x > 0"}]),
        );
        assert_eq!(
            check(schema, json!({"spec": {"x": "a"}}), None),
            [
                r#"spec.x: Invalid value: "string": spec.x in body must be of type integer: "string""#,
                r#"<nil>: Invalid value: "null": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"#,
            ]
        );
    }

    #[test]
    fn a_rule_that_does_not_parse_is_refused_when_the_schema_is_compiled() {
        for rule in ["self.x >", "Foo{a: 1} == self", ""] {
            let schema = spec(json!({"x": {"type": "integer"}}), json!([{"rule": rule}]));
            assert!(Schema::compile(&schema).is_err(), "{rule:?}");
        }
    }
}
