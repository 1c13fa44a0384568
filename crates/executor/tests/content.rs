//! What a session's log and its Snapshot say of the databases that it backed up or restored.
#![cfg(test)]

use kubestash_executor::failure::Failure;
use serde_json::json;

mod support;
use support::{
    CORE, OracleMySql, Process, RESTIC_PASSWORD, ROOT_PASSWORD, Server, Stage, Version,
    snapshot_name,
};

const REPO: &str = "default-blueprint";

/// Not a test: this is the process that the other tests start.
#[tokio::test(flavor = "multi_thread")]
async fn executor_process() {
    support::executor_process().await;
}

/// The log has one line with all of these words.
fn says(log: &str, words: &[&str]) {
    let has = |line: &&str| words.iter().all(|word| line.contains(word));
    assert!(log.lines().any(|line| has(&line)), "{words:?} in\n{log}");
}

/// Restores a Snapshot into the Druid; how that ended, and its log.
async fn restore(stage: &Stage, name: &str, snapshot: &str) -> (Option<i32>, String) {
    let target = json!({"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"});
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
    let args = [
        "mysql-restore",
        "restore",
        "--namespace=demo",
        &format!("--restoresession={name}"),
        &format!("--snapshot={snapshot}"),
        &format!("--scratch-dir={}", stage.scratch.path().display()),
        "--wait-timeout=20",
        "--mysql-args=",
        "--task-name=mysql-metadata-storage-restore",
    ]
    .map(str::to_owned);
    Process::start(stage, &args, None).end().await
}

#[tokio::test]
async fn a_druid_on_a_real_mysql_comes_back_over_itself_and_into_a_lost_database() {
    for version in Version::installed() {
        let stage = Stage::new(&[REPO]).await;
        let mysql = Server::MySql(OracleMySql::of(version).await);
        mysql.fill_druid("druid", 500).await;
        let binding = "sample-druid-mysql-metadata";
        let address = format!("tcp(127.0.0.1:{})/", mysql.connection().port);
        let url = json!({"spec": {"clientConfig": {"url": address}}});
        stage
            .merge(
                "appcatalog.appscode.com/v1alpha1",
                "AppBinding",
                binding,
                url,
            )
            .await;
        let contents = async || {
            let sums = "CHECKSUM TABLE druid.druid_segments, druid.druid_rules, druid.druid_audit, druid.druid_tasks EXTENDED";
            let config = "SELECT name, HEX(payload) FROM druid.druid_config ORDER BY name";
            (mysql.rows(sums).await, mysql.rows(config).await)
        };
        let (sums, config) = contents().await;
        stage.session("s-1").await;
        let args = stage.args("s-1", &["--default-args=true"]);
        let (code, log) = Process::start(&stage, &args, None).end().await;
        assert_eq!(code, Some(0), "{version:?}: {log}");
        says(&log, &["dumping druid from MySQL", "mysqldump"]);
        says(&log, &["left out: the rows basic_authentication_*"]);

        mysql
            .run(&[
                "DELETE FROM druid.druid_segments",
                "DROP TABLE druid.druid_rules",
                "UPDATE druid.druid_config SET payload = 'later'",
            ])
            .await;
        let snapshot = snapshot_name(REPO, "s-1");
        let (code, log) = restore(&stage, "over", &snapshot).await;
        assert_eq!(code, Some(0), "{version:?}: {log}");
        let restored = contents().await;
        assert_eq!(restored.0, sums, "{version:?}");
        let later = "6C61746572";
        assert_eq!(
            (&restored.1[0][1], &restored.1[1][1]),
            (&later.to_owned(), &later.to_owned())
        );
        assert_eq!(restored.1[2..], config[2..], "{version:?}");

        mysql.run(&["DROP DATABASE druid"]).await;
        let (code, log) = restore(&stage, "lost", &snapshot).await;
        assert_eq!(code, Some(0), "{version:?}: {log}");
        assert_eq!(
            contents().await,
            (sums, config[2..].to_vec()),
            "{version:?}"
        );
        let encoding = "SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'druid'";
        assert_eq!(mysql.column(encoding).await, ["utf8mb4"], "{version:?}");
    }
}

#[tokio::test]
async fn the_log_of_a_successful_session_says_what_was_backed_up_and_restored() {
    let stage = Stage::new(&[REPO]).await;
    stage.session("s-1").await;
    let (code, log) = Process::start(&stage, &stage.args("s-1", &[]), None)
        .end()
        .await;
    assert_eq!(code, Some(0), "{log}");
    let dump = stage.dump(REPO, "s-1").await;
    let stats = &dump["resticStats"][0];
    let (id, size) = (
        stats["id"].as_str().unwrap(),
        stats["size"].as_str().unwrap(),
    );
    let version = stage.database.column("SELECT VERSION()").await.remove(0);
    says(
        &log,
        &[
            "dumping druid from MariaDB",
            &version,
            "mariadb-dump",
            "--single-transaction",
        ],
    );
    let snapshot = snapshot_name(REPO, "s-1");
    says(
        &log,
        &[
            &snapshot,
            "succeeded",
            "(druid)",
            size,
            &format!("restic snapshot {id}"),
        ],
    );

    let (code, restored) = restore(&stage, "r-1", &snapshot).await;
    assert_eq!(code, Some(0), "{restored}");
    says(
        &restored,
        &["loading", size, "into druid on MariaDB", &version],
    );
    says(
        &restored,
        &[&format!("restic snapshot {id}"), &snapshot, "into druid"],
    );
    says(&restored, &["restored", size]);
    for canary in [ROOT_PASSWORD, RESTIC_PASSWORD] {
        assert!(!log.contains(canary) && !restored.contains(canary));
    }
}

#[tokio::test]
async fn the_log_of_a_session_that_failed_says_why_once_and_last() {
    let stage = Stage::new(&[REPO]).await;
    stage.session("s-1").await;
    let args = stage.args("s-1", &["--databases=no_such"]);
    let (code, log) = Process::start(&stage, &args, None).end().await;
    assert_eq!(code, Some(64), "{log}");
    let reason = stage.dump(REPO, "s-1").await["error"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        reason.ends_with("correct the task parameter databases"),
        "{reason}"
    );
    assert_eq!(log.matches(&reason).count(), 1, "{log}");
    let last = log.trim_end().lines().last().unwrap();
    assert!(last.contains(&reason), "{last}");
}

#[tokio::test]
async fn a_snapshot_and_its_file_say_which_databases_it_holds() {
    let stage = Stage::new(&[REPO]).await;
    stage
        .database
        .run(&[
            "CREATE DATABASE `shop, none`",
            "CREATE TABLE `shop, none`.t (x INT)",
        ])
        .await;
    stage.session("s-1").await;
    // A name with a comma can only be given in the args.
    let args = "--mysql-args=--databases druid 'shop, none'";
    assert_eq!(stage.execute("s-1", &[args]).await, []);
    let databases = json!(["druid", "shop, none"]);
    assert_eq!(stage.dump(REPO, "s-1").await["databases"], databases);
    let file = std::fs::read_to_string(stage.snapshot_file(REPO, "s-1")).unwrap();
    assert!(
        file.contains("- druid") && file.contains("- shop, none"),
        "{file}"
    );

    // An attempt that was killed before it could report leaves only what the repository says.
    let pending = json!({"phase": "Pending", "components": null, "conditions": null});
    stage
        .status(
            support::STORAGE,
            "Snapshot",
            &snapshot_name(REPO, "s-1"),
            pending,
        )
        .await;
    assert_eq!(stage.execute("s-1", &[args]).await, []);
    assert_eq!(stage.restic_snapshots(REPO).len(), 1);
    assert_eq!(stage.dump(REPO, "s-1").await["databases"], databases);
}

#[tokio::test]
async fn a_druids_metadata_that_is_gone_is_not_waited_for_where_backups_hold_it() {
    let stage = Stage::new(&[REPO]).await;
    let why = |failures: &[Failure]| {
        let [only] = failures else {
            panic!("{failures:?}")
        };
        (only.kind.clone(), only.message.clone())
    };
    stage
        .database
        .run(&["RENAME TABLE druid.druid_segments TO druid.later"])
        .await;
    stage.session("s-1").await;
    let (kind, message) = why(&stage.execute("s-1", &[]).await);
    assert_eq!(kind, "DruidMetadataMissing", "{message}");
    assert!(
        message.contains("wait until Druid has created its tables"),
        "{message}"
    );

    stage
        .database
        .run(&["RENAME TABLE druid.later TO druid.druid_segments"])
        .await;
    stage.back_up("s-2").await;
    stage.database.run(&["DROP DATABASE druid"]).await;
    stage.session("s-3").await;
    let (kind, message) = why(&stage.execute("s-3", &[]).await);
    assert_eq!(kind, "DruidMetadataLost", "{message}");
    assert!(
        message.contains("earlier backups do") && !message.contains("wait"),
        "{message}"
    );
    assert_eq!(stage.dump(REPO, "s-3").await["error"], message);
}
