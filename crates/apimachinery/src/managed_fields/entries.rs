//! `metadata.managedFields`: one entry for each writer.

use super::Writer;
use super::set::FieldSet;
use serde_json::{Value, json};

/// What one writer owns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) manager: String,
    /// By apply, rather than by create, update or patch.
    pub(super) applied: bool,
    pub(super) api_version: String,
    pub(super) subresource: String,
    pub(super) time: String,
    pub(super) fields: FieldSet,
}

impl Entry {
    pub(super) fn new(writer: &Writer<'_>, applied: bool, fields: FieldSet) -> Self {
        Self {
            manager: writer.manager.to_owned(),
            applied,
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.to_owned(),
            time: writer.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            fields,
        }
    }

    /// Whether it is the entry of this writer.
    pub(super) fn is_of(&self, writer: &Writer<'_>, applied: bool) -> bool {
        self.manager == writer.manager
            && self.applied == applied
            && self.subresource == writer.subresource
            && (applied || self.api_version == writer.api_version)
    }

    /// As a conflict names it: `"kubectl-client-side-apply" using v1`.
    pub(super) fn describe(&self) -> String {
        let mut text = crate::gofmt::quote(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(
                " with subresource {}",
                crate::gofmt::quote(&self.subresource)
            ));
        }
        if !self.applied {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }

    fn decode(value: &Value) -> Option<Self> {
        let text = |key: &str| {
            value
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Some(Self {
            manager: text("manager"),
            applied: match value.get("operation")?.as_str()? {
                "Apply" => true,
                "Update" => false,
                _ => return None,
            },
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields: FieldSet::decode(value.get("fieldsV1").unwrap_or(&Value::Null)),
        })
    }

    fn encode(&self) -> Value {
        let mut value = json!({
            "manager": self.manager,
            "operation": if self.applied { "Apply" } else { "Update" },
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.encode(),
        });
        if !self.subresource.is_empty() {
            value["subresource"] = self.subresource.clone().into();
        }
        value
    }
}

/// The entries of an object; `None` if it has no list of them.
pub(super) fn read(object: &Value) -> Option<Vec<Entry>> {
    let list = object.get("metadata")?.get("managedFields")?.as_array()?;
    Some(list.iter().filter_map(Entry::decode).collect())
}

/// Writes the entries that own something, applied ones first, older ones first.
pub(super) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| {
        (!a.applied, &a.time, &a.manager, &a.subresource).cmp(&(
            !b.applied,
            &b.time,
            &b.manager,
            &b.subresource,
        ))
    });
    if let Some(object) = object.as_object_mut() {
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        let list: Vec<Value> = entries.iter().map(Entry::encode).collect();
        if list.is_empty() {
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.shift_remove("managedFields");
            }
        } else {
            metadata["managedFields"] = list.into();
        }
    }
}
