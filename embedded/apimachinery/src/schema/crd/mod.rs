//! CustomResourceDefinitions: what is wrong with one, what the server fills in, and its status.

mod names;
mod printer;
mod schema_node;
mod status;
mod structural;
mod versions;

use serde_json::{Map, Value, json};
pub use status::crd_status;

use crate::field::{FieldError, Path};
use crate::syntax::{self, Use};

const IMMUTABLE: &str = "field is immutable";

/// All that is wrong with the spec of a CustomResourceDefinition, which must have been through
/// [`prepare_crd`]. The rules of `metadata` are in [`crate::strategy::validate_create`].
pub fn check_crd(crd: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = Path::ROOT;
    let spec = crd.get("spec").cloned().unwrap_or_else(|| json!({}));
    let path = root.child("spec");
    let group = text(&spec, "group");
    let required = format!("{}.{group}", text(&spec["names"], "plural"));
    let name = text(&crd["metadata"], "name");
    if !name.is_empty() && name != required {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", name, detail));
    }
    check_group(group, &path, &mut errors);
    check_scope(text(&spec, "scope"), &path, &mut errors);
    versions::check(&spec, &path, &mut errors);
    names::check(&spec["names"], &path.child("names"), true, &mut errors);
    check_conversion(&spec, &path, &mut errors);
    if spec["preserveUnknownFields"] == json!(true) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid(
            path.child("preserveUnknownFields"),
            true,
            detail,
        ));
    }
    errors
}

/// What is wrong with the spec of a definition that takes the place of `old`: rules that were too
/// expensive before are let through, as Kubernetes does, so that a definition that is in use can be
/// changed at all.
pub fn check_changed_crd(crd: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = check_crd(crd);
    if errors.iter().any(super::cel::is_cost_finding) {
        let before = check_crd(old);
        errors.retain(|error| !(super::cel::is_cost_finding(error) && before.contains(error)));
    }
    errors
}

/// What is wrong with an update of a CustomResourceDefinition beyond [`check_crd`]: immutable
/// fields, and versions that are still stored.
pub fn check_crd_update(crd: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut immutable = vec!["/spec/group", "/spec/names/plural"];
    if is_established(old) {
        immutable.extend(["/spec/scope", "/spec/names/kind"]);
    }
    for pointer in immutable {
        let (new, old) = (crd.pointer(pointer), old.pointer(pointer));
        if new != old {
            let path = pointer[1..].replace('/', ".");
            errors.push(FieldError::invalid(
                path,
                new.cloned().unwrap_or(Value::Null),
                IMMUTABLE,
            ));
        }
    }
    let versions: Vec<&str> = list(&crd["spec"], "versions")
        .iter()
        .map(|v| text(v, "name"))
        .collect();
    let stored = list(&old["status"], "storedVersions");
    for (index, version) in stored.iter().filter_map(Value::as_str).enumerate() {
        if !versions.contains(&version) {
            let detail = format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {version} and removes {version} from status.storedVersions"
            );
            errors.push(FieldError::invalid(
                format!("status.storedVersions[{index}]"),
                version,
                detail,
            ));
        }
    }
    errors
}

/// Fills in what a CRD may leave out: singular, listKind, conversion, `status.storedVersions`.
pub fn prepare_crd(crd: &mut Value) {
    let Some(root) = crd.as_object_mut() else {
        return;
    };
    let spec = root.entry("spec").or_insert_with(|| json!({}));
    let kind = text(&spec["names"], "kind").to_string();
    let storage = list(spec, "versions")
        .iter()
        .find(|v| v["storage"] == true)
        .map(|v| v["name"].clone());
    let Some(spec) = spec.as_object_mut() else {
        return;
    };
    if let Some(names) = spec
        .entry("names")
        .or_insert_with(|| json!({}))
        .as_object_mut()
    {
        fill(names, "singular", &kind.to_lowercase());
        if !kind.is_empty() {
            fill(names, "listKind", &format!("{kind}List"));
        }
    }
    spec.entry("conversion")
        .or_insert_with(|| json!({"strategy": "None"}));
    if spec.get("preserveUnknownFields") == Some(&Value::Bool(false)) {
        spec.remove("preserveUnknownFields");
    }
    if let Some(storage) = storage
        && let Some(status) = root
            .entry("status")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        let stored = status.entry("storedVersions").or_insert_with(|| json!([]));
        if stored.as_array().is_none_or(Vec::is_empty) {
            *stored = json!([storage]);
        }
    }
}

fn check_group(group: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("group");
    let problems = syntax::dns_subdomain(group, Use::Name);
    if group.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !problems.is_empty() {
        errors.push(FieldError::invalid(path, group, problems.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(
            path,
            group,
            "should be a domain with at least one dot",
        ));
    }
}

fn check_scope(scope: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    match scope {
        "Cluster" | "Namespaced" => {}
        "" => errors.push(FieldError::required(path.child("scope"), "")),
        other => errors.push(FieldError::not_supported(
            path.child("scope"),
            other,
            &["Cluster", "Namespaced"],
        )),
    }
}

/// Conversion between versions needs a webhook, which the embedded server does not call: versions
/// may only be the same.
fn check_conversion(spec: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let strategy = text(&spec["conversion"], "strategy");
    let path = path.child("conversion");
    match strategy {
        "None" | "Webhook" => {}
        "" => errors.push(FieldError::required(path.child("strategy"), "")),
        other => errors.push(FieldError::not_supported(
            path.child("strategy"),
            other,
            &["None", "Webhook"],
        )),
    }
    if strategy == "None" && spec["conversion"].get("webhook").is_some() {
        let detail = "should not be set when strategy is not set to Webhook";
        errors.push(FieldError::forbidden(
            path.child("webhookClientConfig"),
            detail,
        ));
    }
}

fn is_established(crd: &Value) -> bool {
    list(&crd["status"], "conditions")
        .iter()
        .any(|c| c["type"] == "Established" && c["status"] == "True")
}

fn fill(map: &mut Map<String, Value>, name: &str, text: &str) {
    let absent = map
        .get(name)
        .and_then(Value::as_str)
        .is_none_or(str::is_empty);
    if absent && !text.is_empty() {
        map.insert(name.into(), text.into());
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd() -> Value {
        let mut crd = json!({
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"spec": {"type": "object", "properties": {"x": {"type": "string"}}}}
                }}}]
            }
        });
        prepare_crd(&mut crd);
        crd
    }

    fn errors_after(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut crd = crd();
        change(&mut crd);
        check_crd(&crd).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_sound_definition_passes_and_is_completed() {
        let crd = crd();
        assert_eq!(check_crd(&crd), []);
        assert_eq!(crd["spec"]["names"]["singular"], "widget");
        assert_eq!(crd["spec"]["names"]["listKind"], "WidgetList");
        assert_eq!(crd["spec"]["conversion"]["strategy"], "None");
        assert_eq!(crd["status"]["storedVersions"], json!(["v1"]));
    }

    #[test]
    fn each_fault_is_told_with_its_field() {
        const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";
        let at = |pointer: &'static str, value: Value| {
            move |crd: &mut Value| {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                crd.pointer_mut(parent).unwrap()[name] = value.clone();
            }
        };
        let in_schema = |key: &'static str, value: Value| {
            move |crd: &mut Value| {
                crd.pointer_mut(&format!("{SCHEMA}/properties/spec/properties/x"))
                    .unwrap()[key] = value.clone()
            }
        };
        let base = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[x]";
        let cases: Vec<(Vec<String>, Vec<String>)> = vec![
            (
                errors_after(at("/metadata/name", json!("gadgets.example.com"))),
                vec![r#"metadata.name: Invalid value: "gadgets.example.com": must be spec.names.plural+"."+spec.group"#.into()],
            ),
            (
                errors_after(at("/spec/scope", json!("Galactic"))),
                vec![r#"spec.scope: Unsupported value: "Galactic": supported values: "Cluster", "Namespaced""#.into()],
            ),
            (errors_after(in_schema("uniqueItems", json!(true))), vec![format!("{base}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic")]),
            (errors_after(in_schema("$ref", json!("x"))), vec![format!("{base}.$ref: Forbidden: $ref is not supported")]),
            (errors_after(in_schema("type", json!("text"))), vec![format!("{base}.type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"")]),
            (errors_after(in_schema("type", json!(""))), vec![format!("{base}.type: Required value: must not be empty for specified object fields")]),
            (errors_after(in_schema("type", json!("array"))), vec![format!("{base}.items: Required value: must be specified")]),
            (errors_after(in_schema("anyOf", json!([{"type": "string"}]))), vec![format!("{base}.anyOf[0].type: Forbidden: must be empty to be structural")]),
            (errors_after(in_schema("default", json!(5))), vec![format!("{base}.default: Invalid value: \"integer\": {base}.default in body must be of type string: \"integer\"")]),
            (
                errors_after(|crd| {
                    let second = json!({"name": "v2", "served": true, "storage": true, "schema": crd["spec"]["versions"][0]["schema"]});
                    crd["spec"]["versions"].as_array_mut().unwrap().push(second);
                })
                .into_iter()
                .map(|e| e.rsplit(": ").next().unwrap().to_string())
                .collect(),
                vec!["must have exactly one version marked as storage version".into()],
            ),
            (
                errors_after(at("/spec/versions/0/additionalPrinterColumns", json!([{"name": "A", "type": "text", "jsonPath": "x"}]))),
                vec![
                    r#"spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string"#.into(),
                    r#"spec.versions[0].additionalPrinterColumns[0].JSONPath: Invalid value: "x": must be a simple json path starting with ."#.into(),
                ],
            ),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
    }

    #[test]
    fn names_and_scope_cannot_change_once_established() {
        let old = {
            let mut old = crd();
            old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
            old
        };
        let mut new = old.clone();
        new["spec"]["scope"] = json!("Cluster");
        let errors: Vec<String> = check_crd_update(&new, &old)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            errors,
            [r#"spec.scope: Invalid value: "Cluster": field is immutable"#]
        );
    }
}
