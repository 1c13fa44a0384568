//! The cluster is lost and only the bucket or the volume is left: everything comes back from it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bad_input::{configuration, druid, local_backend};
use crate::restore::{backed_up, client, contents, latest, lose, restore};
use crate::support::{Gcs, System, find_binary, output};
use crate::tutorial::{example, first_session, prepare_backend, trigger};

const SNAPSHOTS: &str = "snapshots.storage.kubestash.com";

/// The tutorial's blueprint, whose schedule does not come due while a test counts.
fn blueprint() -> String {
    example("default-backupblueprint.yaml").replace("*/5 * * * *", "0 0 1 1 *")
}

/// The entry of a repository in the status of the storage, once it is there.
fn entry(system: &System, repository: &str) -> Value {
    let entry = |storage: &Value| {
        let entries = storage["status"]["repositories"].as_array()?;
        entries
            .iter()
            .find(|entry| entry["name"] == repository)
            .cloned()
    };
    let told = |storage: &Value| entry(storage).is_some_and(|entry| !entry["synced"].is_null());
    let storage = system.wait("demo", "backupstorage/gcs-storage", "to tell of it", told);
    entry(&storage).unwrap()
}

/// Names and phases of all Snapshots.
fn snapshots(system: &System) -> Vec<(String, String)> {
    system
        .objects("demo", SNAPSHOTS)
        .iter()
        .map(|snapshot| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (
                text(&snapshot["metadata"]["name"]),
                text(&snapshot["status"]["phase"]),
            )
        })
        .collect()
}

fn succeeded(system: &System, session: &Value) {
    let status = &session["status"];
    assert_eq!(
        status["phase"],
        "Succeeded",
        "{status:#}\n{}",
        system.log_text()
    );
}

#[test]
fn an_empty_cluster_that_points_at_the_bucket_restores_and_goes_on() {
    let gcs = Gcs::start();
    let lost = System::with_gcs(&gcs);
    prepare_backend(&lost);
    lost.apply(&blueprint());
    lost.apply(&example("sample-druid.yaml"));
    succeeded(&lost, &first_session(&lost, "appbinding-sample-druid"));
    crate::crash::load_metadata(&lost, "sample-druid");
    let name = trigger(&lost, "appbinding-sample-druid");
    let session = lost.wait_phase(
        "demo",
        &format!("backupsession/{name}"),
        &["Succeeded", "Failed"],
    );
    succeeded(&lost, &session);
    let before = contents(&lost, "sample-druid");
    let backups = snapshots(&lost);
    assert_eq!(backups.len(), 2);
    // Everything but the bucket goes, at once.
    drop(lost);
    // One file in it is broken.
    let file = gcs
        .dir
        .join("kubestash-qa/blueprint/default-blueprint/snapshots/broken.yaml");
    gcs.upload(
        "blueprint/default-blueprint/snapshots/broken.yaml",
        "kind: [",
    );
    assert!(file.exists(), "{}", file.display());

    let mut system = System::with_gcs(&gcs);
    prepare_backend(&system);
    let told = entry(&system, "default-blueprint");
    assert_eq!(told["synced"], true, "{told:#}");
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("snapshots/broken.yaml"), "{error}");
    system.wait_event("demo", "BackupStorage", "gcs-storage", "default-blueprint");
    assert_eq!(snapshots(&system), backups);
    system.wait_phase("demo", "repository/default-blueprint", &["Ready"]);
    let table = system.kubectl("get repository -n demo default-blueprint");
    assert!(table.contains("Ready") && table.contains(" 2 "), "{table}");

    system.apply(&druid("demo", "sample-druid", &[]));
    let source = json!({"repository": "default-blueprint", "snapshot": "latest"});
    let restored = restore(&system, "recover", "sample-druid", &source, &json!({}));
    succeeded(&system, &restored);
    assert_eq!(contents(&system, "sample-druid"), before);

    // The owner asks for backups again: they go on in the same repository.
    system.apply(&blueprint());
    system.apply(&example("sample-druid.yaml"));
    succeeded(&system, &first_session(&system, "appbinding-sample-druid"));
    assert_eq!(snapshots(&system).len(), 3);
    let repository = tempfile::tempdir().unwrap();
    let path = "blueprint/default-blueprint/repository/v1/frequent-backup/dump/";
    gcs.download(path, repository.path());
    let listed = output(
        Command::new(find_binary("restic"))
            .args(["--no-cache", "--no-lock", "snapshots", "--json", "-r"])
            .arg(repository.path())
            .env("RESTIC_PASSWORD", "changeit"),
    )
    .unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed:#}");

    // What is deleted now stays away, also after a restart; its data stays in the bucket.
    let gone = &backups[0].0;
    system.kubectl(&format!("delete -n demo {SNAPSHOTS} {gone}"));
    system.restart();
    system.kubectl("annotate -n demo backupstorage gcs-storage touched=yes");
    system.wait_phase("demo", "backupstorage/gcs-storage", &["Ready"]);
    assert_eq!(snapshots(&system).len(), 2);
    let kept = gcs.objects(&format!("blueprint/default-blueprint/snapshots/{gone}"));
    assert_eq!(kept.len(), 1);
}

#[test]
fn an_empty_cluster_that_mounts_the_volume_restores() {
    let directory = tempfile::tempdir().unwrap();
    let lost = System::start();
    let volume = backed_up(&lost, directory.path());
    let before = contents(&lost, "sample-druid");
    let backups = snapshots(&lost);
    drop(lost);
    std::fs::write(volume.join("repo/snapshots/broken.yaml"), "kind: [").unwrap();

    let system = System::start();
    local_backend(&system, &volume);
    let told = entry(&system, "repo");
    assert_eq!(told["synced"], true, "{told:#}");
    assert!(
        told["error"].as_str().unwrap().contains("broken.yaml"),
        "{told:#}"
    );
    assert_eq!(snapshots(&system), backups);
    system.apply(&druid("demo", "sample-druid", &[]));
    let restored = restore(&system, "recover", "sample-druid", &latest(), &json!({}));
    succeeded(&system, &restored);
    assert_eq!(contents(&system, "sample-druid"), before);
    // The repository is the same to a configuration that is made again.
    system.apply(&configuration(&json!({})));
    succeeded(&system, &first_session(&system, "manual"));
    assert_eq!(snapshots(&system).len(), 2);
}

/// A repository as KubeStash leaves it: the real restic wrote the data, the YAML has its fields and
/// its order.
struct Foreign<'a> {
    root: &'a Path,
}

impl Foreign<'_> {
    fn restic(&self, session: &str, args: &[&str], input: Option<&str>) -> String {
        let repository = self
            .root
            .join("demo/theirs/repository/v1")
            .join(session)
            .join("dump");
        let mut restic = Command::new(find_binary("restic"))
            .args(["--no-cache", "--quiet", "--json", "--repo"])
            .arg(&repository)
            .args(args)
            .env("RESTIC_PASSWORD", "changeit")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = restic.stdin.take().unwrap();
        stdin
            .write_all(input.unwrap_or_default().as_bytes())
            .unwrap();
        drop(stdin);
        let output = restic.wait_with_output().unwrap();
        assert!(output.status.success(), "restic {args:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Backs up a dump as KubeStash does, and returns the id of the restic snapshot.
    fn back_up(&self, session: &str, dump: &str) -> String {
        let args = [
            "backup",
            "--stdin",
            "--stdin-filename",
            "dumpfile.sql",
            "--host",
            "host-0",
        ];
        let said = self.restic(session, &args, Some(dump));
        let summary = said.lines().last().unwrap();
        let summary: Value = serde_json::from_str(summary).unwrap();
        summary["snapshot_id"].as_str().unwrap().to_owned()
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn snapshot(&self, name: &str, session: &str, stats: &str) {
        self.write(
            &format!("demo/theirs/snapshots/{name}.yaml"),
            &format!(
                "apiVersion: storage.kubestash.com/v1alpha1
kind: Snapshot
metadata:
  annotations:
    kubedb.com/db-version: 10.5.8
  creationTimestamp: \"2024-09-19T10:30:56Z\"
  finalizers:
  - kubestash.com/cleanup
  generation: 1
  labels:
    kubestash.com/app-ref-kind: Druid
    kubestash.com/app-ref-name: sample-druid
    kubestash.com/app-ref-namespace: demo
    kubestash.com/repo-name: theirs
  name: {name}
  namespace: demo
  ownerReferences:
  - apiVersion: storage.kubestash.com/v1alpha1
    blockOwnerDeletion: true
    controller: true
    kind: Repository
    name: theirs
    uid: 7ced6866-349b-48c0-821d-d1ecfee1c80e
  resourceVersion: \"1594964\"
  uid: 8ec9bb0c-590c-4b67-944b-22af92d62470
spec:
  appRef:
    apiGroup: kubedb.com
    kind: Druid
    name: sample-druid
    namespace: demo
  backupSession: appbinding-sample-druid-{session}-1726741846
  deletionPolicy: Delete
  repository: theirs
  session: {session}
  snapshotID: 01J84XBGGY0JKG7JKTRCGV3HYM
  type: FullBackup
  version: v1
status:
  components:
    dump:
      driver: Restic
      duration: 9.614587405s
      integrity: true
      path: repository/v1/{session}/dump
      phase: Succeeded
      resticStats:
{stats}
      size: 674.017 KiB
  conditions:
  - lastTransitionTime: \"2024-09-19T10:30:56Z\"
    message: Recent snapshot list updated successfully
    reason: SuccessfullyUpdatedRecentSnapshotList
    status: \"True\"
    type: RecentSnapshotListUpdated
  - lastTransitionTime: \"2024-09-19T10:31:14Z\"
    message: Metadata uploaded to backend successfully
    reason: SuccessfullyUploadedSnapshotMetadata
    status: \"True\"
    type: SnapshotMetadataUploaded
  integrity: true
  phase: Succeeded
  size: 674.017 KiB
  snapshotTime: \"2024-09-19T10:30:56Z\"
  totalComponents: 1
"
            ),
        );
    }
}

#[test]
fn what_kubestash_and_the_real_restic_left_is_read_and_restored() {
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path().join("volume");
    let system = System::start();
    system.kubectl("create ns demo");
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    crate::crash::load_metadata(&system, "sample-druid");
    let before = contents(&system, "sample-druid");
    let dump = {
        let (mut dump, _file) = client(&system, "sample-druid", "mariadb-dump");
        output(dump.args(["--databases", "druid"])).unwrap()
    };

    let theirs = Foreign { root: &volume };
    let mut ids = Vec::new();
    for session in ["frequent-backup", "nightly"] {
        theirs.restic(session, &["init"], None);
        ids.push(theirs.back_up(session, &dump));
    }
    theirs.write(
        "metadata.yaml",
        "apiVersion: config.kubestash.com/v1alpha1
creationTimestamp: \"2024-09-19T10:30:00Z\"
kind: BackendMeta
operatorVersion: v0.12.0
repositories:
- name: theirs
  namespace: demo
  path: demo/theirs
  size: 674.017 KiB
  synced: true
",
    );
    theirs.write(
        "demo/theirs/repository.yaml",
        "apiVersion: storage.kubestash.com/v1alpha1
kind: Repository
metadata:
  creationTimestamp: \"2024-09-19T10:30:46Z\"
  finalizers:
  - kubestash.com/cleanup
  generation: 1
  name: theirs
  namespace: demo
  resourceVersion: \"1594900\"
  uid: 7ced6866-349b-48c0-821d-d1ecfee1c80e
spec:
  appRef:
    apiGroup: kubedb.com
    kind: Druid
    name: sample-druid
    namespace: demo
  deletionPolicy: Delete
  encryptionSecret:
    name: encrypt-secret
    namespace: demo
  path: /demo/theirs
  storageRef:
    name: their-storage
    namespace: their-namespace
status: {}
",
    );
    theirs.snapshot(
        "flat",
        "frequent-backup",
        &format!(
            "      - hostPath: dumpfile.sql\n        id: {}\n        size: 3.750 MiB\n        uploaded: 3.751 MiB",
            ids[0]
        ),
    );
    theirs.snapshot(
        "summary",
        "nightly",
        &format!(
            "      - summary:\n          endTime: \"2024-09-19T10:31:13Z\"\n          hostPath: dumpfile.sql\n          id: {}\n          size: 3.750 MiB\n          startTime: \"2024-09-19T10:31:04Z\"\n          uploaded: 3.751 MiB",
            ids[1]
        ),
    );
    theirs.write(
        "demo/theirs/snapshots/broken.yaml",
        "kind: Snapshot\nspec: 7\n",
    );

    system.kubectl(
        "create secret generic -n demo encrypt-secret --from-literal=RESTIC_PASSWORD=changeit",
    );
    system.apply(&crate::bad_input::local_storage(&volume));
    let told = entry(&system, "theirs");
    assert_eq!(told["synced"], true, "{told:#}");
    assert!(
        told["error"].as_str().unwrap().contains("broken.yaml"),
        "{told:#}"
    );
    let both = ["flat", "summary"].map(|name| (name.to_owned(), "Succeeded".to_owned()));
    assert_eq!(snapshots(&system), both);
    let repository = system.wait_phase("demo", "repository/theirs", &["Ready"]);
    assert_eq!(repository["spec"]["storageRef"]["name"], "gcs-storage");

    for name in ["flat", "summary"] {
        lose(&system, "sample-druid");
        let source = json!({"snapshot": name, "repository": "theirs"});
        let restored = restore(&system, name, "sample-druid", &source, &json!({}));
        succeeded(&system, &restored);
        assert_eq!(contents(&system, "sample-druid"), before, "{name}");
    }
    // And the real restic finds nothing to complain about afterwards.
    for session in ["frequent-backup", "nightly"] {
        theirs.restic(session, &["check", "--read-data"], None);
    }
}
