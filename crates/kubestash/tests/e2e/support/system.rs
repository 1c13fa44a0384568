//! `kubestash up` as a child process, and the real kubectl against it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Gcs, eventually, find_binary, output};

/// A running `kubestash up`; stopped when dropped.
pub struct System {
    process: Option<Child>,
    /// The data directory, which outlives a restart.
    pub data: PathBuf,
    /// The kubeconfig it wrote.
    pub kubeconfig: PathBuf,
    environment: Vec<(String, String)>,
    temp: tempfile::TempDir,
}

impl System {
    /// Starts one in a fresh directory, without object stores.
    pub fn start() -> Self {
        Self::with_environment(Vec::new())
    }

    /// Starts one that reaches a GCS emulator.
    pub fn with_gcs(gcs: &Gcs) -> Self {
        Self::with_environment(vec![("STORAGE_EMULATOR_HOST".to_owned(), gcs.url.clone())])
    }

    /// Starts one with variables in its environment.
    pub fn with_environment(environment: Vec<(String, String)>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        // The database servers run as another user and have to reach their data.
        std::fs::set_permissions(
            temp.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o711),
        )
        .unwrap();
        let mut system = Self {
            process: None,
            data: temp.path().join("data"),
            kubeconfig: temp.path().join("kubeconfig"),
            environment,
            temp,
        };
        system.restart();
        system
    }

    /// Starts `up` on the data directory (again) and waits for its line.
    pub fn restart(&mut self) {
        self.stop();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        // A test run under `nohup` hands an ignored SIGHUP on, which `up` respects.
        let mut process = Command::new("/usr/bin/env")
            .arg("--default-signal=HUP")
            .arg(env!("CARGO_BIN_EXE_kubestash"))
            .arg("up")
            .arg("--data-dir")
            .arg(&self.data)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            // Ends with this process, also if the test is killed.
            .arg("--until-eof")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        self.process = Some(process);
        assert!(
            line.contains("kubeconfig"),
            "up said {line:?}; its log:\n{}",
            self.log_text()
        );
    }

    /// The log of `up`.
    pub fn log(&self) -> PathBuf {
        self.temp.path().join("up.log")
    }

    /// The last part of the log, for messages.
    pub fn log_text(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Process number of `up`.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("up runs").id()
    }

    /// Stops it as Ctrl-C does and waits.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = Command::new("kill")
                .arg("-TERM")
                .arg(process.id().to_string())
                .status();
            let _ = process.wait();
        }
    }

    /// Ends it by `kill -9` and waits.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// kubectl with arguments split at white space; its standard output, or what it said on
    /// failure.
    pub fn try_kubectl(&self, args: &str) -> Result<String, String> {
        output(self.command().args(args.split_whitespace()))
    }

    /// The same, which must not fail.
    pub fn kubectl(&self, args: &str) -> String {
        self.try_kubectl(args)
            .unwrap_or_else(|error| panic!("kubectl {args}: {error}\n{}", self.log_text()))
    }

    /// kubectl with the right kubeconfig.
    pub fn command(&self) -> Command {
        let mut command = Command::new(find_binary("kubectl"));
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// `kubectl apply` of YAML; what kubectl said on failure.
    pub fn try_apply(&self, yaml: &str) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), yaml).unwrap();
        output(self.command().arg("apply").arg("-f").arg(file.path()))
    }

    /// The same, which must not fail.
    pub fn apply(&self, yaml: &str) {
        self.try_apply(yaml)
            .unwrap_or_else(|error| panic!("{error}\nin {yaml}"));
    }

    /// An object as JSON, by `namespace` and `kind/name`.
    pub fn object(&self, namespace: &str, name: &str) -> Result<Value, String> {
        let text = output(
            self.command()
                .args(["get", "-n", namespace, name, "-o", "json"]),
        )?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// All objects of a kind in a namespace.
    pub fn objects(&self, namespace: &str, kind: &str) -> Vec<Value> {
        let text = self.kubectl(&format!("get -n {namespace} {kind} -o json"));
        let list: Value = serde_json::from_str(&text).unwrap();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the object at `name` satisfies `test`, and returns it.
    pub fn wait(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        test: impl Fn(&Value) -> bool,
    ) -> Value {
        // Far more than it takes, for a disk that still writes what a build left: each sync waits
        // for that.
        eventually(&format!("{name} {what}"), Duration::from_secs(180), || {
            let object = self.object(namespace, name)?;
            if test(&object) {
                Ok(object)
            } else {
                Err(format!("{:#}\n{}", object["status"], self.log_text()))
            }
        })
    }

    /// Waits until the object's `status.phase` is one of `phases`.
    pub fn wait_phase(&self, namespace: &str, name: &str, phases: &[&str]) -> Value {
        self.wait(namespace, name, &format!("to be {phases:?}"), |object| {
            object["status"]["phase"]
                .as_str()
                .is_some_and(|phase| phases.contains(&phase))
        })
    }

    /// Waits for an Event on `kind/name` whose message holds `text`, and returns the message.
    pub fn wait_event(&self, namespace: &str, kind: &str, name: &str, text: &str) -> String {
        eventually(
            &format!("an Event on {kind}/{name} that says {text:?}"),
            Duration::from_secs(30),
            || {
                let messages: Vec<String> = self
                    .objects(namespace, "events")
                    .iter()
                    .filter(|event| {
                        event["involvedObject"]["kind"] == kind
                            && event["involvedObject"]["name"] == name
                    })
                    .map(|event| event["message"].as_str().unwrap_or_default().to_owned())
                    .collect();
                messages
                    .iter()
                    .find(|message| message.contains(text))
                    .cloned()
                    .ok_or_else(|| format!("{messages:#?}"))
            },
        )
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("the end of up's log:\n{}", self.log_text());
        }
    }
}
