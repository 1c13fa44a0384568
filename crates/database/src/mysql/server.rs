//! Talking to the server itself: is it there, what is it, which databases does it have.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{
    ClientIdentity, Conn, DriverError, Error as Cause, IoError, OptsBuilder, SslOpts,
};

use super::client::Vendor;
use crate::connection::{Connection, Security};
use crate::reach::{self, Refusal, ServerError};
use crate::selection::Existing;
use crate::target::Missing;

/// Schemas that belong to the server.
const SYSTEM: [&str; 6] = [
    "information_schema",
    "mysql",
    "ndbinfo",
    "performance_schema",
    "sys",
    "#mysql50#lost+found",
];
/// Those of them that hold nothing that could be dumped.
const IN_MEMORY: [&str; 4] = [
    "information_schema",
    "performance_schema",
    "sys",
    "#mysql50#lost+found",
];

/// What a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its version as it says it: `10.11.6-MariaDB-0+deb12u1`.
    pub version: String,
    /// Who made it.
    pub vendor: Vendor,
    /// First number of the version.
    pub major: u32,
    /// Whether it takes `Druid` and `druid` for one database.
    pub folds_case: bool,
}

impl ServerInfo {
    pub(super) fn new(version: String, lower_case_table_names: i64) -> Self {
        let vendor = match version.to_ascii_lowercase().contains("mariadb") {
            true => Vendor::MariaDb,
            false => Vendor::MySql,
        };
        // Old MariaDB servers put "5.5.5-" in front for the sake of old replicas.
        let number = version.strip_prefix("5.5.5-").unwrap_or(&version);
        let major = number
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .unwrap_or(0);
        Self {
            vendor,
            major,
            folds_case: lower_case_table_names != 0,
            version,
        }
    }
}

/// A connection to a server that answers.
pub struct Server {
    conn: Conn,
    address: String,
    /// What it is.
    pub info: ServerInfo,
}

impl Server {
    /// Waits until the server answers `SELECT 1`, at most `timeout`. Only silence is waited for:
    /// wrong credentials fail at once.
    ///
    /// # Errors
    /// [`ServerError::Refused`] or, at the end of the time, [`ServerError::Silent`].
    pub async fn wait(to: &Connection, timeout: Duration) -> Result<Self, ServerError> {
        reach::wait(to, timeout, || async {
            Self::connect(to).await.map_err(|cause| {
                let message = message_of(&cause);
                match cause {
                    cause if is_encryption(&cause) => Refusal::Encryption(message),
                    cause if is_permanent(&cause) => Refusal::Denied(message),
                    _ => Refusal::NotYet(message),
                }
            })
        })
        .await
    }

    async fn connect(to: &Connection) -> Result<Self, Cause> {
        let options = OptsBuilder::default()
            .ip_or_hostname(to.host.clone())
            .tcp_port(to.port)
            .user(Some(to.credentials.user()))
            .pass(Some(to.credentials.password()))
            .prefer_socket(false)
            .ssl_opts(tls_options(to));
        let mut conn = Conn::new(options).await?;
        conn.query_drop("SELECT 1").await?;
        let row: Option<(Vec<u8>, i64)> = conn
            .query_first("SELECT VERSION(), @@lower_case_table_names")
            .await?;
        let (version, folding) = row.unwrap_or_default();
        let version = String::from_utf8_lossy(&version).into_owned();
        Ok(Self {
            conn,
            address: to.address(),
            info: ServerInfo::new(version, folding),
        })
    }

    /// The databases that exist, and which of them hold Druid's metadata.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn databases(&mut self) -> Result<Existing, ServerError> {
        let all = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME";
        let all = self.list("list the databases", all).await?;
        let segments = "SELECT TABLE_SCHEMA FROM information_schema.TABLES \
                        WHERE TABLE_NAME = 'druid_segments' ORDER BY TABLE_SCHEMA";
        let with_segments = self
            .list("look for the table druid_segments", segments)
            .await?;
        let among = |names: &[&str]| {
            let is = |name: &&String| names.iter().any(|own| name.eq_ignore_ascii_case(own));
            all.iter().filter(is).cloned().collect()
        };
        Ok(Existing {
            system: among(&SYSTEM),
            in_memory: among(&IN_MEMORY),
            all,
            with_segments,
        })
    }

    /// The databases with a table or a view in them.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn filled(&mut self) -> Result<Vec<String>, ServerError> {
        let query = "SELECT DISTINCT TABLE_SCHEMA FROM information_schema.TABLES";
        self.list("look for databases with tables", query).await
    }

    /// The variable that says that the server takes no writes, if one does. It counts for users who
    /// may write all the same, too: whoever set it does not want the data to change.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn read_only(&mut self) -> Result<Option<&'static str>, ServerError> {
        // Which of the last two there is, depends on vendor and version.
        let known = [
            "read_only",
            "innodb_read_only",
            "transaction_read_only",
            "tx_read_only",
        ];
        let query = format!(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('{}')",
            known.join("', '")
        );
        let rows = self.table("ask whether it is read-only", &query).await?;
        let is_on = |name: &&str| {
            let mut rows = rows.iter();
            rows.any(|row| {
                let off = row[1] == "0" || row[1].eq_ignore_ascii_case("off");
                row[0].eq_ignore_ascii_case(name) && !off
            })
        };
        Ok(known.into_iter().find(is_on))
    }

    /// The longest statement that it takes, in bytes.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn max_statement(&mut self) -> Result<u64, ServerError> {
        let query = "SELECT CAST(@@global.max_allowed_packet AS CHAR)";
        let values = self.list("ask for max_allowed_packet", query).await?;
        // A proxy may answer otherwise; then nothing is known, and nothing is refused.
        let value = values.first().and_then(|value| value.parse().ok());
        Ok(value.unwrap_or(u64::MAX))
    }

    /// What in `databases` the client of the other vendor dumps in a way that no server takes back,
    /// each with its kind; tables in `ignored` (`database.table`) aside.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn beyond_other_client(
        &mut self,
        databases: &[String],
        ignored: &[&str],
    ) -> Result<Vec<String>, ServerError> {
        let among: Vec<_> = databases.iter().map(|name| quoted(name)).collect();
        let among = match among.is_empty() {
            true => return Ok(Vec::new()),
            false => among.join(", "),
        };
        let query = match self.info.vendor {
            // MariaDB's client writes values for generated columns, and vectors as text.
            Vendor::MySql => format!(
                "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, '\n', COLUMN_NAME, '\n', \
                 IF(DATA_TYPE = 'vector', 'a vector', 'a generated column')) \
                 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN ({among}) \
                 AND (GENERATION_EXPRESSION <> '' OR DATA_TYPE = 'vector') \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
            ),
            // MySQL's client knows neither: it dumps a sequence as a table, and the periods of a
            // row as data.
            Vendor::MariaDb => format!(
                "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, '\n\n', \
                 IF(TABLE_TYPE = 'SEQUENCE', 'a sequence', 'a system-versioned table')) \
                 FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({among}) \
                 AND TABLE_TYPE IN ('SEQUENCE', 'SYSTEM VERSIONED') ORDER BY TABLE_SCHEMA, TABLE_NAME"
            ),
        };
        let found = self
            .list(
                "look for what the other vendor's client cannot dump",
                &query,
            )
            .await?;
        let described = found.iter().filter_map(|line| {
            let mut parts = line.splitn(3, '\n');
            let (table, column, kind) = (parts.next()?, parts.next()?, parts.next()?);
            let dot = if column.is_empty() { "" } else { "." };
            (!ignored.contains(&table)).then(|| format!("{table}{dot}{column} ({kind})"))
        });
        Ok(described.collect())
    }

    /// Whether a table of these databases takes values from a sequence by itself.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn takes_from_sequences(
        &mut self,
        databases: &[String],
    ) -> Result<bool, ServerError> {
        if self.info.vendor != Vendor::MariaDb || databases.is_empty() {
            return Ok(false);
        }
        let query = format!(
            "SELECT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN ({}) \
             AND COLUMN_DEFAULT LIKE '%nextval(%' LIMIT 1",
            among(databases)
        );
        let found = self
            .list("look for defaults from sequences", &query)
            .await?;
        Ok(!found.is_empty())
    }

    /// Whether the server knows a collation.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn has_collation(&mut self, name: &str) -> Result<bool, ServerError> {
        let all = "SELECT COLLATION_NAME FROM information_schema.COLLATIONS";
        let known = self.list("list the collations", all).await?;
        Ok(known.iter().any(|known| known == name))
    }

    /// The columns of databases that are of a type, as `information_schema.COLUMNS` names it.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn columns_of_type(
        &mut self,
        databases: &[String],
        type_: &str,
    ) -> Result<Vec<String>, ServerError> {
        let query = format!(
            "SELECT CONCAT(c.TABLE_SCHEMA, '.', c.TABLE_NAME, '.', c.COLUMN_NAME) FROM information_schema.COLUMNS c \
             JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME \
             WHERE c.TABLE_SCHEMA IN ({}) AND c.DATA_TYPE = {} AND t.TABLE_TYPE <> 'VIEW' ORDER BY 1",
            among(databases),
            quoted(type_)
        );
        self.list("look for columns that are not dumped exactly", &query)
            .await
    }

    /// The tables of databases whose engine has no transactions, or has its rows elsewhere, each
    /// with it.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn unusual_tables(
        &mut self,
        databases: &[String],
    ) -> Result<Vec<(String, String)>, ServerError> {
        let query = format!(
            "SELECT CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME), t.ENGINE FROM information_schema.TABLES t \
             JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE WHERE t.TABLE_SCHEMA IN ({}) \
             AND t.TABLE_TYPE = 'BASE TABLE' AND t.ENGINE NOT IN ('BLACKHOLE', 'MRG_MYISAM') \
             AND t.TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') \
             AND (e.TRANSACTIONS = 'NO' OR t.ENGINE = 'FEDERATED') ORDER BY 1",
            among(databases)
        );
        let rows = self.table("look for their engines", &query).await?;
        let rows = rows
            .into_iter()
            .filter_map(|row| <[String; 2]>::try_from(row).ok().map(Into::into));
        Ok(rows.collect())
    }

    /// The system-versioned tables of databases of MariaDB, and whether they keep their history by
    /// transactions.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn versioned(
        &mut self,
        databases: &[String],
    ) -> Result<Vec<(String, bool)>, ServerError> {
        let query = format!(
            "SELECT CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME), COALESCE(MAX(c.DATA_TYPE = 'bigint'), 0) \
             FROM information_schema.TABLES t LEFT JOIN information_schema.COLUMNS c \
             ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME AND c.GENERATION_EXPRESSION = 'ROW START' \
             WHERE t.TABLE_TYPE = 'SYSTEM VERSIONED' AND t.TABLE_SCHEMA IN ({}) GROUP BY 1 ORDER BY 1",
            among(databases)
        );
        let rows = self
            .table("look for system-versioned tables", &query)
            .await?;
        let rows = rows.into_iter().filter_map(|row| {
            let [name, by_transaction] = <[String; 2]>::try_from(row).ok()?;
            Some((name, by_transaction == "1"))
        });
        Ok(rows.collect())
    }

    /// Whether a database has a table (and no view) of that name with such a column.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn has_column(
        &mut self,
        database: &str,
        table: &str,
        column: &str,
    ) -> Result<bool, ServerError> {
        let query = format!(
            "SELECT c.COLUMN_NAME FROM information_schema.TABLES t JOIN information_schema.COLUMNS c \
             ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME WHERE t.TABLE_SCHEMA = {} \
             AND t.TABLE_NAME = {} AND c.COLUMN_NAME = {} AND t.TABLE_TYPE = 'BASE TABLE'",
            quoted(database),
            quoted(table),
            quoted(column)
        );
        Ok(!self.list("look for a table", &query).await?.is_empty())
    }

    /// The statement that creates a table, with names in backquotes.
    ///
    /// # Errors
    /// If a query fails.
    pub(super) async fn definition(
        &mut self,
        database: &str,
        table: &str,
    ) -> Result<String, ServerError> {
        let what = "read how a table is defined";
        self.list(what, "SET sql_mode = '', sql_quote_show_create = 1")
            .await?;
        let (database, table) = (database.replace('`', "``"), table.replace('`', "``"));
        let query = format!("SHOW CREATE TABLE `{database}`.`{table}`");
        let rows = self.table(what, &query).await?;
        let text = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().nth(1));
        Ok(text.unwrap_or_default())
    }

    /// Creates a database, unless it is there.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn create_database(&mut self, database: &Missing) -> Result<(), ServerError> {
        let name = database.name.replace('`', "``");
        let mut statement = format!("CREATE DATABASE IF NOT EXISTS `{name}`");
        // Names that the server itself has given.
        for (word, value) in [
            (" CHARACTER SET ", &database.character_set),
            (" COLLATE ", &database.collation),
        ] {
            if let Some(value) = value {
                statement.push_str(word);
                statement.push_str(value);
            }
        }
        self.conn
            .query_drop(statement)
            .await
            .map_err(|cause| self.failed("create the database", &cause))
    }

    fn failed(&self, what: &'static str, cause: &Cause) -> ServerError {
        ServerError::Query {
            what,
            address: self.address.clone(),
            message: message_of(cause),
            permanent: is_permanent(cause),
        }
    }

    async fn list(&mut self, what: &'static str, query: &str) -> Result<Vec<String>, ServerError> {
        // Bytes, not text: a conversion that fails would be a panic inside the driver.
        let names: Vec<Vec<u8>> = self
            .conn
            .query(query)
            .await
            .map_err(|cause| self.failed(what, &cause))?;
        Ok(names
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect())
    }

    /// All rows of a query as text; NULL is `NULL`.
    pub(super) async fn table(
        &mut self,
        what: &'static str,
        query: &str,
    ) -> Result<Vec<Vec<String>>, ServerError> {
        let rows: Vec<mysql_async::Row> = self
            .conn
            .query(query)
            .await
            .map_err(|cause| self.failed(what, &cause))?;
        let text = |value: mysql_async::Value| match value {
            mysql_async::Value::NULL => "NULL".to_owned(),
            mysql_async::Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            other => other.as_sql(true),
        };
        Ok(rows
            .into_iter()
            .map(|row| row.unwrap().into_iter().map(text).collect())
            .collect())
    }

    /// Whether the server takes a statement.
    pub(super) async fn takes(&mut self, statement: &str) -> bool {
        self.conn.query_drop(statement).await.is_ok()
    }

    /// Says goodbye.
    pub async fn close(self) {
        // The server notices a closed connection as well.
        let _ = self.conn.disconnect().await;
    }
}

/// Names as the inside of `IN (…)`.
fn among(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    names.join(", ")
}

/// A name as a string literal, whatever the server's modes say about backslashes.
fn quoted(name: &str) -> String {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("CONVERT(X'{hex}' USING utf8mb4)")
}

/// The driver cannot check the authority alone, so the name counts also where only that was
/// demanded.
fn tls_options(to: &Connection) -> Option<SslOpts> {
    let security = to.security();
    let tls = to.tls.as_ref()?;
    if matches!(security, Security::Plain | Security::Negotiated) {
        return None;
    }
    let mut options =
        SslOpts::default().with_danger_accept_invalid_certs(security == Security::Encrypted);
    if !tls.ca_bundle.is_empty() {
        options = options
            .with_root_certs(vec![tls.ca_bundle.clone().into()])
            .with_disable_built_in_roots(true);
    }
    if let Some(name) = &tls.server_name {
        options = options.with_danger_tls_hostname_override(Some(name.clone()));
    }
    let identity = tls.identity.as_ref().map(|identity| {
        ClientIdentity::new(
            identity.certificate.clone().into(),
            identity.key.to_vec().into(),
        )
    });
    Some(options.with_client_identity(identity))
}

/// Codes of the server that mean "not like this", however often one tries.
pub(crate) fn is_permanent_code(code: u16) -> bool {
    matches!(
        code,
        1044 | 1045 | 1049 // access denied to a database, to a user; unknown database
        | 1130 | 1142 | 1143 | 1227 // host, table, column or privilege not allowed
        | 1251 | 1275 | 1524 | 1698 // ways to log in
        | 1820 | 1862 | 3118 | 3159 | 4151 // expired, locked, insecure transport
        | 1064 | 1109 | 1146 | 1356 // syntax; a table or view that is not there or is broken
    )
}

fn is_encryption(cause: &Cause) -> bool {
    match cause {
        Cause::Io(IoError::Tls(_)) | Cause::Driver(DriverError::NoClientSslFlagFromServer) => true,
        // What rustls says about a certificate; a connection that broke is of another kind.
        Cause::Io(IoError::Io(error)) => error.kind() == std::io::ErrorKind::InvalidData,
        Cause::Server(error) => error.code == 3159,
        _ => false,
    }
}

fn is_permanent(cause: &Cause) -> bool {
    match cause {
        Cause::Server(error) => is_permanent_code(error.code),
        Cause::Driver(error) => matches!(
            error,
            DriverError::UnknownAuthPlugin { .. } | DriverError::CleartextPluginDisabled
        ),
        _ => false,
    }
}

/// What went wrong, in the server's words.
fn message_of(cause: &Cause) -> String {
    match cause {
        Cause::Server(error) => format!("{} (code {})", error.message, error.code),
        Cause::Io(IoError::Io(error)) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_vendors_are_told_apart() {
        let cases = [
            ("10.11.6-MariaDB-0+deb12u1", Vendor::MariaDb, 10),
            ("5.5.5-10.4.32-MariaDB-log", Vendor::MariaDb, 10),
            ("8.0.36", Vendor::MySql, 8),
            ("5.7.44-log", Vendor::MySql, 5),
            ("9.0.1-1", Vendor::MySql, 9),
        ];
        for (version, vendor, major) in cases {
            let info = ServerInfo::new(version.to_owned(), 0);
            assert_eq!((info.vendor, info.major), (vendor, major), "{version}");
        }
    }
}
