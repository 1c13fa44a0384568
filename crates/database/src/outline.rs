//! What is kept of a dump that is read once, before it is loaded: how it begins and ends, and what
//! is in it.

use std::fmt;
use std::io::{self, Write};

use crate::family::Family;
use crate::mysql::{self, Structure, StructureReader};
use crate::postgres;
use crate::scan::{Allowed, Ending};
use crate::target::TargetError;

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
    /// The databases that it names, as the MySQL family names them.
    pub structure: Structure,
    /// Whether something else than its text proves that it is whole: kubestash stores a dump only
    /// after its client has ended well.
    pub proven: bool,
    /// What it may do and lack.
    pub allowed: Allowed,
    /// What its statements do.
    pub(crate) found: Found,
}

/// What a scan of the statements has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Found {
    /// There was none.
    #[default]
    Nothing,
    /// A dump for PostgreSQL.
    Postgres(Box<postgres::Scan>),
    /// A dump for the MySQL family.
    MySql(Box<mysql::Scan>),
}

/// The mark of a family is in one of so many first lines.
const FIRST_LINES: usize = 10;

impl Outline {
    /// The family of the server that was dumped, if the dump says so.
    pub fn family(&self) -> Option<Family> {
        if postgres::has_index(&self.head) {
            return Some(Family::Postgres);
        }
        let start = String::from_utf8_lossy(&self.head[..self.head.len().min(4096)]);
        let wrote = |family: &Family, line: &str| {
            let mut marks = family.facts().dump_marks.iter();
            marks.any(|mark| line.starts_with(mark))
        };
        let mut lines = start.lines().take(FIRST_LINES);
        lines.find_map(|line| Family::ALL.into_iter().find(|family| wrote(family, line)))
    }

    /// Refuses a dump of another family than the server's, `ours`.
    pub(crate) fn is_of(&self, ours: Family, address: &str) -> Result<(), TargetError> {
        match self.family() {
            Some(dumped) if dumped != ours => Err(TargetError::Family {
                address: address.to_owned(),
                dumped: dumped.name(),
                server: ours.name(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses a dump that is cut off. One that says at its beginning what it is says at its end
    /// that it is whole, unless somebody cut it; one without such comments is whole if that is
    /// proven otherwise.
    pub(crate) fn whole(&self, ending: Ending) -> Result<(), TargetError> {
        let proven = self.proven && self.family().is_none();
        match ending {
            Ending::Within(what) => Err(TargetError::Within(what)),
            Ending::Unsaid if !proven && !self.allowed.incomplete => Err(TargetError::Incomplete),
            Ending::Said | Ending::Unsaid => Ok(()),
        }
    }
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

/// Reads the statements of a family.
#[derive(Debug)]
enum Scanner {
    Postgres(Box<postgres::Scanner>),
    MySql(Box<mysql::Scanner>, Box<StructureReader>),
}

impl Scanner {
    fn of(family: Family) -> Self {
        match family {
            Family::Postgres => Self::Postgres(Box::default()),
            Family::MySql => Self::MySql(Box::default(), Box::default()),
        }
    }
}

/// Takes a dump and keeps its [`Outline`].
#[derive(Debug)]
pub struct Outliner {
    family: Family,
    head: Vec<u8>,
    tail: Vec<u8>,
    ends_at_head: bool,
    scanner: Scanner,
}

impl Outliner {
    /// For a dump that is to be loaded into a server of this family.
    pub fn new(family: Family) -> Self {
        Self {
            family,
            head: Vec::new(),
            tail: Vec::new(),
            ends_at_head: false,
            scanner: Scanner::of(family),
        }
    }

    /// The outline of what was written so far; begins anew.
    pub fn take(&mut self) -> Outline {
        let Self {
            head,
            mut tail,
            scanner,
            ..
        } = std::mem::replace(self, Self::new(self.family));
        if !postgres::has_index(&head) {
            tail.clear();
        }
        tail.drain(..tail.len().saturating_sub(OUTLINE));
        let (longest_statement, structure, found) = match scanner {
            Scanner::Postgres(scanner) => {
                let found = Found::Postgres(Box::new(scanner.end()));
                (0, Structure::default(), found)
            }
            Scanner::MySql(scanner, structure) => {
                let scan = scanner.end();
                (scan.longest, structure.end(), Found::MySql(Box::new(scan)))
            }
        };
        Outline {
            head,
            tail,
            longest_statement,
            structure,
            found,
            ..Outline::default()
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
        match &mut self.scanner {
            Scanner::Postgres(scanner) => scanner.feed(bytes),
            Scanner::MySql(scanner, structure) => {
                scanner.feed(bytes);
                structure.take(bytes);
            }
        }
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
        let mut outliner = Outliner::new(Family::MySql);
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
        assert!(outliner.take().head.is_empty());
    }

    #[test]
    fn the_family_is_the_one_that_the_first_lines_name() {
        for (head, family) in [
            (
                "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB\n",
                Some(Family::MySql),
            ),
            ("-- MySQL dump 10.13  Distrib 8.0.35\n", Some(Family::MySql)),
            (
                "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.8\n",
                Some(Family::Postgres),
            ),
            (
                "--\n-- PostgreSQL database cluster dump\n--\n",
                Some(Family::Postgres),
            ),
            ("SELECT 1;\n", None),
            ("", None),
        ] {
            let outline = Outline {
                head: head.as_bytes().to_vec(),
                ..Outline::default()
            };
            assert_eq!(outline.family(), family, "{head}");
            for ours in [Family::MySql, Family::Postgres] {
                let refused = outline.is_of(ours, "db:1");
                assert_eq!(
                    refused.is_err(),
                    family.is_some_and(|family| family != ours)
                );
            }
        }
    }
}
