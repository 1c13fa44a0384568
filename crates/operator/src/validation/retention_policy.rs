//! RetentionPolicy: its period can be read, and a namespace has one default.

use kube::ResourceExt;
use kubestash_api::storage::RetentionPolicy;
use kubestash_domain::period;

use super::{Others, Violation};

/// Judges a RetentionPolicy.
#[must_use]
pub(crate) fn retention_policy(object: &RetentionPolicy, others: &Others) -> Vec<Violation> {
    let mut violations = Vec::new();
    let period = object
        .spec
        .max_retention_period
        .as_deref()
        .unwrap_or_default();
    if let Err(error) = period::minutes(period) {
        violations.push(Violation::new(
            "spec.maxRetentionPeriod",
            format!("invalid duration provided: {error} (such as 30d, 2mo or 1y6mo; units are y, mo, w, d, h and m)"),
        ));
    }
    violations.extend(second_default(object, others));
    violations
}

fn second_default(object: &RetentionPolicy, others: &Others) -> Option<Violation> {
    if object.spec.default != Some(true) {
        return None;
    }
    let first = others.policies.iter().find(|candidate| {
        candidate.spec.default == Some(true)
            && candidate.namespace() == object.namespace()
            && candidate.name_any() != object.name_any()
            && candidate.metadata.deletion_timestamp.is_none()
    })?;
    Some(Violation::new(
        "spec.default",
        format!(
            "multiple default RetentionPolicies in namespace {} are not allowed, {} is the default already: \
             set default to false on one of them",
            object.namespace().unwrap_or_default(),
            first.name_any()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn policy(name: &str, spec: Value) -> RetentionPolicy {
        serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
            "metadata": {"name": name, "namespace": "demo"}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn the_period_must_be_readable() {
        let cases = [
            (json!({"maxRetentionPeriod": "2mo"}), vec![]),
            (json!({"successfulSnapshots": {"last": 5}}), vec![]),
            (json!({"maxRetentionPeriod": "1y2mo3w4d5h6m"}), vec![]),
            (
                json!({"maxRetentionPeriod": "10"}),
                vec!["spec.maxRetentionPeriod"],
            ),
            (
                json!({"maxRetentionPeriod": "5 d"}),
                vec!["spec.maxRetentionPeriod"],
            ),
        ];
        for (spec, expected) in cases {
            let violations = retention_policy(&policy("p", spec.clone()), &Others::default());
            let fields: Vec<_> = violations
                .iter()
                .map(|violation| violation.field.as_str())
                .collect();
            assert_eq!(fields, expected, "{spec}");
        }
    }

    #[test]
    fn a_namespace_has_one_default() {
        let default = json!({"default": true, "maxRetentionPeriod": "1d"});
        let others = Others {
            policies: vec![Arc::new(policy("first", default.clone()))],
            ..Others::default()
        };
        assert_eq!(
            retention_policy(&policy("first", default.clone()), &others),
            []
        );
        let violations = retention_policy(&policy("second", default), &others);
        assert_eq!(violations.len(), 1);
        assert!(
            violations[0]
                .to_string()
                .contains("first is the default already"),
            "{}",
            violations[0]
        );
    }
}
