//! What a dump does to which databases, read from the beginnings of its lines.
//!
//! The clients write each statement on a line of its own, and a line break inside of data as `\n`.
//! Only the body of a routine, a trigger or an event has lines of its own; it stands between two
//! `DELIMITER`s and is passed over.

use std::collections::{BTreeMap, BTreeSet};

use super::encoding::Encoding;

/// Bytes of a line that are looked at: a keyword and two names of 64 characters.
const LOOKED_AT: usize = 1024;

/// The databases that a dump names, and what it does to their tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// The databases that it changes to, each once, in their order. Empty: it goes into whichever
    /// the client is in.
    pub databases: Vec<String>,
    /// The character sets and collations of the databases that it creates, by name.
    pub(crate) encodings: BTreeMap<String, Encoding>,
    /// Whether it creates a table in the database that the client is in.
    pub creates_here: bool,
    /// Whether it creates a table that it has not dropped before.
    pub creates_undropped: bool,
    /// The tables, views and sequences that it creates, by database (none: the one that the client
    /// is in) and name.
    pub(crate) objects: BTreeMap<(Option<String>, String), Object>,
    /// The names that no two tables of a database can have in common: those of foreign keys,
    /// checks and triggers.
    pub(crate) claims: BTreeSet<(Option<String>, Claim, String)>,
    /// Users as which its views, routines, triggers and events run, as `user`@`host` without
    /// quotes.
    pub(crate) definers: BTreeSet<String>,
    /// Whether it creates a trigger or a function.
    pub(crate) creates_checked: bool,
}

/// What of a table has a name that no other table of the database can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// A foreign key.
    ForeignKey,
    /// A check; in MySQL only.
    Check,
    /// A trigger.
    Trigger,
}

/// What a dump creates under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object {
    /// Columns of a table and their types, such as `bigint unsigned`.
    pub(crate) columns: BTreeMap<String, String>,
    /// Whether a table has a primary key; none if it is no table.
    pub(crate) has_key: Option<bool>,
}

/// Reads a [`Structure`] while the bytes of a dump pass by, in pieces of any size.
#[derive(Clone, Debug, Default)]
pub(crate) struct StructureReader {
    line: Vec<u8>,
    in_body: bool,
    /// The next line is the first one of a body.
    is_first: bool,
    /// The table whose columns follow.
    table: Option<(Option<String>, String)>,
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
        let line = unwrapped(line);
        if let Some(delimiter) = after(line, &["DELIMITER"]) {
            self.in_body = delimiter.trim() != ";";
            self.is_first = self.in_body;
        } else if self.in_body {
            // Not a statement of the dump itself, but for its first line, which says what the body
            // is of.
            if std::mem::take(&mut self.is_first) {
                let upper = line.to_ascii_uppercase();
                let is_checked = [" TRIGGER ", " FUNCTION "]
                    .iter()
                    .any(|word| upper.contains(word));
                self.found.creates_checked |= is_checked;
                if let Some(at) = upper.find(" TRIGGER ")
                    && let Some((name, _)) = name(line[at + " TRIGGER ".len()..].trim_start())
                {
                    let database = self.found.databases.last().cloned();
                    self.found.claims.insert((database, Claim::Trigger, name));
                }
                self.found.definers.extend(definer(line));
            }
        } else if self.table.is_some() && self.column(line) {
            // Of the table that is being created.
        } else if let Some(rest) = after(line, &["CREATE", "DATABASE"]) {
            self.found.encodings.extend(database(rest));
        } else if let Some(rest) = after(line, &["USE"]) {
            if let Some((name, _)) = name(rest)
                && !self.found.databases.contains(&name)
            {
                self.found.databases.push(name);
            }
            self.dropped.clear();
        } else if let Some(rest) = after(line, &["DROP", "TABLE", "IF", "EXISTS"]) {
            self.dropped.extend(name(rest).map(|(name, _)| name));
            self.creates(rest, None);
        } else if let Some(rest) = after(line, &["DROP", "VIEW", "IF", "EXISTS"])
            .or_else(|| after(line, &["DROP", "SEQUENCE", "IF", "EXISTS"]))
            .or_else(|| after(line, &["CREATE", "SEQUENCE"]))
            .or_else(|| after(line, &["CREATE", "VIEW"]))
        {
            self.creates(rest, None);
        } else if line.starts_with("DEFINER") {
            self.found.definers.extend(definer(line));
        } else if let Some(rest) = after(line, &["CREATE", "TABLE"])
            && after(rest, &["IF", "NOT", "EXISTS"]).is_none()
            && let Some((name, rest)) = name(rest)
        {
            self.found.creates_undropped |= !self.dropped.contains(&name);
            let names_its_database = rest.trim_start().starts_with('.');
            self.found.creates_here |= self.found.databases.is_empty() && !names_its_database;
            if let Some(created) = after(line, &["CREATE", "TABLE"]) {
                self.table = self
                    .creates(created, Some(false))
                    .filter(|_| !line.ends_with(';'));
            }
        }
    }

    /// Notes what is created under the name that `rest` begins with.
    fn creates(&mut self, rest: &str, has_key: Option<bool>) -> Option<(Option<String>, String)> {
        let (first, rest) = name(rest)?;
        let second = rest.trim_start().strip_prefix('.').and_then(name);
        let key = match second {
            Some((second, _)) => (Some(first), second),
            None => (self.found.databases.last().cloned(), first),
        };
        let object = self.found.objects.entry(key.clone()).or_default();
        object.has_key = has_key.or(object.has_key);
        Some(key)
    }

    /// Takes a line of a table's definition; false if it is none.
    fn column(&mut self, line: &str) -> bool {
        let Some(table) = &self.table else {
            return false;
        };
        let Some(object) = self.found.objects.get_mut(table) else {
            return false;
        };
        if line.starts_with('`')
            && let Some((column, rest)) = name(line)
        {
            object.columns.insert(column, type_of(rest));
            return true;
        }
        if line.starts_with("PRIMARY KEY") {
            object.has_key = Some(true);
            return true;
        }
        if let Some((name, rest)) = after(line, &["CONSTRAINT"]).and_then(name) {
            let rest = rest.trim_start();
            let claims = [("FOREIGN KEY", Claim::ForeignKey), ("CHECK", Claim::Check)];
            if let Some((_, claim)) = claims.iter().find(|(word, _)| rest.starts_with(word)) {
                let claim = (table.0.clone(), *claim, name);
                self.found.claims.insert(claim);
            }
            return true;
        }
        if line.starts_with(')') {
            self.table = None;
            return true;
        }
        // Keys and constraints.
        !line.ends_with(';')
    }
}

/// Name, character set and collation of a database, from what stands behind `CREATE DATABASE`.
fn database(rest: &str) -> Option<(String, Encoding)> {
    let rest = rest
        .strip_prefix("/*!32312 IF NOT EXISTS*/")
        .map_or(rest, str::trim_start);
    let (name, rest) = name(rest)?;
    let behind = |words: &str| {
        let (_, value) = rest.split_once(words)?;
        let value = value.split_whitespace().next()?;
        Some(value.trim_end_matches(';'))
    };
    let encoding = Encoding::new(behind("CHARACTER SET ")?, behind(" COLLATE ")?)?;
    Some((name, encoding))
}

/// A statement that only some servers run, without what says so: `/*!50001 DROP VIEW …`.
fn unwrapped(line: &str) -> &str {
    let Some(inner) = line
        .strip_prefix("/*!")
        .or_else(|| line.strip_prefix("/*M!"))
    else {
        return line;
    };
    inner
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start()
}

/// The type of a column without what else its definition says, in lower case.
fn type_of(definition: &str) -> String {
    let definition = definition.trim_start().to_ascii_lowercase();
    let end = definition.find(|c: char| c.is_whitespace() || matches!(c, '(' | ','));
    let (base, rest) = definition.split_at(end.unwrap_or(definition.len()));
    let rest = match rest.strip_prefix('(') {
        Some(rest) => rest.split_once(')').map_or("", |(_, rest)| rest),
        None => rest,
    };
    match rest.trim_start().starts_with("unsigned") {
        true => format!("{base} unsigned"),
        false => base.to_owned(),
    }
}

/// The user behind `DEFINER=`.
fn definer(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("DEFINER=")?;
    let (user, rest) = name(rest)?;
    let (host, _) = name(rest.strip_prefix('@')?)?;
    Some(format!("{user}@{host}"))
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

    #[test]
    fn the_names_of_foreign_keys_checks_and_triggers_are_known() {
        let text = "USE `shop`;\nDROP TABLE IF EXISTS `a`;\nCREATE TABLE `a` (\n  `x` int NOT NULL,\n  PRIMARY KEY (`x`),\n  \
                    CONSTRAINT `a``x` FOREIGN KEY (`x`) REFERENCES `b` (`x`),\n  CONSTRAINT `c` CHECK ((`x` > 0))\n) ENGINE=InnoDB;\n\
                    INSERT INTO `a` VALUES (1);\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`h`*/ /*!50003 TRIGGER `t 1` \
                    BEFORE INSERT ON `a` FOR EACH ROW BEGIN\nCONSTRAINT `no` CHECK\nEND */;;\nDELIMITER ;\n";
        let claims = read(text, 7).claims.into_iter();
        let found: Vec<_> = claims
            .map(|(database, claim, name)| (database.unwrap(), claim, name))
            .collect();
        let claim = |claim, name: &str| ("shop".to_owned(), claim, name.to_owned());
        assert_eq!(
            found,
            [
                claim(Claim::ForeignKey, "a`x"),
                claim(Claim::Check, "c"),
                claim(Claim::Trigger, "t 1")
            ]
        );
    }

    fn read(text: &str, size: usize) -> Structure {
        let mut reader = StructureReader::default();
        for piece in text.as_bytes().chunks(size) {
            reader.take(piece);
            reader.take(b"");
        }
        reader.end()
    }

    /// Without its objects.
    fn shape(found: Structure) -> Structure {
        Structure {
            objects: BTreeMap::new(),
            ..found
        }
    }

    fn structure(databases: &[&str], creates_here: bool, creates_undropped: bool) -> Structure {
        Structure {
            databases: databases.iter().map(|name| (*name).to_owned()).collect(),
            creates_here,
            creates_undropped,
            ..Structure::default()
        }
    }

    #[test]
    fn what_a_dump_creates_is_known_with_its_columns_keys_and_definers() {
        let text = "/*!40101 SET x */;\nDROP TABLE IF EXISTS `users`;\nCREATE TABLE `users` (\n  `id` bigint(20) unsigned NOT NULL,\n\
            \x20 `na``me` varchar(36) CHARACTER SET latin1,\n  `e` enum('a','b) c') DEFAULT NULL,\n  PRIMARY KEY (`id`),\n  KEY `k` (`e`)\n) ENGINE=InnoDB;\n\
            INSERT INTO `users` VALUES\n(1,'x');\n\
            CREATE TABLE `log` (\n  `n` int(11)\n);\n\
            /*!50001 DROP VIEW IF EXISTS `names`*/;\n/*!50001 CREATE VIEW `names` AS SELECT 1 AS `id`*/;\n\
            DROP SEQUENCE IF EXISTS `seq`;\nCREATE SEQUENCE `seq` start with 1;\n\
            /*!50013 DEFINER=`boss`@`%` SQL SECURITY DEFINER */\n\
            DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER t BEFORE INSERT ON users FOR EACH ROW BEGIN\n\
            DROP TABLE IF EXISTS `inner`;\nEND */;;\nDELIMITER ;\n\
            USE `other`;\nDROP TABLE IF EXISTS `users`;\n";
        for size in [1, 7, 5000] {
            let found = read(text, size);
            let names: Vec<_> = found.objects.keys().collect();
            let of =
                |database: Option<&str>, name: &str| (database.map(str::to_owned), name.to_owned());
            assert_eq!(
                names,
                [
                    &of(None, "log"),
                    &of(None, "names"),
                    &of(None, "seq"),
                    &of(None, "users"),
                    &of(Some("other"), "users"),
                ]
            );
            let users = &found.objects[&of(None, "users")];
            assert_eq!(users.has_key, Some(true));
            assert_eq!(users.columns["id"], "bigint unsigned");
            assert_eq!(users.columns["na`me"], "varchar");
            assert_eq!(users.columns["e"], "enum");
            assert_eq!(found.objects[&of(None, "log")].has_key, Some(false));
            assert_eq!(found.objects[&of(None, "names")].has_key, None);
            assert!(found.creates_checked);
            let definers: Vec<_> = found.definers.iter().collect();
            assert_eq!(definers, ["boss@%", "root@localhost"]);
        }
    }

    #[test]
    fn what_a_created_database_is_written_in_is_known() {
        let text = "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `a``b` /*!40100 DEFAULT CHARACTER SET latin1 COLLATE latin1_bin */ /*!80016 DEFAULT ENCRYPTION='N' */;\n\
            CREATE DATABASE `c` DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;\nCREATE DATABASE `d`;\n";
        let found = read(text, 7).encodings;
        let expected = [
            ("a`b", Encoding::new("latin1", "latin1_bin").unwrap()),
            ("c", Encoding::new("utf8mb4", "utf8mb4_unicode_ci").unwrap()),
        ];
        assert_eq!(
            found,
            expected.map(|(name, one)| (name.to_owned(), one)).into()
        );
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
                assert_eq!(
                    shape(read(text, size)),
                    expected,
                    "{text:?} in pieces of {size}"
                );
            }
        }
        let long = format!(
            "INSERT INTO `t` VALUES ('{}');\nUSE `z`;\n",
            "x".repeat(10_000)
        );
        assert_eq!(shape(read(&long, 999)), structure(&["z"], false, false));
    }
}
