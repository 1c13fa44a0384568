//! What a statement of a dump does, as far as its words say it: pure.

use super::embedded;
use crate::scan::{Kind, Tokens};

/// What a statement does, as far as it matters to whoever loads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It changes the database that it is run in, and nothing else that can be known.
    Inside,
    /// It sets something for its session.
    Session,
    /// `COPY … FROM stdin`: data follows.
    CopyIn,
    /// What a backslash in a plain string means from here on.
    Strings(bool),
    /// Exactly `BEGIN`.
    Begin,
    /// Exactly `COMMIT`.
    Commit,
    /// Writes a large object.
    LargeObject,
    /// A setting that some servers shall not get: its name.
    Timeout(&'static str),
    /// Is about a role.
    Role(Subject, &'static str),
    /// Makes a database, which no transaction can.
    CreateDatabase,
    /// Belongs to the whole server: tablespaces, databases and their settings.
    Server(&'static str),
    /// Changes what belongs to the whole server, or reaches files and programs.
    Change(&'static str),
    /// Nothing that can be loaded.
    Refused(&'static str),
}

/// The role that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// This one.
    Named(String),
    /// Who runs the statement.
    Own,
    /// All, several, or one that cannot be read.
    Unclear,
}

/// What a statement needs to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) roles: Vec<String>,
    pub(super) tablespace: Option<String>,
    pub(super) extension: Option<String>,
}

/// Roles by a word instead of a name.
const OWN: [&str; 3] = ["current_user", "session_user", "current_role"];

/// Encodings whose characters may hold a backslash or a quote: what is a string cannot be told
/// without them. No server keeps its data in one.
const UNSAFE: [&str; 9] = [
    "sjis",
    "shiftjis",
    "mskanji",
    "win932",
    "shiftjis2004",
    "big5",
    "gbk",
    "uhc",
    "gb18030",
];

/// Functions that reach what is outside of the database; sorted.
pub(super) const REACHING: [&str; 33] = [
    "cursor_to_xml",
    "database_to_xml",
    "dblink",
    "dblink_connect",
    "dblink_connect_u",
    "dblink_exec",
    "dblink_open",
    "dblink_send_query",
    "lo_export",
    "lo_import",
    "pg_cancel_backend",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_drop_replication_slot",
    "pg_file_rename",
    "pg_file_sync",
    "pg_file_unlink",
    "pg_file_write",
    "pg_import_system_collations",
    "pg_logdir_ls",
    "pg_ls_dir",
    "pg_ls_logdir",
    "pg_ls_tmpdir",
    "pg_ls_waldir",
    "pg_promote",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_stat_file",
    "pg_switch_wal",
    "pg_terminate_backend",
    "query_to_xml",
];

/// Whether a function reaches what is outside of the database.
pub(super) fn reaching(word: &[u8]) -> Option<&'static str> {
    let found = REACHING.binary_search_by(|known| known.as_bytes().cmp(word));
    found.ok().map(|at| REACHING[at])
}

/// What the statement does. `reaches`: a function in it that reaches outside.
/// The encoding that a statement sets for what follows, as servers write it: `SET client_encoding =
/// 'UTF8'`.
pub(super) fn encoding(t: &Tokens) -> Option<String> {
    let (name, value) = setting(t);
    if !t.is(0, "set") || !t.is(name, "client_encoding") {
        return None;
    }
    let given = String::from_utf8_lossy(t.bytes(value)).to_ascii_uppercase();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!given.is_empty() && given.chars().all(is_name)).then_some(given)
}

pub(super) fn act(t: &Tokens, reaches: Option<&'static str>) -> Act {
    let runs = !matches!(
        t.word(0),
        b"create" | b"alter" | b"grant" | b"revoke" | b"comment" | b"security" | b"drop"
    ) || (t.is(0, "create")
        && (t.is(1, "materialized") || t.find(1, "as").is_some())
        && !defines(t));
    if let Some(name) = reaches.filter(|_| runs) {
        return Act::Change(name);
    }
    match t.word(0) {
        b"begin" | b"start" | b"commit" | b"end" | b"abort" | b"rollback" => transaction(t),
        b"prepare" if t.is(1, "transaction") => Act::Refused("PREPARE TRANSACTION"),
        b"copy" => copy(t),
        b"set" => set(t),
        b"reset" | b"discard" => Act::Refused("RESET or DISCARD"),
        b"create" | b"alter" | b"drop" => definition(t),
        b"grant" | b"revoke" => grant(t),
        b"comment" if t.is(1, "on") => about(t, 2),
        b"security" => match t.find(0, "on") {
            Some(at) => about(t, at + 1),
            None => Act::Inside,
        },
        b"reassign" if t.is(1, "owned") => Act::Change("REASSIGN OWNED"),
        b"load" => Act::Change("LOAD"),
        b"do" => block(t),
        b"insert" | b"merge" => target(t, 1, &["into"]),
        b"update" => target(t, 1, &["only"]),
        b"delete" => target(t, 1, &["from", "only"]),
        b"truncate" => target(t, 1, &["table", "only"]),
        b"select" => select(t),
        b"with" | b"values" | b"call" | b"execute" | b"explain" | b"prepare" | b"declare" => {
            strings(t)
        }
        _ => Act::Inside,
    }
}

/// Whether it only says what is to be done later.
fn defines(t: &Tokens) -> bool {
    let early = |word| (1..5).any(|at| t.is(at, word));
    [
        "function",
        "procedure",
        "view",
        "rule",
        "trigger",
        "event",
        "policy",
    ]
    .iter()
    .any(|word| early(*word))
        && !early("materialized")
}

fn transaction(t: &Tokens) -> Act {
    match t.word(0) {
        b"begin" if t.len() == 1 => Act::Begin,
        b"commit" if t.len() == 1 => Act::Commit,
        // Back to a savepoint of the same transaction.
        b"rollback" if t.is(1, "to") || t.is(2, "to") => Act::Inside,
        b"begin" | b"start" => Act::Refused("BEGIN"),
        b"rollback" | b"abort" => Act::Refused("ROLLBACK"),
        _ => Act::Refused("COMMIT"),
    }
}

fn copy(t: &Tokens) -> Act {
    let mut depth = 0_u32;
    let mut found = None;
    for at in 1..t.len() {
        match (t.kind(at), t.bytes(at)) {
            (Some(Kind::Sign), b"(") => depth += 1,
            (Some(Kind::Sign), b")") => depth = depth.saturating_sub(1),
            (Some(Kind::Word), b"from" | b"to") if depth == 0 => {
                found = Some(at);
                break;
            }
            _ => {}
        }
    }
    let Some(at) = found else {
        return Act::Refused("a COPY that is not understood");
    };
    let coded = |at: usize| {
        t.is_any(at, &["binary", "csv"])
            || (t.kind(at) == Some(Kind::Text) && t.bytes(at) == b"csv")
    };
    if t.is(at + 1, "program") {
        Act::Change("COPY with a program")
    } else if t.kind(at + 1) == Some(Kind::Text) {
        Act::Change("COPY with a file of the server")
    } else if !(t.is(at, "from") && t.is(at + 1, "stdin")) {
        Act::Refused("COPY … TO")
    } else if t.is_full() || t.is(1, "binary") || (at + 2..t.len()).any(coded) {
        Act::Refused("COPY in another format than text")
    } else if is_system(t, 1) {
        Act::Change("COPY into a system table")
    } else {
        Act::CopyIn
    }
}

/// A setting: its name, and the place of its value.
fn setting(t: &Tokens) -> (usize, usize) {
    let at = match t.is_any(1, &["session", "local"]) {
        true => 2,
        false => 1,
    };
    (at, at + 2)
}

fn set(t: &Tokens) -> Act {
    let (name, value) = setting(t);
    let word = t.name(name).unwrap_or_default();
    match word.as_str() {
        "standard_conforming_strings" => match (t.bytes(value), t.len() == value + 1) {
            (b"on", true) => Act::Strings(true),
            (b"off", true) => Act::Strings(false),
            _ => Act::Refused("SET standard_conforming_strings to something unclear"),
        },
        "client_encoding" | "names" => {
            let value = match word.as_str() {
                "names" => name + 1,
                _ => value,
            };
            let given = String::from_utf8_lossy(t.bytes(value)).to_ascii_lowercase();
            let given: String = given.chars().filter(char::is_ascii_alphanumeric).collect();
            match UNSAFE.contains(&given.as_str()) || given.is_empty() {
                true => Act::Refused("an encoding in which strings cannot be told from statements"),
                false => Act::Session,
            }
        }
        "lock_timeout" if t.len() == value + 1 => Act::Timeout("lock_timeout"),
        "transaction_timeout" if t.len() == value + 1 => Act::Timeout("transaction_timeout"),
        _ => Act::Session,
    }
}

/// Words between what is done and the name of what it is done to.
const BETWEEN: [&str; 29] = [
    "or",
    "replace",
    "table",
    "only",
    "if",
    "not",
    "exists",
    "function",
    "procedure",
    "routine",
    "aggregate",
    "view",
    "materialized",
    "sequence",
    "index",
    "unique",
    "concurrently",
    "type",
    "domain",
    "schema",
    "operator",
    "conversion",
    "collation",
    "foreign",
    "temp",
    "temporary",
    "unlogged",
    "recursive",
    "trusted",
];

fn definition(t: &Tokens) -> Act {
    match t.word(1) {
        b"system" => Act::Change("ALTER SYSTEM"),
        b"user" if t.is(2, "mapping") => Act::Inside,
        b"role" | b"user" | b"group" => {
            let what = match t.word(0) {
                b"create" => "CREATE ROLE",
                b"alter" => "ALTER ROLE",
                _ => "DROP ROLE",
            };
            let at = match t.are(2, &["if", "exists"]) {
                true => 4,
                false => 2,
            };
            let several = t.is(0, "drop") && t.len() > at + 1;
            match several {
                true => Act::Role(Subject::Unclear, what),
                false => Act::Role(subject(t, at), what),
            }
        }
        b"owned" => Act::Change("DROP OWNED"),
        b"database" => match t.word(0) {
            b"create" => Act::CreateDatabase,
            b"alter" => Act::Server("ALTER DATABASE"),
            _ => Act::Change("DROP DATABASE"),
        },
        b"tablespace" => match t.is(0, "drop") {
            true => Act::Change("DROP TABLESPACE"),
            false => Act::Server("CREATE or ALTER TABLESPACE"),
        },
        _ => target(t, 1, &BETWEEN),
    }
}

fn subject(t: &Tokens, at: usize) -> Subject {
    if t.is_any(at, &OWN) {
        return Subject::Own;
    }
    match t.name(at) {
        Some(name) if !t.is(at, "all") && !t.is(at + 1, "uescape") => Subject::Named(name),
        _ => Subject::Unclear,
    }
}

/// Whether what stands there belongs to the server's own schemas.
pub(super) fn is_system(t: &Tokens, at: usize) -> bool {
    let Some(name) = t.name(at) else {
        return t.kind(at) == Some(Kind::Unreadable);
    };
    match t.is(at + 1, ".") {
        true => matches!(
            name.as_str(),
            "pg_catalog" | "information_schema" | "pg_toast"
        ),
        // The server looks for these names in its own schema first.
        false => name.starts_with("pg_") || name == "information_schema",
    }
}

fn target(t: &Tokens, mut at: usize, between: &[&str]) -> Act {
    while t.is_any(at, between) {
        at += 1;
    }
    match is_system(t, at) {
        true => Act::Change("a change of system tables"),
        false => Act::Inside,
    }
}

fn grant(t: &Tokens) -> Act {
    let side = match t.is(0, "grant") {
        true => "to",
        false => "from",
    };
    let receiver = t.find(1, side);
    let on = t
        .find(1, "on")
        .filter(|on| receiver.is_none_or(|to| *on < to));
    match on {
        None => Act::Role(
            receiver.map_or(Subject::Unclear, |at| subject(t, at + 1)),
            "membership in a role",
        ),
        Some(at) => match t.word(at + 1) {
            b"database" | b"tablespace" => Act::Server("rights on a database or tablespace"),
            b"parameter" => Act::Server("rights on settings"),
            _ => Act::Inside,
        },
    }
}

/// What a comment or label is about.
fn about(t: &Tokens, at: usize) -> Act {
    match t.word(at) {
        b"role" => Act::Role(subject(t, at + 1), "COMMENT ON ROLE"),
        b"database" | b"tablespace" => Act::Server("a comment on a database or tablespace"),
        _ => Act::Inside,
    }
}

fn block(t: &Tokens) -> Act {
    let language = t.find(1, "language").map(|at| t.bytes(at + 1));
    if language.is_some_and(|language| !matches!(language, b"plpgsql" | b"sql")) {
        return Act::Change("a DO block in another language than PL/pgSQL");
    }
    strings(t)
}

fn select(t: &Tokens) -> Act {
    let at = match t.are(1, &["pg_catalog", "."]) {
        true => 3,
        false => 1,
    };
    let word = t.word(at);
    if (word.starts_with(b"lo_") || word == b"lowrite") && t.is(at + 1, "(") {
        return Act::LargeObject;
    }
    if word == b"setval" || word.starts_with(b"pg_restore_") {
        return Act::Inside;
    }
    if let Some(at) = t.find(1, "set_config") {
        let named = t.is(at + 1, "(") && t.kind(at + 2) == Some(Kind::Text) && t.is(at + 3, ",");
        let name = t.bytes(at + 2);
        let ours = [&b"standard_conforming_strings"[..], b"client_encoding"];
        if !named || ours.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            return Act::Refused("set_config of something unclear");
        }
    }
    strings(t)
}

/// Looks into the strings of a statement that may run them.
fn strings(t: &Tokens) -> Act {
    if t.is_full() {
        return Act::Change("a statement too long to be looked through");
    }
    let texts = (0..t.len()).filter(|at| t.kind(*at) == Some(Kind::Text));
    let mut found = texts.filter_map(|at| embedded::change(t.bytes(at)));
    found.next().map_or(Act::Inside, Act::Change)
}

/// What the statement needs to be there.
pub(super) fn needs(t: &Tokens) -> Needs {
    let mut needs = Needs::default();
    let role = |at: usize| {
        let at = match t.is(at, "group") {
            true => at + 1,
            false => at,
        };
        let word = t.is_any(at, &OWN) || t.is_any(at, &["public", "none", "default"]);
        t.name(at).filter(|_| !word && !t.is(at + 1, "uescape"))
    };
    let roles = |from: usize| {
        let mut found = Vec::new();
        let mut at = from;
        while let Some(name) = role(at) {
            found.push(name);
            if !t.is(at + 1, ",") {
                break;
            }
            at += 2;
        }
        found
    };
    let after = |from: usize, word: &str| t.find(from, word).map_or(Vec::new(), |at| roles(at + 1));
    match t.word(0) {
        b"alter" if t.are(1, &["default", "privileges"]) => {
            if t.is(3, "for") {
                needs.roles.extend(roles(5));
            }
            match (t.find(3, "grant"), t.find(3, "revoke")) {
                (Some(at), _) => needs.roles.extend(after(at, "to")),
                (None, Some(at)) => needs.roles.extend(after(at, "from")),
                (None, None) => {}
            }
        }
        b"alter"
            if t.len() >= 3
                && t.are(t.len() - 3, &["owner", "to"])
                && t.find(1, "rename").is_none() =>
        {
            needs.roles.extend(role(t.len() - 1));
        }
        b"grant" if t.find(1, "on").is_some() => needs.roles.extend(after(1, "to")),
        b"revoke" if t.find(1, "on").is_some() => needs.roles.extend(after(1, "from")),
        b"create" => match t.word(1) {
            b"schema" => needs.roles.extend(after(2, "authorization")),
            b"policy" => {
                let end = ["using", "with"].iter().filter_map(|word| t.find(2, word));
                let end = end.min().unwrap_or(t.len());
                if let Some(at) = t.find(2, "to").filter(|at| *at < end) {
                    needs.roles.extend(roles(at + 1));
                }
            }
            b"user" if t.are(2, &["mapping", "for"]) => needs.roles.extend(roles(4)),
            b"extension" => {
                let at = match t.are(2, &["if", "not", "exists"]) {
                    true => 5,
                    false => 2,
                };
                needs.extension = t.name(at);
            }
            _ => {}
        },
        b"set" => {
            let (name, value) = setting(t);
            if t.is(name, "default_tablespace") {
                needs.tablespace = t.name(value);
            } else if t.are(1, &["session", "authorization"]) {
                let named = String::from_utf8_lossy(t.bytes(3)).into_owned();
                let named = Some(named).filter(|_| t.kind(3) == Some(Kind::Text));
                needs.roles.extend(named.or_else(|| role(3)));
            }
        }
        _ => {}
    }
    needs
}
