//! Dumps for the MySQL family that are cut off, and dumps that want more than to be loaded.
#![cfg(test)]

use std::io::Write;
use std::time::Duration;

use kubestash_database::{
    Allowed, Connection, DumpRequest, Error, ExamineRequest, Family, LoadRequest, Outline,
    Outliner, Role, StreamError,
};
use tokio_util::sync::CancellationToken;

#[path = "support/drain.rs"]
mod drain;
mod support;
use support::MariaDb;

const WAIT: Duration = Duration::from_secs(20);

fn outline(dump: &[u8]) -> Outline {
    let mut outliner = Outliner::new(Family::MySql);
    outliner.write_all(dump).unwrap();
    outliner.take()
}

async fn examine(connection: &Connection, seen: &Outline) -> Result<(), Error> {
    let target = Family::MySql
        .examine(ExamineRequest {
            connection,
            role: &Role::Plain,
            source: Some("shop"),
            args: "",
            wait_timeout: WAIT,
        })
        .await?;
    target.accepts(seen)?;
    Ok(())
}

async fn load(connection: &Connection, dump: &[u8], seen: &Outline) -> Result<Vec<String>, String> {
    let scratch = tempfile::tempdir_in("/tmp").unwrap();
    let started = Family::MySql
        .load(LoadRequest {
            connection,
            database: Some("shop"),
            role: &Role::Plain,
            outline: seen,
            args: "",
            scratch_dir: scratch.path(),
            wait_timeout: WAIT,
        })
        .await
        .unwrap();
    let (mut sink, dump) = (started.sink, dump.to_vec());
    // A client that has given up closes its end; why, it says itself.
    let _ = tokio::task::spawn_blocking(move || sink.write_all(&dump))
        .await
        .unwrap();
    let finished = started.running.finish(&CancellationToken::new()).await;
    let words = started.words.clone();
    finished.map(|()| words).map_err(|error| error.to_string())
}

async fn server() -> MariaDb {
    let server = MariaDb::start().await;
    server
        .run(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.keep (n INT PRIMARY KEY, t TEXT)",
            "INSERT INTO shop.keep VALUES (1, 'a; it''s \\\\'), (2, 'GRANT ALL')",
            "CREATE TRIGGER shop.t BEFORE INSERT ON shop.keep FOR EACH ROW BEGIN SET NEW.t = 'x'; SET @a = 1; END",
            "CREATE PROCEDURE shop.p() BEGIN /* x */ SELECT 1; SELECT 2; END",
        ])
        .await;
    server
}

async fn everything(server: &MariaDb) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for query in [
        "SELECT n, t FROM shop.keep ORDER BY n",
        "SHOW TABLES IN shop",
        "SELECT user, host, authentication_string FROM mysql.user ORDER BY 1, 2",
        "SHOW DATABASES",
        "SELECT @@GLOBAL.max_connections, @@GLOBAL.local_infile",
    ] {
        found.extend(server.rows(query).await);
    }
    found
}

async fn dumped(server: &MariaDb, args: &str) -> Vec<u8> {
    let scratch = tempfile::tempdir().unwrap();
    let connection = server.connection();
    let dump = Family::MySql
        .dump(DumpRequest {
            connection: &connection,
            role: &Role::Plain,
            databases: &["shop".to_owned()],
            args,
            default_args: false,
            program: "",
            scratch_dir: scratch.path(),
            wait_timeout: WAIT,
            cancel: CancellationToken::new(),
        })
        .await
        .unwrap();
    let (data, result): (_, Result<_, StreamError>) = drain::drain(dump.stream).await;
    result.unwrap();
    data
}

#[tokio::test]
async fn a_dump_that_was_cut_off_anywhere_is_refused_before_the_first_byte() {
    let server = server().await;
    let to = server.connection();
    let bytes = dumped(&server, "").await;
    let before = everything(&server).await;
    examine(&to, &outline(&bytes)).await.unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let behind = |words: &str| text.find(words).unwrap() + words.len();
    let last = text.rfind("-- Dump completed").unwrap();
    let mut cuts = vec![
        behind("INSERT INTO `keep` VALUES"),
        behind("'a; it"),
        behind("CREATE TABLE `ke"),
        behind("BEGIN SET NEW"),
        behind("/* x"),
        last,
    ];
    cuts.extend((0..20).map(|n| n * last / 20));
    for cut in cuts {
        let error = examine(&to, &outline(&bytes[..cut])).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_permanent()),
            ("DumpIncomplete", true),
            "{cut}: {error}"
        );
    }
    let mut seen = outline(&bytes[..last]);
    seen.allowed.incomplete = true;
    examine(&to, &seen).await.unwrap();
    // Without comments nothing in a dump says that it is whole. One that kubestash has stored is.
    let lines = text.lines().filter(|line| !line.starts_with("-- "));
    let bare = lines.collect::<Vec<_>>().join("\n").into_bytes();
    let mut seen = outline(&bare);
    assert!(examine(&to, &seen).await.is_err());
    seen.proven = true;
    examine(&to, &seen).await.unwrap();
    let mut seen = outline(&bytes[..last]);
    seen.proven = true;
    let error = examine(&to, &seen).await.unwrap_err();
    assert!(error.to_string().contains("allowIncomplete"), "{error}");
    assert_eq!(everything(&server).await, before);

    // And it comes back, with the first line that MariaDB's own client writes in front of it.
    server
        .run(&["DELETE FROM shop.keep", "DROP PROCEDURE shop.p"])
        .await;
    let mut whole = b"/*M!999999\\- enable the sandbox mode */ \n".to_vec();
    whole.extend_from_slice(&bytes);
    let seen = outline(&whole);
    examine(&to, &seen).await.unwrap();
    let words = load(&to, &whole, &seen).await.unwrap().join(" ");
    for word in ["--binary-mode", "--local-infile=0", "--sandbox"] {
        assert!(words.contains(word), "{words}");
    }
    assert_eq!(everything(&server).await, before);
}

#[tokio::test]
async fn what_a_dump_may_not_do_is_refused_before_the_first_byte() {
    let server = server().await;
    let to = server.connection();
    let before = everything(&server).await;
    let dump = |text: &str| {
        format!(
            "-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB\n--\n-- Server version\t10.1.1-MariaDB\n\n{text}\n-- Dump completed on 2026-12-01  4:30:00\n"
        )
    };
    for (evil, kind) in [
        ("\\! id", "DumpRefused"),
        ("system id\n;", "DumpRefused"),
        ("source /etc/passwd\n;", "DumpRefused"),
        ("SELECT 1;\0", "DumpRefused"),
        (
            "LOAD DATA LOCAL INFILE '/etc/shadow' INTO TABLE keep;",
            "DumpChangesServer",
        ),
        (
            "SELECT 1 INTO OUTFILE '/tmp/kubestash-evil';",
            "DumpChangesServer",
        ),
        (
            "/*!50001 ALTER USER*/ root@localhost IDENTIFIED BY 'stolen';",
            "DumpChangesServer",
        ),
        ("SET GLOBAL max_connections = 7;", "DumpChangesServer"),
        (
            "USE mysql;\nINSERT INTO global_priv VALUES (1);",
            "DumpChangesServer",
        ),
        (
            "PREPARE s FROM 'CREATE USER evil';\nEXECUTE s;",
            "DumpChangesServer",
        ),
        (
            "DELIMITER //\nDROP DATABASE mysql //\nDELIMITER ;",
            "DumpChangesServer",
        ),
    ] {
        let text = dump(evil);
        let error = examine(&to, &outline(text.as_bytes()))
            .await
            .expect_err(evil);
        assert_eq!(
            (error.kind(), error.is_permanent()),
            (kind, true),
            "{evil}: {error}"
        );
        assert!(error.to_string().contains("in line ") && !error.to_string().contains("stolen"));
    }
    assert_eq!(everything(&server).await, before);

    // Should nobody have looked, the client itself reads no file of this machine and runs nothing.
    let unseen = Outline::default();
    let file = std::path::Path::new("/tmp/kubestash-evil-mysql");
    for evil in [
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE keep (t);".to_owned(),
        format!("\\! touch {}\n", file.display()),
        format!("system touch {}\n;", file.display()),
        format!("tee {}\n;", file.display()),
        "source /etc/passwd\n;".to_owned(),
    ] {
        let failed = load(&to, evil.as_bytes(), &unseen).await;
        assert!(failed.is_err(), "{evil}");
        assert!(!file.exists(), "{evil}");
    }
    assert_eq!(everything(&server).await, before);

    // What is asked for is done.
    let text = dump("SET GLOBAL max_connections = 77;");
    let mut seen = outline(text.as_bytes());
    seen.allowed = Allowed {
        server_changes: true,
        ..Allowed::default()
    };
    examine(&to, &seen).await.unwrap();
    load(&to, text.as_bytes(), &seen).await.unwrap();
    assert_eq!(
        server.column("SELECT @@GLOBAL.max_connections").await,
        ["77"]
    );
}
