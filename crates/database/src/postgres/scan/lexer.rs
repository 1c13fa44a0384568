//! Where statements, strings, comments, data and psql's own commands begin and end: as psql sees
//! it.
//!
//! ```text
//!   Sql ─┬─ 'text' E'text' "name" $tag$body$tag$ -- line /* block */ word 12 …
//!        ├─ ;   outside of parentheses and BEGIN ATOMIC … END ─► the listener says what follows: Sql or Copy
//!        └─ \   a command of psql, to the end of the line
//!   Copy ── lines of data, to the line `\.`
//! ```
//! The rules are those of psql's own lexer, which are the server's, and more: a carriage return
//! ends a line comment, a string goes on after a line break, `1e'x'` is a string with escapes.

use memchr::{memchr, memchr2};

use crate::scan::{Kind, Lines};

/// Bytes of a word, of a line of psql's or of a comment that are kept.
const KEPT: usize = 1024;

/// Stands in a text for a character that is written by its number. No text of PostgreSQL holds it.
pub(super) const UNCLEAR: u8 = 0;

/// What follows a semicolon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// More statements.
    Sql,
    /// Data, from the next line on.
    Copy,
    /// More statements, where a backslash in a plain string is one (`true`) or escapes what follows
    /// it.
    Strings(bool),
}

/// Who hears what the lexer finds.
pub(super) trait Listener {
    /// The first token of a statement.
    fn start(&mut self, offset: u64, line: u64);
    /// Whether what stands in strings is wanted.
    fn wants_text(&self) -> bool;
    /// A token begins.
    fn begin(&mut self, kind: Kind);
    /// More of it.
    fn more(&mut self, bytes: &[u8]);
    /// It is over; `escaped`: a quoted name that was written with escapes.
    fn close(&mut self, escaped: bool);
    /// A word, in lower case.
    fn word(&mut self, word: &[u8]);
    /// Another character.
    fn sign(&mut self, sign: u8);
    /// The end of a statement; `end` is behind the semicolon.
    fn semicolon(&mut self, end: u64) -> After;
    /// A comment of one line, without its dashes.
    fn comment(&mut self, text: &[u8], offset: u64);
    /// A command of psql; `lone`: it begins its line, and no statement is open.
    fn command(&mut self, text: &[u8], at: Place, lone: bool);
    /// Something that no dump has.
    fn odd(&mut self, what: &'static str, offset: u64, line: u64);
}

/// A part of the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its first byte.
    pub(super) offset: u64,
    /// Behind its last one.
    pub(super) end: u64,
    /// Its line.
    pub(super) line: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// Only the quote itself is special.
    Plain,
    /// A backslash takes away the meaning of what follows.
    Escape,
    /// A backslash writes characters by their number.
    Unicode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sql,
    Word,
    Number,
    /// After `u&`.
    Unicode,
    Dash,
    Slash,
    Line,
    Block {
        depth: u32,
        last: u8,
    },
    Text(Quoting),
    /// After a backslash in a string that knows escapes.
    Escaped,
    TextEnd(Quoting),
    Name(Quoting),
    NameEnd(Quoting),
    /// After a dollar, within what may become a tag.
    Dollar,
    /// Within dollar quotes, with so many bytes of the closing tag just seen.
    Body(usize),
    Command,
    /// Behind `COPY … FROM stdin;`, before the line break.
    BeforeCopy,
    /// Within data, with so many bytes of the line seen (no more than are looked at).
    Copy(usize),
}

/// The lexer. Bytes may come in pieces of any size.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    position: u64,
    lines: Lines,
    /// The last byte of the piece before.
    before: u8,
    /// Whether no token of a statement has been seen.
    fresh: bool,
    /// Whether a backslash in a plain string is a backslash.
    standard: bool,
    /// A string that goes on if the next token is one, and whether a line break has been seen
    /// since.
    open: Option<(Quoting, bool)>,
    parens: u32,
    /// Blocks of a function's body in SQL, whose semicolons end no statement.
    blocks: u32,
    /// First letters of the statement's words, if they are of those that begin a function.
    opening: [u8; 4],
    words: usize,
    /// The word, tag, comment or command that is being read.
    kept: Vec<u8>,
    /// Where it began.
    place: (u64, u64, bool),
    /// First bytes of a line of data.
    data: [u8; 4],
    /// A NUL byte was seen.
    zero: bool,
}

impl Default for Lexer {
    fn default() -> Self {
        Self {
            state: State::Sql,
            position: 0,
            lines: Lines::default(),
            before: b'\n',
            fresh: true,
            standard: true,
            open: None,
            parens: 0,
            blocks: 0,
            opening: [0; 4],
            words: 0,
            kept: Vec::new(),
            place: (0, 0, false),
            data: [0; 4],
            zero: false,
        }
    }
}

fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn in_word(byte: u8) -> bool {
    begins_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

impl Lexer {
    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], to: &mut impl Listener) {
        // No text of PostgreSQL holds one, and psql reads a line only up to it.
        if !self.zero
            && let Some(at) = memchr(0, bytes)
        {
            self.zero = true;
            let line = self.lines.clone().at(bytes, at);
            to.odd("a NUL byte", self.offset(at), line);
        }
        let mut at = 0;
        while at < bytes.len() {
            at = match self.state {
                State::Sql => self.sql(bytes, at, to),
                State::Word => self.word(bytes, at, to),
                State::Number => self.number(bytes, at),
                State::Unicode => self.unicode(bytes, at, to),
                State::Dash => self.dash(bytes, at, to),
                State::Slash => self.slash(bytes, at, to),
                State::Line => self.line(bytes, at, to),
                State::Block { depth, last } => self.block(bytes, at, depth, last),
                State::Text(quoting) => self.text(bytes, at, quoting, to),
                State::Escaped => {
                    let meant = match bytes[at] {
                        b'n' | b't' | b'r' | b'f' | b'b' => b' ',
                        b'x' | b'u' | b'U' | b'0'..=b'7' => UNCLEAR,
                        byte => byte,
                    };
                    self.pass(&[meant], to);
                    self.state = State::Text(Quoting::Escape);
                    at + 1
                }
                State::TextEnd(quoting) => self.text_end(bytes, at, quoting, to),
                State::Name(quoting) => self.name(bytes, at, quoting, to),
                State::NameEnd(quoting) => self.name_end(bytes, at, quoting, to),
                State::Dollar => self.dollar(bytes, at, to),
                State::Body(matched) => self.body(bytes, at, matched, to),
                State::Command => self.command(bytes, at, to),
                State::BeforeCopy => self.before_copy(bytes, at, to),
                State::Copy(seen) => self.copy(bytes, at, seen),
            };
        }
        self.position += bytes.len() as u64;
        self.lines.end(bytes);
        if let Some(last) = bytes.last() {
            self.before = *last;
        }
    }

    /// The dump is over. What it ends within, if within anything.
    pub(super) fn end(&mut self, to: &mut impl Listener) -> Option<&'static str> {
        // A line break closes what it can close, and changes nothing else.
        let position = self.position;
        match self.state {
            State::Text(_) | State::Escaped => return Some("a quoted string"),
            State::Name(_) => return Some("a quoted name"),
            State::Block { .. } => return Some("a comment"),
            State::Body(_) => return Some("a dollar-quoted string"),
            State::BeforeCopy | State::Copy(_) => return Some("the data of a COPY"),
            _ => self.feed(b"\n", to),
        }
        self.position = position;
        match self.fresh {
            true => None,
            false => Some("a statement"),
        }
    }

    fn offset(&self, at: usize) -> u64 {
        self.position + at as u64
    }

    /// A token begins: the first of a statement has a place.
    fn token(&mut self, bytes: &[u8], at: usize, to: &mut impl Listener) {
        self.open = None;
        if self.fresh {
            self.fresh = false;
            let line = self.lines.at(bytes, at);
            to.start(self.offset(at), line);
        }
    }

    fn pass(&mut self, bytes: &[u8], to: &mut impl Listener) {
        if to.wants_text() {
            to.more(bytes);
        }
    }

    fn sql(&mut self, bytes: &[u8], at: usize, to: &mut impl Listener) -> usize {
        let byte = bytes[at];
        match byte {
            b'\n' | b'\r' => {
                if let Some((_, broken)) = &mut self.open {
                    *broken = true;
                }
            }
            b' ' | b'\t' | 0x0b | 0x0c => {}
            b'\'' => {
                let quoting = match self.open {
                    Some((quoting, true)) => quoting,
                    _ if self.standard => Quoting::Plain,
                    _ => Quoting::Escape,
                };
                let goes_on = matches!(self.open, Some((_, true)));
                self.token(bytes, at, to);
                if !goes_on {
                    to.begin(Kind::Text);
                }
                self.state = State::Text(quoting);
            }
            b'"' => {
                self.token(bytes, at, to);
                to.begin(Kind::Name);
                self.state = State::Name(Quoting::Plain);
            }
            b'$' => {
                self.token(bytes, at, to);
                self.kept.clear();
                self.state = State::Dollar;
            }
            b'-' => {
                self.mark(bytes, at);
                self.state = State::Dash;
            }
            b'/' => {
                self.mark(bytes, at);
                self.state = State::Slash;
            }
            b'\\' => {
                let before = at.checked_sub(1).map_or(self.before, |at| bytes[at]);
                self.mark(bytes, at);
                self.place.2 = self.fresh && before == b'\n';
                self.kept.clear();
                self.state = State::Command;
            }
            b';' => {
                self.token(bytes, at, to);
                if self.parens > 0 || self.blocks > 0 {
                    to.sign(b';');
                } else {
                    self.semicolon(at + 1, to);
                }
            }
            b'(' => {
                self.token(bytes, at, to);
                self.parens += 1;
                to.sign(b'(');
            }
            b')' => {
                self.token(bytes, at, to);
                self.parens = self.parens.saturating_sub(1);
                to.sign(b')');
            }
            b'0'..=b'9' => {
                self.token(bytes, at, to);
                to.sign(b'0');
                self.state = State::Number;
            }
            _ if begins_word(byte) => {
                self.token(bytes, at, to);
                self.kept.clear();
                self.state = State::Word;
                return at;
            }
            _ => {
                self.token(bytes, at, to);
                to.sign(byte);
            }
        }
        at + 1
    }

    /// Remembers a place, for what may become a comment or a command.
    fn mark(&mut self, bytes: &[u8], at: usize) {
        self.place = (self.offset(at), self.lines.at(bytes, at), false);
    }

    fn semicolon(&mut self, end: usize, to: &mut impl Listener) {
        self.parens = 0;
        self.blocks = 0;
        self.words = 0;
        self.opening = [0; 4];
        self.fresh = true;
        match to.semicolon(self.offset(end)) {
            After::Sql => {}
            After::Copy => self.state = State::BeforeCopy,
            After::Strings(standard) => self.standard = standard,
        }
    }

    fn word(&mut self, bytes: &[u8], at: usize, to: &mut impl Listener) -> usize {
        let rest = &bytes[at..];
        let length = rest.iter().position(|byte| !in_word(*byte));
        let length = length.unwrap_or(rest.len());
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&rest[..length.min(room)]);
        let end = at + length;
        let Some(next) = bytes.get(end) else {
            return end;
        };
        self.kept.make_ascii_lowercase();
        self.state = State::Sql;
        match (self.kept.as_slice(), next) {
            (b"e", b'\'') => self.state = State::Text(Quoting::Escape),
            (b"b" | b"x", b'\'') => self.state = State::Text(Quoting::Plain),
            (b"n", b'\'') if self.standard => self.state = State::Text(Quoting::Plain),
            (b"n", b'\'') => self.state = State::Text(Quoting::Escape),
            (b"u", b'&') => {
                self.state = State::Unicode;
                return end + 1;
            }
            _ => {
                self.take_word(to);
                return end;
            }
        }
        to.begin(Kind::Text);
        end + 1
    }

    fn take_word(&mut self, to: &mut impl Listener) {
        let word = std::mem::take(&mut self.kept);
        // Which statements have a body whose semicolons do not end them, psql knows by their first
        // words.
        let opens = matches!(
            word.as_slice(),
            b"create" | b"function" | b"procedure" | b"or" | b"replace"
        );
        if let Some(letter) = self.opening.get_mut(self.words).filter(|_| opens) {
            *letter = word.first().copied().unwrap_or_default();
        }
        self.words += 1;
        let function = matches!(
            self.opening,
            [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']
        );
        if function && self.parens == 0 {
            match word.as_slice() {
                b"begin" => self.blocks += 1,
                b"case" if self.blocks > 0 => self.blocks += 1,
                b"end" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
        to.word(&word);
        self.kept = word;
    }

    fn number(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = &bytes[at..];
        let length = rest
            .iter()
            .position(|byte| !byte.is_ascii_digit() && *byte != b'.');
        if length.is_some() {
            self.state = State::Sql;
        }
        at + length.unwrap_or(rest.len())
    }

    fn unicode(&mut self, bytes: &[u8], at: usize, to: &mut impl Listener) -> usize {
        match bytes[at] {
            b'\'' => {
                to.begin(Kind::Text);
                self.pass(&[UNCLEAR], to);
                self.state = State::Text(Quoting::Unicode);
                at + 1
            }
            b'"' => {
                to.begin(Kind::Name);
                self.state = State::Name(Quoting::Unicode);
                at + 1
            }
            _ => {
                self.take_word(to);
                to.sign(b'&');
                self.state = State::Sql;
                at
            }
        }
    }

    fn dash(&mut self, bytes: &[u8], at: usize, to: &mut impl Listener) -> usize {
        if bytes[at] == b'-' {
            self.kept.clear();
            self.state = State::Line;
            return at + 1;
        }
        self.late(to);
        to.sign(b'-');
        self.state = State::Sql;
        at
    }

    fn slash(&mut self, bytes: &[u8], at: usize, to: &mut impl Listener) -> usize {
        if bytes[at] == b'*' {
            self.open = None;
            self.state = State::Block { depth: 1, last: 0 };
            return at + 1;
        }
        self.late(to);
        to.sign(b'/');
        self.state = State::Sql;
        at
    }

    /// A token that began at the place that was remembered.
    fn late(&mut self, to: &mut impl Listener) {
        self.open = None;
        if self.fresh {
            self.fresh = false;
            to.start(self.place.0, self.place.1);
        }
    }

    fn line(&mut self, bytes: &[u8], at: usize, to: &mut impl Listener) -> usize {
        let rest = &bytes[at..];
        let end = memchr2(b'\n', b'\r', rest);
        let text = &rest[..end.unwrap_or(rest.len())];
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&text[..text.len().min(room)]);
        if end.is_some() {
            to.comment(&self.kept, self.place.0);
            // Its line break counts.
            self.state = State::Sql;
        }
        at + text.len()
    }

    fn block(&mut self, bytes: &[u8], mut at: usize, mut depth: u32, mut last: u8) -> usize {
        while let Some(byte) = bytes.get(at) {
            at += 1;
            match (last, byte) {
                (b'/', b'*') => {
                    depth = depth.saturating_add(1);
                    last = 0;
                }
                (b'*', b'/') if depth == 1 => {
                    self.state = State::Sql;
                    return at;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    last = 0;
                }
                _ => last = *byte,
            }
        }
        self.state = State::Block { depth, last };
        at
    }

    fn text(&mut self, bytes: &[u8], at: usize, quoting: Quoting, to: &mut impl Listener) -> usize {
        let rest = &bytes[at..];
        let end = match quoting {
            Quoting::Escape => memchr2(b'\'', b'\\', rest),
            Quoting::Plain | Quoting::Unicode => memchr(b'\'', rest),
        };
        let Some(end) = end else {
            self.pass(rest, to);
            return bytes.len();
        };
        self.pass(&rest[..end], to);
        self.state = match rest[end] {
            b'\'' => State::TextEnd(quoting),
            _ => State::Escaped,
        };
        at + end + 1
    }

    fn text_end(
        &mut self,
        bytes: &[u8],
        at: usize,
        quoting: Quoting,
        to: &mut impl Listener,
    ) -> usize {
        if bytes[at] == b'\'' {
            self.pass(b"'", to);
            self.state = State::Text(quoting);
            return at + 1;
        }
        to.close(false);
        self.open = Some((quoting, false));
        self.state = State::Sql;
        at
    }

    fn name(&mut self, bytes: &[u8], at: usize, quoting: Quoting, to: &mut impl Listener) -> usize {
        let rest = &bytes[at..];
        let end = memchr(b'"', rest);
        to.more(&rest[..end.unwrap_or(rest.len())]);
        match end {
            None => bytes.len(),
            Some(end) => {
                self.state = State::NameEnd(quoting);
                at + end + 1
            }
        }
    }

    fn name_end(
        &mut self,
        bytes: &[u8],
        at: usize,
        quoting: Quoting,
        to: &mut impl Listener,
    ) -> usize {
        if bytes[at] == b'"' {
            to.more(b"\"");
            self.state = State::Name(quoting);
            return at + 1;
        }
        to.close(quoting == Quoting::Unicode);
        self.state = State::Sql;
        at
    }

    fn dollar(&mut self, bytes: &[u8], at: usize, to: &mut impl Listener) -> usize {
        let byte = bytes[at];
        if byte == b'$' {
            to.begin(Kind::Text);
            self.state = State::Body(0);
            return at + 1;
        }
        let fits = match self.kept.is_empty() {
            true => begins_word(byte),
            false => in_word(byte),
        };
        if fits && self.kept.len() < KEPT {
            self.kept.push(byte);
            return at + 1;
        }
        if fits {
            let line = self.lines.at(bytes, at);
            to.odd("a dollar quote with a very long tag", self.offset(at), line);
        }
        to.sign(b'$');
        self.state = match self.kept.is_empty() {
            true => State::Sql,
            // It was a word after all.
            false => State::Word,
        };
        at
    }

    fn body(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        mut matched: usize,
        to: &mut impl Listener,
    ) -> usize {
        // `$`, the tag, `$`.
        let whole = self.kept.len() + 2;
        while at < bytes.len() {
            if matched == 0 {
                let rest = &bytes[at..];
                let Some(found) = memchr(b'$', rest) else {
                    self.pass(rest, to);
                    self.state = State::Body(0);
                    return bytes.len();
                };
                self.pass(&rest[..found], to);
                at += found + 1;
                matched = 1;
                continue;
            }
            let wanted = self.kept.get(matched - 1).copied().unwrap_or(b'$');
            if bytes[at] == wanted {
                matched += 1;
                at += 1;
                if matched == whole {
                    to.close(false);
                    self.state = State::Sql;
                    return at;
                }
            } else {
                // What looked like the end was not; a dollar may begin the next one.
                let tag = self.kept[..matched - 1].to_vec();
                self.pass(b"$", to);
                self.pass(&tag, to);
                matched = usize::from(bytes[at] == b'$');
                at += matched;
            }
        }
        self.state = State::Body(matched);
        at
    }

    fn command(&mut self, bytes: &[u8], at: usize, to: &mut impl Listener) -> usize {
        let rest = &bytes[at..];
        let end = memchr(b'\n', rest);
        let text = &rest[..end.unwrap_or(rest.len())];
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&text[..text.len().min(room)]);
        let Some(end) = end else {
            return bytes.len();
        };
        let (offset, line, lone) = self.place;
        let place = Place {
            offset,
            end: self.offset(at + end + 1),
            line,
        };
        let whole = self.kept.len() < KEPT;
        to.command(&self.kept, place, lone && whole);
        self.state = State::Sql;
        // The line break counts.
        at + end
    }

    fn before_copy(&mut self, bytes: &[u8], at: usize, to: &mut impl Listener) -> usize {
        match bytes[at] {
            b'\n' => self.state = State::Copy(0),
            b' ' | b'\t' | b'\r' => {}
            _ => {
                let line = self.lines.at(bytes, at);
                to.odd(
                    "a statement in the line of COPY … FROM stdin",
                    self.offset(at),
                    line,
                );
            }
        }
        at + 1
    }

    fn copy(&mut self, bytes: &[u8], mut at: usize, mut seen: usize) -> usize {
        while at < bytes.len() {
            let byte = bytes[at];
            if byte == b'\n' {
                let line = &self.data[..seen.min(4)];
                at += 1;
                if line == b"\\." || line == b"\\.\r" {
                    self.state = State::Sql;
                    return at;
                }
                seen = 0;
            } else if seen < 4 && (seen > 0 || byte == b'\\') {
                self.data[seen] = byte;
                seen += 1;
                at += 1;
            } else {
                // No end can be in this line any more.
                let rest = &bytes[at..];
                seen = 4;
                self.data[0] = 0;
                at += memchr(b'\n', rest).unwrap_or(rest.len());
            }
        }
        self.state = State::Copy(seen);
        at
    }
}
