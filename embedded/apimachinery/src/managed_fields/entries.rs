//! The entries of `metadata.managedFields`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::set::Set;
use super::{Writer, serialize};
use crate::time;

/// More entries of updates than this are thrown together, oldest first.
const MAX_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// What tells entries apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) manager: String,
    /// Whether by apply rather than update.
    pub(super) applied: bool,
    /// Empty for appliers, whose entry is the same whatever version they use.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl Identity {
    pub(super) fn of(writer: &Writer<'_>, applied: bool) -> Self {
        Self {
            manager: writer.manager.to_string(),
            applied,
            api_version: if applied {
                String::new()
            } else {
                writer.api_version.to_string()
            },
            subresource: writer.subresource.to_string(),
        }
    }
}

/// One manager's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) api_version: String,
    pub(super) time: Option<String>,
    pub(super) fields: Set,
}

/// All managers of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Entries(pub(super) BTreeMap<Identity, Entry>);

impl Entries {
    /// Reads the entries of an object; `None` if they cannot be read.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let mut entries = BTreeMap::new();
        let list = object
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array);
        for entry in list.map(Vec::as_slice).unwrap_or_default() {
            let (identity, entry) = read(entry)?;
            entries.insert(identity, entry);
        }
        Some(Self(entries))
    }

    /// Writes the entries into an object, sorted as Kubernetes sorts them.
    pub(super) fn write(self, object: &mut Value) {
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            return;
        };
        let mut entries: Vec<(Identity, Entry)> = self
            .0
            .into_iter()
            .filter(|(_, e)| !e.fields.is_empty())
            .collect();
        if entries.is_empty() {
            metadata.remove("managedFields");
            return;
        }
        entries.sort_by(|(a, x), (b, y)| {
            let key = |identity: &Identity, entry: &Entry| {
                (
                    !identity.applied,
                    entry.time.clone(),
                    identity.manager.clone(),
                    entry.api_version.clone(),
                    identity.subresource.clone(),
                )
            };
            key(a, x).cmp(&key(b, y))
        });
        let list: Vec<Value> = entries
            .iter()
            .map(|(identity, entry)| render(identity, entry))
            .collect();
        metadata.insert("managedFields".into(), list.into());
    }

    /// Throws the oldest updates of each version together while there are too many.
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<Identity> = self.0.keys().filter(|i| !i.applied).cloned().collect();
        updaters.sort_by_key(|identity| (self.0[identity].time.clone(), identity.clone()));
        let mut count = updaters.len();
        let mut first_of_version: BTreeMap<String, Identity> = BTreeMap::new();
        for identity in updaters {
            if count <= MAX_UPDATERS {
                return;
            }
            let version = identity.api_version.clone();
            let Some(first) = first_of_version.get(&version).cloned() else {
                first_of_version.insert(version, identity);
                continue;
            };
            let bucket = Identity {
                manager: ANCIENT.into(),
                applied: false,
                api_version: version,
                subresource: String::new(),
            };
            if !self.0.contains_key(&bucket)
                && let Some(entry) = self.0.remove(&first)
            {
                self.0.insert(bucket.clone(), entry);
            }
            if identity == bucket {
                continue;
            }
            if let (Some(entry), Some(ancient)) =
                (self.0.remove(&identity), self.0.get_mut(&bucket))
            {
                ancient.fields = ancient.fields.union(&entry.fields);
                ancient.time = entry.time;
                count -= 1;
            }
        }
    }

    /// Records a manager's fields as of now.
    pub(super) fn set(&mut self, identity: Identity, writer: &Writer<'_>, fields: Set) {
        let entry = Entry {
            api_version: writer.api_version.into(),
            time: Some(time::second(writer.now)),
            fields,
        };
        self.0.insert(identity, entry);
    }
}

fn read(entry: &Value) -> Option<(Identity, Entry)> {
    let text = |name: &str| {
        entry
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_string()
    };
    let applied = match text("operation").as_str() {
        "Apply" => true,
        "Update" => false,
        _ => return None,
    };
    let api_version = text("apiVersion");
    let identity = Identity {
        manager: text("manager"),
        applied,
        api_version: if applied {
            String::new()
        } else {
            api_version.clone()
        },
        subresource: text("subresource"),
    };
    let empty = Value::Object(Map::new());
    let fields = serialize::from_json(entry.get("fieldsV1").unwrap_or(&empty))?;
    let time = entry.get("time").and_then(Value::as_str).map(Into::into);
    Some((
        identity,
        Entry {
            api_version,
            time,
            fields,
        },
    ))
}

fn render(identity: &Identity, entry: &Entry) -> Value {
    let operation = if identity.applied { "Apply" } else { "Update" };
    let mut rendered = json!({"manager": identity.manager, "operation": operation, "apiVersion": entry.api_version});
    if let Some(time) = &entry.time {
        rendered["time"] = time.as_str().into();
    }
    rendered["fieldsType"] = "FieldsV1".into();
    rendered["fieldsV1"] = serialize::to_json(&entry.fields);
    if !identity.subresource.is_empty() {
        rendered["subresource"] = identity.subresource.as_str().into();
    }
    rendered
}
