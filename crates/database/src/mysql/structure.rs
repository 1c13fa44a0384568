//! What a dump does to which databases, read from the beginnings of its lines.
//!
//! The clients write each statement on a line of its own, and a line break inside of data as `\n`. Only the body of a
//! routine, a trigger or an event has lines of its own; it stands between two `DELIMITER`s and is passed over.

use std::collections::BTreeSet;

/// Bytes of a line that are looked at: a keyword and two names of 64 characters.
const LOOKED_AT: usize = 1024;

/// The databases that a dump names, and what it does to their tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// The databases that it changes to, each once, in their order. Empty: it goes into whichever the client is in.
    pub databases: Vec<String>,
    /// Whether it creates a table in the database that the client is in.
    pub creates_here: bool,
    /// Whether it creates a table that it has not dropped before.
    pub creates_undropped: bool,
}

/// Reads a [`Structure`] while the bytes of a dump pass by, in pieces of any size.
#[derive(Clone, Debug, Default)]
pub(crate) struct StructureReader {
    line: Vec<u8>,
    in_body: bool,
    dropped: BTreeSet<String>,
    found: Structure,
}

impl StructureReader {
    /// Takes the next bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.add(&bytes[begin..end]);
            self.end_line();
            begin = end + 1;
        }
        self.add(&bytes[begin..]);
    }

    /// What was read so far.
    pub(crate) fn end(mut self) -> Structure {
        self.end_line();
        self.found
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = LOOKED_AT - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        self.judge(text.trim());
        // Its memory is used again.
        self.line = line;
        self.line.clear();
    }

    fn judge(&mut self, line: &str) {
        if let Some(delimiter) = after(line, &["DELIMITER"]) {
            self.in_body = delimiter.trim() != ";";
        } else if self.in_body {
            // Not a statement of the dump itself.
        } else if let Some(rest) = after(line, &["USE"]) {
            if let Some((name, _)) = name(rest)
                && !self.found.databases.contains(&name)
            {
                self.found.databases.push(name);
            }
            self.dropped.clear();
        } else if let Some(rest) = after(line, &["DROP", "TABLE", "IF", "EXISTS"]) {
            self.dropped.extend(name(rest).map(|(name, _)| name));
        } else if let Some(rest) = after(line, &["CREATE", "TABLE"])
            && after(rest, &["IF", "NOT", "EXISTS"]).is_none()
            && let Some((name, rest)) = name(rest)
        {
            self.found.creates_undropped |= !self.dropped.contains(&name);
            let names_its_database = rest.trim_start().starts_with('.');
            self.found.creates_here |= self.found.databases.is_empty() && !names_its_database;
        }
    }
}

/// What stands behind words, whatever their case.
fn after<'a>(line: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().try_fold(line, |line, word| {
        let (head, rest) = line.split_at_checked(word.len())?;
        let ends = rest.starts_with(|next: char| next.is_whitespace() || next == '`');
        (head.eq_ignore_ascii_case(word) && ends).then(|| rest.trim_start())
    })
}

/// The name that a text begins with, and what stands behind it.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('`') else {
        let end = text.find(|c: char| c.is_whitespace() || matches!(c, ';' | '(' | '.' | ','));
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, behind) = rest.split_once('`')?;
        name.push_str(part);
        match behind.strip_prefix('`') {
            // Two of them are one that belongs to the name.
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, size: usize) -> Structure {
        let mut reader = StructureReader::default();
        for piece in text.as_bytes().chunks(size) {
            reader.take(piece);
            reader.take(b"");
        }
        reader.end()
    }

    fn structure(databases: &[&str], creates_here: bool, creates_undropped: bool) -> Structure {
        Structure {
            databases: databases.iter().map(|name| (*name).to_owned()).collect(),
            creates_here,
            creates_undropped,
        }
    }

    #[test]
    fn databases_and_tables_are_found_however_the_bytes_are_cut() {
        let cases = [
            ("", structure(&[], false, false)),
            (
                "-- MySQL dump\nDROP TABLE IF EXISTS `t`;\n/*!40101 SET x */;\nCREATE TABLE `t` (\n  `a` int\n);\nINSERT INTO `t` VALUES ('USE `x`;');\n",
                structure(&[], true, false),
            ),
            (
                "CREATE TABLE `t` (\n `a` int);\n",
                structure(&[], true, true),
            ),
            ("create table t(a int);", structure(&[], true, true)),
            (
                "DROP TABLE IF EXISTS `other`;\nCREATE TABLE `t` (a int);\n",
                structure(&[], true, true),
            ),
            (
                "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `a``b`;\n\nUSE `a``b`;\nDROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (x int);\nUSE `c d`;\nUSE `c d`;\n",
                structure(&["a`b", "c d"], false, false),
            ),
            // What was dropped in another database was not dropped here.
            (
                "USE a;\nDROP TABLE IF EXISTS `t`;\nUSE b;\nCREATE TABLE `t` (x int);\n",
                structure(&["a", "b"], false, true),
            ),
            (
                "CREATE TABLE `a`.`t` (x int);\n",
                structure(&[], false, true),
            ),
            (
                "CREATE TABLE IF NOT EXISTS `t` (x int);\n",
                structure(&[], false, false),
            ),
            (
                "DELIMITER ;;\nCREATE PROCEDURE p()\nBEGIN\nCREATE TABLE tmp (a int);\nUSE `x`;\nEND ;;\nDELIMITER ;\nUSE `y`;\n",
                structure(&["y"], false, false),
            ),
            ("USER `x`;\nUSE", structure(&[], false, false)),
        ];
        for (text, expected) in cases {
            for size in [1, 3, 7, 5000] {
                assert_eq!(read(text, size), expected, "{text:?} in pieces of {size}");
            }
        }
        let long = format!(
            "INSERT INTO `t` VALUES ('{}');\nUSE `z`;\n",
            "x".repeat(10_000)
        );
        assert_eq!(read(&long, 999), structure(&["z"], false, false));
    }
}
