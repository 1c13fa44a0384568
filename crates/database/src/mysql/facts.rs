//! What a server says about itself that decides whether a dump can come back: what stands in it,
//! its rules, our rights.

use std::collections::{BTreeMap, BTreeSet};

use super::client::Vendor;
use super::encoding::Encoding;
use super::prepare::{ForeignKey, Standing, Taken};
use super::server::Server;
use super::structure::Claim;
use crate::reach::ServerError;

/// Settings of a session under which everything that once existed can exist again.
const LENIENT: [&str; 2] = [
    "SET SESSION innodb_strict_mode = OFF",
    "SET SESSION sql_require_primary_key = OFF",
];

/// What a restore meets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The foreign keys there are.
    pub(super) keys: Vec<ForeignKey>,
    /// The names of foreign keys, checks and triggers that no other table of their database can
    /// have.
    pub(super) taken: Vec<Taken>,
    /// Whether the server creates no table without a primary key, whatever the session asks for.
    pub(super) forces_key: bool,
    /// Whether triggers and functions need a right that we may lack.
    pub(super) guards_routines: bool,
    /// Our rights on the whole server; none if a role may add others.
    pub(super) rights: Option<BTreeSet<String>>,
    /// Who we are to the server, as `user@host`.
    pub(super) user: String,
    /// The character set of each database.
    pub(super) encodings: BTreeMap<String, Encoding>,
    /// The collations that the server knows.
    pub(super) collations: BTreeSet<String>,
}

impl Facts {
    /// Whether we certainly have none of these rights.
    pub(super) fn lacks(&self, any_of: &[&str]) -> bool {
        let rights = self.rights.as_ref();
        rights.is_some_and(|rights| !any_of.iter().any(|right| rights.contains(*right)))
    }
}

impl Server {
    /// What a restore meets.
    ///
    /// # Errors
    /// If a query fails.
    pub(super) async fn facts(&mut self) -> Result<Facts, ServerError> {
        let keys = self
            .table(
                "list the foreign keys",
                "SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.COLUMN_NAME, c.COLUMN_TYPE, \
                 k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME \
                 FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.COLUMNS c \
                 ON c.TABLE_SCHEMA = k.TABLE_SCHEMA AND c.TABLE_NAME = k.TABLE_NAME AND c.COLUMN_NAME = k.COLUMN_NAME \
                 WHERE k.REFERENCED_TABLE_NAME IS NOT NULL",
            )
            .await?;
        let key = |row: Vec<String>| {
            let [
                database,
                table,
                column,
                type_,
                parent_database,
                parent,
                parent_column,
            ] = <[String; 7]>::try_from(row).ok()?;
            Some(ForeignKey {
                database,
                table,
                column,
                type_,
                parent_database,
                parent,
                parent_column,
            })
        };
        let settings = self
            .table(
                "ask for its settings",
                "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
                 ('innodb_force_primary_key', 'log_bin', 'log_bin_trust_function_creators')",
            )
            .await?;
        let is_on = |name: &str| {
            let found = settings
                .iter()
                .find(|row| row[0].eq_ignore_ascii_case(name));
            found.is_some_and(|row| row[1].eq_ignore_ascii_case("on") || row[1] == "1")
        };
        let (forces_key, log, trusts) = (
            is_on("innodb_force_primary_key"),
            is_on("log_bin"),
            is_on("log_bin_trust_function_creators"),
        );
        let user = self
            .table("ask who we are", "SELECT CURRENT_USER()")
            .await?
            .pop()
            .and_then(|mut row| row.pop())
            .unwrap_or_default();
        let rights = self.rights(&user).await?;
        Ok(Facts {
            keys: keys.into_iter().filter_map(key).collect(),
            taken: self.taken().await?,
            forces_key,
            guards_routines: log && !trusts,
            rights,
            user,
            encodings: self.encodings().await?,
            collations: self.collations().await?,
        })
    }

    async fn taken(&mut self) -> Result<Vec<Taken>, ServerError> {
        let rows = self
            .table(
                "list the constraints and triggers",
                "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_TYPE, CONSTRAINT_NAME \
                 FROM information_schema.TABLE_CONSTRAINTS WHERE CONSTRAINT_TYPE IN ('FOREIGN KEY', 'CHECK') \
                 UNION ALL SELECT TRIGGER_SCHEMA, EVENT_OBJECT_TABLE, 'TRIGGER', TRIGGER_NAME \
                 FROM information_schema.TRIGGERS",
            )
            .await?;
        // With MariaDB, tables share the names of foreign keys until 12.1, and never those of
        // checks.
        let is_maria = self.info.vendor == Vendor::MariaDb;
        let shares_keys = !is_maria || self.info.major < 12;
        let one = |row: Vec<String>| {
            let [database, table, kind, name] = <[String; 4]>::try_from(row).ok()?;
            let claim = match kind.as_str() {
                "FOREIGN KEY" if shares_keys => Claim::ForeignKey,
                "CHECK" if !is_maria => Claim::Check,
                "TRIGGER" => Claim::Trigger,
                _ => return None,
            };
            Some(Taken {
                database,
                table,
                claim,
                name,
            })
        };
        Ok(rows.into_iter().filter_map(one).collect())
    }

    async fn rights(&mut self, user: &str) -> Result<Option<BTreeSet<String>>, ServerError> {
        // Servers without roles do not know the function.
        let roles = self
            .table("ask for our role", "SELECT CURRENT_ROLE()")
            .await;
        let has_role = roles.is_ok_and(|rows| {
            let role = rows.first().and_then(|row| row.first());
            role.is_some_and(|role| !matches!(role.as_str(), "" | "NONE" | "NULL"))
        });
        if has_role {
            return Ok(None);
        }
        let rows = self
            .table(
                "ask for our rights",
                "SELECT GRANTEE, PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES",
            )
            .await?;
        let (name, host) = user.rsplit_once('@').unwrap_or((user, ""));
        let grantee = format!("'{name}'@'{host}'");
        let own = rows.into_iter().filter(|row| row[0] == grantee);
        Ok(Some(own.filter_map(|mut row| row.pop()).collect()))
    }

    /// The character set of a database; none if it is not there.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn encoding(&mut self, name: &str) -> Result<Option<Encoding>, ServerError> {
        let encodings = self.encodings().await?;
        Ok(encodings.get(name).cloned())
    }

    /// The collations that the server knows.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn collations(&mut self) -> Result<BTreeSet<String>, ServerError> {
        let query = "SELECT COLLATION_NAME FROM information_schema.COLLATIONS";
        let rows = self.table("list the collations", query).await?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The character set of each database.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn encodings(&mut self) -> Result<BTreeMap<String, Encoding>, ServerError> {
        let rows = self
            .table(
                "ask for the character sets of the databases",
                "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME \
                 FROM information_schema.SCHEMATA",
            )
            .await?;
        let one = |row: Vec<String>| {
            let [name, character_set, collation] = <[String; 3]>::try_from(row).ok()?;
            Some((name, Encoding::new(&character_set, &collation)?))
        };
        Ok(rows.into_iter().filter_map(one).collect())
    }

    /// The tables, views and sequences in all databases.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn standing(&mut self) -> Result<Vec<Standing>, ServerError> {
        let rows = self
            .table(
                "list the tables",
                "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES \
                 WHERE TABLE_TYPE <> 'SYSTEM VIEW'",
            )
            .await?;
        let one = |row: Vec<String>| {
            let [database, name, kind] = <[String; 3]>::try_from(row).ok()?;
            Some(Standing {
                database,
                name,
                kind,
            })
        };
        Ok(rows.into_iter().filter_map(one).collect())
    }

    /// The settings for a session that loads which this server knows and lets us make.
    pub(super) async fn lenient(&mut self) -> Vec<&'static str> {
        let mut taken = Vec::new();
        for statement in LENIENT {
            if self.takes(statement).await {
                taken.push(statement);
            }
        }
        taken
    }
}
