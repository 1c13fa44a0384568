//! Real servers of the S3 and Azure protocols, each with one bucket, `demo`.
// Every test program uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than a server takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bucket of each server.
pub const BUCKET: &str = "demo";

/// Where `scripts/tools.sh` puts what no Debian package carries.
fn tools() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("KUBESTASH_TOOLS").map_or(root.join(".tools"), PathBuf::from)
}

fn tool(path: &str) -> PathBuf {
    let tool = tools().join(path);
    assert!(
        tool.exists(),
        "{} is missing: run scripts/tools.sh",
        tool.display()
    );
    tool
}

/// A process that ends with the value.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts `command`, given a port, until somebody listens there. The port may be taken in
    /// between by another process; then the server ends, and another port is tried.
    fn start(command: impl Fn(u16) -> Command) -> Self {
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let process = command(port)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut server = Self { process, port };
            let deadline = Instant::now() + PATIENCE;
            while server.process.try_wait().unwrap().is_none() && Instant::now() < deadline {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return server;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("{:?} does not start", command(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a script of this folder, which must succeed; returns the lines it prints.
fn python(script: &str, args: &[&str]) -> Vec<String> {
    let output = Command::new(tool("venv/bin/python"))
        .args(["-c", script])
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A certificate and its key, in files.
pub struct Tls<'a> {
    pub certificate: &'a Path,
    pub key: &'a Path,
}

/// A server of the S3 protocol.
pub struct S3Server {
    _server: Server,
    pub endpoint: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// How far an S3 server trusts.
#[derive(Clone, Copy, PartialEq)]
pub enum Trust {
    /// It believes every signature.
    All,
    /// It checks keys and signatures, and gets the signature wrong of requests with an escaped
    /// slash in the query.
    Keys,
}

impl S3Server {
    pub fn start(tls: Option<Tls<'_>>) -> Self {
        Self::trusting(Trust::All, tls)
    }

    pub fn trusting(trust: Trust, tls: Option<Tls<'_>>) -> Self {
        let server = Server::start(|port| {
            let mut command = Command::new(tool("venv/bin/moto_server"));
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            if trust == Trust::Keys {
                // The three requests that make the user; all others are checked.
                command.env("INITIAL_NO_AUTH_ACTION_COUNT", "3");
            }
            if let Some(tls) = &tls {
                command
                    .arg("-c")
                    .arg(tls.certificate)
                    .arg("-k")
                    .arg(tls.key);
            }
            command
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://127.0.0.1:{}", server.port);
        let mut keys = python(include_str!("s3_bucket.py"), &[&endpoint, BUCKET]);
        let secret_access_key = keys.pop().unwrap();
        Self {
            _server: server,
            endpoint,
            access_key_id: keys.pop().unwrap(),
            secret_access_key,
        }
    }
}

/// A server of the Azure blob protocol.
pub struct AzureServer {
    _server: Server,
    pub endpoint: String,
    pub account: String,
    pub key: String,
    _data: tempfile::TempDir,
}

impl AzureServer {
    pub fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (account, key) = ("kubestash", "Y2FuYXJ5LWF6dXJlLWtleS1jYW5hcnk=");
        let server = Server::start(|port| {
            let mut command = Command::new(tool("npm/node_modules/.bin/azurite-blob"));
            command
                .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
                .args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"])
                .arg("--location")
                .arg(data.path())
                .env("AZURITE_ACCOUNTS", format!("{account}:{key}"));
            command
        });
        let endpoint = format!("http://127.0.0.1:{}/{account}", server.port);
        python(
            include_str!("azure_container.py"),
            &[&endpoint, account, key, BUCKET],
        );
        Self {
            _server: server,
            endpoint,
            account: account.to_owned(),
            key: key.to_owned(),
            _data: data,
        }
    }
}
