//! The executor as a process of its own, to be watched, stopped and killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kubestash_backend::{Environment, LocalRoot};
use kubestash_engine::CancellationToken;
use kubestash_executor::settings::Settings;
use serde_json::{Value, json};

use super::{Stage, client, eventually};

/// A file that tells a copy of this test what to run; without it, it is an ordinary test run.
const TASK: &str = "KUBESTASH_TEST_TASK";

/// What a test of the name `executor_process` has to do: nothing, unless it was started to be an
/// executor.
pub async fn executor_process() {
    let Some(file) = std::env::var_os(TASK) else {
        return;
    };
    kubestash_executor::log::start();
    let task: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let words: Vec<String> = serde_json::from_value(task["args"].clone()).unwrap();
    let settings = Settings {
        environment: Environment::default(),
        local_root: LocalRoot::At(task["volume"].as_str().unwrap().into()),
    };
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let mut signals =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    tokio::spawn(async move {
        signals.recv().await;
        stop.cancel();
    });
    let client = client(task["kubeconfig"].clone()).await;
    let failures = kubestash_executor::run(client, &settings, &words, &cancel).await;
    std::process::exit(kubestash_executor::end(&failures).into());
}

/// A running executor.
pub struct Process {
    pub child: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts one; `path` takes the place of PATH.
    pub fn start(stage: &Stage, args: &[String], path: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let task = folder.path().join("task.json");
        let log = folder.path().join("log");
        let content = json!({
            "args": args, "volume": stage.volume.path(), "kubeconfig": stage.executor_kubeconfig(),
        });
        std::fs::write(&task, content.to_string()).unwrap();
        let out = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["executor_process", "--exact", "--nocapture"])
            .env(TASK, &task);
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        Self {
            child: command.spawn().unwrap(),
            log,
            _folder: folder,
        }
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end, and returns exit code and output.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let mut status = None;
        eventually("the executor ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        (
            status.unwrap().code(),
            std::fs::read_to_string(&self.log).unwrap(),
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers that look random and are the same each time.
pub fn seeded(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}
