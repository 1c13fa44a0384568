//! Restores over the original in its present state, compared by what `pg_dump` says before and
//! after.

use kubestash_database::Role;

use crate::server::Postgres;
use crate::task::{Request, examine, restore};

const SCHEMA: &str = "
    CREATE TABLE measured (id int, day date, note text, PRIMARY KEY (id, day), UNIQUE (day, id)) PARTITION BY RANGE (day);
    CREATE TABLE measured_old PARTITION OF measured FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
    CREATE TABLE measured_new PARTITION OF measured FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (id);
    CREATE TABLE measured_new_1 PARTITION OF measured_new FOR VALUES IN (1, 2);
    CREATE INDEX ON measured (note);
    INSERT INTO measured VALUES (1, '2023-05-05', 'a'), (1, '2024-05-05', 'b');
    CREATE TABLE tags (id serial PRIMARY KEY, day date, of int, FOREIGN KEY (of, day) REFERENCES measured (id, day));
    INSERT INTO tags (day, of) VALUES ('2023-05-05', 1);
    CREATE TABLE left_ (id int PRIMARY KEY, r int);
    CREATE TABLE right_ (id int PRIMARY KEY, l int REFERENCES left_ DEFERRABLE INITIALLY DEFERRED);
    ALTER TABLE left_ ADD FOREIGN KEY (r) REFERENCES right_ DEFERRABLE INITIALLY DEFERRED;
    CREATE TABLE plain (n int, g int GENERATED ALWAYS AS (n * 2) STORED);
    INSERT INTO plain VALUES (7);
    CREATE VIEW seen AS SELECT n FROM plain;
    CREATE MATERIALIZED VIEW kept AS SELECT n FROM seen;
    CREATE VIEW twice AS SELECT n FROM kept;
    CREATE SEQUENCE numbers START 5;
    CREATE SEQUENCE others;
    CREATE FUNCTION of_plain() RETURNS SETOF plain LANGUAGE sql AS 'SELECT * FROM public.plain';
    CREATE TABLE parent (x int); CREATE TABLE child () INHERITS (parent);
    INSERT INTO child VALUES (3);";

async fn dumped(server: &Postgres) -> String {
    let request = Request::plain(server.connection()).args("shop other");
    let (bytes, _) = request.bytes().await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn whatever_has_become_of_the_original_the_backup_comes_back_over_it() {
    let server = Postgres::start().await;
    for database in ["shop", "other"] {
        server
            .run("postgres", &format!("CREATE DATABASE {database}"))
            .await;
    }
    server.run("shop", SCHEMA).await;
    server
        .run(
            "other",
            "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1)",
        )
        .await;
    let before = dumped(&server).await;
    for migration in [
        "SELECT 1",
        // Keys and partitions.
        "ALTER TABLE tags DROP CONSTRAINT tags_of_day_fkey; ALTER TABLE measured DROP CONSTRAINT measured_pkey",
        "DROP TABLE measured_new CASCADE; ALTER TABLE measured DETACH PARTITION measured_old",
        "DROP TABLE measured CASCADE; CREATE TABLE measured (id int)",
        "DROP TABLE plain CASCADE; CREATE TABLE plain (n int) PARTITION BY LIST (n)",
        // Kinds.
        "DROP VIEW twice; DROP MATERIALIZED VIEW kept; DROP VIEW seen; CREATE TABLE seen (z int); CREATE VIEW kept AS SELECT 1 AS n",
        "DROP SEQUENCE numbers; CREATE TABLE numbers (x int); DROP SEQUENCE others; CREATE VIEW others AS SELECT 1",
        "DROP TABLE right_ CASCADE; CREATE SEQUENCE right_; DROP TABLE left_ CASCADE; CREATE MATERIALIZED VIEW left_ AS SELECT 1 AS x",
        // Types of keys.
        "ALTER TABLE left_ DROP CONSTRAINT left__r_fkey; ALTER TABLE right_ ALTER id TYPE bigint",
        "ALTER TABLE child NO INHERIT parent; DROP TABLE parent; CREATE VIEW parent AS SELECT x FROM child",
    ] {
        server.run("shop", migration).await;
        server.run("other", "UPDATE t SET n = n + 1").await;
        let restored = restore(&server.connection(), &Role::Plain, None, before.as_bytes()).await;
        restored.unwrap_or_else(|error| panic!("{migration}: {error}"));
        assert!(dumped(&server).await == before, "{migration}");
    }
    // What the dump does not create stays.
    server.run("shop", "CREATE TABLE later (x int)").await;
    restore(&server.connection(), &Role::Plain, None, before.as_bytes())
        .await
        .unwrap();
    assert_eq!(
        server.ask("shop", "SELECT count(*)::text FROM later").await,
        ["0"]
    );
}

#[tokio::test]
async fn a_database_comes_back_in_its_own_encoding_or_is_refused_before_the_first_byte() {
    for (encoding, text) in [("LATIN1", "E'gr\\xfc\\xdf'"), ("SQL_ASCII", "E'any \\xff'")] {
        let server = Postgres::start().await;
        let create = format!(
            "CREATE DATABASE shop ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        );
        server.run("postgres", &create).await;
        // Bytes that the connection of the test itself could not carry.
        let fill = format!(
            "CREATE TABLE t (x text); INSERT INTO t SELECT convert_from({text}::bytea, '{encoding}')"
        );
        server.run("shop", &fill).await;
        let bytes_of = "SELECT encode(convert_to(x, getdatabaseencoding()), 'hex') FROM t";
        let before = server.ask("shop", bytes_of).await;
        let request = Request::plain(server.connection()).args("shop");
        let (bytes, _) = request.bytes().await;
        server.run("postgres", "DROP DATABASE shop").await;
        restore(&server.connection(), &Role::Plain, Some("shop"), &bytes)
            .await
            .unwrap();
        let query = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'shop'";
        assert_eq!(server.ask("postgres", query).await, [encoding]);
        assert_eq!(server.ask("shop", bytes_of).await, before);

        if encoding == "SQL_ASCII" {
            server.run("postgres", "DROP DATABASE shop").await;
            server
                .run("postgres", "CREATE DATABASE shop ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
                .await;
            let error = examine(&server.connection(), &Role::Plain, Some("shop"), &bytes)
                .await
                .unwrap_err();
            assert!(
                error.is_permanent() && error.kind() == "DatabaseEncoding",
                "{error}"
            );
            for word in ["SQL_ASCII", "UTF8"] {
                assert!(error.to_string().contains(word), "{error}");
            }
        }
    }
}
