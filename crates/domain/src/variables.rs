//! `${variable}` in blueprints and Functions.
//!
//! Expansion is typed: [`expand_all`] walks a parsed document and expands each string in place, so
//! a value with quotes, newlines or YAML in it can change that string and nothing else
//! (`docs/compatibility.md`, "Variables").
//!
//! | form | result |
//! |---|---|
//! | `${v}` | the value; unknown: an error |
//! | `${v:=d}` `${v:-d}` `${v=d}` `${v-d}` | the value, also an empty one; unknown: `d`, itself expanded |
//! | `$$` | one `$`; so `$${v}` stays `${v}` |
//! | `$(v)`, a lone `$` | untouched |
//! | `${v^}` `${v^^}` `${v,}` `${v,,}` | first letter or all in upper or lower case |
//! | `${v#p}` `${v##p}` `${v%s}` `${v%%s}` | without the prefix or suffix (`*` and `?` are wildcards; doubled: the longest) |
//! | `${v:off}` `${v:off:len}` | a part, counted in characters |
//! | `${v/a/b}` `${v//a/b}` | the first or every `a` replaced |
//! | `${#v}` | the length in characters |

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use thiserror::Error;

mod pattern;

/// Names and values.
pub type Variables = BTreeMap<String, String>;

/// A text that cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VariableError {
    /// Variables that have no value and no default.
    #[error("failed to expand variables: no value for {}", list(.0))]
    Unknown(BTreeSet<String>),
    /// A form that is not in the table above.
    #[error("failed to expand {0:?}: {1}")]
    Syntax(String, &'static str),
}

impl VariableError {
    /// Stable name of the kind of error, for metrics and reasons.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "VariableMissing",
            Self::Syntax(..) => "VariableSyntax",
        }
    }
}

fn list(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(|name| format!("${{{name}}}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Expands every string value (not the keys) of a document in place.
///
/// # Errors
/// If a form is wrong, or with the names of all variables that have neither value nor default. The
/// document is then left half expanded and must not be used.
pub fn expand_all(document: &mut Value, variables: &Variables) -> Result<(), VariableError> {
    let mut missing = BTreeSet::new();
    expand_value(document, variables, &mut missing)?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(VariableError::Unknown(missing))
    }
}

fn expand_value(
    value: &mut Value,
    variables: &Variables,
    missing: &mut BTreeSet<String>,
) -> Result<(), VariableError> {
    match value {
        Value::String(text) => match expand(text, variables) {
            Ok(expanded) => *text = expanded,
            Err(VariableError::Unknown(names)) => missing.extend(names),
            Err(error) => return Err(error),
        },
        Value::Array(items) => {
            for item in items {
                expand_value(item, variables, missing)?;
            }
        }
        Value::Object(fields) => {
            for (_, field) in fields.iter_mut() {
                expand_value(field, variables, missing)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Expands one text.
///
/// # Errors
/// If a form is wrong, or with the names of all variables that have neither value nor default.
pub fn expand(text: &str, variables: &Variables) -> Result<String, VariableError> {
    let mut out = String::with_capacity(text.len());
    let mut missing = BTreeSet::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix('{') {
            let end = closing_brace(tail)
                .ok_or_else(|| VariableError::Syntax(text.to_owned(), "a brace is not closed"))?;
            match substitute(&tail[..end], variables) {
                Ok(value) => out.push_str(&value),
                Err(VariableError::Unknown(names)) => missing.extend(names),
                Err(error) => return Err(error),
            }
            rest = &tail[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    if missing.is_empty() {
        Ok(out)
    } else {
        Err(VariableError::Unknown(missing))
    }
}

/// Where the brace that was opened before `text` closes; braces of `${` inside it are skipped.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if previous == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        previous = c;
    }
    None
}

/// Evaluates what stands between the braces.
fn substitute(inner: &str, variables: &Variables) -> Result<String, VariableError> {
    let syntax = |reason| VariableError::Syntax(format!("${{{inner}}}"), reason);
    if let Some(name) = inner.strip_prefix('#').filter(|name| is_name(name)) {
        let value = lookup(name, variables)?;
        return Ok(value.chars().count().to_string());
    }
    let end = inner
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(inner.len());
    let (name, operation) = inner.split_at(end);
    if name.is_empty() {
        return Err(syntax("a variable's name has letters, digits and _ only"));
    }
    for operator in [":=", ":-", "=", "-"] {
        if let Some(default) = operation.strip_prefix(operator) {
            return match variables.get(name) {
                Some(value) => Ok(value.clone()),
                None => expand(default, variables),
            };
        }
    }
    let value = lookup(name, variables)?;
    if operation.is_empty() {
        return Ok(value.to_owned());
    }
    pattern::apply(value, operation).ok_or_else(|| syntax("unknown operation"))
}

/// The names of all variables that a document uses, those in defaults included. A form that cannot
/// be understood ends the search in its text: [`expand_all`] says what is wrong with it.
#[must_use]
pub fn names(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(document, &mut found);
    found
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => names_in(text, found),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn names_in(text: &str, found: &mut BTreeSet<String>) {
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once('$') {
        rest = tail;
        if let Some(tail) = rest.strip_prefix('$') {
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix('{') {
            let Some(end) = closing_brace(tail) else {
                return;
            };
            let inner = tail[..end].trim_start_matches('#');
            let name = inner
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .map_or(inner, |end| &inner[..end]);
            if !name.is_empty() {
                found.insert(name.to_owned());
            }
            names_in(&inner[name.len()..], found);
            rest = &tail[end + 1..];
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

fn lookup<'a>(name: &str, variables: &'a Variables) -> Result<&'a str, VariableError> {
    variables
        .get(name)
        .map(String::as_str)
        .ok_or_else(|| VariableError::Unknown(BTreeSet::from([name.to_owned()])))
}

#[cfg(test)]
mod tests;
