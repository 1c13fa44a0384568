//! `meta.k8s.io/v1` Table: what `kubectl get` prints.
//!
//! Invariant: the columns are those of real Kubernetes for built-in kinds, and those of the CRD for
//! custom ones.

mod builtin;
mod custom;
mod event;
mod human;
mod job;
mod json_path;
mod node;
mod pod;
mod service;
mod volume;

pub use human::human_duration;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The columns of one kind.
#[derive(Debug, Clone)]
pub struct Columns {
    definitions: Vec<Value>,
    cells: Cells,
}

/// Makes the cells of an object, as of a time.
type Row = fn(&Value, Timestamp) -> Vec<Value>;

/// Where the cells come from.
#[derive(Debug, Clone)]
enum Cells {
    Builtin(Row),
    Custom(Vec<custom::Column>),
}

/// The query parameter `includeObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// Rows carry no object.
    None,
    /// Rows carry a PartialObjectMetadata (the default of the API).
    #[default]
    Metadata,
    /// Rows carry the whole object.
    Object,
}

impl IncludeObject {
    /// Parses the parameter's value; absent or empty is [`IncludeObject::Metadata`]; anything else
    /// unknown is `None`.
    pub fn parse(value: Option<&str>) -> Option<Self> {
        match value {
            None | Some("" | "Metadata") => Some(Self::Metadata),
            Some("None") => Some(Self::None),
            Some("Object") => Some(Self::Object),
            Some(_) => None,
        }
    }
}

impl Columns {
    /// Columns of a built-in kind; Name and Created At for one without its own.
    pub fn builtin(group: &str, kind: &str) -> Self {
        builtin::columns(group, kind)
    }

    /// Columns of a custom resource from `spec.versions[].additionalPrinterColumns` (absent or
    /// empty: Name and Age).
    pub fn custom(additional_printer_columns: Option<&Value>) -> Self {
        custom::columns(additional_printer_columns)
    }

    fn row(&self, object: &Value, include: IncludeObject, now: Timestamp) -> Value {
        let cells = match &self.cells {
            Cells::Builtin(cells) => cells(object, now),
            Cells::Custom(columns) => custom::cells(columns, object, now),
        };
        let object_part = match include {
            IncludeObject::None => Value::Null,
            IncludeObject::Object => object.clone(),
            IncludeObject::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({}))
            }),
        };
        let mut row = json!({"cells": cells, "object": object_part});
        if let Some(reason) = pod::completion(object) {
            row["conditions"] = json!([{
                "type": "Completed", "status": "True", "reason": reason, "message": "The pod has completed."
            }]);
        }
        row
    }
}

/// Renders objects to a Table. `list_metadata` is the ListMeta of the answer (`{"resourceVersion":
/// "7"}`), or of a single object or watch event `{"resourceVersion": …}` of the object. For watch
/// events pass `with_definitions = false` from the second event on, as Kubernetes does.
pub fn render(
    columns: &Columns,
    objects: &[Value],
    list_metadata: &Value,
    include: IncludeObject,
    with_definitions: bool,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| columns.row(object, include, now))
        .collect();
    let definitions: &[Value] = if with_definitions {
        &columns.definitions
    } else {
        &[]
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": definitions,
        "rows": rows
    })
}

/// The definition of a column.
fn definition(name: &str, kind: &str, format: &str, description: &str, priority: i64) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

/// A text at a path; absent is empty.
fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A list at a path; absent is empty.
fn list<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// How many entries a map at a path has.
fn size(object: &Value, pointer: &str) -> usize {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .map_or(0, Map::len)
}

/// The text, or what stands for none.
fn or_none(text: &str) -> Value {
    if text.is_empty() {
        "<none>".into()
    } else {
        text.into()
    }
}

fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

fn age(object: &Value, now: Timestamp) -> Value {
    human::since(text(object, "/metadata/creationTimestamp"), now).into()
}

#[cfg(test)]
mod tests;
