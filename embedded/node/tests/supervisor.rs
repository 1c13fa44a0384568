//! The supervisor with real processes: what they see, how they end, and that none is ever left
//! behind.
#![cfg(test)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kubestash_node::supervisor::{
    Child, Exit, FileEntry, Identity, Mount, MountSource, PrivateRoot, ProcessSpec, StopSignal,
    Supervisor,
};

const BINARY: &str = env!("CARGO_BIN_EXE_node-under-test");

fn shell(dir: &Path, script: &str) -> ProcessSpec {
    ProcessSpec {
        label: "test".to_owned(),
        program: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: vec![("PATH".to_owned(), "/usr/bin:/bin".into())],
        working_dir: None,
        identity: None,
        root: None,
        stdin: None,
        log: dir.join("log"),
        no_new_privileges: false,
    }
}

fn private_root(dir: &Path) -> PrivateRoot {
    let staging = dir.join("root");
    std::fs::create_dir(&staging).unwrap();
    PrivateRoot {
        staging,
        executable: None,
        masked: Vec::new(),
        mounts: Vec::new(),
    }
}

/// Runs to the end and returns how it ended, and the log without the timestamps.
async fn run(spec: ProcessSpec) -> (Exit, String) {
    let log = spec.log.clone();
    let exit = Child::spawn(&Supervisor::new(BINARY), spec)
        .unwrap()
        .wait()
        .await;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    (exit, lines.join("\n"))
}

/// A duration for `sleep` that no other process on the machine has.
fn marker() -> String {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("1000.{}{nanos}", std::process::id())
}

/// Process ids of everything on the machine with this in its command line, supervisors aside.
fn sleepers(marker: &str) -> Vec<u32> {
    let of_sleep = |entry: std::fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (line.starts_with("sleep ") && line.contains(marker)).then_some(pid)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| of_sleep(entry.ok()?))
        .collect()
}

/// Waits until there are so many of them.
fn await_sleepers(marker: &str, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while sleepers(marker).len() != count {
        assert!(
            Instant::now() < deadline,
            "{} processes instead of {count}",
            sleepers(marker).len()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts one sleeper in the foreground, one in the background, and one that has left session and
/// process group.
fn three_sleepers(marker: &str) -> String {
    format!("setsid -f sleep {marker}; sleep {marker} & sleep {marker}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_is_logged_with_times_and_the_exit_code_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (exit, log) = run(shell(
        dir.path(),
        "echo one; echo two; exec >&2; echo three; exit 7",
    ))
    .await;
    assert_eq!(exit, Exit::Code(7));
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"]);
    let text = std::fs::read_to_string(dir.path().join("log")).unwrap();
    let time = text.split_once(' ').unwrap().0;
    assert_eq!(time.len(), "2024-09-19T10:30:46.123456789Z".len(), "{time}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_is_exactly_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "");
    spec.program = "/usr/bin/env".to_owned();
    spec.args = Vec::new();
    spec.env = vec![("ONE".to_owned(), "1".into())];
    assert_eq!(run(spec).await, (Exit::Code(0), "ONE=1".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_to_standard_input_is_in_nobodys_command_line_or_environment() {
    let dir = tempfile::tempdir().unwrap();
    let secret = format!("canary-{}", marker());
    let mut spec = shell(dir.path(), &format!("sleep {} & wait", marker()));
    spec.stdin = Some(secret.as_str().into());
    let child = Child::spawn(&Supervisor::new(BINARY), spec).unwrap();
    child.started().await.unwrap();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let content = std::fs::read(entry.path().join(file)).unwrap_or_default();
            assert!(
                !String::from_utf8_lossy(&content).contains(&secret),
                "{:?}",
                entry.path()
            );
        }
    }
    drop(child);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_does_not_exist_is_told_as_not_started() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "");
    spec.program = "/no/such/program".to_owned();
    let child = Child::spawn(&Supervisor::new(BINARY), spec).unwrap();
    let Err(Exit::NotStarted(reason)) = child.started().await else {
        panic!("it started")
    };
    assert!(reason.contains("/no/such/program"), "{reason}");
    assert!(matches!(child.wait().await, Exit::NotStarted(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_working_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "true");
    spec.working_dir = Some("/no/such/dir".into());
    let (exit, _) = run(spec).await;
    assert!(
        exit.to_string()
            .contains("working directory \"/no/such/dir\" does not exist"),
        "{exit}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_lets_the_process_finish_what_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let mark = marker();
    let script = format!("trap 'echo bye; exit 3' TERM; sleep {mark} & echo up; wait");
    let child = Child::spawn(&Supervisor::new(BINARY), shell(dir.path(), &script)).unwrap();
    child.started().await.unwrap();
    await_sleepers(&mark, 1);
    child.stop(Duration::from_secs(60));
    assert_eq!(child.wait().await, Exit::Code(3));
    assert!(
        std::fs::read_to_string(dir.path().join("log"))
            .unwrap()
            .contains(" bye\n")
    );
    assert_eq!(sleepers(&mark), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signal_to_stop_with_is_the_callers_choice() {
    // The shell waits for nothing but the signal: a trap runs only when the program before it has
    // ended.
    let script = "trap 'exit 3' TERM; trap 'exit 4' INT; sleep 600 & : >ready; wait";
    for (signal, code) in [(StopSignal::Terminate, 3), (StopSignal::Interrupt, 4)] {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = shell(dir.path(), script);
        spec.working_dir = Some(dir.path().to_owned());
        let child = Child::spawn(&Supervisor::new(BINARY), spec).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !dir.path().join("ready").exists() {
            assert!(Instant::now() < deadline, "it does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child.stop_by(signal, Duration::from_secs(60));
        assert_eq!(child.wait().await, Exit::Code(code));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_that_we_were_started_to_ignore_are_not_ignored_by_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let deaf = dir.path().join("deaf");
    std::fs::write(
        &deaf,
        format!("#!/bin/sh\ntrap '' HUP INT QUIT\nexec '{BINARY}' \"$@\"\n"),
    )
    .unwrap();
    std::fs::set_permissions(&deaf, std::fs::Permissions::from_mode(0o755)).unwrap();
    // The last digit is for signals 1 to 4.
    let script = "grep -q '^SigIgn:.*[08]$' /proc/self/status && exit 7";
    let child = Child::spawn(&Supervisor::new(&deaf), shell(dir.path(), script)).unwrap();
    assert_eq!(child.wait().await, Exit::Code(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_grace_everything_is_killed_even_what_has_left_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let mark = marker();
    let script = format!("trap '' TERM; {}", three_sleepers(&mark));
    let child = Child::spawn(&Supervisor::new(BINARY), shell(dir.path(), &script)).unwrap();
    await_sleepers(&mark, 3);
    child.stop(Duration::from_millis(50));
    assert_eq!(child.wait().await, Exit::Signal(9));
    assert_eq!(sleepers(&mark), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_process_leaves_behind_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mark = marker();
    let script = format!("setsid -f sleep {mark}; sleep {mark} & exit 0");
    assert_eq!(run(shell(dir.path(), &script)).await.0, Exit::Code(0));
    assert_eq!(sleepers(&mark), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_handle_ends_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let mark = marker();
    let child = Child::spawn(
        &Supervisor::new(BINARY),
        shell(dir.path(), &three_sleepers(&mark)),
    )
    .unwrap();
    await_sleepers(&mark, 3);
    drop(child);
    await_sleepers(&mark, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_supervisor_ends_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let mark = marker();
    let child = Child::spawn(
        &Supervisor::new(BINARY),
        shell(dir.path(), &three_sleepers(&mark)),
    )
    .unwrap();
    await_sleepers(&mark, 3);
    let pid = i32::try_from(child.supervisor_pid().unwrap()).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    assert_eq!(child.wait().await, Exit::Lost);
    await_sleepers(&mark, 0);
}

#[test]
fn kill_dash_nine_of_up_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let mark = marker();
        let mut up = Command::new(BINARY)
            .args(["up", &three_sleepers(&mark)])
            .arg(dir.path().join("log"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(up.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "running\n");
        await_sleepers(&mark, 3);
        up.kill().unwrap();
        up.wait().unwrap();
        await_sleepers(&mark, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_can_run_as_somebody_else_and_read_its_input_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "id -u; id -g; id -G; cat /dev/stdin");
    spec.identity = Some(Identity {
        uid: 65534,
        gid: 1234,
        groups: vec![1234, 4321],
    });
    spec.stdin = Some("secret input".into());
    assert_eq!(
        run(spec).await,
        (
            Exit::Code(0),
            "65534\n1234\n1234 4321\nsecret input".to_owned()
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mount_points_are_real_in_the_process_and_absent_on_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    let name = format!("kubestash-test-{}", std::process::id());
    let targets = [
        format!("/{name}"),
        format!("/var/run/{name}/deep/er"),
        format!("/usr/share/{name}"),
    ];
    let script = format!(
        "for t in {}; do echo hello > $t/file || exit 1; done; ls /usr/share | wc -l; ls -d /etc /proc/self /dev/null",
        targets.join(" ")
    );
    let mut spec = shell(dir.path(), &script);
    let mut root = private_root(dir.path());
    for target in &targets {
        root.mounts.push(Mount {
            target: target.into(),
            source: MountSource::Path(volume.clone()),
            read_only: false,
        });
    }
    spec.root = Some(root);
    let (exit, log) = run(spec).await;
    assert_eq!(exit, Exit::Code(0), "{log}");
    let entries = std::fs::read_dir("/usr/share").unwrap().count();
    assert!(
        log.contains(&format!("{}\n/dev/null", entries + 1))
            || log.contains(&(entries + 1).to_string()),
        "{log}"
    );
    assert_eq!(
        std::fs::read_to_string(volume.join("file")).unwrap(),
        "hello\n"
    );
    for target in &targets {
        assert!(!Path::new(target).exists(), "{target} was left behind");
    }
    assert!(!Path::new("/var/run").join(&name).exists());
    assert_eq!(
        std::fs::read_dir(dir.path().join("root")).unwrap().count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_files_are_in_memory_with_their_modes_and_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let script = "cat /var/run/secrets/a/token; echo; stat -c '%a %u' /var/run/secrets/a/token; \
                  stat -f -c %T /var/run/secrets/a; cat /one; (echo x > /var/run/secrets/a/token) 2>/dev/null || echo refused";
    let mut spec = shell(dir.path(), script);
    let entries = vec![
        FileEntry {
            path: "token".to_owned(),
            mode: 0o400,
            data: "s3cret".into(),
        },
        FileEntry {
            path: "sub/one".to_owned(),
            mode: 0o644,
            data: "single\n".into(),
        },
    ];
    let files = |sub_path: Option<&str>| MountSource::Files {
        entries: entries.clone(),
        sub_path: sub_path.map(str::to_owned),
        owner: Some((0, 0)),
    };
    let mut root = private_root(dir.path());
    root.mounts = vec![
        Mount {
            target: "/var/run/secrets/a".into(),
            source: files(None),
            read_only: true,
        },
        Mount {
            target: "/one".into(),
            source: files(Some("sub/one")),
            read_only: true,
        },
    ];
    spec.root = Some(root);
    assert_eq!(
        run(spec).await,
        (
            Exit::Code(0),
            "s3cret\n400 0\ntmpfs\nsingle\nrefused".to_owned()
        )
    );
    assert!(!Path::new("/one").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masked_paths_are_empty_and_a_mount_below_them_is_seen() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::create_dir_all(dir.path().join("data/inner")).unwrap();
    std::fs::write(dir.path().join("data/secret"), "x").unwrap();
    std::fs::write(dir.path().join("kubeconfig"), "admin").unwrap();
    let at = dir.path().display().to_string();
    let mut spec = shell(
        dir.path(),
        &format!("ls -A {at}/data; cat {at}/kubeconfig; touch {at}/data/inner/kept"),
    );
    let mut root = private_root(dir.path());
    root.masked = vec![
        dir.path().join("data"),
        dir.path().join("kubeconfig"),
        "/no/such/path".into(),
    ];
    root.mounts.push(Mount {
        target: dir.path().join("data/inner"),
        source: MountSource::Path(dir.path().join("data/inner")),
        read_only: false,
    });
    spec.root = Some(root);
    assert_eq!(run(spec).await, (Exit::Code(0), "inner".to_owned()));
    assert!(dir.path().join("data/inner/kept").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temporary_files_and_other_processes_are_not_shared() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut spec = shell(
        dir.path(),
        "touch /tmp/mine; ls -A /tmp; ls -d /proc/[0-9]* | wc -l; echo $$",
    );
    spec.root = Some(private_root(dir.path()));
    let (exit, log) = run(spec).await;
    assert_eq!(exit, Exit::Code(0));
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines[0], "mine");
    assert!(lines[1].parse::<u32>().unwrap() <= 5, "{log}");
    assert!(!Path::new("/tmp/mine").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_binary_is_at_a_fixed_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "");
    spec.program = kubestash_node::supervisor::POD_EXECUTABLE.to_owned();
    spec.args = vec!["exit".to_owned(), "42".to_owned()];
    let mut root = private_root(dir.path());
    root.executable = Some(BINARY.into());
    spec.root = Some(root);
    assert_eq!(run(spec).await.0, Exit::Code(42));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_does_not_exist_is_named_and_nothing_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "touch /var/tmp/it-ran");
    let mut root = private_root(dir.path());
    root.mounts.push(Mount {
        target: "/x".into(),
        source: MountSource::Path("/no/such/volume".into()),
        read_only: false,
    });
    spec.root = Some(root);
    let (exit, _) = run(spec).await;
    assert!(exit.to_string().contains("/no/such/volume"), "{exit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_a_process_with_volumes_takes_a_few_milliseconds() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = shell(dir.path(), "true");
    spec.program = "/bin/true".to_owned();
    let mut root = private_root(dir.path());
    root.mounts.push(Mount {
        target: "/kubestash-tmp".into(),
        source: MountSource::Path(dir.path().to_owned()),
        read_only: false,
    });
    spec.root = Some(root);
    let begin = Instant::now();
    run(spec).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    println!("started and ended in {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_file_is_not_for_everyone() {
    let dir = tempfile::tempdir().unwrap();
    run(shell(dir.path(), "echo x")).await;
    assert_eq!(
        std::fs::metadata(dir.path().join("log")).unwrap().mode() & 0o007,
        0
    );
}
