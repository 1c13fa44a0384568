//! A real MariaDB server for one test: own data folder, own port, gone when the value is dropped.
#![allow(dead_code, unreachable_pub)] // Each test binary uses a part of it.

pub mod oracle;
pub mod vendors;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kubestash_database::{Connection, Credentials};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

/// Password of the test servers' `root`: a canary to search for.
pub const ROOT_PASSWORD: &str = "canary-Pa55 \"w#o\\rd';";

/// A running server.
pub struct MariaDb {
    child: Option<Child>,
    dir: tempfile::TempDir,
    pub port: u16,
    /// Room in MiB on the disk of its own that holds its data, if it is on one.
    disk: Option<u32>,
}

impl MariaDb {
    /// Starts a server with an empty data folder and `root`'s password set.
    pub async fn start() -> Self {
        Self::start_on(None).await
    }

    /// The same on a disk with room for so many MiB more.
    pub async fn start_with_room_for(mib: u32) -> Self {
        Self::start_on(Some(mib)).await
    }

    async fn start_on(disk: Option<u32>) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("kubestash-mariadb-")
            .tempdir()
            .unwrap();
        let data = dir.path().join("data");
        run(Command::new("cp").arg("-a").arg(template()).arg(&data));
        if is_root() {
            run(Command::new("chmod").arg("755").arg(dir.path()));
            run(Command::new("chown")
                .arg("-R")
                .arg("mysql:mysql")
                .arg(&data));
        }
        let port = free_port();
        let mut server = Self {
            child: None,
            dir,
            port,
            disk,
        };
        server.boot().await;
        server
    }

    /// Starts the server again on its data and port.
    pub async fn boot(&mut self) {
        self.boot_with(&[]).await;
    }

    /// The same with more options.
    pub async fn boot_with(&mut self, options: &[String]) {
        let data = self.dir.path().join("data");
        let mut command = match self.disk {
            None => Command::new("mariadbd"),
            // A file system of its own in a mount namespace of its own: both are gone with the
            // process.
            Some(mib) => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-ec"]).arg(format!(
                    "mkdir \"$0.kept\"; mount --bind \"$0\" \"$0.kept\"; mount -t tmpfs -o size=$(($(du -sm \"$0\" | cut -f1) + {mib}))m,mode=755 tmpfs \"$0\"; \
                     cp -a \"$0.kept/.\" \"$0\"; chown -R mysql: \"$0\"; exec mariadbd \"$@\""
                ));
                command.arg(&data);
                command
            }
        };
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()));
        // In the system's folder, a server that starts removes the temporary tables of all others.
        command.arg(format!("--tmpdir={}", data.display()));
        command.arg(format!("--socket={}", data.join("s").display()));
        command.arg(format!("--pid-file={}", data.join("pid").display()));
        command
            .arg(format!("--port={}", self.port))
            .arg("--bind-address=127.0.0.1");
        command
            .args(SMALL)
            .args(["--skip-name-resolve", "--event-scheduler=OFF"])
            .args(options);
        if is_root() {
            command.arg("--user=mysql");
        }
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(
            command
                .spawn()
                .expect("mariadbd is installed (apt install mariadb-server)"),
        );
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(conn) = Conn::new(self.options()).await {
                conn.disconnect().await.unwrap();
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the server did not start: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// What the server has said since it was started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A folder that is removed with the server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends the server as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Id of the server's process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn options(&self) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("root"))
            .pass(Some(ROOT_PASSWORD))
            .prefer_socket(false)
    }

    /// A connection for the code under test.
    pub fn connection(&self) -> Connection {
        Connection {
            host: "127.0.0.1".into(),
            port: self.port,
            database: None,
            credentials: Credentials::new("root", ROOT_PASSWORD.to_owned()),
            tls: None,
            origin: "AppBinding demo/sample-mysql".into(),
            secret: "Secret demo/sample-mysql-auth".into(),
        }
    }

    /// Runs statements one by one.
    pub async fn run(&self, statements: &[&str]) {
        let mut conn = Conn::new(self.options()).await.unwrap();
        for statement in statements {
            conn.query_drop(*statement)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        conn.disconnect().await.unwrap();
    }

    /// The first column of a query.
    pub async fn column(&self, query: &str) -> Vec<String> {
        let mut conn = Conn::new(self.options()).await.unwrap();
        let column = conn.query(query).await.unwrap();
        conn.disconnect().await.unwrap();
        column
    }

    /// All columns of a query as text; NULL is `NULL`, and bytes that are no text are escaped.
    pub async fn rows(&self, query: &str) -> Vec<Vec<String>> {
        let mut conn = Conn::new(self.options()).await.unwrap();
        rows_of(&mut conn, query).await
    }

    /// The same with a current database.
    pub async fn in_database(&self, database: &str, query: &str) -> Vec<Vec<String>> {
        let mut conn = Conn::new(self.options().db_name(Some(database)))
            .await
            .unwrap();
        rows_of(&mut conn, query).await
    }

    /// A connection whose transaction has read a table, which therefore cannot be dropped.
    pub async fn hold(&self, table: &str) -> Conn {
        let mut conn = Conn::new(self.options()).await.unwrap();
        conn.query_drop("BEGIN").await.unwrap();
        conn.query_drop(format!("SELECT COUNT(*) FROM {table}"))
            .await
            .unwrap();
        conn
    }

    /// Makes a Druid metadata database with a few rows in every table, and one blob with every
    /// byte.
    pub async fn fill_druid(&self, database: &str, segments: usize) {
        let statements = druid_statements(database, segments);
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.run(&statements).await;
    }
}

/// Statements that make a Druid metadata database.
fn druid_statements(database: &str, segments: usize) -> Vec<String> {
    let mut statements = vec![format!(
        "CREATE DATABASE `{database}` CHARACTER SET utf8mb4"
    )];
    for (table, key) in [
        ("druid_segments", "id"),
        ("druid_rules", "id"),
        ("druid_config", "name"),
        ("druid_audit", "id"),
        ("druid_tasks", "id"),
    ] {
        statements.push(format!(
            "CREATE TABLE `{database}`.`{table}` ({key} VARCHAR(255) PRIMARY KEY, payload LONGBLOB)"
        ));
    }
    let bytes: String = (0..=255_u8).map(|byte| format!("{byte:02x}")).collect();
    statements.extend([
        format!(
            "INSERT INTO `{database}`.druid_segments SELECT CONCAT('wikipedia_', seq), \
             REPEAT(CONCAT('{{\"dataSource\":\"wikipedia\",\"n\":', seq, '}}'), 8) FROM {}",
            vendors::numbers(segments)
        ),
        format!("INSERT INTO `{database}`.druid_rules VALUES ('_default', X'{bytes}')"),
        format!(
            "INSERT INTO `{database}`.druid_config VALUES ('basic_authentication_a_users', 'users'), \
             ('basic_authorization_b_roles', 'users'), ('coordinator.config', CONCAT('of {database} ', X'{bytes}'))"
        ),
    ]);
    statements
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

const SMALL: [&str; 5] = [
    "--innodb-log-file-size=4M",
    "--innodb-buffer-pool-size=16M",
    "--innodb-data-file-path=ibdata1:4M:autoextend",
    "--performance-schema=OFF",
    "--innodb-flush-log-at-trx-commit=2",
];

async fn rows_of(conn: &mut Conn, query: &str) -> Vec<Vec<String>> {
    let rows: Vec<mysql_async::Row> = conn
        .query(query)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    let text = |value: mysql_async::Value| match value {
        mysql_async::Value::NULL => "NULL".to_owned(),
        mysql_async::Value::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => error.as_bytes().escape_ascii().to_string(),
        },
        other => other.as_sql(true),
    };
    rows.into_iter()
        .map(|row| row.unwrap().into_iter().map(text).collect())
        .collect()
}

/// A data folder that has been initialised once, kept in cargo's folder for tests.
fn template() -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = parent.join("mariadb-template-1");
    if template.is_dir() {
        return template;
    }
    let making = tempfile::Builder::new()
        .prefix("mariadb-")
        .tempdir_in(parent)
        .unwrap();
    let data = making.path().join("data");
    let init = making.path().join("init.sql");
    let password = ROOT_PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    std::fs::write(
        &init,
        format!(
            "FLUSH PRIVILEGES;\nCREATE OR REPLACE USER root@127.0.0.1 IDENTIFIED BY '{password}';\n\
             GRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;\n"
        ),
    )
    .unwrap();
    run(Command::new("mariadb-install-db")
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--tmpdir={}", making.path().display()))
        .args(["--skip-test-db", "--auth-root-authentication-method=normal"])
        .arg(format!("--extra-file={}", init.display()))
        .args(SMALL)
        .args(is_root().then_some("--user=root")));
    // Another test may have been faster; its template is as good.
    let _ = std::fs::rename(&data, &template);
    template
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A port that nobody listens on, and that no other test of this process is given. It is not one of
/// those that the system hands out itself: a connection of somebody could have it by the time a
/// server wants it.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = std::process::id() * 101 + GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(10_000 + next % 10_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
