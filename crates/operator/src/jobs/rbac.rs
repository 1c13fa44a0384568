//! What a Job may do: Roles that name exactly the objects it works on.
//!
//! Invariant: a rule names its objects (`resourceNames`) unless the verb cannot be limited by name
//! (`list`, `create`), which has to be asked for with [`Access::any`]. Nothing here gives a right
//! in a namespace, or on an object, that was not asked for by name.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

/// One kind of right: group, resource, verbs.
type Right = (&'static str, &'static str, &'static [&'static str]);

/// Everything one Job may do, in all namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Access {
    namespaces: BTreeMap<String, BTreeMap<Right, Names>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    Any,
    These(BTreeSet<String>),
}

impl Access {
    /// Allows `verbs` on the one object `name`; a name that is empty allows nothing.
    pub(crate) fn one(
        &mut self,
        namespace: &str,
        group: &'static str,
        resource: &'static str,
        verbs: &'static [&'static str],
        name: &str,
    ) {
        if name.is_empty() {
            return;
        }
        let rights = self.namespaces.entry(namespace.to_owned()).or_default();
        match rights
            .entry((group, resource, verbs))
            .or_insert_with(|| Names::These(BTreeSet::new()))
        {
            Names::Any => {}
            Names::These(names) => {
                names.insert(name.to_owned());
            }
        }
    }

    /// Allows `verbs` on all objects of a resource in `namespace`: only for verbs that no name can
    /// limit.
    pub(crate) fn any(
        &mut self,
        namespace: &str,
        group: &'static str,
        resource: &'static str,
        verbs: &'static [&'static str],
    ) {
        self.namespaces
            .entry(namespace.to_owned())
            .or_default()
            .insert((group, resource, verbs), Names::Any);
    }

    /// The namespaces in which something is allowed.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.keys().map(String::as_str)
    }

    fn rules(&self, namespace: &str) -> Vec<PolicyRule> {
        let rights = self.namespaces.get(namespace);
        rights
            .into_iter()
            .flatten()
            .map(|((group, resource, verbs), names)| PolicyRule {
                api_groups: Some(vec![(*group).to_owned()]),
                resources: Some(vec![(*resource).to_owned()]),
                verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
                resource_names: match names {
                    Names::Any => None,
                    Names::These(names) => Some(names.iter().cloned().collect()),
                },
                ..PolicyRule::default()
            })
            .collect()
    }
}

/// Who gets the rights: the Job's ServiceAccount, and the object that all this is deleted with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder<'a> {
    /// Name of the Job, and of everything made here.
    pub name: &'a str,
    /// Namespace of the Job.
    pub namespace: &'a str,
    /// A ServiceAccount of the user's that is used instead of one of our own.
    pub own_account: Option<&'a str>,
    /// The session, as owner of what lies in its namespace.
    pub owner: &'a OwnerReference,
    /// Labels of everything made here; what lies in other namespaces is found by them when the
    /// session goes.
    pub labels: &'a BTreeMap<String, String>,
}

/// The objects that give a Job its rights.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Rbac {
    /// The Job's ServiceAccount; none if the user brings one.
    pub account: Option<ServiceAccount>,
    /// One Role for each namespace.
    pub roles: Vec<Role>,
    /// One RoleBinding for each Role.
    pub bindings: Vec<RoleBinding>,
}

/// Builds the objects that give `holder` its `access`.
#[must_use]
pub(crate) fn build(holder: Holder<'_>, access: &Access) -> Rbac {
    let account_name = holder.own_account.unwrap_or(holder.name);
    let mut rbac = Rbac {
        account: holder.own_account.is_none().then(|| ServiceAccount {
            metadata: metadata(holder, holder.namespace),
            ..ServiceAccount::default()
        }),
        ..Rbac::default()
    };
    for namespace in access.namespaces() {
        let name = name_in(namespace, holder.namespace, holder.name);
        rbac.roles.push(Role {
            metadata: metadata(holder, namespace),
            rules: Some(access.rules(namespace)),
        });
        rbac.bindings.push(RoleBinding {
            metadata: metadata(holder, namespace),
            role_ref: RoleRef {
                api_group: Some(Role::group(&()).into_owned()),
                kind: Role::kind(&()).into_owned(),
                name,
            },
            subjects: Some(vec![Subject {
                kind: ServiceAccount::kind(&()).into_owned(),
                name: account_name.to_owned(),
                namespace: Some(holder.namespace.to_owned()),
                ..Subject::default()
            }]),
        });
    }
    rbac
}

/// The name that the Role and RoleBinding of the Job `name` of the namespace `own` have in
/// `namespace`. In another namespace it is one that no user and no other Job can have: two tenants
/// may call their sessions alike, and a session may be called like somebody's Role there.
#[must_use]
pub(crate) fn name_in(namespace: &str, own: &str, name: &str) -> String {
    if namespace == own {
        name.to_owned()
    } else {
        format!("kubestash:{own}:{name}")
    }
}

/// An owner in another namespace would make the garbage collector delete the object at once; there
/// the session's finalizer deletes it.
fn metadata(holder: Holder<'_>, namespace: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name_in(namespace, holder.namespace, holder.name)),
        namespace: Some(namespace.to_owned()),
        labels: Some(holder.labels.clone()),
        owner_references: (namespace == holder.namespace).then(|| vec![holder.owner.clone()]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[&str] = &["get"];

    fn holder<'a>(owner: &'a OwnerReference, labels: &'a BTreeMap<String, String>) -> Holder<'a> {
        Holder {
            name: "session-1",
            namespace: "demo",
            own_account: None,
            owner,
            labels,
        }
    }

    #[test]
    fn every_rule_names_its_objects_except_those_asked_for_without() {
        let mut access = Access::default();
        access.one("demo", "", "secrets", GET, "encrypt-secret");
        access.one("demo", "", "secrets", GET, "gcs-secret");
        access.one("demo", "", "secrets", GET, "");
        access.any("demo", "storage.kubestash.com", "snapshots", &["list"]);
        let (owner, labels) = (OwnerReference::default(), BTreeMap::new());
        let rbac = build(holder(&owner, &labels), &access);
        assert_eq!(rbac.roles.len(), 1);
        let rules = rbac.roles[0].rules.as_deref().unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!(
            rules[0].resource_names.as_deref().unwrap(),
            ["encrypt-secret".to_owned(), "gcs-secret".to_owned()]
        );
        assert_eq!(rules[1].resource_names, None);
        assert_eq!(rules[1].verbs, ["list"]);
    }

    #[test]
    fn a_right_in_another_namespace_has_a_role_there_bound_to_the_jobs_account_and_owned_by_nobody()
    {
        let mut access = Access::default();
        access.one("demo", "", "secrets", GET, "a");
        access.one("storage", "", "secrets", GET, "b");
        let (owner, labels) = (OwnerReference::default(), BTreeMap::new());
        let rbac = build(holder(&owner, &labels), &access);
        let account = rbac.account.unwrap();
        assert_eq!(account.metadata.namespace.as_deref(), Some("demo"));
        for (binding, namespace) in rbac.bindings.iter().zip(["demo", "storage"]) {
            assert_eq!(binding.metadata.namespace.as_deref(), Some(namespace));
            let name = match namespace {
                "demo" => "session-1",
                _ => "kubestash:demo:session-1",
            };
            assert_eq!(binding.role_ref.name, name);
            assert_eq!(binding.metadata.name.as_deref(), Some(name));
            let subject = &binding.subjects.as_deref().unwrap()[0];
            assert_eq!(
                (subject.name.as_str(), subject.namespace.as_deref()),
                ("session-1", Some("demo"))
            );
            assert_eq!(
                binding.metadata.owner_references.is_some(),
                namespace == "demo"
            );
        }
    }

    #[test]
    fn a_users_own_account_is_bound_and_none_is_made() {
        let mut access = Access::default();
        access.one("demo", "", "secrets", GET, "a");
        let (owner, labels) = (OwnerReference::default(), BTreeMap::new());
        let rbac = build(
            Holder {
                own_account: Some("reader"),
                ..holder(&owner, &labels)
            },
            &access,
        );
        assert_eq!(rbac.account, None);
        assert_eq!(
            rbac.bindings[0].subjects.as_deref().unwrap()[0].name,
            "reader"
        );
    }
}
