//! Servers with several databases, and their roles.

use kubestash_database::Role;

use crate::server::{PASSWORD, Postgres};
use crate::task::{Request, examine, load, restore};

/// Names that need quoting, and one that psql's own commands cannot hold.
const NAMES: [&str; 4] = ["shop", "We ird\"'\\", "a=b host=evil", "line\nbreak"];

async fn fill(server: &Postgres) {
    server.create(&NAMES).await;
    for (n, name) in NAMES.iter().enumerate() {
        let sql = format!(
            "CREATE TABLE t (n int PRIMARY KEY, text text); \
             INSERT INTO t SELECT g, E'-- kubestash-index: {{}}\\n\\\\connect evil ' || {n} FROM generate_series(1, 3000) g"
        );
        server.run(name, &sql).await;
    }
}

async fn sums(server: &Postgres) -> Vec<String> {
    let mut sums = Vec::new();
    for name in NAMES {
        let sum = "SELECT count(*), md5(string_agg(n || text, ',' ORDER BY n)) FROM t";
        sums.extend(server.ask(name, sum).await);
    }
    sums
}

#[tokio::test]
async fn all_databases_of_users_come_back_on_another_server_and_no_role_is_touched() {
    let (from, to) = tokio::join!(Postgres::start(), Postgres::start());
    fill(&from).await;
    from.create(&["kubedb_system"]).await;
    from.run(
        "postgres",
        "CREATE ROLE guest LOGIN PASSWORD 'guest-secret'",
    )
    .await;
    let request = Request::plain(from.connection());
    let dump = request.start().await.unwrap();
    assert!(!dump.single);
    assert_eq!(
        dump.databases,
        [
            "We ird\"'\\",
            "a=b host=evil",
            "line\nbreak",
            "postgres",
            "shop"
        ]
    );
    let (bytes, result) = crate::task::read(dump).await;
    result.unwrap();
    assert_eq!(request.left_files(), 0);
    assert!(Request::plain(from.connection()).bytes().await.0 == bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    for absent in ["PASSWORD", "CREATE ROLE", "guest", PASSWORD] {
        assert!(!text.contains(absent), "{absent}");
    }

    let (database, accepted) = examine(&to.connection(), &Role::Plain, None, &bytes)
        .await
        .unwrap();
    assert_eq!(database.as_deref(), Some("postgres"));
    assert_eq!(accepted.missing.len(), 4);
    restore(&to.connection(), &Role::Plain, None, &bytes)
        .await
        .unwrap();
    assert_eq!(sums(&to).await, sums(&from).await);
    // Once more, over what is there now.
    to.run("shop", "DELETE FROM t WHERE n > 5").await;
    restore(&to.connection(), &Role::Plain, None, &bytes)
        .await
        .unwrap();
    assert_eq!(sums(&to).await, sums(&from).await);
    let roles = "SELECT rolname FROM pg_roles WHERE oid >= 16384";
    assert!(to.ask("postgres", roles).await.is_empty());
}

#[tokio::test]
async fn an_error_in_one_database_leaves_all_of_them_as_they_were() {
    let server = Postgres::start().await;
    fill(&server).await;
    let args = r#"shop "We ird\"'\\" "#.to_owned() + "'line\nbreak'";
    let (bytes, databases) = Request::plain(server.connection())
        .args(&args)
        .bytes()
        .await;
    assert_eq!(databases.len(), 3);
    for name in NAMES {
        server.run(name, "UPDATE t SET text = 'newer'").await;
    }
    // Something that the dump does not know stands in its way, in the last database.
    server
        .run("line\nbreak", "CREATE VIEW obstacle AS SELECT n FROM t")
        .await;
    let before = sums(&server).await;
    let error = restore(&server.connection(), &Role::Plain, None, &bytes)
        .await
        .unwrap_err();
    assert!(error.is_undone() && error.is_permanent(), "{error}");
    for words in [
        "view public.obstacle",
        "other objects depend on it",
        "restore into an empty",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(sums(&server).await, before);

    // A dump that breaks off anywhere changes nothing either, nor one whose last line is missing.
    server.run("line\nbreak", "DROP VIEW obstacle").await;
    for cut in [bytes.len() / 2, bytes.len() - 1000, bytes.len() - 1] {
        let error = load(&server.connection(), None, &bytes, cut)
            .await
            .unwrap_err();
        assert!(error.is_undone(), "{error}");
        assert_eq!(sums(&server).await, before, "{cut}");
    }
    restore(&server.connection(), &Role::Plain, None, &bytes)
        .await
        .unwrap();
    assert_ne!(sums(&server).await, before);
}

#[tokio::test]
async fn roles_come_along_only_on_request_and_never_change_the_password_of_who_restores() {
    let (from, to) = tokio::join!(Postgres::start(), Postgres::start());
    from.create(&["shop"]).await;
    from.run(
        "shop",
        "CREATE ROLE owner; CREATE ROLE guest LOGIN PASSWORD 'guest-secret' CONNECTION LIMIT 3 IN ROLE owner; \
         CREATE TABLE t (n int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO owner; GRANT SELECT ON t TO guest; \
         ALTER ROLE postgres PASSWORD 'of the source'",
    )
    .await;
    let source = from.connection_as("postgres", "of the source");

    // Without its roles the dump does not fit an empty server, and says what to do.
    let (bytes, _) = Request::plain(source.clone()).args("shop").bytes().await;
    let error = examine(&to.connection(), &Role::Plain, Some("shop"), &bytes)
        .await
        .unwrap_err();
    for words in [
        "the roles \"guest\", \"owner\"",
        "create it there first",
        "--no-owner",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    let databases = "SELECT count(*) FROM pg_database WHERE datname = 'shop'";
    assert_eq!(to.ask("postgres", databases).await, ["0"]);

    let request = Request::plain(source.clone()).program("pg_dumpall");
    let (bytes, databases) = request.args("--exclude-database=postgres").bytes().await;
    assert_eq!(databases, ["shop"]);
    restore(&to.connection(), &Role::Plain, None, &bytes)
        .await
        .unwrap();
    // This still connects with the target's password.
    let owner = "SELECT relowner::regrole::text, relacl::text FROM pg_class WHERE relname = 't'";
    assert_eq!(to.ask("shop", owner).await[0], "owner");
    let guest = "SELECT rolconnlimit, rolpassword FROM pg_authid WHERE rolname = 'guest'";
    let hash = to.ask("postgres", guest).await;
    assert!(hash[0] == "3" && hash[1].starts_with("SCRAM"), "{hash:?}");
    // Once more, where all of it is there: what is there stays as it is.
    to.run("postgres", "ALTER ROLE guest CONNECTION LIMIT 7")
        .await;
    let (_, accepted) = examine(&to.connection(), &Role::Plain, None, &bytes)
        .await
        .unwrap();
    let told = accepted.notes.iter().any(|note| note.contains("\"guest\""));
    assert!(told, "{:?}", accepted.notes);
    restore(&to.connection(), &Role::Plain, None, &bytes)
        .await
        .unwrap();
    assert_eq!(to.ask("postgres", guest).await[0], "7");
    assert_eq!(to.ask("shop", "SELECT n FROM t").await, ["1"]);

    let request = Request::plain(source).program("pg_dump; touch /tmp/x");
    let error = request.start().await.err().unwrap();
    assert_eq!(
        (error.kind(), error.is_permanent()),
        ("BackupCommandUnknown", true)
    );
}

#[tokio::test]
async fn a_dump_that_pg_dumpall_made_by_itself_is_loaded_and_its_errors_count() {
    let (from, to) = tokio::join!(Postgres::start(), Postgres::start());
    from.create(&["shop"]).await;
    from.run(
        "shop",
        "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (7); CREATE ROLE guest; \
         ALTER ROLE postgres PASSWORD 'of the source'",
    )
    .await;
    let output = tokio::process::Command::new("pg_dumpall")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &from.port.to_string(),
            "-U",
            "postgres",
        ])
        .env("PGPASSWORD", "of the source")
        .output()
        .await
        .unwrap();
    assert!(output.status.success());
    restore(&to.connection(), &Role::Plain, None, &output.stdout)
        .await
        .unwrap();
    assert_eq!(to.ask("shop", "SELECT n FROM t").await, ["7"]);
    // The table is there now: that is told, not passed over.
    let error = restore(&to.connection(), &Role::Plain, None, &output.stdout)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("relation \"t\" already exists"),
        "{error}"
    );
    assert!(!error.is_undone());
}
