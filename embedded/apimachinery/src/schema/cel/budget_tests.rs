//! Rules that are too expensive: refused when they are defined, stopped when they are evaluated.

use serde_json::{Value, json};

use crate::Schema;
use crate::schema::{check_changed_crd, check_crd, prepare_crd};

const NESTED: &str = "self.all(a, self.all(b, self.all(c, self.all(d, a + b + c + d != 'x'))))";

fn crd(spec: Value) -> Value {
    let mut crd = json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": spec}
            }}}],
        },
    });
    prepare_crd(&mut crd);
    crd
}

fn list(max_items: Option<u64>, max_length: Option<u64>, rule: &str) -> Value {
    let mut items = json!({"type": "string"});
    if let Some(max) = max_length {
        items["maxLength"] = max.into();
    }
    let mut list = json!({
        "type": "array", "items": items, "x-kubernetes-validations": [{"rule": rule}],
    });
    if let Some(max) = max_items {
        list["maxItems"] = max.into();
    }
    json!({"type": "object", "properties": {"list": list}})
}

fn refusals(spec: Value) -> Vec<String> {
    check_crd(&crd(spec))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_rule_that_can_cost_too_much_is_refused_until_the_schema_says_how_large_its_values_get() {
    let quadratic = "self.all(a, self.exists_one(b, a == b))";
    for (schema, accepted) in [
        (list(None, None, NESTED), false),
        (list(Some(200), Some(10), NESTED), false),
        (list(Some(10), Some(10), NESTED), true),
        (list(None, None, quadratic), false),
        (list(Some(64), Some(253), quadratic), true),
        (list(None, None, "self.all(a, a != '')"), true),
        (list(None, None, "size(self) < 10"), true),
        (list(Some(100), None, "self.all(a, a.contains(a))"), false),
        (
            list(None, None, "lists.range(1000000000).size() > 1"),
            false,
        ),
    ] {
        let found = refusals(schema.clone());
        assert_eq!(found.is_empty(), accepted, "{schema}: {found:?}");
        if !accepted {
            assert!(
                found[0].starts_with(
                    "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[list].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of"
                ),
                "{found:?}"
            );
            assert!(found[0].contains("maxItems"), "{found:?}");
        }
    }
}

#[test]
fn rules_of_public_definitions_are_accepted() {
    let text = |max: u64| json!({"type": "string", "maxLength": max});
    // Whole objects that must not change, unions, references, names in lists, and times: as widely
    // used CRDs have them.
    for (schema, rule) in [
        (json!({"type": "string"}), "self == oldSelf"),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "string"}}}}),
            "self == oldSelf",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}),
            "has(self.a) != has(self.b)",
        ),
        (
            json!({"type": "array", "maxItems": 64, "items": {"type": "object", "properties": {"name": text(253), "port": {"type": "integer"}}}}),
            "self.all(l1, self.exists_one(l2, has(l1.name) && has(l2.name) && l1.name == l2.name && l1.port == l2.port))",
        ),
        (
            json!({"type": "array", "maxItems": 16, "items": {"type": "object", "properties": {"kind": text(63)}}}),
            "self.all(t, ['Service', 'Secret'].exists(k, t.kind == k)) && self.filter(t, t.kind == 'Secret').size() <= 1",
        ),
        (
            json!({"type": "string", "maxLength": 2048}),
            "self.matches('^[a-z0-9-]+$') && isURL('http://' + self)",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            "self > timestamp('2020-01-01T00:00:00Z')",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            "self.all(k, k.startsWith('a') && self[k] != '')",
        ),
    ] {
        let mut schema = schema;
        schema["x-kubernetes-validations"] = json!([{"rule": rule}]);
        let found = refusals(json!({"type": "object", "properties": {"x": schema}}));
        assert_eq!(found, Vec::<String>::new(), "{rule}");
    }
}

#[test]
fn many_rules_are_bounded_together() {
    let properties: serde_json::Map<String, Value> = (0..20)
        .map(|n| {
            let list = list(Some(2000), Some(4), "self.all(a, self.exists(b, a == b))");
            (format!("p{n}"), list["properties"]["list"].clone())
        })
        .collect();
    let found = refusals(json!({"type": "object", "properties": properties}));
    assert!(
        found
            .iter()
            .any(|error| error.contains("total for entire OpenAPIv3 schema")),
        "{found:?}"
    );
}

#[test]
fn what_was_stored_before_can_still_be_changed() {
    let old = crd(list(None, None, NESTED));
    let mut new = old.clone();
    new["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["more"] =
        json!({"type": "string"});
    assert_eq!(check_changed_crd(&new, &old), Vec::new());
    let fresh = crd(list(Some(10), Some(10), NESTED));
    assert!(!check_changed_crd(&new, &fresh).is_empty());
}

/// The findings of a rule on 200 texts.
fn evaluate(rule: &str) -> Vec<String> {
    let schema = Schema::compile(&json!({"type": "object", "properties": {
        "spec": list(None, None, rule)
    }}))
    .unwrap();
    let texts: Vec<String> = (0..200).map(|n| format!("text number {n}")).collect();
    let object = json!({"spec": {"list": texts}});
    schema
        .validate(&object, None)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_rule_that_costs_too_much_is_stopped_whatever_it_does_with_the_error() {
    // Each name is bound to twice the one around it.
    let doubling = (0..30).rev().fold("size(s29) > 0".to_owned(), |rule, n| {
        let before = if n == 0 {
            "self[0]".to_owned()
        } else {
            format!("s{}", n - 1)
        };
        format!("cel.bind(s{n}, {before} + {before}, {rule})")
    });
    let texts = (0..12).fold("self.join('')".to_owned(), |text, _| {
        format!("{text}.replace('t', self.join(''))")
    });
    for rule in [
        format!("true || {NESTED}"),
        format!("({NESTED}) || true"),
        "lists.range(1000000000).size() > 0".to_owned(),
        "self.all(a, lists.range(100000).all(b, b >= 0))".to_owned(),
        format!("{texts}.size() > 0"),
        doubling,
    ] {
        let found = evaluate(&rule);
        let allowed = rule.starts_with("true ||");
        assert_eq!(found.is_empty(), allowed, "{rule}: {found:?}");
        assert!(
            found
                .iter()
                .all(|error| error.contains("running out of cost budget")),
            "{rule}: {found:?}"
        );
    }
}

#[test]
fn ordinary_rules_on_large_objects_stay_within_the_budget() {
    for rule in [
        "self.all(a, a.startsWith('text') && a.contains('number') && a.matches('^text number [0-9]+$'))",
        "self.all(a, self.exists_one(b, a == b))",
        "self.map(a, a + '!').filter(a, a != '').size() == 200",
        "self.exists(a, a == 'text number 0') && 'text number 199' in self && size(self.join(',')) > 10",
        "sets.contains(self, ['text number 1'])",
        "self.all(a, a.replace('text', 'x').split(' ').size() == 3)",
        "cel.bind(first, self[0], first == 'text number 0')",
        "self.all(a, '%s-%d'.format([a, 3]).endsWith('-3'))",
        "quantity('1Gi').isGreaterThan(quantity('1Mi')) && duration('1h') > duration('1m')",
    ] {
        assert_eq!(evaluate(rule), Vec::<String>::new(), "{rule}");
    }
}

#[test]
fn one_rule_that_ran_out_leaves_the_others_their_budget() {
    let mut spec = list(None, None, NESTED);
    spec["properties"]["list"]["x-kubernetes-validations"] =
        json!([{"rule": NESTED}, {"rule": "size(self) == 0", "message": "not empty"}]);
    let schema = Schema::compile(&json!({"type": "object", "properties": {"spec": spec}})).unwrap();
    let object = json!({"spec": {"list": vec!["x"; 200]}});
    let found: Vec<String> = schema
        .validate(&object, None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].ends_with("not empty"), "{found:?}");
}

#[test]
fn no_format_asks_for_an_absurd_precision() {
    let found = evaluate("'%.4000000000f'.format([1.5]).size() > 0");
    assert!(
        found[0].contains("precision must not be above"),
        "{found:?}"
    );
}

#[test]
fn deep_and_long_rules_neither_overflow_the_stack_nor_take_for_ever() {
    let deep = format!("{}true{}", "(".repeat(20_000), ")".repeat(20_000));
    let chain = format!("self{}", ".a".repeat(20_000));
    let not = format!("{}true", "!".repeat(20_001));
    let sum = format!("0 < {}1", "1 + ".repeat(5_000));
    for rule in [deep, chain, not, sum] {
        let found = refusals(list(Some(1), Some(1), &rule));
        assert!(
            found
                .iter()
                .any(|error| error.contains("compilation failed")),
            "{found:?}"
        );
    }
}
