//! What goes wrong, and what is said about it.

use std::time::{Duration, Instant};

use kubestash_database::{Role, StreamError};

use crate::server::{PASSWORD, Postgres, free_port};
use crate::task::{Request, examine, load, read, restore};

const SLOW: &str = "CREATE TABLE t (n int, text text); \
    INSERT INTO t SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 60000) g";

#[tokio::test]
async fn a_wrong_password_fails_at_once_and_a_silent_server_when_the_time_is_up() {
    let server = Postgres::start().await;
    let started = Instant::now();
    let mut request = Request::plain(server.connection_as("postgres", "hunter2"));
    request.wait = Duration::from_secs(300);
    let error = request.start().await.err().unwrap();
    assert_eq!(
        (error.kind(), error.is_permanent()),
        ("DatabaseAccessDenied", true)
    );
    for words in [
        "password authentication failed",
        "Secret demo/sample-postgres-auth",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(!error.to_string().contains("hunter2"));
    assert!(started.elapsed() < Duration::from_secs(60));

    let mut request = Request::plain(server.connection());
    request.connection.port = free_port();
    request.wait = Duration::from_millis(300);
    let error = request.start().await.err().unwrap();
    assert_eq!(
        (error.kind(), error.is_permanent()),
        ("DatabaseUnreachable", false)
    );

    let request = Request::plain(server.connection_as("postgres", "two\nlines"));
    let error = request.start().await.err().unwrap();
    assert!(error.to_string().contains("line break"), "{error}");
    let request = Request::plain(server.connection()).args("nope");
    let error = request.start().await.err().unwrap();
    assert_eq!(error.kind(), "DatabaseUnknown");
    assert!(error.to_string().contains("\"postgres\""), "{error}");
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_with_its_object() {
    let server = Postgres::start().await;
    server.create(&["shop", "closed"]).await;
    server
        .run(
            "shop",
            "CREATE ROLE weak LOGIN PASSWORD 'weak'; CREATE TABLE open (n int); CREATE TABLE private (n int); \
             GRANT SELECT ON open TO weak; REVOKE CONNECT ON DATABASE closed FROM PUBLIC; \
             REVOKE CREATE ON DATABASE shop FROM PUBLIC",
        )
        .await;
    let weak = || server.connection_as("weak", "weak");
    let request = Request::plain(weak()).args("shop");
    let error = read(request.start().await.unwrap()).await.1.unwrap_err();
    for words in [
        "permission denied for table private",
        "SELECT",
        "pg_read_all_data",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(error.is_permanent());
    let error = Request::plain(weak())
        .args("closed")
        .start()
        .await
        .err()
        .unwrap();
    for words in ["\"weak\"", "CONNECT", "\"closed\""] {
        assert!(error.to_string().contains(words), "{error}");
    }

    // Before the first byte is written.
    let (bytes, _) = Request::plain(server.connection())
        .args("shop")
        .bytes()
        .await;
    for (database, words) in [
        ("shop", "CREATE on the database \"shop\""),
        ("new", "CREATEDB"),
    ] {
        let error = examine(&weak(), &Role::Plain, Some(database), &bytes)
            .await
            .err()
            .unwrap();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.kind(), "DatabaseRightMissing");
    }
    // And what only shows when it is written.
    server
        .run("shop", "GRANT CREATE ON DATABASE shop TO weak")
        .await;
    let error = restore(&weak(), &Role::Plain, Some("shop"), &bytes)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("must be owner of table"),
        "{error}"
    );
    assert!(error.is_undone());
}

#[tokio::test]
async fn a_server_that_takes_no_writes_or_is_older_is_refused_beforehand() {
    let server = Postgres::start().await;
    server.create(&["shop"]).await;
    let to = server.connection();
    let (bytes, _) = Request::plain(to.clone()).args("shop").bytes().await;
    let newer = String::from_utf8(bytes.clone()).unwrap().replace(
        "-- Dumped from database version 1",
        "-- Dumped from database version 99",
    );
    let error = examine(&to, &Role::Plain, Some("shop"), newer.as_bytes())
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), "DatabaseIncompatible");
    server
        .run(
            "postgres",
            "ALTER ROLE postgres SET default_transaction_read_only = on",
        )
        .await;
    let error = examine(&to, &Role::Plain, Some("shop"), &bytes)
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), "DatabaseReadOnly");
    assert!(
        error.to_string().contains("default_transaction_read_only"),
        "{error}"
    );

    // Only the database that is restored counts, and what is said for the user counts before what
    // is said for it.
    for (statement, is_refused) in [
        (
            "ALTER ROLE postgres RESET default_transaction_read_only",
            false,
        ),
        (
            "ALTER DATABASE postgres SET default_transaction_read_only = on",
            false,
        ),
        (
            "ALTER DATABASE shop SET default_transaction_read_only = on",
            true,
        ),
        (
            "ALTER ROLE postgres IN DATABASE shop SET default_transaction_read_only = off",
            false,
        ),
    ] {
        server
            .run(
                "template1",
                &format!("BEGIN READ WRITE; {statement}; COMMIT"),
            )
            .await;
        let looked = examine(&to, &Role::Plain, Some("shop"), &bytes).await;
        match looked {
            Ok(_) => assert!(!is_refused, "{statement}"),
            Err(error) => {
                assert!(
                    is_refused && error.kind() == "DatabaseReadOnly",
                    "{statement}: {error}"
                );
                assert!(error.to_string().contains("ALTER DATABASE"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_or_server_killed_in_the_middle_ends_in_an_error_and_a_cancel_ends_the_client() {
    let mut server = Postgres::start().await;
    server.create(&["big", "copy"]).await;
    server.run("big", SLOW).await;
    let (whole, _) = Request::plain(server.connection())
        .args("big")
        .bytes()
        .await;

    // A restore that is broken off leaves nothing.
    let error = load(&server.connection(), Some("copy"), &whole, whole.len() / 2)
        .await
        .unwrap_err();
    assert!(error.is_undone(), "{error}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(server.ask("copy", tables).await, ["0"]);

    let request = Request::plain(server.connection()).args("big");
    let dump = request.start().await.unwrap();
    request.cancel.cancel();
    let error = read(dump).await.1.unwrap_err();
    assert!(matches!(error, StreamError::Cancelled), "{error}");
    assert_eq!(request.left_files(), 0);

    let request = Request::plain(server.connection()).args("big");
    let dump = request.start().await.unwrap();
    server.kill();
    let (data, result) = read(dump).await;
    let error = result.unwrap_err();
    assert!(data.len() < whole.len() && !error.is_permanent(), "{error}");
}

#[tokio::test]
async fn the_password_and_our_environment_are_nowhere_while_a_dump_runs() {
    let server = Postgres::start().await;
    server.create(&["big"]).await;
    server.run("big", SLOW).await;
    let request = Request::plain(server.connection()).args("big");
    assert!(!format!("{:?}", request.connection).contains("canary"));
    let dump = request.start().await.unwrap();
    assert!(!dump.words.join(" ").contains("canary"));

    // The client is at work and cannot end: nobody reads its output yet.
    let service = request.scratch.path().display().to_string();
    let deadline = Instant::now() + Duration::from_secs(20);
    let client = loop {
        let found = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .find(|process| {
                std::fs::read(process.path().join("environ"))
                    .is_ok_and(|content| String::from_utf8_lossy(&content).contains(&service))
            });
        if let Some(found) = found {
            break found.path();
        }
        assert!(Instant::now() < deadline, "pg_dump does not run");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    for file in ["cmdline", "environ"] {
        let content = std::fs::read(client.join(file)).unwrap();
        let text = String::from_utf8_lossy(&content).into_owned();
        assert!(!text.contains("canary"), "{file}");
        for ours in ["CARGO", "PGPASSWORD", "PGOPTIONS"] {
            assert!(!text.contains(ours), "{file}: {ours}");
        }
    }
    let (_, result) = read(dump).await;
    result.unwrap();
    assert_eq!(request.left_files(), 0);
    assert!(PASSWORD.contains("canary"));
}

#[tokio::test]
async fn a_dump_cannot_make_psql_run_commands() {
    let server = Postgres::start().await;
    server.create(&["shop"]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    for evil in [
        format!("\\! touch {}\n", file.display()),
        format!("\\o {}\nSELECT 1;\n", file.display()),
        format!("\\copy (SELECT 1) TO '{}'\n", file.display()),
    ] {
        let dump = format!(
            "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n\\unrestrict abc\n{evil}"
        );
        let result = load(
            &server.connection(),
            Some("shop"),
            dump.as_bytes(),
            dump.len(),
        )
        .await;
        let error = result.unwrap_err();
        assert!(error.to_string().contains("restricted"), "{error}");
        assert!(!file.exists());
    }
}
