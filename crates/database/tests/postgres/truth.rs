//! What is dumped comes back exactly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kubestash_database::{Missing, Role};

use crate::server::{PASSWORD, Postgres};
use crate::task::{Request, examine, restore};

/// One of everything that is easily lost.
const EVERYTHING: &str = r#"
CREATE EXTENSION pg_trgm;
CREATE SCHEMA "We ird";
CREATE TYPE mood AS ENUM ('sad', 'o''k', 'häppy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE kinds (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  serial serial, nothing text, text text, emoji text, bytes bytea, ints int[], texts text[][],
  json jsonb, mood mood, positive positive, at timestamptz, day date, span interval, num numeric(40, 20),
  flag boolean, uuid uuid, net cidr, range tstzrange, bits bit varying(9), double float8,
  doubled numeric GENERATED ALWAYS AS (num * 2) STORED, search tsvector, point point, xml xml);
INSERT INTO kinds (nothing, text, emoji, bytes, ints, texts, json, mood, positive, at, day, span, num, flag, uuid, net,
  range, bits, double, search, point, xml)
SELECT NULL, E'tab\t newline\n return\r backslash\\ quote'' dollar$$ \\. \\N', '🐘𝔘𐍈 ünï 中文',
  (SELECT string_agg(set_byte('\x00', 0, n), ''::bytea ORDER BY n) FROM generate_series(0, 255) n),
  ARRAY[1, NULL, 3], ARRAY[['a', NULL], ['NULL', '{"}']],
  '{"a": [1, null, "\u00fc🐘", {"b": 1.50}], "": ""}', 'häppy', 7, '2026-11-27 23:59:59.123456+05:30', '4713-01-01 BC',
  '1 year 2 mons -3 days 04:05:06.7', 12345678901234567890.12345678901234567890, NULL,
  '123e4567-e89b-12d3-a456-426614174000', '10.0.0.0/8', '[2020-01-01,)', B'10101', 'NaN',
  to_tsvector('simple', 'a b'), '(1,2)', '<a>&amp;</a>';
INSERT INTO kinds (text, double) VALUES ('', 'Infinity'), ('\\x41', -0.0), (E'\\connect evil\n-- kubestash-index: {}', 1e308);
SELECT setval('kinds_serial_seq', 41);
CREATE SEQUENCE apart INCREMENT 7 START 100 CYCLE MAXVALUE 1000;
SELECT nextval('apart'), nextval('apart');
CREATE TABLE "We ird"."Tab""le; DROP" ("se lect" int PRIMARY KEY, "ÜML" text COLLATE "C", "from" text DEFAULT 'it''s');
INSERT INTO "We ird"."Tab""le; DROP" VALUES (1, 'ä'), (2, NULL);
COMMENT ON COLUMN "We ird"."Tab""le; DROP"."ÜML" IS E'line\n\\connect x\n$$';
-- Each refers to the other, and the first in order to the last.
CREATE TABLE a_child (id int PRIMARY KEY, parent int NOT NULL);
CREATE TABLE z_parent (id int PRIMARY KEY, favourite int REFERENCES a_child (id) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO z_parent VALUES (1), (2);
INSERT INTO a_child VALUES (10, 1), (20, 2);
UPDATE z_parent SET favourite = id * 10;
ALTER TABLE a_child ADD FOREIGN KEY (parent) REFERENCES z_parent ON DELETE CASCADE;
CREATE TABLE measured (at date NOT NULL, value int) PARTITION BY RANGE (at);
CREATE TABLE measured_2025 PARTITION OF measured FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE measured_rest PARTITION OF measured DEFAULT;
CREATE INDEX ON measured (value);
INSERT INTO measured SELECT date '2025-12-01' + n, n FROM generate_series(1, 60) n;
CREATE VIEW sums AS SELECT at, sum(value) FROM measured GROUP BY at;
CREATE MATERIALIZED VIEW frozen AS SELECT count(*) AS n FROM measured;
CREATE UNIQUE INDEX ON frozen (n);
CREATE FUNCTION twice(x int) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN /*
\connect evil
-- kubestash: several databases */
  RETURN x * 2; END $f$;
CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE product(int) (SFUNC = int4mul, STYPE = int, INITCOND = '1');
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.value := NEW.value + 1000; RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE INSERT ON measured_rest FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE RULE no_delete AS ON DELETE TO kinds DO INSTEAD NOTHING;
ALTER TABLE a_child ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON a_child USING (id % 2 = 0);
CREATE INDEX "tri gram" ON kinds USING gin (text gin_trgm_ops) WHERE flag IS NULL;
CREATE STATISTICS related ON id, parent FROM a_child;
CREATE UNLOGGED TABLE fleeting (x int); INSERT INTO fleeting VALUES (1);
SELECT lo_from_bytea(4242, decode(repeat('00ff5c0a', 5000), 'hex'));
COMMENT ON LARGE OBJECT 4242 IS 'large';
CREATE TABLE druid_segments (id text PRIMARY KEY, payload bytea);
"#;

/// Everything about a database that a restore must bring back, as text.
async fn everything(server: &Postgres, database: &str) -> Vec<String> {
    let mut found = Vec::new();
    let tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
                  WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    for table in server.ask(database, tables).await {
        let query = format!("SELECT t.* FROM {table} t ORDER BY t::text COLLATE \"C\"");
        found.push(table);
        found.extend(server.ask(database, &query).await);
    }
    for query in [
        "SELECT schemaname, sequencename, start_value, increment_by, max_value, cycle, last_value FROM pg_sequences ORDER BY 1, 2",
        "SELECT schemaname, viewname, definition FROM pg_views WHERE schemaname !~ '^(pg_|information)' ORDER BY 1, 2",
        "SELECT matviewname, ispopulated, definition FROM pg_matviews ORDER BY 1",
        "SELECT n FROM frozen",
        "SELECT p.oid::regprocedure::text, prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace \
         WHERE nspname !~ '^(pg_|information)' ORDER BY 1",
        "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2, 3",
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index \
         WHERE indrelid >= 16384 AND indrelid::regclass::text !~ '^pg_toast' ORDER BY 1",
        "SELECT relname, relkind, relpersistence, relrowsecurity, pg_get_expr(relpartbound, oid), relowner::regrole::text, \
         coalesce(relacl::text, '') FROM pg_class WHERE oid >= 16384 AND relname !~ '^pg_toast' ORDER BY 1, 2",
        "SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated \
         FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0 AND attrelid::regclass::text !~ '^pg_toast' ORDER BY 1, attnum",
        "SELECT polname, pg_get_expr(polqual, polrelid) FROM pg_policy",
        "SELECT tablename, rulename, definition FROM pg_rules WHERE schemaname = 'public' ORDER BY 1, 2",
        "SELECT extname, extversion FROM pg_extension ORDER BY 1",
        "SELECT enumlabel FROM pg_enum ORDER BY enumsortorder",
        "SELECT stxname FROM pg_statistic_ext",
        "SELECT loid, md5(string_agg(data, ''::bytea ORDER BY pageno)) FROM pg_largeobject GROUP BY loid",
        "SELECT description FROM pg_description WHERE objoid >= 4242 AND objoid <> 13000 AND classoid IN ('pg_class'::regclass, 'pg_largeobject'::regclass) ORDER BY 1",
        "SELECT nspname FROM pg_namespace ORDER BY 1",
    ] {
        found.push(query.to_owned());
        found.extend(server.ask(database, query).await);
    }
    found
}

fn compare(before: &[String], after: &[String]) {
    for (at, (before, after)) in before.iter().zip(after).enumerate() {
        assert_eq!(before, after, "value {at}");
    }
    assert_eq!(before.len(), after.len());
}

#[tokio::test]
async fn every_kind_of_thing_comes_back_into_another_database_and_over_the_original() {
    let server = Postgres::start().await;
    server.create(&["shop", "O\"th er'"]).await;
    server.run("shop", EVERYTHING).await;
    let before = everything(&server, "shop").await;
    let to = server.connection();

    let request = Request::plain(to.clone()).args("shop");
    let dump = request.start().await.unwrap();
    assert!(dump.single && dump.databases == ["shop"]);
    let (bytes, result) = crate::task::read(dump).await;
    result.unwrap();
    assert_eq!(request.left_files(), 0);
    let text = String::from_utf8(bytes.clone()).unwrap();
    for absent in [
        "\\restrict",
        "\\unrestrict",
        "CREATE DATABASE",
        "PASSWORD",
        PASSWORD,
    ] {
        assert!(!text.contains(absent), "{absent}");
    }
    assert!(!text.contains("CREATE ROLE") && !text.contains("ALTER ROLE"));
    // Two dumps of an unchanged database are the same bytes, so the second one costs no storage.
    assert!(
        Request::plain(to.clone())
            .args("--dbname=shop")
            .bytes()
            .await
            .0
            == bytes
    );

    // Into a database of another name, which is there and empty.
    crate::task::load(&to, Some("O\"th er'"), &bytes, bytes.len())
        .await
        .unwrap();
    compare(&before, &everything(&server, "O\"th er'").await);

    // Over the original, with other rows, a row missing, a sequence ahead, a function changed.
    server
        .run(
            "shop",
            "DELETE FROM z_parent; INSERT INTO measured VALUES ('2025-02-02', 5); DROP VIEW sums; \
             SELECT nextval('apart'); CREATE OR REPLACE FUNCTION twice(x int) RETURNS int LANGUAGE sql AS 'SELECT 0'; \
             SELECT lo_unlink(4242); REFRESH MATERIALIZED VIEW frozen",
        )
        .await;
    restore(&to, &Role::Plain, Some("shop"), &bytes)
        .await
        .unwrap();
    compare(&before, &everything(&server, "shop").await);

    // Into a database that is not there.
    let (database, accepted) = examine(&to, &Role::Plain, Some("new"), &bytes)
        .await
        .unwrap();
    assert_eq!(
        (database.as_deref(), accepted.missing),
        (
            Some("new"),
            vec![Missing {
                character_set: Some("UTF8".to_owned()),
                ..Missing::new("new")
            }]
        )
    );
    restore(&to, &Role::Plain, Some("new"), &bytes)
        .await
        .unwrap();
    compare(&before, &everything(&server, "new").await);
    // What counts on goes on where it was.
    let next = "SELECT nextval('kinds_serial_seq'), nextval('apart')";
    assert_eq!(server.ask("new", next).await, ["42", "114"]);
    let inserted = "INSERT INTO kinds (text) VALUES ('x') RETURNING id";
    assert_eq!(server.ask("new", inserted).await, ["5"]);
}

#[tokio::test]
async fn a_druids_metadata_is_found_without_its_users_and_put_where_the_target_has_it() {
    let server = Postgres::start().await;
    server.create(&["meta", "druid", "shop"]).await;
    let tables = "CREATE TABLE druid_segments (id varchar(255) PRIMARY KEY, payload bytea NOT NULL); \
                  CREATE TABLE druid_config (name varchar(255) PRIMARY KEY, payload bytea);";
    server.run("meta", tables).await;
    server
        .run(
            "meta",
            "INSERT INTO druid_segments SELECT 'wikipedia_' || n, decode(md5(n::text), 'hex') FROM generate_series(1, 500) n; \
             INSERT INTO druid_config VALUES ('basic_authentication_a_users', 'source'), ('coordinator.config', '\\x00ff5c')",
        )
        .await;
    let to = server.connection();
    let request = Request::druid(to.clone(), "meta");
    let (bytes, databases) = request.bytes().await;
    assert_eq!(databases, ["meta"]);
    assert!(!String::from_utf8_lossy(&bytes).contains("basic_authentication_a"));
    // What KubeDB's connect URI says counts as well, whatever linkedDB says.
    let error = Request::druid(to.clone(), "druid")
        .start()
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), "DruidMetadataMissing");

    // Another Druid, whose database is called otherwise, keeps its own users.
    server.run("druid", tables).await;
    server
        .run(
            "druid",
            "INSERT INTO druid_config VALUES ('basic_authentication_a_users', 'target'), ('coordinator.config', 'newer'), ('later', 'x')",
        )
        .await;
    let role = Role::DruidMetadata {
        linked_db: "druid".into(),
    };
    restore(&to, &role, Some("meta"), &bytes).await.unwrap();
    let sum = "SELECT md5(string_agg(id || payload::text, ',' ORDER BY id)) FROM druid_segments";
    assert_eq!(
        server.ask("druid", sum).await,
        server.ask("meta", sum).await
    );
    let rows = "SELECT name || ' ' || encode(payload, 'hex') FROM druid_config ORDER BY name";
    let users = "basic_authentication_a_users 746172676574";
    let setting = "coordinator.config 00ff5c";
    assert_eq!(server.ask("druid", rows).await, [users, setting]);

    // A table that is lost is there again, with what is not its users'; by a dump of several
    // databases too.
    let several = Request {
        program: "pg_dumpall".into(),
        ..Request::druid(to.clone(), "meta")
    };
    let (all, _) = several.bytes().await;
    for (dump, database) in [(&bytes, "druid"), (&all, "meta")] {
        server.run(database, "DROP TABLE druid_config").await;
        restore(&to, &role, Some("meta"), dump).await.unwrap();
        assert_eq!(server.ask(database, rows).await, [setting]);
    }
}

#[tokio::test]
async fn a_million_segments_come_back() {
    let server = Postgres::start().await;
    server.create(&["druid", "copy"]).await;
    server
        .run(
            "druid",
            "CREATE TABLE druid_segments (id text PRIMARY KEY, used boolean, payload bytea); \
             INSERT INTO druid_segments SELECT 'wikipedia_' || n, n % 2 = 0, decode(md5(n::text), 'hex') \
             FROM generate_series(1, 1000000) n",
        )
        .await;
    let (bytes, _) = Request::druid(server.connection(), "druid").bytes().await;
    restore(&server.connection(), &Role::Plain, Some("copy"), &bytes)
        .await
        .unwrap();
    let sum = "SELECT count(*), count(*) FILTER (WHERE used), sum(hashtextextended(id || payload::text, 0)) FROM druid_segments";
    let before = server.ask("druid", sum).await;
    assert_eq!(before[0], "1000000");
    assert_eq!(server.ask("copy", sum).await, before);
}

#[tokio::test]
async fn a_writer_during_the_dump_keeps_its_invariant() {
    let server = Arc::new(Postgres::start().await);
    server.create(&["bank"]).await;
    server
        .run(
            "bank",
            "CREATE TABLE accounts (id int PRIMARY KEY, amount int, filler text); \
             INSERT INTO accounts SELECT n, 100, repeat('x', 500) FROM generate_series(1, 20000) n; \
             CREATE TABLE moved (n serial PRIMARY KEY, amount int)",
        )
        .await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
        tokio::spawn(async move {
            let session = server.session("bank").await;
            let mut transfers = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let (from, to) = (transfers % 20000 + 1, (transfers * 7919) % 20000 + 1);
                let transfer = format!(
                    "BEGIN; UPDATE accounts SET amount = amount - 1 WHERE id = {from}; \
                     UPDATE accounts SET amount = amount + 1 WHERE id = {to}; \
                     INSERT INTO moved (amount) VALUES (1); COMMIT"
                );
                session.batch_execute(&transfer).await.unwrap();
                transfers += 1;
            }
            transfers
        })
    };
    let moved = "SELECT count(*) FROM moved";
    while server.ask("bank", moved).await == ["0"] {
        tokio::task::yield_now().await;
    }
    let (bytes, _) = Request::plain(server.connection())
        .args("bank")
        .bytes()
        .await;
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);
    restore(&server.connection(), &Role::Plain, Some("copy"), &bytes)
        .await
        .unwrap();
    let sum = "SELECT sum(amount), count(*) FROM accounts";
    assert_eq!(server.ask("copy", sum).await, ["2000000", "20000"]);
    // What each transfer wrote to two tables is there in both, or in neither.
    let balanced = "SELECT (SELECT coalesce(max(n), 0) FROM moved) = (SELECT count(*) FROM moved)";
    assert_eq!(server.ask("copy", balanced).await, ["t"]);
}
