//! What a dump drops before it creates it anew, and what it creates along with tables: pure.

use crate::scan::Tokens;

/// An object that a dump drops, or an index or sequence that it creates with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Where the statement begins.
    pub(crate) offset: u64,
    /// What it is: `table`, `materialized view`; `index` and `identity` for what comes with a
    /// table.
    pub(crate) kind: &'static str,
    /// Its schema; empty for what is in none.
    pub(crate) schema: String,
    /// Its name; empty for what is told apart by its kind alone.
    pub(crate) name: String,
}

/// Kinds by the words of the statement, the longer ones first. The flag: whether they are in a
/// schema.
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

/// Reads the statements that give a table an index or a sequence, as pg_dump writes them: their
/// names must be free.
pub(super) fn with_table(t: &Tokens, offset: u64) -> Option<Dropped> {
    let (kind, schema, name) = if t.are(0, &["alter", "table"]) {
        let at = 2 + usize::from(t.is(2, "only"));
        let schema = t.name(at).filter(|_| t.is(at + 1, "."))?;
        let change = at + 3;
        if t.are(change, &["add", "constraint"]) {
            let makes_index = t.is_any(change + 3, &["primary", "unique", "exclude"]);
            ("index", schema, t.name(change + 2).filter(|_| makes_index)?)
        } else {
            let sequence = t.find(change, "identity")? + 2;
            let named = t.are(sequence, &["sequence", "name"]) && t.is(sequence + 3, ".");
            let name = t.name(sequence + 4).filter(|_| named)?;
            ("identity", t.name(sequence + 2)?, name)
        }
    } else if t.is(0, "create") {
        let at = 1 + usize::from(t.is(1, "unique"));
        if !t.is(at, "index") {
            return None;
        }
        let table = at + 3 + usize::from(t.is(at + 3, "only"));
        let is_named = t.is(at + 2, "on") && t.is(table + 1, ".");
        (
            "index",
            t.name(table).filter(|_| is_named)?,
            t.name(at + 1)?,
        )
    } else {
        return None;
    };
    Some(Dropped {
        offset,
        kind,
        schema,
        name,
    })
}
