//! `kubestash up` as a program: its line, its files, its end.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bad_input::druid;
use crate::support::{System, descendants, eventually, still_running};

#[test]
fn the_kubeconfig_is_private_and_no_token_means_no_answer() {
    let system = System::start();
    let mode = std::fs::metadata(&system.kubeconfig)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = std::fs::read_to_string(&system.kubeconfig).unwrap();
    let server = config
        .split_whitespace()
        .find(|word| word.contains("https://"))
        .unwrap();
    let server = server.trim_matches('"');
    assert!(server.starts_with("https://127.0.0.1:"), "{server}");
    let answer = Command::new("curl")
        .args(["-sk", &format!("{server}/api/v1/namespaces")])
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(
        answer.contains("Unauthorized") && !answer.contains("kube-system"),
        "{answer}"
    );
}

#[test]
fn what_the_start_and_a_big_document_took_goes_back_to_the_system() {
    let system = System::start();
    system.kubectl("get --raw /openapi/v2");
    // Data of the process, without the pages of its program.
    eventually("the memory to go back", Duration::from_secs(30), || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", system.pid()))
            .map_err(|error| error.to_string())?;
        let data = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .ok_or("no RssAnon")?;
        if data < 64 * 1024 {
            Ok(())
        } else {
            Err(format!("{data} KiB"))
        }
    });
}

#[test]
fn a_second_up_on_the_same_data_directory_is_refused_with_the_reason() {
    let system = System::start();
    let second = Command::new(env!("CARGO_BIN_EXE_kubestash"))
        .args([
            "up",
            "--until-eof",
            "--kubeconfig",
            "/dev/null/never",
            "--data-dir",
        ])
        .arg(&system.data)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("in use") && said.contains(system.data.to_str().unwrap()),
        "{said}"
    );
    assert!(said.contains(&system.pid().to_string()), "{said}");
    system.kubectl("get namespaces");
}

#[test]
fn sigterm_stops_everything_within_ten_seconds_and_a_restart_finds_it_again() {
    let mut system = System::start();
    system.kubectl("create ns demo");
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    let address = system
        .object("demo", "appbinding/sample-druid-mysql-metadata")
        .unwrap()["spec"]["clientConfig"]["url"]
        .clone();
    let processes = descendants(system.pid(), "");
    assert!(
        processes.len() > 2,
        "up, a supervisor and a database server: {processes:?}"
    );
    let started = Instant::now();
    system.stop();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(still_running(&processes), Vec::<u32>::new());
    system.restart();
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    let again = system
        .object("demo", "appbinding/sample-druid-mysql-metadata")
        .unwrap();
    assert_eq!(again["spec"]["clientConfig"]["url"], address);
}

#[test]
fn kill_9_leaves_no_child_behind_and_no_object_is_lost() {
    let mut system = System::start();
    system.kubectl("create ns demo");
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    let processes = descendants(system.pid(), "");
    assert!(
        processes.len() > 2,
        "up, a supervisor and a database server: {processes:?}"
    );
    system.kill();
    eventually("every child to end", Duration::from_secs(10), || {
        let left = still_running(&processes);
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
    system.restart();
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
}

#[test]
fn the_provider_makes_what_kubedb_makes_and_claims_nothing_more() {
    let system = System::start();
    system.kubectl("create ns demo");
    system.apply(&druid(
        "demo",
        "sample-druid",
        &[("variables.kubestash.com/x", "1")],
    ));
    let ready = system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    let conditions = ready["status"]["conditions"].to_string();
    assert!(conditions.contains("etadata store only"), "{conditions}");
    assert_eq!(ready["metadata"]["finalizers"][0], "kubedb.com/druid");
    for secret in ["sample-druid-auth", "sample-druid-mysql-metadata-auth"] {
        let secret = system.object("demo", &format!("secret/{secret}")).unwrap();
        assert_eq!(secret["type"], "kubernetes.io/basic-auth");
    }
    let own = system.object("demo", "appbinding/sample-druid").unwrap();
    assert_eq!(
        own["metadata"]["annotations"]["variables.kubestash.com/x"],
        "1"
    );
    assert_eq!(own["spec"]["type"], "kubedb.com/druid");
    assert_eq!(own["spec"]["appRef"]["kind"], "Druid");
    assert_eq!(own["metadata"]["ownerReferences"][0]["kind"], "Druid");
    let store = system
        .object("demo", "appbinding/sample-druid-mysql-metadata")
        .unwrap();
    assert!(
        store["metadata"]["annotations"]
            .get("variables.kubestash.com/x")
            .is_none()
    );
    assert_eq!(store["spec"]["type"], "kubedb.com/mysql");
    system.wait_phase("demo", "mysql/sample-druid-mysql-metadata", &["Ready"]);

    // What changes on the Druid reaches its AppBinding.
    system.kubectl("annotate -n demo druid sample-druid variables.kubestash.com/x- variables.kubestash.com/y=2");
    system.wait(
        "demo",
        "appbinding/sample-druid",
        "to follow the annotations",
        |binding| {
            let annotations = &binding["metadata"]["annotations"];
            annotations.get("variables.kubestash.com/x").is_none()
                && annotations["variables.kubestash.com/y"] == "2"
        },
    );

    system.kubectl("patch -n demo druid sample-druid --type=merge -p {\"spec\":{\"deletionPolicy\":\"DoNotTerminate\"}}");
    system.kubectl("delete -n demo druid sample-druid --wait=false");
    system.wait_event("demo", "Druid", "sample-druid", "DoNotTerminate");
    system.kubectl("patch -n demo druid sample-druid --type=merge -p {\"spec\":{\"deletionPolicy\":\"WipeOut\"}}");
    eventually(
        "the Druid and all of its things to go",
        Duration::from_secs(30),
        || {
            let left = system.kubectl("get druids,mysqls,appbindings,secrets -n demo -o name");
            if left.is_empty() { Ok(()) } else { Err(left) }
        },
    );
    assert_eq!(descendants(system.pid(), "--datadir="), Vec::<u32>::new());
    assert!(
        !system
            .data
            .join("databases/demo/sample-druid-mysql-metadata")
            .exists()
    );
}
