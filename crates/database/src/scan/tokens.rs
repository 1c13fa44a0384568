//! The tokens of one statement, as far as they are needed to know what it does.

/// Most tokens of a statement that are kept.
const MOST: usize = 8192;
/// Most bytes of them.
const MOST_BYTES: usize = 128 * 1024;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An unquoted word, kept in lower case.
    Word,
    /// A quoted name.
    Name,
    /// A quoted name with escapes that are not understood.
    Unreadable,
    /// A string.
    Text,
    /// One other character.
    Sign,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

/// A list of tokens, filled from the beginning of a statement until it is full.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    bytes: Vec<u8>,
    list: Vec<Token>,
    full: bool,
}

impl Tokens {
    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
        self.full = false;
    }

    /// Begins a token.
    pub(crate) fn begin(&mut self, kind: Kind) {
        if self.list.len() >= MOST || self.bytes.len() >= MOST_BYTES {
            self.full = true;
            return;
        }
        let at = self.bytes.len();
        self.list.push(Token {
            kind,
            start: at,
            end: at,
        });
    }

    /// More of the last token.
    pub(crate) fn more(&mut self, bytes: &[u8]) {
        if self.full {
            return;
        }
        let room = MOST_BYTES.saturating_sub(self.bytes.len());
        self.full = bytes.len() > room;
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        if let Some(last) = self.list.last_mut() {
            last.end = self.bytes.len();
        }
    }

    /// Says of the last token that it is of another kind than it looked.
    fn becomes(&mut self, kind: Kind) {
        if let Some(last) = self.list.last_mut().filter(|_| !self.full) {
            last.kind = kind;
        }
    }

    /// The last token, read anew; without a reading it is one that is not understood.
    pub(crate) fn reread(&mut self, read: impl FnOnce(&[u8]) -> Option<Vec<u8>>) {
        let Some(last) = self.list.last().copied().filter(|_| !self.full) else {
            return;
        };
        match read(&self.bytes[last.start..last.end]) {
            Some(bytes) => {
                self.list.pop();
                self.bytes.truncate(last.start);
                self.push(last.kind, &bytes);
            }
            None => self.becomes(Kind::Unreadable),
        }
    }

    /// A whole token.
    pub(crate) fn push(&mut self, kind: Kind, bytes: &[u8]) {
        self.begin(kind);
        self.more(bytes);
    }

    /// Whether there were more than are kept.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// What the token is.
    pub(crate) fn kind(&self, at: usize) -> Option<Kind> {
        self.list.get(at).map(|token| token.kind)
    }

    /// Its bytes; none of a token that is not there.
    pub(crate) fn bytes(&self, at: usize) -> &[u8] {
        let token = self.list.get(at);
        token.map_or(&[], |token| &self.bytes[token.start..token.end])
    }

    /// The bytes of a word; none of any other token.
    pub(crate) fn word(&self, at: usize) -> &[u8] {
        match self.kind(at) {
            Some(Kind::Word) => self.bytes(at),
            _ => &[],
        }
    }

    /// A name, quoted or not.
    pub(crate) fn name(&self, at: usize) -> Option<String> {
        match self.kind(at) {
            Some(Kind::Word | Kind::Name) => {
                Some(String::from_utf8_lossy(self.bytes(at)).into_owned())
            }
            _ => None,
        }
    }

    /// Whether the token is this word, or this sign.
    pub(crate) fn is(&self, at: usize, wanted: &str) -> bool {
        matches!(self.kind(at), Some(Kind::Word | Kind::Sign))
            && self.bytes(at) == wanted.as_bytes()
    }

    /// Whether the token is one of these words.
    pub(crate) fn is_any(&self, at: usize, wanted: &[&str]) -> bool {
        let word = self.word(at);
        !word.is_empty() && wanted.iter().any(|wanted| wanted.as_bytes() == word)
    }

    /// Whether these words and signs stand there, one after the other.
    pub(crate) fn are(&self, at: usize, wanted: &[&str]) -> bool {
        wanted
            .iter()
            .enumerate()
            .all(|(n, wanted)| self.is(at + n, wanted))
    }

    /// Where the word stands first, from `at` on.
    pub(crate) fn find(&self, at: usize, wanted: &str) -> Option<usize> {
        (at..self.len()).find(|at| self.kind(*at) == Some(Kind::Word) && self.is(*at, wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_without_end_takes_no_memory_without_end() {
        let mut tokens = Tokens::default();
        for _ in 0..3 * MOST {
            tokens.push(Kind::Word, b"word");
        }
        assert!(tokens.is_full() && tokens.len() == MOST);
        tokens.clear();
        tokens.begin(Kind::Text);
        tokens.more(&vec![b'x'; 2 * MOST_BYTES]);
        tokens.push(Kind::Word, b"late");
        assert!(tokens.is_full());
        assert_eq!((tokens.len(), tokens.bytes(0).len()), (1, MOST_BYTES));
    }

    #[test]
    fn words_and_signs_are_compared_and_quoted_names_are_not() {
        let mut tokens = Tokens::default();
        tokens.push(Kind::Word, b"alter");
        tokens.push(Kind::Name, b"role");
        tokens.push(Kind::Sign, b";");
        assert!(tokens.are(0, &["alter"]) && !tokens.is(1, "role") && tokens.is(2, ";"));
        assert_eq!(tokens.name(1).as_deref(), Some("role"));
        assert_eq!(
            (tokens.find(0, "alter"), tokens.find(1, "role")),
            (Some(0), None)
        );
        assert!(!tokens.is(9, "x") && tokens.word(9).is_empty() && tokens.name(2).is_none());
    }
}
