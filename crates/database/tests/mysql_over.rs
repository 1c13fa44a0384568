//! Restores over the original in its present state, after what migrations do to a schema.
#![cfg(test)]

use kubestash_database::{Connection, Credentials};

#[path = "support/drain.rs"]
mod drain;
#[path = "support/round_trip.rs"]
mod round_trip;
mod support;
use round_trip::{dump, load};
use support::MariaDb;
use support::oracle::OracleMySql;
use support::vendors::Server;

/// Every table's definition and rows.
async fn contents(server: &Server) -> Vec<Vec<String>> {
    let tables = server.rows("SHOW FULL TABLES IN shop").await;
    let mut found = tables.clone();
    for table in tables {
        let (name, kind) = (&table[0], &table[1]);
        found.extend(
            server
                .rows(&format!("SHOW CREATE TABLE shop.`{name}`"))
                .await,
        );
        if kind != "SEQUENCE" {
            let rows = format!("SELECT * FROM shop.`{name}` ORDER BY 1");
            found.extend(server.rows(&rows).await);
        }
    }
    found
}

const SHOP: &[&str] = &[
    "CREATE DATABASE shop CHARACTER SET utf8mb4",
    "CREATE TABLE shop.users (id INT PRIMARY KEY, name VARCHAR(50))",
    "INSERT INTO shop.users VALUES (1, 'ä'), (2, 'b')",
    "CREATE TABLE shop.orders (id INT PRIMARY KEY, user INT, CONSTRAINT o FOREIGN KEY (user) REFERENCES shop.users (id))",
    "INSERT INTO shop.orders VALUES (7, 1), (8, 2)",
    "CREATE TABLE shop.totals (n INT PRIMARY KEY)",
    "INSERT INTO shop.totals VALUES (5)",
    "CREATE VIEW shop.recent AS SELECT * FROM shop.orders",
];

#[tokio::test]
async fn a_migration_of_a_keys_type_is_rolled_back() {
    for server in Server::all().await {
        server.run(SHOP).await;
        let before = contents(&server).await;
        let (bytes, _) = dump(&server.connection(), "").await.unwrap();
        server
            .run(&[
                "ALTER TABLE shop.orders DROP FOREIGN KEY o",
                "ALTER TABLE shop.users MODIFY id BIGINT",
                "ALTER TABLE shop.orders MODIFY user BIGINT",
                "ALTER TABLE shop.orders ADD CONSTRAINT o FOREIGN KEY (user) REFERENCES shop.users (id)",
                "CREATE TABLE shop.later (x INT)",
            ])
            .await;
        load(&server.connection(), &bytes).await.unwrap();
        // What came after the backup stays.
        server.run(&["DROP TABLE shop.later"]).await;
        assert_eq!(contents(&server).await, before);
        // And once more, over what is as it was.
        load(&server.connection(), &bytes).await.unwrap();
        assert_eq!(contents(&server).await, before);
    }
}

#[tokio::test]
async fn tables_and_views_that_have_become_each_other_come_back_as_what_they_were() {
    for server in Server::all().await {
        server.run(SHOP).await;
        let before = contents(&server).await;
        let (bytes, _) = dump(&server.connection(), "").await.unwrap();
        server
            .run(&[
                "DROP TABLE shop.totals",
                "CREATE VIEW shop.totals AS SELECT 1 AS n",
                "DROP VIEW shop.recent",
                "CREATE TABLE shop.recent (x INT)",
            ])
            .await;
        load(&server.connection(), &bytes).await.unwrap();
        assert_eq!(contents(&server).await, before);
    }
    let server = Server::Maria(MariaDb::start().await);
    server.run(SHOP).await;
    server
        .run(&["CREATE SEQUENCE shop.numbers START WITH 5"])
        .await;
    let before = contents(&server).await;
    let (bytes, _) = dump(&server.connection(), "").await.unwrap();
    server
        .run(&[
            "DROP SEQUENCE shop.numbers",
            "CREATE TABLE shop.numbers (x INT)",
            "DROP TABLE shop.totals",
            "CREATE SEQUENCE shop.totals",
        ])
        .await;
    load(&server.connection(), &bytes).await.unwrap();
    assert_eq!(contents(&server).await, before);
}

#[tokio::test]
async fn a_foreign_key_from_outside_the_dump_is_named_before_anything_is_removed() {
    for server in Server::all().await {
        server.run(SHOP).await;
        let (bytes, _) = dump(
            &server.connection(),
            "--ignore-table=shop.orders --ignore-table=shop.recent",
        )
        .await
        .unwrap();
        // One of the same type is none.
        server
            .run(&["UPDATE shop.users SET name = 'changed'"])
            .await;
        load(&server.connection(), &bytes).await.unwrap();
        assert_eq!(
            server
                .rows("SELECT name FROM shop.users WHERE id = 1")
                .await,
            [["ä"]]
        );
        server
            .run(&[
                "ALTER TABLE shop.orders DROP FOREIGN KEY o",
                "ALTER TABLE shop.users MODIFY id BIGINT",
                "ALTER TABLE shop.orders MODIFY user BIGINT",
                "ALTER TABLE shop.orders ADD CONSTRAINT o FOREIGN KEY (user) REFERENCES shop.users (id)",
            ])
            .await;
        let before = contents(&server).await;
        let error = load(&server.connection(), &bytes).await.unwrap_err();
        for word in [
            "shop.orders.user is bigint",
            "users.id, which is int in the dump",
            "drop these foreign keys",
        ] {
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(contents(&server).await, before);
    }
}

#[tokio::test]
async fn tables_that_only_other_settings_allowed_come_back() {
    let server = MariaDb::start().await;
    let wide: Vec<String> = (0..40)
        .map(|n| format!("c{n} VARCHAR(255) NOT NULL"))
        .collect();
    let wide = format!(
        "CREATE TABLE shop.wide ({}) CHARACTER SET latin1 ROW_FORMAT=COMPACT",
        wide.join(", ")
    );
    server
        .run(&[
            "SET GLOBAL innodb_strict_mode = OFF",
            "CREATE DATABASE shop",
        ])
        .await;
    server
        .run(&[&wide, "CREATE TABLE shop.loose (x INT)"])
        .await;
    let (bytes, _) = dump(&server.connection(), "").await.unwrap();
    server.run(&["SET GLOBAL innodb_strict_mode = ON"]).await;
    load(&server.connection(), &bytes).await.unwrap();
    assert_eq!(
        server.rows("SHOW TABLES IN shop").await,
        [["loose"], ["wide"]]
    );

    // No session can do without this one.
    server
        .run(&["SET GLOBAL innodb_force_primary_key = ON"])
        .await;
    let error = load(&server.connection(), &bytes).await.unwrap_err();
    for word in ["innodb_force_primary_key is on", "loose, wide"] {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(
        server.rows("SHOW TABLES IN shop").await,
        [["loose"], ["wide"]]
    );

    let server = OracleMySql::start().await;
    server
        .run(&["CREATE DATABASE shop", "CREATE TABLE shop.loose (x INT)"])
        .await;
    let (bytes, _) = dump(&server.connection(), "").await.unwrap();
    server
        .run(&["SET GLOBAL sql_require_primary_key = ON"])
        .await;
    load(&server.connection(), &bytes).await.unwrap();
    assert_eq!(server.rows("SHOW TABLES IN shop").await, [["loose"]]);
}

#[tokio::test]
async fn names_that_differ_in_case_alone_are_refused_where_they_are_one() {
    let server = MariaDb::start().await;
    server
        .run(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.Users (x INT)",
            "CREATE TABLE shop.users (x INT)",
        ])
        .await;
    let (bytes, _) = dump(&server.connection(), "").await.unwrap();
    let mut folding = MariaDb::start().await;
    folding.kill();
    folding
        .boot_with(&["--lower-case-table-names=1".to_owned()])
        .await;
    let error = load(&folding.connection(), &bytes).await.unwrap_err();
    assert!(error.contains("Users and users"), "{error}");
    assert_eq!(folding.rows("SHOW DATABASES LIKE 'shop'").await.len(), 0);
}

#[tokio::test]
async fn a_user_who_may_not_create_triggers_or_others_definers_is_told_before_anything_is_removed()
{
    let mut server = MariaDb::start().await;
    server.kill();
    server.boot_with(&["--log-bin=log".to_owned()]).await;
    server.run(SHOP).await;
    server
        .run(&[
            "CREATE USER tenant@'127.0.0.1' IDENTIFIED BY 'tenant'",
            "GRANT ALL ON shop.* TO tenant@'127.0.0.1'",
        ])
        .await;
    let tenant = Connection {
        credentials: Credentials::new("tenant", "tenant".to_owned()),
        ..server.connection()
    };
    let count = || {
        server.rows("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop'")
    };
    let (views, _) = dump(&server.connection(), "").await.unwrap();
    let error = load(&tenant, &views).await.unwrap_err();
    for word in ["run as root@127.0.0.1", "tenant@127.0.0.1", "SET USER"] {
        assert!(error.contains(word), "{error}");
    }
    server
        .run(&[
            "DROP VIEW shop.recent",
            "CREATE DEFINER=tenant@'127.0.0.1' TRIGGER shop.t BEFORE INSERT ON shop.orders FOR EACH ROW SET @a = 1",
        ])
        .await;
    let (triggers, _) = dump(&server.connection(), "").await.unwrap();
    let before = count().await;
    let error = load(&tenant, &triggers).await.unwrap_err();
    for word in [
        "triggers or functions",
        "log_bin_trust_function_creators = ON",
    ] {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(count().await, before);
    server
        .run(&["SET GLOBAL log_bin_trust_function_creators = ON"])
        .await;
    load(&tenant, &triggers).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_lost_comes_back_with_its_character_set_whatever_the_servers_default_is()
{
    for (character_set, collation, other) in [
        ("utf8mb4", "utf8mb4_unicode_ci", "latin1"),
        ("latin1", "latin1_german1_ci", "utf8mb4"),
    ] {
        let mut server = MariaDb::start().await;
        server.kill();
        server
            .boot_with(&[format!("--character-set-server={other}")])
            .await;
        let create =
            format!("CREATE DATABASE shop CHARACTER SET {character_set} COLLATE {collation}");
        server
            .run(&[
                &create,
                "CREATE TABLE shop.t (x VARCHAR(9))",
                "INSERT INTO shop.t VALUES ('ä')",
            ])
            .await;
        let definitions = [
            "SHOW CREATE DATABASE shop",
            "SHOW CREATE TABLE shop.t",
            "SELECT * FROM shop.t",
        ];
        let mut before = Vec::new();
        for query in definitions {
            before.extend(server.rows(query).await);
        }
        let (bytes, _) = dump(&server.connection(), "").await.unwrap();
        server.run(&["DROP DATABASE shop"]).await;
        load(&server.connection(), &bytes).await.unwrap();
        let mut after = Vec::new();
        for query in definitions {
            after.extend(server.rows(query).await);
        }
        assert_eq!(after, before);
    }
}

#[tokio::test]
async fn the_history_of_versioned_tables_comes_back_or_is_said_to_be_missing() {
    let server = MariaDb::start().await;
    server
        .run(&[
            "CREATE DATABASE shop CHARACTER SET utf8mb4",
            "CREATE TABLE shop.prices (id INT PRIMARY KEY, price INT) WITH SYSTEM VERSIONING",
            "INSERT INTO shop.prices VALUES (1, 10), (2, 20)",
            "UPDATE shop.prices SET price = 11 WHERE id = 1",
            "UPDATE shop.prices SET price = 12 WHERE id = 1",
            "DELETE FROM shop.prices WHERE id = 2",
        ])
        .await;
    let history =
        "SELECT id, price, ROW_START, ROW_END FROM shop.prices FOR SYSTEM_TIME ALL ORDER BY 1, 3";
    let before = server.rows(history).await;
    assert_eq!(before.len(), 4);
    let (bytes, _) = dump(&server.connection(), "").await.unwrap();
    for change in [
        "DELETE FROM shop.prices",
        "DROP TABLE shop.prices",
        "DROP DATABASE shop",
    ] {
        server.run(&[change]).await;
        load(&server.connection(), &bytes).await.unwrap();
        assert_eq!(server.rows(history).await, before, "{change}");
    }

    // No client can dump this one's.
    server
        .run(&[
            "CREATE TABLE shop.stock (id INT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, \
             e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) \
             ENGINE = InnoDB WITH SYSTEM VERSIONING",
            "INSERT INTO shop.stock (id) VALUES (7)",
        ])
        .await;
    let (_, warnings) = round_trip::remarks(&server.connection(), "").await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for words in ["shop.prices", "\"shop.stock\" keep theirs by transactions"] {
        assert!(warnings[0].contains(words), "{warnings:?}");
    }
    let (bytes, _) = dump(&server.connection(), "").await.unwrap();
    load(&server.connection(), &bytes).await.unwrap();
    assert_eq!(server.column("SELECT id FROM shop.stock").await, ["7"]);
    assert_eq!(server.column("SELECT price FROM shop.prices").await, ["12"]);
}

#[tokio::test]
async fn what_a_dump_does_not_hold_exactly_is_said_with_it() {
    for server in Server::all().await {
        server.run(SHOP).await;
        let remarks = round_trip::remarks(&server.connection(), "").await;
        assert_eq!(remarks, (Vec::new(), Vec::new()));
        server
            .run(&[
                "CREATE TABLE shop.measured (x FLOAT, y DOUBLE)",
                "CREATE VIEW shop.seen AS SELECT x FROM shop.measured",
                "CREATE TABLE shop.old (n INT) ENGINE = MyISAM",
            ])
            .await;
        let args = "--ignore-table=shop.totals --skip-triggers";
        let (left_out, warnings) = round_trip::remarks(&server.connection(), args).await;
        for words in [
            "--ignore-table=shop.totals: this table is not in the dump",
            "--skip-triggers: triggers are not in the dump",
            "do not write: \"shop.measured.x\"",
        ] {
            assert!(
                left_out.iter().any(|one| one.contains(words)),
                "{left_out:?}"
            );
        }
        assert_eq!(
            (left_out.len(), warnings.len()),
            (3, 1),
            "{left_out:?} {warnings:?}"
        );
        assert!(
            warnings[0].contains("\"shop.old\" have an engine without"),
            "{warnings:?}"
        );
    }
}
