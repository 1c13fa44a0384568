//! The line `\restrict <key>` at the beginning of a dump, and `\unrestrict <key>` at its end.
//!
//! Between them psql runs no commands of its own, so that a server cannot smuggle any into its
//! dump. The key is drawn for each dump, which would make every dump of an unchanged database a
//! different one. So both lines are left out of what is stored, and psql is restricted with a key
//! of ours when a dump is loaded: also for dumps that never had one.

use bytes::{Bytes, BytesMut};

use crate::stream::Filter;

/// Both lines are this close to the beginning and the end.
const NEAR: usize = 2048;

/// Settings in the first lines that are not for servers before that major version: which do not
/// know them, or which would wait for a lock for ever.
const NEWER: [(&str, u32); 2] = [
    ("SET transaction_timeout = 0;", 17),
    ("SET lock_timeout = 0;", u32::MAX),
];

/// Leaves the two lines out.
pub(super) struct Fence {
    key: Option<String>,
    unknown: Vec<&'static str>,
    begun: bool,
    held: BytesMut,
}

impl Fence {
    /// For the output of a client that was given `key`.
    pub(super) fn of(key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            unknown: Vec::new(),
            begun: false,
            held: BytesMut::new(),
        }
    }

    /// For a dump that says its key itself, on its way to a server of that major version.
    pub(super) fn to_server(major: u32) -> Self {
        Self {
            key: None,
            unknown: NEWER
                .iter()
                .filter(|(_, since)| major < *since)
                .map(|(line, _)| *line)
                .collect(),
            begun: false,
            held: BytesMut::new(),
        }
    }

    fn begin(&mut self) {
        self.begun = true;
        if self.key.is_none() {
            self.key = key_in(&self.held);
        }
        if let Some(key) = &self.key {
            cut(&mut self.held, &format!("\\restrict {key}"));
        }
        for line in &self.unknown {
            cut(&mut self.held, line);
        }
    }
}

impl Filter for Fence {
    fn pass(&mut self, data: BytesMut) -> Bytes {
        self.held.extend_from_slice(&data);
        if !self.begun {
            if self.held.len() < NEAR {
                return Bytes::new();
            }
            self.begin();
        }
        let free = self.held.len().saturating_sub(NEAR);
        self.held.split_to(free).freeze()
    }

    fn end(&mut self) -> Bytes {
        if !self.begun {
            self.begin();
        }
        if let Some(key) = &self.key {
            cut(&mut self.held, &format!("\\unrestrict {key}"));
        }
        self.held.split().freeze()
    }
}

/// A key that nobody can guess.
pub(super) fn new_key() -> String {
    use rand::RngExt;
    use rand::distr::Alphanumeric;
    let letters = rand::rng().sample_iter(Alphanumeric).take(40);
    letters.map(char::from).collect()
}

/// The key that a dump names before its first statement.
fn key_in(head: &[u8]) -> Option<String> {
    let head = &head[..head.len().min(NEAR)];
    let text = String::from_utf8_lossy(head);
    let key = text
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("--") || line.starts_with('\\'))
        .find_map(|line| line.strip_prefix("\\restrict "))?;
    let usual = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric());
    usual.then(|| key.to_owned())
}

/// Takes the first line that is exactly `line` out of `data`.
fn cut(data: &mut BytesMut, line: &str) {
    let wanted = format!("{line}\n");
    let found = data
        .windows(wanted.len())
        .enumerate()
        .find(|(at, window)| *window == wanted.as_bytes() && (*at == 0 || data[at - 1] == b'\n'));
    if let Some((at, _)) = found {
        let rest = data.split_off(at);
        data.extend_from_slice(&rest[wanted.len()..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(mut fence: Fence, text: &str, chunk: usize) -> String {
        let mut out = Vec::new();
        for part in text.as_bytes().chunks(chunk) {
            out.extend_from_slice(&fence.pass(BytesMut::from(part)));
        }
        out.extend_from_slice(&fence.end());
        String::from_utf8(out).unwrap()
    }

    fn dump(rows: usize) -> String {
        let rows: String = (0..rows)
            .map(|n| format!("{n}\t\\\\unrestrict K1\n"))
            .collect();
        format!(
            "--\n-- PostgreSQL database dump\n--\n\n\\restrict K1\n\n-- Dumped from database version 15.18\n\n\
             SET statement_timeout = 0;\nSET transaction_timeout = 0;\nCOPY t FROM stdin;\n{rows}\\.\n\n\\unrestrict K1\n\n"
        )
    }

    #[test]
    fn both_lines_are_left_out_however_the_dump_is_cut_into_pieces() {
        for rows in [0, 3, 100, 5000] {
            let text = dump(rows);
            let expected = text
                .replace("\n\\restrict K1\n", "\n")
                .replace("\n\\unrestrict K1\n", "\n");
            for chunk in [1, 7, 2047, 2048, 2049, 1 << 20] {
                assert_eq!(through(Fence::of("K1"), &text, chunk), expected);
                assert_eq!(through(Fence::to_server(17), &text, chunk), expected);
            }
            let older = expected.replace("SET transaction_timeout = 0;\n", "");
            assert_eq!(through(Fence::to_server(15), &text, 4096), older);
            assert_eq!(through(Fence::to_server(18), &expected, 4096), expected);
        }
    }

    #[test]
    fn a_key_counts_only_before_the_first_statement() {
        let late = "--\nSET x = 1;\n\\restrict K1\nSELECT 1;\n";
        assert_eq!(through(Fence::to_server(18), late, 4096), late);
        let odd = "\\restrict K1 ; x\nSELECT 1;\n";
        assert_eq!(through(Fence::to_server(18), odd, 4096), odd);
    }

    #[test]
    fn keys_differ() {
        let (one, other) = (new_key(), new_key());
        assert!(one.len() == 40 && one != other);
    }
}
