//! Server-side apply.

use serde_json::{Value, json};

use super::compare::compare;
use super::entries::{Entries, Identity};
use super::set::Set;
use super::update::{take_over, update, without_managed_fields};
use super::{
    ApplyError, Writer, field_set, last_applied, merge, remove, strip_system_fields, typed,
};
use crate::schema::Schema;
use crate::schema::node::NodeRef;

/// Server-side apply: merges `config` into `live` and records what the manager now owns. Without
/// `live` the object is new. The result still has to be defaulted, prepared and validated, but
/// [`super::update`] must not be called for it: what defaulting and admission add belongs to
/// nobody. When nothing changed the result equals `live`.
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
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|m| !m.is_null())
    {
        return Err(ApplyError::HasManagedFields);
    }
    let not_typed = |why| ApplyError::NotTyped {
        object: describe(config),
        why,
    };
    typed::check(config, schema.root()).map_err(not_typed)?;
    let with_past = live.map(|live| with_past(live, writer, schema));
    let attempt = Attempt {
        live: with_past.as_ref(),
        config,
        writer,
        schema,
    };
    let applied = match attempt.run(force) {
        Err(ApplyError::Conflicts(conflicts)) if writer.manager == last_applied::KUBECTL => {
            let mine =
                live.and_then(|live| last_applied::still_applied(live, writer.api_version, schema));
            let mine = mine.unwrap_or_default().paths();
            let rest: Vec<_> = conflicts
                .into_iter()
                .filter(|c| !mine.contains(&c.field))
                .collect();
            if !rest.is_empty() {
                return Err(ApplyError::Conflicts(rest));
            }
            attempt.run(true)
        }
        other => other,
    };
    let mut object = applied?;
    if writer.manager == last_applied::KUBECTL {
        last_applied::refresh(&mut object, config);
    }
    Ok(object)
}

/// Who kept no book of an object before the first apply is taken for one manager that did
/// everything until then.
fn with_past(live: &Value, writer: &Writer<'_>, schema: &Schema) -> Value {
    const BEFORE: &str = "before-first-apply";
    let mut live = live.clone();
    let none = Entries::of(&live).is_none_or(|entries| entries.0.is_empty());
    if none {
        update(
            None,
            &mut live,
            &Writer {
                manager: BEFORE,
                subresource: "",
                has_status: false,
                ..*writer
            },
            schema,
        );
    }
    live
}

struct Attempt<'a> {
    live: Option<&'a Value>,
    config: &'a Value,
    writer: &'a Writer<'a>,
    schema: &'a Schema,
}

impl Attempt<'_> {
    fn run(&self, force: bool) -> Result<Value, ApplyError> {
        let root = self.schema.root();
        let mut entries = self.live.and_then(Entries::of).unwrap_or_default();
        let old = match self.live {
            Some(_) => without_managed_fields(self.live, self.config),
            None => json!({"apiVersion": self.config["apiVersion"], "kind": self.config["kind"]}),
        };
        let reset = self.writer.reset_fields();
        let mut merged = merge::merge(&old, self.config, Some(root));
        for field in &reset.members {
            keep(&mut merged, &old, &field.to_string()[1..]);
        }

        let identity = Identity::of(self.writer, true);
        let before = entries.0.get(&identity).cloned();
        let last = before
            .as_ref()
            .map(|entry| entry.fields.clone())
            .unwrap_or_default();
        let owned = field_set::of(self.config, Some(root)).recursive_difference(&reset);
        entries.set(identity.clone(), self.writer, owned.clone());
        let new = prune(&merged, &entries, &last, root);

        let comparison = compare(&old, &new, root).without(&reset);
        let conflicts = take_over(&mut entries, Some(&identity), &comparison);
        if !force && !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
        let owned = strip_system_fields(&owned);
        match before {
            // The time tells when it last made a difference.
            Some(entry) if entry.fields == owned && new == old => entries.0.insert(identity, entry),
            _ if owned.is_empty() => entries.0.remove(&identity),
            _ => {
                entries.set(identity, self.writer, owned);
                None
            }
        };
        let mut object = new;
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        entries.write(&mut object);
        Ok(object)
    }
}

/// Removes what the manager applied last time and does not any more, unless someone else owns it.
fn prune(merged: &Value, entries: &Entries, last: &Set, root: NodeRef<'_>) -> Value {
    if last.is_empty() {
        return merged.clone();
    }
    let all_fields =
        |value: &Value| field_set::with_named_fields(&field_set::of(value, Some(root)), Some(root));
    let take = |paths: &Set| remove::remove(merged, paths, Some(root)).unwrap_or_else(|| json!({}));
    let last = field_set::with_named_fields(last, Some(root));
    let owned = entries
        .0
        .values()
        .fold(Set::default(), |all, entry| all.union(&entry.fields));
    let owned = field_set::with_named_fields(&owned, Some(root));
    let everything = all_fields(merged);
    // First all that it applied last time goes, then what anyone (itself included) owns comes back,
    let pruned = take(&last);
    let pruned = take(&everything.difference(&all_fields(&pruned).union(&owned)));
    // and last what was lost though it was never this manager's.
    take(
        &everything
            .difference(&all_fields(&pruned))
            .intersection(&last),
    )
}

fn keep(object: &mut Value, old: &Value, field: &str) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    match old.get(field) {
        Some(value) => map.insert(field.into(), value.clone()),
        None => map.remove(field),
    };
}

/// `namespace/name; group/version, Kind=kind`.
fn describe(object: &Value) -> String {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let api_version = text("/apiVersion");
    let api_version = if api_version.contains('/') {
        api_version.to_string()
    } else {
        format!("/{api_version}")
    };
    format!(
        "{}/{}; {api_version}, Kind={}",
        text("/metadata/namespace"),
        text("/metadata/name"),
        text("/kind")
    )
}
