//! `kubestash` as a program: what it prints, what it refuses, and which signals end it.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::{System, eventually};

fn kubestash(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubestash"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn version_help_and_completion_are_commands() {
    let version = format!("kubestash {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [["version"], ["--version"]] {
        let (code, out, _) = text(&kubestash(&arguments).output().unwrap());
        assert_eq!((code, out), (Some(0), version.clone()), "{arguments:?}");
    }
    let (code, out, _) = text(&kubestash(&["help", "up"]).output().unwrap());
    assert_eq!(code, Some(0));
    assert!(out.contains("--data-dir"), "{out}");
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = text(&kubestash(&["completion", shell]).output().unwrap());
        assert_eq!(code, Some(0), "{shell}");
        assert!(
            out.contains("kubestash") && out.contains("completion"),
            "{shell}: {out}"
        );
    }
    let (code, _, said) = text(&kubestash(&["completion", "nonsense"]).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(said.contains("bash"), "{said}");
}

#[test]
fn a_log_setting_that_means_nothing_is_refused_before_anything_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for command in [
        vec!["up", "--data-dir", data.to_str().unwrap()],
        vec!["operator"],
    ] {
        let output = kubestash(&command).env("KUBESTASH_LOG", "verbose").output();
        let (code, _, said) = text(&output.unwrap());
        assert_eq!(code, Some(1), "{command:?}");
        assert!(said.contains("KUBESTASH_LOG=verbose"), "{said}");
        assert!(said.contains("debug"), "{said}");
    }
    assert!(!data.exists());
}

#[test]
fn up_without_the_rights_that_it_needs_refuses_to_start_and_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for (dropped, expected) in [
        ("-sys_admin", vec!["CAP_SYS_ADMIN"]),
        ("-setuid,-setgid", vec!["CAP_SETUID", "CAP_SETGID"]),
        ("-all", vec!["CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_SYS_CHROOT"]),
    ] {
        let output = Command::new("setpriv")
            .args(["--bounding-set", dropped, env!("CARGO_BIN_EXE_kubestash")])
            .args(["up", "--data-dir"])
            .arg(&data)
            .stdin(Stdio::null())
            .output();
        let (code, out, said) = text(&output.unwrap());
        assert_eq!((code, out.as_str()), (Some(1), ""), "{dropped}: {said}");
        for name in expected {
            assert!(said.contains(name), "{dropped}: {said}");
        }
        assert!(said.contains("root"), "{said}");
    }
    assert!(!data.exists(), "nothing is begun");
}

#[test]
fn a_terminal_that_is_closed_ends_up_in_order() {
    let mut system = System::start();
    let pid = system.pid().to_string();
    Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    let ended = || match system.try_kubectl("get namespaces") {
        Ok(_) => Err("it still answers".to_owned()),
        Err(_) => Ok(()),
    };
    eventually("up to end", Duration::from_secs(30), ended);
    assert!(
        system.log_text().contains("stopping"),
        "{}",
        system.log_text()
    );
    system.restart();
    system.kubectl("get namespaces");
}

#[test]
fn a_second_operator_beside_up_waits_for_its_lease_and_says_so() {
    let system = System::start();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut second = kubestash(&["operator", "--webhook-listen", "127.0.0.1:0"])
        .env("KUBECONFIG", &system.kubeconfig)
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    eventually(
        "the second to say that it waits",
        Duration::from_secs(60),
        || {
            let said = said();
            if said.contains("another operator is at work")
                && said.contains("kubestash/kubestash-operator")
            {
                Ok(())
            } else {
                Err(said)
            }
        },
    );
    assert!(!said().contains("the operator is ready"), "{}", said());
    let lease = system
        .object("kubestash", "lease/kubestash-operator")
        .unwrap();
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap().to_owned();
    assert!(holder.contains(&format!(".{}_", system.pid())), "{holder}");
    second.kill().unwrap();
    second.wait().unwrap();
}
