//! The paths of served resources: enough of each operation for clients to see what a kind takes.

use serde_json::{Map, Value, json};

use super::Served;
use super::definitions::{self, REF_PREFIX};
use crate::resource::{ResourceInfo, SubresourceInfo};

/// Paths of the served resources, in the form of OpenAPI 3.
pub(super) fn paths(served: &[Served<'_>]) -> Map<String, Value> {
    let mut paths = Map::new();
    for one in served {
        resource(one, &mut paths);
    }
    paths.sort_keys();
    paths
}

/// One operation of one path.
struct Operation<'a> {
    method: &'static str,
    /// `x-kubernetes-action`.
    action: &'static str,
    /// Kind that it is about.
    kind: (&'a str, &'a str, &'a str),
    /// Definition that it answers with.
    answer: String,
    /// Definition that its body has.
    body: Option<String>,
    parameters: &'static [&'static str],
    /// Whether bodies are patches, and may be strategic.
    patch: Option<bool>,
}

const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "watch",
];
const DELETE: &[&str] = &[
    "dryRun",
    "gracePeriodSeconds",
    "orphanDependents",
    "propagationPolicy",
];

fn resource(one: &Served<'_>, paths: &mut Map<String, Value>) {
    let info = one.info;
    let prefix = if info.group.is_empty() {
        "/api".to_string()
    } else {
        format!("/apis/{}", info.group)
    };
    let version = format!("{prefix}/{}", info.version);
    let root = if info.namespaced {
        format!("{version}/namespaces/{{namespace}}")
    } else {
        version.clone()
    };
    let collection = format!("{root}/{}", info.plural);
    let item = format!("{collection}/{{name}}");
    let strategic = one.schema.is_none();

    let has = |verb: &str| info.verbs.iter().any(|v| v == verb);
    let kind = (
        info.group.as_str(),
        info.version.as_str(),
        info.kind.as_str(),
    );
    let single = definitions::name(&info.group, &info.version, &info.kind);
    let list = definitions::list_name(info);
    let meta = |name: &str| format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}");
    let operation = |method, action, answer: &str, body: Option<String>, parameters| Operation {
        method,
        action,
        kind,
        answer: answer.to_string(),
        body,
        parameters,
        patch: None,
    };

    let mut on_collection = Vec::new();
    if has("list") {
        on_collection.push(operation("get", "list", &list, None, LIST));
        if info.namespaced {
            let everywhere = [operation("get", "list", &list, None, LIST)];
            paths.insert(
                format!("{version}/{}", info.plural),
                path(info, &everywhere, false, false),
            );
        }
    }
    if has("create") {
        on_collection.push(operation(
            "post",
            "post",
            &single,
            Some(single.clone()),
            WRITE,
        ));
    }
    if has("deletecollection") {
        on_collection.push(operation(
            "delete",
            "deletecollection",
            &meta("Status"),
            Some(meta("DeleteOptions")),
            LIST,
        ));
    }
    paths.insert(
        collection,
        path(info, &on_collection, info.namespaced, false),
    );

    let mut on_item = Vec::new();
    if has("get") {
        on_item.push(operation("get", "get", &single, None, &[]));
    }
    if has("update") {
        on_item.push(operation(
            "put",
            "put",
            &single,
            Some(single.clone()),
            WRITE,
        ));
    }
    if has("patch") {
        let patch = operation("patch", "patch", &single, Some(meta("Patch")), PATCH);
        on_item.push(Operation {
            patch: Some(strategic),
            ..patch
        });
    }
    if has("delete") {
        on_item.push(operation(
            "delete",
            "delete",
            &meta("Status"),
            Some(meta("DeleteOptions")),
            DELETE,
        ));
    }
    if !on_item.is_empty() {
        paths.insert(item.clone(), path(info, &on_item, info.namespaced, true));
    }
    for subresource in &info.subresources {
        let operations = on_subresource(info, subresource, strategic);
        paths.insert(
            format!("{item}/{}", subresource.name),
            path(info, &operations, info.namespaced, true),
        );
    }
}

fn on_subresource<'a>(
    info: &'a ResourceInfo,
    subresource: &'a SubresourceInfo,
    strategic: bool,
) -> Vec<Operation<'a>> {
    let (group, version) = match subresource.version.is_empty() {
        true => (info.group.as_str(), info.version.as_str()),
        false => (subresource.group.as_str(), subresource.version.as_str()),
    };
    let kind = (group, version, subresource.kind.as_str());
    let single = definitions::name(group, version, &subresource.kind);
    let mut operations = Vec::new();
    for verb in &subresource.verbs {
        let (method, action, body, parameters, patch) = match verb.as_str() {
            "get" => ("get", "get", None, &[][..], None),
            "create" => ("post", "post", Some(single.clone()), WRITE, None),
            "update" => ("put", "put", Some(single.clone()), WRITE, None),
            "patch" => {
                let body = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch".to_string();
                ("patch", "patch", Some(body), PATCH, Some(strategic))
            }
            _ => continue,
        };
        operations.push(Operation {
            method,
            action,
            kind,
            answer: single.clone(),
            body,
            parameters,
            patch,
        });
    }
    operations
}

fn path(
    info: &ResourceInfo,
    operations: &[Operation<'_>],
    in_namespace: bool,
    named: bool,
) -> Value {
    let mut path = Map::new();
    for operation in operations {
        path.insert(operation.method.into(), render(info, operation));
    }
    let mut parameters = Vec::new();
    if named {
        parameters.push(parameter(
            "name",
            "path",
            &format!("name of the {}", info.kind),
        ));
    }
    if in_namespace {
        parameters.push(parameter("namespace", "path", "namespace of the object"));
    }
    if !parameters.is_empty() {
        path.insert("parameters".into(), parameters.into());
    }
    Value::Object(path)
}

fn render(info: &ResourceInfo, operation: &Operation<'_>) -> Value {
    let (group, version, kind) = operation.kind;
    let parameters: Vec<Value> = operation
        .parameters
        .iter()
        .map(|name| parameter(name, "query", describe(name)))
        .collect();
    let reference = |name: &str| json!({"schema": {"$ref": format!("{REF_PREFIX}{name}")}});
    let mut rendered = json!({
        "description": format!("{} {}", operation.action, info.kind),
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "content": {"application/json": reference(&operation.answer)}},
            "401": {"description": "Unauthorized"}
        },
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind}
    });
    if let Some(body) = &operation.body {
        let types: &[&str] = match operation.patch {
            None => &["application/json", "application/yaml"],
            Some(false) => &[
                "application/apply-patch+yaml",
                "application/json-patch+json",
                "application/merge-patch+json",
            ],
            Some(true) => &[
                "application/apply-patch+yaml",
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
            ],
        };
        let content: Map<String, Value> = types
            .iter()
            .map(|t| ((*t).to_string(), reference(body)))
            .collect();
        rendered["requestBody"] =
            json!({"content": content, "required": operation.action != "delete"});
    }
    rendered
}

fn parameter(name: &str, place: &str, description: &str) -> Value {
    let kind = match name {
        "allowWatchBookmarks" | "force" | "orphanDependents" | "watch" => "boolean",
        "gracePeriodSeconds" | "limit" | "timeoutSeconds" => "integer",
        _ => "string",
    };
    let mut parameter = json!({"name": name, "in": place, "description": description, "schema": {"type": kind, "uniqueItems": true}});
    if place == "path" {
        parameter["required"] = true.into();
    }
    parameter
}

fn describe(parameter: &str) -> &'static str {
    match parameter {
        "allowWatchBookmarks" => "Whether a watch may send bookmarks.",
        "continue" => "Token of a list that was cut.",
        "dryRun" => "`All`: do everything but store.",
        "fieldManager" => "Name under which fields are owned; required for apply patches.",
        "fieldSelector" => "Only objects with these fields.",
        "fieldValidation" => {
            "What becomes of unknown and duplicate fields: `Ignore`, `Warn` (the default) or `Strict`."
        }
        "force" => "Take over fields that others own; only for apply patches.",
        "gracePeriodSeconds" => "Seconds until the object is removed.",
        "labelSelector" => "Only objects with these labels.",
        "limit" => "Most items to answer with.",
        "orphanDependents" => "Deprecated: see propagationPolicy.",
        "propagationPolicy" => {
            "What becomes of dependents: `Orphan`, `Background` or `Foreground`."
        }
        "resourceVersion" => "How new the answer must be, or where a watch begins.",
        "resourceVersionMatch" => "How resourceVersion is meant: `Exact` or `NotOlderThan`.",
        "timeoutSeconds" => "Longest duration of the call.",
        "watch" => "Watch for changes instead of listing.",
        _ => "",
    }
}
