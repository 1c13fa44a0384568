//! Custom resources, as their definition describes them.

use serde_json::Value;

use super::{ResourceInfo, SubresourceInfo};

pub(super) fn from_crd(crd: &Value) -> Vec<ResourceInfo> {
    let spec = &crd["spec"];
    let accepted = &crd["status"]["acceptedNames"];
    let names = if accepted["plural"].is_string() {
        accepted
    } else {
        &spec["names"]
    };
    let (Some(group), Some(plural), Some(kind)) = (
        spec["group"].as_str(),
        names["plural"].as_str(),
        names["kind"].as_str(),
    ) else {
        return Vec::new();
    };
    let versions = spec["versions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let served = versions.iter().filter(|v| v["served"] == true);
    served
        .filter_map(|version| {
            Some(ResourceInfo {
                group: group.into(),
                version: version["name"].as_str()?.into(),
                kind: kind.into(),
                list_kind: names["listKind"]
                    .as_str()
                    .map_or_else(|| format!("{kind}List"), Into::into),
                plural: plural.into(),
                singular: names["singular"]
                    .as_str()
                    .map_or_else(|| kind.to_lowercase(), Into::into),
                short_names: strings(&names["shortNames"]),
                categories: strings(&names["categories"]),
                namespaced: spec["scope"] == "Namespaced",
                verbs: VERBS.iter().map(|v| (*v).into()).collect(),
                subresources: subresources(version, kind),
            })
        })
        .collect()
}

const VERBS: [&str; 8] = [
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

fn subresources(version: &Value, kind: &str) -> Vec<SubresourceInfo> {
    if !version["subresources"]["status"].is_object() {
        return Vec::new();
    }
    let verbs = ["get", "patch", "update"];
    vec![SubresourceInfo {
        name: "status".into(),
        group: String::new(),
        version: String::new(),
        kind: kind.into(),
        verbs: verbs.iter().map(|v| (*v).into()).collect(),
    }]
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(Value::as_str)
        .map(Into::into)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_served_versions_count_and_accepted_names_win() {
        let crd = json!({
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd", "taken"]},
                "versions": [
                    {"name": "v1", "served": true, "subresources": {"status": {}}},
                    {"name": "v0", "served": false}
                ]
            },
            "status": {"acceptedNames": {"plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList", "shortNames": ["wd"]}}
        });
        let resources = from_crd(&crd);
        assert_eq!(resources.len(), 1);
        assert_eq!(resources[0].short_names, ["wd"]);
        assert!(resources[0].has_subresource("status"));
        assert_eq!(from_crd(&json!({})), []);
    }
}
