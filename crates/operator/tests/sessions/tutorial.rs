//! The tutorial's first part: the objects are those that it shows.

use kubestash_api::core::{BackupConfiguration, BackupSession};
use kubestash_api::storage::{Repository, Snapshot};
use serde_json::json;

use crate::support::node::{Deed, Node};
use crate::support::{CONFIGURATION, Cluster, yaml};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_annotations_give_a_ready_configuration_and_a_succeeded_backup_exactly_as_the_tutorial_shows()
 {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator_with_webhook().await;
    cluster.tutorial().await;
    cluster.configuration_ready(CONFIGURATION).await;

    let session = cluster.sessions_ended(1).await.remove(0);
    session_is_the_tutorials(&session);
    snapshot_is_the_tutorials(&cluster, &session).await;
    configuration_is_the_tutorials(&cluster).await;

    let settled = cluster
        .api::<BackupConfiguration>()
        .get(CONFIGURATION)
        .await
        .unwrap();
    let conditions = &settled.status.as_ref().unwrap().sessions[0].conditions;
    let types: Vec<_> = conditions
        .iter()
        .map(|found| found.type_.as_str())
        .collect();
    assert_eq!(types, ["SchedulerEnsured", "InitialBackupTriggered"]);
    operator.stop().await;

    // A restart makes no second first backup.
    let operator = cluster.operator().await;
    cluster.configuration_ready(CONFIGURATION).await;
    operator.stop().await;
    assert_eq!(cluster.list::<BackupSession>().await.len(), 1);
}

fn session_is_the_tutorials(session: &BackupSession) {
    let object = serde_json::to_value(session).unwrap();
    let name = object["metadata"]["name"].as_str().unwrap();
    let second = name
        .strip_prefix("appbinding-sample-druid-frequent-backup-")
        .unwrap();
    assert!(second.parse::<i64>().unwrap() > 1_700_000_000);
    assert_eq!(
        object["spec"],
        json!({
            "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration",
                "name": "appbinding-sample-druid"},
            "session": "frequent-backup",
        })
    );
    let status = &object["status"];
    assert_eq!(status["phase"], "Succeeded", "{status:#}");
    let types: Vec<_> = status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "Ready",
            "SnapshotsEnsured",
            "BackupExecutorEnsured",
            "SessionHistoryCleaned",
            "MetricsPushed"
        ]
    );
    assert!(status["duration"].as_str().unwrap().ends_with('s'));
    assert_eq!(status["totalSnapshots"], 1);
    assert_eq!(
        status["retentionPolicy"],
        json!([{"repository": "default-blueprint", "phase": "Applied"}])
    );
    let owner = &object["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["controller"]),
        (&json!("BackupConfiguration"), &json!(true))
    );
}

async fn snapshot_is_the_tutorials(cluster: &Cluster, session: &BackupSession) {
    let session = session.metadata.name.clone().unwrap();
    let second = session.rsplit('-').next().unwrap();
    let name = format!("default-blueprint-appbinding-samruid-frequent-backup-{second}");
    let snapshot = cluster.api::<Snapshot>().get(&name).await.unwrap();
    let repository = cluster
        .api::<Repository>()
        .get("default-blueprint")
        .await
        .unwrap();
    let object = serde_json::to_value(&snapshot).unwrap();
    assert_eq!(
        object["metadata"]["finalizers"],
        json!(["kubestash.com/cleanup"])
    );
    assert_eq!(
        object["metadata"]["labels"],
        json!({
            "kubestash.com/app-ref-kind": "Druid",
            "kubestash.com/app-ref-name": "sample-druid",
            "kubestash.com/app-ref-namespace": "demo",
            "kubestash.com/repo-name": "default-blueprint",
        })
    );
    assert_eq!(
        object["metadata"]["annotations"],
        json!({"kubedb.com/db-version": "30.0.0"})
    );
    assert_eq!(
        object["metadata"]["ownerReferences"],
        json!([{"apiVersion": "storage.kubestash.com/v1alpha1", "blockOwnerDeletion": true, "controller": true,
            "kind": "Repository", "name": "default-blueprint", "uid": repository.metadata.uid}])
    );
    let id = object["spec"]["snapshotID"].as_str().unwrap();
    assert_eq!(
        (
            id.len(),
            id.chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        ),
        (26, true)
    );
    assert_eq!(
        object["spec"],
        json!({
            "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
            "backupSession": session,
            "deletionPolicy": "Delete",
            "repository": "default-blueprint",
            "session": "frequent-backup",
            "snapshotID": id,
            "type": "FullBackup",
            "version": "v1",
        })
    );
    let spec = serde_json::to_value(&repository.spec).unwrap();
    assert_eq!(
        spec,
        json!({
            "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": "demo"},
            "deletionPolicy": "Delete",
            "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"},
            "path": "/default-blueprint",
            "storageRef": {"name": "gcs-storage", "namespace": "demo"},
        })
    );
}

async fn configuration_is_the_tutorials(cluster: &Cluster) {
    let configuration = cluster
        .api::<BackupConfiguration>()
        .get(CONFIGURATION)
        .await
        .unwrap();
    let object = serde_json::to_value(&configuration).unwrap();
    assert_eq!(
        object["metadata"]["finalizers"],
        json!(["kubestash.com/cleanup"])
    );
    assert_eq!(object["metadata"]["generation"], 1);
    assert_eq!(object["metadata"].get("annotations"), None);
    assert_eq!(object["metadata"].get("ownerReferences"), None);
    assert_eq!(
        object["metadata"]["labels"],
        json!({
            "app.kubernetes.io/managed-by": "kubestash.com",
            "kubestash.com/invoker-name": "druid-default-backup-blueprint",
            "kubestash.com/invoker-namespace": "demo",
        })
    );
    let shown = yaml(
        r"
spec:
  backends:
    - name: gcs-backend
      retentionPolicy:
        name: demo-retention
        namespace: demo
      storageRef:
        name: gcs-storage
        namespace: demo
  sessions:
    - addon:
        name: druid-addon
        tasks:
          - name: mysql-metadata-storage-backup
      name: frequent-backup
      repositories:
        - backend: gcs-backend
          directory: /default-blueprint
          encryptionSecret:
            name: encrypt-secret
            namespace: demo
          name: default-blueprint
      scheduler:
        jobTemplate:
          backoffLimit: 1
          template:
            controller: {}
            metadata: {}
            spec:
              resources: {}
        schedule: '*/5 * * * *'
      sessionHistoryLimit: 3
  target:
    apiGroup: kubedb.com
    kind: Druid
    name: sample-druid
    namespace: demo
status:
  backends:
    - name: gcs-backend
      ready: true
      retentionPolicy:
        found: true
        ref:
          name: demo-retention
          namespace: demo
      storage:
        phase: Ready
        ref:
          name: gcs-storage
          namespace: demo
",
    );
    assert_eq!(object["spec"], shown["spec"]);
    assert_eq!(object["status"]["backends"], shown["status"]["backends"]);
}
