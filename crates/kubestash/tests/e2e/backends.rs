//! Several backends in one session: one dump for all, and each with its own outcome.

use serde_json::{Value, json};

use crate::bad_input::{configuration, druid};
use crate::restore::{contents, lose, restore};
use crate::servers::{BUCKET, S3Server};
use crate::support::{Gcs, System};
use crate::tutorial::{first_session, prepare_backend, trigger};

const BACKENDS: [&str; 3] = ["gcs-storage", "volume", "s3-storage"];

fn s3_storage(system: &System, server: &S3Server) {
    system.kubectl(&format!(
        "create secret generic -n demo s3-secret --from-literal=AWS_ACCESS_KEY_ID={} --from-literal=AWS_SECRET_ACCESS_KEY={}",
        server.access_key_id, server.secret_access_key
    ));
    let storage = json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "s3-storage", "namespace": "demo"},
        "spec": {"storage": {"provider": "s3", "s3": {
            "endpoint": server.endpoint, "bucket": BUCKET, "region": "us-east-1", "prefix": "blueprint", "secretName": "s3-secret",
        }}},
    });
    system.apply(&storage.to_string());
}

/// The Snapshots of a session, in the order of [`BACKENDS`].
fn snapshots_of(system: &System, session: &Value) -> Vec<Value> {
    BACKENDS
        .iter()
        .map(|backend| {
            let listed = session["status"]["snapshots"].as_array().unwrap();
            let own = listed.iter().find(|entry| entry["repository"] == *backend);
            let name = own.unwrap()["name"].as_str().unwrap();
            let name = format!("snapshots.storage.kubestash.com/{name}");
            system.object("demo", &name).unwrap()
        })
        .collect()
}

#[test]
fn one_dump_goes_to_all_backends_and_one_that_is_dead_fails_alone() {
    let (gcs, s3) = (Gcs::start(), S3Server::start(None));
    let directory = tempfile::tempdir().unwrap();
    let system = System::with_gcs(&gcs);
    prepare_backend(&system);
    let volume = crate::bad_input::local_storage(&directory.path().join("volume"));
    system.apply(&volume.replace("name: gcs-storage", "name: volume"));
    s3_storage(&system, &s3);
    for backend in BACKENDS {
        system.wait_phase("demo", &format!("backupstorage/{backend}"), &["Ready"]);
    }
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    crate::crash::load_metadata(&system, "sample-druid");
    let before = contents(&system, "sample-druid");

    let mut wanted: Value = serde_json::from_str(&configuration(&json!({}))).unwrap();
    let backends = BACKENDS.map(|name| {
        json!({"name": name, "storageRef": {"name": name, "namespace": "demo"},
            "retentionPolicy": {"name": "demo-retention", "namespace": "demo"}})
    });
    let repositories = BACKENDS.map(|name| {
        json!({"name": name, "backend": name, "directory": format!("/copy-in-{name}"),
            "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"}})
    });
    wanted["spec"]["backends"] = json!(backends);
    wanted["spec"]["sessions"][0]["repositories"] = json!(repositories);
    system.apply(&wanted.to_string());
    let first = first_session(&system, "manual");
    let status = &first["status"];
    assert_eq!(
        status["phase"],
        "Succeeded",
        "{status:#}\n{}",
        system.log_text()
    );
    let sizes: Vec<_> = snapshots_of(&system, &first)
        .iter()
        .map(|snapshot| snapshot["status"]["components"]["dump"]["resticStats"][0]["size"].clone())
        .collect();
    assert!(
        sizes[0].is_string() && sizes.iter().all(|size| *size == sizes[0]),
        "{sizes:?}"
    );

    // The S3 server dies.
    let endpoint = s3.endpoint.clone();
    drop(s3);
    let name = trigger(&system, "manual");
    let second = system.wait_phase(
        "demo",
        &format!("backupsession/{name}"),
        &["Succeeded", "Failed"],
    );
    assert_eq!(
        second["status"]["phase"], "Failed",
        "{:#}",
        second["status"]
    );
    let snapshots = snapshots_of(&system, &second);
    let phases: Vec<_> = snapshots
        .iter()
        .map(|snapshot| &snapshot["status"]["phase"])
        .collect();
    assert_eq!(
        phases,
        ["Succeeded", "Succeeded", "Failed"],
        "{snapshots:#?}"
    );
    let error = snapshots[2]["status"]["components"]["dump"]["error"]
        .as_str()
        .unwrap();
    let host = endpoint.trim_start_matches("http://");
    assert!(error.contains(host), "{error}");
    let retention: Vec<_> = second["status"]["retentionPolicy"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["repository"].as_str().unwrap(),
                entry["phase"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(retention.contains(&("volume", "Applied")), "{retention:?}");

    for backend in ["gcs-storage", "volume"] {
        lose(&system, "sample-druid");
        let source = json!({"repository": backend, "snapshot": "latest"});
        let restored = restore(
            &system,
            &format!("from-{backend}"),
            "sample-druid",
            &source,
            &json!({}),
        );
        assert_eq!(
            restored["status"]["phase"], "Succeeded",
            "{:#}",
            restored["status"]
        );
        assert_eq!(contents(&system, "sample-druid"), before);
        let used = restored["status"]["dependencies"][0]["name"]
            .as_str()
            .unwrap();
        assert!(
            used.ends_with(name.rsplit('-').next().unwrap()),
            "{used} of {name}"
        );
    }
}
