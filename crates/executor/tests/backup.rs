//! Backups of a real database into real repositories, reported to a real API server.
#![cfg(test)]

use kubestash_domain::format;
use serde_json::{Value, json};

mod support;
use support::{CORE, RESTIC_PASSWORD, ROOT_PASSWORD, STORAGE, Stage, files_below};

const REPO: &str = "default-blueprint";
const SESSION: &str = "appbinding-sample-druid-frequent-backup-1726741846";

fn code(failures: &[kubestash_executor::failure::Failure]) -> u8 {
    kubestash_executor::failure::Failure::exit_code(failures)
}

#[tokio::test]
async fn a_backup_is_stored_and_reported_as_the_tutorial_shows_it() {
    let stage = Stage::new(&[REPO]).await;
    stage.back_up(SESSION).await;

    let snapshot = stage.snapshot(REPO, SESSION).await.unwrap();
    assert_eq!(
        snapshot.metadata.name.as_deref(),
        Some("default-blueprint-appbinding-samruid-frequent-backup-1726741846")
    );
    let status = serde_json::to_value(snapshot.status.as_ref().unwrap()).unwrap();
    assert_eq!(status["phase"], "Succeeded");
    assert_eq!(status["integrity"], true);
    assert_eq!(status["totalComponents"], 1);
    assert_eq!(
        status["snapshotTime"],
        serde_json::to_value(&snapshot.metadata.creation_timestamp).unwrap()
    );
    assert_eq!(status["conditions"][0]["type"], "SnapshotMetadataUploaded");
    assert_eq!(status["conditions"][0]["status"], "True");

    let dump = &status["components"]["dump"];
    let keys: Vec<&str> = dump
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "dataReadSince",
            "databases",
            "driver",
            "duration",
            "integrity",
            "leftOut",
            "path",
            "phase",
            "resticStats",
            "size"
        ]
    );
    assert_eq!(dump["databases"], json!(["druid"]));
    assert_eq!(dump["driver"], "Restic");
    assert_eq!(dump["integrity"], true);
    assert_eq!(dump["path"], "repository/v1/frequent-backup/dump");
    assert_eq!(dump["phase"], "Succeeded");
    assert!(format::parse_go_duration(dump["duration"].as_str().unwrap()).is_ok());
    // The sum of the formatted sizes, which is what KubeStash writes.
    let bytes = format::parse_bytes(dump["size"].as_str().unwrap()).unwrap();
    assert_eq!(status["size"], format::bytes(bytes));
    let stats = &dump["resticStats"][0];
    assert_eq!(stats["hostPath"], "dumpfile.sql");
    for key in ["hostPath", "id", "size", "uploaded"] {
        assert_eq!(stats[key], stats["summary"][key], "{key}");
        assert!(!stats[key].is_null(), "{key}");
    }

    // What the real restic client says agrees with what is reported.
    let restic = stage.restic_snapshots(REPO);
    assert_eq!(restic.len(), 1);
    assert_eq!(restic[0]["id"], stats["id"]);
    assert_eq!(restic[0]["hostname"], "host-0");
    assert_eq!(restic[0]["paths"], json!(["/dumpfile.sql"]));
    stage.restic(REPO, &["check", "--read-data"]);
    let output = stage.restic(
        REPO,
        &["stats", "--mode", "raw-data", "--json", "--no-lock"],
    );
    let raw: Value = serde_json::from_slice(&output.stdout).unwrap();
    let size = raw["total_size"].as_u64().unwrap();
    assert_eq!(dump["size"], format::bytes(size));
    let sql = stage
        .restic(REPO, &["dump", "latest", "dumpfile.sql"])
        .stdout;
    assert_eq!(stats["size"], format::bytes(sql.len() as u64));
    let sql = String::from_utf8(sql).unwrap();
    // Nobody said that these args are the task's default.
    assert!(sql.contains("druid_segments") && !sql.contains("druid_config"));

    // The file beside the data says what the object says.
    let file = std::fs::read_to_string(stage.snapshot_file(REPO, SESSION)).unwrap();
    assert!(
        file.contains("kind: Snapshot") && file.contains("phase: Succeeded"),
        "{file}"
    );
    assert!(file.contains(stats["id"].as_str().unwrap()));
    assert!(
        stage
            .volume
            .path()
            .join(REPO)
            .join("repository.yaml")
            .is_file()
    );
    assert!(
        stage
            .restic(REPO, &["list", "locks", "--no-lock"])
            .stdout
            .is_empty()
    );

    let session = stage.backup_session(SESSION).await;
    assert_eq!(
        serde_json::to_value(&session.status.unwrap().retention_policy).unwrap(),
        json!([{"phase": "Applied", "ref": {"name": "keep", "namespace": "demo"}, "repository": REPO}])
    );

    // No secret anywhere but in Secrets.
    assert_eq!(std::fs::read_dir(stage.scratch.path()).unwrap().count(), 0);
    for (path, content) in files_below(stage.volume.path()) {
        let content = String::from_utf8_lossy(&content);
        for canary in [ROOT_PASSWORD, RESTIC_PASSWORD] {
            assert!(!content.contains(canary), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn every_repository_has_its_own_outcome_and_one_dump_serves_all() {
    let stage = Stage::new(&["first", "broken", "second"]).await;
    let missing = json!({"spec": {"encryptionSecret": {"name": "nowhere"}}});
    stage.merge(STORAGE, "Repository", "broken", missing).await;
    stage.session(SESSION).await;
    let failures = stage.execute(SESSION, &["--databases=druid"]).await;
    assert_eq!(code(&failures), 64);
    assert_eq!(failures.len(), 1);
    assert!(
        failures[0].message.contains("demo/nowhere"),
        "{}",
        failures[0]
    );

    let (first, second) = (
        stage.dump("first", SESSION).await,
        stage.dump("second", SESSION).await,
    );
    for dump in [&first, &second] {
        assert_eq!(dump["phase"], "Succeeded", "{dump}");
    }
    let bytes = |repository| {
        stage
            .restic(repository, &["dump", "latest", "dumpfile.sql"])
            .stdout
    };
    assert_eq!(bytes("first"), bytes("second"));
    let broken = stage.dump("broken", SESSION).await;
    assert_eq!(broken["phase"], "Running");
    assert_eq!(broken["error"], failures[0].message);
    assert_eq!(broken["path"], "repository/v1/frequent-backup/dump");
    assert_eq!(
        stage
            .snapshot("broken", SESSION)
            .await
            .unwrap()
            .status
            .unwrap()
            .phase
            .unwrap()
            .as_str(),
        "Running"
    );

    // Another attempt leaves the finished ones alone and does the rest.
    stage
        .merge(
            STORAGE,
            "Repository",
            "broken",
            json!({"spec": {"encryptionSecret": {"name": "encrypt-secret"}}}),
        )
        .await;
    assert_eq!(stage.execute(SESSION, &[]).await, []);
    assert_eq!(stage.dump("first", SESSION).await, first);
    let mended = stage.dump("broken", SESSION).await;
    assert_eq!(
        (&mended["phase"], &mended["error"]),
        (&json!("Succeeded"), &Value::Null)
    );
    for repository in ["first", "broken", "second"] {
        assert_eq!(stage.restic_snapshots(repository).len(), 1);
    }
}

#[tokio::test]
async fn what_no_retry_mends_ends_with_64_and_leaves_no_data() {
    let stage = Stage::new(&[REPO]).await;
    let auth = "sample-druid-mysql-metadata-auth";
    let binding = (
        "appcatalog.appscode.com/v1alpha1",
        "AppBinding",
        "sample-druid-mysql-metadata",
    );
    let cases: [(&str, Value, Value, &[&str], &str); 6] = [
        (
            "password",
            json!({"stringData": {"password": "wrong"}}),
            json!({"stringData": {"password": ROOT_PASSWORD}}),
            &[],
            "Secret demo/sample-druid-mysql-metadata-auth",
        ),
        (
            "key",
            json!({"data": {"password": null}}),
            json!({"stringData": {"password": ROOT_PASSWORD}}),
            &[],
            "\"password\"",
        ),
        (
            "args",
            json!({}),
            json!({}),
            &["--mysql-args=--result-file=/tmp/x"],
            "--result-file is refused",
        ),
        (
            "typo",
            json!({}),
            json!({}),
            &["--mysql-args=--singel-transaction"],
            "--singel-transaction",
        ),
        (
            "database",
            json!({}),
            json!({}),
            &["--databases=a; touch /tmp/x,druid"],
            "\"a; touch /tmp/x\"",
        ),
        (
            "databases",
            json!({}),
            json!({}),
            &["--databases=$(id)"],
            "the server has no \"$(id)\"; it has \"druid\"",
        ),
    ];
    for (name, breakage, repair, flags, words) in cases {
        let session = format!("s-{name}");
        stage.merge("v1", "Secret", auth, breakage).await;
        stage.session(&session).await;
        let failures = stage.execute(&session, flags).await;
        stage.merge("v1", "Secret", auth, repair).await;
        assert_eq!(code(&failures), 64, "{name}: {failures:?}");
        assert!(
            failures[0].message.contains(words),
            "{name}: {}",
            failures[0]
        );
        assert!(!failures[0].message.contains(ROOT_PASSWORD));
        let dump = stage.dump(REPO, &session).await;
        assert_eq!(
            (&dump["phase"], &dump["error"]),
            (&json!("Running"), &json!(failures[0].message))
        );
        assert!(!stage.snapshot_file(REPO, &session).exists());
        assert_eq!(stage.restic_snapshots(REPO).len(), 0, "{name}");
    }

    let (api, kind, name) = binding;
    stage
        .merge(
            api,
            kind,
            name,
            json!({"spec": {"type": "kubedb.com/postgres"}}),
        )
        .await;
    stage.session("s-family").await;
    let failures = stage.execute("s-family", &[]).await;
    assert_eq!(code(&failures), 64);
    assert!(failures[0].message.contains("PostgreSQL"), "{failures:?}");
}

#[tokio::test]
async fn a_database_that_is_down_is_worth_another_attempt() {
    let mut stage = Stage::new(&[REPO]).await;
    stage.database.kill();
    stage.session(SESSION).await;
    let failures = stage.execute(SESSION, &["--wait-timeout=1"]).await;
    assert_eq!(code(&failures), 1);
    assert!(
        failures[0].message.contains("within 1 s"),
        "{}",
        failures[0]
    );
    assert_eq!(
        stage.dump(REPO, SESSION).await["error"],
        failures[0].message
    );
    stage.database.boot().await;
    assert_eq!(stage.execute(SESSION, &[]).await, []);
    assert_eq!(stage.dump(REPO, SESSION).await["phase"], "Succeeded");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_not_waited_for_when_no_repository_can_take_the_dump() {
    let mut stage = Stage::new(&[REPO]).await;
    stage.database.kill();
    stage
        .merge(
            "v1",
            "Secret",
            "encrypt-secret",
            json!({"data": {"RESTIC_PASSWORD": null}}),
        )
        .await;
    stage.session(SESSION).await;
    let started = std::time::Instant::now();
    let failures = stage.execute(SESSION, &["--wait-timeout=300"]).await;
    assert!(started.elapsed().as_secs() < 30);
    assert_eq!(code(&failures), 64);
    assert!(
        failures[0].message.contains("no key RESTIC_PASSWORD"),
        "{}",
        failures[0]
    );
}

#[tokio::test]
async fn the_transforms_of_a_bindings_secret_are_applied_before_it_is_read() {
    let stage = Stage::new(&[REPO]).await;
    let auth = "sample-druid-mysql-metadata-auth";
    let moved =
        json!({"data": {"username": null}, "stringData": {"login": "root", "password": "old"}});
    stage.merge("v1", "Secret", auth, moved).await;
    let vault = json!({"metadata": {"name": "vault", "namespace": "demo"}, "stringData": {"password": ROOT_PASSWORD}});
    stage.create("v1", "Secret", vault).await;
    let transforms = json!([
        {"renameKey": {"from": "login", "to": "username"}},
        {"addKeysFrom": {"secretRef": {"name": "vault"}}},
    ]);
    let binding = "sample-druid-mysql-metadata";
    let with = |transforms: Value| json!({"spec": {"secretTransforms": transforms}});
    let api = "appcatalog.appscode.com/v1alpha1";
    stage
        .merge(api, "AppBinding", binding, with(transforms))
        .await;
    stage.back_up("first").await;

    let wrong = json!([{"renameKey": {"from": "none", "to": "username"}}]);
    stage.merge(api, "AppBinding", binding, with(wrong)).await;
    stage.session("second").await;
    let failures = stage.execute("second", &[]).await;
    assert_eq!(code(&failures), 64);
    for words in [
        "spec.secretTransforms[0]",
        "AppBinding demo/sample-druid-mysql-metadata",
        "no key \"none\"",
    ] {
        assert!(failures[0].message.contains(words), "{}", failures[0]);
    }
}

#[tokio::test]
async fn an_encryption_secret_that_was_changed_is_named() {
    let stage = Stage::new(&[REPO]).await;
    stage.back_up("first").await;
    stage
        .merge(
            "v1",
            "Secret",
            "encrypt-secret",
            json!({"stringData": {"RESTIC_PASSWORD": "another-canary"}}),
        )
        .await;
    stage.session("second").await;
    let failures = stage.execute("second", &[]).await;
    assert_eq!(code(&failures), 64);
    for words in [
        "wrong password",
        "Secret demo/encrypt-secret",
        "put the old value of RESTIC_PASSWORD back",
    ] {
        assert!(failures[0].message.contains(words), "{}", failures[0]);
    }
    assert!(!failures[0].message.contains("another-canary"));
    // Nothing to remove, so retention does not need the password.
    let session = stage.backup_session("second").await;
    assert_eq!(
        session.status.unwrap().retention_policy[0]
            .phase
            .unwrap()
            .as_str(),
        "Applied"
    );
    assert_eq!(stage.restic_snapshots(REPO).len(), 1);
}

#[tokio::test]
async fn data_of_an_attempt_that_was_killed_before_it_reported_is_adopted() {
    let stage = Stage::new(&[REPO]).await;
    stage.back_up(SESSION).await;
    let first = stage.dump(REPO, SESSION).await;
    // As if it had been killed between the restic snapshot and the status.
    std::fs::remove_file(stage.snapshot_file(REPO, SESSION)).unwrap();
    let name = support::snapshot_name(REPO, SESSION);
    let before = json!({"phase": "Pending", "components": null, "conditions": null, "size": null, "integrity": null, "snapshotTime": null});
    stage.status(STORAGE, "Snapshot", &name, before).await;
    // The database may even be gone.
    stage
        .merge(
            "v1",
            "Secret",
            "sample-druid-mysql-metadata-auth",
            json!({"stringData": {"password": "wrong"}}),
        )
        .await;

    assert_eq!(stage.execute(SESSION, &[]).await, []);
    let second = stage.dump(REPO, SESSION).await;
    for key in ["driver", "integrity", "path", "phase", "size"] {
        assert_eq!(first[key], second[key], "{key}");
    }
    // What is not measured again is known from the restic snapshot.
    let (first, second) = (&first["resticStats"][0], &second["resticStats"][0]);
    for key in ["id", "hostPath", "size", "uploaded"] {
        assert_eq!(first[key], second[key], "{key}");
        assert_eq!(first["summary"][key], second["summary"][key], "{key}");
        assert!(second[key].is_string(), "{key}");
    }
    assert_eq!(
        first["summary"]["startTime"],
        second["summary"]["startTime"]
    );
    assert!(second["summary"]["endTime"].is_string(), "{second:#}");
    assert_eq!(stage.restic_snapshots(REPO).len(), 1);
    assert!(stage.snapshot_file(REPO, SESSION).is_file());
    let status = stage.snapshot(REPO, SESSION).await.unwrap().status.unwrap();
    assert_eq!(status.phase.unwrap().as_str(), "Succeeded");
}

#[tokio::test]
async fn retention_removes_objects_files_and_data_together() {
    let stage = Stage::new(&[REPO]).await;
    // Their names are in the order of time, as real ones are: some of them may be of the same
    // second.
    for session in ["1-good", "2-good"] {
        stage.back_up(session).await;
        stage
            .database
            .run(&["DELETE FROM druid.druid_segments LIMIT 100"])
            .await;
    }
    // Two that failed; the older one has left data that it could not record any more.
    for session in ["3-failed", "4-failed"] {
        stage.back_up(session).await;
        let failed = json!({"phase": "Failed", "components": {"dump": {"phase": "Failed", "resticStats": null}}});
        stage
            .status(
                STORAGE,
                "Snapshot",
                &support::snapshot_name(REPO, session),
                failed,
            )
            .await;
    }
    let of_failed = stage
        .snapshot(REPO, "3-failed")
        .await
        .unwrap()
        .metadata
        .uid
        .unwrap();
    stage.back_up("5-good").await;

    for (session, stays) in [
        ("1-good", false),
        ("3-failed", false),
        ("2-good", true),
        ("4-failed", true),
        ("5-good", true),
    ] {
        let found = stage.snapshot(REPO, session).await;
        assert_eq!(found.is_some(), stays, "{session}: {found:?}");
        assert_eq!(
            stage.snapshot_file(REPO, session).exists(),
            stays,
            "{session}"
        );
    }
    let left = stage.restic_snapshots(REPO);
    assert_eq!(left.len(), 3);
    assert!(
        left.iter()
            .all(|info| !info["tags"].to_string().contains(&of_failed))
    );
    stage.restic(REPO, &["check", "--read-data"]);
    assert!(
        stage
            .restic(REPO, &["list", "locks", "--no-lock"])
            .stdout
            .is_empty()
    );
}

#[tokio::test]
async fn a_policy_that_cannot_be_applied_is_reported_and_fails_no_backup() {
    let stage = Stage::new(&[REPO]).await;
    stage
        .api(STORAGE, "RetentionPolicy")
        .delete("keep", &Default::default())
        .await
        .unwrap();
    stage.session(SESSION).await;
    assert_eq!(stage.execute(SESSION, &[]).await, []);
    let applied = &stage
        .backup_session(SESSION)
        .await
        .status
        .unwrap()
        .retention_policy[0];
    assert_eq!(applied.phase.unwrap().as_str(), "FailedToApply");
    assert!(
        applied
            .error
            .as_ref()
            .unwrap()
            .contains("RetentionPolicy demo/keep: it does not exist"),
        "{applied:?}"
    );
}

#[tokio::test]
async fn a_missing_right_is_named_with_verb_and_resource() {
    let stage = Stage::new(&[REPO]).await;
    stage.session(SESSION).await;
    let rules = json!({"rules": [
        {"apiGroups": ["core.kubestash.com"], "resources": ["backupsessions", "backupconfigurations"], "verbs": ["get"]},
        {"apiGroups": ["storage.kubestash.com"], "resources": ["snapshots", "snapshots/status", "repositories", "backupstorages"], "verbs": ["get", "list", "patch"]},
        {"apiGroups": ["kubedb.com"], "resources": ["druids"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    ]});
    stage
        .merge("rbac.authorization.k8s.io/v1", "Role", "executor", rules)
        .await;
    let failures = stage.execute(SESSION, &[]).await;
    assert_eq!(code(&failures), 1);
    let words = "allow the verb get on appbindings.appcatalog.appscode.com";
    assert!(
        failures
            .iter()
            .any(|failure| failure.message.contains(words)),
        "{failures:?}"
    );
    let words = "allow the verb patch on backupsessions/status.core.kubestash.com";
    assert!(
        failures
            .iter()
            .any(|failure| failure.message.contains(words)),
        "{failures:?}"
    );
}

#[tokio::test]
async fn a_wrong_start_is_told() {
    let stage = Stage::new(&[REPO]).await;
    let failures = stage.execute("nowhere", &[]).await;
    assert_eq!(code(&failures), 64);
    assert!(
        failures[0]
            .message
            .contains("BackupSession demo/nowhere: it does not exist"),
        "{failures:?}"
    );
    stage.session(SESSION).await;
    let none = json!({"spec": {"sessions": [{
        "name": "other", "scheduler": {"schedule": "* * * * *", "jobTemplate": {}}, "addon": {"name": "a", "tasks": [{"name": "t"}]},
        "repositories": [{"name": REPO, "directory": "/x"}],
    }]}});
    stage
        .merge(CORE, "BackupConfiguration", "appbinding-sample-druid", none)
        .await;
    let failures = stage.execute(SESSION, &[]).await;
    assert_eq!(code(&failures), 64);
    assert!(
        failures[0]
            .message
            .contains("no session \"frequent-backup\""),
        "{failures:?}"
    );
}
