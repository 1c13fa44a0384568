//! Databases that somebody else runs and that take encrypted connections only.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::bad_input::{configuration, local_backend};
use crate::postgres::{self, Server};
use crate::support::{System, eventually, find_binary, free_port, output};
use crate::tutorial::{first_session, trigger};

/// Certificate and key of a server on this machine in `folder`, readable by their owner; the
/// authority's certificate.
fn certify(folder: &Path) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    for (name, content) in [
        ("cert.pem", certificate.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        let file = folder.join(name);
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    AsRef::<rcgen::Certificate>::as_ref(&authority).pem()
}

/// A MariaDB of its own data, stopped when dropped.
struct MariaDb {
    process: Child,
    port: u16,
    authority: String,
    folder: tempfile::TempDir,
}

impl MariaDb {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        output(
            Command::new("mariadb-install-db")
                .args([
                    "--no-defaults",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ])
                .arg(format!("--datadir={}", data.display()))
                .arg(format!("--tmpdir={}", folder.path().display())),
        )
        .unwrap();
        let authority = certify(&data);
        std::fs::write(folder.path().join("authority.pem"), &authority).unwrap();
        output(
            Command::new("chown")
                .args(["-R", "mysql:mysql"])
                .arg(folder.path()),
        )
        .unwrap();
        let port = free_port();
        let process = Command::new("mariadbd")
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--tmpdir={}", data.display()))
            .arg(format!("--socket={}", data.join("socket").display()))
            .arg(format!("--ssl-cert={}", data.join("cert.pem").display()))
            .arg(format!("--ssl-key={}", data.join("key.pem").display()))
            .arg(format!("--port={port}"))
            .args([
                "--bind-address=127.0.0.1",
                "--require-secure-transport=ON",
                "--user=mysql",
            ])
            .args(["--skip-name-resolve", "--innodb-flush-log-at-trx-commit=2"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            process,
            port,
            authority,
            folder,
        };
        eventually("MariaDB to answer", Duration::from_secs(60), || {
            server.try_sql("SELECT 1")
        });
        server.sql(&format!(
            "CREATE USER backup@'127.0.0.1' IDENTIFIED BY '{}' REQUIRE SSL; GRANT ALL ON *.* TO backup@'127.0.0.1'",
            postgres::PASSWORD.replace('\\', "\\\\").replace('\'', "''")
        ));
        server
    }

    /// As root, who has no password, by the socket.
    fn try_sql(&self, statements: &str) -> Result<String, String> {
        let socket = self.folder.path().join("data/socket");
        output(
            Command::new(find_binary("mariadb"))
                .args([
                    "--no-defaults",
                    "--user=root",
                    "--batch",
                    "--skip-column-names",
                ])
                .arg(format!("--socket={}", socket.display()))
                .arg(format!("--execute={statements}")),
        )
    }

    fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap()
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a case is about: the AppBinding `external`, its addon and its database.
struct Case<'a> {
    kind: &'a str,
    user: &'a str,
    url: String,
    authority: String,
    sql: &'a dyn Fn(&str) -> String,
}

fn restore(system: &System, case: &Case<'_>, name: &str) -> Value {
    let session = json!({
        "apiVersion": "core.kubestash.com/v1alpha1",
        "kind": "RestoreSession",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "target": target(),
            "dataSource": {"repository": "repo", "snapshot": "latest"},
            "addon": {"name": format!("{}-addon", case.kind), "tasks": [{"name": "logical-backup-restore"}]},
        },
    });
    system.apply(&session.to_string());
    let ended = ["Succeeded", "Failed", "Invalid"];
    system.wait_phase("demo", &format!("restoresession/{name}"), &ended)["status"].clone()
}

fn target() -> Value {
    json!({"apiGroup": "appcatalog.appscode.com", "kind": "AppBinding", "name": "external", "namespace": "demo"})
}

/// Makes the binding with an authority's certificate.
fn bind(system: &System, case: &Case<'_>, authority: &str) {
    let bundle = base64::engine::general_purpose::STANDARD.encode(authority);
    let binding = json!({
        "apiVersion": "appcatalog.appscode.com/v1alpha1",
        "kind": "AppBinding",
        "metadata": {"name": "external", "namespace": "demo"},
        "spec": {
            "type": case.kind,
            "version": "1",
            "clientConfig": {"url": case.url, "caBundle": bundle},
            "secret": {"name": "login"},
        },
    });
    system.apply(&binding.to_string());
}

/// A backup and a restore through an encrypted connection, and neither of them to a server that
/// nobody vouches for.
fn assert_encrypted(case: &Case<'_>) {
    let rows = || (case.sql)("SELECT count(*), min(text), max(text) FROM t");
    (case.sql)("CREATE TABLE t (text varchar(20))");
    (case.sql)("INSERT INTO t VALUES ('one'), ('two')");
    let before = rows();

    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    local_backend(&system, &directory.path().join("volume"));
    system.apply(
        &json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "demo"},
            "stringData": {"username": case.user, "password": postgres::PASSWORD},
        })
        .to_string(),
    );
    bind(&system, case, &case.authority);
    let mut manual: Value = serde_json::from_str(&configuration(&json!({}))).unwrap();
    manual["spec"]["target"] = target();
    manual["spec"]["sessions"][0]["addon"] =
        json!({"name": format!("{}-addon", case.kind), "tasks": [{"name": "logical-backup"}]});
    system.apply(&manual.to_string());
    let first = first_session(&system, "manual");
    assert_eq!(
        first["status"]["phase"],
        "Succeeded",
        "{first:#}\n{}",
        system.log_text()
    );

    // The certificate of another authority.
    let elsewhere = tempfile::tempdir().unwrap();
    bind(&system, case, &certify(elsewhere.path()));
    let second = trigger(&system, "manual");
    let ended = ["Succeeded", "Failed"];
    let second = system.wait_phase("demo", &format!("backupsession/{second}"), &ended);
    assert_eq!(second["status"]["phase"], "Failed", "{second:#}");
    let snapshots = system.objects("demo", "snapshots.storage.kubestash.com");
    let told = snapshots
        .iter()
        .any(|snapshot| snapshot["status"].to_string().contains("caBundle"));
    assert!(told, "{snapshots:#?}");
    (case.sql)("DELETE FROM t");
    let refused = restore(&system, case, "unknown-server");
    assert_eq!(refused["phase"], "Failed", "{refused:#}");
    for words in ["caBundle", "nothing was changed in the database"] {
        assert!(
            refused.to_string().contains(words),
            "no {words:?} in {refused:#}"
        );
    }

    bind(&system, case, &case.authority);
    let restored = restore(&system, case, "known-server");
    assert_eq!(restored["phase"], "Succeeded", "{restored:#}");
    assert_eq!(rows(), before);
    assert!(!system.log_text().contains("canary"));
}

#[test]
fn a_mariadb_that_demands_encryption_is_backed_up_and_restored_if_its_authority_is_known() {
    let server = MariaDb::start();
    server.sql("CREATE DATABASE shop");
    assert_encrypted(&Case {
        kind: "mariadb",
        user: "backup",
        url: format!("tcp(localhost:{})/", server.port),
        authority: server.authority.clone(),
        sql: &|statement| server.sql(&format!("USE shop; {statement}")),
    });
}

#[test]
fn a_postgresql_that_demands_encryption_is_backed_up_and_restored_if_its_authority_is_known() {
    let mut authority = String::new();
    let server = Server::start_with(|data| {
        authority = certify(data);
        std::fs::write(
            data.join("pg_hba.conf"),
            "hostssl all all 127.0.0.1/32 scram-sha-256\n",
        )
        .unwrap();
        ["ssl=on", "ssl_cert_file=cert.pem", "ssl_key_file=key.pem"]
            .iter()
            .flat_map(|option| ["-c".to_owned(), (*option).to_owned()])
            .collect()
    });
    server.sql("postgres", "CREATE DATABASE shop");
    assert_encrypted(&Case {
        kind: "postgres",
        user: "postgres",
        url: format!(
            "postgres://localhost:{}/shop?sslmode=verify-full",
            server.port
        ),
        authority,
        sql: &|statement| server.sql("shop", statement),
    });
}
