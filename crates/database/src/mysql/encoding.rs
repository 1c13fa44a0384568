//! The character set of a database, as a line in front of its dump: a dump of one database does not
//! say it.

use bytes::{Bytes, BytesMut};

use crate::stream::Filter;

/// How the line begins. It is a comment for every client.
const MARK: &str = "-- kubestash: database of character set ";

/// Character set and collation of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(super) character_set: String,
    pub(super) collation: String,
}

impl Encoding {
    /// Both, if they are what servers call such things: they become part of a statement.
    pub(super) fn new(character_set: &str, collation: &str) -> Option<Self> {
        let is_name = |text: &str| {
            let mut bytes = text.bytes();
            !text.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        (is_name(character_set) && is_name(collation)).then(|| Self {
            character_set: character_set.to_owned(),
            collation: collation.to_owned(),
        })
    }

    /// The line.
    fn line(&self) -> String {
        format!(
            "{MARK}{}, collation {}\n",
            self.character_set, self.collation
        )
    }

    /// What the first line of a dump says, if it is such a one.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let end = head.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(&head[..end]).ok()?;
        let (character_set, collation) = line.strip_prefix(MARK)?.split_once(", collation ")?;
        Self::new(character_set, collation)
    }
}

/// Puts the line in front of what another filter passes on.
pub(super) struct Marked<F> {
    line: Option<String>,
    inner: F,
}

impl<F: Filter> Marked<F> {
    /// Without an encoding nothing is put in front.
    pub(super) fn new(encoding: Option<&Encoding>, inner: F) -> Self {
        Self {
            line: encoding.map(Encoding::line),
            inner,
        }
    }

    fn put(&mut self, passed: Bytes) -> Bytes {
        // An output without a byte stays one: it is an error.
        if passed.is_empty() {
            return passed;
        }
        match self.line.take() {
            None => passed,
            Some(line) => {
                let mut both = BytesMut::from(line.as_bytes());
                both.extend_from_slice(&passed);
                both.freeze()
            }
        }
    }
}

impl<F: Filter> Filter for Marked<F> {
    fn pass(&mut self, data: BytesMut) -> Bytes {
        let passed = self.inner.pass(data);
        self.put(passed)
    }

    fn end(&mut self) -> Bytes {
        let passed = self.inner.end();
        self.put(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::FirstLine;

    #[test]
    fn the_line_is_written_once_and_read_back_and_nothing_else_is_taken_for_it() {
        let encoding = Encoding::new("utf8mb4", "utf8mb4_general_ci").unwrap();
        let mut filter = Marked::new(Some(&encoding), FirstLine::new(|line| line == b"x"));
        let mut out = Vec::new();
        for piece in ["x", "\n-- MySQL dump\n", "rest"] {
            out.extend_from_slice(&filter.pass(BytesMut::from(piece)));
        }
        out.extend_from_slice(&filter.end());
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "-- kubestash: database of character set utf8mb4, collation utf8mb4_general_ci\n-- MySQL dump\nrest"
        );
        assert_eq!(Encoding::of(text.as_bytes()), Some(encoding));
        for other in [
            "",
            "-- MySQL dump\n",
            "-- kubestash: database of character set utf8mb4; DROP DATABASE x, collation y\n",
            "-- kubestash: database of character set , collation y\n",
            "-- kubestash: database of character set utf8mb4, collation y",
        ] {
            assert_eq!(Encoding::of(other.as_bytes()), None, "{other}");
        }
        let mut nothing = Marked::new(None, FirstLine::new(|_| false));
        assert_eq!(nothing.pass(BytesMut::from("a\n")), "a\n");
    }
}
