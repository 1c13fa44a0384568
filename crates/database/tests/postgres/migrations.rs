//! A restore over the original, whatever it has become since the backup. What is compared is the
//! whole dump.

use std::time::Duration;

use kubestash_database::Role;

use crate::server::Postgres;
use crate::task::{Request, examine, load_seen, outline, restore};

async fn dumped(server: &Postgres, database: &str) -> Vec<u8> {
    let request = Request::plain(server.connection()).args(database);
    request.bytes().await.0
}

fn same(before: &[u8], after: &[u8], what: &str) {
    let (before, after) = (
        String::from_utf8_lossy(before),
        String::from_utf8_lossy(after),
    );
    let differs = before
        .lines()
        .zip(after.lines())
        .find(|(before, after)| before != after);
    assert_eq!(differs, None, "{what}");
    assert_eq!(before.len(), after.len(), "{what}");
}

/// A schema with what is moved about below; every table has rows.
const SCHEMA: &str = "
CREATE TABLE m (id int PRIMARY KEY, code text, UNIQUE (id, code)) PARTITION BY RANGE (id);
CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (100);
CREATE TABLE m2 PARTITION OF m FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
CREATE TABLE m2a PARTITION OF m2 FOR VALUES FROM (100) TO (150);
CREATE TABLE child (id serial PRIMARY KEY, m int REFERENCES m);
CREATE TABLE plain (id int PRIMARY KEY, at date);
CREATE VIEW seen AS SELECT m.id, count(*) AS n FROM m JOIN child ON child.m = m.id GROUP BY m.id;
CREATE MATERIALIZED VIEW frozen AS SELECT * FROM seen;
CREATE VIEW keyed AS SELECT plain.*, count(*) AS n FROM plain GROUP BY plain.id;
CREATE SEQUENCE counter START 42;
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b mood);
CREATE TABLE typed (mood mood, p positive, pair pair);
CREATE FUNCTION first_of(plain) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1.id';
CREATE INDEX by_code ON m (code);
INSERT INTO m VALUES (1, 'a'), (120, 'b');
INSERT INTO child (m) VALUES (1), (1), (120);
INSERT INTO plain VALUES (1, '2026-01-01'), (2, '2026-01-02');
INSERT INTO typed VALUES ('sad', 3, '(1,glad)');
REFRESH MATERIALIZED VIEW frozen;
SELECT nextval('counter');
";

#[tokio::test]
async fn a_restore_over_the_original_succeeds_whatever_its_objects_have_become() {
    let server = Postgres::start().await;
    let migrations = [
        ("nothing", ""),
        (
            "table to view",
            "DROP TABLE plain CASCADE; CREATE VIEW plain AS SELECT 1 AS id",
        ),
        (
            "table to sequence",
            "DROP TABLE plain CASCADE; CREATE SEQUENCE plain",
        ),
        (
            "table to materialized view",
            "DROP TABLE plain CASCADE; CREATE MATERIALIZED VIEW plain AS SELECT 1 AS id",
        ),
        (
            "table to type",
            "DROP TABLE plain CASCADE; CREATE TYPE plain AS ENUM ('x')",
        ),
        (
            "table to composite type",
            "DROP TABLE plain CASCADE; CREATE TYPE plain AS (x int)",
        ),
        (
            "sequence to table",
            "DROP SEQUENCE counter; CREATE TABLE counter (x int)",
        ),
        (
            "sequence to identity",
            "ALTER TABLE child ALTER id DROP DEFAULT; DROP SEQUENCE child_id_seq; \
            ALTER TABLE child ALTER id ADD GENERATED ALWAYS AS IDENTITY",
        ),
        (
            "view to table",
            "DROP VIEW seen CASCADE; CREATE TABLE seen (id int)",
        ),
        (
            "materialized view to table",
            "DROP MATERIALIZED VIEW frozen; CREATE TABLE frozen AS SELECT * FROM seen",
        ),
        (
            "view to materialized view",
            "DROP VIEW keyed; CREATE MATERIALIZED VIEW keyed AS SELECT 1 AS x",
        ),
        (
            "partitioned to plain",
            "DROP TABLE m CASCADE; CREATE TABLE m (id int PRIMARY KEY); CREATE TABLE m1 (x int)",
        ),
        (
            "plain to partitioned",
            "DROP TABLE plain CASCADE; CREATE TABLE plain (id int PRIMARY KEY) PARTITION BY HASH (id)",
        ),
        (
            "partition detached",
            "DELETE FROM child; ALTER TABLE m DETACH PARTITION m1",
        ),
        (
            "partition added",
            "CREATE TABLE m3 PARTITION OF m FOR VALUES FROM (200) TO (300)",
        ),
        (
            "key made anew",
            "ALTER TABLE child DROP CONSTRAINT child_m_fkey; DROP VIEW seen CASCADE; ALTER TABLE child ALTER m TYPE bigint",
        ),
        (
            "type to domain",
            "ALTER TABLE typed DROP mood, DROP pair; DROP TYPE pair, mood; CREATE DOMAIN mood AS text; CREATE TABLE pair (x int)",
        ),
        (
            "domain to type",
            "ALTER TABLE typed DROP p; DROP DOMAIN positive; CREATE TYPE positive AS ENUM ('x')",
        ),
        (
            "columns renamed and added",
            "ALTER TABLE plain RENAME at TO \"when\"; ALTER TABLE m ADD extra int",
        ),
        (
            "references among the dump's",
            "ALTER TABLE child ADD p int REFERENCES plain; ALTER TABLE typed ADD q int REFERENCES child",
        ),
        (
            "everything gone",
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner; \
            GRANT USAGE ON SCHEMA public TO PUBLIC; COMMENT ON SCHEMA public IS 'standard public schema'",
        ),
    ];
    server.create(&["shop"]).await;
    server.run("shop", SCHEMA).await;
    let before = dumped(&server, "shop").await;
    for (what, statements) in migrations {
        server.run("shop", statements).await;
        let restored = restore(&server.connection(), &Role::Plain, Some("shop"), &before).await;
        restored.unwrap_or_else(|error| panic!("{what}: {error}"));
        same(&before, &dumped(&server, "shop").await, what);
    }
}

#[tokio::test]
async fn a_partitioned_table_does_not_keep_other_databases_from_being_restored() {
    let server = Postgres::start().await;
    server.create(&["a", "b"]).await;
    for name in ["a", "b"] {
        server.run(name, SCHEMA).await;
    }
    let before = dumped(&server, "a b").await;
    for name in ["a", "b"] {
        server
            .run(name, "DELETE FROM child; DROP TABLE plain CASCADE")
            .await;
    }
    restore(&server.connection(), &Role::Plain, None, &before)
        .await
        .unwrap();
    same(&before, &dumped(&server, "a b").await, "two databases");
}

#[tokio::test]
async fn what_came_after_the_backup_and_stands_in_the_way_is_named_all_at_once_and_nothing_is_lost()
{
    let server = Postgres::start().await;
    server.create(&["shop"]).await;
    server.run("shop", SCHEMA).await;
    let before = dumped(&server, "shop").await;
    server
        .run(
            "shop",
            "CREATE TABLE late (id int, m int CONSTRAINT late_m REFERENCES m, c int CONSTRAINT late_c REFERENCES child); \
             CREATE VIEW late_view AS SELECT * FROM plain; CREATE TABLE apart (x int); INSERT INTO apart VALUES (7)",
        )
        .await;
    let now = dumped(&server, "shop").await;
    let to = server.connection();
    let error = restore(&to, &Role::Plain, Some("shop"), &before)
        .await
        .unwrap_err();
    let told = error.to_string();
    for name in ["late_m", "late_c", "view public.late_view"] {
        assert!(told.contains(name), "{name}: {told}");
    }
    assert!(told.contains("onConflict"), "{told}");
    assert!(!told.contains("apart") && !told.contains("seen"), "{told}");
    assert!(error.is_permanent() && error.is_undone(), "{error}");
    same(&now, &dumped(&server, "shop").await, "as it was");
    server
        .run("shop", "DROP VIEW late_view; DROP TABLE late")
        .await;
    restore(&to, &Role::Plain, Some("shop"), &before)
        .await
        .unwrap();
    // What is not in the dump and not in the way stays.
    assert_eq!(server.ask("shop", "SELECT x FROM apart").await, ["7"]);
}

#[tokio::test]
async fn on_conflict_replace_drops_the_dumps_schemas_first_and_nothing_of_others() {
    let server = Postgres::start().await;
    server.create(&["shop"]).await;
    server.run("shop", SCHEMA).await;
    let before = dumped(&server, "shop").await;
    server
        .run(
            "shop",
            "CREATE EXTENSION pg_trgm; CREATE SCHEMA other; CREATE TABLE other.kept (m int CONSTRAINT late REFERENCES m); \
             CREATE VIEW late_view AS SELECT * FROM plain; CREATE TABLE apart (x int GENERATED ALWAYS AS IDENTITY); \
             CREATE TYPE later AS ENUM ('x'); CREATE TYPE ranged AS RANGE (subtype = float8); \
             CREATE FUNCTION late(later, apart) RETURNS int LANGUAGE sql AS 'SELECT 1'; \
             CREATE PROCEDURE plain() LANGUAGE sql AS 'SELECT 1'; INSERT INTO other.kept VALUES (1)",
        )
        .await;
    let mut seen = outline(&before);
    seen.allowed.replace = true;
    let (to, wait) = (server.connection(), Duration::from_secs(20));
    load_seen(&to, Some("shop"), &before, before.len(), &seen, wait)
        .await
        .unwrap();
    let kept = server.ask("shop", "SELECT m FROM other.kept").await;
    assert_eq!(kept, ["1"]);
    let extensions = "SELECT extname FROM pg_extension ORDER BY 1";
    assert_eq!(server.ask("shop", extensions).await, ["pg_trgm", "plpgsql"]);
    server
        .run("shop", "DROP SCHEMA other CASCADE; DROP EXTENSION pg_trgm")
        .await;
    same(&before, &dumped(&server, "shop").await, "replaced");
}

#[tokio::test]
async fn extensions_that_are_there_stay_so_that_no_superuser_is_needed() {
    let server = Postgres::start().await;
    server
        .run("postgres", "CREATE ROLE app LOGIN PASSWORD 'app'")
        .await;
    server
        .run("postgres", "CREATE DATABASE shop OWNER app")
        .await;
    server
        .run(
            "shop",
            "CREATE EXTENSION pg_trgm; COMMENT ON EXTENSION pg_trgm IS 'kept'",
        )
        .await;
    let app = server.connection_as("app", "app");
    server
        .run(
            "shop",
            "SET ROLE app; CREATE TABLE t (x text); CREATE INDEX ON t USING gin (x gin_trgm_ops); \
             INSERT INTO t VALUES ('a')",
        )
        .await;
    let before = dumped(&server, "shop").await;
    server
        .run(
            "shop",
            "SET ROLE app; DELETE FROM t; CREATE TABLE later (x text); \
             CREATE INDEX ON later USING gin (x gin_trgm_ops)",
        )
        .await;
    restore(&app, &Role::Plain, Some("shop"), &before)
        .await
        .unwrap();
    server.run("shop", "DROP TABLE later").await;
    same(&before, &dumped(&server, "shop").await, "extension");
}

#[tokio::test]
async fn a_schema_that_holds_more_than_the_dump_stays_and_its_owner_is_enough() {
    let server = Postgres::start().await;
    let roles = "CREATE ROLE app LOGIN PASSWORD 'app'; CREATE ROLE other";
    server.run("postgres", roles).await;
    server
        .run("postgres", "CREATE DATABASE shop OWNER app")
        .await;
    server
        .run(
            "shop",
            "SET ROLE app; CREATE SCHEMA own; CREATE TABLE own.t (x int); GRANT USAGE ON SCHEMA own TO PUBLIC; \
             INSERT INTO own.t VALUES (1); CREATE SCHEMA gone; RESET ROLE; CREATE EXTENSION citext SCHEMA own",
        )
        .await;
    let app = server.connection_as("app", "app");
    let before = dumped(&server, "shop").await;
    server
        .run(
            "shop",
            "ALTER DEFAULT PRIVILEGES FOR ROLE other GRANT SELECT ON TABLES TO PUBLIC; SET ROLE app; \
             DROP TABLE own.t; DROP SCHEMA gone; CREATE TABLE own.later AS SELECT 7 AS x; COMMENT ON SCHEMA own IS 'new'; \
             REVOKE ALL ON SCHEMA own FROM PUBLIC; GRANT ALL ON SCHEMA own TO other WITH GRANT OPTION; \
             ALTER DEFAULT PRIVILEGES IN SCHEMA own GRANT ALL ON TABLES TO other",
        )
        .await;
    restore(&app, &Role::Plain, Some("shop"), &before)
        .await
        .unwrap();
    let kept = server.ask("shop", "SELECT x FROM own.later").await;
    assert_eq!(kept, ["7"]);
    server
        .run(
            "shop",
            "DROP TABLE own.later; ALTER DEFAULT PRIVILEGES FOR ROLE other REVOKE SELECT ON TABLES FROM PUBLIC",
        )
        .await;
    same(&before, &dumped(&server, "shop").await, "schema");
}

#[tokio::test]
async fn a_subscription_is_detached_and_made_anew() {
    let server = Postgres::start().await;
    server.create(&["shop"]).await;
    server
        .run(
            "shop",
            "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = 'kept')",
        )
        .await;
    let before = dumped(&server, "shop").await;
    restore(&server.connection(), &Role::Plain, Some("shop"), &before)
        .await
        .unwrap();
    same(&before, &dumped(&server, "shop").await, "subscription");
    let slot = "SELECT subslotname FROM pg_subscription";
    assert_eq!(server.ask("shop", slot).await, ["kept"]);
    server
        .run("shop", "ALTER SUBSCRIPTION s SET (slot_name = NONE)")
        .await;
}

#[tokio::test]
async fn texts_without_an_encoding_are_refused_where_they_would_be_spoilt() {
    let server = Postgres::start().await;
    let bare = "CREATE DATABASE bare ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0";
    server.run("postgres", bare).await;
    server.create(&["utf"]).await;
    server
        .run("bare", r"CREATE TABLE t AS SELECT E'caf\xe9' AS x")
        .await;
    let bytes = dumped(&server, "bare").await;
    let to = server.connection();
    let error = examine(&to, &Role::Plain, Some("utf"), &bytes)
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), "DatabaseEncoding", "{error}");
    for words in ["utf", "SQL_ASCII", "UTF8", "CREATE DATABASE"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    restore(&to, &Role::Plain, Some("bare"), &bytes)
        .await
        .unwrap();
    assert!(dumped(&server, "bare").await == bytes);
}
