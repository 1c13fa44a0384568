//! Databases that are down, deny, or die; clients that are missing; volumes that are full.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::repository::{instant, session, told};
use super::{configuration, druid, local_backend};
use crate::support::{System, eventually, free_port};

#[test]
fn a_wrong_password_fails_the_session_at_once_with_the_reason() {
    let system = System::start();
    let volume = tempfile::tempdir().unwrap();
    local_backend(&system, &volume.path().join("volume"));
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    // The same server by another AppBinding: the provider would follow a change of its own Secret.
    let store = system
        .object("demo", "appbinding/sample-druid-mysql-metadata")
        .unwrap();
    let url = store["spec"]["clientConfig"]["url"].as_str().unwrap();
    bind(&system, "denied", url);
    system.apply(&configuration_of("denied", "3"));
    let denied = instant(&system);
    assert_eq!(denied["status"]["phase"], "Failed");
    let text = told(&system, &denied);
    assert!(
        text.contains("password") || text.contains("ccess denied"),
        "{text}"
    );
    assert!(text.contains("denied-auth"), "{text}");
}

/// An AppBinding of a MySQL server at `url`, with a Secret that holds a password of nobody.
fn bind(system: &System, name: &str, url: &str) {
    system.kubectl(&format!(
        "create secret generic -n demo {name}-auth --from-literal=username=root --from-literal=password=x"
    ));
    let binding = json!({
        "apiVersion": "appcatalog.appscode.com/v1alpha1",
        "kind": "AppBinding",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "type": "kubedb.com/mysql",
            "version": "8.0.35",
            "clientConfig": {"url": url},
            "secret": {"name": format!("{name}-auth")},
        },
    });
    system.apply(&binding.to_string());
}

/// A configuration whose target is an AppBinding that is waited for this long.
fn configuration_of(binding: &str, seconds: &str) -> String {
    let yaml = configuration(&json!({"databases": "druid", "waitTimeout": seconds}));
    let mut configuration: serde_json::Value = serde_json::from_str(&yaml).unwrap();
    configuration["spec"]["target"] = json!({"apiGroup": "appcatalog.appscode.com", "kind": "AppBinding", "name": binding, "namespace": "demo"});
    configuration.to_string()
}

#[test]
fn a_database_that_does_not_answer_fails_the_session_after_the_wait_with_its_address() {
    let system = System::start();
    let volume = tempfile::tempdir().unwrap();
    local_backend(&system, &volume.path().join("volume"));
    let address = format!("127.0.0.1:{}", free_port());
    bind(&system, "dead", &format!("tcp({address})/"));
    system.apply(&configuration_of("dead", "10"));
    let says_so = || {
        let sessions = system.objects("demo", "backupsessions.core.kubestash.com");
        let conditions = sessions
            .iter()
            .filter_map(|s| s["status"]["conditions"].as_array());
        let mut waiting = conditions.flatten().filter(|c| c["type"] == "Waiting");
        let found = waiting.any(|waiting| {
            waiting["reason"] == "DatabaseUnreachable"
                && waiting["message"].as_str().unwrap().contains(&address)
        });
        found.then_some(()).ok_or(format!("{sessions:?}"))
    };
    eventually("what it waits for", Duration::from_secs(60), says_so);
    let down = instant(&system);
    assert_eq!(down["status"]["phase"], "Failed");
    let text = told(&system, &down);
    assert!(text.contains(&address), "{text}");
}

#[test]
fn a_missing_dump_client_is_named_with_its_package() {
    // A PATH without any client; the server is found where packages put it.
    let empty = tempfile::tempdir().unwrap();
    let volume = tempfile::tempdir().unwrap();
    let system = System::with_environment(vec![(
        "PATH".to_owned(),
        empty.path().display().to_string(),
    )]);
    local_backend(&system, &volume.path().join("volume"));
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    system.apply(&configuration(&json!({"databases": "druid"})));
    let failed = instant(&system);
    assert_eq!(failed["status"]["phase"], "Failed");
    let text = told(&system, &failed);
    assert!(
        text.contains("mariadb-dump") && text.contains("mysqldump"),
        "{text}"
    );
}

#[test]
fn a_volume_that_fills_up_fails_the_session_and_the_next_one_succeeds_with_space() {
    let system = System::start();
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("volume");
    std::fs::create_dir_all(&volume).unwrap();
    let mount = |size: &str, option: &str| {
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("{option}size={size}"),
                "tmpfs",
            ])
            .arg(&volume)
            .status()
            .unwrap();
        assert!(status.success());
    };
    mount("200k", "");
    let unmounted = Unmount(volume.clone());
    local_backend(&system, &volume);
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    crate::crash::load_metadata(&system, "sample-druid");
    system.apply(&configuration(&json!({"databases": "druid"})));
    let full = instant(&system);
    assert_eq!(full["status"]["phase"], "Failed");
    assert!(
        told(&system, &full).contains("full"),
        "{}",
        told(&system, &full)
    );
    mount("64m", "remount,");
    let mended = session(&system, "mended-1");
    assert_eq!(
        mended["status"]["phase"],
        "Succeeded",
        "{}",
        told(&system, &mended)
    );
    crate::crash::check_local(&volume, "repo", "changeit", 1);
    drop(system);
    drop(unmounted);
}

/// Unmounts at the end of a test.
struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
