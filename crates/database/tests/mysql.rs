//! Dumps and loads with a real MariaDB server and the real clients.
#![cfg(test)]

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use kubestash_database::{
    Connection, Credentials, Dump, DumpRequest, Error, ExamineRequest, Family, LoadRequest,
    Outline, Role, StreamError, Tls,
};
use tokio_util::sync::CancellationToken;

#[path = "support/drain.rs"]
mod drain;
mod support;
use drain::drain;
use support::{MariaDb, ROOT_PASSWORD, free_port};

const DEFAULT_ARGS: &str = "--set-gtid-purged=OFF --ignore-table=druid.druid_config";

/// A dump to be made by a test.
struct Request {
    connection: Connection,
    role: Role,
    databases: Vec<String>,
    args: String,
    wait: Duration,
    scratch: tempfile::TempDir,
    cancel: CancellationToken,
}

impl Request {
    fn druid(connection: Connection) -> Self {
        Self {
            connection,
            role: Role::DruidMetadata {
                linked_db: "druid".into(),
            },
            databases: Vec::new(),
            args: DEFAULT_ARGS.into(),
            wait: Duration::from_secs(20),
            scratch: tempfile::tempdir().unwrap(),
            cancel: CancellationToken::new(),
        }
    }

    fn plain(connection: Connection) -> Self {
        Self {
            role: Role::Plain,
            args: String::new(),
            ..Self::druid(connection)
        }
    }

    fn databases(mut self, names: &[&str]) -> Self {
        self.databases = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    fn linked_db(mut self, name: &str) -> Self {
        self.role = Role::DruidMetadata {
            linked_db: name.into(),
        };
        self
    }

    fn args(mut self, args: &str) -> Self {
        self.args = args.into();
        self
    }

    async fn start(&self) -> Result<Dump, Error> {
        Family::MySql
            .dump(DumpRequest {
                connection: &self.connection,
                role: &self.role,
                databases: &self.databases,
                args: &self.args,
                default_args: self.args == DEFAULT_ARGS,
                program: "",
                scratch_dir: self.scratch.path(),
                wait_timeout: self.wait,
                cancel: self.cancel.clone(),
            })
            .await
    }

    /// The whole dump as text, and what is known about it.
    async fn text(&self) -> (String, Vec<String>) {
        let dump = self.start().await.unwrap();
        let databases = dump.databases.clone();
        let (data, result) = read(dump).await;
        result.unwrap();
        (String::from_utf8(data).unwrap(), databases)
    }

    fn left_files(&self) -> usize {
        std::fs::read_dir(self.scratch.path()).unwrap().count()
    }
}

/// Reads a dump to its end or error.
async fn read(dump: Dump) -> (Vec<u8>, Result<usize, StreamError>) {
    drain(dump.stream).await
}

async fn load(connection: &Connection, database: Option<&str>, sql: &[u8]) -> Result<(), String> {
    let scratch = tempfile::tempdir().unwrap();
    let request = LoadRequest {
        connection,
        database,
        role: &Role::Plain,
        outline: &Outline::default(),
        args: "",
        scratch_dir: scratch.path(),
        wait_timeout: Duration::from_secs(20),
    };
    let started = Family::MySql.load(request).await.unwrap();
    let (mut sink, sql) = (started.sink, sql.to_vec());
    // A client that has given up closes its end; why, it says itself.
    let _ = tokio::task::spawn_blocking(move || sink.write_all(&sql))
        .await
        .unwrap();
    started
        .running
        .finish(&CancellationToken::new())
        .await
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_druids_metadata_is_dumped_whole_and_loads_into_another_database() {
    let server = MariaDb::start().await;
    server.fill_druid("druid", 200).await;
    server
        .run(&[
            "CREATE VIEW druid.used AS SELECT id FROM druid.druid_segments",
            "CREATE PROCEDURE druid.p() SELECT 1",
            "USE druid",
            "CREATE TRIGGER t BEFORE INSERT ON druid_rules FOR EACH ROW SET NEW.id = NEW.id",
            "CREATE EVENT druid.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
            "CREATE DATABASE other",
        ])
        .await;

    let request = Request::druid(server.connection());
    let (text, databases) = request.text().await;
    assert_eq!(databases, ["druid"]);
    assert_eq!(request.left_files(), 0);
    for absent in [
        "sandbox",
        "CREATE DATABASE",
        "USE `",
        "DROP TABLE IF EXISTS `druid_config`",
        "basic_authentication_a",
        "`other`",
        ROOT_PASSWORD,
    ] {
        assert!(!text.contains(absent), "{absent}");
    }
    for present in [
        "druid_segments",
        "PROCEDURE `p`",
        "TRIGGER",
        "EVENT `e`",
        "0x000102030405",
    ] {
        assert!(text.contains(present), "{present}");
    }
    assert!(
        text.trim_end().ends_with("-- Dump completed"),
        "{}",
        &text[text.len() - 80..]
    );
    // Two dumps of an unchanged database are the same bytes, so the second one costs no storage.
    assert_eq!(Request::druid(server.connection()).text().await.0, text);

    load(&server.connection(), Some("other"), text.as_bytes())
        .await
        .unwrap();
    for table in [
        "druid_segments",
        "druid_rules",
        "druid_audit",
        "druid_tasks",
    ] {
        let rows = |database: &str| {
            let sql = format!(
                "SELECT COALESCE(SHA2(GROUP_CONCAT(id, HEX(payload) ORDER BY id), 256), '') FROM {database}.{table}"
            );
            let server = &server;
            async move { server.column(&sql).await }
        };
        assert_eq!(rows("druid").await, rows("other").await, "{table}");
    }
    assert_eq!(
        server.column("SELECT COUNT(*) FROM other.used").await,
        ["200"]
    );
}

#[tokio::test]
async fn which_databases_are_dumped_follows_the_rules() {
    let server = MariaDb::start().await;
    server.fill_druid("meta", 3).await;
    server
        .run(&[
            "CREATE DATABASE druid",
            "CREATE DATABASE shop",
            "CREATE DATABASE `b c`",
        ])
        .await;
    server
        .run(&[
            "CREATE TABLE shop.t (x INT)",
            "CREATE TABLE `b c`.u (x INT)",
        ])
        .await;
    let druid = || Request::druid(server.connection());
    let plain = || Request::plain(server.connection());

    // The linked database is followed, by the ignored table too.
    let request = druid().linked_db("meta");
    let dump = request.start().await.unwrap();
    assert_eq!(dump.databases, ["meta"]);
    assert!(dump.single);
    assert!(
        dump.words
            .contains(&"--ignore-table=meta.druid_config".to_owned()),
        "{:?}",
        dump.words
    );
    assert!(
        dump.notes
            .iter()
            .any(|note| note.contains("--set-gtid-purged")),
        "{:?}",
        dump.notes
    );
    let (data, result) = read(dump).await;
    result.unwrap();
    let text = String::from_utf8(data).unwrap();
    assert!(text.contains("druid_segments") && !text.contains("basic_authentication_a"));
    assert!(text.contains("coordinator.config"));

    // `druid` is there but empty, and nothing else was named: that is said, not dumped.
    let error = druid().start().await.err().unwrap();
    assert_eq!(error.kind(), "DruidMetadataMissing");
    assert!(error.is_permanent());

    let (text, databases) = plain().text().await;
    assert_eq!(databases, ["b c", "druid", "meta", "shop"]);
    assert!(text.contains("CREATE DATABASE") && !text.contains("`mysql`"));
    let (text, databases) = plain().databases(&["shop"]).text().await;
    assert_eq!(databases, ["shop"]);
    assert!(!text.contains("CREATE DATABASE"));
    let (text, databases) = plain().databases(&[" b c ", "shop", "shop"]).text().await;
    assert_eq!(databases, ["b c", "shop"]);
    assert!(text.contains("USE `b c`"));
    let (_, databases) = plain().args("--databases shop").text().await;
    assert_eq!(databases, ["shop"]);
    let (text, databases) = plain()
        .args("--all-databases --ignore-database=mysql")
        .text()
        .await;
    assert_eq!(databases, ["b c", "druid", "meta", "shop"]);
    assert!(!text.contains("`mysql`"));
}

#[tokio::test]
async fn no_name_of_a_database_is_ever_more_than_a_name() {
    let server = MariaDb::start().await;
    server.fill_druid("druid", 1).await;
    let marker = tempfile::tempdir().unwrap();
    let file = marker.path().join("x");
    let x = file.display();
    let mut names: Vec<String> = [
        "a; touch X",
        "a && touch X",
        "a || touch X",
        "a | touch X",
        "a & touch X",
        "$(touch X)",
        "`touch X`",
        "${IFS}touch${IFS}X",
        "a\ntouch X",
        "a\r\ntouch X",
        "'; touch X; '",
        "\"; touch X; \"",
        "a' ; touch X #",
        "> X",
        ">> X",
        "< X",
        "2> X",
        "a > X",
        "<(touch X)",
        "--result-file=X",
        "-rX",
        "-r X",
        "--tab=X",
        "-TX",
        "--log-error=X",
        "--debug=d:t:o,X",
        "--defaults-file=X",
        "--defaults-extra-file=X",
        "--host=evil",
        "-hevil",
        "--plugin-dir=X",
        "--init-command=SELECT 1 INTO OUTFILE 'X'",
        "--all-databases",
        "-A",
        "--help",
        "--version",
        "--",
        "-",
        "--password=x",
        "-p",
        "--socket=X",
        "--tables",
        "druid druid_segments",
        "druid --result-file=X",
        "druid; DROP DATABASE druid",
        "`druid`",
        "druid`; DROP DATABASE druid; --",
        "' OR '1'='1",
        "druid' UNION SELECT 1 INTO OUTFILE 'X' -- ",
        "%",
        "druid%",
        "_ruid",
        "*",
        "../druid",
        "/etc/passwd",
        "~",
        "druid\0",
        "druid\t",
        "DRUID",
        "drüid",
        "\u{202e}druid",
        "druid\u{0}--host=evil",
        "{druid,mysql}",
        "$HOME",
        "!touch",
        "\\! touch X",
        "system touch X",
        "source X",
        "#druid",
        "/*!50000 druid*/",
        "@file",
        "druid.druid_segments",
    ]
    .iter()
    .map(|name| name.replace('X', &x.to_string()))
    .collect();
    names.push("x".repeat(100_000));
    assert!(names.len() > 51);
    for name in &names {
        let trimmed_is_real = name.trim() == "druid";
        let request = Request::druid(server.connection()).databases(&[name]);
        match request.start().await {
            Err(error) => {
                assert_eq!(error.kind(), "DatabaseUnknown", "{name:?}: {error}");
                assert!(error.is_permanent());
                assert!(error.to_string().contains("\"druid\""), "{error}");
                assert!(error.to_string().len() < 1000);
            }
            Ok(dump) => {
                assert!(trimmed_is_real && dump.databases == ["druid"], "{name:?}");
                read(dump).await.1.unwrap();
            }
        }
        assert_eq!(request.left_files(), 0);
    }
    // Together with a real one they are refused as well.
    let request = Request::druid(server.connection()).databases(&["druid", "--help"]);
    assert_eq!(
        request.start().await.err().unwrap().kind(),
        "DatabaseUnknown"
    );
    // A database that really has such a name is dumped under it.
    server
        .run(&[
            "CREATE DATABASE `--help`",
            "CREATE TABLE `--help`.t (x INT)",
        ])
        .await;
    let (text, _) = Request::plain(server.connection())
        .databases(&["--help"])
        .text()
        .await;
    assert!(text.contains("CREATE TABLE `t`"));
    assert!(!file.exists());
    assert_eq!(
        server
            .column("SELECT COUNT(*) FROM druid.druid_segments")
            .await,
        ["1"]
    );
}

#[tokio::test]
async fn the_password_is_nowhere_while_a_dump_runs() {
    let server = MariaDb::start().await;
    server.fill_druid("druid", 40_000).await;
    let request = Request::druid(server.connection());
    let dump = request.start().await.unwrap();
    assert!(!format!("{:?}", request.connection).contains(ROOT_PASSWORD));
    let words = dump.words.join(" ");
    assert!(!words.contains(ROOT_PASSWORD));

    // The client is at work and cannot end: nobody reads its output yet.
    let scratch = request.scratch.path().display().to_string();
    let client = the_process_with(&scratch).await;
    let mut searched = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let Ok(content) = std::fs::read(process.path().join(file)) else {
                continue;
            };
            let content = String::from_utf8_lossy(&content);
            assert!(
                !content.contains(ROOT_PASSWORD),
                "{:?}",
                process.path().join(file)
            );
            searched.push(format!("{}/{file}", process.file_name().display()));
        }
    }
    for file in ["cmdline", "environ"] {
        assert!(
            searched.contains(&format!("{client}/{file}")),
            "{searched:?}"
        );
    }
    let (data, result) = read(dump).await;
    result.unwrap();
    assert!(!String::from_utf8(data).unwrap().contains(ROOT_PASSWORD));
    assert_eq!(request.left_files(), 0);
}

#[tokio::test]
async fn a_client_or_server_killed_in_the_middle_ends_the_stream_in_an_error() {
    let mut server = MariaDb::start().await;
    server.fill_druid("druid", 40_000).await;

    let request = Request::druid(server.connection());
    let dump = request.start().await.unwrap();
    let mut stream = dump.stream;
    let scratch = request.scratch.path().display().to_string();
    let client = the_process_with(&scratch).await;
    let killed = std::process::Command::new("kill")
        .args(["-9", &client])
        .status()
        .unwrap();
    assert!(killed.success());
    let error = tokio::task::spawn_blocking(move || stream.read_to_end(&mut Vec::new()))
        .await
        .unwrap()
        .unwrap_err();
    let error = StreamError::in_io(&error).unwrap();
    assert!(
        error.to_string().ends_with("ended with signal 9"),
        "{error}"
    );
    assert!(!error.is_permanent());

    let request = Request::druid(server.connection());
    let mut stream = request.start().await.unwrap().stream;
    let (sender, ready) = tokio::sync::oneshot::channel();
    let reading = tokio::task::spawn_blocking(move || {
        let mut data = vec![0; 100_000];
        stream.read_exact(&mut data).unwrap();
        sender.send(()).unwrap();
        let result = stream.read_to_end(&mut data);
        (data, result)
    });
    ready.await.unwrap();
    server.kill();
    let (data, result) = reading.await.unwrap();
    let error = result.unwrap_err();
    let error = StreamError::in_io(&error).unwrap();
    assert!(
        matches!(
            error,
            StreamError::Client {
                permanent: false,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("Lost connection"), "{error}");
    assert!(!String::from_utf8_lossy(&data).contains("-- Dump completed"));
}

#[tokio::test]
async fn a_cancelled_dump_ends_its_client() {
    let server = MariaDb::start().await;
    server.fill_druid("druid", 40_000).await;
    let request = Request::druid(server.connection());
    let dump = request.start().await.unwrap();
    request.cancel.cancel();
    assert!(matches!(read(dump).await.1, Err(StreamError::Cancelled)));
    let scratch = request.scratch.path().display().to_string();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !processes_with(&scratch).is_empty() || request.left_files() > 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Id of the process with that text in its command line; it may just be starting.
async fn the_process_with(text: &str) -> String {
    let found = async {
        loop {
            if let [process] = processes_with(text).as_slice() {
                return process.clone();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found)
        .await
        .unwrap()
}

/// Ids of processes with that text in their command line.
fn processes_with(text: &str) -> Vec<String> {
    let read = |path: &Path| std::fs::read(path.join("cmdline")).unwrap_or_default();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| String::from_utf8_lossy(&read(&entry.path())).contains(text))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[tokio::test]
async fn a_wrong_password_fails_at_once_and_a_silent_server_when_the_time_is_up() {
    let server = MariaDb::start().await;
    let mut request = Request::druid(server.connection());
    request.wait = Duration::from_secs(300);
    request.connection.credentials = Credentials::new("root", "wrong-Pa55".to_owned());
    let started = Instant::now();
    let error = request.start().await.err().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(error.kind(), "DatabaseAccessDenied");
    assert!(error.is_permanent());
    for words in [
        "Secret demo/sample-mysql-auth",
        "AppBinding demo/sample-mysql",
        "Access denied",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(!error.to_string().contains("wrong-Pa55"));

    request.connection.port = free_port();
    request.wait = Duration::from_millis(1200);
    let started = Instant::now();
    let error = request.start().await.err().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(error.kind(), "DatabaseUnreachable");
    assert!(!error.is_permanent());
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_comes_up_late_is_waited_for() {
    let mut server = MariaDb::start().await;
    server.fill_druid("druid", 1).await;
    server.kill();
    let request = Request::druid(server.connection());
    let (dump, ()) = tokio::join!(request.start(), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.boot().await;
    });
    read(dump.unwrap()).await.1.unwrap();
}

#[tokio::test]
async fn a_statement_that_fails_is_told_with_its_line() {
    let server = MariaDb::start().await;
    server.run(&["CREATE DATABASE x"]).await;
    let sql = b"CREATE TABLE t (a INT);\nINSERT INTO t VALUES (1);\nINSERT INTO nope VALUES (1);\n";
    let error = load(&server.connection(), Some("x"), sql)
        .await
        .unwrap_err();
    assert!(
        error.contains("at line 3") && error.contains("nope"),
        "{error}"
    );
    // The client shows the whole statement, which may hold anything.
    assert!(!error.contains("VALUES"), "{error}");
    let error = load(&server.connection(), Some("missing"), sql)
        .await
        .unwrap_err();
    assert!(error.contains("Unknown database 'missing'"), "{error}");
}

#[tokio::test]
async fn a_target_is_looked_at_without_a_change_and_a_read_only_one_is_refused() {
    let server = MariaDb::start().await;
    let connection = server.connection();
    let role = Role::DruidMetadata {
        linked_db: "we`ird".into(),
    };
    let wait = Duration::from_secs(10);
    let look = || {
        Family::MySql.examine(ExamineRequest {
            connection: &connection,
            role: &role,
            source: Some("druid"),
            args: "",
            wait_timeout: wait,
        })
    };
    let target = look().await.unwrap();
    let missing = target.accepts(&Outline::default()).unwrap().missing;
    assert_eq!(target.database(), Some("we`ird"));
    // Druid refuses to start on anything else, whatever the server's default is.
    let [expected] = missing.as_slice() else {
        panic!("{missing:?}");
    };
    assert_eq!(expected.name, "we`ird");
    assert_eq!(expected.character_set.as_deref(), Some("utf8mb4"));
    assert!(
        !server
            .column("SHOW DATABASES")
            .await
            .contains(&"we`ird".to_owned())
    );
    Family::MySql
        .create_database(&connection, expected, wait)
        .await
        .unwrap();
    let target = look().await.unwrap();
    assert!(
        target
            .accepts(&Outline::default())
            .unwrap()
            .missing
            .is_empty()
    );
    server.run(&["SET GLOBAL read_only = ON"]).await;
    let error = look().await.unwrap_err();
    assert!(
        error.is_permanent() && error.kind() == "DatabaseReadOnly",
        "{error}"
    );
    assert!(
        error.to_string().contains("SET GLOBAL read_only = OFF"),
        "{error}"
    );
    server
        .run(&[
            "SET GLOBAL read_only = OFF",
            "SET GLOBAL TRANSACTION READ ONLY",
        ])
        .await;
    let error = look().await.unwrap_err();
    assert_eq!(error.kind(), "DatabaseReadOnly");
    assert!(
        error
            .to_string()
            .contains("SET GLOBAL TRANSACTION READ WRITE"),
        "{error}"
    );
}

#[tokio::test]
async fn a_user_without_rights_gets_the_servers_reason() {
    let server = MariaDb::start().await;
    server.fill_druid("druid", 1).await;
    server
        .run(&[
            "CREATE USER weak@'127.0.0.1' IDENTIFIED BY 'weak'",
            "GRANT SELECT ON druid.druid_segments TO weak@'127.0.0.1'",
        ])
        .await;
    let mut request = Request::druid(server.connection()).args("");
    request.connection.credentials = Credentials::new("weak", "weak".to_owned());
    let failure = match request.start().await {
        Ok(dump) => read(dump).await.1.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(failure.contains("denied"), "{failure}");
}

#[tokio::test]
async fn args_that_redirect_never_reach_a_client() {
    let server = MariaDb::start().await;
    server.fill_druid("druid", 1).await;
    for args in [
        "--host=evil",
        "--result-file=/tmp/x",
        "--unknown-flag-of-nobody",
        "'",
    ] {
        let request = Request::druid(server.connection()).args(args);
        let error = request.start().await.err().unwrap();
        assert!(
            error.is_permanent() && error.kind().starts_with("Args"),
            "{args}: {error}"
        );
    }
}

#[tokio::test]
async fn a_user_of_the_plugin_ed25519_is_let_in_and_one_of_an_unknown_plugin_is_told_its_name() {
    let server = MariaDb::start().await;
    server.fill_druid("druid", 1).await;
    server
        .run(&[
            "INSTALL SONAME 'auth_ed25519'",
            "INSTALL SONAME 'auth_pam_v1'",
            "CREATE USER modern@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('canary secret')",
            "CREATE USER strange@'127.0.0.1' IDENTIFIED VIA pam USING 'mariadb'",
            "GRANT ALL ON *.* TO modern@'127.0.0.1'",
        ])
        .await;
    let of = |user: &str| {
        let mut request = Request::druid(server.connection());
        request.connection.credentials = Credentials::new(user, "canary secret".to_owned());
        request.wait = Duration::from_secs(30);
        request
    };
    let (text, _) = of("modern").text().await;
    assert!(text.contains("druid_segments"));
    let error = of("strange").start().await.err().unwrap();
    assert!(
        error.is_permanent() && error.kind() == "DatabaseAccessDenied",
        "{error}"
    );
    assert!(error.to_string().contains("dialog"), "{error}");
    assert!(!error.to_string().contains("canary secret"), "{error}");
}

#[tokio::test]
async fn a_line_break_in_a_secret_and_an_invalid_view_are_told_with_the_remedy() {
    let server = MariaDb::start().await;
    server
        .run(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.t (id INT)",
            "CREATE VIEW shop.v AS SELECT id FROM shop.t",
            "DROP TABLE shop.t",
        ])
        .await;
    let request = Request::plain(server.connection()).databases(&["shop"]);
    let (_, ended) = read(request.start().await.unwrap()).await;
    let ended = ended.unwrap_err().to_string();
    for words in ["shop.v", "--ignore-table=database.view"] {
        assert!(ended.contains(words), "{ended}");
    }
    let mut request = request;
    request.connection.credentials = Credentials::new("root", format!("{ROOT_PASSWORD}\n"));
    let error = request.start().await.err().unwrap().to_string();
    for words in [
        "the password in Secret demo/sample-mysql-auth ends with a line break",
        "Access denied",
    ] {
        assert!(error.contains(words), "{error}");
    }
    assert!(!error.contains("canary"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_the_bundle_is_trusted_and_another_is_not() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut server = MariaDb::start().await;
    server.fill_druid("druid", 1).await;
    server.kill();
    let authority = boot_with_tls(&mut server).await;
    server
        .run(&["ALTER USER root@'127.0.0.1' REQUIRE SSL"])
        .await;

    let mut request = Request::druid(server.connection());
    request.wait = Duration::from_secs(2);
    request.connection.host = "localhost".into();
    request.connection.tls = Some(Tls {
        ca_bundle: authority,
        ..Tls::default()
    });
    let (text, _) = request.text().await;
    assert!(text.contains("druid_segments"));
    assert_eq!(request.left_files(), 0);

    let stranger = rcgen::generate_simple_self_signed(vec!["x".into()])
        .unwrap()
        .cert
        .pem();
    request.connection.tls = Some(Tls {
        ca_bundle: stranger.into(),
        ..Tls::default()
    });
    let error = request.start().await.err().unwrap();
    assert_eq!(error.kind(), "DatabaseEncryption", "{error}");
    assert!(
        error.is_permanent() && error.to_string().contains("caBundle"),
        "{error}"
    );
    // Without anything to check with, the server's demand for encryption is told.
    request.connection.tls = None;
    assert!(request.start().await.is_err());
}

/// Starts the server with a certificate and returns that of its authority.
async fn boot_with_tls(server: &mut MariaDb) -> Vec<u8> {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let pem = AsRef::<rcgen::Certificate>::as_ref(&authority).pem();
    let mut options = Vec::new();
    for (option, content) in [
        ("ca", pem.clone()),
        ("cert", certificate.pem()),
        ("key", key.serialize_pem()),
    ] {
        let file = server.dir().join(format!("{option}.pem"));
        std::fs::write(&file, content).unwrap();
        options.push(format!("--ssl-{option}={}", file.display()));
    }
    server.boot_with(&options).await;
    pem.into_bytes()
}
