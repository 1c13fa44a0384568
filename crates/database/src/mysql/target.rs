//! The server that a dump is to be loaded into: does it take writes, what the dump is written in,
//! and its longest statement?

use std::time::Duration;

use kubestash_domain::args::{self, Tool};

use super::client::Vendor;
use super::encoding::Encoding;
use super::facts::Facts;
use super::prepare;
use super::scan::Scan;
use super::server::{Server, ServerInfo};
use super::structure::Structure;
use crate::connection::Connection;
use crate::family::{ExamineRequest, Family, Role};
use crate::outline::{Found, Outline};
use crate::reach::ServerError;
use crate::selection::{Existing, find, place};
use crate::target::{Accepted, Missing, Target, TargetError};

/// The collation that MySQL has used since 8.0 unless told otherwise.
const MYSQL_8_COLLATION: &str = "utf8mb4_0900_ai_ci";
/// The character set that Druid demands.
const UTF8: &str = "utf8mb4";
/// Names that a message has.
const SHOWN: usize = 10;
/// In the first lines of a dump, before the version of the server that it was made on.
const SERVER_VERSION: &str = "-- Server version";

/// A server that answers and takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MySqlTarget {
    database: Option<String>,
    exists: bool,
    /// The database that the task's args name.
    named: Option<String>,
    /// Databases with something in them.
    filled: Vec<String>,
    info: ServerInfo,
    address: String,
    knows_mysql_8: bool,
    max_statement: u64,
    facts: Facts,
    /// Whether it holds a Druid's metadata.
    is_druid: bool,
}

impl Target for MySqlTarget {
    fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    fn server_version(&self) -> &str {
        &self.info.version
    }

    fn accepts(&self, outline: &Outline) -> Result<Accepted, TargetError> {
        outline.is_of(Family::MySql, &self.address)?;
        if let Found::MySql(scan) = &outline.found {
            self.sound(outline, scan)?;
        }
        let missing = self.database.iter().filter(|_| !self.exists);
        let missing = missing.map(|name| self.missing(name, Encoding::of(&outline.head)));
        let databases = self.places(&outline.structure)?;
        let mut notes = self.compare(&outline.head)?;
        notes.extend(self.not_utf8(Encoding::of(&outline.head)));
        self.takes(outline.longest_statement)?;
        self.fits(&outline.structure)?;
        Ok(Accepted {
            notes,
            missing: missing.collect(),
            databases,
        })
    }
}

impl MySqlTarget {
    /// The database that is not there, as it was: a Druid's is always utf8mb4, which Druid demands.
    fn missing(&self, name: &str, had: Option<Encoding>) -> Missing {
        let had = had.filter(|had| !self.is_druid || had.character_set == UTF8);
        let character_set = match (&had, self.is_druid) {
            (Some(had), _) => Some(had.character_set.clone()),
            (None, true) => Some(UTF8.to_owned()),
            (None, false) => None,
        };
        Missing {
            name: name.to_owned(),
            character_set,
            // One that only a newer server has is left to the character set's default.
            collation: had
                .map(|had| had.collation)
                .filter(|collation| self.facts.collations.contains(collation)),
        }
    }

    /// What there is to say of a Druid's database that is of a character set which Druid refuses.
    fn not_utf8(&self, had: Option<Encoding>) -> Option<String> {
        // It gets what it had, before the first table is created.
        if had.is_some_and(|had| had.character_set.starts_with("utf8")) {
            return None;
        }
        let database = self
            .database
            .as_deref()
            .filter(|_| self.is_druid && self.exists)?;
        let found = self.facts.encodings.get(database)?;
        let name = &found.character_set;
        (!name.starts_with("utf8")).then(|| {
            format!(
                "the database {database:?} is of the character set {name}, with which Druid refuses to start: ALTER DATABASE `{database}` CHARACTER SET utf8mb4"
            )
        })
    }

    /// Whether the dump may be loaded, as far as its text says.
    fn sound(&self, outline: &Outline, scan: &Scan) -> Result<(), TargetError> {
        let address = self.address.clone();
        if !scan.refused.is_empty() {
            return Err(TargetError::Refused {
                address,
                what: scan.refused.told(),
            });
        }
        outline.whole(scan.ending())?;
        if !scan.changes.is_empty() && !outline.allowed.server_changes {
            return Err(TargetError::Changes {
                address,
                what: scan.changes.told(),
            });
        }
        Ok(())
    }

    /// The databases that the dump goes into.
    fn places(&self, dump: &Structure) -> Result<Vec<String>, TargetError> {
        let address = || self.address.clone();
        let folds = self.info.folds_case;
        let places = match (&self.database, dump.databases.as_slice()) {
            (None, []) if dump.creates_here => {
                return Err(TargetError::NoDatabase { address: address() });
            }
            (database, []) => database.iter().cloned().collect(),
            (_, named) => named.to_vec(),
        };
        if let Some(named) = &self.named
            && !dump.databases.is_empty()
            && (places.len() > 1 || find(named, &places, folds).is_none())
        {
            return Err(TargetError::Named {
                address: address(),
                named: named.clone(),
                dumped: places,
            });
        }
        let mut filled = places
            .iter()
            .filter_map(|place| find(place, &self.filled, folds));
        match filled.next() {
            Some(database) if dump.creates_undropped => Err(TargetError::NotEmpty {
                address: address(),
                database,
            }),
            _ => Ok(places),
        }
    }

    /// Whether everything that the dump creates can come back.
    fn fits(&self, dump: &Structure) -> Result<(), TargetError> {
        let facts = &self.facts;
        let refuse = |what: String, remedy: &'static str| {
            Err(TargetError::Beforehand {
                address: self.address.clone(),
                what,
                remedy,
            })
        };
        if self.info.folds_case {
            let clashes = prepare::clashes(dump);
            if !clashes.is_empty() {
                return refuse(
                    format!(
                        "the server takes names that differ in case alone for one (lower_case_table_names), and the dump has {}",
                        some(&clashes)
                    ),
                    "restore into a server with lower_case_table_names = 0",
                );
            }
        }
        let place = self.database.as_deref();
        let forbidden = prepare::forbidden(dump, place, &facts.keys, self.info.folds_case);
        if !forbidden.is_empty() {
            return refuse(
                format!(
                    "foreign keys of tables that are not in the dump keep its tables from coming back: {}",
                    some(&forbidden)
                ),
                "drop these foreign keys, and create them again afterwards",
            );
        }
        let taken = prepare::taken(dump, place, &facts.taken, self.info.folds_case);
        if !taken.is_empty() {
            return refuse(
                format!(
                    "tables that are not in the dump have names of its foreign keys, checks or triggers, which no two tables of a database can have: {}",
                    some(&taken)
                ),
                "drop what has these names, or the tables, and restore again",
            );
        }
        let without_key = prepare::without_key(dump);
        if facts.forces_key && !without_key.is_empty() {
            return refuse(
                format!(
                    "innodb_force_primary_key is on, and these tables have no primary key: {}",
                    some(&without_key)
                ),
                "SET GLOBAL innodb_force_primary_key = OFF",
            );
        }
        if dump.creates_checked && facts.guards_routines && facts.lacks(&["SUPER"]) {
            return refuse(
                format!(
                    "the dump has triggers or functions, and with the binary log on the user {} may not create them",
                    facts.user
                ),
                "SET GLOBAL log_bin_trust_function_creators = ON, or restore as a user with SUPER",
            );
        }
        let others: Vec<_> = dump
            .definers
            .iter()
            .filter(|user| **user != facts.user)
            .collect();
        if !others.is_empty()
            && facts.lacks(&["SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER"])
        {
            let others: Vec<String> = others.into_iter().cloned().collect();
            return refuse(
                format!(
                    "the dump has views, routines, triggers or events that run as {}, and the user {} may not create them",
                    some(&others),
                    facts.user
                ),
                "grant SET USER (MariaDB) or SET_ANY_DEFINER (MySQL), or restore as a user with SUPER",
            );
        }
        Ok(())
    }

    /// Whether the server takes a statement of so many bytes.
    fn takes(&self, statement: u64) -> Result<(), TargetError> {
        if statement + 1 < self.max_statement {
            return Ok(());
        }
        Err(TargetError::Packet {
            address: self.address.clone(),
            statement,
            limit: self.max_statement,
        })
    }

    /// Compares the server with the one that was dumped; what is doubtful is returned as notes.
    fn compare(&self, head: &[u8]) -> Result<Vec<String>, TargetError> {
        let Some(dumped) = dumped_on(head) else {
            return Ok(vec![
                "the dump does not name the server that it was created on: versions are not compared"
                    .to_owned(),
            ]);
        };
        let facts = || {
            (
                self.address.clone(),
                dumped.version.clone(),
                self.info.version.clone(),
            )
        };
        if dumped.vendor == self.info.vendor {
            if dumped.major > self.info.major && self.info.major > 0 {
                let (address, dumped, server) = facts();
                return Err(TargetError::Older {
                    address,
                    dumped,
                    server,
                });
            }
            return Ok(Vec::new());
        }
        if dumped.vendor == Vendor::MySql && dumped.major >= 8 && !self.knows_mysql_8 {
            let (address, dumped, server) = facts();
            return Err(TargetError::Collation {
                address,
                dumped,
                server,
            });
        }
        Ok(vec![format!(
            "the dump was created on {} and the server is {}, which is of another vendor",
            dumped.version, self.info.version
        )])
    }
}

/// The first of many, as a message names them.
fn some(names: &[String]) -> String {
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// The server that a dump was made on, as its first lines say.
fn dumped_on(head: &[u8]) -> Option<ServerInfo> {
    let text = String::from_utf8_lossy(head);
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix(SERVER_VERSION))?
        .trim();
    // A name says nothing about how this server compares names of databases.
    (!version.is_empty()).then(|| ServerInfo::new(version.to_owned(), 0))
}

/// Waits for the server and looks at it. `source` is the database that was dumped, if it is a
/// single one.
///
/// # Errors
/// If the server does not answer, refuses, or takes no writes.
pub(crate) async fn examine(request: ExamineRequest<'_>) -> Result<Box<dyn Target>, crate::Error> {
    let named = args::parse(Tool::MySqlClient, request.args)?.databases;
    let connection = request.connection;
    let mut server = Server::wait(connection, request.wait_timeout).await?;
    let looked = look(&mut server).await;
    let info = server.info.clone();
    server.close().await;
    let Looked {
        read_only,
        knows_mysql_8,
        max_statement,
        existing,
        filled,
        facts,
    } = looked?;
    if let Some((why, remedy)) = read_only {
        let (address, origin) = (connection.address(), connection.origin.clone());
        return Err(TargetError::ReadOnly {
            address,
            origin,
            why,
            remedy,
        }
        .into());
    }
    let named = named.into_iter().next();
    let place = match (&named, request.source) {
        (Some(named), _) => Some(place(named, &Role::Plain, &existing, info.folds_case)),
        (None, Some(source)) => Some(place(source, request.role, &existing, info.folds_case)),
        (None, None) => None,
    };
    let (database, exists) = place.map_or((None, true), |(name, exists)| (Some(name), exists));
    Ok(Box::new(MySqlTarget {
        database,
        exists,
        named,
        filled,
        info,
        address: connection.address(),
        knows_mysql_8,
        max_statement,
        facts,
        is_druid: matches!(request.role, Role::DruidMetadata { .. }),
    }))
}

/// What says that a server takes no writes, and how to switch it off.
type ReadOnly = (&'static str, &'static str);

/// What was seen of a server.
struct Looked {
    read_only: Option<ReadOnly>,
    knows_mysql_8: bool,
    max_statement: u64,
    existing: Existing,
    filled: Vec<String>,
    facts: Facts,
}

async fn look(server: &mut Server) -> Result<Looked, ServerError> {
    Ok(Looked {
        read_only: server.read_only().await?.map(|variable| match variable {
            "read_only" => (
                "read_only is on",
                "switch it off with SET GLOBAL read_only = OFF",
            ),
            "innodb_read_only" => (
                "innodb_read_only is on",
                "start the server without innodb_read_only",
            ),
            _ => (
                "transaction_read_only (or tx_read_only) is on",
                "switch it off with SET GLOBAL TRANSACTION READ WRITE",
            ),
        }),
        knows_mysql_8: server.has_collation(MYSQL_8_COLLATION).await?,
        max_statement: server.max_statement().await?,
        existing: server.databases().await?,
        filled: server.filled().await?,
        facts: server.facts().await?,
    })
}

/// Makes a database, unless it is there.
///
/// # Errors
/// If the server does not answer or refuses.
pub(crate) async fn create_database(
    connection: &Connection,
    database: &Missing,
    wait_timeout: Duration,
) -> Result<(), crate::Error> {
    let mut server = Server::wait(connection, wait_timeout).await?;
    let made = server.create_database(database).await;
    server.close().await;
    Ok(made?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(version: &str, knows_mysql_8: bool) -> MySqlTarget {
        MySqlTarget {
            database: None,
            exists: true,
            named: None,
            filled: Vec::new(),
            info: ServerInfo::new(version.to_owned(), 0),
            address: "h:3306".to_owned(),
            knows_mysql_8,
            max_statement: 16 << 20,
            facts: Facts::default(),
            is_druid: false,
        }
    }

    #[test]
    fn a_statement_that_the_server_does_not_take_is_told_with_the_remedy() {
        let target = target("8.0.36", true);
        assert!(target.takes(0).is_ok() && target.takes((16 << 20) - 2).is_ok());
        let cases = [
            ((16 << 20) - 1, "SET GLOBAL max_allowed_packet = 33554432"),
            (16 << 20, "SET GLOBAL max_allowed_packet = 33554432"),
            (1 << 29, "SET GLOBAL max_allowed_packet = 1073741824"),
            ((1 << 30) - 1, "no server takes more than 1 GiB"),
        ];
        for (statement, words) in cases {
            let error = target.takes(statement).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.to_string().contains("at most 16.000 MiB"), "{error}");
            assert_eq!(error.kind(), "DatabaseIncompatible");
        }
    }

    fn structure(databases: &[&str], creates_undropped: bool) -> Structure {
        Structure {
            databases: databases.iter().map(|name| (*name).to_owned()).collect(),
            creates_here: databases.is_empty(),
            creates_undropped,
            ..Structure::default()
        }
    }

    #[test]
    fn a_dump_goes_where_it_says_or_where_the_args_say_and_never_elsewhere() {
        type Case = (
            Option<&'static str>,
            Option<&'static str>,
            &'static [&'static str],
            Result<&'static [&'static str], &'static str>,
        );
        let cases: [Case; 7] = [
            (Some("shop"), None, &[], Ok(&["shop"])),
            (Some("other"), Some("other"), &[], Ok(&["other"])),
            (None, None, &["a", "b"], Ok(&["a", "b"])),
            (Some("a"), Some("a"), &["a"], Ok(&["a"])),
            (
                Some("a"),
                Some("a"),
                &["a", "b"],
                Err("\"a\", \"b\", which it names itself"),
            ),
            (
                Some("c"),
                Some("c"),
                &["a"],
                Err("names the database \"c\""),
            ),
            (None, None, &[], Err("name it in the task parameter args")),
        ];
        for (database, named, dumped, expected) in cases {
            let target = MySqlTarget {
                database: database.map(str::to_owned),
                named: named.map(str::to_owned),
                ..target("8.0.36", true)
            };
            let places = target.places(&structure(dumped, false));
            match expected {
                Ok(expected) => assert_eq!(places.unwrap(), expected),
                Err(words) => {
                    let error = places.unwrap_err();
                    assert!(error.to_string().contains(words), "{error}");
                    assert_eq!(error.kind(), "DatabaseUnknown");
                }
            }
        }
    }

    #[test]
    fn a_dump_that_drops_nothing_only_goes_into_empty_databases() {
        let target = |database: Option<&str>| MySqlTarget {
            database: database.map(str::to_owned),
            filled: vec!["full".to_owned()],
            ..target("8.0.36", true)
        };
        for (database, dumped, filled) in [
            (Some("full"), &[][..], true),
            (Some("empty"), &[], false),
            (None, &["empty", "full"], true),
            (None, &["empty"], false),
        ] {
            let places = target(database).places(&structure(dumped, true));
            assert_eq!(places.is_err(), filled, "{database:?} {dumped:?}");
            if let Err(error) = places {
                assert_eq!(error.kind(), "DatabaseNotEmpty");
                assert!(
                    error.to_string().contains("\"full\" is not empty"),
                    "{error}"
                );
            }
            assert!(target(database).places(&structure(dumped, false)).is_ok());
        }
    }

    fn head(version: &str) -> Vec<u8> {
        format!("-- MySQL dump 10.13\n--\n-- Host: x\n-- ----\n-- Server version\t{version}\n\n/*!40101 SET …").into_bytes()
    }

    #[test]
    fn a_server_takes_dumps_of_its_own_kind_that_are_not_newer() {
        let cases = [
            (
                "10.11.6-MariaDB",
                "10.11.6-MariaDB-0+deb12u1",
                false,
                None,
                0,
            ),
            ("10.4.1-MariaDB", "11.8.1-MariaDB", true, None, 0),
            ("5.7.44-log", "8.0.36", true, None, 0),
            ("8.4.2", "8.0.36", true, None, 0),
            (
                "9.0.1",
                "8.0.36",
                true,
                Some("same or a newer major version"),
                0,
            ),
            (
                "11.4.2-MariaDB",
                "10.11.6-MariaDB",
                false,
                Some("11.4.2-MariaDB"),
                0,
            ),
            (
                "8.0.21",
                "10.11.6-MariaDB",
                false,
                Some("utf8mb4_0900_ai_ci"),
                0,
            ),
            ("8.0.21", "11.8.2-MariaDB", true, None, 1),
            ("5.7.25", "10.11.6-MariaDB", false, None, 1),
            ("10.11.6-MariaDB", "8.0.36", true, None, 1),
        ];
        for (dumped, server, knows, refused, notes) in cases {
            let answer = target(server, knows).compare(&head(dumped));
            match (answer, refused) {
                (Ok(said), None) => {
                    assert_eq!(said.len(), notes, "{dumped} into {server}: {said:?}")
                }
                (Err(error), Some(word)) => {
                    assert!(error.to_string().contains(word), "{error}");
                    assert_eq!(error.kind(), "DatabaseIncompatible");
                }
                (answer, refused) => panic!("{dumped} into {server}: {answer:?}, not {refused:?}"),
            }
        }
        assert_eq!(
            target("8.0.36", true)
                .compare(b"CREATE TABLE t (a INT);")
                .unwrap()
                .len(),
            1
        );
    }
}
