//! Discovery: which groups, versions and resources there are.

use serde_json::{Value, json};

use crate::resource::{ResourceInfo, SubresourceInfo};

/// `/api`: APIVersions. `server_address` is `host:port`.
pub fn api_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]
    })
}

/// `/apis`: APIGroupList, without the core group. Groups in order of first appearance, versions
/// best first.
pub fn api_group_list(resources: &[ResourceInfo]) -> Value {
    let mut names: Vec<&str> = Vec::new();
    for resource in resources.iter().filter(|r| !r.group.is_empty()) {
        if !names.contains(&resource.group.as_str()) {
            names.push(&resource.group);
        }
    }
    let groups: Vec<Value> = names
        .into_iter()
        .filter_map(|name| group(resources, name))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`: APIGroup; `None` if nothing of the group is served.
pub fn api_group(resources: &[ResourceInfo], name: &str) -> Option<Value> {
    let mut group = group(resources, name)?;
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Some(group)
}

fn group(resources: &[ResourceInfo], name: &str) -> Option<Value> {
    let mut versions: Vec<&str> = Vec::new();
    for resource in resources
        .iter()
        .filter(|r| r.group == name && !name.is_empty())
    {
        if !versions.contains(&resource.version.as_str()) {
            versions.push(&resource.version);
        }
    }
    versions.sort_by_key(|version| priority(version));
    let versions: Vec<Value> = versions
        .iter()
        .map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v}))
        .collect();
    let preferred = versions.first()?.clone();
    Some(json!({"name": name, "versions": versions, "preferredVersion": preferred}))
}

/// `/api/v1`, `/apis/{group}/{version}`: APIResourceList; `None` if nothing of it is served.
pub fn api_resource_list(resources: &[ResourceInfo], group: &str, version: &str) -> Option<Value> {
    let mut entries = Vec::new();
    for resource in resources
        .iter()
        .filter(|r| r.group == group && r.version == version)
    {
        entries.push(entry(resource));
        entries.extend(
            resource
                .subresources
                .iter()
                .map(|subresource| subentry(resource, subresource)),
        );
    }
    if entries.is_empty() {
        return None;
    }
    entries.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let group_version = if group.is_empty() {
        version.to_string()
    } else {
        format!("{group}/{version}")
    };
    Some(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}),
    )
}

fn entry(resource: &ResourceInfo) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    entry
}

fn subentry(resource: &ResourceInfo, subresource: &SubresourceInfo) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", resource.plural, subresource.name),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": subresource.kind,
        "verbs": subresource.verbs,
    });
    if !subresource.version.is_empty() {
        entry["group"] = json!(subresource.group);
        entry["version"] = json!(subresource.version);
    }
    entry
}

/// Best first: stable before beta before alpha, then the higher number; other names come last, by
/// name.
fn priority(version: &str) -> (u8, std::cmp::Reverse<(u64, u64)>, String) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        for (level, word) in [(1, "beta"), (2, "alpha")] {
            if let Some((major, minor)) = rest.split_once(word) {
                return Some((level, major.parse().ok()?, minor.parse().ok()?));
            }
        }
        Some((0, rest.parse().ok()?, 0))
    };
    match parse() {
        Some((level, major, minor)) => (level, std::cmp::Reverse((major, minor)), String::new()),
        None => (3, std::cmp::Reverse((0, 0)), version.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_listed_best_first() {
        let mut versions = vec![
            "v1alpha1", "foo", "v2", "v1beta2", "v10", "v1", "v1beta1", "bar",
        ];
        versions.sort_by_key(|v| priority(v));
        assert_eq!(
            versions,
            [
                "v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "bar", "foo"
            ]
        );
    }

    #[test]
    fn the_core_group_lists_its_resources_with_subresources() {
        let list = api_resource_list(&ResourceInfo::builtins(), "", "v1").unwrap();
        let names: Vec<&str> = list["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["name"].as_str().unwrap())
            .collect();
        for name in [
            "configmaps",
            "namespaces/finalize",
            "pods/log",
            "pods/status",
            "serviceaccounts/token",
        ] {
            assert!(names.contains(&name), "{name}");
        }
        assert_eq!(list["groupVersion"], "v1");
        assert_eq!(
            api_resource_list(&ResourceInfo::builtins(), "apps", "v1"),
            None
        );
    }

    #[test]
    fn the_core_group_is_not_among_the_named_groups() {
        let list = api_group_list(&ResourceInfo::builtins());
        let names: Vec<&str> = list["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|g| g["name"].as_str().unwrap())
            .collect();
        assert!(names.contains(&"batch") && !names.contains(&""));
        assert_eq!(
            api_group(&ResourceInfo::builtins(), "batch").unwrap()["preferredVersion"]["groupVersion"],
            "batch/v1"
        );
    }
}
