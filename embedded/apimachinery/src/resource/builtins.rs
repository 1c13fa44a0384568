//! The built-in resources, as their discovery documents list them.

use super::{ResourceInfo, SubresourceInfo};

/// All that can be done with stored objects.
const STORED: &str = "create,delete,deletecollection,get,list,patch,update,watch";
/// The same without deleting many at once: namespaces.
const NAMESPACES: &str = "create,delete,get,list,patch,update,watch";
/// Reviews are asked, not stored.
const ASKED: &str = "create";

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// Group, kind, plural, namespaced, short names, categories, verbs; all are of version v1.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    bool,
    &'static str,
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("", "ConfigMap", "configmaps", true, "cm", "", STORED),
    ("", "Event", "events", true, "ev", "", STORED),
    ("", "Namespace", "namespaces", false, "ns", "", NAMESPACES),
    ("", "Node", "nodes", false, "no", "", STORED),
    ("", "PersistentVolumeClaim", "persistentvolumeclaims", true, "pvc", "", STORED),
    ("", "PersistentVolume", "persistentvolumes", false, "pv", "", STORED),
    ("", "Pod", "pods", true, "po", "all", STORED),
    ("", "Secret", "secrets", true, "", "", STORED),
    ("", "ServiceAccount", "serviceaccounts", true, "sa", "", STORED),
    ("", "Service", "services", true, "svc", "all", STORED),
    ("events.k8s.io", "Event", "events", true, "ev", "", STORED),
    (AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", false, "", "", ASKED),
    (AUTHENTICATION, "TokenReview", "tokenreviews", false, "", "", ASKED),
    (AUTHORIZATION, "LocalSubjectAccessReview", "localsubjectaccessreviews", true, "", "", ASKED),
    (AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", false, "", "", ASKED),
    (AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews", false, "", "", ASKED),
    (AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", false, "", "", ASKED),
    ("batch", "Job", "jobs", true, "", "all", STORED),
    ("coordination.k8s.io", "Lease", "leases", true, "", "", STORED),
    (RBAC, "ClusterRoleBinding", "clusterrolebindings", false, "", "", STORED),
    (RBAC, "ClusterRole", "clusterroles", false, "", "", STORED),
    (RBAC, "RoleBinding", "rolebindings", true, "", "", STORED),
    (RBAC, "Role", "roles", true, "", "", STORED),
    (ADMISSION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", false, "", "api-extensions", STORED),
    (ADMISSION, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", false, "", "api-extensions", STORED),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", false, "crd,crds", "api-extensions", STORED),
];

/// Those with a status of its own.
const WITH_STATUS: &[&str] = &[
    "customresourcedefinitions",
    "jobs",
    "namespaces",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "services",
];

pub(super) fn builtins() -> Vec<ResourceInfo> {
    ROWS.iter().map(resource).collect()
}

fn resource(row: &Row) -> ResourceInfo {
    let &(group, kind, plural, namespaced, short_names, categories, verbs) = row;
    ResourceInfo {
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
        list_kind: format!("{kind}List"),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        short_names: words(short_names),
        categories: words(categories),
        namespaced,
        verbs: words(verbs),
        subresources: subresources(group, kind, plural),
    }
}

fn subresources(group: &str, kind: &str, plural: &str) -> Vec<SubresourceInfo> {
    let mut found = Vec::new();
    let mut add = |name: &str, group: &str, version: &str, kind: &str, verbs: &str| {
        found.push(SubresourceInfo {
            name: name.into(),
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            verbs: words(verbs),
        });
    };
    match (group, plural) {
        ("", "namespaces") => add("finalize", "", "", kind, "update"),
        ("", "pods") => add("log", "", "", kind, "get"),
        ("", "serviceaccounts") => add("token", AUTHENTICATION, "v1", "TokenRequest", "create"),
        _ => {}
    }
    if WITH_STATUS.contains(&plural) {
        add("status", "", "", kind, "get,patch,update");
    }
    found
}

fn words(list: &str) -> Vec<String> {
    list.split(',')
        .filter(|w| !w.is_empty())
        .map(Into::into)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schema;

    #[test]
    fn every_built_in_resource_has_a_schema() {
        for resource in builtins() {
            assert!(
                Schema::builtin(&resource.group, &resource.version, &resource.kind).is_some(),
                "{resource:?}"
            );
        }
    }
}
