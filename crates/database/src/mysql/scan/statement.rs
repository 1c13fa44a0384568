//! What a statement of a dump does, as far as its words say it: pure.

use crate::scan::{Kind, Tokens};

/// Something that a statement does and that matters to whoever loads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// What quotes and backslashes mean from here on.
    Mode(Mode),
    /// It changes what belongs to the server, or reaches files.
    Change(&'static str),
    /// Nothing that can be loaded.
    Refused(&'static str),
}

/// What quotes and backslashes mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mode {
    /// A double quote is one around a name.
    pub(super) ansi_quotes: bool,
    /// A backslash in a string is one.
    pub(super) no_backslash: bool,
}

/// Schemas that belong to the server.
const SYSTEM: [&str; 5] = [
    "information_schema",
    "mysql",
    "ndbinfo",
    "performance_schema",
    "sys",
];

/// Words that begin a command of the client and no statement.
const CLIENTS: [&str; 20] = [
    "charset",
    "clear",
    "connect",
    "edit",
    "ego",
    "exit",
    "go",
    "nopager",
    "notee",
    "nowarning",
    "pager",
    "print",
    "prompt",
    "quit",
    "rehash",
    "resetconnection",
    "sandbox",
    "source",
    "system",
    "tee",
];

/// What a word reaches outside of the database, wherever it stands.
pub(super) fn reaching(word: &[u8]) -> Option<&'static str> {
    match word {
        b"load_file" => Some("LOAD_FILE"),
        b"outfile" | b"dumpfile" => Some("INTO OUTFILE or DUMPFILE"),
        _ => None,
    }
}

/// What the statement does. `look` looks into a text that may be run.
pub(super) fn acts(
    t: &Tokens,
    reaches: Option<&'static str>,
    look: &dyn Fn(&[u8]) -> Option<&'static str>,
) -> Vec<Act> {
    if t.is(0, "set") {
        return settings(t, look);
    }
    let change = match t.word(0) {
        b"create" => definition(t),
        b"alter" | b"drop" | b"rename" => changed(t),
        b"grant" | b"revoke" => Some("GRANT or REVOKE"),
        b"flush" => Some("FLUSH"),
        b"install" | b"uninstall" => Some("INSTALL or UNINSTALL"),
        b"change" | b"stop" => Some("a change of replication"),
        b"start" if !t.is(1, "transaction") => Some("a change of replication"),
        b"reset" | b"purge" | b"binlog" => Some("a change of the binary log"),
        b"shutdown" | b"restart" | b"kill" | b"clone" => Some("a command for the whole server"),
        b"load" => Some("LOAD DATA or LOAD XML"),
        b"import" => Some("IMPORT TABLE"),
        b"use" => is_schema(t, 1).then_some("USE of a system schema"),
        b"begin" if t.is(1, "not") => Some("a block of statements"),
        b"prepare" | b"execute" => texts(t, look),
        b"insert" | b"replace" => target(
            t,
            &[
                "low_priority",
                "delayed",
                "high_priority",
                "ignore",
                "into",
                "table",
            ],
        ),
        b"update" => target(t, &["low_priority", "ignore"]),
        b"delete" => target(t, &["low_priority", "quick", "ignore", "from"]),
        b"truncate" => target(t, &["table"]),
        _ if t.is_any(0, &CLIENTS) => return vec![Act::Refused("a command for the client itself")],
        _ => None,
    };
    let defines = t.is(0, "create") && object(t).is_some_and(|at| t.is_any(at, &ROUTINES));
    let change = change.or(reaches.filter(|_| !defines));
    change.map(Act::Change).into_iter().collect()
}

/// Things with a body that is run some other time.
const ROUTINES: [&str; 6] = [
    "function",
    "procedure",
    "trigger",
    "event",
    "view",
    "package",
];

/// Things that can be made.
const OBJECTS: [&str; 18] = [
    "user",
    "role",
    "server",
    "tablespace",
    "logfile",
    "undo",
    "resource",
    "database",
    "schema",
    "table",
    "index",
    "sequence",
    "function",
    "procedure",
    "trigger",
    "event",
    "view",
    "package",
];

/// Where a statement says what kind of thing it makes.
fn object(t: &Tokens) -> Option<usize> {
    let mut at = 1;
    while at < t.len().min(40) {
        // The owner's name may be any word.
        if t.are(at, &["definer", "="]) {
            at += 2;
            let names_host = t.kind(at + 1) == Some(Kind::Sign) && t.is(at + 1, "@");
            if names_host || t.are(at + 1, &["(", ")"]) {
                at += 2;
            }
            at += 1;
            continue;
        }
        if t.is_any(at, &OBJECTS) {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn definition(t: &Tokens) -> Option<&'static str> {
    let at = object(t)?;
    match t.word(at) {
        b"user" | b"role" => Some("CREATE USER or CREATE ROLE"),
        b"server" => Some("CREATE SERVER"),
        b"tablespace" | b"logfile" | b"undo" | b"resource" => Some("CREATE TABLESPACE"),
        b"function" if t.find(at, "soname").is_some() => Some("CREATE FUNCTION of a library"),
        b"database" | b"schema" => {
            is_schema(t, named(t, at + 1)).then_some("a change of a system schema")
        }
        _ => is_system(t, named(t, at + 1)).then_some("a change of a system schema"),
    }
}

/// Where the name stands, behind `IF [NOT] EXISTS`.
fn named(t: &Tokens, mut at: usize) -> usize {
    while t.is_any(at, &["if", "not", "exists"]) {
        at += 1;
    }
    at
}

fn changed(t: &Tokens) -> Option<&'static str> {
    let mut at = 1;
    while t.is_any(
        at,
        &["or", "replace", "online", "offline", "ignore", "temporary"],
    ) {
        at += 1;
    }
    match t.word(at) {
        b"user" | b"role" => Some("a change of users or roles"),
        b"server" | b"instance" | b"tablespace" | b"logfile" | b"undo" | b"resource" => {
            Some("a change of the server")
        }
        b"database" | b"schema" => {
            is_schema(t, named(t, at + 1)).then_some("a change of a system schema")
        }
        _ => names(t, named(t, at + 1)).then_some("a change of a system schema"),
    }
}

fn target(t: &Tokens, between: &[&str]) -> Option<&'static str> {
    let mut at = 1;
    while t.is_any(at, between) {
        at += 1;
    }
    names(t, at).then_some("a change of a system schema")
}

/// Whether one of the names from `at` on, up to what is done with them, belongs to a system schema.
fn names(t: &Tokens, at: usize) -> bool {
    let end = (at..t.len()).find(|at| {
        t.is_any(
            *at,
            &[
                "values", "value", "select", "set", "where", "add", "modify", "change",
            ],
        ) || t.is(*at, "(")
    });
    (at..end.unwrap_or(t.len())).any(|at| is_system(t, at))
}

fn is_schema(t: &Tokens, at: usize) -> bool {
    let name = t.name(at).unwrap_or_default();
    SYSTEM
        .iter()
        .any(|system| name.eq_ignore_ascii_case(system))
}

fn is_system(t: &Tokens, at: usize) -> bool {
    is_schema(t, at) && t.is(at + 1, ".")
}

fn texts(t: &Tokens, look: &dyn Fn(&[u8]) -> Option<&'static str>) -> Option<&'static str> {
    if t.is_full() {
        return Some("a statement too long to be looked through");
    }
    let texts = (0..t.len()).filter(|at| t.kind(*at) == Some(Kind::Text));
    let mut found = texts.filter_map(|at| look(t.bytes(at)));
    found.next()
}

fn settings(t: &Tokens, look: &dyn Fn(&[u8]) -> Option<&'static str>) -> Vec<Act> {
    let mut acts: Vec<Act> = texts(t, look).map(Act::Change).into_iter().collect();
    let mut depth = 0_u32;
    let mut begins = vec![1];
    for at in 1..t.len() {
        match t.bytes(at) {
            _ if t.kind(at) != Some(Kind::Sign) => {}
            b"(" => depth += 1,
            b")" => depth = depth.saturating_sub(1),
            b"," if depth == 0 => begins.push(at + 1),
            _ => {}
        }
    }
    acts.extend(begins.into_iter().filter_map(|at| setting(t, at)));
    acts
}

fn setting(t: &Tokens, mut at: usize) -> Option<Act> {
    const GLOBAL: [&str; 3] = ["global", "persist", "persist_only"];
    let marked = t.are(at, &["@", "@"]);
    if marked {
        at += 2;
    }
    if t.is_any(at, &GLOBAL) && (!marked || t.is(at + 1, ".")) {
        return Some(Act::Change("SET GLOBAL or SET PERSIST"));
    }
    match t.word(at) {
        b"password" => return Some(Act::Change("SET PASSWORD")),
        b"default" if t.is(at + 1, "role") => return Some(Act::Change("SET DEFAULT ROLE")),
        b"statement" => return Some(Act::Change("SET STATEMENT … FOR")),
        b"session" | b"local" => at += 1,
        _ => {}
    }
    if t.is(at, ".") {
        at += 1;
    }
    let name = t.name(at)?;
    if !name.eq_ignore_ascii_case("sql_mode") {
        return None;
    }
    at += 1;
    if t.is(at, ":") {
        at += 1;
    }
    let unclear = Some(Act::Refused("SET sql_mode to something unclear"));
    if !t.is(at, "=") {
        return unclear;
    }
    let alone = |at: usize| at >= t.len() || t.is(at, ",");
    match t.kind(at + 1) {
        Some(Kind::Text) if alone(at + 2) => Some(Act::Mode(mode(t.bytes(at + 1)))),
        Some(Kind::Word) if t.is(at + 1, "default") => Some(Act::Mode(Mode::default())),
        // What was kept before: dumps come back to what their first lines have set.
        Some(Kind::Sign) if t.is(at + 1, "@") && alone(at + 3) => {
            let kept = t.name(at + 2).unwrap_or_default().to_ascii_lowercase();
            match matches!(kept.as_str(), "saved_sql_mode" | "old_sql_mode") {
                true => Some(Act::Mode(Mode::default())),
                false => unclear,
            }
        }
        _ => unclear,
    }
}

fn mode(text: &[u8]) -> Mode {
    let text = String::from_utf8_lossy(text).to_ascii_uppercase();
    let has = |names: &[&str]| text.split(',').any(|mode| names.contains(&mode.trim()));
    Mode {
        ansi_quotes: has(&[
            "ANSI_QUOTES",
            "ANSI",
            "DB2",
            "MAXDB",
            "MSSQL",
            "ORACLE",
            "POSTGRESQL",
        ]),
        no_backslash: has(&["NO_BACKSLASH_ESCAPES"]),
    }
}
