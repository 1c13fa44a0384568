//! Field selectors: equality of a few fields of each kind.

use serde_json::Value;

use super::SelectorError;

/// A compiled field selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// Parses the query parameter: `metadata.name=x,status.phase!=Running`. `supported` are the
    /// fields besides `metadata.name` and `metadata.namespace`: [`supported_fields`] or a CRD's
    /// `selectableFields` (with or without the leading dot).
    ///
    /// # Errors
    /// [`SelectorError::Field`] or [`SelectorError::UnsupportedField`].
    pub fn parse(selector: &str, supported: &[String]) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for term in split(selector).into_iter().filter(|t| !t.is_empty()) {
            let (field, equal, value) = split_term(term).ok_or_else(|| {
                SelectorError::Field(format!(
                    "invalid selector: '{selector}'; can't understand '{term}'"
                ))
            })?;
            let value = unescape(value).map_err(SelectorError::Field)?;
            let known = matches!(field, "metadata.name" | "metadata.namespace")
                || supported
                    .iter()
                    .any(|s| s.strip_prefix('.').unwrap_or(s) == field);
            if !known {
                return Err(SelectorError::UnsupportedField(field.to_string()));
            }
            terms.push(Term {
                field: field.to_string(),
                value,
                equal,
            });
        }
        Ok(Self { terms })
    }

    /// Whether an object matches; an absent field is the empty string.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms
            .iter()
            .all(|term| (lookup(object, &term.field) == term.value) == term.equal)
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value demanded of `metadata.name`, if it demands one: such a list or watch is of one
    /// object.
    pub fn name(&self) -> Option<&str> {
        self.terms
            .iter()
            .find(|t| t.equal && t.field == "metadata.name")
            .map(|t| t.value.as_str())
    }
}

/// Fields of a built-in kind that can be selected on, besides name and namespace.
pub fn supported_fields(group: &str, kind: &str) -> Vec<String> {
    const REFERENCE: [&str; 7] = [
        "kind",
        "namespace",
        "name",
        "uid",
        "apiVersion",
        "resourceVersion",
        "fieldPath",
    ];
    let reference = |field: &str| {
        REFERENCE
            .iter()
            .map(|part| format!("{field}.{part}"))
            .collect::<Vec<_>>()
    };
    let plain = |fields: &[&str]| fields.iter().map(|f| (*f).to_string()).collect::<Vec<_>>();
    match (group, kind) {
        ("", "Event") => [
            reference("involvedObject"),
            plain(&["reason", "reportingComponent", "source", "type"]),
        ]
        .concat(),
        ("events.k8s.io", "Event") => [
            reference("regarding"),
            plain(&["reason", "reportingController", "type"]),
        ]
        .concat(),
        ("", "Namespace") => plain(&["name", "status.phase"]),
        ("", "Node") => plain(&["spec.unschedulable"]),
        ("", "PersistentVolume" | "PersistentVolumeClaim") => plain(&["name"]),
        ("", "Pod") => plain(&[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ]),
        ("", "Secret") => plain(&["type"]),
        ("", "Service") => plain(&["spec.clusterIP", "spec.type"]),
        ("batch", "Job") => plain(&["status.successful"]),
        _ => Vec::new(),
    }
}

/// The field as text. A few names are not those of the object's JSON, and a few absent values mean
/// something.
fn lookup(object: &Value, field: &str) -> String {
    let (path, absent) = match field {
        "name" => ("metadata.name", ""),
        "source" => ("source.component", ""),
        "status.successful" => ("status.succeeded", "0"),
        "spec.unschedulable" | "spec.hostNetwork" => (field, "false"),
        _ => (field, ""),
    };
    let found = path
        .split('.')
        .try_fold(object, |value, name| value.get(name));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None if field == "source" => lookup(object, "reportingComponent"),
        Some(Value::Null) | None => absent.to_string(),
        Some(other) => other.to_string(),
    }
}

/// Splits at commas that are not escaped.
fn split(selector: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, c) in selector.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&selector[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&selector[start..]);
    terms
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let position = term.find(['=', '!'])?;
    let rest = &term[position..];
    for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some(value) = rest.strip_prefix(operator) {
            return Some((&term[..position], equal, value));
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => {
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: \\{c}"
                    ));
                }
                None => return Err("invalid field selector: invalid escape sequence: \\".into()),
            },
            ',' | '=' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {}",
                    c as u32
                ));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_compared_as_text() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "node"}, "status": {"phase": "Running"}});
        let supported = supported_fields("", "Pod");
        let cases = [
            ("", true),
            ("metadata.name=p", true),
            ("metadata.name==p,status.phase!=Failed", true),
            ("status.phase=Failed", false),
            ("status.podIP=", true),
            ("spec.hostNetwork=false", true),
            (r"metadata.name=a\,b", false),
        ];
        for (selector, want) in cases {
            assert_eq!(
                FieldSelector::parse(selector, &supported)
                    .unwrap()
                    .matches(&pod),
                want,
                "{selector:?}"
            );
        }
        assert_eq!(
            FieldSelector::parse("metadata.name=p", &[]).unwrap().name(),
            Some("p")
        );
    }

    #[test]
    fn an_event_is_found_by_what_it_is_about() {
        let event = json!({"involvedObject": {"name": "x", "uid": "u"}, "source": {"component": "kubelet"}, "type": "Warning"});
        let supported = supported_fields("", "Event");
        let selector = "involvedObject.uid=u,involvedObject.name=x,type!=Normal,source=kubelet";
        assert!(
            FieldSelector::parse(selector, &supported)
                .unwrap()
                .matches(&event)
        );
    }

    #[test]
    fn unknown_fields_and_nonsense_are_refused() {
        let supported = [".spec.color".to_string()];
        assert!(FieldSelector::parse("spec.color=red", &supported).is_ok());
        let cases = [
            ("spec.size=1", "field label not supported: spec.size"),
            (
                "nonsense",
                "invalid selector: 'nonsense'; can't understand 'nonsense'",
            ),
            (
                r"spec.color=a\b",
                r"invalid field selector: invalid escape sequence: \b",
            ),
        ];
        for (selector, want) in cases {
            assert_eq!(
                FieldSelector::parse(selector, &supported)
                    .unwrap_err()
                    .to_string(),
                want
            );
        }
    }
}
