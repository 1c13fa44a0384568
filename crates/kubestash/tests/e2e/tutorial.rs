//! The tutorial, its YAML unchanged, and the exact objects it shows.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gcs, System, eventually, find_binary, output};

/// The tutorial's manifests.
pub fn example(name: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/");
    std::fs::read_to_string(format!("{path}{name}")).unwrap()
}

/// The steps before the first blueprint: namespace, Secrets, storage and retention policy.
pub fn prepare_backend(system: &System) {
    system.kubectl("create ns demo");
    system.kubectl("create secret generic -n demo gcs-secret --from-literal=GOOGLE_PROJECT_ID=demo --from-literal=GOOGLE_SERVICE_ACCOUNT_JSON_KEY={}");
    system.apply(&example("backupstorage.yaml"));
    system.apply(&example("retentionpolicy.yaml"));
    system.kubectl(
        "create secret generic -n demo encrypt-secret --from-literal=RESTIC_PASSWORD=changeit",
    );
    system.wait_phase("demo", "backupstorage/gcs-storage", &["Ready"]);
}

/// Makes a BackupSession of a tutorial configuration by hand, as `kubectl create` would, and
/// returns its name.
pub fn trigger(system: &System, configuration: &str) -> String {
    // A session is named after its second, and that of the last one may not be over.
    let name = eventually("the next second", Duration::from_secs(10), || {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let name = format!("{configuration}-frequent-backup-{now}");
        match system.object("demo", &format!("backupsession/{name}")) {
            Ok(_) => Err(format!("{name} exists")),
            Err(_) => Ok(name),
        }
    });
    system.apply(&format!(
        "apiVersion: core.kubestash.com/v1alpha1\nkind: BackupSession\nmetadata:\n  name: {name}\n  namespace: demo\nspec:\n  invoker:\n    apiGroup: core.kubestash.com\n    kind: BackupConfiguration\n    name: {configuration}\n  session: frequent-backup\n  retryLeft: 0\n"
    ));
    name
}

/// Waits for the first session of a configuration and returns it when it has ended.
pub fn first_session(system: &System, configuration: &str) -> Value {
    let name = eventually(
        "the instant backup session",
        Duration::from_secs(60),
        || {
            system
                .objects("demo", "backupsessions")
                .iter()
                .find(|session| session["spec"]["invoker"]["name"] == configuration)
                .map(|session| session["metadata"]["name"].as_str().unwrap().to_owned())
                .ok_or_else(|| format!("no session\n{}", system.log_text()))
        },
    );
    system.wait_phase(
        "demo",
        &format!("backupsession/{name}"),
        &["Succeeded", "Failed", "Skipped"],
    )
}

fn assert_session_succeeded(system: &System, session: &Value) {
    let name = session["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        session["status"]["phase"],
        "Succeeded",
        "{:#}\n{}",
        session["status"],
        system
            .try_kubectl(&format!("logs -n demo job/{name} --all-containers"))
            .unwrap_or_else(|error| error)
    );
}

#[test]
fn the_tutorial_runs_unchanged_and_its_objects_are_those_it_shows() {
    let gcs = Gcs::start();
    let system = System::with_gcs(&gcs);
    prepare_backend(&system);

    // First part.
    system.apply(&example("default-backupblueprint.yaml"));
    system.apply(&example("deep-storage-config.yaml"));
    system.apply(&example("sample-druid.yaml"));
    let session = first_session(&system, "appbinding-sample-druid");
    assert_session_succeeded(&system, &session);

    let configuration = system
        .object("demo", "backupconfiguration/appbinding-sample-druid")
        .unwrap();
    assert_eq!(
        configuration["metadata"]["labels"],
        json!({
            "app.kubernetes.io/managed-by": "kubestash.com",
            "kubestash.com/invoker-name": "druid-default-backup-blueprint",
            "kubestash.com/invoker-namespace": "demo",
        })
    );
    assert_eq!(
        configuration["metadata"]["finalizers"],
        json!(["kubestash.com/cleanup"])
    );
    assert_eq!(configuration["metadata"]["generation"], 1);
    assert_eq!(
        configuration["spec"],
        json!({
            "backends": [{
                "name": "gcs-backend",
                "retentionPolicy": {"name": "demo-retention", "namespace": "demo"},
                "storageRef": {"name": "gcs-storage", "namespace": "demo"},
            }],
            "sessions": [{
                "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-backup"}]},
                "name": "frequent-backup",
                "repositories": [{
                    "backend": "gcs-backend",
                    "directory": "/default-blueprint",
                    "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"},
                    "name": "default-blueprint",
                }],
                "scheduler": {
                    "jobTemplate": {
                        "backoffLimit": 1,
                        "template": {"controller": {}, "metadata": {}, "spec": {"resources": {}}},
                    },
                    "schedule": "*/5 * * * *",
                },
                "sessionHistoryLimit": 3,
            }],
            "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
        })
    );
    assert_eq!(
        configuration["status"]["backends"],
        json!([{
            "name": "gcs-backend",
            "ready": true,
            "retentionPolicy": {"found": true, "ref": {"name": "demo-retention", "namespace": "demo"}},
            "storage": {"phase": "Ready", "ref": {"name": "gcs-storage", "namespace": "demo"}},
        }])
    );

    let session_name = session["metadata"]["name"].as_str().unwrap().to_owned();
    let unix = session_name
        .strip_prefix("appbinding-sample-druid-frequent-backup-")
        .unwrap();
    assert!(unix.parse::<u64>().is_ok(), "{session_name}");
    let snapshot_name = format!("default-blueprint-appbinding-samruid-frequent-backup-{unix}");
    let snapshot = system
        .object(
            "demo",
            &format!("snapshots.storage.kubestash.com/{snapshot_name}"),
        )
        .unwrap();
    let repository = system
        .object("demo", "repository/default-blueprint")
        .unwrap();
    assert_snapshot(
        &snapshot,
        &repository,
        &session_name,
        "sample-druid",
        "default-blueprint",
    );

    let columns = |kind: &str| {
        let table = system.kubectl(&format!("get {kind} -n demo"));
        table
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(columns("backupconfiguration"), "NAME PHASE PAUSED AGE");
    assert_eq!(
        columns("backupsession"),
        "NAME INVOKER-TYPE INVOKER-NAME PHASE DURATION AGE"
    );
    assert_eq!(
        columns("repository"),
        "NAME INTEGRITY SNAPSHOT-COUNT SIZE PHASE LAST-SUCCESSFUL-BACKUP AGE"
    );
    assert_eq!(
        columns("snapshots.storage.kubestash.com"),
        "NAME REPOSITORY SESSION SNAPSHOT-TIME DELETION-POLICY PHASE AGE"
    );

    let data = "blueprint/default-blueprint/repository/v1/frequent-backup/dump/";
    assert_eq!(gcs.objects(&format!("{data}config")).len(), 1);
    assert_eq!(gcs.objects(&format!("{data}snapshots/")).len(), 1);
    assert_eq!(
        gcs.objects("blueprint/default-blueprint/snapshots/"),
        [format!(
            "blueprint/default-blueprint/snapshots/{snapshot_name}.yaml"
        )]
    );
    assert_eq!(gcs.objects("blueprint/metadata.yaml").len(), 1);
    assert_eq!(
        gcs.objects("blueprint/default-blueprint/repository.yaml")
            .len(),
        1
    );

    // A second one, made by hand; the repository counts both.
    let second = trigger(&system, "appbinding-sample-druid");
    let second = system.wait_phase(
        "demo",
        &format!("backupsession/{second}"),
        &["Succeeded", "Failed", "Skipped"],
    );
    assert_session_succeeded(&system, &second);
    system.wait(
        "demo",
        "repository/default-blueprint",
        "to count two Snapshots",
        |repository| repository["status"]["snapshotCount"] == 2,
    );
    check_with_restic(&gcs, "default-blueprint");

    // Second part.
    system.kubectl(
        "delete backupblueprints.core.kubestash.com -n demo druid-default-backup-blueprint",
    );
    system.kubectl("delete druid -n demo sample-druid");
    system.apply(&example("customize-backupblueprint.yaml"));
    system.apply(&example("sample-druid-2.yaml"));
    let session = first_session(&system, "appbinding-sample-druid-2");
    assert_session_succeeded(&system, &session);
    let configuration = system
        .object("demo", "backupconfiguration/appbinding-sample-druid-2")
        .unwrap();
    let entry = &configuration["spec"]["sessions"][0];
    assert_eq!(entry["scheduler"]["schedule"], "*/10 * * * *");
    assert_eq!(entry["repositories"][0]["name"], "customize-blueprint");
    assert_eq!(entry["repositories"][0]["directory"], "demo/sample-druid-2");
    assert_eq!(
        entry["addon"]["tasks"][0]["params"],
        json!({"databases": "druid"})
    );
    let session_name = session["metadata"]["name"].as_str().unwrap().to_owned();
    let unix = session_name
        .strip_prefix("appbinding-sample-druid-2-frequent-backup-")
        .unwrap();
    let snapshot_name = format!("customize-blueprint-appbinding-sid-2-frequent-backup-{unix}");
    let snapshot = system
        .object(
            "demo",
            &format!("snapshots.storage.kubestash.com/{snapshot_name}"),
        )
        .unwrap();
    let repository = system
        .object("demo", "repository/customize-blueprint")
        .unwrap();
    assert_snapshot(
        &snapshot,
        &repository,
        &session_name,
        "sample-druid-2",
        "customize-blueprint",
    );
    check_with_restic(&gcs, "demo/sample-druid-2");

    clean_up(&system, &gcs);
}

fn assert_snapshot(
    snapshot: &Value,
    repository: &Value,
    session: &str,
    druid: &str,
    repository_name: &str,
) {
    let metadata = &snapshot["metadata"];
    assert_eq!(
        metadata["labels"],
        json!({
            "kubestash.com/app-ref-kind": "Druid",
            "kubestash.com/app-ref-name": druid,
            "kubestash.com/app-ref-namespace": "demo",
            "kubestash.com/repo-name": repository_name,
        })
    );
    assert_eq!(metadata["annotations"]["kubedb.com/db-version"], "30.0.0");
    assert_eq!(metadata["finalizers"], json!(["kubestash.com/cleanup"]));
    assert_eq!(
        metadata["ownerReferences"],
        json!([{
            "apiVersion": "storage.kubestash.com/v1alpha1",
            "blockOwnerDeletion": true,
            "controller": true,
            "kind": "Repository",
            "name": repository_name,
            "uid": repository["metadata"]["uid"],
        }])
    );
    let spec = &snapshot["spec"];
    assert_eq!(
        spec["appRef"],
        json!({"apiGroup": "kubedb.com", "kind": "Druid", "name": druid, "namespace": "demo"})
    );
    assert_eq!(spec["backupSession"], session);
    assert_eq!(spec["deletionPolicy"], "Delete");
    assert_eq!(spec["repository"], repository_name);
    assert_eq!(spec["session"], "frequent-backup");
    assert_eq!(spec["snapshotID"].as_str().unwrap().len(), 26);
    assert_eq!(spec["type"], "FullBackup");
    assert_eq!(spec["version"], "v1");
    let status = &snapshot["status"];
    assert_eq!(status["phase"], "Succeeded", "{status:#}");
    assert_eq!(status["totalComponents"], 1);
    let dump = &status["components"]["dump"];
    assert_eq!(dump["driver"], "Restic");
    assert_eq!(dump["integrity"], true);
    assert_eq!(dump["path"], "repository/v1/frequent-backup/dump");
    assert_eq!(dump["phase"], "Succeeded");
    assert!(dump["duration"].as_str().unwrap().ends_with('s'));
    assert!(dump["size"].as_str().unwrap().ends_with('B'));
    let stats = &dump["resticStats"][0];
    assert_eq!(stats["hostPath"], "dumpfile.sql");
    assert_eq!(stats["id"].as_str().unwrap().len(), 64);
    for field in ["hostPath", "id", "size", "uploaded"] {
        assert_eq!(
            stats[field], stats["summary"][field],
            "{field} is written flat and under summary"
        );
    }
}

/// The real restic finds nothing wrong.
pub fn check_with_restic(gcs: &Gcs, directory: &str) {
    // restic talks to Google only, never to an emulator, so it gets the same objects as files.
    let copy = tempfile::tempdir().unwrap();
    gcs.download(
        &format!("blueprint/{directory}/repository/v1/frequent-backup/dump/"),
        copy.path(),
    );
    let checked = output(
        Command::new(find_binary("restic"))
            .args(["--no-cache", "check", "--read-data", "-r"])
            .arg(copy.path())
            .env("RESTIC_PASSWORD", "changeit"),
    )
    .unwrap();
    assert!(checked.contains("no errors were found"), "{checked}");
}

/// The tutorial's clean-up: its objects go, its backups stay.
fn clean_up(system: &System, gcs: &Gcs) {
    for gone in [
        "backupblueprints.core.kubestash.com -n demo druid-default-backup-blueprint",
        "druid -n demo sample-druid",
    ] {
        let error = system.try_kubectl(&format!("delete {gone}")).unwrap_err();
        assert!(error.contains("NotFound"), "{error}");
    }
    for left in [
        "backupblueprints.core.kubestash.com -n demo druid-customize-backup-blueprint",
        "backupstorage -n demo gcs-storage",
        "secret -n demo gcs-secret",
        "secret -n demo encrypt-secret",
        "retentionpolicies.storage.kubestash.com -n demo demo-retention",
        "druid -n demo sample-druid-2",
    ] {
        system.kubectl(&format!("delete {left}"));
    }
    for kind in [
        "backupconfigurations",
        "backupsessions",
        "repositories",
        "snapshots.storage.kubestash.com",
        "backupstorages",
        "druids.kubedb.com",
        "mysqls.kubedb.com",
        "appbindings",
        "jobs",
        "pods",
    ] {
        eventually(
            &format!("all {kind} to go"),
            Duration::from_secs(30),
            || {
                let left = system.objects("demo", kind);
                if left.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{:#}", left[0]))
                }
            },
        );
    }
    let secrets: Vec<String> = system
        .objects("demo", "secrets")
        .iter()
        .map(|secret| secret["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(secrets, ["deep-storage-config"]);
    for directory in ["default-blueprint", "demo/sample-druid-2"] {
        check_with_restic(gcs, directory);
        assert!(
            !gcs.objects(&format!("blueprint/{directory}/snapshots/"))
                .is_empty()
        );
    }
}
