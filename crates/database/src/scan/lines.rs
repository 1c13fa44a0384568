//! Line numbers, counted while the bytes of a dump pass by.

/// How many lines were passed up to which position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    passed: u64,
    counted: usize,
}

impl Lines {
    /// The number of the line in which `at` of the present piece stands. Positions only ever grow.
    pub(crate) fn at(&mut self, piece: &[u8], at: usize) -> u64 {
        self.count(piece, at);
        self.passed + 1
    }

    /// The piece is over.
    pub(crate) fn end(&mut self, piece: &[u8]) {
        self.count(piece, piece.len());
        self.counted = 0;
    }

    fn count(&mut self, piece: &[u8], to: usize) {
        if let Some(part) = piece.get(self.counted..to) {
            self.passed += memchr::memchr_iter(b'\n', part).count() as u64;
            self.counted = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_across_pieces() {
        let mut lines = Lines::default();
        assert_eq!(lines.at(b"a\nb\n", 0), 1);
        assert_eq!(lines.at(b"a\nb\n", 2), 2);
        lines.end(b"a\nb\n");
        assert_eq!(lines.at(b"c\nd", 0), 3);
        assert_eq!(lines.at(b"c\nd", 2), 4);
    }
}
