//! From the schemas that the derives give to the structural schemas that an API server takes.
//!
//! Invariants: a field that is absent is absent and never `null`; a type of Kubernetes keeps its
//! real structure in our schemas but not its prose, which for one pod template alone is more than a
//! client-side `kubectl apply` can store in an annotation.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

const KEEP_UNKNOWN: &str = "x-kubernetes-preserve-unknown-fields";

/// The structural schema of a kind.
///
/// The derive macro of kube could make it too. It reads the whole schema anew at each of its
/// levels, which takes seconds for ours; this takes one pass.
pub(crate) fn structural<K: JsonSchema>() -> Option<JSONSchemaProps> {
    let generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator();
    let mut schema = generator.into_root_schema_for::<K>();
    let root = schema.as_object_mut()?;
    root.remove("title");
    // The API server knows the schema of the metadata, and takes no other.
    root.get_mut("properties")?
        .as_object_mut()?
        .remove("metadata");
    root.get_mut("required")?
        .as_array_mut()?
        .retain(|name| name != "metadata");
    restructure(root);
    serde_json::from_value(schema.to_value()).ok()
}

/// Rewrites what the derives say and an API server does not take, here and below.
fn restructure(schema: &mut Map<String, Value>) {
    unite_with_null(schema);
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = unwrapped(description);
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let Some(only) = types.pop() {
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    // A flattened map of anything, beside fields with names of their own.
    if schema.contains_key("properties")
        && schema.get("additionalProperties") == Some(&Value::Bool(true))
    {
        schema.remove("additionalProperties");
        schema.insert(KEEP_UNKNOWN.to_owned(), Value::Bool(true));
    }
    subschemas(schema, &mut |subschema| {
        if let Value::Object(subschema) = subschema {
            restructure(subschema);
        }
    });
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        for (name, field) in fields {
            as_in_pods(name, field);
        }
    }
}

/// References to an object of the same namespace. Kubernetes takes them without a name, as nothing.
const REFERENCES: [&str; 9] = [
    "configMap",
    "configMapKeyRef",
    "configMapRef",
    "controllerPublishSecretRef",
    "imagePullSecrets",
    "nodePublishSecretRef",
    "secret",
    "secretKeyRef",
    "secretRef",
];

/// The lists of a pod that are maps in disguise, and what tells their items apart.
const KEYED_LISTS: [(&str, &[&str]); 12] = [
    ("claims", &["name"]),
    ("containers", &["name"]),
    ("env", &["name"]),
    ("hostAliases", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    ("ports", &["containerPort", "protocol"]),
    (
        "topologySpreadConstraints",
        &["topologyKey", "whenUnsatisfiable"],
    ),
    ("variables", &["name"]),
    ("volumeDevices", &["devicePath"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];

/// What Kubernetes' own definitions say of the fields of a pod beyond the types: which references
/// need no name, and which lists a server-side apply merges by key.
fn as_in_pods(name: &str, field: &mut Value) {
    if REFERENCES.contains(&name) {
        let reference = match field.get("items") {
            Some(_) => field.get_mut("items"),
            None => Some(&mut *field),
        };
        if let Some(reference) = reference.and_then(Value::as_object_mut) {
            unnamed(reference);
        }
    }
    let Some((_, keys)) = KEYED_LISTS.iter().find(|(list, _)| *list == name) else {
        return;
    };
    let Some(Value::Object(item)) = field.get_mut("items") else {
        return;
    };
    let Some(Value::Object(properties)) = item.get_mut("properties") else {
        return;
    };
    if !keys.iter().all(|key| properties.contains_key(*key)) {
        return;
    }
    if let Some(Value::Object(protocol)) = properties.get_mut("protocol") {
        protocol.insert("default".to_owned(), "TCP".into());
    }
    let required = item.get("required").and_then(Value::as_array);
    let is_required =
        |key: &str| required.is_some_and(|names| names.iter().any(|name| name == key));
    let is_given = |key: &str| item["properties"][key].get("default").is_some();
    if !keys.iter().all(|key| is_required(key) || is_given(key)) {
        return;
    }
    field["x-kubernetes-list-type"] = "map".into();
    field["x-kubernetes-list-map-keys"] = (*keys).into();
}

/// A reference whose name may be left out.
fn unnamed(reference: &mut Map<String, Value>) {
    let Some(Value::Array(required)) = reference.get_mut("required") else {
        return;
    };
    let before = required.len();
    required.retain(|field| field != "name");
    if required.len() == before {
        return;
    }
    if required.is_empty() {
        reference.remove("required");
    }
    reference.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
    if let Some(Value::Object(name)) = reference
        .get_mut("properties")
        .and_then(|properties| properties.get_mut("name"))
    {
        name.insert("default".to_owned(), "".into());
    }
}

/// The text of a doc comment with one line for each paragraph; who shows it knows better where to
/// break lines.
fn unwrapped(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.lines().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// An optional field is "this schema or null" to the derive. What remains is this schema, with the
/// words about the field.
fn unite_with_null(schema: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.get("anyOf") else {
        return;
    };
    let is_null = |choice: &Value| choice.get("type").is_some_and(|name| name == "null");
    let (null, rest): (Vec<_>, Vec<_>) = choices.iter().cloned().partition(is_null);
    if let ([_], [Value::Object(inner)]) = (null.as_slice(), rest.as_slice()) {
        let mut united = inner.clone();
        schema.remove("anyOf");
        united.append(schema);
        *schema = united;
    }
}

/// Visits each schema directly below a schema. Fields may have the names of keywords, so this is
/// the only place that looks into keywords.
fn subschemas(schema: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Value)) {
    for (keyword, value) in schema.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                properties.values_mut().for_each(&mut *visit)
            }
            ("items" | "additionalProperties", inner) => visit(inner),
            ("allOf" | "anyOf" | "oneOf", Value::Array(choices)) => {
                choices.iter_mut().for_each(&mut *visit)
            }
            _ => {}
        }
    }
}

/// Removes the descriptions below a field whose type is Kubernetes'; the field's own description
/// stays.
pub(crate) fn terse(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        subschemas(object, &mut strip);
    }
}

/// Like [`terse`], for a struct of ours all of whose fields are of Kubernetes' types: their
/// descriptions stay as well.
pub(crate) fn terse_fields(schema: &mut Schema) {
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields
            .values_mut()
            .filter_map(Value::as_object_mut)
            .for_each(|field| subschemas(field, &mut strip));
    }
}

fn strip(schema: &mut Value) {
    if let Value::Object(object) = schema {
        object.remove("description");
        subschemas(object, &mut strip);
    }
}

/// Schema of a field that takes any JSON object.
pub(crate) fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Schema of a number without a stated width, as Go's `int` has it.
pub(crate) fn integer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer" })
}

/// Schema of bytes, written in base64.
pub(crate) fn bytes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "byte" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_lists_of_a_pod_are_merged_by_the_keys_of_kubernetes_and_its_references_need_no_name() {
        let item = |field: &str| json!({"type": "object", "properties": {field: {"type": "string"}}, "required": [field]});
        let mut schema = json!({"type": "object", "properties": {
            "env": {"type": "array", "items": {
                "type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"},
                    "valueFrom": {"type": "object", "properties": {"secretKeyRef": {
                        "type": "object", "required": ["key", "name"],
                        "properties": {"key": {"type": "string"}, "name": {"type": "string"}},
                    }}},
                },
            }},
            "volumeMounts": {"type": "array", "items": item("mountPath")},
            "imagePullSecrets": {"type": "array", "items": item("name")},
            "ports": {"type": "array", "items": {
                "type": "object", "required": ["containerPort"],
                "properties": {"containerPort": {"type": "integer"}, "protocol": {"type": "string"}},
            }},
            "tolerations": {"type": "array", "items": item("key")},
            "args": {"type": "array", "items": {"type": "string"}},
        }});
        restructure(schema.as_object_mut().unwrap());
        let keys = |name: &str| schema["properties"][name]["x-kubernetes-list-map-keys"].clone();
        assert_eq!(keys("env"), json!(["name"]));
        assert_eq!(keys("volumeMounts"), json!(["mountPath"]));
        assert_eq!(keys("imagePullSecrets"), json!(["name"]));
        assert_eq!(keys("ports"), json!(["containerPort", "protocol"]));
        assert_eq!(keys("tolerations"), Value::Null);
        assert_eq!(keys("args"), Value::Null);
        let secret = &schema["properties"]["env"]["items"]["properties"]["valueFrom"]["properties"]
            ["secretKeyRef"];
        assert_eq!(secret["required"], json!(["key"]));
        assert_eq!(secret["properties"]["name"]["default"], "");
    }
}
