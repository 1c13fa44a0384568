//! The schemas that documents consist of, in one form from which both versions of OpenAPI are made:
//! `$ref`s of version 3 with a description beside them.

use serde_json::{Map, Value, json};

use super::Served;
use crate::resource::ResourceInfo;
use crate::schema::builtin;

/// Prefix of references.
pub(super) const REF_PREFIX: &str = "#/components/schemas/";
const GVK: &str = "x-kubernetes-group-version-kind";

/// Name of the definition of a kind: `io.k8s.api.core.v1.Pod`,
/// `com.kubestash.storage.v1alpha1.BackupStorage`.
pub(super) fn name(group: &str, version: &str, kind: &str) -> String {
    if let Some(builtin) = builtin::definition_name(group, version, kind) {
        return builtin.to_string();
    }
    let reversed: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", reversed.join("."))
}

/// Name of the definition of a list of a kind.
pub(super) fn list_name(info: &ResourceInfo) -> String {
    let item = name(&info.group, &info.version, &info.kind);
    match item.rsplit_once('.') {
        Some((package, _)) => format!("{package}.{}", info.list_kind),
        None => info.list_kind.clone(),
    }
}

/// The definitions of the served kinds, their lists, and all that they refer to.
pub(super) fn collect(served: &[Served<'_>]) -> Map<String, Value> {
    let mut found = Map::new();
    for meta in ["DeleteOptions", "Patch", "Status"] {
        add_builtin(
            &format!("io.k8s.apimachinery.pkg.apis.meta.v1.{meta}"),
            &mut found,
        );
    }
    for one in served {
        let info = one.info;
        let name = name(&info.group, &info.version, &info.kind);
        match one.schema {
            None => add_builtin(&name, &mut found),
            Some(schema) => {
                let schema = custom(schema);
                let refs = references(&schema);
                found.insert(name.clone(), schema);
                refs.iter().for_each(|name| add_builtin(name, &mut found));
            }
        }
        label(&mut found, &name, &info.group, &info.version, &info.kind);
        for subresource in info.subresources.iter().filter(|s| !s.version.is_empty()) {
            let name = self::name(&subresource.group, &subresource.version, &subresource.kind);
            add_builtin(&name, &mut found);
            label(
                &mut found,
                &name,
                &subresource.group,
                &subresource.version,
                &subresource.kind,
            );
        }
        if info.verbs.iter().any(|v| v == "list") {
            let list = list_name(info);
            found.insert(list.clone(), list_schema(info, &name));
            add_builtin(builtin::LIST_META, &mut found);
            label(
                &mut found,
                &list,
                &info.group,
                &info.version,
                &info.list_kind,
            );
        }
    }
    found.sort_keys();
    found
}

fn label(found: &mut Map<String, Value>, name: &str, group: &str, version: &str, kind: &str) {
    if let Some(schema) = found.get_mut(name) {
        schema[GVK] = json!([{"group": group, "version": version, "kind": kind}]);
    }
}

fn add_builtin(name: &str, found: &mut Map<String, Value>) {
    if found.contains_key(name) {
        return;
    }
    let Some(schema) = builtin::definitions().get(name) else {
        return;
    };
    found.insert(name.to_string(), schema.clone());
    for reference in references(schema) {
        add_builtin(&reference, found);
    }
}

/// A custom resource's schema, with the fields that every resource has.
fn custom(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let common = &builtin::definitions()["io.k8s.api.core.v1.ConfigMap"]["properties"];
    for field in ["apiVersion", "kind", "metadata"] {
        schema["properties"][field] = common[field].clone();
    }
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.sort_keys();
    }
    schema
}

fn list_schema(info: &ResourceInfo, item: &str) -> Value {
    let common = &builtin::definitions()["io.k8s.api.core.v1.ConfigMap"]["properties"];
    json!({
        "description": format!("{} is a list of {}", info.list_kind, info.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": common["apiVersion"],
            "items": {
                "description": format!("List of {}.", info.plural),
                "type": "array",
                "items": {"$ref": format!("{REF_PREFIX}{item}")}
            },
            "kind": common["kind"],
            "metadata": {"description": "Standard list metadata.", "$ref": format!("{REF_PREFIX}{}", builtin::LIST_META)}
        }
    })
}

/// Names of the definitions that a schema refers to.
fn references(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    visit(schema, &mut |node| {
        if let Some(name) = node["$ref"]
            .as_str()
            .and_then(|r| r.strip_prefix(REF_PREFIX))
        {
            found.push(name.to_string());
        }
    });
    found
}

const BRANCHES: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const CHILDREN: [&str; 3] = ["items", "additionalProperties", "not"];

fn visit(schema: &Value, f: &mut impl FnMut(&Value)) {
    f(schema);
    for child in schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, child)| child)
    {
        visit(child, f);
    }
    for child in BRANCHES
        .iter()
        .flat_map(|b| schema[*b].as_array().into_iter().flatten())
    {
        visit(child, f);
    }
    for child in CHILDREN
        .iter()
        .filter_map(|c| schema.get(*c))
        .filter(|c| c.is_object())
    {
        visit(child, f);
    }
}

/// Applies a change to a schema and all schemas in it, innermost first.
pub(super) fn transform(schema: &mut Value, f: &impl Fn(&mut Map<String, Value>)) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    for child in map
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
        .map(|(_, child)| child)
    {
        transform(child, f);
    }
    for branch in BRANCHES {
        for child in map
            .get_mut(branch)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            transform(child, f);
        }
    }
    for child in CHILDREN {
        if let Some(child) = map.get_mut(child).filter(|c| c.is_object()) {
            transform(child, f);
        }
    }
    f(map);
}
