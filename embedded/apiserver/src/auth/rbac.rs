//! Role-based access control for ServiceAccounts: what the Roles and ClusterRoles bound to a user
//! allow.
//!
//! Invariant: nothing is allowed that no rule allows; the rules are those in the store at the time
//! of the request.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use kubestash_apimachinery::selector::LabelSelector;
use serde::Deserialize;
use serde_json::{Value, json};

use super::user::{User, service_account_user_name};
use crate::store::{GroupResource, Store};

/// The API group of roles and bindings.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

/// What a request wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// `pods`, or `pods/log` for a subresource.
    pub(crate) resource: &'a str,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: &'a str,
    /// Set for a path that is no resource; the four before are then empty.
    pub(crate) path: Option<&'a str>,
}

/// One rule of a role.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Debug, Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

struct Binding {
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    subjects: Vec<Subject>,
    role: RoleRef,
}

/// All roles and bindings of one state of the store.
#[derive(Default)]
struct Index {
    /// Newest change of each of the four resources.
    seen: [u64; 4],
    /// Rules by namespace (empty for ClusterRoles) and name.
    roles: HashMap<(String, String), Vec<Rule>>,
    bindings: Vec<Binding>,
}

/// Decides requests.
#[derive(Default)]
pub(crate) struct Rbac {
    index: Mutex<Arc<Index>>,
}

impl Rbac {
    /// Whether `user` may do what `attributes` say.
    pub(crate) fn allows(&self, store: &Store, user: &User, attributes: &Attributes<'_>) -> bool {
        if user.is_master() {
            return true;
        }
        let index = self.index(store);
        let namespace = attributes.namespace.unwrap_or_default();
        index
            .rules_for(user, namespace)
            .any(|rule| rule.allows(attributes))
    }

    /// The rules that apply to `user` in `namespace`: `resourceRules` and `nonResourceRules` of a
    /// rules review.
    pub(crate) fn review(
        &self,
        store: &Store,
        user: &User,
        namespace: &str,
    ) -> (Vec<Value>, Vec<Value>) {
        let everything = Rule::everything();
        let index = self.index(store);
        let mut rules: Vec<&Rule> = index.rules_for(user, namespace).collect();
        if user.is_master() {
            rules.extend(&everything);
        }
        let (mut resource, mut other) = (Vec::new(), Vec::new());
        for rule in rules {
            if !rule.resources.is_empty() {
                let mut shown = json!({
                    "verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources,
                });
                if !rule.resource_names.is_empty() {
                    shown["resourceNames"] = rule.resource_names.clone().into();
                }
                resource.push(shown);
            }
            if !rule.non_resource_urls.is_empty() {
                other.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
            }
        }
        (resource, other)
    }

    /// The rules of a role; `namespace` is empty for a ClusterRole.
    pub(crate) fn role(&self, store: &Store, namespace: &str, name: &str) -> Vec<Rule> {
        let key = (namespace.to_owned(), name.to_owned());
        self.index(store)
            .roles
            .get(&key)
            .cloned()
            .unwrap_or_default()
    }

    fn index(&self, store: &Store) -> Arc<Index> {
        let resources = [
            "roles",
            "clusterroles",
            "rolebindings",
            "clusterrolebindings",
        ]
        .map(|resource| GroupResource::new(GROUP, resource));
        let mut current = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = resources
            .each_ref()
            .map(|resource| store.last_change(resource));
        if current.seen != newest {
            *current = Arc::new(Index::build(store, newest, &resources));
        }
        current.clone()
    }
}

impl Index {
    fn build(store: &Store, seen: [u64; 4], resources: &[GroupResource; 4]) -> Self {
        let mut index = Self {
            seen,
            ..Self::default()
        };
        let [roles, cluster_roles, role_bindings, cluster_role_bindings] = resources;
        let mut aggregated = Vec::new();
        for object in [roles, cluster_roles]
            .into_iter()
            .flat_map(|resource| store.list(resource, None).objects)
        {
            let value = object.value();
            let rules: Vec<Rule> =
                serde_json::from_value(value["rules"].clone()).unwrap_or_default();
            let name = (
                object.key.namespace().to_owned(),
                object.key.name().to_owned(),
            );
            let selectors = value["aggregationRule"]["clusterRoleSelectors"]
                .as_array()
                .cloned();
            aggregated.extend(selectors.map(|selectors| (name.clone(), selectors)));
            index.roles.insert(name, rules);
        }
        for (name, selectors) in aggregated {
            let rules = aggregate(store, cluster_roles, &selectors, &index.roles);
            index.roles.insert(name, rules);
        }
        for object in [role_bindings, cluster_role_bindings]
            .into_iter()
            .flat_map(|resource| store.list(resource, None).objects)
        {
            let value = object.value();
            let Ok(role) = serde_json::from_value(value["roleRef"].clone()) else {
                continue;
            };
            index.bindings.push(Binding {
                namespace: object.key.namespace().to_owned(),
                subjects: serde_json::from_value(value["subjects"].clone()).unwrap_or_default(),
                role,
            });
        }
        index
    }

    fn rules_for<'a>(
        &'a self,
        user: &'a User,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Rule> {
        self.bindings
            .iter()
            .filter(move |binding| binding.namespace.is_empty() || binding.namespace == namespace)
            .filter(move |binding| {
                binding
                    .subjects
                    .iter()
                    .any(|subject| subject.is(user, &binding.namespace))
            })
            .flat_map(|binding| {
                let scope = match binding.role.kind.as_str() {
                    "ClusterRole" => String::new(),
                    _ => binding.namespace.clone(),
                };
                self.roles
                    .get(&(scope, binding.role.name.clone()))
                    .into_iter()
                    .flatten()
            })
    }
}

fn aggregate(
    store: &Store,
    cluster_roles: &GroupResource,
    selectors: &[Value],
    roles: &HashMap<(String, String), Vec<Rule>>,
) -> Vec<Rule> {
    let selectors: Vec<LabelSelector> = selectors
        .iter()
        .filter_map(|selector| LabelSelector::from_object(selector).ok())
        .collect();
    store
        .list(cluster_roles, None)
        .objects
        .iter()
        .filter(|role| {
            selectors
                .iter()
                .any(|selector| selector.matches(role.labels.as_ref()))
        })
        .filter_map(|role| roles.get(&(String::new(), role.key.name().to_owned())))
        .flatten()
        .cloned()
        .collect()
}

impl Subject {
    fn is(&self, user: &User, binding_namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => user.name == self.name,
            "Group" => user.groups.contains(&self.name),
            "ServiceAccount" => {
                let namespace = if self.namespace.is_empty() {
                    binding_namespace
                } else {
                    &self.namespace
                };
                user.name == service_account_user_name(namespace, &self.name)
            }
            _ => false,
        }
    }
}

impl Rule {
    /// Rules that allow everything.
    pub(crate) fn everything() -> [Self; 2] {
        let all = || vec!["*".to_owned()];
        let resources = Self {
            verbs: all(),
            api_groups: all(),
            resources: all(),
            ..Self::default()
        };
        let paths = Self {
            verbs: all(),
            non_resource_urls: all(),
            ..Self::default()
        };
        [resources, paths]
    }

    /// Everything that the rule allows, one by one.
    pub(crate) fn demands<'a>(&'a self, namespace: Option<&'a str>) -> Vec<Attributes<'a>> {
        let names: Vec<&str> = match self.resource_names.as_slice() {
            [] => vec![""],
            names => names.iter().map(String::as_str).collect(),
        };
        let mut demands = Vec::new();
        for verb in &self.verbs {
            for path in &self.non_resource_urls {
                demands.push(Attributes {
                    verb,
                    path: Some(path),
                    ..Attributes::default()
                });
            }
            for (group, resource) in self
                .api_groups
                .iter()
                .flat_map(|group| self.resources.iter().map(move |resource| (group, resource)))
            {
                demands.extend(names.iter().map(|name| Attributes {
                    verb,
                    group,
                    resource,
                    namespace,
                    name,
                    path: None,
                }));
            }
        }
        demands
    }

    fn allows(&self, wanted: &Attributes<'_>) -> bool {
        if !contains(&self.verbs, wanted.verb) {
            return false;
        }
        if let Some(path) = wanted.path {
            return self
                .non_resource_urls
                .iter()
                .any(|url| path_matches(url, path));
        }
        contains(&self.api_groups, wanted.group)
            && self
                .resources
                .iter()
                .any(|resource| resource_matches(resource, wanted.resource))
            && (self.resource_names.is_empty()
                || (!wanted.name.is_empty()
                    && self.resource_names.iter().any(|name| name == wanted.name)))
    }
}

/// As Kubernetes shows a rule: `{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("ResourceNames", &self.resource_names),
            ("NonResourceURLs", &self.non_resource_urls),
            ("Verbs", &self.verbs),
        ];
        let shown: Vec<String> = parts
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| format!("{name}:{}", quoted(values)))
            .collect();
        write!(f, "{{{}}}", shown.join(", "))
    }
}

/// A list as Kubernetes shows it: `["a" "b"]`.
pub(super) fn quoted(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn contains(allowed: &[String], wanted: &str) -> bool {
    allowed.iter().any(|one| one == "*" || one == wanted)
}

/// `*`, the exact name, or `*/log` for that subresource of every resource.
fn resource_matches(allowed: &str, wanted: &str) -> bool {
    if allowed == "*" || allowed == wanted {
        return true;
    }
    match (allowed.strip_prefix("*/"), wanted.split_once('/')) {
        (Some(allowed), Some((_, subresource))) => allowed == subresource,
        _ => false,
    }
}

fn path_matches(allowed: &str, path: &str) -> bool {
    match allowed.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => allowed == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(rule: Value) -> Rule {
        serde_json::from_value(rule).unwrap()
    }

    #[test]
    fn a_rule_allows_exactly_what_it_names() {
        let named = rule(
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets", "pods/log"], "resourceNames": ["a"]}),
        );
        let any = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        let status =
            rule(json!({"verbs": ["patch"], "apiGroups": ["g"], "resources": ["*/status"]}));
        let paths = rule(json!({"verbs": ["get"], "nonResourceURLs": ["/api/*", "/version"]}));
        let on = |verb, group, resource, name| Attributes {
            verb,
            group,
            resource,
            name,
            ..Attributes::default()
        };
        let at = |path| Attributes {
            verb: "get",
            path: Some(path),
            ..Attributes::default()
        };
        for (rule, wanted, allowed) in [
            (&named, on("get", "", "secrets", "a"), true),
            (&named, on("get", "", "secrets", "b"), false),
            (&named, on("list", "", "secrets", "a"), false),
            (&named, on("get", "", "secrets", ""), false),
            (&named, on("get", "", "pods", "a"), false),
            (&named, on("get", "", "pods/log", "a"), true),
            (&named, on("get", "g", "secrets", "a"), false),
            (&any, on("delete", "g", "things/status", ""), true),
            (&status, on("patch", "g", "things/status", "x"), true),
            (&status, on("patch", "g", "things", "x"), false),
            (&status, on("patch", "g", "things/scale", "x"), false),
            (&paths, at("/api/v1"), true),
            (&paths, at("/version"), true),
            (&paths, at("/versions"), false),
            (&any, at("/api"), false),
        ] {
            assert_eq!(rule.allows(&wanted), allowed, "{rule:?} {wanted:?}");
        }
    }
}
