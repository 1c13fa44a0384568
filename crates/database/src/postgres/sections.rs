//! A dump of several databases: the dumps of each, one after the other in one stream.
//!
//! ```text
//!   -- kubestash: several databases …          says that the last line is an index
//!   \connect "a"        for who loads it by hand with psql
//!   <dump of a>         exactly the bytes that pg_dump wrote
//!   \connect "b"
//!   <dump of b>
//!   -- kubestash-index: {"sections": […]}      where each begins, and how long it is
//! ```
//! Only positions count when it is loaded. Nothing that stands in the data of one database can make
//! its bytes belong to another, and an unchanged server gives the same bytes again.

use serde::{Deserialize, Serialize};

use crate::outline::OUTLINE;

/// The first line.
const HEADER: &str =
    "-- kubestash: several databases; the last line says where the dump of each is\n";
/// What the last line begins with.
const INDEX: &str = "-- kubestash-index: ";

/// A part of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Section {
    /// The database; none: roles and tablespaces, which belong to the whole server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) database: Option<String>,
    /// Where it begins.
    pub(super) offset: u64,
    /// Bytes of it.
    pub(super) length: u64,
}

/// The last line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    /// The parts, in their order.
    pub(super) sections: Vec<Section>,
}

/// Whether a dump that begins like this has an index.
pub(crate) fn has_index(head: &[u8]) -> bool {
    head.starts_with(HEADER.as_bytes())
}

/// Writes the lines around the dumps, and keeps count.
#[derive(Debug, Default)]
pub(super) struct Writer {
    index: Index,
    written: u64,
}

impl Writer {
    /// The lines before the dump of `database`, or of what belongs to the whole server.
    pub(super) fn before(&mut self, database: Option<&str>) -> String {
        let mut text = String::new();
        if self.written == 0 {
            text.push_str(HEADER);
        } else {
            text.push('\n');
        }
        if let Some(name) = database {
            text.push_str(&connect(name));
        }
        self.written += text.len() as u64;
        self.index.sections.push(Section {
            database: database.map(str::to_owned),
            offset: self.written,
            length: 0,
        });
        text
    }

    /// Takes note that the dump was of this many bytes.
    pub(super) fn after(&mut self, bytes: u64) {
        self.written += bytes;
        if let Some(last) = self.index.sections.last_mut() {
            last.length = bytes;
        }
    }

    /// The last line, which is one whatever the last dump ends with.
    pub(super) fn end(&self) -> String {
        let index = serde_json::to_string(&self.index).unwrap_or_default();
        format!("\n{INDEX}{index}\n")
    }
}

/// psql's command that goes to a database. It cannot name one with a line break.
fn connect(name: &str) -> String {
    if name.contains(['\n', '\r']) {
        return String::new();
    }
    let value = name.replace('\\', "\\\\").replace('\'', "\\'");
    let quoted = format!("dbname='{value}'").replace('"', "\"\"");
    format!("\\connect -reuse-previous=on \"{quoted}\"\n")
}

/// Reads the last line of a dump that has an index; none if it has not, or a broken one.
pub(super) fn read(tail: &[u8]) -> Option<Index> {
    let text = std::str::from_utf8(
        tail.strip_suffix(b"\n")?
            .rsplit(|byte| *byte == b'\n')
            .next()?,
    );
    let index: Index = serde_json::from_str(text.ok()?.strip_prefix(INDEX)?).ok()?;
    let mut end = HEADER.len() as u64;
    for section in &index.sections {
        if section.offset < end {
            return None;
        }
        end = section.offset.checked_add(section.length)?;
    }
    (!index.sections.is_empty()).then_some(index)
}

/// Whether so many databases with such names can be described in what is read of a dump's end.
pub(super) fn fits(names: &[String]) -> bool {
    let bytes: usize = names.iter().map(|name| name.len() * 2 + 80).sum();
    bytes < OUTLINE / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_says_where_each_dump_is() {
        let mut writer = Writer::default();
        let mut text = String::new();
        for (name, dump) in [
            (None, "ROLES\n"),
            (Some("a"), "-- kubestash-index: {}\n"),
            (Some("b \"c'\\"), ""),
            (Some("d\ne"), "D"),
        ] {
            text.push_str(&writer.before(name));
            text.push_str(dump);
            writer.after(dump.len() as u64);
        }
        text.push_str(&writer.end());
        assert!(has_index(text.as_bytes()));
        let index = read(text.as_bytes()).unwrap();
        let found: Vec<_> = index
            .sections
            .iter()
            .map(|section| {
                let start = usize::try_from(section.offset).unwrap();
                let end = start + usize::try_from(section.length).unwrap();
                (section.database.as_deref(), &text[start..end])
            })
            .collect();
        assert_eq!(
            found,
            [
                (None, "ROLES\n"),
                (Some("a"), "-- kubestash-index: {}\n"),
                (Some("b \"c'\\"), ""),
                (Some("d\ne"), "D"),
            ]
        );
        assert!(text.contains("\\connect -reuse-previous=on \"dbname='b \"\"c\\'\\\\'\"\n"));
    }

    #[test]
    fn a_broken_index_is_none() {
        for tail in [
            "",
            "\n",
            "-- kubestash-index: {}\n",
            "-- kubestash-index: {\"sections\":[]}\n",
            "-- kubestash-index: {\"sections\":[{\"offset\":500,\"length\":10},{\"offset\":505,\"length\":1}]}\n",
            "-- kubestash-index: {\"sections\":[{\"offset\":500,\"length\":18446744073709551615}]}\n",
            "-- kubestash-index: {\"sections\":[{\"offset\":500,\"length\":10}]}",
        ] {
            assert_eq!(read(tail.as_bytes()), None, "{tail}");
        }
        assert!(!has_index(b"--\n-- PostgreSQL database dump\n"));
    }
}
