//! A server of either vendor, for what both have to do alike.
#![allow(dead_code, unreachable_pub)] // Each test binary uses a part of it.

use kubestash_database::Connection;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

use super::oracle::{OracleMySql, Version};
use super::{MariaDb, rows_of};

/// A running server.
pub enum Server {
    Maria(MariaDb),
    MySql(OracleMySql),
}

impl Server {
    /// One of each vendor.
    pub async fn both() -> [Self; 2] {
        [
            Self::Maria(MariaDb::start().await),
            Self::MySql(OracleMySql::start().await),
        ]
    }

    /// One of each vendor and version that is installed.
    pub async fn all() -> Vec<Self> {
        let mut all = vec![Self::Maria(MariaDb::start().await)];
        for version in Version::installed() {
            all.push(Self::MySql(OracleMySql::of(version).await));
        }
        all
    }

    /// One of each, with room for rows of many megabytes.
    pub async fn both_roomy() -> [Self; 2] {
        let mut maria = MariaDb::start().await;
        maria.kill();
        // No care for power cuts.
        let options = [
            "--max-allowed-packet=1G",
            "--innodb-buffer-pool-size=512M",
            "--innodb-log-file-size=256M",
            "--innodb-flush-log-at-trx-commit=0",
            "--skip-innodb-doublewrite",
            "--innodb-flush-method=nosync",
        ];
        maria.boot_with(&options.map(str::to_owned)).await;
        let mysql = OracleMySql::start_with(&[
            "--max-allowed-packet=1G",
            "--innodb-buffer-pool-size=512M",
            "--innodb-redo-log-capacity=2G",
            "--innodb-flush-log-at-trx-commit=0",
            "--skip-innodb-doublewrite",
            "--disable-log-bin",
            "--innodb-flush-method=nosync",
        ]);
        [Self::Maria(maria), Self::MySql(mysql.await)]
    }

    /// A second one of the same vendor and version.
    pub async fn another(&self) -> Self {
        match self {
            Self::Maria(_) => Self::Maria(MariaDb::start().await),
            Self::MySql(server) => Self::MySql(OracleMySql::of(server.version).await),
        }
    }

    fn options(&self) -> OptsBuilder {
        match self {
            Self::Maria(server) => server.options(),
            Self::MySql(server) => server.options(),
        }
    }

    /// A connection for the code under test.
    pub fn connection(&self) -> Connection {
        match self {
            Self::Maria(server) => server.connection(),
            Self::MySql(server) => server.connection(),
        }
    }

    /// Runs statements one by one.
    pub async fn run(&self, statements: &[&str]) {
        match self {
            Self::Maria(server) => server.run(statements).await,
            Self::MySql(server) => server.run(statements).await,
        }
    }

    /// The first column of a query.
    pub async fn column(&self, query: &str) -> Vec<String> {
        let rows = self.rows(query).await;
        rows.into_iter().map(|row| row[0].clone()).collect()
    }

    /// All columns of a query as text.
    pub async fn rows(&self, query: &str) -> Vec<Vec<String>> {
        let mut conn = Conn::new(self.options()).await.unwrap();
        rows_of(&mut conn, query).await
    }

    /// The same with a current database.
    pub async fn in_database(&self, database: &str, query: &str) -> Vec<Vec<String>> {
        let options = self.options().db_name(Some(database));
        let mut conn = Conn::new(options).await.unwrap();
        rows_of(&mut conn, query).await
    }

    /// A connection whose transaction has read a table, which therefore cannot be dropped.
    pub async fn hold(&self, table: &str) -> Conn {
        let mut conn = Conn::new(self.options()).await.unwrap();
        conn.query_drop("BEGIN").await.unwrap();
        let read = format!("SELECT COUNT(*) FROM {table}");
        conn.query_drop(read).await.unwrap();
        conn
    }

    /// Makes a Druid metadata database with a few rows in every table, and one blob with every
    /// byte.
    pub async fn fill_druid(&self, database: &str, segments: usize) {
        let statements = super::druid_statements(database, segments);
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.run(&statements).await;
    }
}

/// A table `numbers` with the column `seq`: from one to `count`, which has at most six digits.
pub fn numbers(count: usize) -> String {
    let digit = "(SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 \
                 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    let places = ["a", "b", "c", "d", "e", "f"];
    // No more than are needed: the server makes all combinations.
    let needed = count.saturating_sub(1).to_string().len();
    let places = &places[..needed];
    let value: Vec<String> = places
        .iter()
        .enumerate()
        .map(|(at, place)| format!("{place}.n * {}", 10_usize.pow(u32::try_from(at).unwrap())))
        .collect();
    let from: Vec<String> = places
        .iter()
        .map(|place| format!("{digit} {place}"))
        .collect();
    format!(
        "(SELECT 1 + {} AS seq FROM {} HAVING seq <= {count}) numbers",
        value.join(" + "),
        from.join(" JOIN ")
    )
}
