//! A restore that cannot go well says why, and says whether the database was touched; afterwards
//! another one succeeds.
#![cfg(test)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kubestash_engine::CancellationToken;
use kubestash_executor::failure::Failure;
use serde_json::{Value, json};

mod support;
use support::{
    CORE, MariaDb, Process, ROOT_PASSWORD, Stage, eventually, executor_process as process, seeded,
    snapshot_name,
};

const REPO: &str = "default-blueprint";
const BACKUP: &str = "s-1";

/// Not a test: this is the process that the other tests start, stop and kill.
#[tokio::test(flavor = "multi_thread")]
async fn executor_process() {
    process().await;
}

/// A Druid that is backed up once.
async fn backed_up() -> Stage {
    let stage = Stage::new(&[REPO]).await;
    stage.back_up(BACKUP).await;
    stage
}

/// Makes a RestoreSession into a Druid.
async fn session(stage: &Stage, name: &str, druid: &str) {
    let target =
        json!({"apiGroup": "kubedb.com", "kind": "Druid", "name": druid, "namespace": "demo"});
    stage
        .create(CORE, "RestoreSession", json!({
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {
                "target": target,
                "dataSource": {"repository": REPO, "snapshot": "latest"},
                "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-restore"}]},
            },
        }))
        .await;
}

/// The arguments of its container.
fn args(stage: &Stage, name: &str) -> Vec<String> {
    [
        "mysql-restore",
        "restore",
        "--namespace=demo",
        &format!("--restoresession={name}"),
        &format!("--snapshot={}", snapshot_name(REPO, BACKUP)),
        "--enable-cache=true",
        &format!("--scratch-dir={}", stage.scratch.path().display()),
        "--wait-timeout=4",
        "--mysql-args=",
        "--db-version=",
        "--task-name=mysql-metadata-storage-restore",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Runs it in this process and returns its failures.
async fn execute(stage: &Stage, name: &str, cancel: &CancellationToken) -> Vec<Failure> {
    let (client, settings) = (stage.executor().await, stage.settings());
    kubestash_executor::run(client, &settings, &args(stage, name), cancel).await
}

/// Makes a session, runs it, and returns why it failed.
async fn fails(stage: &Stage, name: &str, druid: &str) -> Failure {
    session(stage, name, druid).await;
    failed(
        stage,
        name,
        &execute(stage, name, &CancellationToken::new()).await,
    )
    .await
}

/// The one failure, which is also what the session says.
async fn failed(stage: &Stage, name: &str, failures: &[Failure]) -> Failure {
    let [failure] = failures else {
        panic!("{name}: {failures:?}")
    };
    let said = component(stage, name).await;
    assert_eq!(
        said["phase"], "Running",
        "the operator says that it was the last attempt"
    );
    assert_eq!(said["error"], failure.message.as_str(), "{name}");
    failure.clone()
}

async fn component(stage: &Stage, name: &str) -> Value {
    let session = stage.api(CORE, "RestoreSession").get(name).await.unwrap();
    session.data["status"]["components"]["dump"].clone()
}

async fn succeeds(stage: &Stage, name: &str, druid: &str) {
    session(stage, name, druid).await;
    assert_eq!(execute(stage, name, &CancellationToken::new()).await, []);
    assert_eq!(component(stage, name).await["phase"], "Succeeded");
}

/// Checksums of the tables that are backed up by default.
async fn contents(server: &MariaDb) -> Vec<Vec<String>> {
    server
        .rows("CHECKSUM TABLE druid.druid_segments, druid.druid_rules, druid.druid_audit, druid.druid_tasks EXTENDED")
        .await
}

fn assert_says(failure: &Failure, words: &[&str]) {
    for word in words {
        assert!(failure.message.contains(word), "no {word:?} in {failure}");
    }
}

/// Another server, and the Druid `other-druid` whose metadata store it is.
async fn other_druid(stage: &Stage, server: &MariaDb) {
    let name = "other-druid-mysql-metadata";
    let login = json!({"username": "root", "password": ROOT_PASSWORD});
    stage
        .create("v1", "Secret", json!({"metadata": {"name": format!("{name}-auth"), "namespace": "demo"}, "stringData": login}))
        .await;
    stage
        .create(
            "appcatalog.appscode.com/v1alpha1",
            "AppBinding",
            json!({
                "metadata": {"name": name, "namespace": "demo"},
                "spec": {
                    "type": "kubedb.com/mysql", "version": "8.0.36",
                    "clientConfig": {"url": format!("tcp(127.0.0.1:{})/", server.port)},
                    "secret": {"name": format!("{name}-auth")},
                },
            }),
        )
        .await;
    stage
        .create("kubedb.com/v1alpha2", "Druid", json!({
            "metadata": {"name": "other-druid", "namespace": "demo"}, "spec": {"version": "30.0.0"},
        }))
        .await;
}

/// The only file below a folder, or the biggest.
fn biggest(folder: &Path) -> PathBuf {
    let files = support::files_below(folder);
    let found = files.into_iter().max_by_key(|(_, content)| content.len());
    found
        .unwrap_or_else(|| panic!("no file in {}", folder.display()))
        .0
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn flip(path: &Path) {
    change(path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(done.unwrap().success());
}

#[tokio::test]
async fn damaged_data_is_found_before_the_database_is_touched() {
    let stage = backed_up().await;
    // The original has gone on since, and would lose that.
    stage
        .database
        .run(&["INSERT INTO druid.druid_tasks VALUES ('later', 'x')"])
        .await;
    let before = contents(&stage.database).await;
    let repository = stage.restic_dir(REPO);
    let sound = stage.scratch.path().join("sound");
    copy(&repository, &sound);
    let data = |folder: &str| biggest(&repository.join(folder));
    let remove = |path: PathBuf| std::fs::remove_file(path).unwrap();
    type Damage<'a> = (&'a str, Box<dyn Fn() + 'a>, &'a [&'a str]);
    let damages: [Damage<'_>; 6] = [
        (
            "pack-missing",
            Box::new(|| remove(data("data"))),
            &["is missing", "restore another Snapshot"],
        ),
        (
            "pack-cut-off",
            Box::new(|| change(&data("data"), |bytes| bytes.truncate(bytes.len() / 2))),
            &["is cut off", "restore another Snapshot"],
        ),
        (
            "pack-empty",
            Box::new(|| change(&data("data"), Vec::clear)),
            &["is cut off", "restore another Snapshot"],
        ),
        (
            "pack-bit",
            Box::new(|| flip(&data("data"))),
            &["is damaged", "restore another Snapshot"],
        ),
        (
            "snapshot-missing",
            Box::new(|| remove(data("snapshots"))),
            &["no longer there", "restore another Snapshot"],
        ),
        (
            "snapshot-bit",
            Box::new(|| flip(&data("snapshots"))),
            &["snapshots/"],
        ),
    ];
    for (name, damage, words) in damages {
        damage();
        let failure = fails(&stage, name, "sample-druid").await;
        eprintln!("{name}: {failure}");
        assert_says(&failure, words);
        assert_says(&failure, &["; nothing was changed in the database"]);
        assert!(failure.permanent, "{name}: {failure}");
        assert_eq!(contents(&stage.database).await, before, "{name}");
        copy(&sound, &repository);
    }
    remove(repository.join("config"));
    let failure = fails(&stage, "config-missing", "sample-druid").await;
    assert_says(&failure, &["nothing was changed in the database"]);
    copy(&sound, &repository);

    // What is damaged in another Snapshot is no reason to lose this one, nor is a damaged index:
    // the packs say what they hold.
    stage.back_up("s-2").await;
    let other = stage.dump(REPO, "s-2").await["resticStats"][0]["id"].clone();
    flip(&repository.join("snapshots").join(other.as_str().unwrap()));
    remove(data("index"));
    flip(&data("index"));
    succeeds(&stage, "another-is-damaged", "sample-druid").await;
    assert_ne!(contents(&stage.database).await, before);
}

#[tokio::test]
async fn a_database_that_cannot_take_the_restore_is_told_beforehand() {
    let stage = Stage::new(&[REPO]).await;
    let mut other = MariaDb::start().await;
    other_druid(&stage, &other).await;
    other.fill_druid("druid", 3).await;
    stage
        .database
        .run(&["INSERT INTO druid.druid_tasks VALUES ('big', REPEAT('x', 1100000))"])
        .await;
    stage.back_up(BACKUP).await;
    let before = contents(&other).await;

    other
        .run(&["SET GLOBAL max_allowed_packet = 1048576"])
        .await;
    let failure = fails(&stage, "packet", "other-druid").await;
    assert_says(
        &failure,
        &[
            "2.098 MiB",
            "SET GLOBAL max_allowed_packet = 4194304",
            "; nothing was changed",
        ],
    );
    other
        .run(&["SET GLOBAL max_allowed_packet = 4194304"])
        .await;

    let auth = "other-druid-mysql-metadata-auth";
    let wrong = json!({"stringData": {"password": "wr0ng"}});
    stage.merge("v1", "Secret", auth, wrong).await;
    let failure = fails(&stage, "login", "other-druid").await;
    assert_says(
        &failure,
        &[
            "failed to log in",
            "Secret demo/other-druid-mysql-metadata-auth",
            "; nothing was changed",
        ],
    );
    assert!(!failure.message.contains("wr0ng"));
    let right = json!({"stringData": {"password": ROOT_PASSWORD}});
    stage.merge("v1", "Secret", auth, right).await;
    assert_eq!(contents(&other).await, before);

    other.kill();
    let failure = fails(&stage, "down", "other-druid").await;
    assert_says(
        &failure,
        &[
            "failed to reach the database",
            "within 4 s",
            "; nothing was changed",
        ],
    );
    assert!(!failure.permanent);
    other.boot().await;
    assert_eq!(contents(&other).await, before);

    // What was wrong with it was put right meanwhile.
    other
        .run(&["SET GLOBAL max_allowed_packet = 4194304"])
        .await;
    succeeds(&stage, "again", "other-druid").await;
    assert_eq!(contents(&other).await, contents(&stage.database).await);
}

#[tokio::test]
async fn a_database_whose_disk_fills_up_in_the_middle_is_told_with_the_remedy() {
    let stage = Stage::new(&[REPO]).await;
    stage.database.fill_druid("weight", 40_000).await;
    stage
        .database
        .run(&["CREATE TABLE druid.druid_upgradeSegments AS SELECT * FROM weight.druid_segments"])
        .await;
    stage.back_up(BACKUP).await;
    let small = MariaDb::start_with_room_for(24).await;
    other_druid(&stage, &small).await;
    let failure = fails(&stage, "full", "other-druid").await;
    eprintln!("{failure}");
    assert_says(
        &failure,
        &[
            "failed to load the dump",
            "at line",
            "make room where the database keeps its data",
            "restore again",
        ],
    );
    assert!(!failure.message.contains("nothing was changed"));
}

/// The client of a running restore, which waits for a table that somebody holds.
async fn waiting_client(stage: &Stage) -> String {
    let scratch = format!("--defaults-file={}", stage.scratch.path().display());
    let query =
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE '%metadata lock%'";
    let deadline = Instant::now() + Duration::from_secs(30);
    while stage.database.column(query).await != ["1"] {
        assert!(Instant::now() < deadline, "no client waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let found = std::fs::read_dir("/proc").unwrap().flatten().find(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&scratch)
    });
    found.unwrap().file_name().to_string_lossy().into_owned()
}

#[tokio::test]
async fn whatever_ends_a_restore_in_the_middle_is_told_and_another_one_mends_it() {
    let mut stage = backed_up().await;
    let before = contents(&stage.database).await;

    // A table that somebody holds stops it at a place that is known.
    for (name, words) in [
        (
            "locked",
            &["Lock wait timeout", "SHOW FULL PROCESSLIST"][..],
        ),
        ("client", &["mariadb ended with signal 9"][..]),
        ("stopped", &["cancelled"][..]),
        ("server", &["mariadb ended with exit code 1", "at line"][..]),
    ] {
        session(&stage, name, "sample-druid").await;
        let holder = stage.database.hold("druid.druid_tasks").await;
        let cancel = CancellationToken::new();
        let mut killed = false;
        let failures = {
            let running = execute(&stage, name, &cancel);
            tokio::pin!(running);
            if name == "locked" {
                running.await
            } else {
                let client = tokio::select! {
                    failures = &mut running => panic!("{name}: {failures:?}"),
                    client = waiting_client(&stage) => client,
                };
                match name {
                    "client" => kill(&client),
                    "stopped" => cancel.cancel(),
                    _ => {
                        killed = true;
                        kill(&stage.database.pid().to_string());
                    }
                }
                running.await
            }
        };
        let failure = failed(&stage, name, &failures).await;
        eprintln!("{name}: {failure}");
        assert_says(&failure, words);
        assert!(failure.message.contains("may hold a part"), "{failure}");
        assert_eq!(std::fs::read_dir(stage.scratch.path()).unwrap().count(), 0);
        // It is gone with its server.
        let _ = holder.disconnect().await;
        if killed {
            stage.database.kill();
            stage.database.boot().await;
        }
        succeeds(&stage, &format!("after-{name}"), "sample-druid").await;
        assert_eq!(contents(&stage.database).await, before, "after {name}");
    }
}

fn kill(pid: &str) {
    assert!(
        Command::new("kill")
            .args(["-9", pid])
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn killed_at_any_moment_a_restore_is_mended_by_the_next_one() {
    let stage = Stage::new(&[REPO]).await;
    stage.database.fill_druid("weight", 20_000).await;
    stage
        .database
        .run(&["CREATE TABLE druid.druid_upgradeSegments AS SELECT * FROM weight.druid_segments"])
        .await;
    stage.back_up(BACKUP).await;
    let before = contents(&stage.database).await;
    let started = Instant::now();
    session(&stage, "warm-up", "sample-druid").await;
    let (code, log) = Process::start(&stage, &args(&stage, "warm-up"), None)
        .end()
        .await;
    assert_eq!(code, Some(0), "{log}");
    let whole = u64::try_from(started.elapsed().as_millis()).unwrap();

    let mut random = seeded(20_261_127);
    let mut killed = 0;
    let mut round = 0;
    let mut sessions = Vec::new();
    while killed < 10 {
        round += 1;
        assert!(round < 40, "only {killed} were killed at work");
        let name = format!("r-{round}");
        session(&stage, &name, "sample-druid").await;
        let process = Process::start(&stage, &args(&stage, &name), None);
        tokio::time::sleep(Duration::from_millis(random(whole))).await;
        process.signal("-9");
        let (code, _) = process.end().await;
        if code.is_some() {
            // It was faster.
            continue;
        }
        killed += 1;
        sessions.push(name.clone());
        let scratch = format!("--defaults-file={}", stage.scratch.path().display());
        eventually("the client ends with its input", || {
            !std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(&scratch)
            })
        })
        .await;
        // Whatever a session says is true at this moment already.
        if component(&stage, &name).await["phase"] == "Succeeded" {
            assert_eq!(contents(&stage.database).await, before, "round {round}");
        }
        succeeds(&stage, &format!("after-{round}"), "sample-druid").await;
        assert_eq!(contents(&stage.database).await, before, "round {round}");
    }
    // Their locks are held by nobody, once the operator says that they have ended: retention goes
    // on.
    let locks = || stage.restic(REPO, &["list", "locks", "--no-lock"]).stdout;
    assert!(!locks().is_empty());
    for name in sessions {
        let failed = json!({"phase": "Failed"});
        stage.status(CORE, "RestoreSession", &name, failed).await;
    }
    for backup in ["s-2", "s-3"] {
        stage.back_up(backup).await;
    }
    let applied = stage
        .backup_session("s-3")
        .await
        .status
        .unwrap()
        .retention_policy[0]
        .clone();
    assert_eq!(applied.phase.unwrap().as_str(), "Applied", "{applied:?}");
    assert!(stage.snapshot(REPO, BACKUP).await.is_none());
    assert!(locks().is_empty());
    stage.restic(REPO, &["check", "--read-data"]);
}
