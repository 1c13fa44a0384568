//! The keywords that look at one value.

use serde_json::{Number, Value};

use super::Outcome;
use crate::field::{FieldError, Path};
use crate::gofmt;
use crate::schema::node::{Node, Rules, Type};

/// Name of a value's type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether the value has the type; if not, says so.
pub(super) fn check_type(
    value: &Value,
    node: &Node,
    path: &Path<'_>,
    outcome: &mut Outcome,
) -> bool {
    let fits = match (node.kind, value) {
        (Type::Any, _) => true,
        (_, Value::Null) => node.nullable,
        (Type::Object, Value::Object(_))
        | (Type::Array, Value::Array(_))
        | (Type::String | Type::IntOrString, Value::String(_))
        | (Type::Boolean, Value::Bool(_))
        | (Type::Number, Value::Number(_)) => true,
        (Type::Integer | Type::IntOrString, Value::Number(n)) => is_integer(n),
        _ => false,
    };
    if fits {
        outcome.met += 1;
    } else {
        let found = type_name(value);
        let detail = format!(
            "{path} in body must be of type {}: \"{found}\"",
            node.kind.name()
        );
        outcome
            .errors
            .push(FieldError::type_invalid(path, found, detail));
    }
    fits && !value.is_null()
}

fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|f| f.fract() == 0.0)
}

/// All keywords that apply to the value's type.
pub(super) fn check(
    value: &Value,
    kind: Type,
    rules: &Rules,
    path: &Path<'_>,
    outcome: &mut Outcome,
) {
    let before = outcome.errors.len();
    if !rules.choices.is_empty() && !rules.choices.contains(value) {
        let choices: Vec<String> = rules.choices.iter().map(plain).collect();
        outcome
            .errors
            .push(FieldError::not_supported(path, value.clone(), &choices));
    }
    match value {
        Value::String(text) => string(text, rules, path, outcome),
        Value::Number(n) => number(n, kind, rules, path, outcome),
        Value::Array(items) => array(items, rules, path, outcome),
        Value::Object(map) => {
            let size = map.len() as u64;
            if let Some(min) = rules.min_properties.filter(|min| size < *min) {
                let detail = format!("{path} in body should have at least {min} properties");
                outcome.errors.push(FieldError::invalid(path, size, detail));
            }
            if let Some(max) = rules.max_properties.filter(|max| size > *max) {
                outcome.errors.push(FieldError::too_many(path, size, max));
            }
            for name in rules
                .required
                .iter()
                .filter(|name| !map.contains_key(*name))
            {
                outcome
                    .errors
                    .push(FieldError::required(path.child(name), ""));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    if outcome.errors.len() == before {
        outcome.met += 1;
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), Into::into)
}

fn string(text: &str, rules: &Rules, path: &Path<'_>, outcome: &mut Outcome) {
    let length = text.chars().count() as u64;
    // The first of these three that fails is told, as in Kubernetes.
    let finding = if let Some(max) = rules.max_length.filter(|max| length > *max) {
        Some(FieldError::too_long(path, max))
    } else if let Some(min) = rules.min_length.filter(|min| length < *min) {
        Some(FieldError::invalid(
            path,
            text,
            format!("{path} in body should be at least {min} chars long"),
        ))
    } else {
        rules
            .pattern
            .as_ref()
            .filter(|pattern| !pattern.regex.is_match(text))
            .map(|pattern| {
                FieldError::invalid(
                    path,
                    text,
                    format!("{path} in body should match '{}'", pattern.source),
                )
            })
    };
    outcome.errors.extend(finding);
    if let Some(format) = rules.format.as_ref().filter(|format| !format.accepts(text)) {
        let detail = format!(
            "{path} in body must be of type {}: {}",
            format.name(),
            gofmt::quote(text)
        );
        outcome
            .errors
            .push(FieldError::type_invalid(path, text, detail));
    }
}

fn number(number: &Number, kind: Type, rules: &Rules, path: &Path<'_>, outcome: &mut Outcome) {
    let Some(value) = number.as_f64() else { return };
    let shown = |limit: f64| {
        if kind == Type::Number {
            gofmt::float(limit)
        } else {
            format!("{}", limit as i64)
        }
    };
    let mut report = |what: String| {
        outcome.errors.push(FieldError::invalid(
            path,
            Value::Number(number.clone()),
            format!("{path} in body {what}"),
        ));
    };
    if let Some(factor) = rules.multiple_of.filter(|f| *f > 0.0) {
        let quotient = value / factor;
        if (quotient - quotient.round()).abs() > f64::EPSILON * quotient.abs() {
            report(format!("should be a multiple of {}", shown(factor)));
        }
    }
    if let Some(max) = rules.maximum {
        match max.exclusive {
            true if value >= max.value => {
                report(format!("should be less than {}", shown(max.value)))
            }
            false if value > max.value => report(format!(
                "should be less than or equal to {}",
                shown(max.value)
            )),
            _ => {}
        }
    }
    if let Some(min) = rules.minimum {
        match min.exclusive {
            true if value <= min.value => {
                report(format!("should be greater than {}", shown(min.value)))
            }
            false if value < min.value => report(format!(
                "should be greater than or equal to {}",
                shown(min.value)
            )),
            _ => {}
        }
    }
}

fn array(items: &[Value], rules: &Rules, path: &Path<'_>, outcome: &mut Outcome) {
    let size = items.len() as u64;
    if let Some(min) = rules.min_items.filter(|min| size < *min) {
        let detail = format!("{path} in body should have at least {min} items");
        outcome.errors.push(FieldError::invalid(path, size, detail));
    }
    if let Some(max) = rules.max_items.filter(|max| size > *max) {
        outcome.errors.push(FieldError::too_many(path, size, max));
    }
    if rules.unique_items
        && items
            .iter()
            .enumerate()
            .any(|(i, item)| items[..i].contains(item))
    {
        outcome.errors.push(FieldError::invalid(
            path,
            "",
            format!("{path} in body shouldn't contain duplicates"),
        ));
    }
}
