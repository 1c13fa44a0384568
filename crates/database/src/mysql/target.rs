//! The server that a dump is to be loaded into, looked at before the first byte is written.
//!
//! ```text
//!   examine  answers? takes writes? which database?  ─► Target      (reads only)
//!   Target::accepts  the first lines of the dump     ─► fits, or why not (pure)
//!   Target::takes    its longest statement           ─► fits, or why not (pure)
//!   create_database  the one change, when all else is known to be well
//! ```

use std::time::Duration;

use kubestash_core::format;

use super::client::Vendor;
use super::selection::{DRUID, find, metadata_database};
use super::server::{Existing, Server, ServerError, ServerInfo};
use crate::connection::Connection;
use crate::family::Role;

/// The collation that MySQL has used since 8.0 unless told otherwise.
const MYSQL_8_COLLATION: &str = "utf8mb4_0900_ai_ci";
/// In the first lines of a dump, before the version of the server that it was made on.
const SERVER_VERSION: &str = "-- Server version";

/// Why a dump cannot be loaded into a server. Lasts until somebody changes the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It takes no writes.
    #[error(
        "failed to restore into the database at {address} (from {origin}): it is read-only ({variable} is on); restore into the primary, or switch it off with SET GLOBAL {variable} = OFF"
    )]
    ReadOnly {
        /// `host:port`.
        address: String,
        /// The AppBinding.
        origin: String,
        /// The server's variable.
        variable: &'static str,
    },
    /// It is older than the server that was dumped.
    #[error(
        "failed to restore into the database at {address}: the dump was made on {dumped} and the server is {server}; restore into a server of the same or a newer major version"
    )]
    Older {
        /// `host:port`.
        address: String,
        /// Version of the server that was dumped.
        dumped: String,
        /// Version of this server.
        server: String,
    },
    /// It does not know what the dump is written in.
    #[error(
        "failed to restore into the database at {address}: the dump was made on MySQL {dumped} and the server, {server}, does not know the collation utf8mb4_0900_ai_ci; restore into MySQL, or into MariaDB from 11.4.5"
    )]
    Collation {
        /// `host:port`.
        address: String,
        /// Version of the server that was dumped.
        dumped: String,
        /// Version of this server.
        server: String,
    },
    /// It does not take so long a statement.
    #[error(
        "failed to restore into the database at {address}: the dump holds a row that takes a statement of {}, and the server takes at most {} (max_allowed_packet); {}",
        format::bytes(*.statement), format::bytes(*.limit), raise(*.statement)
    )]
    Packet {
        /// `host:port`.
        address: String,
        /// Bytes of the longest statement.
        statement: u64,
        /// Bytes that the server takes.
        limit: u64,
    },
}

/// The most that any server takes.
const MOST: u64 = 1 << 30;

fn raise(statement: u64) -> String {
    match (statement + 2).checked_next_power_of_two() {
        Some(enough) if enough <= MOST => {
            format!("raise it with SET GLOBAL max_allowed_packet = {enough}, and restore again")
        }
        _ => "no server takes more than 1 GiB: restore another Snapshot".to_owned(),
    }
}

impl TargetError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ReadOnly { .. } => "DatabaseReadOnly",
            Self::Older { .. } | Self::Collation { .. } | Self::Packet { .. } => {
                "DatabaseIncompatible"
            }
        }
    }
}

/// A server that answers and takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The database that a dump of a single one goes into; none for a dump of several, which names them.
    pub database: Option<String>,
    /// Whether that database is there already.
    pub exists: bool,
    info: ServerInfo,
    address: String,
    knows_mysql_8: bool,
    max_statement: u64,
}

impl Target {
    /// What the server says it is.
    pub fn server_version(&self) -> &str {
        &self.info.version
    }

    /// Whether a dump can be loaded here whose longest statement has so many bytes.
    ///
    /// # Errors
    /// If the server does not take it.
    pub fn takes(&self, statement: u64) -> Result<(), TargetError> {
        if statement + 1 < self.max_statement {
            return Ok(());
        }
        Err(TargetError::Packet {
            address: self.address.clone(),
            statement,
            limit: self.max_statement,
        })
    }

    /// Whether the dump that begins with `head` can be loaded here; what is doubtful is returned as notes.
    ///
    /// # Errors
    /// If the server is too old for it, or does not know what it is written in.
    pub fn accepts(&self, head: &[u8]) -> Result<Vec<String>, TargetError> {
        let Some(dumped) = dumped_on(head) else {
            return Ok(vec![
                "the dump does not say on which server it was made: versions are not compared"
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
            "the dump was made on {} and the server is {}, which is of another vendor",
            dumped.version, self.info.version
        )])
    }
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

/// Waits for the server and looks at it. `source` is the database that was dumped, if it is a single one.
///
/// # Errors
/// If the server does not answer, refuses, or takes no writes.
pub(crate) async fn examine(
    connection: &Connection,
    role: &Role,
    source: Option<&str>,
    wait_timeout: Duration,
) -> Result<Target, crate::Error> {
    let mut server = Server::wait(connection, wait_timeout).await?;
    let looked = look(&mut server).await;
    let info = server.info.clone();
    server.close().await;
    let (read_only, knows_mysql_8, max_statement, existing) = looked?;
    if let Some(variable) = read_only {
        let (address, origin) = (connection.address(), connection.origin.clone());
        return Err(TargetError::ReadOnly {
            address,
            origin,
            variable,
        }
        .into());
    }
    let place = source.map(|source| place(source, role, &existing, info.folds_case));
    let (database, exists) = place.map_or((None, true), |(name, exists)| (Some(name), exists));
    Ok(Target {
        database,
        exists,
        info,
        address: connection.address(),
        knows_mysql_8,
        max_statement,
    })
}

async fn look(
    server: &mut Server,
) -> Result<(Option<&'static str>, bool, u64, Existing), ServerError> {
    Ok((
        server.read_only().await?,
        server.has_collation(MYSQL_8_COLLATION).await?,
        server.max_statement().await?,
        server.databases().await?,
    ))
}

/// The database that a dump of `source` goes into, and whether it is there: that of the target's role, whatever it was
/// called where it comes from.
fn place(source: &str, role: &Role, existing: &Existing, folds_case: bool) -> (String, bool) {
    match role {
        Role::Plain => match find(source, &existing.all, folds_case) {
            Some(name) => (name, true),
            None => (source.to_owned(), false),
        },
        Role::DruidMetadata { linked_db } => {
            let there = metadata_database(linked_db, existing, folds_case).or_else(|| {
                [linked_db.as_str(), DRUID]
                    .iter()
                    .find_map(|name| find(name, &existing.all, folds_case))
            });
            match there {
                Some(name) => (name, true),
                None => (linked_db.clone(), false),
            }
        }
    }
}

/// Makes a database, unless it is there.
///
/// # Errors
/// If the server does not answer or refuses.
pub(crate) async fn create_database(
    connection: &Connection,
    name: &str,
    wait_timeout: Duration,
) -> Result<(), crate::Error> {
    let mut server = Server::wait(connection, wait_timeout).await?;
    let made = server.create_database(name).await;
    server.close().await;
    Ok(made?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(version: &str, knows_mysql_8: bool) -> Target {
        Target {
            database: None,
            exists: true,
            info: ServerInfo::new(version.to_owned(), 0),
            address: "h:3306".to_owned(),
            knows_mysql_8,
            max_statement: 16 << 20,
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
            let answer = target(server, knows).accepts(&head(dumped));
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
                .accepts(b"CREATE TABLE t (a INT);")
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn a_dump_of_one_database_goes_into_the_one_of_the_targets_role() {
        let existing = |all: &[&str], with: &[&str]| Existing {
            all: all.iter().map(|name| (*name).to_owned()).collect(),
            with_segments: with.iter().map(|name| (*name).to_owned()).collect(),
        };
        let druid = |linked: &str| Role::DruidMetadata {
            linked_db: linked.to_owned(),
        };
        let cases = [
            (
                druid("meta"),
                existing(&["druid", "meta"], &["druid", "meta"]),
                ("meta", true),
            ),
            (
                druid("meta"),
                existing(&["druid", "meta"], &["druid"]),
                ("druid", true),
            ),
            (
                druid("meta"),
                existing(&["druid", "meta"], &[]),
                ("meta", true),
            ),
            (druid("meta"), existing(&["druid"], &[]), ("druid", true)),
            (druid("meta"), existing(&["mysql"], &[]), ("meta", false)),
            (druid("druid"), existing(&["x"], &["x"]), ("druid", false)),
            (Role::Plain, existing(&["source"], &[]), ("source", true)),
            (Role::Plain, existing(&["Source"], &[]), ("source", false)),
        ];
        for (role, existing, (name, exists)) in cases {
            assert_eq!(
                place("source", &role, &existing, false),
                (name.to_owned(), exists),
                "{role:?} {existing:?}"
            );
        }
        assert_eq!(
            place("source", &Role::Plain, &existing(&["Source"], &[]), true),
            ("Source".to_owned(), true)
        );
    }
}
