//! A real MySQL server of Oracle's for one test, as `make tools` has installed it.
#![allow(dead_code, unreachable_pub)] // Each test binary uses a part of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kubestash_database::{Connection, Credentials};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

use super::{ROOT_PASSWORD, free_port, rows_of, run};

/// A version that `make tools` has installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 9, whose client is the one that dumps and loads.
    Newest,
    V8_4,
    V8_0,
}

impl Version {
    /// Those that there are; the older ones come from where not every machine gets to.
    pub fn installed() -> Vec<Self> {
        let mut all = vec![Self::Newest, Self::V8_4, Self::V8_0];
        all.retain(|version| *version == Self::Newest || version.programs().is_dir());
        all
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Newest => "mysql",
            Self::V8_4 => "mysql-8.4",
            Self::V8_0 => "mysql-8.0",
        }
    }

    fn programs(self) -> PathBuf {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools");
        tools.join(format!("{}-bin", self.folder()))
    }
}

/// A running server, gone when the value is dropped.
pub struct OracleMySql {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
    pub version: Version,
}

impl OracleMySql {
    /// Starts a server with GTIDs on, an empty data folder and `root`'s password set.
    pub async fn start() -> Self {
        Self::of(Version::Newest).await
    }

    /// The same of a version.
    pub async fn of(version: Version) -> Self {
        let options = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"];
        Self::boot(version, &options).await
    }

    /// The newest with other options.
    pub async fn start_with(options: &[&str]) -> Self {
        Self::boot(Version::Newest, options).await
    }

    async fn boot(version: Version, options: &[&str]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("kubestash-mysql-")
            .tempdir()
            .unwrap();
        let data = dir.path().join("data");
        run(Command::new("cp")
            .arg("-a")
            .arg(template(version))
            .arg(&data));
        let port = free_port();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = server(version, &data);
        command
            .args(["--bind-address=127.0.0.1", "--mysqlx=OFF"])
            .args(options)
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", dir.path().join("s").display()))
            .arg(format!("--pid-file={}", dir.path().join("pid").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command
            .spawn()
            .expect("MySQL is installed (run `make tools`)");
        let server = Self {
            child,
            dir,
            port,
            version,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while Conn::new(server.options()).await.is_err() {
            let log = std::fs::read_to_string(server.dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the server did not start: {log}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        server
    }

    pub(super) fn options(&self) -> OptsBuilder {
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
            origin: "AppBinding demo/oracle".into(),
            secret: "Secret demo/oracle-auth".into(),
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

    /// All columns of a query as text.
    pub async fn rows(&self, query: &str) -> Vec<Vec<String>> {
        let mut conn = Conn::new(self.options()).await.unwrap();
        rows_of(&mut conn, query).await
    }
}

impl Drop for OracleMySql {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server(version: Version, data: &Path) -> Command {
    let mut command = Command::new(version.programs().join("mysqld"));
    command.arg(format!("--datadir={}", data.display())).args([
        "--innodb-redo-log-capacity=8M",
        "--innodb-buffer-pool-size=32M",
        "--innodb-data-file-path=ibdata1:12M:autoextend",
        "--innodb-flush-log-at-trx-commit=2",
        "--performance-schema=OFF",
        "--binlog-expire-logs-seconds=3600",
        "--skip-name-resolve",
        "--event-scheduler=OFF",
    ]);
    command
}

/// A data folder that has been initialised once, kept in cargo's folder for tests.
fn template(version: Version) -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = parent.join(format!("{}-template-1", version.folder()));
    if template.is_dir() {
        return template;
    }
    let making = tempfile::Builder::new()
        .prefix("mysql-")
        .tempdir_in(parent)
        .unwrap();
    let data = making.path().join("data");
    let init = making.path().join("init.sql");
    let password = ROOT_PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    std::fs::write(
        &init,
        format!(
            "CREATE USER root@127.0.0.1 IDENTIFIED BY '{password}';\n\
             GRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;\n"
        ),
    )
    .unwrap();
    run(server(version, &data)
        .arg("--initialize-insecure")
        .arg(format!("--init-file={}", init.display())));
    // Another test may have been faster; its template is as good.
    let _ = std::fs::rename(&data, &template);
    template
}
