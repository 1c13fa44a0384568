//! Dumps that are cut off, and dumps that want more than to be loaded.

use std::time::{Duration, Instant};

use kubestash_database::{Aftermath, Allowed, Family, LoadRequest, Outline, Role};
use tokio_util::sync::CancellationToken;

use crate::server::Postgres;
use crate::task::{Request, examine, examine_seen, load_seen, outline, restore};

/// The lines around what a dump of one database holds.
fn dump(text: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 13.1\n\n\
         SET standard_conforming_strings = on;\n{text}\n--\n-- PostgreSQL database dump complete\n--\n\n"
    )
}

/// The lines around what a dump of a whole server holds.
fn cluster(text: &str) -> String {
    format!(
        "--\n-- PostgreSQL database cluster dump\n--\n\nSET client_encoding = 'UTF8';\n{text}\n\
         --\n-- PostgreSQL database cluster dump complete\n--\n\n"
    )
}

/// A server with a database that nothing may happen to.
async fn server() -> Postgres {
    let server = Postgres::start().await;
    server.create(&["shop", "other"]).await;
    let keep =
        "CREATE TABLE keep (n int PRIMARY KEY, t text); INSERT INTO keep VALUES (1, 'a'), (2, 'b')";
    server.run("shop", keep).await;
    server.run("other", keep).await;
    server
}

/// All that there is: rows, tables, roles with passwords, settings, databases.
async fn everything(server: &Postgres) -> Vec<String> {
    let mut found = Vec::new();
    for database in ["shop", "other", "postgres"] {
        let tables = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
        found.extend(server.ask(database, tables).await);
        if database != "postgres" {
            found.extend(
                server
                    .ask(database, "SELECT n, t FROM keep ORDER BY n")
                    .await,
            );
        }
    }
    for query in [
        "SELECT rolname, rolsuper, rolcanlogin, rolpassword FROM pg_authid ORDER BY 1",
        "SELECT datname FROM pg_database ORDER BY 1",
        "SELECT name, setting FROM pg_file_settings ORDER BY 1",
        "SELECT setdatabase, setrole, setconfig FROM pg_db_role_setting",
    ] {
        found.extend(server.ask("postgres", query).await);
    }
    found
}

#[tokio::test]
async fn a_dump_that_was_cut_off_anywhere_is_refused_before_the_first_byte() {
    let server = server().await;
    server
        .run(
            "shop",
            "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN /* x */ RETURN 'it''s'; END $f$; \
             COMMENT ON TABLE keep IS 'quoted ''text''; COMMIT;'; SELECT lo_from_bytea(4242, 'abc')",
        )
        .await;
    let to = server.connection();
    let (bytes, _) = Request::plain(to.clone()).args("shop").bytes().await;
    let before = everything(&server).await;
    let text = String::from_utf8(bytes.clone()).unwrap();
    let behind = |words: &str| text.find(words).unwrap() + words.len();
    let mut cuts = vec![
        behind("BEGIN /* x"),
        behind("quoted ''te"),
        behind("FROM stdin;\n1"),
        behind("FROM stdin;\n1\ta\n"),
        behind("FROM stdin;"),
        behind("CREATE TABLE public.kee"),
        behind("lowrite(0"),
        text.rfind("-- PostgreSQL database dump complete").unwrap(),
    ];
    cuts.extend((0..20).map(|n| n * text.len() / 20));
    for cut in cuts {
        let error = examine(&to, &Role::Plain, Some("shop"), &bytes[..cut])
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.is_permanent()),
            ("DumpIncomplete", true),
            "{cut}: {error}"
        );
        assert!(error.to_string().contains("cut off"), "{error}");
    }
    // What ends between statements can be asked for; what ends within one cannot be loaded by
    // anybody.
    let mut seen = outline(
        &bytes[..text
            .rfind("--\n-- PostgreSQL database dump complete")
            .unwrap()],
    );
    let error = examine_seen(&to, &Role::Plain, Some("shop"), &seen)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("allowIncomplete"), "{error}");
    seen.allowed.incomplete = true;
    examine_seen(&to, &Role::Plain, Some("shop"), &seen)
        .await
        .unwrap();
    let mut seen = outline(&bytes[..behind("FROM stdin;\n1")]);
    seen.allowed.incomplete = true;
    seen.proven = true;
    let error = examine_seen(&to, &Role::Plain, Some("shop"), &seen)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the data of a COPY"), "{error}");
    assert_eq!(everything(&server).await, before);

    // The same of several databases, whose last line is there and whose first dump is cut.
    let (several, _) = Request::plain(to.clone()).args("shop other").bytes().await;
    examine(&to, &Role::Plain, None, &several).await.unwrap();
    let lines = String::from_utf8(several).unwrap();
    let broken = lines.replacen("database dump complete", "database dump c0mplete", 1);
    let error = examine(&to, &Role::Plain, None, broken.as_bytes())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "DumpIncomplete");

    // Large objects come with a BEGIN and a COMMIT of their own, which are left out.
    assert!(text.contains("\nBEGIN;\n") && text.contains("\nCOMMIT;\n"));
    server
        .run("shop", "SELECT lo_unlink(4242); DELETE FROM keep")
        .await;
    restore(&to, &Role::Plain, Some("shop"), &bytes)
        .await
        .unwrap();
    assert_eq!(everything(&server).await, before);
    let large = "SELECT convert_from(lo_get(4242), 'UTF8')";
    assert_eq!(server.ask("shop", large).await, ["abc"]);
}

#[tokio::test]
async fn what_a_dump_may_not_do_is_refused_before_the_first_byte() {
    let server = server().await;
    let to = server.connection();
    let before = everything(&server).await;
    let secret = "SELECT 'x' \\g | id";
    let mut cases: Vec<(String, &str)> = Vec::new();
    for evil in [
        "\\! id",
        "\\set c `id`",
        "\\o /tmp/kubestash-evil",
        "\\connect \"host=127.0.0.1 password=x\"",
        "\\connect other",
        secret,
        "COMMIT; DROP TABLE keep; SELECT 1/0;",
        "ROLLBACK;",
        "BEGIN; DROP TABLE keep; COMMIT;",
        "SELECT 1;\n\0\n",
    ] {
        cases.push((dump(evil), "DumpRefused"));
    }
    for evil in [
        "alter role postgres password 'stolen';",
        "ALTER USER U&\"\\0070ostgres\" PASSWORD 'stolen';",
        "DO $$ BEGIN EXECUTE 'alter role postgres password ''stolen'''; END $$;",
        "CREATE ROLE evil SUPERUSER LOGIN PASSWORD 'x';",
        "ALTER SYSTEM SET archive_command = 'id';",
        "UPDATE pg_authid SET rolpassword = 'x';",
        "COPY keep FROM PROGRAM 'id';",
        "COPY keep TO '/tmp/kubestash-evil';",
        "ALTER DATABASE other SET search_path = evil;",
        "INSERT INTO keep VALUES (3, pg_read_file('/etc/passwd'));",
    ] {
        cases.push((dump(evil), "DumpChangesServer"));
    }
    for evil in [
        "\\! id",
        "\\set c `id`",
        "\\connect \"host=127.0.0.1 password=x\"",
        "\\o x",
    ] {
        cases.push((cluster(evil), "DumpRefused"));
        cases.push((cluster(&format!("\\connect shop\n{evil}")), "DumpRefused"));
    }
    for (evil, kind) in [
        ("\\connect shop\nCOMMIT;\nDROP TABLE keep;\n", "DumpRefused"),
        (
            "COPY keep FROM stdin;\nDROP TABLE keep;\n\\.\n",
            "DumpRefused",
        ),
        ("SELECT 1;\n", "DumpRefused"),
        (
            "ALTER SYSTEM SET archive_command = 'id';",
            "DumpChangesServer",
        ),
        ("DROP DATABASE other;", "DumpChangesServer"),
        (
            "ALTER ROLE ALL SET search_path = evil;",
            "DumpChangesServer",
        ),
        (
            "\\connect shop\nALTER ROLE postgres PASSWORD 'stolen';",
            "DumpChangesServer",
        ),
    ] {
        cases.push((cluster(evil), kind));
    }
    for (text, kind) in &cases {
        let refused = examine(&to, &Role::Plain, Some("shop"), text.as_bytes()).await;
        let error = refused.expect_err(text);
        assert_eq!(
            (error.kind(), error.is_permanent()),
            (*kind, true),
            "{text}: {error}"
        );
        assert!(error.to_string().contains("in line "), "{error}");
        assert!(!error.to_string().contains("stolen"), "{error}");
    }
    assert_eq!(everything(&server).await, before);
    assert!(!std::path::Path::new("/tmp/kubestash-evil").exists());

    // What is asked for is done.
    let text = dump("CREATE ROLE wanted;\nCREATE TABLE new (n int);\n");
    let mut seen = outline(text.as_bytes());
    seen.allowed = Allowed {
        server_changes: true,
        ..Allowed::default()
    };
    examine_seen(&to, &Role::Plain, Some("shop"), &seen)
        .await
        .unwrap();
    let wait = Duration::from_secs(20);
    load_seen(&to, Some("shop"), text.as_bytes(), text.len(), &seen, wait)
        .await
        .unwrap();
    let made = "SELECT count(*) FROM pg_roles WHERE rolname = 'wanted'";
    assert_eq!(server.ask("shop", made).await, ["1"]);
}

#[tokio::test]
async fn a_dump_that_nobody_has_looked_at_cannot_escape_its_transaction_or_hang() {
    let server = server().await;
    let to = server.connection();
    let before = everything(&server).await;
    let unseen = Outline::default();
    let loaded = async |text: &str| {
        let wait = Duration::from_secs(2);
        load_seen(
            &to,
            Some("shop"),
            text.as_bytes(),
            text.len(),
            &unseen,
            wait,
        )
        .await
    };
    // Nothing is said to be restored that is not, and nothing to be undone that was done.
    for (text, gone) in [
        ("ROLLBACK;\n", false),
        ("ROLLBACK; BEGIN;\n", false),
        ("COMMIT; DROP TABLE keep;\n", true),
    ] {
        let error = loaded(text).await.unwrap_err();
        assert_eq!(error.kind(), "LoadTransactionEnded", "{text}: {error}");
        assert_eq!(error.aftermath(), Aftermath::Escaped("shop".to_owned()));
        let there = server
            .ask("shop", "SELECT to_regclass('keep') IS NULL")
            .await;
        assert_eq!(there, [if gone { "t" } else { "f" }], "{text}");
    }
    server
        .run("shop", "CREATE TABLE keep (n int PRIMARY KEY, t text); INSERT INTO keep VALUES (1, 'a'), (2, 'b')")
        .await;
    // What ends within something is given up within seconds, and nothing stays locked.
    for text in [
        "LOCK TABLE keep; COPY keep FROM stdin;\n3\tc\n",
        "LOCK TABLE keep; SELECT 'a",
        "LOCK TABLE keep; SELECT $$a",
        "LOCK TABLE keep; /* a",
        "DELETE FROM keep; SELECT \"a",
    ] {
        let started = Instant::now();
        let error = loaded(text).await.unwrap_err();
        assert!(error.is_undone(), "{text}: {error}");
        assert_eq!(error.kind(), "LoadIncomplete", "{text}: {error}");
        assert!(started.elapsed() < Duration::from_secs(30), "{text}");
        let free = "BEGIN; SET lock_timeout = '10s'; LOCK TABLE keep; ROLLBACK";
        server.run("shop", free).await;
    }
    // A constraint that is looked at only at the end fails before anything is committed.
    let late = "CREATE TABLE late (n int REFERENCES keep DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO late VALUES (99);\n";
    let error = loaded(late).await.unwrap_err();
    assert!(
        error.is_undone() && error.to_string().contains("violates foreign key"),
        "{error}"
    );
    assert_eq!(everything(&server).await, before);
}

#[tokio::test]
async fn a_client_that_loads_has_no_rights_and_sees_no_credentials_but_its_own() {
    if std::fs::read_dir("/proc/1/fd").is_err() {
        // Only root can give rights away.
        return;
    }
    let server = server().await;
    let to = server.connection();
    let scratch = tempfile::tempdir_in("/tmp").unwrap();
    let text = dump("CREATE TABLE new (n int);\n");
    let seen = outline(text.as_bytes());
    let started = Family::Postgres
        .load(LoadRequest {
            connection: &to,
            database: Some("shop"),
            role: &Role::Plain,
            outline: &seen,
            args: "",
            scratch_dir: scratch.path(),
            wait_timeout: Duration::from_secs(20),
        })
        .await
        .unwrap();
    assert!(started.notes.is_empty(), "{:?}", started.notes);
    let mut sink = started.sink;
    let (half, rest) = text.split_at(text.len() / 2);
    let (half, rest) = (half.to_owned(), rest.to_owned());
    let mut sink = tokio::task::spawn_blocking(move || {
        std::io::Write::write_all(&mut sink, half.as_bytes()).unwrap();
        sink
    })
    .await
    .unwrap();
    let ours = std::process::id().to_string();
    let status = |process: &std::path::Path| std::fs::read_to_string(process.join("status"));
    let children: Vec<String> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|process| {
            std::fs::read(process.path().join("cmdline")).is_ok_and(|line| {
                let line = String::from_utf8_lossy(&line).into_owned();
                line.contains("kubestash-restore") && line.contains("'shop'")
            })
        })
        .filter_map(|process| status(&process.path()).ok())
        .filter(|status| status.contains(&format!("PPid:\t{ours}\n")))
        .collect();
    assert!(!children.is_empty());
    for status in &children {
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace()
                .skip(1)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert!(field("Uid:").iter().all(|id| id != "0"), "{status}");
        assert!(field("Gid:").iter().all(|id| id != "0"), "{status}");
        assert!(field("Groups:").is_empty(), "{status}");
        assert_eq!(field("CapEff:"), ["0000000000000000"], "{status}");
    }
    tokio::task::spawn_blocking(move || {
        std::io::Write::write_all(&mut sink, rest.as_bytes()).unwrap();
        sink.finish().unwrap();
    })
    .await
    .unwrap();
    started
        .running
        .finish(&CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(server.ask("shop", "SELECT count(*) FROM new").await, ["0"]);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_killed_restore_has_left_open_is_ended_by_the_next_one() {
    let server = server().await;
    let to = server.connection();
    let (bytes, _) = Request::plain(to.clone()).args("shop").bytes().await;
    // As the session of a restore whose machine went away: its transaction holds the table.
    let left = server.session("shop").await;
    let name = format!("kubestash-restore {}", to.origin.replace(' ', ""));
    left.batch_execute(&format!(
        "SET application_name = '{name}'; BEGIN; LOCK TABLE keep"
    ))
    .await
    .unwrap();
    // Somebody else's session is not ended.
    let other = server.session("shop").await;
    other
        .batch_execute("SET application_name = 'kubestash-restore demo/other'")
        .await
        .unwrap();
    let started = Instant::now();
    restore(&to, &Role::Plain, Some("shop"), &bytes)
        .await
        .unwrap();
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(left.batch_execute("SELECT 1").await.is_err());
    other.batch_execute("SELECT 1").await.unwrap();
}
