//! SQL within a string: the body of a `DO` block, or what a function is told to run.
//!
//! Everything in it is looked at as if it were run. Text that is put together when it runs cannot
//! be known.

use super::lexer::{After, Lexer, Listener, Place, UNCLEAR};
use super::statement::{is_system, reaching};
use crate::scan::{Kind, Tokens};

/// So many strings within strings are looked into.
const DEEP: u32 = 4;

/// What the text would change of the server, if it does.
pub(super) fn change(text: &[u8]) -> Option<&'static str> {
    look(text, 0)
}

fn look(text: &[u8], depth: u32) -> Option<&'static str> {
    if text.contains(&UNCLEAR) {
        return Some("a text with characters by number where it may be run");
    }
    // Numbers, names and paths need no second look.
    if !text.iter().any(u8::is_ascii_whitespace) && !text.contains(&b'(') {
        return None;
    }
    let mut all = All::default();
    let mut lexer = Lexer::default();
    lexer.feed(text, &mut all);
    // What it ends within, the server will complain about.
    let _ = lexer.end(&mut all);
    let t = &all.0;
    if t.is_full() {
        return Some("a block too long to be looked through");
    }
    (0..t.len()).find_map(|at| match t.kind(at) {
        Some(Kind::Word | Kind::Name) => found(t, at),
        Some(Kind::Text) if depth < DEEP => look(t.bytes(at), depth + 1),
        Some(Kind::Text) => Some("a block too deep to be looked through"),
        _ => None,
    })
}

fn found(t: &Tokens, at: usize) -> Option<&'static str> {
    let until_end = || (at..t.len()).take_while(|at| !t.is(*at, ";"));
    let next = |words: &[&str]| t.is_any(at + 1, words);
    match t.word(at) {
        b"create" | b"alter" | b"drop" if next(&["role", "user", "group"]) => {
            (!t.is(at + 2, "mapping")).then_some("a change of roles in a block")
        }
        b"create" | b"alter" | b"drop" if next(&["database", "tablespace", "system", "owned"]) => {
            Some("a change of the server in a block")
        }
        b"reassign" if next(&["owned"]) => Some("a change of roles in a block"),
        b"grant" | b"revoke" => {
            let on = until_end().any(|at| t.is(at, "on"));
            let side = until_end().any(|at| t.is_any(at, &["to", "from"]));
            (side && !on).then_some("a change of roles in a block")
        }
        b"copy" => {
            let reaches = until_end().any(|at| {
                let side = t.is_any(at, &["from", "to"]);
                side && (t.is(at + 1, "program") || t.kind(at + 1) == Some(Kind::Text))
            });
            reaches.then_some("COPY with a program or file in a block")
        }
        b"update" => system(t, at + 1),
        b"into" | b"truncate" => system(t, at + 1),
        b"from" if t.is(at.wrapping_sub(1), "delete") => system(t, at + 1),
        _ => reaching(t.bytes(at)),
    }
}

fn system(t: &Tokens, mut at: usize) -> Option<&'static str> {
    while t.is_any(at, &["only", "table"]) {
        at += 1;
    }
    is_system(t, at).then_some("a change of system tables in a block")
}

/// All tokens, one statement after the other.
#[derive(Default)]
struct All(Tokens);

impl Listener for All {
    fn start(&mut self, _: u64, _: u64) {}

    fn wants_text(&self) -> bool {
        true
    }

    fn begin(&mut self, kind: Kind) {
        self.0.begin(kind);
    }

    fn more(&mut self, bytes: &[u8]) {
        self.0.more(bytes);
    }

    fn close(&mut self, escaped: bool) {
        if escaped {
            super::unescape(&mut self.0);
        }
    }

    fn word(&mut self, word: &[u8]) {
        self.0.push(Kind::Word, word);
    }

    fn sign(&mut self, sign: u8) {
        self.0.push(Kind::Sign, &[sign]);
    }

    fn semicolon(&mut self, _: u64) -> After {
        self.0.push(Kind::Sign, b";");
        After::Sql
    }

    fn comment(&mut self, _: &[u8], _: u64) {}

    fn command(&mut self, _: &[u8], _: Place, _: bool) {}

    fn odd(&mut self, _: &'static str, _: u64, _: u64) {}
}
