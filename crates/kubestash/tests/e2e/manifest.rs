//! The objects around a database: backed up with its data, and made anew elsewhere, under another
//! name.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use serde_json::{Value, json};

use crate::bad_input::{configuration, druid, local_backend};
use crate::restore::{contents, sql};
use crate::support::{System, find_binary, output};
use crate::tutorial::{example, first_session};

/// A BackupConfiguration with these tasks; `account` is the ServiceAccount of its Jobs.
fn with_tasks(tasks: &Value, account: Option<&str>) -> String {
    let mut object: Value = serde_json::from_str(&configuration(&json!({}))).unwrap();
    let addon = &mut object["spec"]["sessions"][0]["addon"];
    addon["tasks"] = tasks.clone();
    if let Some(account) = account {
        addon["jobTemplate"] = json!({"spec": {"serviceAccountName": account}});
    }
    object.to_string()
}

fn both() -> Value {
    json!([{"name": "manifest-backup"}, {"name": "mysql-metadata-storage-backup"}])
}

/// A RestoreSession of manifests and data, without a target; `spec` adds to its spec.
fn session(name: &str, options: &Value, spec: &Value) -> String {
    let mut object = json!({
        "apiVersion": "core.kubestash.com/v1alpha1",
        "kind": "RestoreSession",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "manifestOptions": options,
            "dataSource": {"repository": "repo", "snapshot": "latest"},
            "addon": {
                "name": "druid-addon",
                "tasks": [{"name": "mysql-metadata-storage-restore"}, {"name": "manifest-restore"}],
            },
        },
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object.to_string()
}

fn manifests_only() -> Value {
    json!({"addon": {"name": "druid-addon", "tasks": [{"name": "manifest-restore"}]}})
}

/// Restores and returns the status in the end.
fn restore(system: &System, name: &str, options: &Value, spec: &Value) -> Value {
    system.apply(&session(name, options, spec));
    let ended = system.wait_phase(
        "demo",
        &format!("restoresession/{name}"),
        &["Succeeded", "Failed", "Invalid", "Unknown"],
    );
    ended["status"].clone()
}

/// What the session says about the objects.
fn said(status: &Value) -> &str {
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == "ManifestRestored");
    found.unwrap_or_else(|| panic!("{status:#}"))["message"]
        .as_str()
        .unwrap()
}

/// A Druid with deep storage and data in a local storage that is Ready.
fn prepared(system: &System, directory: &Path) -> PathBuf {
    let volume = directory.join("volume");
    local_backend(system, &volume);
    system.apply(&example("deep-storage-config.yaml"));
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    crate::crash::load_metadata(system, "sample-druid");
    volume
}

/// The only Snapshot.
fn snapshot(system: &System) -> Value {
    let all = system.objects("demo", "snapshots.storage.kubestash.com");
    assert_eq!(all.len(), 1, "{all:#?}");
    all.into_iter().next().unwrap()
}

/// What `restic dump` of the real restic prints of the manifests.
fn document(volume: &Path) -> String {
    output(
        Command::new(find_binary("restic"))
            .args(["--no-cache", "--no-lock", "-r"])
            .arg(volume.join("repo/repository/v1/frequent-backup/manifest"))
            .args(["dump", "latest", "/kubestash-tmp/manifest"])
            .env("RESTIC_PASSWORD", "changeit"),
    )
    .unwrap()
}

fn assert_succeeded(system: &System, status: &Value) {
    assert_eq!(
        status["phase"],
        "Succeeded",
        "{status:#}\n{}",
        system.log_text()
    );
}

#[test]
fn a_whole_application_comes_back_in_another_namespace_under_another_name() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    let volume = prepared(&system, directory.path());
    let before = contents(&system, "sample-druid");
    system.apply(&with_tasks(&both(), None));
    let backup = first_session(&system, "manual");
    assert_succeeded(&system, &backup["status"]);

    let snapshot = snapshot(&system);
    let status = &snapshot["status"];
    assert_eq!(
        (&status["phase"], &status["totalComponents"]),
        (&json!("Succeeded"), &json!(2)),
        "{status:#}"
    );
    let (dump, manifest) = (
        &status["components"]["dump"],
        &status["components"]["manifest"],
    );
    assert_eq!(dump["phase"], "Succeeded", "{status:#}");
    assert_eq!(manifest["phase"], "Succeeded", "{status:#}");
    assert_eq!(manifest["path"], "repository/v1/frequent-backup/manifest");
    assert_eq!(
        manifest["resticStats"][0]["hostPath"],
        "/kubestash-tmp/manifest"
    );

    // The real restic prints what kubectl could apply.
    let text = document(&volume);
    let list: Value = serde_json::from_str(&text).unwrap();
    let names: Vec<String> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| {
            format!(
                "{}/{}",
                object["kind"].as_str().unwrap(),
                object["metadata"]["name"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            "Secret/sample-druid-auth",
            "Secret/deep-storage-config",
            "Secret/sample-druid-mysql-metadata-auth",
            "MySQL/sample-druid-mysql-metadata",
            "Druid/sample-druid",
        ]
    );
    for known_only_there in [
        "\"status\"",
        "\"uid\"",
        "resourceVersion",
        "ownerReferences",
        "last-applied",
    ] {
        assert!(
            !text.contains(known_only_there),
            "{known_only_there} in {text}"
        );
    }

    let options = json!({"druid": {"restoreNamespace": "dev", "dbName": "restored-druid"}});
    system.kubectl("create ns dev");
    let status = restore(&system, "elsewhere", &options, &json!({}));
    assert_succeeded(&system, &status);
    assert_eq!(status["totalComponents"], 2);
    assert_eq!(status["components"]["manifest"]["phase"], "Succeeded");
    assert_eq!(status["components"]["dump"]["phase"], "Succeeded");
    assert_eq!(
        said(&status),
        "Created: Secret dev/restored-druid-auth, Secret dev/deep-storage-config, \
         Secret dev/restored-druid-mysql-metadata-auth, MySQL dev/restored-druid-mysql-metadata, \
         Druid dev/restored-druid."
    );
    system.wait_event(
        "demo",
        "RestoreSession",
        "elsewhere",
        "Created: Secret dev/restored-druid-auth",
    );
    let restored = system.wait_phase("dev", "druid/restored-druid", &["Ready"]);
    assert_eq!(
        restored["spec"]["deepStorage"],
        json!({"type": "s3", "configSecret": {"name": "deep-storage-config"}})
    );
    assert_eq!(contents(&system, "dev/restored-druid"), before);
    let secret = |namespace: &str, name: &str| {
        system.object(namespace, &format!("secret/{name}")).unwrap()["data"].clone()
    };
    for name in ["druid-auth", "druid-mysql-metadata-auth"] {
        assert_eq!(
            secret("demo", &format!("sample-{name}")),
            secret("dev", &format!("restored-{name}"))
        );
    }
    assert_eq!(
        secret("demo", "deep-storage-config"),
        secret("dev", "deep-storage-config")
    );
    // The original is as it was.
    assert_eq!(contents(&system, "sample-druid"), before);

    // Once more: what exists is kept, and the data is restored over what has become of it.
    sql(
        &system,
        "dev/restored-druid",
        "DELETE FROM druid.druid_segments",
    );
    system.kubectl("delete secret -n dev deep-storage-config");
    system.kubectl("annotate druid -n dev restored-druid example.com/mine=yes");
    let status = restore(&system, "again", &options, &json!({}));
    assert_succeeded(&system, &status);
    assert_eq!(
        said(&status),
        "Created: Secret dev/deep-storage-config. Kept as they were: Secret dev/restored-druid-auth, \
         Secret dev/restored-druid-mysql-metadata-auth, MySQL dev/restored-druid-mysql-metadata, \
         Druid dev/restored-druid."
    );
    assert_eq!(contents(&system, "dev/restored-druid"), before);
    let kept = system.object("dev", "druid/restored-druid").unwrap();
    assert_eq!(kept["metadata"]["annotations"]["example.com/mine"], "yes");

    // On request what exists gets the content that was backed up; what was added to it from outside
    // stays.
    let stored = secret("dev", "deep-storage-config");
    system.kubectl(
        r#"patch druid -n dev restored-druid --type=merge -p {"spec":{"deepStorage":{"type":"hdfs"}}}"#,
    );
    system.kubectl(
        r#"patch secret -n dev deep-storage-config --type=merge -p {"data":{"x":"eA=="}}"#,
    );
    let replacing = json!({"addon": {"name": "druid-addon", "tasks": [
        {"name": "manifest-restore", "params": {"overrideResources": "true"}},
    ]}});
    let status = restore(&system, "replacing", &options, &replacing);
    assert_succeeded(&system, &status);
    assert_eq!(
        said(&status),
        "Created: nothing. Replaced: Secret dev/deep-storage-config, Druid dev/restored-druid. \
         Kept as they were: Secret dev/restored-druid-auth, Secret dev/restored-druid-mysql-metadata-auth, \
         MySQL dev/restored-druid-mysql-metadata."
    );
    assert_eq!(secret("dev", "deep-storage-config"), stored);
    let replaced = system.object("dev", "druid/restored-druid").unwrap();
    assert_eq!(replaced["spec"], kept["spec"]);
    assert_eq!(replaced["metadata"]["uid"], kept["metadata"]["uid"]);
    assert_eq!(
        replaced["metadata"]["annotations"]["example.com/mine"],
        "yes"
    );
    assert_eq!(replaced["status"]["phase"], "Ready");
    assert_eq!(contents(&system, "dev/restored-druid"), before);

    // The rights in the other namespace went with the Jobs.
    for kind in ["role", "rolebinding"] {
        assert_eq!(system.objects("dev", kind).len(), 0, "{kind}");
    }
    assert!(system.object("demo", "job/elsewhere").is_ok());
}

#[test]
fn what_cannot_be_made_is_told_and_nothing_is_made() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    prepared(&system, directory.path());
    system.apply(&with_tasks(&both(), None));
    let backup = first_session(&system, "manual");
    assert_succeeded(&system, &backup["status"]);
    let check = |name: &str, options: Value, spec: Value, phase: &str, words: &[&str]| {
        let status = restore(&system, name, &options, &spec);
        assert_eq!(status["phase"], phase, "{name}: {status:#}");
        for word in words {
            assert!(
                status.to_string().contains(word),
                "{name}: no {word:?} in {status:#}"
            );
        }
    };
    let there = |name: &str| json!({"druid": {"restoreNamespace": "dev", "dbName": name}});

    check(
        "no-namespace",
        there("copy"),
        json!({}),
        "Invalid",
        &["namespace dev", "does not exist", "restoreNamespace"],
    );

    system.kubectl("create ns dev");
    system.kubectl("create secret generic -n dev copy-auth --from-literal=token=1");
    check(
        "taken-secret",
        there("copy"),
        json!({}),
        "Failed",
        &[
            "Secret dev/copy-auth",
            "the name is taken",
            "spec.manifestOptions.druid.authSecretName",
            "nothing was created",
        ],
    );
    system.apply(
        "apiVersion: appcatalog.appscode.com/v1alpha1
kind: AppBinding
metadata: {name: theirs, namespace: dev}
spec: {clientConfig: {url: 'tcp(127.0.0.1:1)/'}, type: mysql, version: '8'}
",
    );
    check(
        "taken-binding",
        there("theirs"),
        json!({}),
        "Failed",
        &[
            "AppBinding dev/theirs",
            "spec.manifestOptions.druid.dbName",
            "nothing was created",
        ],
    );
    // The store of another Druid, under a name of its own.
    check(
        "taken-store",
        json!({"druid": {"dbName": "copy"}, "mySQL": {"dbName": "sample-druid-mysql-metadata"}}),
        json!({}),
        "Failed",
        &[
            "MySQL demo/sample-druid-mysql-metadata",
            "belongs to Druid sample-druid",
            "spec.manifestOptions.mySQL.dbName",
        ],
    );
    let made = |kind: &str| system.objects("dev", kind).len();
    assert_eq!((made("druids"), made("mysqls")), (0, 0));

    // Without data: the Druid comes up by itself, with its Secrets under the names that were asked
    // for.
    let options = json!({"druid": {"restoreNamespace": "dev", "dbName": "plain", "authSecretName": "own", "deepStorageSecret": false}});
    let status = restore(&system, "plain", &options, &manifests_only());
    assert_succeeded(&system, &status);
    assert_eq!(status["totalComponents"], 1);
    let plain = system.wait_phase("dev", "druid/plain", &["Ready"]);
    assert_eq!(plain["spec"]["authSecret"]["name"], "own");
    assert!(system.object("dev", "secret/own").is_ok());
    assert!(system.object("dev", "secret/deep-storage-config").is_err());
}

#[test]
fn a_snapshot_without_manifests_and_a_target_without_any_are_told() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    prepared(&system, directory.path());
    system.apply(&configuration(&json!({})));
    let backup = first_session(&system, "manual");
    assert_succeeded(&system, &backup["status"]);
    let options = json!({"druid": {"dbName": "copy"}});
    let status = restore(&system, "no-manifests", &options, &json!({}));
    assert_eq!(status["phase"], "Invalid", "{status:#}");
    let text = status.to_string();
    assert!(
        text.contains("has no component \\\"manifest\\\"; it has dump"),
        "{text}"
    );

    // An AppBinding with no object behind it.
    let mut other: Value =
        serde_json::from_str(&with_tasks(&json!([{"name": "manifest-backup"}]), None)).unwrap();
    other["metadata"]["name"] = json!("external");
    other["spec"]["target"] = json!({"apiGroup": "appcatalog.appscode.com", "kind": "AppBinding", "name": "theirs", "namespace": "demo"});
    let repository = &mut other["spec"]["sessions"][0]["repositories"][0];
    repository["name"] = json!("other");
    repository["directory"] = json!("/other");
    system.apply(
        "apiVersion: appcatalog.appscode.com/v1alpha1
kind: AppBinding
metadata: {name: theirs, namespace: demo}
spec: {clientConfig: {url: 'tcp(127.0.0.1:1)/'}, secret: {name: encrypt-secret}, type: mysql, version: '8'}
",
    );
    system.apply(&other.to_string());
    let ended = first_session(&system, "external");
    assert_eq!(ended["status"]["phase"], "Failed", "{ended:#}");
    let failed = system
        .objects("demo", "snapshots.storage.kubestash.com")
        .into_iter()
        .find(|snapshot| snapshot["spec"]["repository"] == "other")
        .unwrap();
    let error = failed["status"]["components"]["manifest"]["error"]
        .as_str()
        .unwrap();
    assert!(
        error.contains("AppBinding demo/theirs")
            && error.contains("remove the task manifest-backup"),
        "{error}"
    );
}

#[test]
fn one_of_two_components_that_fails_fails_the_snapshot() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    prepared(&system, directory.path());
    let tasks = json!([{"name": "manifest-backup"},
        {"name": "mysql-metadata-storage-backup", "params": {"databases": "no_such_database"}}]);
    system.apply(&with_tasks(&tasks, None));
    let backup = first_session(&system, "manual");
    assert_eq!(backup["status"]["phase"], "Failed", "{backup:#}");
    let snapshot = snapshot(&system);
    let status = &snapshot["status"];
    assert_eq!(
        (&status["phase"], &status["totalComponents"]),
        (&json!("Failed"), &json!(2)),
        "{status:#}"
    );
    assert_eq!(
        status["components"]["manifest"]["phase"], "Succeeded",
        "{status:#}"
    );
    assert_eq!(
        status["components"]["dump"]["phase"], "Failed",
        "{status:#}"
    );
    assert!(
        status["components"]["dump"]["error"]
            .as_str()
            .unwrap()
            .contains("no_such_database"),
        "{status:#}"
    );
}

#[test]
fn dependencies_elsewhere_need_an_account_that_may_read_and_make_them() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    local_backend(&system, &directory.path().join("volume"));
    system.kubectl("create ns dev1");
    system.apply(&example("deep-storage-config.yaml"));
    let mut spread: Value = serde_json::from_str(&druid("demo", "sample-druid", &[])).unwrap();
    spread["spec"]["metadataStorage"] = json!({"name": "my-dev1", "namespace": "dev1"});
    system.apply(&spread.to_string());
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);

    system.apply(&with_tasks(&both(), None));
    let backup = first_session(&system, "manual");
    assert_eq!(backup["status"]["phase"], "Failed", "{backup:#}");
    let failed = snapshot(&system);
    let error = failed["status"]["components"]["manifest"]["error"]
        .as_str()
        .unwrap();
    for words in [
        "verb get",
        "mysqls.kubedb.com",
        "namespace dev1",
        "serviceAccountName",
    ] {
        assert!(error.contains(words), "{error}");
    }
    system.kubectl("delete -n demo backupconfiguration manual");
    system.kubectl("delete -n demo repository repo");

    system.apply(&example("cluster-resource-reader.yaml"));
    let mut allowed: Value =
        serde_json::from_str(&with_tasks(&both(), Some("cluster-resource-reader"))).unwrap();
    allowed["metadata"]["name"] = json!("allowed");
    allowed["spec"]["sessions"][0]["repositories"][0]["directory"] = json!("/allowed");
    system.apply(&allowed.to_string());
    let backup = first_session(&system, "allowed");
    assert_succeeded(&system, &backup["status"]);

    let account = json!({"addon": {
        "name": "druid-addon",
        "tasks": [{"name": "mysql-metadata-storage-restore"}, {"name": "manifest-restore"}],
        "jobTemplate": {"spec": {"serviceAccountName": "cluster-resource-reader"}},
    }});
    // As long as the original is there, its store is not given to another Druid.
    let options = json!({"druid": {"dbName": "restored-druid"}});
    let status = restore(&system, "too-early", &options, &account);
    assert_eq!(status["phase"], "Failed", "{status:#}");
    assert!(
        status.to_string().contains("MySQL dev1/my-dev1")
            && status.to_string().contains("belongs to Druid sample-druid"),
        "{status:#}"
    );
    system.kubectl("delete -n demo druid sample-druid");
    assert!(system.object("dev1", "mysql/my-dev1").is_err());
    let status = restore(&system, "back", &options, &account);
    assert_succeeded(&system, &status);
    let restored = system.wait_phase("demo", "druid/restored-druid", &["Ready"]);
    assert_eq!(
        restored["spec"]["metadataStorage"],
        json!({"name": "my-dev1", "namespace": "dev1"})
    );
    assert!(system.object("dev1", "mysql/my-dev1").is_ok());
}

/// Runs a statement in the database `playground` of a plain database, or in the server's own with
/// `CREATE DATABASE`.
pub fn statement(system: &System, namespace: &str, name: &str, statement: &str) -> String {
    let secret = system
        .object(namespace, &format!("secret/{name}-auth"))
        .unwrap();
    let binding = system
        .object(namespace, &format!("appbinding/{name}"))
        .unwrap();
    let url = binding["spec"]["clientConfig"]["url"].as_str().unwrap();
    let port: String = url
        .rsplit(':')
        .next()
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let text = |key: &str| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(secret["data"][key].as_str().unwrap())
            .unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let makes_database = statement.starts_with("CREATE DATABASE");
    let mut command = match url.starts_with("postgresql") {
        true => {
            let mut command = Command::new(find_binary("psql"));
            let database = if makes_database {
                "postgres"
            } else {
                "playground"
            };
            command
                .args([
                    "--no-psqlrc",
                    "--tuples-only",
                    "--no-align",
                    "--set=ON_ERROR_STOP=1",
                ])
                .args([
                    "--host=127.0.0.1",
                    &format!("--port={port}"),
                    &format!("--username={}", text("username")),
                ])
                .args([
                    &format!("--dbname={database}"),
                    &format!("--command={statement}"),
                ])
                .env("PGPASSWORD", text("password"));
            command
        }
        false => {
            let mut command = Command::new(find_binary("mariadb"));
            command
                .args([
                    "--no-defaults",
                    "--batch",
                    "--skip-column-names",
                    "--host=127.0.0.1",
                ])
                .args([
                    &format!("--port={port}"),
                    &format!("--user={}", text("username")),
                ])
                .args([&format!("--execute={statement}")])
                .env("MYSQL_PWD", text("password"));
            if !makes_database {
                command.arg("playground");
            }
            command
        }
    };
    output(&mut command).unwrap()
}

#[test]
fn plain_databases_come_back_with_their_objects_in_another_namespace() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    local_backend(&system, &directory.path().join("volume"));
    system.kubectl("create ns dev");
    let kinds = [
        ("MySQL", "mySQL", "mysql"),
        ("MariaDB", "mariaDB", "mariadb"),
        ("Postgres", "postgres", "postgres"),
    ];
    for (_, _, word) in kinds {
        system.apply(&example(&format!("sample-{word}.yaml")));
    }
    for (kind, key, word) in kinds {
        let (name, object) = (format!("sample-{word}"), format!("{word}/sample-{word}"));
        system.wait_phase("demo", &object, &["Ready"]);
        for text in [
            "CREATE DATABASE playground",
            "CREATE TABLE equipment (id INT PRIMARY KEY, kind VARCHAR(9))",
            "INSERT INTO equipment VALUES (1, 'slide'), (2, 'swing')",
        ] {
            statement(&system, "demo", &name, text);
        }
        let tasks = json!([{"name": "logical-backup"}, {"name": "manifest-backup"}]);
        let mut backup: Value = serde_json::from_str(&with_tasks(&tasks, None)).unwrap();
        backup["metadata"]["name"] = json!(name);
        backup["spec"]["target"] =
            json!({"apiGroup": "kubedb.com", "kind": kind, "name": name, "namespace": "demo"});
        let session = &mut backup["spec"]["sessions"][0];
        session["addon"]["name"] = json!(format!("{word}-addon"));
        session["repositories"][0]["name"] = json!(word);
        session["repositories"][0]["directory"] = json!(word);
        system.apply(&backup.to_string());
        let ended = first_session(&system, &name);
        assert_succeeded(&system, &ended["status"]);

        // Under its own name, so nothing but the session says that this database is restored into.
        let options = json!({key: {"restoreNamespace": "dev"}});
        let addon = json!({
            "dataSource": {"repository": word, "snapshot": "latest"},
            "addon": {"name": format!("{word}-addon"), "tasks": [{"name": "logical-backup-restore"}, {"name": "manifest-restore"}]},
        });
        let status = restore(&system, word, &options, &addon);
        assert_succeeded(&system, &status);
        assert_eq!(
            said(&status),
            format!("Created: Secret dev/{name}-auth, {kind} dev/{name}.")
        );
        let restored = system.wait_phase("dev", &object, &["Ready"]);
        assert_eq!(restored["spec"]["init"]["waitForInitialRestore"], false);
        let query = "SELECT kind FROM equipment ORDER BY id";
        assert_eq!(statement(&system, "dev", &name, query), "slide\nswing\n");
        let password = |namespace: &str| {
            system
                .object(namespace, &format!("secret/{name}-auth"))
                .unwrap()["data"]["password"]
                .clone()
        };
        assert_eq!(password("dev"), password("demo"));
    }
}
