//! Dumps with flags in `args`: each that is accepted gives a dump that comes back.

use kubestash_database::{ExamineRequest, Family, Role};
use kubestash_domain::args::{self, Tool};

use crate::options;
use crate::server::Postgres;
use crate::task::{Request, outline, read, restore};

const FILL: &str = "CREATE TABLE t (id int PRIMARY KEY, text text, bytes bytea, at timestamptz, double float8); \
     INSERT INTO t VALUES (1, E'🐘 中文 \\\\ \\n', '\\x00ff0a', '2024-03-31 02:30:00+00', 0.1::float8 + 0.2::float8), (2, NULL, NULL, NULL, 'NaN');";
const ROWS: &str = "SELECT t.* FROM t ORDER BY id";

#[tokio::test]
async fn every_option_of_the_installed_clients_is_classified() {
    let mut count = 0;
    for (program, tool) in [
        ("pg_dump", Tool::PgDump),
        ("pg_dumpall", Tool::PgDumpAll),
        ("psql", Tool::Psql),
    ] {
        for option in options::of(program, &["--help"]) {
            assert!(
                options::is_known(tool, &option.name),
                "{program} --{}",
                option.name
            );
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

/// Whatever a switch of the installed client does: if it is accepted, the dump comes back with
/// every row.
#[tokio::test]
async fn a_dump_with_any_accepted_switch_comes_back() {
    let server = Postgres::start().await;
    server.run("postgres", "CREATE DATABASE shop").await;
    server.run("shop", FILL).await;
    let before = server.ask("shop", ROWS).await;
    let (mut tried, mut lost) = (0, Vec::new());
    for option in options::of("pg_dump", &["--help"]) {
        let args = format!("--{}", option.name);
        // Given twice, as this one needs another.
        let args = match option.name.as_str() {
            "disable-dollar-quoting" => format!("{args} --quote-all-identifiers"),
            _ => args,
        };
        if option.takes_value || args::parse(Tool::PgDump, &args).is_err() {
            continue;
        }
        tried += 1;
        let request = Request::plain(server.connection()).args(&format!("shop {args}"));
        let (bytes, result) = read(request.start().await.unwrap()).await;
        server
            .run(
                "shop",
                "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (9)",
            )
            .await;
        let restored = match result {
            Ok(_) => restore(&server.connection(), &Role::Plain, Some("shop"), &bytes)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if restored.is_err() || server.ask("shop", ROWS).await != before {
            lost.push(format!("{args}: {restored:?}"));
            server.run("shop", "DROP TABLE t").await;
            server.run("shop", FILL).await;
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(tried > 20, "{tried}");
}

#[tokio::test]
async fn a_name_in_the_args_of_a_restore_never_selects_a_part_in_silence() {
    let server = Postgres::start().await;
    for name in ["a", "b"] {
        server
            .run("postgres", &format!("CREATE DATABASE {name}"))
            .await;
        server.run(name, FILL).await;
    }
    let (both, databases) = Request::plain(server.connection())
        .args("a b")
        .bytes()
        .await;
    assert_eq!(databases, ["a", "b"]);
    for (args, refused) in [("--dbname=a", true), ("c", true), ("", false)] {
        let connection = server.connection();
        let target = Family::Postgres
            .examine(ExamineRequest {
                connection: &connection,
                role: &Role::Plain,
                source: None,
                args,
                wait_timeout: std::time::Duration::from_secs(20),
            })
            .await
            .unwrap();
        let accepted = target.accepts(&outline(&both));
        assert_eq!(accepted.is_err(), refused, "{args}");
        match accepted {
            Ok(accepted) => assert_eq!(accepted.databases, ["a", "b"]),
            Err(error) => assert!(error.to_string().contains("\"a\", \"b\""), "{error}"),
        }
    }
}
