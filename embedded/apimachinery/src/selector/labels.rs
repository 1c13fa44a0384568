//! Label selectors: compiled requirements on `metadata.labels`.

use serde_json::{Map, Value};

use super::{SelectorError, parse};
use crate::field::FieldError;
use crate::syntax;

/// A compiled label selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    /// A null selector: it matches nothing, whereas an empty one matches everything.
    nothing: bool,
}

/// What is demanded of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) key: String,
    pub(super) operator: Operator,
    pub(super) values: Vec<String>,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl LabelSelector {
    /// Parses the query parameter: `a=b,c!=d,e in (f,g),h notin (i),j,!k`, `a>1`.
    ///
    /// # Errors
    /// [`SelectorError::Label`].
    pub fn parse(selector: &str) -> Result<Self, SelectorError> {
        let requirements = parse::parse(selector).map_err(SelectorError::Label)?;
        Ok(Self {
            requirements,
            nothing: false,
        })
    }

    /// Compiles a LabelSelector object (`matchLabels`, `matchExpressions`). `{}` matches
    /// everything, null nothing.
    ///
    /// # Errors
    /// [`SelectorError::Label`].
    pub fn from_object(selector: &Value) -> Result<Self, SelectorError> {
        if selector.is_null() {
            return Ok(Self {
                requirements: Vec::new(),
                nothing: true,
            });
        }
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let values = vec![value.as_str().unwrap_or_default().to_string()];
            requirements
                .push(Requirement::new(key, Operator::In, values).map_err(SelectorError::Label)?);
        }
        for expression in selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(SelectorError::Label(format!(
                        "{other:?} is not a valid label selector operator"
                    )));
                }
            };
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(Into::into).collect();
            let key = expression["key"].as_str().unwrap_or_default();
            requirements
                .push(Requirement::new(key, operator, values).map_err(SelectorError::Label)?);
        }
        Ok(Self {
            requirements,
            nothing: false,
        })
    }

    /// Whether labels (`metadata.labels`, absent means none) match.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }

    /// Whether an object's labels match.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(
            object
                .pointer("/metadata/labels")
                .and_then(Value::as_object),
        )
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }
}

impl Requirement {
    pub(super) fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, String> {
        let mut errors: Vec<FieldError> = Vec::new();
        let problems = syntax::qualified_name(key);
        if !problems.is_empty() {
            errors.push(FieldError::invalid("key", key, problems.join("; ")));
        }
        let shown = || Value::from(values.clone());
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                let detail = "for 'in', 'notin' operators, values set can't be empty";
                errors.push(FieldError::invalid("values", shown(), detail));
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                let detail = "values set must be empty for exists and does not exist";
                errors.push(FieldError::invalid("values", shown(), detail));
            }
            Operator::GreaterThan | Operator::LessThan => {
                for (index, value) in values
                    .iter()
                    .enumerate()
                    .filter(|(_, v)| v.parse::<i64>().is_err())
                {
                    let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                    errors.push(FieldError::invalid(
                        format!("values[{index}]"),
                        value.clone(),
                        detail,
                    ));
                }
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            let problems = syntax::label_value(value);
            if !problems.is_empty() {
                let path = format!("values[{index}][{key}]");
                errors.push(FieldError::invalid(
                    path,
                    value.clone(),
                    problems.join("; "),
                ));
            }
        }
        match errors.as_slice() {
            [] => {
                let mut values = values;
                values.sort();
                Ok(Self {
                    key: key.to_string(),
                    operator,
                    values,
                })
            }
            [one] => Err(one.to_string()),
            many => Err(format!(
                "[{}]",
                many.iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        }
    }

    fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let label = labels
            .and_then(|l| l.get(&self.key))
            .and_then(Value::as_str);
        match (self.operator, label) {
            (Operator::Exists, label) => label.is_some(),
            (Operator::DoesNotExist, label) => label.is_none(),
            (Operator::NotIn, None) => true,
            (Operator::In | Operator::GreaterThan | Operator::LessThan, None) => false,
            (Operator::In, Some(label)) => self.has(label),
            (Operator::NotIn, Some(label)) => !self.has(label),
            (Operator::GreaterThan, Some(label)) => self
                .compare(label)
                .is_some_and(|(label, limit)| label > limit),
            (Operator::LessThan, Some(label)) => self
                .compare(label)
                .is_some_and(|(label, limit)| label < limit),
        }
    }

    /// Looked up, for a selector may name thousands of values, and a list have thousands of
    /// objects.
    fn has(&self, label: &str) -> bool {
        self.values
            .binary_search_by(|value| value.as_str().cmp(label))
            .is_ok()
    }

    fn compare(&self, label: &str) -> Option<(i64, i64)> {
        Some((label.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(selector: &str, labels: Value) -> bool {
        LabelSelector::parse(selector)
            .unwrap()
            .matches(labels.as_object())
    }

    #[test]
    fn each_operator_matches_as_documented() {
        let labels = json!({"a": "1", "b": "x", "kubestash.com/app": "druid", "empty": ""});
        let cases = [
            ("", true),
            ("a=1", true),
            ("a==1", true),
            ("a = 1 , b = x", true),
            ("a!=1", false),
            ("c!=1", true),
            ("a in (1,2)", true),
            ("a in (2)", false),
            ("a notin (2)", true),
            ("c notin (2)", true),
            ("a", true),
            ("c", false),
            ("!c", true),
            ("!a", false),
            ("a>0", true),
            ("a<1", false),
            ("b>0", false),
            ("empty=", true),
            ("empty in ()", true),
            ("empty in (,x)", true),
            ("kubestash.com/app=druid", true),
            ("in in (in)", false),
            ("a=1,b!=x", false),
        ];
        for (selector, want) in cases {
            assert_eq!(matches(selector, labels.clone()), want, "{selector:?}");
        }
    }

    #[test]
    fn an_object_selector_without_requirements_matches_all_and_a_null_one_nothing() {
        assert!(
            LabelSelector::from_object(&json!({}))
                .unwrap()
                .matches(None)
        );
        assert!(
            !LabelSelector::from_object(&Value::Null)
                .unwrap()
                .matches(None)
        );
        let selector = json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]});
        let selector = LabelSelector::from_object(&selector).unwrap();
        assert!(selector.matches(json!({"a": "1"}).as_object()));
        assert!(!selector.matches(json!({"a": "1", "b": ""}).as_object()));
        let bad = json!({"matchExpressions": [{"key": "b", "operator": "Like"}]});
        assert_eq!(
            LabelSelector::from_object(&bad).unwrap_err().to_string(),
            r#""Like" is not a valid label selector operator"#
        );
    }
}
