//! Webhook configurations.

use serde_json::Value;

use super::{list, text};
use crate::field::{FieldError, Path};
use crate::selector::LabelSelector;
use crate::syntax::{self, Use};

/// Checks a ValidatingWebhookConfiguration or MutatingWebhookConfiguration.
pub(super) fn validate(configuration: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::ROOT;
    let base = root.child("webhooks");
    let mut names: Vec<&str> = Vec::new();
    for (index, hook) in list(configuration, "webhooks").iter().enumerate() {
        let path = base.index(index);
        let name = text(hook, "name");
        validate_name(name, &path.child("name"), errors);
        if names.contains(&name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        names.push(name);
        validate_hook(hook, &path, errors);
    }
}

fn validate_name(name: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let problems = syntax::dns_subdomain(name, Use::Name);
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !problems.is_empty() {
        errors.push(FieldError::invalid(path, name, problems.join(",")));
    } else if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path, name, detail));
    }
}

fn validate_hook(hook: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let choices: [(&str, &[&str]); 3] = [
        ("failurePolicy", &["Fail", "Ignore"]),
        ("matchPolicy", &["Equivalent", "Exact"]),
        ("reinvocationPolicy", &["IfNeeded", "Never"]),
    ];
    for (field, known) in choices {
        let given = text(hook, field);
        if !given.is_empty() && !known.contains(&given) {
            errors.push(FieldError::not_supported(path.child(field), given, known));
        }
    }
    match text(hook, "sideEffects") {
        "None" | "NoneOnDryRun" => {}
        "" => errors.push(FieldError::required(
            path.child("sideEffects"),
            "must specify one of None, NoneOnDryRun",
        )),
        other => {
            let known = ["None", "NoneOnDryRun"];
            errors.push(FieldError::not_supported(
                path.child("sideEffects"),
                other,
                &known,
            ));
        }
    }
    if let Some(seconds) = hook["timeoutSeconds"]
        .as_i64()
        .filter(|s| !(1..=30).contains(s))
    {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(
            path.child("timeoutSeconds"),
            seconds,
            detail,
        ));
    }
    let versions = list(hook, "admissionReviewVersions");
    let at = path.child("admissionReviewVersions");
    if versions.is_empty() {
        errors.push(FieldError::required(at, "must specify one of v1, v1beta1"));
    } else if !versions.iter().any(|v| v == "v1" || v == "v1beta1") {
        errors.push(FieldError::invalid(
            at,
            versions.to_vec(),
            "must include at least one of v1, v1beta1",
        ));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        if let Some(selector) = hook.get(field).filter(|s| s.is_object())
            && let Err(error) = LabelSelector::from_object(selector)
        {
            errors.push(FieldError::invalid(
                path.child(field),
                selector.clone(),
                error.to_string(),
            ));
        }
    }
    validate_client(&hook["clientConfig"], &path.child("clientConfig"), errors);
    let base = path.child("rules");
    for (index, rule) in list(hook, "rules").iter().enumerate() {
        validate_rule(rule, &base.index(index), errors);
    }
}

fn validate_client(client: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let url = text(client, "url");
    let (has_url, has_service) = (!url.is_empty(), client["service"].is_object());
    if has_url == has_service {
        errors.push(FieldError::required(
            path,
            "exactly one of url or service is required",
        ));
    }
    if !url.is_empty() && !url.starts_with("https://") {
        let detail = "'https' is the only allowed URL scheme; desired format: https://host[/path]";
        errors.push(FieldError::invalid(path.child("url"), url, detail));
    }
}

fn validate_rule(rule: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    for field in ["operations", "apiGroups", "apiVersions", "resources"] {
        if list(rule, field).is_empty() {
            errors.push(FieldError::required(path.child(field), ""));
        }
    }
    let base = path.child("operations");
    for (index, operation) in list(rule, "operations").iter().enumerate() {
        if !operation.as_str().is_some_and(|o| OPERATIONS.contains(&o)) {
            errors.push(FieldError::not_supported(
                base.index(index),
                operation.clone(),
                &OPERATIONS,
            ));
        }
    }
    let scope = text(rule, "scope");
    if !matches!(scope, "" | "*" | "Cluster" | "Namespaced") {
        errors.push(FieldError::not_supported(
            path.child("scope"),
            scope,
            &["*", "Cluster", "Namespaced"],
        ));
    }
}
