//! Secrets do not leak, whatever happens.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;

use crate::support::{Gcs, System};
use crate::tutorial::{example, first_session, trigger};

/// The password of the backups and the key of the storage, unmistakable.
const CANARIES: [&str; 2] = ["canary-restic-1f0d9a", "canary-gcs-key-77c2e4"];

/// Looks into command line and environment of every process until told to stop.
fn watch_processes(stop: &AtomicBool, secrets: Vec<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            if !entry
                .file_name()
                .to_string_lossy()
                .bytes()
                .all(|byte| byte.is_ascii_digit())
            {
                continue;
            }
            for file in ["cmdline", "environ"] {
                let Ok(content) = std::fs::read(entry.path().join(file)) else {
                    continue;
                };
                for secret in &secrets {
                    if contains(&content, secret) {
                        found.insert(format!(
                            "{secret} in {file} of {}",
                            String::from_utf8_lossy(&content)
                        ));
                    }
                }
            }
        }
        std::thread::yield_now();
    }
    found
}

fn contains(content: &[u8], secret: &str) -> bool {
    content
        .windows(secret.len())
        .any(|window| window == secret.as_bytes())
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_secret_is_seen_in_processes_logs_events_objects_files_or_the_bucket() {
    let gcs = Gcs::start();
    let system = System::with_gcs(&gcs);
    system.kubectl("create ns demo");
    system.kubectl(&format!("create secret generic -n demo gcs-secret --from-literal=GOOGLE_SERVICE_ACCOUNT_JSON_KEY={}", CANARIES[1]));
    system.kubectl(&format!(
        "create secret generic -n demo encrypt-secret --from-literal=RESTIC_PASSWORD={}",
        CANARIES[0]
    ));
    system.apply(&example("backupstorage.yaml"));
    system.apply(&example("retentionpolicy.yaml"));
    system.apply(&example("default-backupblueprint.yaml"));
    let mut secrets: Vec<String> = CANARIES.iter().map(|canary| (*canary).to_owned()).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        system.apply(&example("sample-druid.yaml"));
        let session = first_session(&system, "appbinding-sample-druid");
        assert_eq!(session["status"]["phase"], "Succeeded", "{session:#}");
        for secret in ["sample-druid-auth", "sample-druid-mysql-metadata-auth"] {
            let secret = system.object("demo", &format!("secret/{secret}")).unwrap();
            let password = base64::engine::general_purpose::STANDARD
                .decode(secret["data"]["password"].as_str().unwrap())
                .unwrap();
            secrets.push(String::from_utf8(password).unwrap());
        }
        // Another backup, and one that fails, while every process is looked at.
        let (watched, stop) = (secrets.clone(), &stop);
        let watcher = scope.spawn(move || watch_processes(stop, watched));
        for password in ["", "canary-wrong-5b1c"] {
            if !password.is_empty() {
                system.kubectl(&format!(
                    "patch -n demo secret encrypt-secret --type=merge -p {{\"stringData\":{{\"RESTIC_PASSWORD\":\"{password}\"}}}}"
                ));
            }
            let name = trigger(&system, "appbinding-sample-druid");
            let ended = system.wait_phase(
                "demo",
                &format!("backupsession/{name}"),
                &["Succeeded", "Failed", "Skipped"],
            );
            // The operator may have noticed the other password first; then the session is skipped.
            assert_eq!(
                ended["status"]["phase"] == "Succeeded",
                password.is_empty(),
                "{ended:#}"
            );
        }
        stop.store(true, Ordering::Relaxed);
        let seen = watcher.join().unwrap();
        // The command lines of this test's own kubectl calls set the Secrets.
        let seen: Vec<_> = seen
            .into_iter()
            .filter(|hit| !hit.contains("kubectl"))
            .collect();
        assert!(seen.is_empty(), "{seen:#?}");
    });
    secrets.push("canary-wrong-5b1c".to_owned());

    let encoded: Vec<String> = secrets
        .iter()
        .map(|secret| base64::engine::general_purpose::STANDARD.encode(secret))
        .collect();
    let mut texts = vec![("up's log".to_owned(), std::fs::read(system.log()).unwrap())];
    for kind in system
        .kubectl("api-resources --verbs=list -o name")
        .split_whitespace()
    {
        if kind != "secrets" {
            texts.push((
                kind.to_owned(),
                system
                    .kubectl(&format!("get {kind} -A -o yaml"))
                    .into_bytes(),
            ));
        }
    }
    for pod in system.objects("demo", "pods") {
        let name = pod["metadata"]["name"].as_str().unwrap();
        texts.push((
            format!("log of {name}"),
            system
                .kubectl(&format!("logs -n demo {name} --all-containers"))
                .into_bytes(),
        ));
    }
    for file in files(&gcs.dir) {
        texts.push((file.display().to_string(), std::fs::read(&file).unwrap()));
    }
    for file in files(&system.data) {
        let name = file
            .strip_prefix(&system.data)
            .unwrap()
            .display()
            .to_string();
        // The store of Secrets holds them, the databases hold hashes of theirs.
        if !name.starts_with("databases") && !name.contains("secret") {
            texts.push((name, std::fs::read(&file).unwrap_or_default()));
        }
    }
    let mut hits = Vec::new();
    for (place, content) in &texts {
        for secret in secrets.iter().chain(&encoded) {
            if contains(content, secret) {
                hits.push(format!("{secret} in {place}"));
            }
        }
    }
    assert!(hits.is_empty(), "{hits:#?}");
    assert!(texts.len() > 20);
}
