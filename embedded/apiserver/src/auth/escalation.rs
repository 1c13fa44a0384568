//! Nobody can give away more than they have: writing a role needs every right that it names, and
//! writing a binding every right of the role it binds, or else the verb `escalate` or `bind` on it.

use kubestash_apimachinery::Status;
use serde_json::Value;

use super::rbac::{Attributes, GROUP, Rule, quoted};
use crate::app::App;
use crate::registry::{Caller, Refused, Target};

/// Refuses a write of a role or binding that would give the caller's rights to more than the caller
/// has.
pub(crate) fn check(
    app: &App,
    target: &Target,
    caller: &Caller,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), Refused> {
    let info = target.info();
    if info.group != GROUP || caller.user.is_master() || !target.subresource.is_empty() {
        return Ok(());
    }
    let unchanged = |field: &str| old.is_some_and(|old| old[field] == new[field]);
    let (verb, resource, name, rules) = match info.plural.as_str() {
        "roles" | "clusterroles" => {
            if unchanged("rules") && unchanged("aggregationRule") {
                return Ok(());
            }
            // What an aggregated role comes to hold is not known yet.
            let rules = if new["aggregationRule"].is_object() {
                Rule::everything().to_vec()
            } else {
                serde_json::from_value(new["rules"].clone()).unwrap_or_default()
            };
            let name = new["metadata"]["name"].as_str().unwrap_or_default();
            ("escalate", info.plural.as_str(), name, rules)
        }
        "rolebindings" | "clusterrolebindings" => {
            if unchanged("roleRef") && unchanged("subjects") {
                return Ok(());
            }
            let role = &new["roleRef"];
            let name = role["name"].as_str().unwrap_or_default();
            let (resource, scope) = match role["kind"].as_str() {
                Some("ClusterRole") => ("clusterroles", ""),
                _ => ("roles", target.namespace.as_deref().unwrap_or_default()),
            };
            (
                "bind",
                resource,
                name,
                app.rbac.role(&app.store, scope, name),
            )
        }
        _ => return Ok(()),
    };
    let allows =
        |attributes: &Attributes<'_>| app.rbac.allows(&app.store, &caller.user, attributes);
    let namespace = target.namespace.as_deref();
    let exempt = Attributes {
        verb,
        group: GROUP,
        resource,
        namespace,
        name,
        path: None,
    };
    let missing: Vec<String> = rules
        .iter()
        .filter(|rule| !rule.demands(namespace).iter().all(&allows))
        .map(ToString::to_string)
        .collect();
    if missing.is_empty() || allows(&exempt) {
        return Ok(());
    }
    let why = format!(
        "user \"{}\" (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        caller.user.name,
        quoted(&caller.user.groups),
        missing.join("\n")
    );
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    Err(Box::new(Status::forbidden(info, name, &why)))
}
