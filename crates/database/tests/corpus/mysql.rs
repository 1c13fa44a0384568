//! MariaDB and Oracle's MySQL: the same schemas, and what only one of them has.

use kubestash_database::Connection;

use crate::migrations::{Migration, judge, migrations, same, statements};
use crate::round_trip::{dump, load};
use crate::support::MariaDb;
use crate::support::oracle::OracleMySql;

/// A schema, in the database `shop`, and what happens to it.
struct Schema {
    name: &'static str,
    objects: &'static [&'static str],
    migrations: &'static [&'static str],
}

/// A server of either vendor.
enum Server {
    Maria(MariaDb),
    MySql(OracleMySql),
}

impl Server {
    async fn another(&self) -> Self {
        match self {
            Self::Maria(_) => Self::Maria(MariaDb::start().await),
            Self::MySql(_) => Self::MySql(OracleMySql::start().await),
        }
    }

    /// Runs the statements of a text in one session, in the database unless they make it.
    async fn run(&self, text: &str, inside: bool) {
        let mut all = match inside {
            true => vec!["USE shop"],
            false => Vec::new(),
        };
        all.extend(statements(text));
        match self {
            Self::Maria(server) => server.run(&all).await,
            Self::MySql(server) => server.run(&all).await,
        }
    }

    async fn rows(&self, query: &str) -> Vec<Vec<String>> {
        match self {
            Self::Maria(server) => server.rows(query).await,
            Self::MySql(server) => server.rows(query).await,
        }
    }

    fn connection(&self) -> Connection {
        match self {
            Self::Maria(server) => server.connection(),
            Self::MySql(server) => server.connection(),
        }
    }

    /// Everything in the database: definitions and rows, in an order that is always the same.
    async fn contents(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.tell("SHOW CREATE DATABASE shop", 2, &mut found).await;
        for table in self.rows("SHOW FULL TABLES IN shop").await {
            let name = quoted(&table[0]);
            found.push(format!("{}: {}", table[1], table[0]));
            self.tell(&format!("SHOW CREATE TABLE shop.{name}"), 4, &mut found)
                .await;
            let columns = format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = '{}' \
                 ORDER BY ORDINAL_POSITION",
                table[0]
            );
            // A star would leave the invisible ones out.
            let columns: Vec<String> = match table[1].as_str() {
                "SEQUENCE" => vec!["next_not_cached_value".to_owned()],
                _ => self.rows(&columns).await.concat(),
            };
            let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
            let query = format!("SELECT {} FROM shop.{name}", columns.join(", "));
            let mut rows = Vec::new();
            self.tell(&query, columns.len(), &mut rows).await;
            rows.sort();
            found.extend(rows);
        }
        let triggers = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop' \
                        ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER";
        // Without the moment of its creation.
        for name in self.rows(triggers).await.concat() {
            let show = format!("SHOW CREATE TRIGGER shop.{}", quoted(&name));
            self.tell(&show, 6, &mut found).await;
        }
        let routines = "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES \
                        WHERE ROUTINE_SCHEMA = 'shop' ORDER BY 1, 2";
        for routine in self.rows(routines).await {
            let show = format!("SHOW CREATE {} shop.{}", routine[0], quoted(&routine[1]));
            self.tell(&show, 6, &mut found).await;
        }
        let events = "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'shop' ORDER BY 1";
        for name in self.rows(events).await.concat() {
            let show = format!("SHOW CREATE EVENT shop.{}", quoted(&name));
            self.tell(&show, 7, &mut found).await;
        }
        found
    }

    /// The first columns of what a query finds, a line for each line of it.
    async fn tell(&self, query: &str, columns: usize, found: &mut Vec<String>) {
        for mut row in self.rows(query).await {
            row.truncate(columns);
            let text = without_character_sets(&row.join(" | "));
            found.extend(text.lines().map(str::to_owned));
        }
    }

    /// Restores over what a migration has made of the schema.
    async fn restore_over(
        &self,
        bytes: &[u8],
        before: &[String],
        migration: &Migration<'_>,
    ) -> Result<(), String> {
        self.run(&migration.statements, true).await;
        let refused = !migration.refused.is_empty();
        let changed = match refused {
            true => self.contents().await,
            false => Vec::new(),
        };
        judge(self.load(bytes).await, &migration.refused)?;
        if refused {
            same(&changed, &self.contents().await)?;
        }
        self.run(&migration.afterwards, true).await;
        if refused {
            self.load(bytes).await?;
        }
        same(before, &self.contents().await)
    }

    async fn load(&self, bytes: &[u8]) -> Result<(), String> {
        load(&self.connection(), bytes).await.map(drop)
    }
}

/// MySQL tells a column's character set when it was given, which a dump always does; the collation names it too.
fn without_character_sets(text: &str) -> String {
    let mut parts = text.split(" CHARACTER SET ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (between, part) = match part.split_once(' ') {
            Some((_, rest)) if rest.starts_with("COLLATE ") => (" ", rest),
            _ => (" CHARACTER SET ", part),
        };
        kept.push_str(between);
        kept.push_str(part);
    }
    kept
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

async fn try_out(server: Server, schema: &Schema) {
    if let Server::MySql(server) = &server {
        // What would survive a loss of power is not what is proved here.
        let quick = ["sync_binlog", "innodb_flush_log_at_trx_commit"];
        let quick = quick.map(|name| format!("SET GLOBAL {name} = 0"));
        server.run(&[&quick[0], &quick[1]]).await;
    }
    for text in schema.objects {
        server.run(text, !text.contains("CREATE DATABASE")).await;
    }
    let before = server.contents().await;
    let (bytes, client) = dump(&server.connection(), "").await.unwrap();
    let mut faults = String::new();
    let name = format!("{} of {client}", schema.name);
    for migration in schema.migrations.iter().flat_map(|text| migrations(text)) {
        if let Err(fault) = server.restore_over(&bytes, &before, &migration).await {
            faults.push_str(&format!("{name}, {}: {fault}\n", migration.name));
            // The next one begins with what was dumped.
            server.run("DROP DATABASE IF EXISTS shop", false).await;
            server.load(&bytes).await.unwrap();
        }
    }

    let empty = server.another().await;
    let loaded = empty.load(&bytes).await;
    let compared = loaded.and(same(&before, &empty.contents().await));
    if let Err(fault) = compared {
        faults.push_str(&format!("{name}, into an empty server: {fault}\n"));
    }
    assert!(faults.is_empty(), "{faults}");
}

const FILM_RENTAL: Schema = Schema {
    name: "film rental",
    objects: &[include_str!("mysql/film_rental.sql")],
    migrations: &[include_str!("mysql/film_rental_migrations.sql")],
};

const MUSIC_STORE: Schema = Schema {
    name: "music store",
    objects: &[include_str!("mysql/music_store.sql")],
    migrations: &[include_str!("mysql/music_store_migrations.sql")],
};

const TRADE_ON_MARIADB: Schema = Schema {
    name: "trade",
    objects: &[
        include_str!("mysql/trade.sql"),
        include_str!("mysql/only_mariadb.sql"),
    ],
    migrations: &[
        include_str!("mysql/trade_migrations.sql"),
        include_str!("mysql/only_mariadb_migrations.sql"),
    ],
};

const TRADE_ON_MYSQL: Schema = Schema {
    name: "trade",
    objects: &[
        include_str!("mysql/trade.sql"),
        include_str!("mysql/only_mysql.sql"),
    ],
    migrations: &[
        include_str!("mysql/trade_migrations.sql"),
        include_str!("mysql/only_mysql_migrations.sql"),
    ],
};

#[tokio::test]
async fn a_film_rental_on_mariadb_comes_back_after_every_migration() {
    try_out(Server::Maria(MariaDb::start().await), &FILM_RENTAL).await;
}

#[tokio::test]
async fn a_film_rental_on_mysql_comes_back_after_every_migration() {
    try_out(Server::MySql(OracleMySql::start().await), &FILM_RENTAL).await;
}

#[tokio::test]
async fn a_music_store_on_mariadb_comes_back_after_every_migration() {
    try_out(Server::Maria(MariaDb::start().await), &MUSIC_STORE).await;
}

#[tokio::test]
async fn a_music_store_on_mysql_comes_back_after_every_migration() {
    try_out(Server::MySql(OracleMySql::start().await), &MUSIC_STORE).await;
}

#[tokio::test]
async fn a_trade_on_mariadb_comes_back_after_every_migration() {
    try_out(Server::Maria(MariaDb::start().await), &TRADE_ON_MARIADB).await;
}

#[tokio::test]
async fn a_trade_on_mysql_comes_back_after_every_migration() {
    try_out(Server::MySql(OracleMySql::start().await), &TRADE_ON_MYSQL).await;
}
