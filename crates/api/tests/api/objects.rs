//! Objects as people and other tools write them, through our types and back.

use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::{BackupBlueprint, BackupConfiguration};
use kubestash_api::kubedb::{DatabaseDeletionPolicy, Druid, MySQL};
use kubestash_api::shared::{ObjectReference, TypedObjectReference};
use kubestash_api::storage::{BackupStorage, Snapshot};
use serde_json::{Value, json};

use crate::schema::{below, root};

#[test]
fn a_session_with_little_in_its_job_template_shows_the_empty_pod_template() {
    let blueprint: BackupBlueprint = serde_saphyr::from_str(
        r#"
apiVersion: core.kubestash.com/v1alpha1
kind: BackupBlueprint
metadata: {name: druid-default-backup-blueprint, namespace: demo}
spec:
  usagePolicy: {allowedNamespaces: {from: All}}
  backupConfigurationTemplate:
    deletionPolicy: OnDelete
    sessions:
      - name: frequent-backup
        sessionHistoryLimit: 3
        scheduler:
          schedule: "*/5 * * * *"
          jobTemplate: {backoffLimit: 1}
        repositories:
          - {name: default-blueprint, backend: gcs-backend, directory: /default-blueprint}
        addon: {name: druid-addon, tasks: [{name: mysql-metadata-storage-backup}]}
"#,
    )
    .unwrap();
    let template = blueprint.spec.backup_configuration_template.unwrap();
    let mut configuration = BackupConfiguration::new("appbinding-sample-druid", Default::default());
    configuration.spec.sessions = template.sessions;
    let written = serde_json::to_value(&configuration).unwrap();
    assert_eq!(
        written["spec"]["sessions"],
        json!([{
            "addon": { "name": "druid-addon", "tasks": [{ "name": "mysql-metadata-storage-backup" }] },
            "name": "frequent-backup",
            "repositories": [
                { "backend": "gcs-backend", "directory": "/default-blueprint", "name": "default-blueprint" }
            ],
            "scheduler": {
                "jobTemplate": {
                    "backoffLimit": 1,
                    "template": { "controller": {}, "metadata": {}, "spec": { "resources": {} } }
                },
                "schedule": "*/5 * * * *"
            },
            "sessionHistoryLimit": 3
        }])
    );
}

#[test]
fn what_kubernetes_has_added_to_pods_since_1_34_is_in_the_schema_and_comes_back() {
    let session = json!({
        "name": "s",
        "sessionHistoryLimit": 3,
        "scheduler": {"schedule": "0 3 * * *", "jobTemplate": {"template": {"controller": {}, "metadata": {}, "spec": {
            "resources": {},
            "env": [{"name": "A", "valueFrom": {"fileKeyRef": {"key": "a", "path": "env", "volumeName": "v", "optional": true}}}],
            "initContainers": [{
                "name": "i",
                "image": "x",
                "restartPolicy": "Never",
                "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
            }],
            "volumes": [{"name": "v", "projected": {"sources": [
                {"podCertificate": {"signerName": "example.com/s", "keyType": "ED25519", "credentialBundlePath": "bundle.pem"}}
            ]}}]
        }}}},
        "addon": {"name": "a", "tasks": [{"name": "t"}], "jobTemplate": {"controller": {}, "metadata": {}, "spec": {
            "resources": {},
            "env": [{"name": "B", "valueFrom": {"fileKeyRef": {"key": "b", "path": "env", "volumeName": "v"}}}]
        }}}
    });
    let configuration: BackupConfiguration = serde_json::from_value(json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": "c"}, "spec": {"sessions": [session]},
    }))
    .unwrap();
    let written = serde_json::to_value(&configuration).unwrap();
    assert_eq!(written["spec"]["sessions"], json!([session]));

    let crds = kubestash_api::crds();
    let crd = crds
        .iter()
        .find(|crd| crd.spec.names.kind == "BackupConfiguration");
    let mut missing = Vec::new();
    let sessions = below(&root(crd.unwrap()), "properties").unwrap().clone();
    collect_missing(
        &sessions["spec"]["properties"]["sessions"]["items"],
        &session,
        "",
        &mut missing,
    );
    assert!(missing.is_empty(), "not in the schema: {missing:?}");
}

/// The paths in `value` that the API server would prune, since `schema` does not know them.
fn collect_missing(schema: &Value, value: &Value, path: &str, missing: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match schema["properties"].get(name) {
                    Some(schema) => collect_missing(schema, value, &path, missing),
                    None => missing.push(path),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                collect_missing(&schema["items"], item, &format!("{path}[]"), missing);
            }
        }
        _ => {}
    }
}

#[test]
fn the_schema_has_the_same_empty_pod_template_as_its_default() {
    let crd = kubestash_api::crds()
        .into_iter()
        .find(|crd| crd.spec.names.kind == "BackupConfiguration")
        .unwrap();
    let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
    let template = schema
        .pointer("/openAPIV3Schema/properties/spec/properties/sessions/items/properties/scheduler/properties/jobTemplate/properties/template")
        .unwrap();
    assert_eq!(
        template["default"],
        json!({ "controller": {}, "metadata": {}, "spec": { "resources": {} } })
    );
}

#[test]
fn a_snapshot_in_the_flat_spelling_keeps_every_field() {
    let status = json!({
        "components": {
            "dump": {
                "driver": "Restic",
                "duration": "9.614587405s",
                "integrity": true,
                "path": "repository/v1/frequent-backup/dump",
                "phase": "Succeeded",
                "resticStats": [{ "hostPath": "dumpfile.sql", "id": "8f2b", "size": "3.750 MiB", "uploaded": "3.751 MiB" }],
                "size": "674.017 KiB"
            }
        },
        "snapshotTime": "2024-09-19T10:30:56Z"
    });
    let snapshot: Snapshot = serde_json::from_value(json!({
        "apiVersion": "storage.kubestash.com/v1alpha1",
        "kind": "Snapshot",
        "metadata": { "name": "s" },
        "spec": { "snapshotID": "01J84XBGGY0JKG7JKTRCGV3HYM", "type": "FullBackup", "deletionPolicy": "Delete" },
        "status": status
    }))
    .unwrap();
    assert_eq!(
        snapshot.status.as_ref().unwrap().components["dump"].restic_stats[0].id(),
        Some("8f2b")
    );
    assert_eq!(serde_json::to_value(&snapshot).unwrap()["status"], status);
}

#[test]
fn nothing_absent_is_written_and_no_null() {
    let storage: BackupStorage = serde_json::from_value(json!({
        "metadata": { "name": "s" },
        "spec": { "storage": { "provider": "local", "local": { "mountPath": "/m", "persistentVolumeClaim": { "claimName": "c" } } } }
    }))
    .unwrap();
    let written = serde_json::to_value(&storage).unwrap();
    assert_eq!(
        written["spec"],
        json!({
            "deletionPolicy": "Delete",
            "storage": { "provider": "local", "local": { "mountPath": "/m", "persistentVolumeClaim": { "claimName": "c" } } }
        })
    );
    assert_eq!(written.get("status"), None);
}

#[test]
fn a_foreign_object_loses_nothing() {
    let druid = json!({
        "apiVersion": "kubedb.com/v1alpha2",
        "kind": "Druid",
        "metadata": { "name": "sample-druid", "namespace": "demo" },
        "spec": {
            "version": "30.0.0",
            "deepStorage": { "type": "s3", "configSecret": { "name": "deep-storage-config" } },
            "topology": { "routers": { "replicas": 1, "podTemplate": { "spec": { "containers": [] } } } },
            "metadataStorage": { "name": "m", "linkedDB": "druid", "type": "MySQL" },
            "healthChecker": { "failureThreshold": 3 },
            "deletionPolicy": "WipeOut"
        }
    });
    let read: Druid = serde_json::from_value(druid.clone()).unwrap();
    assert_eq!(
        read.spec
            .metadata_storage
            .as_ref()
            .unwrap()
            .linked_db
            .as_deref(),
        Some("druid")
    );
    assert_eq!(read.spec.other["healthChecker"]["failureThreshold"], 3);
    assert_eq!(serde_json::to_value(&read).unwrap(), druid);

    let binding = json!({
        "apiVersion": "appcatalog.appscode.com/v1alpha1",
        "kind": "AppBinding",
        "metadata": { "name": "sample-mysql" },
        "spec": {
            "appRef": { "apiGroup": "kubedb.com", "kind": "MySQL", "name": "sample-mysql", "namespace": "demo" },
            "clientConfig": {
                "caBundle": "Y2E=",
                "service": { "name": "sample-mysql", "path": "/", "port": 3306, "scheme": "tcp" },
                "url": "tcp(sample-mysql.demo.svc:3306)/"
            },
            "parameters": { "apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "StashAddon", "stash": {} },
            "secret": { "name": "sample-mysql-auth" },
            "secretTransforms": [{ "renameKey": { "from": "user", "to": "username" } }],
            "type": "kubedb.com/mysql",
            "version": "9.7.1"
        }
    });
    let read: AppBinding = serde_json::from_value(binding.clone()).unwrap();
    assert_eq!(read.spec.client_config.ca_bundle.as_ref().unwrap().0, b"ca");
    assert_eq!(serde_json::to_value(&read).unwrap(), binding);
}

#[test]
fn a_database_has_one_deletion_policy_in_two_spellings() {
    for spelling in ["deletionPolicy", "terminationPolicy"] {
        let mut spec = json!({ "version": "8.0.35" });
        spec[spelling] = Value::from("WipeOut");
        let mysql: MySQL = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap();
        assert_eq!(
            mysql.spec.deletion_policy(),
            Some(DatabaseDeletionPolicy::WipeOut)
        );
    }
}

#[test]
fn a_reference_without_a_namespace_means_the_namespace_of_its_holder() {
    let here = ObjectReference {
        name: "s".to_owned(),
        namespace: None,
    };
    assert_eq!(here.namespace_or("demo"), "demo");
    assert_eq!(ObjectReference::new("s", "").namespace_or("demo"), "demo");
    assert!(here.same_object(&ObjectReference::new("s", "demo"), "demo"));
    assert!(!here.same_object(&ObjectReference::new("s", "prod"), "demo"));
    let druid = TypedObjectReference::new("kubedb.com", "Druid", "d", "demo");
    let same = TypedObjectReference {
        namespace: None,
        ..druid.clone()
    };
    assert!(druid.same_object(&same, "demo"));
    assert!(!druid.same_object(
        &TypedObjectReference {
            kind: None,
            ..druid.clone()
        },
        "demo"
    ));
}
