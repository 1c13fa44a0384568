//! Dumps with flags in `args`: each that is accepted gives a dump that comes back, with a real
//! MariaDB.
#![cfg(test)]

use std::io::Write;
use std::time::Duration;

use kubestash_database::{
    Accepted, Connection, DumpRequest, Error, ExamineRequest, Family, LoadRequest, Outliner, Role,
};
use kubestash_domain::args::{self, Tool};
use tokio_util::sync::CancellationToken;

#[path = "support/drain.rs"]
mod drain;
#[path = "support/options.rs"]
mod options;
mod support;
use drain::drain;
use support::MariaDb;

const WAIT: Duration = Duration::from_secs(20);

/// A dump, and what is recorded of it.
struct Dumped {
    bytes: Vec<u8>,
    databases: Vec<String>,
    single: bool,
    notes: Vec<String>,
}

impl Dumped {
    fn source(&self) -> Option<&str> {
        self.databases
            .first()
            .filter(|_| self.single)
            .map(String::as_str)
    }
}

async fn dump(to: &Connection, databases: &[&str], args: &str) -> Result<Dumped, Error> {
    let scratch = tempfile::tempdir().unwrap();
    let databases: Vec<String> = databases.iter().map(|name| (*name).to_owned()).collect();
    let dump = Family::MySql
        .dump(DumpRequest {
            connection: to,
            role: &Role::Plain,
            databases: &databases,
            args,
            default_args: false,
            program: "",
            scratch_dir: scratch.path(),
            wait_timeout: WAIT,
            cancel: CancellationToken::new(),
        })
        .await?;
    let (databases, single, notes) = (dump.databases.clone(), dump.single, dump.notes.clone());
    let (bytes, result) = drain(dump.stream).await;
    result.map_err(Error::Stream)?;
    Ok(Dumped {
        bytes,
        databases,
        single,
        notes,
    })
}

/// Looks at a dump, and loads it, as a restore does.
async fn restore(to: &Connection, dumped: &Dumped, args: &str) -> Result<Accepted, Error> {
    let mut outliner = Outliner::new(Family::MySql);
    outliner.write_all(&dumped.bytes).unwrap();
    let outline = outliner.take();
    let target = Family::MySql
        .examine(ExamineRequest {
            connection: to,
            role: &Role::Plain,
            source: dumped.source(),
            args,
            wait_timeout: WAIT,
        })
        .await?;
    let accepted = target.accepts(&outline)?;
    for database in &accepted.missing {
        Family::MySql.create_database(to, database, WAIT).await?;
    }
    let scratch = tempfile::tempdir().unwrap();
    let started = Family::MySql
        .load(LoadRequest {
            connection: to,
            database: target.database(),
            role: &Role::Plain,
            outline: &outline,
            args,
            scratch_dir: scratch.path(),
            wait_timeout: WAIT,
        })
        .await?;
    let (mut sink, bytes) = (started.sink, dumped.bytes.clone());
    let written = tokio::task::spawn_blocking(move || {
        let written = sink.write_all(&bytes);
        written.and_then(|()| sink.finish())
    });
    written.await.unwrap().unwrap();
    let running = started.running.finish(&CancellationToken::new()).await;
    running.unwrap_or_else(|error| panic!("{args}: {error}"));
    Ok(accepted)
}

/// A database with what flags have spoiled: characters of four bytes, binary data, moments, row
/// number 0.
async fn fill(server: &MariaDb, database: &str) {
    server
        .run(&[
            &format!("CREATE DATABASE `{database}` CHARACTER SET utf8mb4"),
            &format!("USE `{database}`"),
            "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'",
            "CREATE TABLE parent (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(90) CHARACTER SET utf8mb4, bytes VARBINARY(9)) ENGINE=InnoDB DEFAULT CHARSET=latin1",
            // Comes before its parent in a dump.
            "CREATE TABLE child (id INT PRIMARY KEY, at TIMESTAMP NOT NULL, parent INT, FOREIGN KEY (parent) REFERENCES parent (id)) ENGINE=InnoDB",
            "INSERT INTO parent VALUES (0, '🐘 中文 ü ''\\\\ \\n', X'00FF0A0D275C')",
            "INSERT INTO child VALUES (1, '2024-03-31 02:30:00', 0)",
        ])
        .await;
}

/// Its rows, whatever the server's time zone.
async fn rows(server: &MariaDb, database: &str) -> Vec<Vec<String>> {
    let parents = format!("SELECT id, HEX(text), HEX(bytes) FROM `{database}`.parent");
    let children = format!("SELECT id, UNIX_TIMESTAMP(at), parent FROM `{database}`.child");
    let engines = format!(
        "SELECT TABLE_NAME, ENGINE, TABLE_COLLATION, AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{database}' ORDER BY 1"
    );
    let mut all = server.rows(&parents).await;
    all.extend(server.rows(&children).await);
    all.extend(server.rows(&engines).await);
    all
}

#[tokio::test]
async fn a_bare_word_is_the_database_of_a_backup_and_of_a_restore() {
    let server = MariaDb::start().await;
    fill(&server, "mydb").await;
    server.run(&["CREATE DATABASE other"]).await;
    let to = server.connection();
    let dumped = dump(&to, &[], "mydb").await.unwrap();
    assert_eq!(
        (dumped.databases.as_slice(), dumped.single),
        (&["mydb".to_owned()][..], true)
    );
    let before = rows(&server, "mydb").await;
    for (args, place) in [
        ("copy", "copy"),
        ("--one-database=guide", "guide"),
        ("--one-database other", "other"),
        ("-D mydb", "mydb"),
        ("", "mydb"),
    ] {
        let accepted = restore(&to, &dumped, args).await.unwrap();
        assert_eq!(accepted.databases, [place], "{args}");
        assert_eq!(rows(&server, place).await, before, "{args}");
    }
    let error = dump(&to, &[], "no_such").await.err().unwrap();
    assert!(
        error
            .to_string()
            .ends_with("correct the task parameter args"),
        "{error}"
    );
    let error = dump(&to, &["no_such"], "").await.err().unwrap();
    assert!(
        error
            .to_string()
            .ends_with("correct the task parameter databases"),
        "{error}"
    );

    // A dump that names its databases goes nowhere else, and a name never selects a part of it in
    // silence.
    let both = dump(&to, &["mydb", "other"], "").await.unwrap();
    for args in ["copy", "--one-database=mydb", "mydb"] {
        let error = restore(&to, &both, args).await.unwrap_err();
        assert_eq!(error.kind(), "DatabaseUnknown", "{args}: {error}");
    }
    let accepted = restore(&to, &both, "").await.unwrap();
    assert_eq!(accepted.databases, ["mydb", "other"]);
    // The original's dumps of one database name it, and nothing else is recorded.
    let named = Dumped {
        bytes: [b"USE `guide`;\n".as_slice(), &dumped.bytes].concat(),
        single: false,
        ..dumped
    };
    assert_eq!(
        restore(&to, &named, "--one-database=guide")
            .await
            .unwrap()
            .databases,
        ["guide"]
    );
    // Without a name anywhere, a dump is refused before its first byte.
    let nameless = Dumped {
        bytes: named.bytes[b"USE `guide`;\n".len()..].to_vec(),
        ..named
    };
    let error = restore(&to, &nameless, "").await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("name it in the task parameter args"),
        "{error}"
    );
}

#[tokio::test]
async fn a_dump_that_drops_nothing_says_so_and_is_refused_where_something_is() {
    let mut server = MariaDb::start().await;
    fill(&server, "mydb").await;
    let to = server.connection();
    let before = rows(&server, "mydb").await;
    let mut dumps = Vec::new();
    for args in [
        "--skip-opt",
        "--compact",
        "--skip-add-drop-table",
        "--opt=0",
        "--compac",
    ] {
        let dumped = dump(&to, &["mydb"], args).await.unwrap();
        let told = |note: &String| note.contains("can only be restored into an empty database");
        assert!(dumped.notes.iter().any(told), "{args}: {:?}", dumped.notes);
        let error = restore(&to, &dumped, "").await.unwrap_err();
        assert_eq!(error.kind(), "DatabaseNotEmpty", "{args}: {error}");
        assert!(error.is_permanent());
        dumps.push((args, dumped));
    }
    assert_eq!(rows(&server, "mydb").await, before);
    // Elsewhere on the globe and with another idea of text.
    server.kill();
    server
        .boot_with(&[
            "--default-time-zone=+05:45".to_owned(),
            "--character-set-server=latin1".to_owned(),
        ])
        .await;
    for (args, dumped) in dumps {
        server.run(&["DROP DATABASE IF EXISTS fresh"]).await;
        restore(&to, &dumped, "fresh").await.unwrap();
        assert_eq!(rows(&server, "fresh").await, before, "{args}");
    }
}

#[tokio::test]
async fn every_option_of_the_installed_clients_is_classified() {
    let mut count = 0;
    for (program, tool) in [
        ("mariadb-dump", Tool::MySqlDump),
        ("mysqldump", Tool::MySqlDump),
        ("mariadb", Tool::MySqlClient),
        ("mysql", Tool::MySqlClient),
    ] {
        for option in options::of(program, &["--no-defaults", "--help"]) {
            assert!(
                options::is_known(tool, &option.name),
                "{program} --{}",
                option.name
            );
            count += 1;
        }
    }
    assert!(count > 300, "{count}");
}

/// Whatever a switch of the installed client does: if it is accepted, the dump comes back with
/// every row.
#[tokio::test]
async fn a_dump_with_any_accepted_switch_comes_back() {
    let server = MariaDb::start().await;
    fill(&server, "mydb").await;
    let to = server.connection();
    let before = rows(&server, "mydb").await;
    let (mut tried, mut lost) = (0, Vec::new());
    for option in options::of("mariadb-dump", &["--no-defaults", "--help"]) {
        let args = match option.is_on {
            true => format!("--skip-{}", option.name),
            false => format!("--{}", option.name),
        };
        let accepted = args::parse(Tool::MySqlDump, &args)
            .is_ok_and(|args| !args.all_databases && args.databases.is_empty());
        if option.takes_value || option.name.starts_with("ssl") || !accepted {
            continue;
        }
        tried += 1;
        let dumped = match dump(&to, &["mydb"], &args).await {
            Ok(dumped) => dumped,
            Err(error) => {
                lost.push(format!("{args}: {error}"));
                continue;
            }
        };
        let is_whole = String::from_utf8_lossy(&dumped.bytes).contains("-- Dump completed");
        server.run(&["DROP DATABASE IF EXISTS fresh"]).await;
        let restored = restore(&to, &dumped, "fresh")
            .await
            .map_err(|e| e.to_string());
        if !is_whole || restored.is_err() || rows(&server, "fresh").await != before {
            lost.push(format!("{args}: {is_whole} {restored:?}"));
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(tried > 30, "{tried}");
}
