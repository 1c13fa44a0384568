//! The admission webhook, called by a real API server over TLS.
#![cfg(test)]

mod support;

use kubestash_api::core::BackupConfiguration;
use kubestash_api::shared::NamespacePolicy;
use kubestash_api::storage::{BackupStorage, RetentionPolicy};
use serde_json::{Value, json};
use support::{NAMESPACE, World, gcs_storage};

fn policy(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    })
}

fn configuration(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "target": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "sample-druid", "namespace": NAMESPACE},
            "sessions": [{
                "name": "frequent-backup",
                "scheduler": {"schedule": "*/5 * * * *", "jobTemplate": {}},
                "repositories": [{"name": "default-blueprint", "directory": "/default-blueprint"}],
                "addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-backup"}]},
            }],
        },
    });
    let fields = object["spec"].as_object_mut().unwrap();
    fields.extend(spec.as_object().unwrap().clone());
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_over_several_objects_are_kept_by_the_api_server() {
    let world = World::start().await;
    world
        .create::<BackupStorage>(gcs_storage("gcs-storage", "blueprint/", "Delete"))
        .await;
    let mut second = gcs_storage("second", "blueprint", "Delete");
    let refused = world
        .try_create::<BackupStorage>(second.clone())
        .await
        .unwrap_err();
    assert!(
        refused.contains("spec.default") && refused.contains("gcs-storage is the default already"),
        "{refused}"
    );
    assert!(
        refused.contains("spec.storage") && refused.contains("same directory of the same bucket"),
        "{refused}"
    );
    second["spec"]["default"] = json!(false);
    second["spec"]["storage"]["gcs"]["prefix"] = json!("other");
    world.create::<BackupStorage>(second).await;

    let refused = world
        .try_create::<RetentionPolicy>(policy("p", json!({"maxRetentionPeriod": "2 months"})))
        .await;
    assert!(refused.unwrap_err().contains("spec.maxRetentionPeriod"));

    let broken = configuration(
        "bc",
        json!({"backends": [{"name": "b", "storageRef": {"name": "gcs-storage"}}]}),
    );
    let refused = world
        .try_create::<BackupConfiguration>(broken)
        .await
        .unwrap_err();
    assert!(
        refused.contains("spec.backends[0].retentionPolicy"),
        "{refused}"
    );
    assert!(
        refused.contains("spec.sessions[0].repositories[0].backend"),
        "{refused}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_are_filled_in_before_the_rules_are_applied() {
    let world = World::start().await;
    let mut storage = gcs_storage("gcs-storage", "blueprint/", "Delete");
    storage["spec"]
        .as_object_mut()
        .unwrap()
        .remove("usagePolicy");
    let storage = world.create::<BackupStorage>(storage).await;
    let allowed = storage
        .spec
        .usage_policy
        .unwrap()
        .allowed_namespaces
        .unwrap();
    assert_eq!(allowed.from, NamespacePolicy::Same);
    assert_eq!(
        storage.spec.storage.unwrap().gcs.unwrap().prefix.as_deref(),
        Some("blueprint")
    );

    let default = policy(
        "demo-retention",
        json!({"default": true, "maxRetentionPeriod": "2mo"}),
    );
    let policy = world.create::<RetentionPolicy>(default).await;
    assert_eq!(policy.spec.failed_snapshots.unwrap().last, 1);

    // Storage and policy are the defaults of the namespace, which nobody has to name.
    let made = world
        .create::<BackupConfiguration>(configuration("bc", json!({})))
        .await;
    let backend = &made.spec.backends[0];
    assert_eq!(backend.storage_ref.as_ref().unwrap().name, "gcs-storage");
    assert_eq!(
        backend.retention_policy.as_ref().unwrap().name,
        "demo-retention"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_allowed_cannot_refer_to_a_storage() {
    let world = World::start().await;
    world.make_namespace("vault").await;
    let mut storage = gcs_storage("gcs-storage", "blueprint", "Delete");
    storage["metadata"]["namespace"] = json!("vault");
    storage["spec"]["usagePolicy"] = json!({"allowedNamespaces": {
        "from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}});
    world.create::<BackupStorage>(storage).await;
    let backend = json!({"backends": [{
        "name": "", "storageRef": {"name": "gcs-storage", "namespace": "vault"}, "retentionPolicy": {"name": "later"}}]});
    let refused = world
        .try_create::<BackupConfiguration>(configuration("bc", backend))
        .await
        .unwrap_err();
    assert!(
        refused
            .contains("BackupStorage vault/gcs-storage does not allow its use from namespace demo"),
        "{refused}"
    );
    world.stop().await;
}
