//! Oracle's own MySQL: everything that it has comes back, and a client that cannot carry it is
//! refused.
#![cfg(test)]

use std::process::Command;

#[path = "support/drain.rs"]
mod drain;
#[path = "support/round_trip.rs"]
mod round_trip;
mod support;
use round_trip::{dump, load};
use support::MariaDb;
use support::oracle::{OracleMySql, Version};

/// Every kind of object and column that a MySQL of today has.
const SCHEMA: &[&str] = &[
    "CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci",
    "CREATE TABLE shop.users (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL, \
     upper_name VARCHAR(100) AS (UPPER(name)) STORED, len INT AS (CHAR_LENGTH(name)) VIRTUAL, \
     secret INT INVISIBLE DEFAULT 5, u VARCHAR(36) DEFAULT (UUID()), UNIQUE KEY (upper_name), CHECK (name <> ''))",
    "INSERT INTO shop.users (name, u) VALUES ('Ärger', 'a'), ('O''Hara \\\\ \\n€😀', 'b')",
    "CREATE TABLE shop.docs (id INT PRIMARY KEY, doc JSON, embedding VECTOR(3), \
     KEY tags ((CAST(doc->'$.tags' AS UNSIGNED ARRAY))), KEY half ((id DIV 2)))",
    "INSERT INTO shop.docs VALUES (1, '{\"tags\": [1, 2], \"s\": \"ä😀\", \"d\": 1.5}', STRING_TO_VECTOR('[1,2,3]')), (2, NULL, NULL)",
    "CREATE TABLE shop.shapes (id INT PRIMARY KEY, p POINT NOT NULL SRID 4326, b BIT(10), y YEAR, \
     t TIMESTAMP(6) NULL, raw BLOB, e ENUM('a','b'), SPATIAL KEY (p))",
    "INSERT INTO shop.shapes VALUES (1, ST_GeomFromText('POINT(1 2)', 4326), b'1010101010', 2024, \
     '2024-03-31 01:30:00.123456', x'00010aff', 'b')",
    "CREATE TABLE shop.orders (id INT, day DATE, user BIGINT UNSIGNED, PRIMARY KEY (id, day)) \
     PARTITION BY RANGE COLUMNS (day) (PARTITION old VALUES LESS THAN ('2024-01-01'), PARTITION new VALUES LESS THAN (MAXVALUE))",
    "INSERT INTO shop.orders VALUES (1, '2023-05-05', 1), (2, '2024-05-05', 2)",
    "CREATE TABLE shop.notes (id INT PRIMARY KEY, user BIGINT UNSIGNED, FOREIGN KEY (user) REFERENCES shop.users (id))",
    "INSERT INTO shop.notes VALUES (1, 2)",
    "CREATE VIEW shop.names AS SELECT id, upper_name FROM shop.users",
    "CREATE TRIGGER shop.t BEFORE INSERT ON shop.notes FOR EACH ROW BEGIN SET @n = NEW.id; END",
    "CREATE PROCEDURE shop.p() BEGIN SELECT 1; SELECT 2; END",
    "CREATE FUNCTION shop.f(n INT) RETURNS INT DETERMINISTIC RETURN n + 1",
    "CREATE EVENT shop.e ON SCHEDULE EVERY 1 DAY DO DELETE FROM shop.notes WHERE id < 0",
];

/// What a version has of it: vectors came with 9.
fn schema(version: Version) -> Vec<String> {
    let of_version = |statement: &&str| match version {
        Version::Newest => (*statement).to_owned(),
        Version::V8_4 | Version::V8_0 => statement
            .replace("embedding VECTOR(3)", "embedding BLOB")
            .replace("STRING_TO_VECTOR('[1,2,3]')", "x'010203'"),
    };
    SCHEMA.iter().map(of_version).collect()
}

/// What tables hold.
const ROWS: [&str; 5] = [
    "SELECT id, name, upper_name, len, secret, u FROM shop.users ORDER BY id",
    "SELECT id, CAST(doc AS CHAR), HEX(embedding) FROM shop.docs ORDER BY id",
    "SELECT id, ST_AsText(p), ST_SRID(p), HEX(b), y, t, HEX(raw), e FROM shop.shapes",
    "SELECT id, day, user FROM shop.orders ORDER BY id",
    "SELECT id, user FROM shop.notes",
];

async fn everything(server: &OracleMySql) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for query in ROWS {
        found.extend(server.rows(query).await);
    }
    for query in [
        "SHOW FULL TABLES IN shop",
        "SHOW CREATE DATABASE shop",
        "SHOW CREATE TABLE shop.users",
        "SHOW CREATE TABLE shop.docs",
        "SHOW CREATE TABLE shop.shapes",
        "SHOW CREATE TABLE shop.orders",
        "SHOW CREATE TABLE shop.notes",
        "SHOW CREATE VIEW shop.names",
        "SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'",
        "SELECT ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'shop' ORDER BY 1",
        "SELECT EVENT_NAME, EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'shop'",
    ] {
        found.extend(server.rows(query).await);
    }
    found
}

#[tokio::test]
async fn everything_of_a_real_mysql_comes_back_over_the_original_and_into_an_empty_server() {
    for version in Version::installed() {
        let schema = schema(version);
        let schema: Vec<&str> = schema.iter().map(String::as_str).collect();
        let server = OracleMySql::of(version).await;
        server.run(&schema).await;
        let before = everything(&server).await;
        let (bytes, client) = dump(&server.connection(), "").await.unwrap();
        assert!(
            client.contains("9.") && !client.contains("MariaDB"),
            "MySQL's own client dumps it: {client}"
        );
        // Another dump of the same is the same: deduplication lives on that.
        assert!(dump(&server.connection(), "").await.unwrap().0 == bytes);

        server
            .run(&[
                "DELETE FROM shop.notes",
                "UPDATE shop.users SET name = 'other' WHERE id = 1",
                "DROP TABLE shop.docs",
                "DROP VIEW shop.names",
                "ALTER TABLE shop.shapes DROP COLUMN raw",
                "DROP PROCEDURE shop.p",
            ])
            .await;
        let notes = load(&server.connection(), &bytes).await.unwrap();
        assert_eq!(notes, Vec::<String>::new());
        assert_eq!(everything(&server).await, before, "{version:?}");

        // Into an empty one of the same version, and of every newer one.
        let newer = Version::installed()
            .into_iter()
            .take_while(|newer| *newer != version);
        for newer in newer.chain([version]) {
            let empty = OracleMySql::of(newer).await;
            load(&empty.connection(), &bytes).await.unwrap();
            // A newer one shows definitions otherwise.
            if newer == version {
                assert_eq!(everything(&empty).await, before, "{version:?}");
            }
            for query in ROWS {
                let (found, expected) = (empty.rows(query).await, server.rows(query).await);
                assert_eq!(found, expected, "{version:?} into {newer:?}: {query}");
            }
        }
    }
}

#[tokio::test]
async fn dumps_of_one_vendor_offered_to_the_other_are_refused_or_noted_before_the_first_byte() {
    let mysql = OracleMySql::start().await;
    let maria = MariaDb::start().await;
    mysql.run(SCHEMA).await;
    let (bytes, _) = dump(&mysql.connection(), "").await.unwrap();
    let error = load(&maria.connection(), &bytes).await.unwrap_err();
    assert!(error.contains("utf8mb4_0900_ai_ci"), "{error}");
    assert_eq!(maria.rows("SHOW DATABASES LIKE 'shop'").await.len(), 0);

    let empty = OracleMySql::start().await;
    maria
        .run(&[
            "CREATE DATABASE shop CHARACTER SET utf8mb4",
            "CREATE TABLE shop.t (id INT PRIMARY KEY, x TEXT)",
            "INSERT INTO shop.t VALUES (1, 'ä')",
        ])
        .await;
    let (bytes, client) = dump(&maria.connection(), "").await.unwrap();
    assert!(client.contains("MariaDB"), "{client}");
    let notes = load(&empty.connection(), &bytes).await.unwrap().join("; ");
    assert!(notes.contains("which is of another vendor"), "{notes}");
    assert_eq!(empty.rows("SELECT * FROM shop.t").await, [["1", "ä"]]);
}

/// Only MariaDB's client is there for this one: see the next.
#[tokio::test]
#[ignore = "run by the next test with another PATH"]
async fn child_without_mysqls_client() {
    let server = OracleMySql::start().await;
    server.run(SCHEMA).await;
    let error = dump(&server.connection(), "").await.unwrap_err();
    assert!(error.is_permanent() && error.kind() == "ClientOfOtherVendor");
    let text = error.to_string();
    for word in [
        "shop.users.upper_name (a generated column)",
        "shop.users.len (a generated column)",
        "shop.docs.embedding (a vector)",
        "MySQL 9.",
        "mysql-client",
    ] {
        assert!(text.contains(word), "{text}");
    }
    // What the client can carry is backed up all the same, and comes back.
    let args = "--ignore-table=shop.users --ignore-table=shop.docs --ignore-table=shop.names";
    let (_, client) = dump(&server.connection(), args).await.unwrap();
    assert!(client.contains("MariaDB"), "{client}");
    let rest = "SELECT id, ST_AsText(p), HEX(b), y, t, HEX(raw), e FROM shop.shapes";
    let before = server.rows(rest).await;
    server
        .run(&[
            "DROP TABLE shop.notes",
            "DROP VIEW shop.names",
            "DROP TABLE shop.docs, shop.users",
        ])
        .await;
    let (bytes, _) = dump(&server.connection(), "").await.unwrap();
    server.run(&["DROP TABLE shop.shapes"]).await;
    load(&server.connection(), &bytes).await.unwrap();
    assert_eq!(server.rows(rest).await, before);
}

#[test]
fn a_backup_that_only_the_wrong_client_could_take_is_refused_with_the_package() {
    let folders = std::env::var_os("PATH").unwrap();
    let folders = std::env::split_paths(&folders).filter(|dir| !dir.ends_with("mysql-bin"));
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "child_without_mysqls_client",
            "--nocapture",
        ])
        .env("PATH", std::env::join_paths(folders).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
