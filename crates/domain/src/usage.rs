//! Who may use a BackupStorage, RetentionPolicy, BackupBlueprint or HookTemplate.
//!
//! `usagePolicy.allowedNamespaces` decides by the namespace that wants to use the object: `All`,
//! `Same` (only the object's own), or `Selector` (a label selector on the using namespace; the
//! object's own gets no free pass). An absent policy allows nothing; the defaulting webhook turns
//! it into `Same` before it is stored (`docs/compatibility.md`, "Usage policy").

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Whether an object in `owner_namespace` may be used from `namespace`, which has `labels`.
///
/// `from` and `selector` are those of `usagePolicy.allowedNamespaces`.
pub fn is_allowed(
    from: Option<&str>,
    selector: Option<&LabelSelector>,
    owner_namespace: &str,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    match from {
        Some("All") => true,
        Some("Same") => owner_namespace == namespace,
        Some("Selector") => selector.is_some_and(|selector| matches(selector, labels)),
        _ => false,
    }
}

/// Whether `labels` satisfy every requirement of `selector`; an operator that does not exist, or
/// one with the wrong number of values, satisfies nothing.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten().all(|rule| {
        let values = rule.values.as_deref().unwrap_or_default();
        let value = labels.get(&rule.key);
        match rule.operator.as_str() {
            "In" => !values.is_empty() && value.is_some_and(|value| values.contains(value)),
            "NotIn" => !values.is_empty() && value.is_none_or(|value| !values.contains(value)),
            "Exists" => values.is_empty() && value.is_some(),
            "DoesNotExist" => values.is_empty() && value.is_none(),
            _ => false,
        }
    });
    equal && expressions
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn requirement(key: &str, operator: &str, values: &[&str]) -> LabelSelector {
        LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: key.to_owned(),
                operator: operator.to_owned(),
                values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
            }]),
            match_labels: None,
        }
    }

    #[test]
    fn each_policy_allows_what_it_says() {
        let empty = LabelSelector::default();
        let prod = requirement("kubernetes.io/metadata.name", "In", &["prod", "staging"]);
        let own = labels(&[("kubernetes.io/metadata.name", "demo")]);
        let production = labels(&[("kubernetes.io/metadata.name", "prod")]);
        let cases = [
            (None, None, "demo", &own, false),
            (Some("All"), None, "prod", &production, true),
            (Some("Same"), None, "demo", &own, true),
            (Some("Same"), None, "prod", &production, false),
            (Some("Selector"), None, "demo", &own, false),
            (Some("Selector"), Some(&empty), "prod", &production, true),
            (Some("Selector"), Some(&prod), "prod", &production, true),
            (Some("Selector"), Some(&prod), "demo", &own, false),
            (Some("Everyone"), None, "demo", &own, false),
        ];
        for (from, selector, namespace, namespace_labels, expected) in cases {
            assert_eq!(
                is_allowed(from, selector, "demo", namespace, namespace_labels),
                expected,
                "{from:?} {selector:?} {namespace}"
            );
        }
    }

    #[test]
    fn every_operator_is_honoured_and_malformed_ones_match_nothing() {
        let set = labels(&[("env", "prod")]);
        let cases = [
            (requirement("env", "In", &["prod"]), true),
            (requirement("env", "In", &[]), false),
            (requirement("env", "NotIn", &["prod"]), false),
            (requirement("env", "NotIn", &["dev"]), true),
            (requirement("team", "NotIn", &["dev"]), true),
            (requirement("env", "Exists", &[]), true),
            (requirement("team", "Exists", &[]), false),
            (requirement("team", "DoesNotExist", &[]), true),
            (requirement("env", "Exists", &["x"]), false),
            (requirement("env", "Equals", &["prod"]), false),
        ];
        for (selector, expected) in cases {
            assert_eq!(matches(&selector, &set), expected, "{selector:?}");
        }
        let both = LabelSelector {
            match_labels: Some(labels(&[("env", "prod"), ("team", "a")])),
            match_expressions: None,
        };
        assert!(!matches(&both, &set));
    }
}
