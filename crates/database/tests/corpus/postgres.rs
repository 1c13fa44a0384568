//! PostgreSQL: what is compared is the whole dump.

use kubestash_database::Role;

use crate::migrations::{Migration, changes, judge, migrations, same};
use crate::server::Postgres;
use crate::task::{Request, restore};

/// What all databases of the server share, and no dump of one of them holds.
const ROLES: &str = include_str!("postgres/roles.sql");

/// A schema, in the database `shop`, and what happens to it.
struct Schema {
    name: &'static str,
    objects: &'static str,
    migrations: &'static str,
}

async fn server() -> Postgres {
    let server = Postgres::start().await;
    server.run("postgres", ROLES).await;
    server
}

async fn dumped(server: &Postgres) -> Vec<u8> {
    let request = Request::plain(server.connection()).args("shop");
    request.bytes().await.0
}

/// Runs the statements of a text.
async fn apply(server: &Postgres, text: &str) -> Result<(), String> {
    let session = server.session("shop").await;
    let done = session.batch_execute(text).await;
    done.map_err(|error| format!("the corpus itself: {error:?}"))
}

/// The lines of the dump of what is there now.
async fn contents(server: &Postgres) -> Vec<String> {
    let bytes = dumped(server).await;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(str::to_owned).collect()
}

async fn load(server: &Postgres, bytes: &[u8]) -> Result<(), String> {
    let restored = restore(&server.connection(), &Role::Plain, Some("shop"), bytes).await;
    restored.map_err(|error| error.to_string())
}

/// Restores over what a migration has made of the schema.
async fn restore_over(
    server: &Postgres,
    bytes: &[u8],
    before: &[String],
    migration: &Migration<'_>,
) -> Result<(), String> {
    apply(server, &migration.statements).await?;
    let changed = contents(server).await;
    changes(before, &changed, migration.name)?;
    judge(load(server, bytes).await, &migration.refused)?;
    if !migration.refused.is_empty() {
        same(&changed, &contents(server).await)?;
    }
    apply(server, &migration.afterwards).await?;
    if !migration.refused.is_empty() {
        load(server, bytes).await?;
    }
    same(before, &contents(server).await)
}

async fn try_out(schema: &Schema) {
    let server = server().await;
    server.create(&["shop"]).await;
    apply(&server, schema.objects).await.unwrap();
    let bytes = dumped(&server).await;
    let before = contents(&server).await;
    let mut faults = String::new();
    for migration in migrations(schema.migrations) {
        if let Err(fault) = restore_over(&server, &bytes, &before, &migration).await {
            faults.push_str(&format!("{}, {}: {fault}\n", schema.name, migration.name));
            // The next one begins with what was dumped.
            server.run("postgres", "DROP DATABASE shop").await;
            load(&server, &bytes).await.unwrap();
        }
    }

    let empty = self::server().await;
    let loaded = load(&empty, &bytes).await;
    let compared = loaded.and(same(&before, &contents(&empty).await));
    if let Err(fault) = compared {
        faults.push_str(&format!("{}, into an empty server: {fault}\n", schema.name));
    }
    assert!(faults.is_empty(), "{faults}");
}

#[tokio::test]
async fn a_film_rental_comes_back_after_every_migration() {
    try_out(&Schema {
        name: "film rental",
        objects: include_str!("postgres/film_rental.sql"),
        migrations: include_str!("postgres/film_rental_migrations.sql"),
    })
    .await;
}

#[tokio::test]
async fn a_music_store_comes_back_after_every_migration() {
    try_out(&Schema {
        name: "music store",
        objects: include_str!("postgres/music_store.sql"),
        migrations: include_str!("postgres/music_store_migrations.sql"),
    })
    .await;
}

#[tokio::test]
async fn a_trade_comes_back_after_every_migration() {
    try_out(&Schema {
        name: "trade",
        objects: include_str!("postgres/trade.sql"),
        migrations: include_str!("postgres/trade_migrations.sql"),
    })
    .await;
}
