//! Ownership after a create, replace or patch: who changed a field owns it.

use serde_json::{Map, Value, json};

use super::compare::{Comparison, compare};
use super::conflict::{self, Conflict};
use super::entries::{Entries, Identity};
use super::{Writer, strip_system_fields};
use crate::schema::Schema;

/// Records ownership after a create, replace or patch: `new` is the complete new object after
/// defaulting, as sent (its own managedFields, if any, count: an explicitly empty entry list
/// resets, absence keeps the live ones). Sets `metadata.managedFields` of `new`.
pub fn update(live: Option<&Value>, new: &mut Value, writer: &Writer<'_>, schema: &Schema) {
    if !new.get("metadata").is_some_and(Value::is_object) {
        return;
    }
    let mut entries = entries_to_start_from(live, new, writer);
    if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let old = without_managed_fields(live, new);
    let comparison = compare(&old, new, schema.root()).without(&writer.reset_fields());
    // Nobody owns the same field as the one who changed it last, and nobody a field that is gone.
    take_over(&mut entries, None, &comparison);
    let gained = strip_system_fields(&comparison.modified.union(&comparison.added));
    if !gained.is_empty() {
        let identity = Identity::of(writer, false);
        let before = entries
            .0
            .get(&identity)
            .map(|entry| entry.fields.clone())
            .unwrap_or_default();
        entries.set(identity, writer, before.union(&gained));
    }
    entries.cap();
    entries.write(new);
}

/// What the request brings along, unless it says nothing or may not.
fn entries_to_start_from(live: Option<&Value>, new: &Value, writer: &Writer<'_>) -> Entries {
    let of_live = || live.and_then(Entries::of).unwrap_or_default();
    if !writer.subresource.is_empty() {
        return of_live();
    }
    match new
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([]) => Entries::default(),
        Some([only]) if only.as_object().is_some_and(Map::is_empty) => Entries::default(),
        Some(_) => Entries::of(new)
            .filter(|entries| !entries.0.is_empty())
            .unwrap_or_else(of_live),
        None => of_live(),
    }
}

/// The object before; of a new one its empty frame, since having a spec at all is nobody's doing in
/// built-in kinds.
pub(super) fn without_managed_fields(live: Option<&Value>, new: &Value) -> Value {
    let mut old = match live {
        Some(live) => live.clone(),
        None => {
            let mut frame =
                json!({"apiVersion": new["apiVersion"], "kind": new["kind"], "metadata": {}});
            let api_version = new["apiVersion"].as_str().unwrap_or_default();
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            if Schema::builtin(group, version, new["kind"].as_str().unwrap_or_default()).is_some() {
                for field in ["spec", "status"] {
                    if new.get(field).is_some() {
                        frame[field] = json!({});
                    }
                }
            }
            frame
        }
    };
    if let Some(metadata) = old.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    old
}

/// Takes from all managers but `own` what changed or went, and returns what they would have had a
/// say in.
pub(super) fn take_over(
    entries: &mut Entries,
    own: Option<&Identity>,
    comparison: &Comparison,
) -> Vec<Conflict> {
    let changed = comparison.modified.union(&comparison.added);
    let mut conflicts = Vec::new();
    for (identity, entry) in entries
        .0
        .iter_mut()
        .filter(|(identity, _)| Some(*identity) != own)
    {
        let contested = entry.fields.intersection(&changed);
        conflicts.extend(conflict::with(identity, &contested));
        entry.fields = entry
            .fields
            .difference(&contested)
            .difference(&comparison.removed);
    }
    entries.0.retain(|_, entry| !entry.fields.is_empty());
    conflicts
}
