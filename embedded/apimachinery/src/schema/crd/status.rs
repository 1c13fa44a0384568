//! The status of a CRD: which names it got, and whether it is served.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{list, text};
use crate::resource::ResourceInfo;

/// The status of an accepted CRD: `acceptedNames`, `storedVersions` (those before plus the storage
/// version), the conditions NamesAccepted and Established. `taken` are the names used in the same
/// group by *others* (other CRDs and built-ins); a clash gives `NamesAccepted: False`, and a CRD
/// that was not Established before does not become it. Nothing changes (timestamps included) when
/// nothing changed.
pub fn crd_status(crd: &Value, taken: &[ResourceInfo], now: Timestamp) -> Value {
    let requested = &crd["spec"]["names"];
    let old = crd.get("status").cloned().unwrap_or_else(|| json!({}));
    let mut accepted = old
        .get("acceptedNames")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let group = text(&crd["spec"], "group");
    let others: Vec<&ResourceInfo> = taken.iter().filter(|r| r.group == group).collect();
    let conflict = accept(requested, &mut accepted, &others);

    let established_before = list(&old, "conditions")
        .iter()
        .any(|c| c["type"] == "Established" && c["status"] == "True");
    let names = match &conflict {
        None => condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
        Some((reason, message)) => condition("NamesAccepted", false, reason, message),
    };
    let established = if conflict.is_none() || established_before {
        condition(
            "Established",
            true,
            "InitialNamesAccepted",
            "the initial names have been accepted",
        )
    } else {
        condition(
            "Established",
            false,
            "NotAccepted",
            "not all names are accepted",
        )
    };

    let mut conditions: Vec<Value> = list(&old, "conditions").to_vec();
    for new in [names, established] {
        set_condition(&mut conditions, new, now);
    }
    let mut stored: Vec<Value> = list(&old, "storedVersions").to_vec();
    for version in list(&crd["spec"], "versions")
        .iter()
        .filter(|v| v["storage"] == true)
    {
        if !stored.contains(&version["name"]) {
            stored.push(version["name"].clone());
        }
    }
    json!({"acceptedNames": accepted, "conditions": conditions, "storedVersions": stored})
}

/// Takes over the requested names that are free; returns the last clash.
fn accept(
    requested: &Value,
    accepted: &mut Map<String, Value>,
    others: &[&ResourceInfo],
) -> Option<(&'static str, String)> {
    let resource_used = |name: &str| {
        others.iter().any(|r| {
            r.plural == name || r.singular == name || r.short_names.iter().any(|s| s == name)
        })
    };
    let kind_used = |name: &str| others.iter().any(|r| r.kind == name || r.list_kind == name);
    let mut conflict = None;
    for (field, reason, is_kind) in [
        ("plural", "PluralConflict", false),
        ("singular", "SingularConflict", false),
        ("kind", "KindConflict", true),
        ("listKind", "ListKindConflict", true),
    ] {
        let name = text(requested, field);
        let used = if is_kind {
            kind_used(name)
        } else {
            resource_used(name)
        };
        if used && accepted.get(field).and_then(Value::as_str) != Some(name) {
            conflict = Some((reason, format!("{name:?} is already in use")));
        } else if !name.is_empty() {
            accepted.insert(field.into(), name.into());
        }
    }
    let ours = accepted
        .get("shortNames")
        .cloned()
        .unwrap_or_else(|| json!([]));
    let clashes: Vec<String> = list(requested, "shortNames")
        .iter()
        .filter(|name| !ours.as_array().is_some_and(|o| o.contains(name)))
        .filter_map(Value::as_str)
        .filter(|name| resource_used(name))
        .map(|name| format!("{name:?} is already in use"))
        .collect();
    match clashes.as_slice() {
        [] => copy(requested, accepted, "shortNames"),
        [one] => conflict = Some(("ShortNamesConflict", one.clone())),
        many => conflict = Some(("ShortNamesConflict", format!("[{}]", many.join(", ")))),
    }
    copy(requested, accepted, "categories");
    conflict
}

fn copy(from: &Value, to: &mut Map<String, Value>, field: &str) {
    match from.get(field).filter(|v| !v.is_null()) {
        Some(value) => to.insert(field.into(), value.clone()),
        None => to.remove(field),
    };
}

fn condition(kind: &str, status: bool, reason: &str, message: &str) -> Value {
    let status = if status { "True" } else { "False" };
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

fn set_condition(conditions: &mut Vec<Value>, mut new: Value, now: Timestamp) {
    let position = conditions.iter().position(|c| c["type"] == new["type"]);
    let same_status = position.is_some_and(|i| conditions[i]["status"] == new["status"]);
    new["lastTransitionTime"] = match position.filter(|_| same_status) {
        Some(i) => conditions[i]["lastTransitionTime"].clone(),
        None => crate::time::second(now).into(),
    };
    match position {
        Some(i) => conditions[i] = new,
        None => conditions.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(status: Value) -> Value {
        json!({
            "spec": {
                "group": "example.com",
                "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"]},
                "versions": [{"name": "v1", "storage": true}]
            },
            "status": status
        })
    }

    #[test]
    fn free_names_are_accepted_and_the_second_look_changes_nothing() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let first = crd_status(&crd(json!({})), &[], now);
        assert_eq!(first["acceptedNames"]["shortNames"], json!(["wd"]));
        assert_eq!(first["conditions"][1]["type"], "Established");
        assert_eq!(first["conditions"][1]["status"], "True");
        assert_eq!(
            first["conditions"][1]["lastTransitionTime"],
            "2026-01-02T03:04:05Z"
        );
        let later = "2027-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(crd_status(&crd(first.clone()), &[], later), first);
    }

    #[test]
    fn a_name_in_use_keeps_the_definition_from_being_served() {
        let other = ResourceInfo {
            group: "example.com".into(),
            version: "v1".into(),
            kind: "Other".into(),
            list_kind: "OtherList".into(),
            plural: "others".into(),
            singular: "other".into(),
            short_names: vec!["wd".into()],
            categories: vec![],
            namespaced: true,
            verbs: vec![],
            subresources: vec![],
        };
        let status = crd_status(&crd(json!({})), &[other], Timestamp::UNIX_EPOCH);
        assert_eq!(status["conditions"][0]["reason"], "ShortNamesConflict");
        assert_eq!(
            status["conditions"][0]["message"],
            "\"wd\" is already in use"
        );
        assert_eq!(status["conditions"][1]["status"], "False");
    }
}
