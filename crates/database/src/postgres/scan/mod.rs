//! What a dump of PostgreSQL holds: its statements, read as psql reads them, and never run.
//!
//! ```text
//!   lexer      where statements, strings and data begin and end        connect   psql's own lines
//!   statement  what a statement does                                   embedded  SQL within strings
//!   Scanner    puts it together ─► Scan ─► layout (where each part goes), target (may it be loaded)
//! ```

mod connect;
mod dropped;
mod embedded;
mod lexer;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use connect::Command;
pub(crate) use dropped::Dropped;
use lexer::{After, Lexer, Listener, Place};
use statement::{Act, Subject};

use crate::scan::{Ending, Faults, Kind, Tokens};

/// The line near the end of a dump of one database, without its dashes.
const DATABASE_ENDS: &[u8] = b" PostgreSQL database dump complete";
/// The line near the end of a dump of a server.
const CLUSTER_ENDS: &[u8] = b" PostgreSQL database cluster dump complete";
/// More statements of one kind than this are no dump's.
const MOST: usize = 200_000;

/// A part of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

/// A line that goes to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) span: Span,
    pub(crate) line: u64,
    pub(crate) database: String,
}

/// A statement that belongs to the whole server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfServer {
    pub(crate) span: Span,
    pub(crate) line: u64,
    pub(crate) what: &'static str,
    /// The role that it is about.
    pub(crate) role: About,
}

/// What a statement of the server is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// A role of this name.
    Role(String),
    /// Whoever runs it.
    Own,
    /// Roles, but which ones is not clear.
    Unclear,
    /// Something else.
    Else,
}

/// A line that says that a dump is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) offset: u64,
    pub(crate) of_server: bool,
    /// Where the next statement begins.
    pub(crate) until: u64,
}

/// A schema that a dump drops and makes anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schema {
    pub(crate) name: String,
    /// Where it is dropped.
    pub(crate) drop: Span,
    /// Where it is made.
    pub(crate) make: Span,
}

/// What a dump holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) bytes: u64,
    /// What it ends within.
    pub(crate) ends_within: Option<&'static str>,
    /// What no dump may hold.
    pub(crate) refused: Faults,
    /// What a dump may hold only if that is asked for.
    pub(crate) changes: Faults,
    /// Lines and statements that are not for the server.
    pub(crate) cuts: Vec<Span>,
    /// Settings that not every server shall get.
    pub(crate) timeouts: Vec<(&'static str, Span)>,
    pub(crate) connects: Vec<Connect>,
    /// Statements that make a database, with their lines.
    pub(crate) created: Vec<(Span, u64)>,
    pub(crate) of_server: Vec<OfServer>,
    /// Where it drops extensions, with their names.
    pub(crate) extension_drops: Vec<(String, Span)>,
    /// Where it comments on them.
    pub(crate) extension_comments: Vec<Span>,
    /// Schemas that it drops and makes anew.
    pub(crate) schemas: Vec<Schema>,
    /// The encoding that it says it is in, from each of these places on.
    pub(crate) encodings: Vec<(u64, String)>,
    /// What it drops to create it anew.
    pub(crate) dropped: Vec<Dropped>,
    /// After each `\connect` and each database made, and at the beginning: the first statement
    /// that is about the inside of a database.
    pub(crate) inside: Vec<(u64, u64)>,
    pub(crate) ends: Vec<End>,
    /// Roles that must be there.
    pub(crate) roles: BTreeSet<String>,
    pub(crate) tablespaces: BTreeSet<String>,
    pub(crate) extensions: BTreeSet<String>,
    /// Roles that it makes itself.
    pub(crate) made_roles: BTreeSet<String>,
    pub(crate) made_tablespaces: BTreeSet<String>,
}

impl Scan {
    /// How the whole of it ends.
    pub(crate) fn ending(&self, of_server: bool) -> Ending {
        if let Some(within) = self.ends_within {
            return Ending::Within(within);
        }
        let said = self.ends.last();
        match said.is_some_and(|end| end.of_server == of_server && end.until == u64::MAX) {
            true => Ending::Said,
            false => Ending::Unsaid,
        }
    }

    /// The encoding of the database that a part is of, if the part says it.
    pub(crate) fn encoding(&self, part: Span) -> Option<&str> {
        let within = |(at, _): &&(u64, String)| part.offset <= *at && *at < part.end;
        self.encodings
            .iter()
            .find(within)
            .map(|(_, encoding)| encoding.as_str())
    }

    /// Whether a part of it is whole.
    pub(crate) fn ends_well(&self, part: Span, of_server: bool) -> bool {
        let within = |end: &&End| part.offset <= end.offset && end.offset < part.end;
        let last = self.ends.iter().rfind(within);
        last.is_some_and(|end| end.of_server == of_server && end.until >= part.end)
    }
}

/// Reads a dump, in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    lexer: Lexer,
    reader: Reader,
    position: u64,
}

impl Scanner {
    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.lexer.feed(bytes, &mut self.reader);
        self.position += bytes.len() as u64;
    }

    /// What was found.
    pub(crate) fn end(mut self) -> Scan {
        let within = self.lexer.end(&mut self.reader);
        let mut scan = self.reader.scan;
        let large = self.reader.begun.map(|_| "large objects");
        // A NUL byte is seen before what stands in front of it.
        scan.refused.sort();
        scan.ends_within = within.or(large);
        scan.bytes = self.position;
        scan
    }
}

/// Takes statements from the lexer.
#[derive(Debug, Default)]
struct Reader {
    scan: Scan,
    tokens: Tokens,
    /// Where the statement begins.
    start: (u64, u64),
    /// What is in its strings is wanted.
    wants_text: bool,
    /// A name that may be one of a function.
    name: Vec<u8>,
    named: Option<&'static str>,
    reaches: Option<&'static str>,
    /// `BEGIN` around large objects.
    begun: Option<(Span, u64)>,
    /// Whether a statement about the inside of a database was noted since the last border.
    inside: bool,
    /// Views, by schema and name, that were replaced among the statements that drop what is there.
    stand_ins: BTreeMap<(String, String), Span>,
    /// Schemas that were dropped and not made since.
    schemas: BTreeMap<String, Span>,
}

impl Reader {
    fn function(&mut self, name: &[u8]) {
        self.named = statement::reaching(name);
    }

    fn crowded(&mut self) -> bool {
        let scan = &self.scan;
        let crowded = [
            scan.cuts.len(),
            scan.timeouts.len(),
            scan.connects.len(),
            scan.created.len(),
            scan.of_server.len(),
            scan.dropped.len(),
            scan.schemas.len(),
            scan.extension_comments.len(),
            scan.encodings.len(),
            scan.ends.len(),
            scan.roles.len(),
            scan.made_roles.len(),
        ];
        let crowded = crowded.iter().any(|count| *count > MOST);
        if crowded {
            let (offset, line) = self.start;
            let what = "more statements about the server than any dump has";
            self.scan.refused.push(what, offset, line);
        }
        crowded
    }

    /// Takes note of what a statement does.
    fn note(&mut self, act: Act, span: Span, line: u64) -> After {
        if self.crowded() {
            return After::Sql;
        }
        let outside = matches!(
            act,
            Act::Session
                | Act::Timeout(_)
                | Act::Strings(_)
                | Act::Role(..)
                | Act::Server(_)
                | Act::CreateDatabase
                | Act::Change(_)
        );
        if !outside && !self.inside {
            self.inside = true;
            self.scan.inside.push((span.offset, line));
        }
        if self.begun.is_some() && !matches!(act, Act::LargeObject | Act::Commit) {
            self.refuse_begun();
        }
        match act {
            Act::Inside | Act::Session | Act::LargeObject => {}
            Act::CopyIn => return After::Copy,
            Act::Strings(standard) => return After::Strings(standard),
            Act::Begin => self.begun = Some((span, line)),
            Act::Commit => match self.begun.take() {
                // Around large objects; they belong into the transaction of all.
                Some((begin, _)) => self.scan.cuts.extend([begin, span]),
                None => self.scan.refused.push("COMMIT", span.offset, line),
            },
            Act::Timeout(name) => self.scan.timeouts.push((name, span)),
            Act::Role(subject, what) => {
                let role = match subject {
                    Subject::Named(name) => About::Role(name),
                    Subject::Own => About::Own,
                    Subject::Unclear => About::Unclear,
                };
                self.of_server(span, line, what, role);
            }
            Act::Server(what) => self.of_server(span, line, what, About::Else),
            Act::CreateDatabase => {
                self.scan.created.push((span, line));
                self.inside = false;
            }
            Act::Change(what) => self.scan.changes.push(what, span.offset, line),
            Act::Refused(what) => self.scan.refused.push(what, span.offset, line),
        }
        After::Sql
    }

    fn of_server(&mut self, span: Span, line: u64, what: &'static str, role: About) {
        self.scan.of_server.push(OfServer {
            span,
            line,
            what,
            role,
        });
    }

    /// Takes note of a schema that is dropped, or made again exactly as it is dropped: without
    /// anything else.
    fn schema(&mut self, span: Span) {
        let t = &self.tokens;
        if t.are(0, &["drop", "schema", "if", "exists"]) && t.len() == 5 {
            if self.schemas.len() < MOST {
                self.schemas.extend(t.name(4).map(|name| (name, span)));
            }
        } else if t.are(0, &["create", "schema"])
            && t.len() == 3
            && let Some(name) = t.name(2)
            && let Some(drop) = self.schemas.remove(&name)
        {
            let make = span;
            self.scan.schemas.push(Schema { name, drop, make });
        }
    }

    /// A view that needs a table's key is replaced by one without rows before it is dropped, so
    /// that the key can be dropped in between. Such a stand-in is left out: where the view's
    /// schema or types are not there it fails, and where they are, the view is already gone.
    fn stand_in(&mut self, dropped: Option<&Dropped>, span: Span) {
        let t = &self.tokens;
        if let Some(one) = dropped {
            let name = (one.schema.clone(), one.name.clone());
            let of_it = (one.kind == "view").then(|| self.stand_ins.remove(&name));
            self.scan.cuts.extend(of_it.flatten());
        } else if t.are(0, &["create", "or", "replace", "view"]) && t.is(5, ".") {
            if self.stand_ins.len() < MOST
                && let Some(name) = t.name(4).zip(t.name(6))
            {
                self.stand_ins.insert(name, span);
            }
        } else if t.is_any(0, &["create", "set", "copy", "insert"]) {
            // No longer among them.
            self.stand_ins.clear();
        }
    }

    fn refuse_begun(&mut self) {
        if let Some((span, line)) = self.begun.take() {
            self.scan.refused.push("BEGIN", span.offset, line);
        }
    }

    fn note_needs(&mut self) {
        let needs = statement::needs(&self.tokens);
        self.scan.roles.extend(needs.roles);
        self.scan.tablespaces.extend(needs.tablespace);
        self.scan.extensions.extend(needs.extension);
        if let Some(encoding) = statement::encoding(&self.tokens) {
            self.scan.encodings.push((self.start.0, encoding));
        }
        let made = || self.tokens.name(2);
        if self.tokens.is(0, "create") {
            match self.tokens.word(1) {
                b"role" | b"group" => self.scan.made_roles.extend(made()),
                b"user" if !self.tokens.is(2, "mapping") => self.scan.made_roles.extend(made()),
                b"tablespace" => self.scan.made_tablespaces.extend(made()),
                _ => {}
            }
        }
    }
}

impl Listener for Reader {
    fn start(&mut self, offset: u64, line: u64) {
        self.start = (offset, line);
        self.wants_text = false;
        self.reaches = None;
        self.named = None;
        if let Some(last) = self.scan.ends.last_mut() {
            last.until = last.until.min(offset);
        }
    }

    fn wants_text(&self) -> bool {
        self.wants_text
    }

    fn begin(&mut self, kind: Kind) {
        self.named = None;
        self.name.clear();
        self.tokens.begin(kind);
    }

    fn more(&mut self, bytes: &[u8]) {
        let room = 64_usize.saturating_sub(self.name.len());
        self.name.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.tokens.more(bytes);
    }

    fn close(&mut self, escaped: bool) {
        if escaped {
            unescape(&mut self.tokens);
            let last = self.tokens.len().saturating_sub(1);
            self.name = self.tokens.bytes(last).to_vec();
        }
        let name = std::mem::take(&mut self.name);
        self.function(&name);
        self.name = name;
    }

    fn word(&mut self, word: &[u8]) {
        if self.tokens.len() == 0 {
            // What rows and definitions hold is nobody's business here.
            self.wants_text = !matches!(
                word,
                b"insert" | b"create" | b"alter" | b"comment" | b"update" | b"grant" | b"revoke"
            );
        }
        self.tokens.push(Kind::Word, word);
        self.function(word);
    }

    fn sign(&mut self, sign: u8) {
        if sign == b'(' {
            self.reaches = self.reaches.or(self.named);
        }
        self.named = None;
        self.tokens.push(Kind::Sign, &[sign]);
    }

    fn semicolon(&mut self, end: u64) -> After {
        let (offset, line) = self.start;
        let after = match self.tokens.len() {
            0 => After::Sql,
            _ => {
                self.note_needs();
                let dropped = dropped::read(&self.tokens, offset);
                let span = Span { offset, end };
                match &dropped {
                    Some(one) if one.kind == "extension" => {
                        self.scan.extension_drops.push((one.name.clone(), span));
                    }
                    None if self.tokens.are(0, &["comment", "on", "extension"]) => {
                        self.scan.extension_comments.push(span);
                    }
                    _ => {}
                }
                self.stand_in(dropped.as_ref(), span);
                self.schema(span);
                self.scan.dropped.extend(dropped);
                self.scan
                    .dropped
                    .extend(dropped::with_table(&self.tokens, offset));
                let act = statement::act(&self.tokens, self.reaches);
                self.note(act, Span { offset, end }, line)
            }
        };
        self.tokens.clear();
        after
    }

    fn comment(&mut self, text: &[u8], offset: u64) {
        let of_server = match text {
            DATABASE_ENDS => false,
            CLUSTER_ENDS => true,
            _ => return,
        };
        let end = End {
            offset,
            of_server,
            until: u64::MAX,
        };
        if self.tokens.len() > 0 || self.crowded() {
            return;
        }
        match self.scan.ends.last_mut() {
            Some(last) if last.until == u64::MAX && last.of_server == of_server => *last = end,
            _ => self.scan.ends.push(end),
        }
    }

    fn command(&mut self, text: &[u8], at: Place, lone: bool) {
        let span = Span {
            offset: at.offset,
            end: at.end,
        };
        if self.crowded() {
            return;
        }
        match connect::read(text).filter(|_| lone) {
            Some(Command::Restrict) => self.scan.cuts.push(span),
            Some(Command::Connect(database)) => {
                self.inside = false;
                self.scan.connects.push(Connect {
                    span,
                    line: at.line,
                    database,
                });
            }
            None => {
                let what = "a command for psql itself (a backslash)";
                self.scan.refused.push(what, at.offset, at.line);
            }
        }
    }

    fn odd(&mut self, what: &'static str, offset: u64, line: u64) {
        self.scan.refused.push(what, offset, line);
    }
}

/// Reads a name that was written with escapes: `U&"\0070ostgres"`.
fn unescape(tokens: &mut Tokens) {
    tokens.reread(|written| {
        let text = std::str::from_utf8(written).ok()?;
        let mut read = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            read.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let digits = match rest.as_bytes().first()? {
                b'\\' => {
                    read.push('\\');
                    rest = &rest[1..];
                    continue;
                }
                b'+' => {
                    rest = &rest[1..];
                    6
                }
                _ => 4,
            };
            let number = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
            read.push(char::from_u32(number)?);
            rest = &rest[digits..];
        }
        read.push_str(rest);
        Some(read.into_bytes())
    });
}
