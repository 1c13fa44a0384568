//! The server that a dump is to be loaded into: does it take writes, which database, and may the
//! user load it?

use std::collections::BTreeSet;
use std::time::Duration;

use kubestash_domain::args::{self, Tool};

use super::client::number_in;
use super::dump::usable;
use super::layout::{self, To};
use super::scan::Scan;
use super::server::{Database, Holdings, Server, ServerInfo};
use crate::connection::Connection;
use crate::family::{Error, ExamineRequest, Family, Role};
use crate::outline::{Found, Outline};
use crate::selection::{self, find, quoted};
use crate::target::{Accepted, Missing, Target, TargetError};

/// In the first lines of a dump, before the version of the server that it was made on.
const DUMPED_FROM: &str = "-- Dumped from database version ";

/// A server that answers and takes writes.
#[derive(Clone, Debug)]
struct PostgresTarget {
    /// The database for a dump of a single one.
    database: Option<String>,
    /// The database that the task's args name.
    named: Option<String>,
    databases: Vec<Database>,
    info: ServerInfo,
    holdings: Holdings,
    address: String,
    origin: String,
    user: String,
    secret: String,
}

impl Target for PostgresTarget {
    fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    fn server_version(&self) -> &str {
        &self.info.version
    }

    fn accepts(&self, outline: &Outline) -> Result<Accepted, TargetError> {
        outline.is_of(Family::Postgres, &self.address)?;
        let mut accepted = Accepted::default();
        accepted.notes.extend(self.compare(&outline.head)?);
        let parts = match &outline.found {
            Found::Postgres(scan) => {
                let parts = layout::parts(outline, scan, self.database.as_deref())?;
                layout::sound(outline, scan, &parts, &self.address)?;
                self.has_what_it_needs(scan)?;
                self.tell_roles(scan, &parts, &mut accepted);
                parts
            }
            Found::MySql(_) | Found::Nothing => {
                layout::parts(outline, &Scan::default(), self.database.as_deref())?
            }
        };
        if parts.is_empty() {
            return Err(TargetError::NoDatabase {
                address: self.address.clone(),
            });
        }
        let makes_its_own = layout::makes_databases(outline);
        let names: BTreeSet<&str> = parts.iter().filter_map(layout::Part::database).collect();
        if let Some(named) = &self.named
            && (makes_its_own || super::sections::has_index(&outline.head))
            && !names.iter().eq([named.as_str()].iter())
        {
            return Err(TargetError::Named {
                address: self.address.clone(),
                named: named.clone(),
                dumped: names.iter().copied().map(str::to_owned).collect(),
            });
        }
        accepted.databases = names.iter().copied().map(str::to_owned).collect();
        self.room(names.len(), &mut accepted)?;
        for name in names {
            let dumped = encoding_of(outline, &parts, name);
            if let Found::Postgres(scan) = &outline.found {
                self.keeps_texts(scan, &parts, name)?;
            }
            match self.databases.iter().find(|known| known.name == name) {
                Some(known) if !known.connect => return Err(self.lacks("CONNECT", name)),
                Some(known) if !known.create => return Err(self.lacks("CREATE", name)),
                Some(known) if known.read_only => {
                    return Err(TargetError::ReadOnly {
                        address: self.address.clone(),
                        origin: self.origin.clone(),
                        why: "default_transaction_read_only is on in the database",
                        remedy: "switch it off with ALTER DATABASE … RESET default_transaction_read_only (or ALTER ROLE …, where it is set for the user)",
                    });
                }
                // A template's own database is none that users made.
                _ if name == "template1" => {}
                Some(_) => {}
                None if !self.info.makes_databases => {
                    return Err(TargetError::Right {
                        address: self.address.clone(),
                        user: self.user.clone(),
                        right: "CREATEDB",
                        object: format!("the server, where the database {name:?} is not there yet"),
                        secret: self.secret.clone(),
                    });
                }
                None if makes_its_own => {}
                None => accepted.missing.push(Missing {
                    character_set: dumped.map(str::to_owned),
                    ..Missing::new(name)
                }),
            }
        }
        Ok(accepted)
    }
}

/// The encoding of a database that was dumped.
fn encoding_of<'a>(outline: &'a Outline, parts: &[layout::Part], name: &str) -> Option<&'a str> {
    let Found::Postgres(scan) = &outline.found else {
        return None;
    };
    let mut of_it = parts.iter().filter(|part| part.database() == Some(name));
    of_it.find_map(|part| scan.encoding(part.span))
}

impl PostgresTarget {
    /// Roles, tablespaces and extensions that the dump refers to: all that are missing at once.
    fn has_what_it_needs(&self, scan: &Scan) -> Result<(), TargetError> {
        let there = &self.holdings;
        let missing = |needed: &BTreeSet<String>, sets: [&BTreeSet<String>; 2]| {
            let missing = needed
                .iter()
                .filter(|name| !sets.iter().any(|set| set.contains(*name)));
            missing.cloned().collect::<Vec<_>>()
        };
        let none = BTreeSet::new();
        let roles = missing(&scan.roles, [&there.roles, &scan.made_roles]);
        let tablespaces = missing(
            &scan.tablespaces,
            [&there.tablespaces, &scan.made_tablespaces],
        );
        let extensions = missing(&scan.extensions, [&there.extensions, &none]);
        if roles.is_empty() && tablespaces.is_empty() && extensions.is_empty() {
            return Ok(());
        }
        Err(TargetError::Lacking {
            address: self.address.clone(),
            roles,
            tablespaces,
            extensions,
        })
    }

    /// Texts of a database without an encoding may be anything: no other takes them without
    /// spoiling some.
    fn keeps_texts(
        &self,
        scan: &Scan,
        parts: &[layout::Part],
        name: &str,
    ) -> Result<(), TargetError> {
        let own = parts.iter().filter(|part| part.database() == Some(name));
        let within = |at: u64| {
            let mut own = own.clone();
            own.any(|part| part.span.offset <= at && at < part.span.end)
        };
        let bare = |word: &str| word.eq_ignore_ascii_case("SQL_ASCII");
        // One that is created gets the encoding of the dump.
        let Some(known) = self.databases.iter().find(|known| known.name == name) else {
            return Ok(());
        };
        let here = &known.encoding;
        let mut dumped = scan.encodings.iter();
        let loses = dumped.any(|(at, word)| within(*at) && bare(word));
        match loses && !bare(here) && !here.is_empty() {
            true => Err(TargetError::Encoding {
                address: self.address.clone(),
                database: name.to_owned(),
                dumped: "SQL_ASCII".to_owned(),
                server: here.clone(),
            }),
            false => Ok(()),
        }
    }

    fn tell_roles(&self, scan: &Scan, parts: &[layout::Part], accepted: &mut Accepted) {
        if !parts.iter().any(|part| part.to == To::Server) {
            return;
        }
        accepted.notes.push(
            "the dump holds roles and tablespaces: they are loaded first, and outside of any transaction"
                .to_owned(),
        );
        let kept = layout::kept_roles(scan, parts, &self.holdings.roles);
        if !kept.is_empty() {
            let kept: Vec<String> = kept.into_iter().map(str::to_owned).collect();
            accepted.notes.push(format!(
                "roles that are there already stay as they are: {}",
                quoted(&kept)
            ));
        }
    }

    /// Whether there is room for a connection to each database; fewer at a time is worth knowing.
    fn room(&self, databases: usize, accepted: &mut Accepted) -> Result<(), TargetError> {
        let room = self.holdings.room();
        if room == 0 {
            return Err(TargetError::Connections {
                address: self.address.clone(),
                limit: self.holdings.limit,
                used: self.holdings.used,
            });
        }
        if databases > room {
            accepted.notes.push(format!(
                "the dump holds {databases} databases and the server has room for {room} connections: they are restored {room} at a time, and each of these groups is restored as a whole or not at all"
            ));
        }
        Ok(())
    }

    fn lacks(&self, right: &'static str, database: &str) -> TargetError {
        TargetError::Right {
            address: self.address.clone(),
            user: self.user.clone(),
            right,
            object: format!("the database {database:?}"),
            secret: self.secret.clone(),
        }
    }

    /// Compares the server with the one that was dumped; what is doubtful is returned.
    fn compare(&self, head: &[u8]) -> Result<Option<String>, TargetError> {
        let text = String::from_utf8_lossy(head);
        let dumped = text.lines().find_map(|line| line.strip_prefix(DUMPED_FROM));
        let Some(dumped) = dumped else {
            return Ok(Some(
                "the dump does not name the server that it was created on: versions are not compared"
                    .to_owned(),
            ));
        };
        match number_in(dumped).0 > self.info.major {
            true => Err(TargetError::Older {
                address: self.address.clone(),
                dumped: dumped.chars().take(80).collect(),
                server: self.info.version.clone(),
            }),
            false => Ok(None),
        }
    }
}

/// Looks at the server a dump is to be loaded into.
pub(crate) async fn examine(request: ExamineRequest<'_>) -> Result<Box<dyn Target>, Error> {
    let named = args::parse(Tool::Psql, request.args)?.databases;
    let named = named.into_iter().next();
    let to = request.connection;
    usable(to)?;
    let server = Server::wait(to, request.role, request.wait_timeout).await?;
    let databases = server.databases().await?;
    let holdings = server.holdings().await?;
    let existing = server.existing(to, request.role, &databases).await?;
    let (address, origin) = (to.address(), to.origin.clone());
    if server.info.in_recovery {
        return Err(TargetError::ReadOnly {
            address,
            origin,
            why: "it is a standby, in recovery",
            remedy: "promote it",
        }
        .into());
    }
    if server.info.read_only {
        return Err(TargetError::ReadOnly {
            address,
            origin,
            why: "default_transaction_read_only is on",
            remedy: "switch default_transaction_read_only off for the user",
        }
        .into());
    }
    let is = |name: &&str| find(name, &existing.all, false).is_some();
    let database = match (&named, request.source) {
        (Some(named), _) => Some(named.clone()),
        (None, Some(source)) => Some(selection::place(source, request.role, &existing, false).0),
        // A dump that others made goes where psql would put it.
        (None, None) => match request.role {
            Role::DruidMetadata { linked_db } => {
                Some(selection::place(linked_db, request.role, &existing, false).0)
            }
            Role::Plain => to
                .database
                .clone()
                .or_else(|| Some(to.credentials.user()).filter(is).map(str::to_owned)),
        },
    };
    Ok(Box::new(PostgresTarget {
        database,
        named,
        databases,
        info: server.info.clone(),
        holdings,
        address,
        origin,
        user: to.credentials.user().to_owned(),
        secret: to.secret.clone(),
    }))
}

/// Makes a database, unless it is there.
pub(crate) async fn create_database(
    connection: &Connection,
    database: &Missing,
    wait_timeout: Duration,
) -> Result<(), Error> {
    let server = Server::wait(connection, &Role::Plain, wait_timeout).await?;
    Ok(server.create_database(database).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(version: &str) -> PostgresTarget {
        let database = |name: &str, connect, create| Database {
            name: name.to_owned(),
            connect,
            create,
            encoding: "UTF8".to_owned(),
            read_only: false,
        };
        PostgresTarget {
            database: Some("shop".into()),
            named: None,
            databases: vec![
                database("shop", true, true),
                database("closed", false, false),
                database("read", true, false),
            ],
            info: ServerInfo {
                major: number_in(version).0,
                version: version.to_owned(),
                ..ServerInfo::default()
            },
            holdings: Holdings {
                limit: 97,
                used: 5,
                roles: ["keeper".to_owned()].into(),
                extensions: ["plpgsql".to_owned()].into(),
                ..Holdings::default()
            },
            address: "h:5432".into(),
            origin: "demo/shop".into(),
            user: "keeper".into(),
            secret: "Secret demo/x".into(),
        }
    }

    fn outline(version: &str) -> Outline {
        Outline {
            head: format!(
                "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version {version}\n"
            )
            .into_bytes(),
            ..Outline::default()
        }
    }

    #[test]
    fn a_server_takes_dumps_that_are_not_newer() {
        for (dumped, server, taken) in [
            ("15.18 (Debian)", "15.2", true),
            ("13.1", "17.0", true),
            ("17.2", "15.18 (Debian)", false),
        ] {
            let answer = target(server).accepts(&outline(dumped));
            match taken {
                true => assert_eq!(answer.unwrap().databases, ["shop"]),
                false => assert_eq!(answer.unwrap_err().kind(), "DatabaseIncompatible"),
            }
        }
        let accepted = target("15").accepts(&Outline::default()).unwrap();
        assert_eq!(accepted.notes.len(), 1);
    }

    #[test]
    fn a_right_that_is_missing_is_named_with_its_object() {
        let mut target = target("15");
        for (database, words) in [
            ("closed", "CONNECT on the database \"closed\""),
            ("read", "CREATE on the database \"read\""),
            ("new", "CREATEDB on the server, where the database \"new\""),
        ] {
            target.database = Some(database.into());
            let error = target.accepts(&outline("15.1")).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.to_string().contains("\"keeper\""), "{error}");
        }
        target.info.makes_databases = true;
        let accepted = target.accepts(&outline("15.1")).unwrap();
        assert_eq!(accepted.missing, [Missing::new("new")]);
        target.database = None;
        let error = target.accepts(&outline("15.1")).unwrap_err();
        assert!(error.to_string().contains("parameter args"), "{error}");
    }
}
