//! A real PostgreSQL server for one test: own data folder, own port, gone when the value is
//! dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kubestash_database::{Connection, Credentials};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Password of the test servers' `postgres`: a canary to search for.
pub const PASSWORD: &str = "canary-Pa55 \"w#o\\rd';:x";

/// A running server.
pub struct Postgres {
    child: Option<Child>,
    dir: tempfile::TempDir,
    pub port: u16,
}

impl Postgres {
    /// Starts an empty server.
    pub async fn start() -> Self {
        Self::start_with(&[], |_| {}).await
    }

    /// The same with more settings, and files that `prepare` puts into the data folder.
    pub async fn start_with(settings: &[&str], prepare: impl Fn(&Path)) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("kubestash-postgres-")
            .tempdir()
            .unwrap();
        let data = dir.path().join("data");
        run(Command::new("cp").arg("-a").arg(template()).arg(&data));
        prepare(&data);
        if is_root() {
            run(Command::new("chown")
                .arg("-R")
                .arg("postgres:postgres")
                .arg(dir.path()));
        }
        let port = free_port();
        let mut server = Self {
            child: None,
            dir,
            port,
        };
        server.boot(settings).await;
        server
    }

    async fn boot(&mut self, settings: &[&str]) {
        let data = self.dir.path().join("data");
        let mut command = as_postgres(&program("postgres"));
        command
            .arg("-D")
            .arg(&data)
            .arg("-p")
            .arg(self.port.to_string());
        let usual = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "shared_buffers=32MB",
            "max_connections=30",
            "max_wal_size=2GB",
        ];
        for setting in usual.iter().chain(settings) {
            command.arg("-c").arg(setting);
        }
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            // Whoever answers without encryption may be refused, and is there.
            match self.connect("postgres").await {
                Ok(_) => return,
                Err(error)
                    if error
                        .as_db_error()
                        .is_some_and(|error| error.code().code() == "28000") =>
                {
                    return;
                }
                Err(error) => assert!(
                    Instant::now() < deadline,
                    "the server did not start: {error} {}",
                    self.log()
                ),
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user("postgres")
            .password(PASSWORD)
            .dbname(database);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A session of its own.
    pub async fn session(&self, database: &str) -> Client {
        self.connect(database).await.unwrap()
    }

    /// Runs statements, one transaction for all unless they say otherwise.
    pub async fn run(&self, database: &str, statements: &str) {
        let client = self.session(database).await;
        client
            .batch_execute(statements)
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// All values of a query, as text.
    pub async fn ask(&self, database: &str, query: &str) -> Vec<String> {
        let client = self.session(database).await;
        let messages = client
            .simple_query(query)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error:?}"));
        let mut values = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                values.extend((0..row.len()).map(|at| row.get(at).unwrap_or("∅").to_owned()));
            }
        }
        values
    }

    /// Makes databases.
    pub async fn create(&self, names: &[&str]) {
        for name in names {
            let name = name.replace('"', "\"\"");
            self.run("postgres", &format!("CREATE DATABASE \"{name}\""))
                .await;
        }
    }

    /// A connection for the code under test.
    pub fn connection(&self) -> Connection {
        self.connection_as("postgres", PASSWORD)
    }

    /// The same as somebody else.
    pub fn connection_as(&self, user: &str, password: &str) -> Connection {
        Connection {
            host: "127.0.0.1".into(),
            port: self.port,
            database: None,
            credentials: Credentials::new(user, password.to_owned()),
            tls: None,
            origin: "AppBinding demo/sample-postgres".into(),
            secret: "Secret demo/sample-postgres-auth".into(),
        }
    }

    /// Ends the server as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // An orderly end takes the server's shared memory along.
        let _ = Command::new("kill")
            .arg("-QUIT")
            .arg(child.id().to_string())
            .status();
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Ok(None) = child.try_wait() {
            if Instant::now() > deadline {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A data folder that has been initialised once, kept in cargo's folder for tests.
fn template() -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = parent.join("postgres-template-1");
    if template.is_dir() {
        return template;
    }
    // The server's user may not be able to look into cargo's folder.
    let making = tempfile::Builder::new()
        .prefix("kubestash-initdb-")
        .tempdir()
        .unwrap();
    let password = making.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    if is_root() {
        run(Command::new("chown")
            .arg("-R")
            .arg("postgres:postgres")
            .arg(making.path()));
    }
    let data = making.path().join("data");
    run(as_postgres(&program("initdb"))
        .arg("-D")
        .arg(&data)
        .arg(format!("--pwfile={}", password.display()))
        .args([
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "-N",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]));
    let copy = tempfile::Builder::new()
        .prefix("postgres-")
        .tempdir_in(parent)
        .unwrap();
    run(Command::new("cp")
        .arg("-a")
        .arg(&data)
        .arg(copy.path().join("data")));
    // Another test may have been faster; its template is as good.
    let _ = std::fs::rename(copy.path().join("data"), &template);
    template
}

/// A program of the newest server that is installed.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed (apt install postgresql)");
    let mut versions: Vec<u32> = versions
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    let newest = versions.last().expect("a version of PostgreSQL");
    format!("/usr/lib/postgresql/{newest}/bin/{name}").into()
}

/// The server refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command.arg(program).current_dir("/");
    command
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
        let port = u16::try_from(20_000 + next % 10_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
