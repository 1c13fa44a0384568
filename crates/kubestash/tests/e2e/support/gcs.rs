//! A real GCS emulator, one for each test that wants one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{eventually, free_port};

/// A running emulator; stopped when dropped.
pub struct Gcs {
    process: Child,
    /// What `STORAGE_EMULATOR_HOST` has to be.
    pub url: String,
    /// Where its objects lie as files: `<dir>/<bucket>/<object>`.
    pub dir: PathBuf,
    _temp: tempfile::TempDir,
}

impl Gcs {
    /// Starts one with a bucket `kubestash-qa`.
    pub fn start() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let process = Command::new(binary())
            .args([
                "-scheme",
                "http",
                "-host",
                "127.0.0.1",
                "-backend",
                "filesystem",
                "-filesystem-root",
            ])
            .arg(temp.path())
            .args([
                "-port",
                &port.to_string(),
                "-public-host",
                &format!("127.0.0.1:{port}"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let gcs = Self {
            process,
            url,
            dir: temp.path().to_owned(),
            _temp: temp,
        };
        eventually("the GCS emulator", Duration::from_secs(20), || {
            gcs.curl(&["storage/v1/b"])
        });
        gcs.create_bucket("kubestash-qa");
        gcs
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) {
        let body = format!("{{\"name\":\"{name}\"}}");
        self.curl(&[
            "storage/v1/b",
            "-X",
            "POST",
            "-H",
            "Content-Type: application/json",
            "-d",
            &body,
        ])
        .unwrap();
    }

    /// Names of the objects of the tutorial's bucket below `prefix`.
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        let list = self
            .curl(&[&format!("storage/v1/b/kubestash-qa/o?prefix={prefix}")])
            .unwrap();
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        list["items"]
            .as_array()
            .map(|items| {
                items
                    .iter()
                    .map(|item| item["name"].as_str().unwrap().to_owned())
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Copies the objects under a prefix to files below `dir`, without the prefix.
    pub fn download(&self, prefix: &str, dir: &Path) {
        for name in self.objects(prefix) {
            let file = dir.join(&name[prefix.len()..]);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            let path = format!(
                "storage/v1/b/kubestash-qa/o/{}?alt=media",
                name.replace('/', "%2F")
            );
            self.curl(&[&path, "-o", file.to_str().unwrap()]).unwrap();
        }
    }

    /// Puts an object into the tutorial's bucket.
    pub fn upload(&self, name: &str, content: &str) {
        let path = format!(
            "upload/storage/v1/b/kubestash-qa/o?uploadType=media&name={}",
            name.replace('/', "%2F")
        );
        let header = "Content-Type: application/yaml";
        self.curl(&[&path, "-X", "POST", "-H", header, "--data-binary", content])
            .unwrap();
    }

    fn curl(&self, args: &[&str]) -> Result<String, String> {
        let url = format!("{}/{}", self.url, args[0]);
        super::output(
            Command::new("curl")
                .args(["-fsS", "--max-time", "10"])
                .args(&args[1..])
                .arg(url),
        )
    }
}

impl Drop for Gcs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn binary() -> PathBuf {
    let venv = super::process::root().join(".tools/venv/lib");
    let mut dirs = vec![venv];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path
                .file_name()
                .is_some_and(|name| name == "fake-gcs-server-linux-amd64")
            {
                return path;
            }
        }
    }
    panic!("the GCS emulator is not installed; run `make tools`")
}
