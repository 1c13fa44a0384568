//! Preparation: what the server sets, keeps and drops, whatever was sent.

use serde_json::{Map, Value, json};

use super::{NewObject, Part, defaults, job, text};
use crate::resource::ResourceInfo;
use crate::time;

/// What a generated name may be long before its suffix.
const MAX_PREFIX: usize = 58;
/// Metadata that only the server writes.
const SYSTEM: [&str; 4] = [
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
];

/// Makes a decoded object ready to be stored as new: name from generateName, system metadata set,
/// status dropped where it is a subresource, generation 1, kind-specific preparation (Secret
/// stringData, Namespace finalizer, Job selector and labels). `namespace` is the one of the URL;
/// for a cluster-scoped resource it is `None`.
pub fn prepare_for_create(
    resource: &ResourceInfo,
    object: &mut Value,
    namespace: Option<&str>,
    new: &NewObject<'_>,
) {
    let Some(root) = object.as_object_mut() else {
        return;
    };
    let metadata = root.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    match namespace.filter(|_| resource.namespaced) {
        Some(namespace) => metadata.insert("namespace".into(), namespace.into()),
        None => metadata.remove("namespace"),
    };
    generate_name(metadata, new.name_suffix);
    for field in SYSTEM.into_iter().chain(["selfLink", "resourceVersion"]) {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), new.uid.into());
    metadata.insert("creationTimestamp".into(), time::second(new.now).into());
    if has_generation(resource) {
        metadata.insert("generation".into(), 1.into());
    }
    if resource.has_subresource("status") {
        root.remove("status");
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => new_namespace(object),
        ("", "Pod") => {
            object["status"] =
                json!({"phase": "Pending", "qosClass": super::pod::qos_class(&object["spec"])})
        }
        ("", "PersistentVolume" | "PersistentVolumeClaim") => {
            object["status"] = json!({"phase": "Pending"})
        }
        ("", "Service") => object["status"] = json!({"loadBalancer": {}}),
        ("batch", "Job") => {
            object["status"] = json!({});
            job::generate_selector(object);
            defaults::job_labels(object);
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crate::schema::prepare_crd(object),
        _ => {}
    }
}

/// Makes a changed object ready to be stored: system metadata and the part not written are those of
/// `old`, `generation` rises when anything but metadata and status changed.
pub fn prepare_for_update(resource: &ResourceInfo, object: &mut Value, old: &Value, part: Part) {
    if !object.is_object() {
        return;
    }
    match part {
        Part::Status => keep_all_but_status(resource, object, old),
        Part::Main if resource.has_subresource("status") => restore(object, old, "status"),
        Part::Main => {}
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let (metadata, old_metadata) = (&mut object["metadata"], &old["metadata"]);
    for field in SYSTEM {
        // A deletion that has begun stays; one that has not cannot be begun by an update, which
        // validation says.
        if old_metadata.get(field).is_some() || matches!(field, "creationTimestamp" | "generation")
        {
            restore(metadata, old_metadata, field);
        }
    }
    for field in ["uid", "namespace", "name"] {
        if text(metadata, field).is_empty() {
            restore(metadata, old_metadata, field);
        }
    }
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("selfLink");
    }
    if part == Part::Main
        && has_generation(resource)
        && content(resource, object) != content(resource, old)
    {
        let generation = old_metadata["generation"].as_i64().unwrap_or_default();
        object["metadata"]["generation"] = (generation + 1).into();
    }
}

fn generate_name(metadata: &mut Map<String, Value>, suffix: &str) {
    let has_name = metadata
        .get("name")
        .and_then(Value::as_str)
        .is_some_and(|n| !n.is_empty());
    let prefix = metadata
        .get("generateName")
        .and_then(Value::as_str)
        .filter(|p| !p.is_empty());
    if let (false, Some(prefix)) = (has_name, prefix) {
        let end = (0..=prefix.len().min(MAX_PREFIX))
            .rev()
            .find(|i| prefix.is_char_boundary(*i))
            .unwrap_or_default();
        let name = format!("{}{suffix}", &prefix[..end]);
        metadata.insert("name".into(), name.into());
    }
}

/// A namespace stays until the server has emptied it; its label is due also when its name was
/// generated.
fn new_namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    object["status"] = json!({"phase": "Active"});
    if !object["spec"].is_object() {
        object["spec"] = json!({});
    }
    let finalizers = &mut object["spec"]["finalizers"];
    if !finalizers.is_array() {
        *finalizers = json!([]);
    }
    if let Some(list) = finalizers.as_array_mut()
        && !list.contains(&json!("kubernetes"))
    {
        list.push(json!("kubernetes"));
    }
}

/// Kinds whose controllers look at `metadata.generation`.
fn has_generation(resource: &ResourceInfo) -> bool {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", kind) => kind == "Pod",
        ("batch" | "apiextensions.k8s.io" | "admissionregistration.k8s.io", _) => true,
        ("coordination.k8s.io" | "events.k8s.io" | "rbac.authorization.k8s.io", _) => false,
        _ => true,
    }
}

/// What generation counts the changes of.
fn content(resource: &ResourceInfo, object: &Value) -> Map<String, Value> {
    let ignores_status = resource.has_subresource("status");
    let fields = object.as_object().into_iter().flatten();
    let counts = |name: &str| name != "metadata" && !(ignores_status && name == "status");
    fields
        .filter(|(name, _)| counts(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A write of the status leaves everything else as it is; of built-in kinds labels, annotations and
/// finalizers may still be written along with it.
fn keep_all_but_status(resource: &ResourceInfo, object: &mut Value, old: &Value) {
    let builtin =
        crate::Schema::builtin(&resource.group, &resource.version, &resource.kind).is_some();
    let mut kept = old.clone();
    match object.get("status") {
        Some(status) => kept["status"] = status.clone(),
        None => {
            if let Some(map) = kept.as_object_mut() {
                map.remove("status");
            }
        }
    }
    if builtin && resource.group != "apiextensions.k8s.io" {
        kept["metadata"] = object["metadata"].clone();
        restore(&mut kept["metadata"], &old["metadata"], "ownerReferences");
    } else {
        restore(&mut kept["metadata"], &object["metadata"], "managedFields");
    }
    for field in ["resourceVersion", "name", "namespace", "uid"] {
        if object["metadata"].get(field).is_some() {
            kept["metadata"][field] = object["metadata"][field].clone();
        }
    }
    *object = kept;
}

/// Makes a field what it was, also when that is absent.
fn restore(object: &mut Value, old: &Value, field: &str) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    match old.get(field) {
        Some(value) => map.insert(field.into(), value.clone()),
        None => map.remove(field),
    };
}
