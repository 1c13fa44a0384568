//! The log of a container: each line with the time at which it arrived.
//!
//! `<RFC 3339 with nanoseconds> <line>\n`, standard output and standard error in one file, whole
//! lines only.

use std::io::Write;

use jiff::Timestamp;

/// A longer line is split here, so that one without an end cannot fill the memory.
const MAX_LINE: usize = 16 * 1024;

/// Cuts one stream of output into stamped lines.
#[derive(Default)]
pub(super) struct Stamper {
    partial: Vec<u8>,
}

impl Stamper {
    /// Takes what arrived and writes the lines that it completes.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        now: Timestamp,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let mut stamped = Vec::with_capacity(bytes.len() + 64);
        for chunk in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(chunk);
            while self.partial.len() > MAX_LINE && self.partial.last() != Some(&b'\n') {
                let rest = self.partial.split_off(MAX_LINE);
                let line = std::mem::replace(&mut self.partial, rest);
                stamp(&line, now, &mut stamped);
            }
            if self.partial.last() == Some(&b'\n') {
                self.partial.pop();
                let line = std::mem::take(&mut self.partial);
                stamp(&line, now, &mut stamped);
            }
        }
        out.write_all(&stamped)
    }

    /// Writes what is left when the stream has ended without a newline.
    pub(super) fn finish(&mut self, now: Timestamp, out: &mut impl Write) -> std::io::Result<()> {
        if self.partial.is_empty() {
            return Ok(());
        }
        let mut stamped = Vec::new();
        stamp(&std::mem::take(&mut self.partial), now, &mut stamped);
        out.write_all(&stamped)
    }
}

fn stamp(line: &[u8], now: Timestamp, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{now:.9} ").as_bytes());
    out.extend_from_slice(line);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(pushes: &[&str]) -> String {
        let now: Timestamp = "2024-09-19T10:30:46.5Z".parse().unwrap();
        let (mut stamper, mut out) = (Stamper::default(), Vec::new());
        for push in pushes {
            stamper.push(push.as_bytes(), now, &mut out).unwrap();
        }
        stamper.finish(now, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_line_gets_its_time_with_nanoseconds() {
        assert_eq!(
            stamped(&["a\nb", "c\n", "\nend"]),
            "2024-09-19T10:30:46.500000000Z a\n2024-09-19T10:30:46.500000000Z bc\n\
             2024-09-19T10:30:46.500000000Z \n2024-09-19T10:30:46.500000000Z end\n"
        );
    }

    #[test]
    fn nothing_is_written_for_no_output() {
        assert_eq!(stamped(&[]), "");
        assert_eq!(stamped(&[""]), "");
    }

    #[test]
    fn a_line_without_end_is_split_and_loses_nothing() {
        let long = "x".repeat(3 * MAX_LINE + 5);
        let out = stamped(&[&long]);
        assert_eq!(out.lines().count(), 4);
        assert_eq!(out.matches('x').count(), long.len());
    }
}
