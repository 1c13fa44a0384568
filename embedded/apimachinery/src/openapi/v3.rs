//! OpenAPI version 3: one document for each group and version.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Served, definitions, paths};

/// `/openapi/v3`: the index of the documents, each with the hash of its content in its URL.
pub fn v3_index(served: &[Served<'_>]) -> Value {
    let mut versions: Vec<(&str, &str)> = Vec::new();
    for one in served {
        let version = (one.info.group.as_str(), one.info.version.as_str());
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let mut index = Map::new();
    for (group, version) in versions {
        let path = if group.is_empty() {
            format!("api/{version}")
        } else {
            format!("apis/{group}/{version}")
        };
        let url = format!(
            "/openapi/v3/{path}?hash={}",
            hash(&of(served, group, version))
        );
        index.insert(path, json!({"serverRelativeURL": url}));
    }
    index.sort_keys();
    json!({"paths": index})
}

/// `/openapi/v3/api/v1`, `/openapi/v3/apis/{group}/{version}`: one document; `None` if nothing of
/// it is served.
pub fn v3(served: &[Served<'_>], group: &str, version: &str) -> Option<Value> {
    let served = of(served, group, version);
    if served.is_empty() {
        return None;
    }
    let mut schemas = definitions::collect(&served);
    for schema in schemas.values_mut() {
        definitions::transform(schema, &adapt);
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths::paths(&served),
        "components": {"schemas": schemas}
    }))
}

fn of<'a>(served: &[Served<'a>], group: &str, version: &str) -> Vec<Served<'a>> {
    served
        .iter()
        .filter(|s| s.info.group == group && s.info.version == version)
        .copied()
        .collect()
}

/// What depends on nothing but the resources and this crate's version needs no document to be
/// hashed.
fn hash(served: &[Served<'_>]) -> String {
    let mut text = env!("CARGO_PKG_VERSION").to_string();
    for one in served {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{:?}{}",
            one.info,
            one.schema.map(ToString::to_string).unwrap_or_default()
        );
    }
    // FNV-1a, 64 bits: it tells documents apart, nothing more.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016X}")
}

fn adapt(schema: &mut Map<String, Value>) {
    if schema.len() > 1
        && let Some(reference) = schema.remove("$ref")
    {
        schema.insert("allOf".into(), json!([{"$ref": reference}]));
    }
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true))
        && !["type", "anyOf", "allOf"]
            .iter()
            .any(|k| schema.contains_key(*k))
    {
        schema.insert(
            "anyOf".into(),
            json!([{"type": "integer"}, {"type": "string"}]),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ResourceInfo;

    #[test]
    fn every_reference_of_every_document_is_resolved() {
        let builtins = ResourceInfo::builtins();
        let served: Vec<Served<'_>> = builtins
            .iter()
            .map(|info| Served { info, schema: None })
            .collect();
        for info in &builtins {
            let document = v3(&served, &info.group, &info.version).unwrap();
            let text = document.to_string();
            for piece in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
                let name = piece.split('"').next().unwrap();
                assert!(
                    document["components"]["schemas"].get(name).is_some(),
                    "{} lacks {name}",
                    info.group
                );
            }
        }
    }

    #[test]
    fn a_custom_kind_is_described_with_its_metadata_and_operations() {
        let crd = json!({"spec": {"group": "storage.example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"}, "versions": [{"name": "v1", "served": true}]}});
        let info = ResourceInfo::from_crd(&crd).remove(0);
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"p": {"x-kubernetes-int-or-string": true}}}}});
        let served = [Served {
            info: &info,
            schema: Some(&schema),
        }];
        let document = v3(&served, "storage.example.com", "v1").unwrap();
        let kind = &document["components"]["schemas"]["com.example.storage.v1.Widget"];
        assert_eq!(kind["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
        assert_eq!(
            kind["properties"]["metadata"]["allOf"][0]["$ref"],
            "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        );
        assert_eq!(
            kind["properties"]["spec"]["properties"]["p"]["anyOf"][0]["type"],
            "integer"
        );
        let path = &document["paths"]["/apis/storage.example.com/v1/namespaces/{namespace}/widgets/{name}"];
        let parameters: Vec<&str> = path["patch"]["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["name"].as_str().unwrap())
            .collect();
        assert!(parameters.contains(&"fieldValidation"));
        assert!(
            path["patch"]["requestBody"]["content"]
                .get("application/strategic-merge-patch+json")
                .is_none()
        );
    }

    #[test]
    fn the_hash_changes_with_the_schema() {
        let builtins = ResourceInfo::builtins();
        let (a, b) = (json!({"type": "object"}), json!({"type": "string"}));
        let index = |schema| {
            v3_index(&[Served {
                info: &builtins[0],
                schema: Some(schema),
            }])
        };
        assert_ne!(index(&a), index(&b));
        assert_eq!(index(&a), index(&a));
    }
}
