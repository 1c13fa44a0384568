//! MariaDB and Oracle's MySQL: the same schemas, and what only one of them has.

use crate::contents::contents;
use crate::migrations::{Migration, changes, judge, migrations, same, statements};
use crate::round_trip::{dump, load};
use crate::support::MariaDb;
use crate::support::oracle::{OracleMySql, Version};
use crate::support::vendors::Server;

/// A schema, in the database `shop`, and what happens to it.
struct Schema {
    name: &'static str,
    objects: &'static [&'static str],
    migrations: &'static [&'static str],
}

/// A server with the database `shop`.
struct Shop(Server);

impl Shop {
    /// Runs the statements of a text in one session, in the database unless they make it.
    async fn run(&self, text: &str, inside: bool) {
        let mut all = match inside {
            true => vec!["USE shop"],
            false => Vec::new(),
        };
        all.extend(statements(text));
        self.0.run(&all).await;
    }

    /// Everything in the database.
    async fn contents(&self) -> Vec<String> {
        contents(self.0.connection().port, true).await
    }

    /// The same without the rows of views.
    async fn without_views(&self) -> Vec<String> {
        contents(self.0.connection().port, false).await
    }

    /// Restores over what a migration has made of the schema.
    async fn restore_over(
        &self,
        bytes: &[u8],
        (before, unchanged): (&[String], &[String]),
        migration: &Migration<'_>,
    ) -> Result<(), String> {
        self.run(&migration.statements, true).await;
        let refused = !migration.refused.is_empty();
        let changed = self.without_views().await;
        changes(unchanged, &changed, migration.name)?;
        judge(self.load(bytes).await, &migration.refused)?;
        if refused {
            same(&changed, &self.without_views().await)?;
        }
        self.run(&migration.afterwards, true).await;
        if refused {
            self.load(bytes).await?;
        }
        same(before, &self.contents().await)
    }

    async fn load(&self, bytes: &[u8]) -> Result<(), String> {
        load(&self.0.connection(), bytes).await.map(drop)
    }
}

async fn try_out(server: Server, schema: &Schema) {
    if let Server::MySql(server) = &server {
        // What would survive a loss of power is not what is proved here.
        let quick = ["sync_binlog", "innodb_flush_log_at_trx_commit"];
        let quick = quick.map(|name| format!("SET GLOBAL {name} = 0"));
        server.run(&[&quick[0], &quick[1]]).await;
    }
    let server = Shop(server);
    for text in schema.objects {
        server.run(text, !text.contains("CREATE DATABASE")).await;
    }
    let before = server.contents().await;
    let unchanged = server.without_views().await;
    let (bytes, client) = dump(&server.0.connection(), "").await.unwrap();
    let mut faults = String::new();
    let name = format!("{} of {client}", schema.name);
    for migration in schema.migrations.iter().flat_map(|text| migrations(text)) {
        if let Err(fault) = server
            .restore_over(&bytes, (&before, &unchanged), &migration)
            .await
        {
            faults.push_str(&format!("{name}, {}: {fault}\n", migration.name));
            // The next one begins with what was dumped.
            server.run("DROP DATABASE IF EXISTS shop", false).await;
            server.load(&bytes).await.unwrap();
        }
    }

    let empty = Shop(server.0.another().await);
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
async fn a_film_rental_on_every_mysql_comes_back_after_every_migration() {
    for version in Version::installed() {
        let server = OracleMySql::of(version).await;
        try_out(Server::MySql(server), &FILM_RENTAL).await;
    }
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
