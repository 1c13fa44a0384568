//! Validation of custom resources against their schema.
//!
//! Four passes, as Kubernetes does them: the keywords of OpenAPI, embedded resources, uniqueness in
//! sets and maps, and CEL rules, which are skipped while the object has not even the right shape.

mod combine;
mod embedded;
pub(super) mod format;
mod keywords;
mod uniqueness;

use std::collections::HashMap;

use serde_json::Value;

use super::cel;
use super::node::{Additional, ListType, NodeRef};
use crate::field::{ErrorKind, FieldError, Path};

/// All that is wrong with `object`; `old` is the stored one of an update.
pub(super) fn validate(object: &Value, old: Option<&Value>, root: NodeRef<'_>) -> Vec<FieldError> {
    let mut outcome = Outcome::default();
    walk(object, old, root, &Path::ROOT, &mut outcome);
    let mut errors = outcome.errors;
    embedded::check(object, root, &Path::ROOT, &mut errors);
    let mut duplicates = Vec::new();
    uniqueness::check(object, root, &Path::ROOT, &mut duplicates);
    if !duplicates.is_empty() && old.is_none_or(|old| !uniqueness::is_broken(old, root)) {
        errors.append(&mut duplicates);
    }
    if errors.iter().any(|e| is_blocking(e.kind)) {
        if cel::has_rules(root) {
            errors.push(FieldError::invalid("", Value::Null, RULES_SKIPPED));
        }
    } else {
        errors.append(&mut cel::validate(object, old, root));
    }
    errors
}

/// Checks the defaults of a schema against the schema itself; `path` is that of the schema in its
/// CRD.
pub(super) fn check_defaults(node: NodeRef<'_>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let schema = node.get();
    if schema.definition.is_some() {
        return;
    }
    if let Some(default) = &schema.default {
        let mut outcome = Outcome::default();
        let path = path.child("default");
        walk(default, None, node, &path, &mut outcome);
        uniqueness::check(default, node, &path, &mut outcome.errors);
        errors.append(&mut outcome.errors);
    }
    let base = path.child("properties");
    for (name, id) in &schema.properties {
        check_defaults(node.at(*id), &base.key(name), errors);
    }
    if let Some(items) = node.items() {
        check_defaults(items, &path.child("items"), errors);
    }
    if let Additional::Of(id) = schema.additional {
        check_defaults(node.at(id), &path.child("additionalProperties"), errors);
    }
}

const RULES_SKIPPED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

/// Findings after which CEL rules would only add noise.
fn is_blocking(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotSupported
            | ErrorKind::Required
            | ErrorKind::TooLong
            | ErrorKind::TooMany
            | ErrorKind::TypeInvalid
    )
}

/// Errors, and how many checks were met on the way: the branch of an `anyOf` that got furthest is
/// the one to report.
#[derive(Debug, Default)]
struct Outcome {
    errors: Vec<FieldError>,
    met: usize,
}

impl Outcome {
    fn absorb(&mut self, mut other: Outcome) {
        self.errors.append(&mut other.errors);
        self.met += other.met;
    }
}

fn walk(
    value: &Value,
    old: Option<&Value>,
    node: NodeRef<'_>,
    path: &Path<'_>,
    outcome: &mut Outcome,
) {
    if old == Some(value) {
        return; // Ratcheting: an unchanged value is not held against this update.
    }
    let schema = node.get();
    if !keywords::check_type(value, schema, path, outcome) {
        return;
    }
    if let Some(rules) = &schema.rules {
        combine::check(value, rules, node, path, outcome);
        keywords::check(value, schema.kind, rules, path, outcome);
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = path.child(name);
                match node.field(name) {
                    Some(field) => {
                        walk(value, old.and_then(|o| o.get(name)), field, &path, outcome)
                    }
                    None if schema.additional == Additional::Forbidden => {
                        let detail = format!("{path} in body is a forbidden property");
                        outcome
                            .errors
                            .push(FieldError::invalid(path, name.clone(), detail));
                    }
                    None => {}
                }
            }
        }
        Value::Array(items) => {
            let Some(item_node) = node.items() else {
                return;
            };
            let correlation = Correlation::new(old, &schema.list_type);
            for (index, item) in items.iter().enumerate() {
                walk(
                    item,
                    correlation.of(item),
                    item_node,
                    &path.index(index),
                    outcome,
                );
            }
        }
        _ => {}
    }
}

/// Finds the item of an old list that is the same thing: only lists of type map know. Looked up,
/// for a list may have as many items as fit into a request.
pub(super) struct Correlation<'o, 'k> {
    keys: &'k [String],
    items: HashMap<Vec<Option<&'o Value>>, &'o Value>,
}

impl<'o, 'k> Correlation<'o, 'k> {
    /// With the items of the old list, if there is one.
    pub(super) fn new(old: Option<&'o Value>, list_type: &'k ListType) -> Self {
        let (Some(Value::Array(old)), ListType::Map(keys)) = (old, list_type) else {
            return Self {
                keys: &[],
                items: HashMap::new(),
            };
        };
        let mut items = HashMap::with_capacity(old.len());
        for item in old {
            // The first one counts where a key is there twice.
            items.entry(identity(item, keys)).or_insert(item);
        }
        Self { keys, items }
    }

    /// The old item that `item` was.
    pub(super) fn of(&self, item: &Value) -> Option<&'o Value> {
        if self.items.is_empty() {
            return None;
        }
        self.items.get(&identity(item, self.keys)).copied()
    }
}

fn identity<'v>(item: &'v Value, keys: &[String]) -> Vec<Option<&'v Value>> {
    keys.iter().map(|key| item.get(key)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Schema;

    fn errors(schema: Value, object: Value, old: Option<Value>) -> Vec<String> {
        let schema = Schema::compile(&schema).unwrap();
        schema
            .validate(&object, old.as_ref())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn spec(property: Value) -> Value {
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": property}}}})
    }

    #[test]
    fn findings_are_worded_as_kubernetes_words_them() {
        let cases = [
            (
                json!({"type": "integer"}),
                json!("string"),
                r#"spec.x: Invalid value: "string": spec.x in body must be of type integer: "string""#,
            ),
            (
                json!({"type": "string"}),
                json!(5),
                r#"spec.x: Invalid value: "integer": spec.x in body must be of type string: "integer""#,
            ),
            (
                json!({"type": "string"}),
                Value::Null,
                r#"spec.x: Invalid value: "null": spec.x in body must be of type string: "null""#,
            ),
            (
                json!({"type": "string", "enum": ["a", "b"]}),
                json!("c"),
                r#"spec.x: Unsupported value: "c": supported values: "a", "b""#,
            ),
            (
                json!({"type": "integer", "minimum": 3}),
                json!(1),
                "spec.x: Invalid value: 1: spec.x in body should be greater than or equal to 3",
            ),
            (
                json!({"type": "integer", "maximum": 3, "exclusiveMaximum": true}),
                json!(3),
                "spec.x: Invalid value: 3: spec.x in body should be less than 3",
            ),
            (
                json!({"type": "number", "maximum": 1.5}),
                json!(2.5),
                "spec.x: Invalid value: 2.5: spec.x in body should be less than or equal to 1.5",
            ),
            (
                json!({"type": "integer", "multipleOf": 4}),
                json!(6),
                "spec.x: Invalid value: 6: spec.x in body should be a multiple of 4",
            ),
            (
                json!({"type": "string", "maxLength": 2}),
                json!("abc"),
                "spec.x: Too long: may not be more than 2 bytes",
            ),
            (
                json!({"type": "string", "minLength": 2}),
                json!("a"),
                r#"spec.x: Invalid value: "a": spec.x in body should be at least 2 chars long"#,
            ),
            (
                json!({"type": "string", "pattern": "^a+$"}),
                json!("b"),
                r#"spec.x: Invalid value: "b": spec.x in body should match '^a+$'"#,
            ),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("x"),
                r#"spec.x: Invalid value: "x": spec.x in body must be of type date-time: "x""#,
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
                json!(["a", "b"]),
                "spec.x: Too many: 2: must have at most 1 items",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
                json!([]),
                "spec.x: Invalid value: 0: spec.x in body should have at least 1 items",
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "integer"}}),
                json!({"k": "v"}),
                r#"spec.x.k: Invalid value: "string": spec.x.k in body must be of type integer: "string""#,
            ),
            (
                json!({"type": "object", "required": ["y"], "properties": {"y": {"type": "string"}}}),
                json!({}),
                "spec.x.y: Required value",
            ),
            (
                json!({"type": "array", "items": {"type": "object", "required": ["y"], "properties": {"y": {"type": "string"}}}}),
                json!([{"y": "a"}, {}]),
                "spec.x[1].y: Required value",
            ),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!(true),
                r#"spec.x: Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean""#,
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
                json!(["a", "a"]),
                r#"spec.x[1]: Duplicate value: "a""#,
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {"type": "object", "properties": {"n": {"type": "string"}}}}),
                json!([{"n": "a"}, {"n": "a"}]),
                r#"spec.x[1]: Duplicate value: map[string]interface {}{"n":"a"}"#,
            ),
            (
                json!({"type": "string", "oneOf": [{"pattern": "a"}, {"pattern": "b"}]}),
                json!("ab"),
                r#"<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
            ),
            (
                json!({"type": "string", "not": {"pattern": "a"}}),
                json!("a"),
                r#"<nil>: Invalid value: "": "spec.x" must not validate the schema (not)"#,
            ),
        ];
        for (property, value, want) in cases {
            let got = errors(
                spec(property.clone()),
                json!({"spec": {"x": value.clone()}}),
                None,
            );
            assert_eq!(got, [want], "{property} on {value}");
        }
    }

    #[test]
    fn valid_values_pass() {
        let cases = [
            (json!({"type": "integer"}), json!(3.0)),
            (json!({"type": "number"}), json!(3)),
            (json!({"type": "string", "nullable": true}), Value::Null),
            (json!({"x-kubernetes-int-or-string": true}), json!("50%")),
            (
                json!({"x-kubernetes-preserve-unknown-fields": true}),
                json!({"a": [1, null]}),
            ),
            (json!({"type": "string", "maxLength": 2}), json!("éé")),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("2026-01-02T03:04:05Z"),
            ),
            (
                json!({"type": "string", "format": "unheard-of"}),
                json!("x"),
            ),
        ];
        for (property, value) in cases {
            let got = errors(
                spec(property.clone()),
                json!({"spec": {"x": value.clone()}}),
                None,
            );
            assert_eq!(got, [""; 0], "{property} on {value}");
        }
    }

    #[test]
    fn the_branch_that_got_furthest_explains_a_failed_any_of() {
        let property = json!({
            "type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}]
        });
        assert_eq!(
            errors(spec(property), json!({"spec": {"x": {}}}), None),
            [
                r#"<nil>: Invalid value: "": "spec.x" must validate at least one schema (anyOf)"#,
                "spec.x.a: Required value",
            ]
        );
    }

    #[test]
    fn an_unchanged_value_that_was_wrong_before_is_let_through() {
        let schema = spec(json!({"type": "string", "maxLength": 1}));
        let old = json!({"spec": {"x": "long"}, "status": 1});
        assert_eq!(
            errors(
                schema.clone(),
                json!({"spec": {"x": "long"}, "status": 2}),
                Some(old.clone())
            ),
            [""; 0]
        );
        assert_eq!(
            errors(schema, json!({"spec": {"x": "other"}}), Some(old)).len(),
            1
        );
    }

    #[test]
    fn an_embedded_resource_needs_its_kind() {
        let schema = spec(json!({
            "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true
        }));
        assert_eq!(
            errors(
                schema,
                json!({"spec": {"x": {"apiVersion": "v1", "data": {}}}}),
                None
            ),
            ["spec.x.kind: Required value: must not be empty"]
        );
    }
}
