//! What a dump drops before it creates it anew: pure.

use crate::scan::Tokens;

/// An object that a dump drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Where the statement begins.
    pub(crate) offset: u64,
    /// What it is: `table`, `materialized view`.
    pub(crate) kind: &'static str,
    /// Its schema; empty for what is in none.
    pub(crate) schema: String,
    /// Its name; empty for what is told apart by its kind alone.
    pub(crate) name: String,
}

/// Kinds by the words of the statement, the longer ones first. The flag: whether they are in a schema.
const KINDS: [(&[&str], &str, bool); 13] = [
    (&["materialized", "view"], "materialized view", true),
    (&["foreign", "table"], "foreign table", true),
    (&["event", "trigger"], "event trigger", false),
    (&["table"], "table", true),
    (&["view"], "view", true),
    (&["sequence"], "sequence", true),
    (&["type"], "type", true),
    (&["domain"], "domain", true),
    (&["function"], "function", true),
    (&["procedure"], "procedure", true),
    (&["aggregate"], "aggregate", true),
    (&["extension"], "extension", false),
    (&["subscription"], "subscription", false),
];

/// Kinds whose names are not read.
const UNNAMED: [&str; 2] = ["operator", "cast"];

/// Reads `DROP … IF EXISTS`, as pg_dump writes it; none for any other statement.
pub(super) fn read(t: &Tokens, offset: u64) -> Option<Dropped> {
    if !t.is(0, "drop") {
        return None;
    }
    if let Some(kind) = UNNAMED.into_iter().find(|kind| t.is(1, kind)) {
        return Some(Dropped {
            offset,
            kind,
            schema: String::new(),
            name: String::new(),
        });
    }
    let (words, kind, in_schema) = KINDS.iter().find(|(words, ..)| t.are(1, words))?;
    let mut at = 1 + words.len();
    if t.are(at, &["if", "exists"]) {
        at += 2;
    }
    let first = t.name(at)?;
    let (schema, name) = match in_schema {
        // Without a schema nobody knows which one is meant.
        true if t.is(at + 1, ".") => (first, t.name(at + 2)?),
        true => return None,
        false => (String::new(), first),
    };
    Some(Dropped {
        offset,
        kind,
        schema,
        name,
    })
}
