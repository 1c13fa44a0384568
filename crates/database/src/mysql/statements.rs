//! How long the statements of a dump are: a server takes none that is longer than its
//! `max_allowed_packet`.
//!
//! The clients end a statement with `;` at the end of a line, and write a line break inside of data
//! as `\n`. The body of a routine is cut at its own semicolons, which makes it look shorter than it
//! is; nobody writes such long ones.

/// Measures statements while the bytes of a dump pass by, in pieces of any size.
#[derive(Clone, Debug, Default)]
pub struct Statements {
    current: u64,
    longest: u64,
    last: Option<u8>,
}

impl Statements {
    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let before = match end {
                0 => self.last,
                end => Some(bytes[end - 1]),
            };
            if before == Some(b';') {
                self.current += (end - begin) as u64;
                self.longest = self.longest();
                self.current = 0;
                begin = end + 1;
            }
        }
        self.current += (bytes.len() - begin) as u64;
        self.last = bytes.last().copied().or(self.last);
    }

    /// Length of the longest one so far, with the comments in front of it.
    pub fn longest(&self) -> u64 {
        self.longest.max(self.current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_statement_is_found_however_the_bytes_are_cut() {
        let cases = [
            ("", 0),
            ("SELECT 1;\n", 9),
            ("SELECT 1", 8),
            ("a;\nINSERT INTO t VALUES\n(1,'x;y'),\n(2,'\\n');\nb;\n", 41),
            ("\n\n;\n12;\n", 3),
            ("1;\n2;\nunfinished at the end", 21),
        ];
        for (text, longest) in cases {
            for size in [1, 2, 3, 7, 1000] {
                let mut statements = Statements::default();
                for piece in text.as_bytes().chunks(size) {
                    statements.take(piece);
                    statements.take(b"");
                }
                assert_eq!(
                    statements.longest(),
                    longest,
                    "{text:?} in pieces of {size}"
                );
            }
        }
    }
}
