//! What is kept of a dump that is read once, before it is loaded: how it begins and ends, and its longest statement.

use std::fmt;
use std::io::{self, Write};

use crate::mysql::Statements;
use crate::postgres;

/// Bytes at the beginning of a dump, and at its end, that are looked at.
pub const OUTLINE: usize = 256 * 1024;

/// What was seen of a dump.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// Its first bytes, at most [`OUTLINE`].
    pub head: Vec<u8>,
    /// Its last bytes, at most [`OUTLINE`]; empty unless its family says at its end what is in it.
    pub tail: Vec<u8>,
    /// Bytes of its longest statement, as the MySQL family writes them.
    pub longest_statement: u64,
}

impl fmt::Debug for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Outline({} + {} B, statements of up to {} B)",
            self.head.len(),
            self.tail.len(),
            self.longest_statement
        )
    }
}

/// Takes a dump and keeps its [`Outline`].
#[derive(Debug, Default)]
pub struct Outliner {
    head: Vec<u8>,
    tail: Vec<u8>,
    ends_at_head: bool,
    statements: Statements,
}

impl Outliner {
    /// The outline of what was written so far; begins anew.
    pub fn take(&mut self) -> Outline {
        let Self {
            head,
            mut tail,
            statements,
            ..
        } = std::mem::take(self);
        if !postgres::has_index(&head) {
            tail.clear();
        }
        tail.drain(..tail.len().saturating_sub(OUTLINE));
        Outline {
            head,
            tail,
            longest_statement: statements.longest(),
        }
    }
}

impl Write for Outliner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wanted = OUTLINE.saturating_sub(self.head.len()).min(bytes.len());
        if wanted > 0 {
            self.head.extend_from_slice(&bytes[..wanted]);
            self.ends_at_head = self.head.len() == OUTLINE && !postgres::has_index(&self.head);
        }
        if !self.ends_at_head {
            self.tail.extend_from_slice(bytes);
            if self.tail.len() > 4 * OUTLINE {
                self.tail.drain(..self.tail.len() - OUTLINE);
            }
        }
        self.statements.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_dump_its_beginning_and_its_longest_statement_are_kept() {
        let mut outliner = Outliner::default();
        outliner
            .write_all(b"-- Server version\nSELECT 1;\n")
            .unwrap();
        outliner.write_all(&[b'x'; 2 * OUTLINE]).unwrap();
        outliner.write_all(b";\nSELECT 2;\n").unwrap();
        let seen = outliner.take();
        assert_eq!(seen.head.len(), OUTLINE);
        assert!(seen.head.starts_with(b"-- Server version\nSELECT 1;\nxxx"));
        assert!(seen.tail.is_empty());
        assert_eq!(seen.longest_statement, 2 * OUTLINE as u64 + 1);
        assert_eq!(outliner.take(), Outline::default());
    }
}
