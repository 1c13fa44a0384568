//! `kill -9` at any moment: afterwards the session ends, the next one succeeds, and nothing claims
//! what is not there.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use crate::bad_input::{configuration, druid, local_backend};
use crate::support::{System, descendants, eventually, find_binary, output};

/// Runs the real restic on the repository of a local storage's directory: it checks clean and holds
/// `snapshots`.
pub fn check_local(volume: &Path, directory: &str, password: &str, snapshots: usize) {
    let listed = restic_snapshots(volume, directory, password);
    assert_eq!(listed.len(), snapshots, "{listed:#?}");
}

/// The snapshots that the real restic lists there; it checks clean, and no lock is left.
pub fn restic_snapshots(volume: &Path, directory: &str, password: &str) -> Vec<Value> {
    let repository = volume
        .join(directory)
        .join("repository/v1/frequent-backup/dump");
    let restic = |args: &[&str]| {
        output(
            Command::new(find_binary("restic"))
                .args(["--no-cache", "-r"])
                .arg(&repository)
                .args(args)
                .env("RESTIC_PASSWORD", password),
        )
        .unwrap_or_else(|error| panic!("restic {args:?}: {error}"))
    };
    let checked = restic(&["check", "--read-data"]);
    assert!(checked.contains("no errors were found"), "{checked}");
    // A lock counts when it has its name; before that it is a file in the making, which holds up
    // nobody.
    let names = std::fs::read_dir(repository.join("locks"))
        .into_iter()
        .flatten()
        .flatten();
    let locks = names.filter(|file| file.file_name().len() == 64).count();
    assert_eq!(locks, 0, "a lock stayed");
    serde_json::from_str(&restic(&["snapshots", "--json"])).unwrap()
}

/// What Snapshots and the files beside the data claim is what restic finds, and what restic finds
/// belongs to a Snapshot, with which it will go.
pub fn assert_honest(system: &System, volume: &Path) {
    let present = restic_snapshots(volume, "repo", "changeit");
    let objects = system.objects("demo", "snapshots.storage.kubestash.com");
    let files = std::fs::read_dir(volume.join("repo/snapshots")).unwrap();
    let files = files.map(|file| {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        serde_saphyr::from_str::<Value>(&text).unwrap()
    });
    for snapshot in objects.iter().cloned().chain(files) {
        if snapshot["status"]["phase"] == "Succeeded" {
            let id = &snapshot["status"]["components"]["dump"]["resticStats"][0]["id"];
            let found = present.iter().any(|restic| &restic["id"] == id);
            assert!(found, "{id} is claimed and not there");
        }
    }
    for restic in &present {
        let tags = restic["tags"].as_array().unwrap();
        let owned = objects.iter().any(|snapshot| {
            let uid = snapshot["metadata"]["uid"].as_str().unwrap();
            tags.iter().any(|tag| tag == &format!("snapshot-uid={uid}"))
        });
        assert!(owned, "nobody will remove {restic:#}");
    }
}

/// Fills the metadata database of a Druid with the demo's rows.
pub fn load_metadata(system: &System, druid: &str) {
    let secret = system
        .object("demo", &format!("secret/{druid}-mysql-metadata-auth"))
        .unwrap();
    let binding = system
        .object("demo", &format!("appbinding/{druid}-mysql-metadata"))
        .unwrap();
    let url = binding["spec"]["clientConfig"]["url"].as_str().unwrap();
    let port = url.trim_end_matches(")/").rsplit(':').next().unwrap();
    let decode = |key: &str| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(secret["data"][key].as_str().unwrap())
            .unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = format!(
        "[client]\nuser={}\npassword={}\nhost=127.0.0.1\nport={port}\n",
        decode("username"),
        decode("password")
    );
    std::fs::write(file.path(), options).unwrap();
    let sql = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/metadata.sql");
    output(
        Command::new(find_binary("mariadb"))
            .arg(format!("--defaults-extra-file={}", file.path().display()))
            .arg("druid")
            .stdin(std::fs::File::open(sql).unwrap()),
    )
    .unwrap();
}

/// A small random number generator, so that a failing moment can be run again.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What is killed.
#[derive(Clone, Copy, Debug)]
pub enum Victim {
    Executor,
    Database,
    Up,
}

#[test]
fn kill_9_of_executor_database_or_up_at_any_moment_loses_nothing_and_claims_nothing() {
    let mut system = System::start();
    let volume = tempfile::tempdir().unwrap();
    let volume = volume.path().join("volume");
    local_backend(&system, &volume);
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    load_metadata(&system, "sample-druid");
    system.apply(&configuration(
        &json!({"databases": "druid", "waitTimeout": "60"}),
    ));
    let first = crate::tutorial::first_session(&system, "manual");
    assert_eq!(first["status"]["phase"], "Succeeded", "{first:#}");

    let mut random = Random(0x5eed_cafe);
    for round in 0..21_u32 {
        let victim = [Victim::Executor, Victim::Database, Victim::Up][round as usize % 3];
        let name = format!("round-{round}");
        create(&system, &name);
        // From before the Job starts until after it has ended.
        let moment = Duration::from_millis(random.below(1800));
        std::thread::sleep(moment);
        kill(&mut system, victim);
        let ended = system.wait_phase(
            "demo",
            &format!("backupsession/{name}"),
            &["Succeeded", "Failed", "Skipped"],
        );
        eprintln!(
            "round {round}: {victim:?} after {moment:?}: {}",
            ended["status"]["phase"]
        );
        system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
        let after = format!("after-{round}");
        create(&system, &after);
        let after = system.wait_phase(
            "demo",
            &format!("backupsession/{after}"),
            &["Succeeded", "Failed", "Skipped"],
        );
        assert_eq!(
            after["status"]["phase"], "Succeeded",
            "after {victim:?} at {moment:?}: {after:#}"
        );
    }
    assert_honest(&system, &volume);
}

/// Makes a BackupSession of the configuration `manual`.
pub fn create(system: &System, name: &str) {
    system.apply(
        &json!({
            "apiVersion": "core.kubestash.com/v1alpha1",
            "kind": "BackupSession",
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {
                "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": "manual"},
                "session": "frequent-backup",
                "retryLeft": 0,
            },
        })
        .to_string(),
    );
}

/// Ends the victim; the executor is that of a backup or a restore.
pub fn kill(system: &mut System, victim: Victim) {
    match victim {
        Victim::Up => {
            system.kill();
            system.restart();
        }
        Victim::Executor => signal_all(&descendants(system.pid(), "execute mysql-")),
        Victim::Database => {
            let servers = eventually("the database server", Duration::from_secs(30), || {
                let found = descendants(system.pid(), "--datadir=");
                if found.is_empty() {
                    Err("none".to_owned())
                } else {
                    Ok(found)
                }
            });
            signal_all(&servers);
        }
    }
}

/// Kills processes.
pub fn signal_all(processes: &[u32]) {
    for pid in processes {
        // It may have ended by itself a moment ago.
        let _ = Command::new("kill")
            .args(["-9", &pid.to_string()])
            .stderr(std::process::Stdio::null())
            .status();
    }
}
