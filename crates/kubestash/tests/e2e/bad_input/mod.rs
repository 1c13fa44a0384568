//! Bad input gets a clear word, and nothing is lost.

mod auto_backup;
mod database;
mod injection;
mod repository;
mod schema;
mod storage;

use std::path::Path;

use crate::support::System;

/// A namespace with a local storage, its Secret and a retention policy; the storage is ready.
pub fn local_backend(system: &System, volume: &Path) {
    system.kubectl("create ns demo");
    system.kubectl(
        "create secret generic -n demo encrypt-secret --from-literal=RESTIC_PASSWORD=changeit",
    );
    system.apply(&local_storage(volume));
    system.apply(&crate::tutorial::example("retentionpolicy.yaml"));
    system.wait_phase("demo", "backupstorage/gcs-storage", &["Ready"]);
}

/// A storage in a directory of this machine, under the name that the tutorial's blueprints use.
pub fn local_storage(volume: &Path) -> String {
    std::fs::create_dir_all(volume).unwrap();
    let volume = volume.display();
    format!(
        "apiVersion: storage.kubestash.com/v1alpha1
kind: BackupStorage
metadata: {{name: gcs-storage, namespace: demo}}
spec:
  storage:
    provider: local
    local: {{hostPath: {{path: {volume}, type: Directory}}, mountPath: /backups}}
  runtimeSettings: {{pod: {{securityContext: {{runAsUser: 0}}}}}}
  usagePolicy: {{allowedNamespaces: {{from: All}}}}
"
    )
}

/// A Druid with annotations, as YAML.
pub fn druid(namespace: &str, name: &str, annotations: &[(&str, &str)]) -> String {
    let annotations: serde_json::Map<String, serde_json::Value> = annotations
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).into()))
        .collect();
    serde_json::json!({
        "apiVersion": "kubedb.com/v1alpha2",
        "kind": "Druid",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {
            "version": "30.0.0",
            "deepStorage": {"type": "s3", "configSecret": {"name": "deep-storage-config"}},
            "topology": {"routers": {"replicas": 1}},
            "deletionPolicy": "WipeOut",
        },
    })
    .to_string()
}

/// The annotations that ask for a blueprint of namespace `demo`.
pub fn blueprint(name: &str) -> Vec<(&str, &str)> {
    vec![
        ("blueprint.kubestash.com/name", name),
        ("blueprint.kubestash.com/namespace", "demo"),
    ]
}

/// A Druid without annotations, a metadata database behind it, and a BackupConfiguration for it
/// whose `addon.tasks[0].params` and repository directory are given. The schedule is far away: only
/// the instant backup runs.
pub fn configuration(params: &serde_json::Value) -> String {
    serde_json::json!({
        "apiVersion": "core.kubestash.com/v1alpha1",
        "kind": "BackupConfiguration",
        "metadata": {"name": "manual", "namespace": "demo"},
        "spec": {
            "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
            "backends": [{
                "name": "backend",
                "storageRef": {"name": "gcs-storage", "namespace": "demo"},
                "retentionPolicy": {"name": "demo-retention", "namespace": "demo"},
            }],
            "sessions": [{
                "name": "frequent-backup",
                "sessionHistoryLimit": 100,
                "scheduler": {"schedule": "0 0 1 1 *", "jobTemplate": {"backoffLimit": 0}},
                "repositories": [{
                    "name": "repo",
                    "backend": "backend",
                    "directory": "/repo",
                    "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"},
                }],
                "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-backup", "params": params}]},
            }],
        },
    })
    .to_string()
}
