//! What a dump for the MySQL family holds: its statements, as client and server read them, and
//! never run.
//!
//! ```text
//!   Scanner ─┬─ 'text' "text" `name` -- line # line /* block */ /*!50001 a statement's part */
//!            ├─ the delimiter ─► statement: what it does ─► Scan
//!            └─ DELIMITER, and the client's own commands
//! ```
//! What stands in `/*! … */` is run by some servers, so it counts as run. The bodies of routines
//! are not looked into: they are run by somebody else, some other time.

mod statement;
#[cfg(test)]
mod tests;

use memchr::{memchr, memchr2};
use statement::{Act, Mode};

use super::statements::Statements;
use crate::scan::{Ending, Faults, Kind, Lines, Tokens};

/// Bytes of a word, comment or command that are kept.
const KEPT: usize = 256;
/// How the last line of a dump begins, without its dashes.
const ENDS: &[u8] = b" Dump completed";
/// Where the first line, `/*M!999999\- enable the sandbox mode */`, has its backslash. MariaDB's
/// client takes it for a command and MySQL's for an error.
const SANDBOX: u64 = 10;
/// So many strings within strings are looked into.
const DEEP: u32 = 4;

/// What a dump holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Bytes of its longest statement.
    pub(crate) longest: u64,
    /// What it ends within.
    pub(crate) ends_within: Option<&'static str>,
    /// Whether its last line says that it is whole.
    pub(crate) said: bool,
    /// What no dump may hold.
    pub(crate) refused: Faults,
    /// What a dump may hold only if that is asked for.
    pub(crate) changes: Faults,
    /// Bytes of the first line, if it is a command for MariaDB's client.
    pub(crate) sandbox: u64,
}

impl Scan {
    /// How it ends.
    pub(crate) fn ending(&self) -> Ending {
        match (self.ends_within, self.said) {
            (Some(within), _) => Ending::Within(within),
            (None, true) => Ending::Said,
            (None, false) => Ending::Unsaid,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Sql,
    Word,
    Number,
    /// After one dash, or two.
    Dash(u8),
    Slash,
    /// After `/*`.
    Opened,
    /// After `/*M`.
    Vendor,
    /// Within the version after `/*!`.
    Version,
    Star,
    Line,
    Block(u8),
    Text(u8),
    TextEnd(u8),
    Escaped(u8),
    Name(u8),
    Backslash,
    /// With so many bytes of the delimiter seen.
    Delimiter(usize),
    /// Behind the word DELIMITER.
    NewDelimiter,
}

/// Reads a dump, in pieces of any size.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    scan: Scan,
    statements: Statements,
    lines: Lines,
    position: u64,
    before: u8,
    delimiter: Vec<u8>,
    mode: Mode,
    /// `/*!` that are open.
    conditional: u32,
    tokens: Tokens,
    fresh: bool,
    /// Only blanks so far in this line.
    indent: bool,
    start: (u64, u64),
    /// Where the word, comment or sign began, and whether it may be the client's own.
    place: (u64, u64, bool),
    kept: Vec<u8>,
    reaches: Option<&'static str>,
    first_line: bool,
    depth: u32,
    /// A NUL byte was seen.
    zero: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Sql,
            scan: Scan::default(),
            statements: Statements::default(),
            lines: Lines::default(),
            position: 0,
            before: b'\n',
            delimiter: b";".to_vec(),
            mode: Mode::default(),
            conditional: 0,
            tokens: Tokens::default(),
            fresh: true,
            indent: true,
            start: (0, 0),
            place: (0, 0, false),
            kept: Vec::new(),
            reaches: None,
            first_line: false,
            depth: 0,
            zero: false,
        }
    }
}

fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn in_word(byte: u8) -> bool {
    begins_word(byte) || byte.is_ascii_digit()
}

/// What a text would change of the server if it was run.
fn change_in(text: &[u8], depth: u32) -> Option<&'static str> {
    if depth >= DEEP {
        return Some("a text too deep to be looked through");
    }
    if !text.iter().any(u8::is_ascii_whitespace) && !text.contains(&b'(') {
        return None;
    }
    let mut scanner = Scanner {
        depth: depth + 1,
        ..Scanner::default()
    };
    scanner.feed(text);
    scanner.feed(b"\n;");
    let scan = scanner.end();
    scan.changes.iter().next().map(|fault| fault.what)
}

impl Scanner {
    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.statements.take(bytes);
        self.read(bytes);
    }

    fn read(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            at = self.step(bytes, at);
        }
        self.position += bytes.len() as u64;
        self.lines.end(bytes);
        if let Some(last) = bytes.last() {
            self.before = *last;
        }
    }

    /// What was found.
    pub(crate) fn end(mut self) -> Scan {
        let within = match self.state {
            State::Text(_) | State::Escaped(_) => Some("a quoted string"),
            State::Name(_) => Some("a quoted name"),
            State::Block(_) | State::Opened | State::Vendor | State::Version => Some("a comment"),
            _ => None,
        };
        if within.is_none() {
            self.read(b"\n");
        }
        let statement = (!self.fresh).then_some("a statement");
        let comment = (self.conditional > 0).then_some("a comment");
        let mut scan = self.scan;
        scan.ends_within = within.or(comment).or(statement);
        scan.longest = self.statements.longest();
        scan
    }

    fn step(&mut self, bytes: &[u8], at: usize) -> usize {
        let byte = bytes[at];
        match self.state {
            State::Sql => return self.sql(bytes, at),
            State::Word => return self.word(bytes, at),
            State::Number => return self.number(bytes, at),
            State::Line => return self.line(bytes, at),
            State::Text(quote) => return self.text(bytes, at, quote),
            State::Name(quote) => return self.name(bytes, at, quote),
            State::NewDelimiter => return self.new_delimiter(bytes, at),
            State::Delimiter(seen) => return self.delimiter(byte, at, seen),
            State::Escaped(quote) => {
                let meant = match byte {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'0' => 0,
                    byte => byte,
                };
                self.tokens.more(&[meant]);
                self.state = State::Text(quote);
            }
            State::TextEnd(quote) if byte == quote => {
                self.tokens.more(&[byte]);
                self.state = State::Text(quote);
            }
            State::TextEnd(_) => {
                self.state = State::Sql;
                return at;
            }
            State::Dash(1) if byte == b'-' => self.state = State::Dash(2),
            // Without a blank behind it, it is no comment for the server; the client takes it for
            // one in front of a statement.
            State::Dash(2) if byte <= b' ' || self.place.2 => {
                self.kept.clear();
                self.state = State::Line;
                return at;
            }
            State::Dash(count) => {
                self.late();
                for _ in 0..count {
                    self.tokens.push(Kind::Sign, b"-");
                }
                self.state = State::Sql;
                return at;
            }
            State::Slash if byte == b'*' => self.state = State::Opened,
            State::Slash => {
                self.late();
                self.tokens.push(Kind::Sign, b"/");
                self.state = State::Sql;
                return at;
            }
            State::Opened => match byte {
                b'!' => {
                    self.conditional += 1;
                    self.state = State::Version;
                }
                b'M' => self.state = State::Vendor,
                _ => {
                    self.state = State::Block(0);
                    return at;
                }
            },
            State::Vendor if byte == b'!' => {
                self.conditional += 1;
                self.state = State::Version;
            }
            State::Vendor => {
                self.state = State::Block(0);
                return at;
            }
            State::Version if byte.is_ascii_digit() => {}
            State::Version => {
                self.state = State::Sql;
                return at;
            }
            State::Star if byte == b'/' && self.conditional > 0 => {
                self.conditional -= 1;
                self.state = State::Sql;
            }
            State::Star => {
                self.late();
                self.tokens.push(Kind::Sign, b"*");
                self.state = State::Sql;
                return at;
            }
            State::Block(last) => {
                self.state = match (last, byte) {
                    (b'*', b'/') => State::Sql,
                    _ => State::Block(byte),
                };
                self.not_zero(bytes, at);
            }
            State::Backslash => {
                // The one that a statement may hold: NULL, in the words of the clients' own files.
                let (offset, line, _) = self.place;
                if byte == b'-' && offset == SANDBOX && self.conditional == 1 {
                    self.first_line = true;
                } else if byte != b'N' {
                    let what = "a command for the client itself (a backslash)";
                    self.scan.refused.push(what, offset, line);
                }
                self.state = State::Sql;
            }
        }
        at + 1
    }

    fn mark(&mut self, bytes: &[u8], at: usize) {
        let line = self.lines.at(bytes, at);
        self.place = (self.position + at as u64, line, self.fresh && self.indent);
    }

    fn late(&mut self) {
        if self.fresh {
            self.fresh = false;
            self.reaches = None;
            self.start = (self.place.0, self.place.1);
            self.scan.said = false;
        }
    }

    /// A token begins.
    fn token(&mut self, bytes: &[u8], at: usize) {
        if self.fresh {
            self.mark(bytes, at);
            self.late();
        }
    }

    fn not_zero(&mut self, bytes: &[u8], at: usize) {
        if bytes[at] == 0 && !std::mem::replace(&mut self.zero, true) {
            self.mark(bytes, at);
            let (offset, line, _) = self.place;
            self.scan.refused.push("a NUL byte", offset, line);
        }
    }

    fn sql(&mut self, bytes: &[u8], at: usize) -> usize {
        let byte = bytes[at];
        if byte == b'\n' {
            self.indent = true;
            if std::mem::take(&mut self.first_line) {
                self.tokens.clear();
                self.fresh = true;
                self.scan.sandbox = self.position + at as u64 + 1;
            }
            return at + 1;
        }
        if matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c) {
            return at + 1;
        }
        if self.delimiter.first() == Some(&byte) {
            self.mark(bytes, at);
            self.indent = false;
            if let [_] = self.delimiter.as_slice() {
                self.statement();
            } else {
                self.state = State::Delimiter(1);
            }
            return at + 1;
        }
        match byte {
            b'\'' | b'"' if byte == b'\'' || !self.mode.ansi_quotes => {
                self.token(bytes, at);
                // Strings side by side are one.
                let last = self.tokens.len().wrapping_sub(1);
                if self.tokens.kind(last) != Some(Kind::Text) {
                    self.tokens.begin(Kind::Text);
                }
                self.state = State::Text(byte);
            }
            b'"' | b'`' => {
                self.token(bytes, at);
                self.tokens.begin(Kind::Name);
                self.state = State::Name(byte);
            }
            b'-' => {
                self.mark(bytes, at);
                self.state = State::Dash(1);
            }
            b'#' => {
                self.mark(bytes, at);
                self.kept.clear();
                self.state = State::Line;
            }
            b'/' => {
                self.mark(bytes, at);
                self.state = State::Slash;
            }
            b'*' => {
                self.mark(bytes, at);
                self.state = State::Star;
            }
            b'\\' => {
                self.mark(bytes, at);
                self.state = State::Backslash;
            }
            b'0'..=b'9' => {
                self.token(bytes, at);
                self.tokens.push(Kind::Sign, b"0");
                self.state = State::Number;
            }
            _ if begins_word(byte) => {
                match self.fresh {
                    true => self.mark(bytes, at),
                    false => self.place.2 = false,
                }
                self.kept.clear();
                self.state = State::Word;
                self.indent = false;
                return at;
            }
            _ => {
                self.token(bytes, at);
                self.not_zero(bytes, at);
                self.tokens.push(Kind::Sign, &[byte]);
            }
        }
        self.indent = false;
        at + 1
    }

    fn word(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = &bytes[at..];
        let length = rest.iter().position(|byte| !in_word(*byte));
        let length = length.unwrap_or(rest.len());
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&rest[..length.min(room)]);
        let end = at + length;
        if end == bytes.len() {
            return end;
        }
        self.kept.make_ascii_lowercase();
        self.state = State::Sql;
        if self.kept == b"delimiter" && self.tokens.len() == 0 && self.place.2 {
            self.kept.clear();
            self.state = State::NewDelimiter;
            return end;
        }
        self.late();
        if self.kept == b"delimiter" {
            let (offset, line) = self.start;
            self.scan
                .refused
                .push("DELIMITER within a statement", offset, line);
        }
        self.reaches = self.reaches.or(statement::reaching(&self.kept));
        let word = std::mem::take(&mut self.kept);
        self.tokens.push(Kind::Word, &word);
        self.kept = word;
        end
    }

    fn number(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = &bytes[at..];
        let length = rest.iter().position(|byte| !in_word(*byte));
        if length.is_some() {
            self.state = State::Sql;
        }
        at + length.unwrap_or(rest.len())
    }

    fn line(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = &bytes[at..];
        let end = memchr(b'\n', rest);
        let text = &rest[..end.unwrap_or(rest.len())];
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&text[..text.len().min(room)]);
        if let Some(zero) = memchr(0, text) {
            self.not_zero(bytes, at + zero);
        }
        if end.is_some() {
            if self.kept.starts_with(ENDS) && self.fresh && self.conditional == 0 {
                self.scan.said = true;
            }
            self.state = State::Sql;
        }
        at + text.len()
    }

    fn text(&mut self, bytes: &[u8], at: usize, quote: u8) -> usize {
        let rest = &bytes[at..];
        let end = match self.mode.no_backslash {
            true => memchr(quote, rest),
            false => memchr2(quote, b'\\', rest),
        };
        let Some(end) = end else {
            self.tokens.more(rest);
            return bytes.len();
        };
        self.tokens.more(&rest[..end]);
        self.state = match rest[end] {
            b'\\' => State::Escaped(quote),
            _ => State::TextEnd(quote),
        };
        at + end + 1
    }

    fn name(&mut self, bytes: &[u8], at: usize, quote: u8) -> usize {
        let rest = &bytes[at..];
        let end = memchr(quote, rest);
        self.tokens.more(&rest[..end.unwrap_or(rest.len())]);
        match end {
            None => bytes.len(),
            Some(end) => {
                self.state = State::Sql;
                at + end + 1
            }
        }
    }

    fn delimiter(&mut self, byte: u8, at: usize, seen: usize) -> usize {
        if self.delimiter.get(seen) == Some(&byte) {
            if seen + 1 == self.delimiter.len() {
                self.state = State::Sql;
                self.statement();
            } else {
                self.state = State::Delimiter(seen + 1);
            }
            return at + 1;
        }
        // It was none.
        let last = self.delimiter[seen - 1];
        if last == b'/' && byte == b'*' {
            self.state = State::Slash;
            return at;
        }
        self.late();
        for at in 0..seen {
            let sign = self.delimiter[at];
            self.tokens.push(Kind::Sign, &[sign]);
        }
        self.state = State::Sql;
        at
    }

    /// The word DELIMITER and what follows it in its line.
    fn new_delimiter(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = &bytes[at..];
        let end = memchr(b'\n', rest);
        let text = &rest[..end.unwrap_or(rest.len())];
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&text[..text.len().min(room)]);
        let Some(end) = end else {
            return bytes.len();
        };
        let given = self.kept.trim_ascii().to_vec();
        let usual = |byte: &u8| b";$/|@!%&^~?:=+".contains(byte);
        if given.is_empty() || given.len() > 16 || !given.iter().all(usual) {
            let (offset, line, _) = self.place;
            self.scan.refused.push("an unusual DELIMITER", offset, line);
        } else {
            self.delimiter = given;
        }
        self.state = State::Sql;
        at + end
    }

    fn statement(&mut self) {
        self.fresh = true;
        if self.tokens.len() == 0 {
            return;
        }
        let (offset, line) = self.start;
        let depth = self.depth;
        let look = |text: &[u8]| change_in(text, depth);
        for act in statement::acts(&self.tokens, self.reaches, &look) {
            match act {
                Act::Mode(mode) => self.mode = mode,
                Act::Change(what) => self.scan.changes.push(what, offset, line),
                Act::Refused(what) => self.scan.refused.push(what, offset, line),
            }
        }
        self.tokens.clear();
        self.reaches = None;
    }
}
