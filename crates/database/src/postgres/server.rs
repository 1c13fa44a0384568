//! Talking to the server itself: is it there, what is it, which databases does it have.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Error as Cause, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{client, identifier, literal, tls};
use crate::connection::{Connection, Security};
use crate::family::Role;
use crate::reach::{self, Refusal, ServerError};
use crate::selection::{DRUID, Existing};
use crate::target::Missing;

/// Databases of those who run a server: nothing of a user's is in them.
const OPERATORS: [&str; 5] = [
    "kubedb_system",
    "rdsadmin",
    "cloudsqladmin",
    "azure_maintenance",
    "azure_sys",
];
/// The databases that can be connected to, and what the user may in each. What is set for a role in
/// a database counts before what is set for the role, that before what is set for the database, and
/// that before what the server was started with.
const DATABASES: &str = r"
SELECT d.datname, has_database_privilege(d.oid, 'CONNECT'), has_database_privilege(d.oid, 'CREATE'),
       pg_encoding_to_char(d.encoding),
       coalesce((SELECT split_part(one, '=', 2)
                   FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) one, pg_catalog.pg_roles r
                  WHERE r.rolname = current_user AND s.setdatabase IN (0, d.oid) AND s.setrole IN (0, r.oid)
                    AND one LIKE 'default\_transaction\_read\_only=%'
                  ORDER BY s.setrole <> 0 AND s.setdatabase <> 0 DESC, s.setrole <> 0 DESC LIMIT 1),
                (SELECT setting FROM pg_catalog.pg_settings
                  WHERE name = 'default_transaction_read_only' AND source NOT LIKE '%database%' AND source <> 'user'),
                'off')::boolean
  FROM pg_catalog.pg_database d WHERE d.datallowconn AND NOT d.datistemplate ORDER BY d.datname";

/// Databases that are usually there, to connect to.
const USUAL: [&str; 2] = ["postgres", "template1"];

/// What a server is, and what its user may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// Its version as it says it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub(super) version: String,
    /// First number of the version.
    pub(super) major: u32,
    /// Whether it follows another one.
    pub(super) in_recovery: bool,
    /// Whether transactions cannot write unless they say that they want to, whatever the database.
    pub(super) read_only: bool,
    /// The encoding of databases that it makes.
    pub(super) encoding: String,
    /// Whether the user may do everything.
    pub(super) superuser: bool,
    /// Whether the user may make databases.
    pub(super) makes_databases: bool,
}

/// A database, as far as the user may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Database {
    /// Its name.
    pub(super) name: String,
    /// Whether the user may connect to it.
    pub(super) connect: bool,
    /// The encoding of its texts.
    pub(super) encoding: String,
    /// Whether the user may make schemas in it.
    pub(super) create: bool,
    /// Whether transactions of the user cannot write in it unless they say that they want to.
    pub(super) read_only: bool,
}

/// What a server has that dumps refer to, and how many connections it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holdings {
    /// Its roles.
    pub(super) roles: BTreeSet<String>,
    /// Its tablespaces.
    pub(super) tablespaces: BTreeSet<String>,
    /// The extensions that can be created.
    pub(super) extensions: BTreeSet<String>,
    /// How many connections of users it takes, and of this one.
    pub(super) limit: u64,
    /// How many there are.
    pub(super) used: u64,
}

/// Connections that a restore needs besides one for each database: to look at the server, and for
/// its roles.
const SPARE: u64 = 2;

impl Holdings {
    /// Connections that a restore may keep open at a time. A quarter of what is free is left to
    /// others.
    pub(super) fn room(&self) -> usize {
        let free = self.limit.saturating_sub(self.used);
        let room = (free * 3 / 4).max(1).min(free.saturating_sub(SPARE));
        usize::try_from(room).unwrap_or(usize::MAX)
    }
}

/// A connection to a server that answers.
pub(super) struct Server {
    client: Client,
    address: String,
    /// The database it is connected to.
    pub(super) database: String,
    /// What it is.
    pub(super) info: ServerInfo,
}

impl Server {
    /// Waits until the server answers, at most `timeout`. Only silence is waited for: wrong
    /// credentials fail at once. Connects to the first that lets us in of: the address's
    /// database, the ones that are usually there, the role's, the user's.
    ///
    /// # Errors
    /// [`ServerError`].
    pub(super) async fn wait(
        to: &Connection,
        role: &Role,
        timeout: Duration,
    ) -> Result<Self, ServerError> {
        let mut databases: Vec<&str> = to.database.as_deref().into_iter().collect();
        databases.extend(USUAL);
        if let Role::DruidMetadata { linked_db } = role {
            databases.extend([linked_db.as_str(), DRUID]);
        }
        databases.push(to.credentials.user());
        reach::wait(to, timeout, || Self::connect_to_any(to, &databases)).await
    }

    /// Connects to one database of a server that has answered before.
    ///
    /// # Errors
    /// [`ServerError`].
    pub(super) async fn another(to: &Connection, database: &str) -> Result<Self, ServerError> {
        let databases = [database];
        let timeout = Duration::from_secs(30);
        reach::wait(to, timeout, || Self::connect_to_any(to, &databases)).await
    }

    async fn connect_to_any(to: &Connection, databases: &[&str]) -> Result<Self, Refusal> {
        let mut refused = None;
        for database in databases {
            match Self::connect(to, database).await {
                Err(Attempt::Database(message)) => {
                    refused.get_or_insert(message);
                }
                Err(Attempt::Server(refusal)) => return Err(refusal),
                Ok(server) => return Ok(server),
            }
        }
        let message = refused.unwrap_or_default();
        Err(Refusal::Denied(format!(
            "{message} (looked for one to connect to: {}; name another in the path of spec.clientConfig.url)",
            databases.join(", ")
        )))
    }

    async fn connect(to: &Connection, database: &str) -> Result<Self, Attempt> {
        let security = to.security();
        let config =
            tls::config(to).map_err(|error| Attempt::Server(Refusal::Encryption(error)))?;
        let mut maker = MakeRustlsConnect::new(config);
        let tls = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::make_tls_connect(
            &mut maker,
            to.expected_name(),
        )
        .map_err(|error| Attempt::Server(Refusal::Encryption(error.to_string())))?;
        let later = |error: std::io::Error| Attempt::Server(Refusal::NotYet(error.to_string()));
        let stream = TcpStream::connect((to.host.as_str(), to.port))
            .await
            .map_err(later)?;
        let mut options = Config::new();
        options
            .user(to.credentials.user())
            .dbname(database)
            .application_name("kubestash")
            .ssl_mode(match security {
                Security::Plain => SslMode::Disable,
                Security::Negotiated => SslMode::Prefer,
                Security::Encrypted | Security::Authority | Security::Host => SslMode::Require,
            });
        if !to.credentials.password().is_empty() {
            options.password(to.credentials.password());
        }
        let (client, connection) = options
            .connect_raw(stream, tls)
            .await
            .map_err(|cause| attempt(&cause))?;
        // It ends with the client; what goes wrong with it, the client's next query says.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut server = Self {
            client,
            address: to.address(),
            database: database.to_owned(),
            info: ServerInfo::default(),
        };
        server.info = server.ask_info().await.map_err(|cause| attempt(&cause))?;
        Ok(server)
    }

    async fn ask_info(&self) -> Result<ServerInfo, Cause> {
        // The user's own entry in pg_roles is always there.
        let rows = self
            .rows(
                "SELECT current_setting('server_version'), pg_is_in_recovery(), \
                 (SELECT setting = 'on' AND source NOT LIKE '%database%' \
                  FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only'), rolsuper OR rolcreatedb, rolsuper, \
                 (SELECT pg_encoding_to_char(encoding) FROM pg_catalog.pg_database WHERE datname = 'template0') \
                 FROM pg_catalog.pg_roles WHERE rolname = current_user",
            )
            .await?;
        let text = |at: usize| {
            let row = rows.first();
            row.and_then(|row| row.get(at))
                .unwrap_or_default()
                .to_owned()
        };
        let version = text(0);
        Ok(ServerInfo {
            major: client::number_in(&version).0,
            version,
            in_recovery: text(1) == "t",
            read_only: text(2) == "t",
            makes_databases: text(3) == "t",
            superuser: text(4) == "t",
            encoding: text(5),
        })
    }

    /// The databases that exist and can be connected to by somebody, without templates.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn databases(&self) -> Result<Vec<Database>, ServerError> {
        let rows = self
            .rows(DATABASES)
            .await
            .map_err(|cause| self.failed("list the databases", &cause))?;
        Ok(rows
            .iter()
            .map(|row| Database {
                name: row.get(0).unwrap_or_default().to_owned(),
                connect: row.get(1) == Some("t"),
                create: row.get(2) == Some("t"),
                encoding: row.get(3).unwrap_or_default().to_owned(),
                read_only: row.get(4) == Some("t"),
            })
            .collect())
    }

    /// What dumps may refer to, and how many connections are free.
    ///
    /// # Errors
    /// If a query fails.
    pub(super) async fn holdings(&self) -> Result<Holdings, ServerError> {
        let names = async |query: &str| {
            let rows = self.rows(query).await;
            let rows = rows.map_err(|cause| self.failed("list what dumps refer to", &cause))?;
            let names = rows.iter().filter_map(|row| row.get(0));
            Ok::<_, ServerError>(names.map(str::to_owned).collect::<BTreeSet<_>>())
        };
        // A limit of the role counts only its own; those of others in the same role are not told
        // apart.
        let connections = self
            .rows(
                "SELECT current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8 \
                 - coalesce(current_setting('reserved_connections', true), '0')::int8, \
                 (SELECT sum(numbackends) FROM pg_catalog.pg_stat_database), rolconnlimit, \
                 (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = current_user) \
                 FROM pg_catalog.pg_roles WHERE rolname = current_user",
            )
            .await
            .map_err(|cause| self.failed("count its connections", &cause))?;
        let number = |at: usize| {
            let row = connections.first();
            let text = row.and_then(|row| row.get(at)).unwrap_or_default();
            text.parse::<i64>().unwrap_or(-1)
        };
        let (limit, used, own_limit, own) = (number(0), number(1), number(2), number(3));
        let (limit, used) = match own_limit >= 0 && own_limit - own < limit - used {
            true => (own_limit, own),
            false => (limit, used),
        };
        let positive = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(Holdings {
            roles: names("SELECT rolname FROM pg_catalog.pg_roles").await?,
            tablespaces: names("SELECT spcname FROM pg_catalog.pg_tablespace").await?,
            extensions: names("SELECT name FROM pg_catalog.pg_available_extensions").await?,
            limit: positive(limit),
            used: positive(used),
        })
    }

    /// Ends the sessions of an earlier restore of ours that was killed, and with them what they
    /// hold; returns how many there were. `name` is what they called themselves.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn end_sessions(&self, name: &str) -> Result<usize, ServerError> {
        let query = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
             WHERE application_name = {} AND usename = current_user AND pid <> pg_catalog.pg_backend_pid()",
            literal(name)
        );
        let rows = self.rows(&query).await;
        let rows = rows.map_err(|cause| self.failed("end what a killed restore left", &cause))?;
        Ok(rows.len())
    }

    /// Whether the server can notice that a client is gone while it is at work for it.
    pub(super) async fn checks_clients(&self) -> bool {
        // Not every version knows it, and not every system can do it.
        let tried = "SET client_connection_check_interval = '10s'";
        self.info.major >= 14 && self.client.batch_execute(tried).await.is_ok()
    }

    /// How a transaction ended, in the server's word: `committed`, `aborted` or `in progress`; none
    /// if it does not know.
    ///
    /// # Errors
    /// If the server does not answer.
    pub(super) async fn ended(
        to: &Connection,
        database: &str,
        transaction: u64,
    ) -> Result<Option<String>, ServerError> {
        let server = Self::another(to, database).await?;
        let query = format!("SELECT pg_catalog.txid_status({transaction})");
        let rows = server.rows(&query).await;
        let rows = rows.map_err(|cause| server.failed("ask for a transaction", &cause))?;
        let word = rows.first().and_then(|row| row.get(0));
        Ok(word.map(str::to_owned))
    }

    /// Those of these sessions that wait for their client, each with the time at which its state
    /// changed last.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn waiting(&self, pids: &[u32]) -> Result<Vec<(u32, String)>, ServerError> {
        let pids = pids.iter().map(u32::to_string).collect::<Vec<_>>();
        let query = format!(
            "SELECT pid, state_change FROM pg_catalog.pg_stat_activity \
             WHERE wait_event_type = 'Client' AND pid IN ({})",
            pids.join(", ")
        );
        let rows = self.rows(&query).await;
        let rows = rows.map_err(|cause| self.failed("look at the sessions", &cause))?;
        let row = |row: &SimpleQueryRow| {
            let pid = row.get(0)?.parse().ok()?;
            Some((pid, row.get(1).unwrap_or_default().to_owned()))
        };
        Ok(rows.iter().filter_map(row).collect())
    }

    /// The databases, as a selection needs them. Where Druid's tables are is only looked for where
    /// they may be.
    ///
    /// # Errors
    /// If a database does not let us in, or a query fails.
    pub(super) async fn existing(
        &self,
        to: &Connection,
        role: &Role,
        databases: &[Database],
    ) -> Result<Existing, ServerError> {
        let mut with_segments = Vec::new();
        if let Role::DruidMetadata { linked_db } = role {
            let places = [linked_db.as_str(), DRUID];
            let looked_at = databases
                .iter()
                .filter(|database| database.connect && places.contains(&database.name.as_str()));
            for database in looked_at {
                let server = Self::another(to, &database.name).await?;
                if server.has_segments().await? {
                    with_segments.push(database.name.clone());
                }
            }
        }
        let names = |wanted: &dyn Fn(&Database) -> bool| {
            let found = databases.iter().filter(|database| wanted(database));
            found.map(|database| database.name.clone()).collect()
        };
        let operators = |database: &Database| OPERATORS.contains(&database.name.as_str());
        Ok(Existing {
            all: names(&|_| true),
            with_segments,
            system: names(&operators),
            in_memory: names(&|database| operators(database) && !database.connect),
        })
    }

    async fn has_segments(&self) -> Result<bool, ServerError> {
        let rows = self
            .rows(
                "SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'druid_segments' AND relkind IN ('r', 'p') LIMIT 1",
            )
            .await
            .map_err(|cause| self.failed("look for the table druid_segments", &cause))?;
        Ok(!rows.is_empty())
    }

    /// Makes a database with the server's own defaults, unless it is there.
    ///
    /// # Errors
    /// If the server refuses.
    pub(super) async fn create_database(&self, database: &Missing) -> Result<(), ServerError> {
        // A dump holds everything that a database of a user has in addition to the bare template.
        let name = identifier(&database.name);
        let mut statement = format!("CREATE DATABASE {name} TEMPLATE template0");
        let query = "SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database WHERE datname = 'template0'";
        let rows = self.rows(query).await;
        let rows =
            rows.map_err(|cause| self.failed("ask for the encoding of template0", &cause))?;
        let default = rows.first().and_then(|row| row.get(0));
        if let Some(encoding) = database.character_set.as_deref()
            && default != Some(encoding)
        {
            // The locale of the template is one of its own encoding; this one fits all.
            statement.push_str(&format!(
                " ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
            ));
        }
        match self.client.batch_execute(&statement).await {
            Err(cause) if cause.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
            result => result.map_err(|cause| self.failed("create the database", &cause)),
        }
    }

    fn failed(&self, what: &'static str, cause: &Cause) -> ServerError {
        ServerError::Query {
            what,
            address: self.address.clone(),
            message: message_of(cause),
            permanent: cause.code().is_some_and(|code| {
                // Syntax, rights, names; not resources, not a server that goes down.
                code.code().starts_with("42") || code.code().starts_with("28")
            }),
        }
    }

    /// The rows of a query, as text: what is asked is the same for every server and pooler.
    /// These columns of the rows of a query; NULL is an empty text.
    ///
    /// # Errors
    /// If the query fails; `what` it is for.
    pub(super) async fn table(
        &self,
        what: &'static str,
        query: &str,
        columns: &[usize],
    ) -> Result<Vec<Vec<String>>, ServerError> {
        let rows = self.rows(query).await;
        let rows = rows.map_err(|cause| self.failed(what, &cause))?;
        let text = |row: &SimpleQueryRow, at: usize| row.get(at).unwrap_or_default().to_owned();
        let columns = |row| columns.iter().map(|at| text(row, *at)).collect();
        Ok(rows.iter().map(columns).collect())
    }

    /// What `COPY … TO STDOUT` gives, in the encoding of the database, as `pg_dump` writes it.
    ///
    /// # Errors
    /// If the server refuses; `what` it is for.
    pub(super) async fn copied(
        &self,
        what: &'static str,
        statement: &str,
    ) -> Result<Bytes, ServerError> {
        let failed = |cause: Cause| self.failed(what, &cause);
        let settings = "SELECT pg_catalog.set_config('client_encoding', pg_catalog.getdatabaseencoding(), false), \
                        pg_catalog.set_config('bytea_output', 'hex', false)";
        self.client.batch_execute(settings).await.map_err(failed)?;
        let stream = self.client.copy_out(statement).await.map_err(failed)?;
        let pieces: Vec<Bytes> = stream.try_collect().await.map_err(failed)?;
        Ok(pieces.concat().into())
    }

    async fn rows(&self, query: &str) -> Result<Vec<SimpleQueryRow>, Cause> {
        let messages = self.client.simple_query(query).await?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .collect())
    }
}

/// Why an attempt to connect to one database failed.
enum Attempt {
    /// Another database may let us in.
    Database(String),
    /// No other one would either.
    Server(Refusal),
}

fn attempt(cause: &Cause) -> Attempt {
    let message = message_of(cause);
    if let Some(error) = cause.as_db_error() {
        let code = error.code();
        let insecure = ["no encryption", "SSL off", "valid client certificate"]
            .iter()
            .any(|words| message.contains(words));
        return match code.code() {
            // No such database; no right to connect to it.
            "3D000" | "42501" => Attempt::Database(message),
            "28000" if insecure => Attempt::Server(Refusal::Encryption(message)),
            code if code.starts_with("28") => Attempt::Server(Refusal::Denied(message)),
            _ => Attempt::Server(Refusal::NotYet(message)),
        };
    }
    let text = cause.to_string();
    let handshake = text.starts_with("error performing TLS handshake");
    let authentication =
        text.starts_with("authentication error") || text.starts_with("invalid configuration");
    Attempt::Server(match inner_io(cause) {
        // What rustls says about a certificate; a connection that broke is of another kind.
        Some(kind) if handshake && kind != std::io::ErrorKind::InvalidData => {
            Refusal::NotYet(message)
        }
        _ if handshake => Refusal::Encryption(message),
        _ if authentication => Refusal::Denied(message),
        _ => Refusal::NotYet(message),
    })
}

fn inner_io(cause: &Cause) -> Option<std::io::ErrorKind> {
    let source = std::error::Error::source(cause)?;
    source
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind)
}

/// What went wrong, in the server's words.
fn message_of(cause: &Cause) -> String {
    match cause.as_db_error() {
        Some(error) => format!("{} (code {})", error.message(), error.code().code()),
        None => match std::error::Error::source(cause) {
            Some(source) => format!("{cause}: {source}"),
            None => cause.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_leaves_connections_to_others_and_knows_when_there_is_none() {
        // The first is a server as it is installed.
        for (limit, used, room) in [
            (97, 1, 72),
            (97, 90, 5),
            (97, 93, 2),
            (97, 94, 1),
            (97, 95, 0),
            (5, 9, 0),
        ] {
            let holdings = Holdings {
                limit,
                used,
                ..Holdings::default()
            };
            assert_eq!(holdings.room(), room, "{used} of {limit}");
        }
    }

    #[test]
    fn a_text_stays_one_text() {
        assert_eq!(literal("a'b\\c"), "E'a''b\\\\c'");
    }
}
