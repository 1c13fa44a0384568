//! Field ownership: `metadata.managedFields`, server-side apply and its conflicts.
//!
//! ```text
//!   apply:   config ─► fields it owns ─► merge into live ─► prune what it owned before ─► conflicts with others?
//!   update:  live ⇄ new ─► changed fields: now the writer's, and nobody else's
//! ```
//! Invariant: nothing is touched when nothing changed; an apply repeated gives an object equal to the live one, so
//! that the server can keep its resourceVersion.

mod element;
mod entries;
mod merge;
mod owned;
mod set;
#[cfg(test)]
mod tests;
mod typed;

use crate::schema::Schema;
use crate::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};

use entries::Entry;
use set::FieldSet;

/// Writer of what was there before the first apply, in an object that nobody kept book of.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Who writes, through what, when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// Field manager: the query parameter, or for updates without it the User-Agent up to the first `/`
    /// ([`default_manager`]).
    pub manager: &'a str,
    /// `apiVersion` of the request.
    pub api_version: &'a str,
    /// Subresource, such as `status`; empty for the object itself.
    pub subresource: &'a str,
    /// Time of the request.
    pub now: Timestamp,
}

/// Why an apply is refused.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields that this apply would change.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration does not fit the schema.
    #[error("failed to create typed patch object ({object}): {why}")]
    NotTyped {
        /// `namespace/name; group/version, Kind=kind`.
        object: String,
        /// What does not fit, such as `.spec.foo: field not declared in schema`.
        why: String,
    },
    /// `metadata.managedFields` of the configuration must be empty.
    #[error("metadata.managedFields must be nil")]
    HasManagedFields,
}

impl ApplyError {
    /// Stable category of the error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conflicts(_) => "ApplyConflict",
            Self::NotTyped { .. } => "ApplyNotTyped",
            Self::HasManagedFields => "ApplyHasManagedFields",
        }
    }
}

impl From<ApplyError> for Status {
    fn from(error: ApplyError) -> Self {
        let message = error.to_string();
        match error {
            ApplyError::Conflicts(conflicts) => {
                let causes: Vec<Value> = conflicts
                    .iter()
                    .map(|conflict| {
                        json!({
                            "reason": "FieldManagerConflict",
                            "message": format!("conflict with {}", conflict.manager),
                            "field": conflict.field,
                        })
                    })
                    .collect();
                Self {
                    code: 409,
                    reason: "Conflict",
                    message,
                    details: Some(json!({"causes": causes})),
                }
            }
            ApplyError::NotTyped { .. } => Self::internal(message),
            ApplyError::HasManagedFields => Self::bad_request(message),
        }
    }
}

/// One field owned by another manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager, described as kubectl shows it: `"kubectl-client-side-apply" using v1`.
    pub manager: String,
    /// Path such as `.spec.replicas` or `.spec.containers[name="c"].image`.
    pub field: String,
}

/// `Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .spec.x`.
pub fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [conflict] = conflicts {
        return format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            conflict.manager, conflict.field
        );
    }
    let mut managers: Vec<&str> = conflicts
        .iter()
        .map(|conflict| conflict.manager.as_str())
        .collect();
    managers.sort_unstable();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        let fields = conflicts
            .iter()
            .filter(|conflict| conflict.manager == manager);
        lines.extend(fields.map(|conflict| format!("- {}", conflict.field)));
    }
    format!(
        "Apply failed with {} conflicts: {}",
        conflicts.len(),
        lines.join("\n")
    )
}

/// The field manager of a request without `fieldManager`: the User-Agent's part before the first `/`.
pub fn default_manager(user_agent: &str) -> &str {
    user_agent.split('/').next().unwrap_or_default()
}

/// Server-side apply: merges `config` into `live` and records what the manager now owns. Without `live` the
/// object is new. The result still has to be defaulted, prepared and validated, but [`update`] must not be called
/// for it: what defaulting and admission add belongs to nobody. When nothing changed the result equals `live`.
///
/// # Errors
/// [`ApplyError`]; conflicts only without `force`.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    writer: &Writer<'_>,
    force: bool,
    schema: &Schema,
) -> Result<Value, ApplyError> {
    let node = schema.root();
    if config["metadata"]["managedFields"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
    {
        return Err(ApplyError::HasManagedFields);
    }
    typed::check(config, node)?;
    let wanted = owned::fields_of(config, Some(node)).without_identity();
    let nothing = json!({});
    let old = live.unwrap_or(&nothing);
    let mut entries = known_entries(live, writer, schema);
    let before = entries
        .iter()
        .find(|entry| entry.is_of(writer, true))
        .map(|entry| entry.fields.clone());

    let mut merged = merge::merge(old, config, Some(node));
    let difference = owned::compare(old, &merged, Some(node));
    if live.is_some() {
        yield_to(&mut entries, &difference, writer, force)?;
    }
    if let Some(before) = &before {
        let others = entries.iter().filter(|entry| !entry.is_of(writer, true));
        let kept = others.fold(wanted.clone(), |sum, entry| sum.union(entry.fields.clone()));
        merge::prune_object(&mut merged, node, before, &kept);
    }
    match entries.iter_mut().find(|entry| entry.is_of(writer, true)) {
        Some(entry) if entry.fields == wanted && same(old, &merged) => {}
        Some(entry) => *entry = Entry::new(writer, true, wanted),
        None => entries.push(Entry::new(writer, true, wanted)),
    }
    entries::write(&mut merged, entries);
    Ok(merged)
}

/// Records ownership after a create, replace or patch: `new` is the complete new object after defaulting, as sent
/// (its own managedFields, if any, count: an explicitly empty entry list resets, absence keeps the live ones).
/// Sets `metadata.managedFields` of `new`.
pub fn update(live: Option<&Value>, new: &mut Value, writer: &Writer<'_>, schema: &Schema) {
    let node = schema.root();
    let nothing = json!({});
    let old = live.unwrap_or(&nothing);
    // A client that sends the list decides about it; one that does not send it keeps what is known.
    let sent = new["metadata"]
        .get("managedFields")
        .filter(|list| !list.is_null())
        .is_some();
    let mut entries = match entries::read(new).filter(|_| sent) {
        Some(entries) => entries,
        None => live.and_then(entries::read).unwrap_or_default(),
    };
    let difference = owned::compare(old, new, Some(node));
    let changed = difference.changed.without_identity();
    let removed = difference.removed.without_identity();
    for entry in entries
        .iter_mut()
        .filter(|entry| !entry.is_of(writer, false))
    {
        entry.fields = entry.fields.difference(&changed).difference(&removed);
    }
    let known = entries.iter_mut().find(|entry| entry.is_of(writer, false));
    let mine = known
        .as_ref()
        .map(|entry| entry.fields.clone())
        .unwrap_or_default();
    let mine_now = mine.difference(&removed).union(changed.clone());
    match known {
        Some(entry) if changed.is_empty() && entry.fields == mine_now => {}
        Some(entry) => *entry = Entry::new(writer, false, mine_now),
        None => entries.push(Entry::new(writer, false, mine_now)),
    }
    entries::write(new, entries);
}

/// The entries of an object; one that nobody kept book of belongs to its past.
fn known_entries(live: Option<&Value>, writer: &Writer<'_>, schema: &Schema) -> Vec<Entry> {
    let Some(live) = live else { return Vec::new() };
    match entries::read(live) {
        Some(entries) if !entries.is_empty() => entries,
        _ => {
            let past = Writer {
                manager: BEFORE_FIRST_APPLY,
                ..*writer
            };
            let fields = owned::fields_of(live, Some(schema.root())).without_identity();
            vec![Entry::new(&past, false, fields)]
        }
    }
}

/// Takes what an apply changes away from the other writers, or refuses if they own it and `force` is not given.
fn yield_to(
    entries: &mut [Entry],
    difference: &owned::Difference,
    writer: &Writer<'_>,
    force: bool,
) -> Result<(), ApplyError> {
    let mut conflicts = Vec::new();
    for entry in entries
        .iter_mut()
        .filter(|entry| !entry.is_of(writer, true))
    {
        let contested: FieldSet = entry.fields.intersection(&difference.changed);
        let manager = entry.describe();
        let fields = contested.paths().into_iter();
        conflicts.extend(fields.map(|field| Conflict {
            manager: manager.clone(),
            field,
        }));
        entry.fields = entry
            .fields
            .difference(&contested)
            .difference(&difference.removed);
    }
    if conflicts.is_empty() || force {
        Ok(())
    } else {
        Err(ApplyError::Conflicts(conflicts))
    }
}

/// Whether two objects are equal but for the book-keeping.
fn same(old: &Value, new: &Value) -> bool {
    let plain = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("managedFields");
        }
        object
    };
    plain(old) == plain(new)
}
