//! Webhook configurations as the store holds them, and which requests a webhook is called for.

use kubestash_apimachinery::selector::LabelSelector;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::store::{GroupResource, Store};

/// A webhook of a configuration.
pub(super) struct Hook {
    pub(super) definition: Definition,
    pub(super) object_selector: LabelSelector,
    pub(super) namespace_selector: LabelSelector,
}

/// The fields of a webhook, as in `webhooks[]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) client_config: ClientConfig,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default = "fail")]
    pub(super) failure_policy: String,
    #[serde(default = "equivalent")]
    pub(super) match_policy: String,
    #[serde(default)]
    namespace_selector: Value,
    #[serde(default)]
    object_selector: Value,
    #[serde(default)]
    pub(super) side_effects: String,
    #[serde(default = "ten")]
    pub(super) timeout_seconds: u64,
    #[serde(default)]
    pub(super) match_conditions: Vec<MatchCondition>,
    #[serde(default)]
    pub(super) reinvocation_policy: String,
}

/// Where a webhook is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientConfig {
    #[serde(default)]
    pub(super) url: String,
    /// Base64 of PEM.
    #[serde(default)]
    pub(super) ca_bundle: String,
}

/// A CEL expression that must hold for the webhook to be called.
#[derive(Debug, Deserialize)]
pub(super) struct MatchCondition {
    pub(super) name: String,
    pub(super) expression: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    operations: Vec<String>,
    api_groups: Vec<String>,
    api_versions: Vec<String>,
    resources: Vec<String>,
    scope: String,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            operations: Vec::new(),
            api_groups: Vec::new(),
            api_versions: Vec::new(),
            resources: Vec::new(),
            scope: "*".to_owned(),
        }
    }
}

fn fail() -> String {
    "Fail".to_owned()
}

fn equivalent() -> String {
    "Equivalent".to_owned()
}

fn ten() -> u64 {
    10
}

/// What a rule is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) operation: &'a str,
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) resource: &'a str,
    pub(super) subresource: &'a str,
    pub(super) namespaced: bool,
}

impl Hook {
    /// Whether some rule names the request.
    pub(super) fn covers(&self, request: &Request<'_>) -> bool {
        self.definition
            .rules
            .iter()
            .any(|rule| rule.covers(request))
    }

    /// Whether either version of the object has the labels asked for.
    pub(super) fn selects(&self, objects: &[Option<&Value>]) -> bool {
        self.object_selector.is_empty()
            || objects
                .iter()
                .flatten()
                .any(|object| self.object_selector.matches_object(object))
    }

    /// Whether the namespace has the labels asked for.
    pub(super) fn selects_namespace(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.namespace_selector.is_empty() || self.namespace_selector.matches(labels)
    }
}

impl Rule {
    fn covers(&self, request: &Request<'_>) -> bool {
        let any =
            |list: &[String], wanted: &str| list.iter().any(|one| one == "*" || one == wanted);
        let scope = match self.scope.as_str() {
            "Namespaced" => request.namespaced,
            "Cluster" => !request.namespaced,
            _ => true,
        };
        scope
            && any(&self.operations, request.operation)
            && any(&self.api_groups, request.group)
            && any(&self.api_versions, request.version)
            && self
                .resources
                .iter()
                .any(|one| resource_covers(one, request))
    }
}

/// `*`, `*/*`, `pods`, `pods/*`, `pods/status`, `*/status`.
fn resource_covers(rule: &str, request: &Request<'_>) -> bool {
    let (resource, subresource) = rule.split_once('/').unwrap_or((rule, ""));
    let resource_fits = resource == "*" || resource == request.resource;
    let subresource_fits = subresource == "*" || subresource == request.subresource;
    resource_fits && subresource_fits
}

/// The webhooks of all configurations of one kind, in the order in which they are called.
pub(super) fn load(store: &Store, resource: &GroupResource) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for object in store.list(resource, None).objects {
        let value = object.value();
        for webhook in value["webhooks"].as_array().into_iter().flatten() {
            match hook(webhook) {
                Ok(hook) => hooks.push(hook),
                Err(error) => tracing::warn!(
                    configuration = object.key.name(),
                    %error,
                    "a webhook cannot be read and is not called"
                ),
            }
        }
    }
    hooks
}

fn hook(webhook: &Value) -> Result<Hook, String> {
    let definition: Definition =
        serde_json::from_value(webhook.clone()).map_err(|error| error.to_string())?;
    let selector = |value: &Value| match value {
        Value::Null => Ok(LabelSelector::default()),
        value => LabelSelector::from_object(value).map_err(|error| error.to_string()),
    };
    Ok(Hook {
        object_selector: selector(&definition.object_selector)?,
        namespace_selector: selector(&definition.namespace_selector)?,
        definition,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_covers_what_it_names_and_nothing_else() {
        let request = |operation, version, resource, subresource| Request {
            operation,
            group: "g",
            version,
            resource,
            subresource,
            namespaced: true,
        };
        let rule = |resources: &[&str], scope: &str| -> Rule {
            serde_json::from_value(json!({
                "operations": ["CREATE", "UPDATE"], "apiGroups": ["g"], "apiVersions": ["v1"],
                "resources": resources, "scope": scope,
            }))
            .unwrap()
        };
        for (resources, scope, request, covered) in [
            (
                vec!["things"],
                "*",
                request("CREATE", "v1", "things", ""),
                true,
            ),
            (
                vec!["things"],
                "Namespaced",
                request("CREATE", "v1", "things", ""),
                true,
            ),
            (
                vec!["things"],
                "Cluster",
                request("CREATE", "v1", "things", ""),
                false,
            ),
            (
                vec!["things"],
                "*",
                request("DELETE", "v1", "things", ""),
                false,
            ),
            (
                vec!["things"],
                "*",
                request("UPDATE", "v2", "things", ""),
                false,
            ),
            (
                vec!["things"],
                "*",
                request("UPDATE", "v1", "things", "status"),
                false,
            ),
            (
                vec!["things/*"],
                "*",
                request("UPDATE", "v1", "things", "status"),
                true,
            ),
            (
                vec!["*/status"],
                "*",
                request("UPDATE", "v1", "things", "status"),
                true,
            ),
            (
                vec!["*"],
                "*",
                request("UPDATE", "v1", "things", "status"),
                false,
            ),
            (vec!["*"], "*", request("UPDATE", "v1", "things", ""), true),
            (
                vec!["*/*"],
                "*",
                request("UPDATE", "v1", "things", "status"),
                true,
            ),
        ] {
            assert_eq!(
                rule(&resources, scope).covers(&request),
                covered,
                "{resources:?} {request:?}"
            );
        }
    }
}
