//! Roles and their bindings.

use serde_json::{Value, json};

use super::{list, text};
use crate::field::{FieldError, Path};
use crate::resource::ResourceInfo;
use crate::syntax::{self, Use};

/// The group of RBAC.
pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

/// Fills in API groups that go without saying.
pub(super) fn default_binding(binding: &mut Value) {
    if binding["roleRef"].is_object() && text(&binding["roleRef"], "apiGroup").is_empty() {
        binding["roleRef"]["apiGroup"] = json!(GROUP);
    }
    let Some(subjects) = binding.get_mut("subjects").and_then(Value::as_array_mut) else {
        return;
    };
    for subject in subjects {
        if matches!(text(subject, "kind"), "User" | "Group") && text(subject, "apiGroup").is_empty()
        {
            subject["apiGroup"] = json!(GROUP);
        }
    }
}

/// Checks a Role or ClusterRole.
pub(super) fn validate_role(resource: &ResourceInfo, role: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::ROOT;
    let base = root.child("rules");
    for (index, rule) in list(role, "rules").iter().enumerate() {
        let path = base.index(index);
        if list(rule, "verbs").is_empty() {
            errors.push(FieldError::required(
                path.child("verbs"),
                "verbs must contain at least one value",
            ));
        }
        let urls = list(rule, "nonResourceURLs");
        if !urls.is_empty() {
            let about_resources = ["apiGroups", "resources", "resourceNames"]
                .iter()
                .any(|f| !list(rule, f).is_empty());
            let at = path.child("nonResourceURLs");
            if resource.namespaced {
                errors.push(FieldError::invalid(
                    at,
                    urls.to_vec(),
                    "namespaced rules cannot apply to non-resource URLs",
                ));
            }
            if about_resources {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(FieldError::invalid(at, urls.to_vec(), detail));
            }
            continue;
        }
        if list(rule, "apiGroups").is_empty() {
            let detail = "resource rules must supply at least one api group";
            errors.push(FieldError::required(path.child("apiGroups"), detail));
        }
        if list(rule, "resources").is_empty() {
            let detail = "resource rules must supply at least one resource";
            errors.push(FieldError::required(path.child("resources"), detail));
        }
    }
}

/// Checks a RoleBinding or ClusterRoleBinding.
pub(super) fn validate_binding(
    resource: &ResourceInfo,
    binding: &Value,
    errors: &mut Vec<FieldError>,
) {
    let root = Path::ROOT;
    let path = root.child("roleRef");
    let role = &binding["roleRef"];
    if text(role, "apiGroup") != GROUP {
        errors.push(FieldError::not_supported(
            path.child("apiGroup"),
            text(role, "apiGroup"),
            &[GROUP],
        ));
    }
    let kinds: &[&str] = if resource.namespaced {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    if !kinds.contains(&text(role, "kind")) {
        errors.push(FieldError::not_supported(
            path.child("kind"),
            text(role, "kind"),
            kinds,
        ));
    }
    let name = text(role, "name");
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    let problems = syntax::path_segment(name, Use::Name);
    errors.extend(
        problems
            .into_iter()
            .map(|p| FieldError::invalid(path.child("name"), name, p)),
    );
    let base = root.child("subjects");
    for (index, subject) in list(binding, "subjects").iter().enumerate() {
        validate_subject(subject, &base.index(index), errors);
    }
}

fn validate_subject(subject: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let (kind, name, group) = (
        text(subject, "kind"),
        text(subject, "name"),
        text(subject, "apiGroup"),
    );
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    match kind {
        "ServiceAccount" => {
            let problems = syntax::dns_subdomain(name, Use::Name)
                .into_iter()
                .filter(|_| !name.is_empty());
            errors.extend(problems.map(|p| FieldError::invalid(path.child("name"), name, p)));
            if !group.is_empty() {
                errors.push(FieldError::not_supported(
                    path.child("apiGroup"),
                    group,
                    &[""],
                ));
            }
            if text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(path.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(FieldError::not_supported(
                    path.child("apiGroup"),
                    group,
                    &[GROUP],
                ));
            }
        }
        other => {
            let known = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(path.child("kind"), other, &known));
        }
    }
}

/// Checks a change of a binding: it stays bound to the same role.
pub(super) fn validate_binding_update(binding: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    if binding["roleRef"] != old["roleRef"] {
        errors.push(FieldError::invalid(
            "roleRef",
            binding["roleRef"].clone(),
            "cannot change roleRef",
        ));
    }
}
