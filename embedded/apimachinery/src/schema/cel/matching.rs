//! `matches` with a memory: the interpreter's own compiles the pattern at each call, which for one
//! million elements takes longer than all the matching.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::extractors::This;
use kube_cel::cel::{Context, ExecutionError, Value};
use regex::Regex;

use crate::schema::regular;

/// How many patterns a thread remembers.
const REMEMBERED: usize = 64;
/// A larger one is refused.
const MAX_BYTES: usize = 1024 * 1024;

thread_local! {
    static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::default();
}

/// Registers the function.
pub(super) fn register(context: &mut Context<'_>) {
    context.add_function("matches", matches);
}

fn matches(This(text): This<Arc<String>>, pattern: Arc<String>) -> Result<Value, ExecutionError> {
    let regex = PATTERNS.with_borrow_mut(|patterns| {
        if let Some(regex) = patterns.get(&*pattern) {
            return Ok(regex.clone());
        }
        let (regex, bytes) = regular::sized(&pattern)?;
        if bytes > MAX_BYTES {
            return Err("the pattern is too large".to_owned());
        }
        if patterns.len() >= REMEMBERED {
            patterns.clear();
        }
        patterns.insert(pattern.to_string(), regex.clone());
        Ok(regex)
    });
    match regex {
        Ok(regex) => Ok(Value::Bool(regex.is_match(&text))),
        Err(why) => Err(ExecutionError::function_error(
            "matches",
            format!("{pattern:?} is not a valid regular expression: {why}"),
        )),
    }
}
