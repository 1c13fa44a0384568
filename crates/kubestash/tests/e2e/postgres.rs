//! A PostgreSQL that somebody else runs, named by a hand-made AppBinding: backed up and restored.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use crate::bad_input::{configuration, druid, local_backend};
use crate::support::{System, eventually, free_port, output};
use crate::tutorial::example;

pub const PASSWORD: &str = "canary:Pa55'w\\rd";

/// A server of its own data, stopped when dropped.
pub struct Server {
    process: Child,
    pub port: u16,
    temp: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        Self::start_with(|_| Vec::new())
    }

    /// With the options that `prepare` returns, which may write into the data folder.
    pub fn start_with(prepare: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        std::fs::write(temp.path().join("password"), PASSWORD).unwrap();
        output(
            Command::new("chown")
                .args(["-R", "postgres:postgres"])
                .arg(temp.path()),
        )
        .unwrap();
        output(
            as_postgres("initdb")
                .arg("-D")
                .arg(&data)
                .arg(format!(
                    "--pwfile={}",
                    temp.path().join("password").display()
                ))
                .args([
                    "-U",
                    "postgres",
                    "-A",
                    "scram-sha-256",
                    "-N",
                    "-E",
                    "UTF8",
                    "--locale=C.UTF-8",
                ]),
        )
        .unwrap();
        let port = free_port();
        let options = prepare(&data);
        output(
            Command::new("chown")
                .args(["-R", "postgres:postgres"])
                .arg(&data),
        )
        .unwrap();
        let process = as_postgres("postgres")
            .arg("-D")
            .arg(&data)
            .args(options)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            process,
            port,
            temp,
        };
        eventually("PostgreSQL to answer", Duration::from_secs(60), || {
            server.try_sql("postgres", "SELECT 1")
        });
        server
    }

    fn try_sql(&self, database: &str, statements: &str) -> Result<String, String> {
        let file = self.temp.path().join("sql");
        std::fs::write(&file, statements).unwrap();
        output(
            Command::new("psql")
                .args([
                    "-X",
                    "-q",
                    "-A",
                    "-t",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-U",
                    "postgres",
                ])
                .args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &self.port.to_string(),
                    "-d",
                    database,
                ])
                .arg("-f")
                .arg(file)
                .env("PGPASSWORD", PASSWORD),
        )
    }

    pub fn sql(&self, database: &str, statements: &str) -> String {
        self.try_sql(database, statements).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg("-QUIT")
            .arg(self.process.id().to_string())
            .status();
        let _ = self.process.wait();
    }
}

/// The server refuses to run as root.
fn as_postgres(program: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .unwrap();
    let path: PathBuf = format!("/usr/lib/postgresql/{newest}/bin/{program}").into();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(path)
        .current_dir("/");
    command
}

fn binding(name: &str, port: u16) -> String {
    json!({
        "apiVersion": "appcatalog.appscode.com/v1alpha1",
        "kind": "AppBinding",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "type": "postgres",
            "version": "15.18",
            "clientConfig": {"url": format!("postgres://127.0.0.1:{port}/shop?sslmode=prefer")},
            "secret": {"name": "external-database-auth"},
        },
    })
    .to_string()
}

fn target(name: &str) -> Value {
    json!({"apiGroup": "appcatalog.appscode.com", "kind": "AppBinding", "name": name, "namespace": "demo"})
}

fn restore(system: &System, name: &str, into: &str) -> Value {
    let session = json!({
        "apiVersion": "core.kubestash.com/v1alpha1",
        "kind": "RestoreSession",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "target": target(into),
            "dataSource": {"repository": "external-database", "snapshot": "latest"},
            "addon": {"name": "postgres-addon", "tasks": [{"name": "logical-backup-restore"}]},
        },
    });
    system.apply(&session.to_string());
    system.wait_phase(
        "demo",
        &format!("restoresession/{name}"),
        &["Succeeded", "Failed", "Invalid"],
    )
}

#[test]
fn an_external_postgresql_is_backed_up_and_restored_over_itself_and_into_another_one() {
    let (server, other) = (Server::start(), Server::start());
    server.sql(
        "postgres",
        "CREATE DATABASE shop;\nCREATE DATABASE \"Odd one\";",
    );
    for database in ["shop", "Odd one"] {
        server.sql(
            database,
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, text text, bytes bytea);\n\
             INSERT INTO t (text, bytes) SELECT '🐘 ' || n, decode(md5(n::text), 'hex') FROM generate_series(1, 1000) n;",
        );
    }
    let sum = "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY id)) FROM t";
    let before = server.sql("shop", sum);

    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    local_backend(&system, &directory.path().join("volume"));
    let address = format!("{}/shop?sslmode=prefer", server.port);
    system.apply(
        &example("external-database.yaml")
            .replace("change-me", PASSWORD)
            .replace("5432/", &address)
            .replace("*/30 * * * *", "0 0 1 1 *"),
    );
    system.apply(&binding("other", other.port));
    let first = crate::tutorial::first_session(&system, "external-database");
    assert_eq!(first["status"]["phase"], "Succeeded", "{first:#}");

    server.sql(
        "shop",
        "DELETE FROM t WHERE id > 10; ALTER TABLE t ADD COLUMN late int;",
    );
    let restored = restore(&system, "over", "external-database");
    assert_eq!(
        restored["status"]["phase"],
        "Succeeded",
        "{:#}\n{}",
        restored["status"],
        system.log_text()
    );
    assert_eq!(server.sql("shop", sum), before);

    // Neither of the databases is there yet.
    let mut empty: Value = serde_json::from_str(&binding("other", other.port)).unwrap();
    empty["spec"]["clientConfig"]["url"] = json!(format!("postgresql://127.0.0.1:{}", other.port));
    system.apply(&empty.to_string());
    let restored = restore(&system, "into-other", "other");
    assert_eq!(
        restored["status"]["phase"], "Succeeded",
        "{:#}",
        restored["status"]
    );
    for database in ["shop", "Odd one"] {
        assert_eq!(other.sql(database, sum), before);
    }

    // An error is told with the server's words, and leaves everything as it is.
    server.sql(
        "shop",
        "DELETE FROM t WHERE id > 10; CREATE VIEW obstacle AS SELECT id FROM t;",
    );
    let changed = server.sql("shop", sum);
    let failed = restore(&system, "in-the-way", "external-database");
    assert_eq!(
        failed["status"]["phase"], "Failed",
        "{:#}",
        failed["status"]
    );
    let error = failed["status"]["components"]["dump"]["error"]
        .as_str()
        .unwrap();
    for words in [
        "ERROR: cannot replace what is in the dump",
        "view public.obstacle",
        "the database is as it was before",
    ] {
        assert!(error.contains(words), "{error}");
    }
    assert!(!error.contains("CONTEXT"), "{error}");
    assert_eq!(server.sql("shop", sum), changed);
    assert!(!system.log_text().contains("canary"));
}

/// Runs statements in the metadata database of a Druid.
fn metadata(system: &System, druid: &str, statements: &str) -> String {
    let name = format!("{druid}-pg-metadata");
    let object = |kind: &str, name: &str| system.object("demo", &format!("{kind}/{name}")).unwrap();
    let binding = object("appbinding", &name);
    let url = binding["spec"]["clientConfig"]["url"].as_str().unwrap();
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap();
    let secret = object(
        "secret",
        binding["spec"]["secret"]["name"].as_str().unwrap(),
    );
    let decode = |key: &str| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(secret["data"][key].as_str().unwrap())
            .unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), statements).unwrap();
    output(
        Command::new("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                "druid",
            ])
            .args(["-h", "127.0.0.1", "-p", port, "-U", &decode("username")])
            .arg("-f")
            .arg(file.path())
            .env("PGPASSWORD", decode("password")),
    )
    .unwrap()
}

/// A Druid that keeps its metadata in PostgreSQL.
fn postgres_druid(name: &str) -> Value {
    let mut object: Value = serde_json::from_str(&druid("demo", name, &[])).unwrap();
    object["spec"]["metadataStorage"] = json!({"type": "PostgreSQL"});
    object
}

fn restore_druid(system: &System, name: &str, into: &str) -> Value {
    let session = json!({
        "apiVersion": "core.kubestash.com/v1alpha1",
        "kind": "RestoreSession",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": into, "namespace": "demo"},
            "dataSource": {"repository": "repo", "snapshot": "latest"},
            "addon": {"name": "druid-addon", "tasks": [{"name": "postgres-metadata-storage-restore"}]},
        },
    });
    system.apply(&session.to_string());
    let ended = system.wait_phase(
        "demo",
        &format!("restoresession/{name}"),
        &["Succeeded", "Failed", "Invalid"],
    );
    assert_eq!(
        ended["status"]["phase"],
        "Succeeded",
        "{:#}\n{}",
        ended["status"],
        system.log_text()
    );
    ended
}

#[test]
fn a_druid_on_postgresql_comes_back_over_itself_and_into_a_new_one_which_keeps_its_users() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    local_backend(&system, &directory.path().join("volume"));
    system.apply(&postgres_druid("sample-druid").to_string());
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    metadata(
        &system,
        "sample-druid",
        "CREATE TABLE IF NOT EXISTS own (id int PRIMARY KEY, payload bytea);\n\
         INSERT INTO own SELECT n, decode(md5(n::text), 'hex') FROM generate_series(1, 500) n;\n\
         INSERT INTO druid_config (name, payload) VALUES ('basic_authorization_x', 'source'), ('lookups', 'source');",
    );
    let sum = "SELECT count(*), md5(string_agg(own::text, ',' ORDER BY id)) FROM own";
    let before = metadata(&system, "sample-druid", sum);

    let mut manual: Value = serde_json::from_str(&configuration(&json!({}))).unwrap();
    // The guides' wrong name.
    manual["spec"]["sessions"][0]["addon"] =
        json!({"name": "druid-addon", "tasks": [{"name": "pg-metadata-storage-backup"}]});
    system.apply(&manual.to_string());
    let first = crate::tutorial::first_session(&system, "manual");
    assert_eq!(first["status"]["phase"], "Succeeded", "{first:#}");

    metadata(
        &system,
        "sample-druid",
        "DROP TABLE own; DROP TABLE druid_segments; UPDATE druid_config SET payload = 'newer' WHERE name IN ('basic_authorization_x', 'lookups');",
    );
    restore_druid(&system, "over", "sample-druid");
    assert_eq!(metadata(&system, "sample-druid", sum), before);
    let config = "SELECT string_agg(name || ' ' || convert_from(payload, 'UTF8'), ', ' ORDER BY name) FROM druid_config \
                  WHERE name IN ('basic_authorization_x', 'lookups')";
    let kept = metadata(&system, "sample-druid", config);
    assert_eq!(kept.trim(), "basic_authorization_x newer, lookups source");

    let mut fresh = postgres_druid("restored-druid");
    fresh["spec"]["init"] = json!({"waitForInitialRestore": true});
    system.apply(&fresh.to_string());
    restore_druid(&system, "into-new", "restored-druid");
    system.wait_phase("demo", "druid/restored-druid", &["Ready"]);
    assert_eq!(metadata(&system, "restored-druid", sum), before);
    let fresh = metadata(&system, "restored-druid", config);
    assert_eq!(fresh.trim(), "lookups source");
}
